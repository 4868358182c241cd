#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A failover as callers see it: test_failover.py OUTAGE_HELPER [NODE-TIMEOUT-MS [ROUNDS]]

A master dies, falls silent, or is failed over by hand, while programs write by blocking calls, by the tools and through
the mount, to its keys and to another master's. With a deadline of the node timeout and 3 s (more where the node timeout
is longer than a second, see deadline_ms()) nobody gets an error, and all go on once a replica is promoted: how soon is
printed, and must not be as late as what waits for the next attempt to connect or the next look at the map would be."""

import contextlib
import os
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../lib"), os.path.join(HERE, "../fs")]
from fslib import Mount
from outage import Outage, deadline_ms, key_of, promoted_at, served_at
from shardtest import Cluster, TempDir, clean_env, program

HELPER = None
NODE_TIMEOUT_MS = 1000
ROUNDS = 1
LATE = 0.8  # s; a second is what looks at the map are apart


class Call:
    """One call of a tool or a shell, begun after the master went. over: when it ended."""

    def __init__(self, words, runtime):
        self.words = words
        self.runtime = runtime
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=clean_env(runtime.path),
        )

    def poll(self):
        """Whether it has ended; notes when."""
        if not hasattr(self, "over") and self.process.poll() is not None:
            self.over = time.time()
        return hasattr(self, "over")

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.runtime.close()


class Failover(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.cluster = stack.enter_context(Cluster(3, 1, conf=(f"cluster-node-timeout {NODE_TIMEOUT_MS}",)))
        self.deadline = deadline_ms(NODE_TIMEOUT_MS)
        # Its seeds are not to be the ones that go.
        self.uri = f"redis://{','.join(self.cluster.addrs)}"
        self.mount = stack.enter_context(Mount(self.uri, timeout=self.deadline))
        self.mount.ok("echo 0 > warm")

    def start_writers(self, own, other):
        writers = {}
        for name, keys in {"own": [own], "other": [other], "both": [own, other]}.items():
            writers[name] = Outage(HELPER, self.uri, self.deadline, keys)
            self.addCleanup(writers[name].kill)
        return writers

    def start_calls(self, own, believing):
        """A tool that has a map, one that has none, one that reads, and the mount."""
        call = ["-u", self.uri, "--timeout", str(self.deadline)]
        words = {
            "rset": [program("rset"), *call, own, "tool"],
            "rset, no map": [program("rset"), *call, own, "tool"],
            "rget": [program("rget"), *call, own],
            "mount": ["sh", "-c", f"echo file > {self.mount.file(own)}"],
        }
        calls = {}
        for name, argv in words.items():
            calls[name] = Call(argv, believing if name == "rset" else TempDir("shard-runtime-"))
            self.addCleanup(calls[name].close)
        return calls

    def one_round(self, how):
        cluster = self.cluster
        master, another = cluster.masters()[:2]
        replicas = cluster.replicas_of(master)
        own, other = key_of(cluster, master), key_of(cluster, another)
        believing = TempDir("shard-runtime-")
        warm = [program("rset"), "-u", self.uri, other, "0"]
        subprocess.run(warm, env=clean_env(believing.path), check=True, timeout=30)
        writers = self.start_writers(own, other)
        began = time.time()
        how(master, replicas[0])
        calls = self.start_calls(own, believing)
        promoted = promoted_at(replicas, began)
        end = time.monotonic() + 20
        while not all([call.poll() for call in calls.values()]) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(0.5)
        for writer in writers.values():
            writer.end()
        over = {name: writer.over(promoted) for name, writer in writers.items()}
        over |= {name: getattr(call, "over", time.time()) for name, call in calls.items()}
        self.report(began, promoted, served_at(another, promoted), over)
        self.check(writers, calls, over, max(promoted, served_at(another, promoted)))

    def report(self, began, promoted, served, over):
        lag = ", ".join(f"{name} {1000 * (when - promoted):.0f}" for name, when in over.items() if when > promoted)
        print(
            f"{self._testMethodName}: promoted after {1000 * (promoted - began):.0f} ms, other masters serve "
            f"{1000 * (served - promoted):.0f} ms later; went on so many ms after the promotion: {lag}",
            flush=True,
        )

    def check(self, writers, calls, over, served):
        for name, writer in writers.items():
            self.assertEqual(writer.errors, [], name)
        for name, call in calls.items():
            self.assertEqual(call.process.poll(), 0, f"{name}: {call.process.stdout.read()}")
        for name, when in over.items():
            self.assertLess(when - served, LATE, name)

    def rounds(self, how, mend):
        for _ in range(ROUNDS):
            gone = []
            self.one_round(lambda master, replica: (gone.append(master), how(master, replica)))
            mend(gone[0])
            self.cluster.wait_ok(60)

    def test_a_master_dies(self):
        self.rounds(lambda master, _: master.kill(), lambda master: master.start())

    def test_a_master_falls_silent(self):
        def silence(master, _):
            master.forget()
            master.pause()

        self.rounds(silence, lambda master: master.resume())

    def test_a_manual_failover(self):
        self.rounds(lambda _, replica: replica.call("CLUSTER", "FAILOVER"), lambda _: None)


if __name__ == "__main__":
    HELPER, *numbers = sys.argv[1:2] + [a for a in sys.argv[2:] if a.isdigit()]
    NODE_TIMEOUT_MS = int(numbers[0]) if numbers else NODE_TIMEOUT_MS
    ROUNDS = int(numbers[1]) if len(numbers) > 1 else ROUNDS
    unittest.main(argv=[sys.argv[0], *[a for a in sys.argv[2:] if not a.isdigit()]])
