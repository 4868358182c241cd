#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The consistency checker through reshards, manual failovers and crashes: test_proof.py [RESHARDS FAILOVERS CRASHES]

Two run at once, one of them with WAIT after each write. Where slots move and failovers are manual nothing may be lost;
where a master dies Redis promises nothing of what its replica did not have yet, and the figures are printed. With a
deadline of the node timeout and 3 s callers see no error, but for an INCR whose connection broke under way: that one is
never sent again, so there are as many of them as crashes at most, and no more increments without acknowledgement."""

import os
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import faults
from consistency import Consistency
from shardtest import Cluster, TempDir, clean_env, program, wait_until

NODE_TIMEOUT_MS = 1000
RESHARDS, FAILOVERS, CRASHES = 3, 1, 1
SLOTS = 500


class Proof(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(3, 1, conf=(f"cluster-node-timeout {NODE_TIMEOUT_MS}",))
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.cluster.flush()

    def rcluster(self, *words):
        with TempDir("shard-runtime-") as runtime:
            done = subprocess.run(
                [program("rcluster"), *map(str, words), "--yes"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, timeout=60, env=clean_env(runtime), check=False,
            )  # fmt: skip
        self.assertEqual(done.returncode, 0, done.stdout)

    def through(self, event, times):
        """EVENT, again and again, while the checkers run. Returns them: without and with WAIT."""
        uri = f"redis://{','.join(self.cluster.addrs)}"
        common = ["--timeout", str(NODE_TIMEOUT_MS + 3000)]
        tests = {
            "without WAIT": Consistency(uri, *common, "--prefix", "key_"),
            "--wait 1": Consistency(uri, *common, "--prefix", "waited_", "--wait", "1"),
        }
        for test in tests.values():
            self.addCleanup(test.kill)
            test.wait_line(lambda line: line.writes)
        for i in range(times):
            event(i)
            # Each of them has made many rounds since.
            for test in tests.values():
                seen = len(test.lines)
                wait_until(lambda test=test, seen=seen: len(test.lines) > seen + 1, 30, "a line of consistency_test")
        for name, test in tests.items():
            test.stop()
            print(f"{self._testMethodName} {times} times, {name}: {test.text[-1]}", flush=True)
        return tests.values()

    def check(self, tests, unknown, lossless):
        for test in tests:
            self.assertGreater(test.last.writes, 500)
            self.assertEqual(test.last.read_errors, 0, test.errors)
            self.assertLessEqual(test.last.write_errors, unknown, test.errors)
            # None of another kind: "timed out", "no connection". WAIT alone may fail: it is about one connection.
            errors = [e for e in test.errors if not e.startswith("Waiting for replicas")]
            self.assertEqual([e for e in errors if "outcome unknown" not in e], [])
            self.assertLessEqual(test.last.noack, test.last.write_errors)
            self.assertNotIn("more than were asked for", test.err)
            if lossless:
                self.assertEqual((test.status, test.last.lost), (0, 0), test.err)

    def test_reshard(self):
        def reshard(i):
            masters = sorted(self.cluster.masters(), key=lambda server: server.port)
            source, target = (self.cluster.node_id(masters[j % 3]) for j in (i, i + 1))
            self.rcluster("reshard", self.cluster.servers[0].addr, "--from", source, "--to", target, "--slots", SLOTS)
            self.cluster.wait_ok()

        self.check(self.through(reshard, RESHARDS), 0, lossless=True)

    def test_manual_failover(self):
        def fail_over(i):
            masters = sorted(self.cluster.masters(), key=lambda server: server.port)
            heir = self.cluster.replicas_of(masters[i % 3])[0]
            self.rcluster("failover", self.cluster.servers[0].addr, heir.addr)
            self.assertEqual(heir.call("ROLE")[0], b"master")
            self.cluster.wait_ok()

        self.check(self.through(fail_over, FAILOVERS), FAILOVERS, lossless=True)

    def test_crash(self):
        def crash(i):
            time.sleep(0.2 * (i % 5))  # not always in the same moment of a second
            faults.kill_master(self.cluster, faults.a_master(self.cluster))

        self.check(self.through(crash, CRASHES), CRASHES, lossless=False)


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    if numbers:
        RESHARDS, FAILOVERS, CRASHES = numbers
    unittest.main(argv=[sys.argv[0], *[a for a in sys.argv[1:] if not a.isdigit()]])
