#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""examples/consistency_test and examples/writer on a cluster where nothing fails but what the test breaks by hand."""

import os
import re
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from consistency import Consistency, LINE
from shardtest import Cluster, Server, TempDir, clean_env, program, wait_until

PATIENCE = 60


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=1)
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.cluster.flush()

    def run_example(self, name, *args):
        with TempDir() as runtime:
            return subprocess.run(
                [program(name), *args], capture_output=True, text=True, timeout=PATIENCE, env=clean_env(runtime), check=False
            )

    def start(self, *args, uri=None):
        test = Consistency(uri or self.cluster.uri, *args)
        self.addCleanup(test.kill)
        return test


class Checker(Case):
    def count(self, keys, prefix="key_"):
        return [int(self.cluster.call("GET", f"{prefix}{i}") or 0) for i in range(keys)]

    def test_a_line_a_second_in_the_tutorials_format(self):
        run = self.run_example("consistency_test", "-u", self.cluster.uri, "--seconds", "2", "--keys", "20")
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        lines = run.stdout.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertRegex(line, r"^\d+ R \(0 err\) \| \d+ W \(0 err\) \|$")
        reads, _, writes, _ = map(int, LINE.match(lines[-1]).groups()[:4])
        self.assertEqual(sum(self.count(20)), writes)
        self.assertIn(reads - writes, (0, 1))

    def test_a_counter_set_to_0_is_lost_by_its_old_value(self):
        test = self.start("--keys", "5")
        wait_until(lambda: int(self.cluster.call("GET", "key_3") or 0) > 100, what="key_3 is counted")
        was = int(self.cluster.call("SET", "key_3", "0", "GET"))
        test.wait_line(lambda line: line.lost)
        test.stop()
        self.assertEqual((test.status, test.last.lost, test.last.noack), (1, was, 0))
        self.assertEqual(test.err, f"consistency_test: {was} acknowledged increments were lost\n")

    def test_a_counter_that_is_gone_is_lost_too(self):
        test = self.start("--keys", "2", "--working-set", "2")
        wait_until(lambda: int(self.cluster.call("GET", "key_1") or 0) > 10, what="key_1 is counted")
        was = int(self.cluster.call("GETDEL", "key_1"))
        test.wait_line(lambda line: line.lost)
        test.stop()
        self.assertEqual((test.status, test.last.lost), (1, was))

    def test_what_is_counted_twice_is_found(self):
        test = self.start("--keys", "3")
        test.wait_line(lambda line: line.writes)
        self.cluster.call("INCRBY", "key_0", 7)
        test.wait_line(lambda line: line.noack)
        test.stop()
        self.assertEqual((test.status, test.last.lost, test.last.noack), (1, 0, 7))
        self.assertEqual(test.err, "consistency_test: 7 increments more than were asked for\n")

    def test_what_was_there_before_is_no_loss(self):
        for i in range(3):
            self.cluster.call("SET", f"key_{i}", 1000 * i)
        test = self.start("--keys", "3")
        test.wait_line(lambda line: line.writes)
        test.stop()
        self.assertEqual((test.status, test.err), (0, ""))
        self.assertEqual(sum(self.count(3)), 3000 + test.last.writes)

    def test_two_at_once_with_prefixes_of_their_own(self):
        tests = [self.start("--keys", "10", "--prefix", f"{name}:") for name in "ab"]
        for test in tests:
            test.wait_line(lambda line: line.writes)
        for test, name in zip(tests, "ab"):
            test.stop(signal.SIGINT)
            self.assertEqual((test.status, test.err), (0, ""))
            self.assertEqual(sum(self.count(10, f"{name}:")), test.last.writes)

    def test_half_of_the_time_it_is_one_of_the_working_set(self):
        test = self.start("--keys", "1000", "--working-set", "10")
        test.wait_line(lambda line: line.writes > 2000)
        test.stop()
        counts = self.count(1000)
        # Half of all and a hundredth of the other half; by chance it is farther away than that once in 10^12.
        self.assertAlmostEqual(sum(counts[:10]) / sum(counts), 0.505, delta=0.08)
        self.assertGreater(sum(1 for count in counts[10:] if count), 500)

    def test_writes_that_wait_for_replicas(self):
        for server in self.cluster.servers:
            server.call("CONFIG", "RESETSTAT")
        test = self.start("--wait", "1")
        test.wait_line(lambda line: line.writes)
        test.stop()
        self.assertEqual((test.status, test.last.unreplicated), (0, 0))
        heard = sum(int(s.info("commandstats")["cmdstat_wait"][6:].split(",")[0]) for s in self.cluster.masters())
        self.assertEqual(heard, test.last.writes)

    def test_writes_that_too_few_replicas_have_are_told(self):
        run = self.run_example("consistency_test", "-u", self.cluster.uri, "--seconds", "1", "--wait", "2")
        self.assertEqual(run.returncode, 0)
        line = LINE.match(run.stdout.splitlines()[-1])
        self.assertEqual(line["unreplicated"], line["writes"])

    def test_a_single_server(self):
        with Server() as server:
            test = self.start("--keys", "3", uri=server.uri)
            test.wait_line(lambda line: line.writes)
            test.stop()
            self.assertEqual((test.status, test.err), (0, ""))
            self.assertEqual(sum(int(server.call("GET", f"key_{i}")) for i in range(3)), test.last.writes)

    def test_what_is_no_number_is_an_error_of_the_write(self):
        self.cluster.call("SET", "key_0", "word")
        test = self.start("--keys", "1")
        test.wait_line(lambda line: line.write_errors)
        test.stop()
        self.assertEqual((test.status, test.last.writes, test.last.lost), (0, 0, 0))
        self.assertIn("Writing key_0: ERR value is not an integer", "\n".join(test.errors))

    def test_nobody_reads_any_more(self):
        test = self.start("--keys", "1")
        test.wait_line(lambda line: line.writes)
        test.process.stdout.close()
        test.process.wait(PATIENCE)

    def test_servers_that_are_not_there(self):
        run = self.run_example("consistency_test", "-u", "redis://127.0.0.1:1", "--seconds", "1", "--timeout", "200")
        self.assertEqual(run.returncode, 2)
        self.assertRegex(run.stdout, r"Reading key_\d+: no connection: 127.0.0.1:1: Connection refused")
        self.assertRegex(run.stdout.splitlines()[-1], r"^0 R \(\d+ err\) \| 0 W \(\d+ err\) \|$")

    def test_bad_options(self):
        for args, what in (
            (("--keys", "0"), "--keys"),
            (("--keys", "x"), "--keys"),
            (("--seconds", "-1"), "--seconds"),
            (("--wait", "many"), "--wait"),
            (("--keys", "5", "--working-set", "6"), "--working-set 6 is more than --keys 5"),
            (("--prefix", "x" * 257), "--prefix"),
            (("word",), "word: it takes options only"),
            (("--nosuch",), "--nosuch"),
        ):
            run = self.run_example("consistency_test", "-u", self.cluster.uri, *args)
            self.assertEqual((run.returncode, run.stdout), (2, ""), args)
            self.assertEqual(run.stderr.count("\n"), 1, run.stderr)
            self.assertTrue(run.stderr.startswith("consistency_test: "), run.stderr)
            self.assertIn(what, run.stderr)


