# SPDX-License-Identifier: MIT
"""Two mounts of a cluster that changes and fails under load: test_faults.py [KIND] [SECONDS]

Writers, appenders and readers work on while slots move, masters die, pause and fail over, and every node restarts.
What holds: no error but "unknown" (ETIMEDOUT for what is not idempotent and was on a broken connection), no value that
is torn or another's, nothing appended twice, nothing slow. What is acknowledged stays, where Redis promises that; it
replicates after it has answered, so a master that dies takes with it what was acknowledged in its last moment, and no
more. SECONDS: each event is repeated for so long (soak)."""

import collections
import json
import os
import subprocess
import sys
import time
import unittest

from fslib import Mount
import faults
from load import RECORD, number_of
from shardtest import Cluster

SECONDS = 0
DEADLINE_MS = 20000
LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.py")
# Acknowledged so long before a master went, and not with its replica yet.
MOMENT = 1.0


class Worker:
    def __init__(self, role, mount, name):
        self.role, self.name = role, name
        words = [sys.executable, LOAD, role, mount.path, name]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "running\n":
            self.kill()
            raise AssertionError(f"load.py says {line!r}")

    def kill(self):
        faults.end_process(self.process)

    def stop(self):
        try:
            text, _ = self.process.communicate("\n", timeout=DEADLINE_MS / 1000 + 30)
        finally:
            self.kill()
        if self.process.returncode:
            raise AssertionError(f"load.py {self.role} ended with {self.process.returncode}: {text[-500:]}")
        for name, what in json.loads(text).items():
            setattr(self, name, what)


class Faults(faults.Events, unittest.TestCase):
    """Each test has a cluster of its own: nothing that one does is seen by the next."""

    conf = ()

    def setUp(self):
        self.cluster = Cluster(masters=3, replicas=1, conf=self.conf)
        self.addCleanup(self.cluster.close)
        self.mounts = []
        for options in ("", "commit=close"):
            mount = Mount(self.cluster.uri, timeout=DEADLINE_MS, options=options)
            self.addCleanup(mount.close)
            self.mounts.append(mount)
        self.moments = []  # when a master went

    def going(self, *_):
        self.moments.append(time.monotonic())

    def start(self):
        one, two = self.mounts
        roles = [("values", one, "a"), ("reader", two, "a"), ("pieces", two, "b"), ("reader", one, "b")]
        roles += [("once", one, "foo"), ("patches", two, "p")]
        roles += [("lines", one, "log1"), ("lines", two, "log2")]
        workers = []
        for role, mount, name in roles:
            worker = Worker(role, mount, name)
            self.addCleanup(worker.kill)
            workers.append(worker)
        return workers

    def under_load(self, event, lossless, unknown_allowed):
        workers = self.start()
        time.sleep(0.5)
        rounds = faults.repeated(event, SECONDS)
        time.sleep(1)
        for worker in workers:
            worker.stop()
        self.cluster.wait_ok(60)
        lost = {w.name: self.lost(w) for w in workers if w.role != "reader"}
        self.report(workers, rounds, lost)
        self.check(workers, lost, lossless, unknown_allowed)
        for mount in self.mounts:
            mount.end()

    def report(self, workers, rounds, lost):
        errors = collections.Counter((w.role, call, name) for w in workers for call, name, _ in w.errors)
        print(
            f"{self._testMethodName}: {rounds} times, {sum(w.calls for w in workers)} calls, slowest "
            f"{max(w.slowest for w in workers)}, errors {dict(errors)}, acknowledged and lost by the cluster "
            f"{ {k: len(v) for k, v in lost.items()} }, older than acknowledged {sum(w.back for w in workers)}",
            flush=True,
        )

    def check(self, workers, lost, lossless, unknown_allowed):
        for worker in workers:
            self.assertEqual(worker.wrong, [], worker.role)
            self.assertGreater(worker.calls, 100, worker.role)
            self.assertLess(worker.slowest[0], DEADLINE_MS / 1000 + 1, worker.role)
            # Only what must not be done twice may have an unknown outcome.
            allowed = {("lines", "write", "ETIMEDOUT")} if unknown_allowed else set()
            self.assertLessEqual({(worker.role, call, name) for call, name, _ in worker.errors}, allowed)
            if lossless:
                self.assertEqual(worker.back, 0, worker.role)
        for name, acks in lost.items():
            for _, number, when in acks:
                near = not lossless and any(moment - MOMENT < when < moment + MOMENT for moment in self.moments)
                self.assertTrue(near, f"{name} {number}: lost, and no master went then: {when}, {self.moments}")

    # ---- what the cluster has ----

    def lost(self, worker):
        """What was acknowledged and is not there."""
        if worker.role == "lines":
            return self.lost_lines(worker)
        if worker.role == "patches":
            return self.lost_patches(worker)
        return self.lost_values(worker)

    def lost_values(self, worker):
        lost = []
        last = {what: (what, number, when) for what, number, when in worker.acked}
        unknown = {what for what, _, _ in worker.unknown}
        for name, ack in last.items():
            data = self.cluster.call("GET", name)
            number = number_of(name, data) if data is not None else -1
            self.assertIsNotNone(number, f"{name} is torn")
            if number < ack[1]:
                # The oldest one that is gone.
                lost += [a for a in worker.acked if a[0] == name and a[1] > number][:1]
            if name not in unknown:
                self.assertLessEqual(number, ack[1], name)
        return lost

    def lost_lines(self, worker):
        data = self.cluster.call("GET", worker.name) or b""
        self.assertTrue(data.endswith(b"\n"), data[-200:])
        numbers = [number_of(worker.name, line) for line in data.split(b"\n")[:-1]]
        self.assertNotIn(None, numbers, "a line is torn")
        self.assertEqual(len(numbers), len(set(numbers)), "a line is there twice")
        there = set(numbers)
        self.assertLessEqual(there, {n for _, n, _ in worker.acked + worker.unknown})
        return [ack for ack in worker.acked if ack[1] not in there]

    def lost_patches(self, worker):
        data = self.cluster.call("GET", worker.name) or b""
        last = {what: [what, number, when] for what, number, when in worker.acked if "@" in what}
        lost = []
        for what, ack in last.items():
            place = int(what.split("@")[1]) * RECORD
            record = data[place : place + RECORD].rstrip()
            number = -1 if record in (b"-" * RECORD, b"") else number_of(worker.name, record)
            self.assertIsNotNone(number, f"{what} is torn: {record!r}")
            if number < ack[1]:
                lost += [a for a in worker.acked if a[0] == what and a[1] > number][:1]
        return lost


class Moves(faults.Moves, Faults):
    slots = 1000


class Crashes(faults.Crashes, Faults):
    pass


class Restarts(faults.Restarts, Faults):
    pass


if __name__ == "__main__":
    SECONDS = int(next((a for a in sys.argv[1:] if a.isdigit()), 0))
    unittest.main(argv=[sys.argv[0], *[a for a in sys.argv[1:] if not a.isdigit()]])
