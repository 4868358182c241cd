#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A real cluster that changes and fails under load: test_faults.py LOAD_HELPER WRITER [SECONDS]

The tutorial's writer and a pipeline of mixed commands run while slots move, masters die, pause and fail over, and every
node restarts. What holds: no error before the deadline (but "unknown" for what is not idempotent and was on a broken
connection), no value that is another's or torn, no INCR, APPEND or block executed twice. What Redis promises is
asked for too: where slots move or a failover is manual, nothing acknowledged is lost. SECONDS: each event is repeated for
so long (soak)."""

import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import faults
from shardtest import Cluster

HELPER = WRITER = None
SECONDS = 0
KEYS, DEPTH, DEADLINE_MS = 60, 60, 30000
UNKNOWN = 13  # enum shard_error


class Load:
    """load_helper while it runs, and what it reported."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.process = subprocess.Popen(
            [HELPER, cluster.uri, str(KEYS), str(DEPTH), str(DEADLINE_MS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        if line != "running\n":
            self.kill()
            raise AssertionError(f"load_helper says {line!r}")

    def kill(self):
        faults.end_process(self.process)

    def stop(self):
        try:
            text, _ = self.process.communicate("stop\n", timeout=DEADLINE_MS / 1000 + 30)
        finally:
            self.kill()
        lines = [line.split(" ", 1) for line in text.splitlines()]
        if self.process.returncode or ["end"] not in lines:
            raise AssertionError(f"load_helper ended with {self.process.returncode}: {text[-500:]}")
        self.total, self.slowest_ms = (int(w) for w in self.one(lines, "total").split())
        self.errors = {int(w[0]): (int(w[1]), w[2]) for w in (v.split(" ", 2) for v in self.all(lines, "error"))}
        self.wrong = self.all(lines, "wrong")
        self.stale = int(self.one(lines, "stale"))
        self.repeated = int(self.one(lines, "repeated"))
        self.counters = {w[0]: (int(w[1]), int(w[2])) for w in (v.split() for v in self.all(lines, "counter"))}
        self.values = {w[0]: (int(w[1]), int(w[2])) for w in (v.split() for v in self.all(lines, "value"))}

    @staticmethod
    def all(lines, name):
        return [line[1] for line in lines if line[0] == name and len(line) > 1]

    @classmethod
    def one(cls, lines, name):
        return cls.all(lines, name)[0]

    def count(self, key):
        """How often the cluster says that it was counted."""
        call = self.cluster.call
        if key.startswith("app:"):
            return call("STRLEN", key)
        if key.startswith("ctr:"):
            return int(call("GET", key) or 0)
        first, second = (int(call("GET", f"{{{key}}}{half}") or 0) for half in "ab")
        if first != second:
            raise AssertionError(f"block {key}: {first} and {second}")
        return first

    def version(self, key):
        text = self.cluster.call("GET", key)
        return int(text.split(b":")[2]) if text else 0


class Writer:
    """The tutorial's writer."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.process = subprocess.Popen(
            [WRITER, "-u", cluster.uri, "--timeout", str(DEADLINE_MS), "0", "2"], stdout=subprocess.PIPE, text=True
        )
        # It has met the cluster before anything happens to that: its only seed may be the first to go.
        self.first = self.process.stdout.readline()

    def kill(self):
        faults.end_process(self.process)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        text, _ = self.process.communicate(timeout=30)
        lines = (self.first + text).split("\n")[:-1]  # the last one may be torn
        self.errors = [line for line in lines if not line.isdigit()]
        self.written = [int(line) for line in lines if line.isdigit()]

    def lost(self):
        return [x for x in self.written if self.cluster.call("GET", f"foo{x}") != str(x).encode()]


class Faults(faults.Events, unittest.TestCase):
    """Each test has a cluster of its own: nothing that one does is seen by the next."""

    conf = ()

    def setUp(self):
        self.cluster = Cluster(masters=3, replicas=1, conf=self.conf)
        self.addCleanup(self.cluster.close)

    def under_load(self, event, lossless, unknown_allowed):
        load = Load(self.cluster)
        self.addCleanup(load.kill)
        writer = Writer(self.cluster)
        self.addCleanup(writer.kill)
        rounds = faults.repeated(event, SECONDS)
        time.sleep(1)
        writer.stop()
        load.stop()
        self.cluster.wait_ok(60)
        self.check(load, writer, rounds, lossless, unknown_allowed)

    def check(self, load, writer, rounds, lossless, unknown_allowed):
        counts = {key: load.count(key) for key in load.counters}
        lost = sum(max(0, acked - counts[key]) for key, (acked, _) in load.counters.items())
        unknown = sum(u for _, u in load.counters.values())
        executed = sum(max(0, counts[key] - acked) for key, (acked, _) in load.counters.items())
        versions = {key: load.version(key) for key in load.values}
        lost_values = sum(versions[key] < acked for key, (acked, _) in load.values.items())
        lost_foo = writer.lost()
        print(
            f"{self._testMethodName}: {rounds} times, {load.total} requests, slowest {load.slowest_ms} ms, "
            f"errors {load.errors}, unknown {unknown} ({executed} of them executed), acknowledged and lost by the "
            f"cluster: {lost} counts, {lost_values} values, {len(lost_foo)} of {len(writer.written)} written by the "
            f"writer; stale reads {load.stale}, repeated counts {load.repeated}",
            flush=True,
        )
        self.assertEqual(load.wrong, [])
        self.assertEqual(writer.errors, [])
        self.assertGreater(len(writer.written), 20)
        self.assertEqual(set(load.errors) - {UNKNOWN}, set(), load.errors)
        self.assertEqual(load.errors.get(UNKNOWN, (0,))[0], unknown)
        for key, (acked, maybe) in load.counters.items():
            self.assertLessEqual(counts[key], acked + maybe, f"{key} was executed twice")
        for key, (_, sent) in load.values.items():
            self.assertLessEqual(versions[key], sent, key)
        if not unknown_allowed:
            self.assertEqual(unknown, 0, load.errors)
        if lossless:
            self.assertEqual((lost, lost_values, lost_foo), (0, 0, []))
            self.assertEqual((load.stale, load.repeated), (0, 0))


class Moves(faults.Moves, Faults):
    pass


class Crashes(faults.Crashes, Faults):
    pass


class Restarts(faults.Restarts, Faults):
    pass


if __name__ == "__main__":
    HELPER, WRITER, *more = sys.argv[1:3] + [a for a in sys.argv[3:] if a.isdigit()]
    SECONDS = int(more[0]) if more else 0
    unittest.main(argv=[sys.argv[0], *[a for a in sys.argv[3:] if not a.isdigit()]])