class Writer(Case):
    def test_it_goes_on_where_it_ended(self):
        for first in (1, 6):
            run = self.run_example("writer", "-u", self.cluster.uri, "5", "0")
            self.assertEqual((run.returncode, run.stderr), (0, ""))
            self.assertEqual(run.stdout.split(), [str(first + i) for i in range(5)])
        self.assertEqual(self.cluster.call("GET", "__last__"), b"10")
        self.assertEqual([self.cluster.call("GET", f"foo{i}") for i in range(1, 11)], [b"%d" % i for i in range(1, 11)])

    def test_bad_words(self):
        for words in (["x"], ["-1"], ["1", "soon"], ["1", "2", "3"], ["1", "99999999"]):
            run = self.run_example("writer", "-u", self.cluster.uri, *words)
            self.assertEqual((run.returncode, run.stdout, run.stderr.count("\n")), (2, "", 1), run)
            self.assertTrue(run.stderr.startswith("writer: "), run.stderr)

    def test_an_error_is_told_and_the_next_key_written(self):
        slot = self.cluster.slot("foo2")
        owner = self.cluster.master_of(slot)
        # A server that has no memory to give refuses writes alone.
        self.cluster.call("SET", "__last__", "0")
        owner.call("CONFIG", "SET", "maxmemory", "1")
        try:
            run = self.run_example("writer", "-u", self.cluster.uri, "4", "0")
        finally:
            owner.call("CONFIG", "SET", "maxmemory", "0")
        refused = [i for i in range(1, 5) if self.cluster.master_of(f"foo{i}") is owner]
        lines = run.stdout.splitlines()
        self.assertEqual([line for line in lines if line.isdigit()], [str(i) for i in range(1, 5) if i not in refused])
        errors = [line for line in lines if f"slot {slot})" in line]
        self.assertEqual(len(errors), 1, lines)
        self.assertRegex(errors[0], rf"^error OOM .*\({re.escape(owner.addr)}, slot {slot}\)$")


if __name__ == "__main__":
    unittest.main()
