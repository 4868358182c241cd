#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rget, rset and rdel, one key at a time; rkeys, whatever the slots do."""

import os
import pty
import random
import subprocess
import unittest

from toollib import FAILED, NO, OK, ToolCase
from shardtest import program

BINARY = bytes(range(256)) * 3 + b"\r\n\t\\ \0"


class Get(ToolCase):
    def test_prints_the_exact_bytes(self):
        for value in (b"bar", b"", b"line\n", b"\n\n", BINARY, b"x" * 3_000_000):
            self.cluster.call("SET", "k", value)
            self.assertEqual(self.ok("rget", "k"), value)

    def test_adds_a_newline_on_a_terminal_only(self):
        self.cluster.call("SET", "k", "bar")
        master, slave = pty.openpty()
        try:
            self.check(OK, "rget", "k", stdout=slave)
            self.assertEqual(os.read(master, 100), b"bar\r\n")
        finally:
            os.close(master)
            os.close(slave)

    def test_missing_key(self):
        self.assertEqual(self.error(NO, "rget", "nokey"), "rget: nokey: no such key\n")

    def test_wrong_type_names_node_and_slot(self):
        self.cluster.call("RPUSH", "list", "a")
        slot = self.cluster.slot("list")
        err = self.error(FAILED, "rget", "list")
        self.assertIn("rget: list: WRONGTYPE", err)
        self.assertIn(f"({self.cluster.master_of(slot).addr}, slot {slot})", err)

    def test_several_keys_are_records_in_the_order_asked(self):
        for i in range(50):
            self.cluster.call("SET", f"k{i}", f"v{i}")
        keys = [f"k{i * 7 % 50}" for i in range(60)]
        expected = "".join(f"{k}\tv{k[1:]}\n" for k in keys)
        self.assertEqual(self.ok("rget", *keys).decode(), expected)

    def test_missing_keys_are_left_out_and_counted(self):
        self.cluster.call("SET", "a", "1")
        result = self.check(NO, "rget", "a", "b", "a", "c")
        self.assertEqual(result.out, b"a\t1\na\t1\n")
        self.assertEqual(result.err, "rget: 2 of 4 keys are missing\n")

    def test_values_only(self):
        self.cluster.call("SET", "a", "1\t2")
        self.cluster.call("SET", "b", "")
        self.assertEqual(self.ok("rget", "-v", "a", "b"), b"1\\t2\n\n")
        self.assertEqual(self.ok("rget", "--values", "-0", "a", "b"), b"1\t2\0\0")
        self.assertEqual(self.ok("rget", "-v", "-j", "a", "b"), b'{"value":"1\\t2"}\n{"value":""}\n')

    def test_one_key_as_a_record(self):
        self.cluster.call("SET", "a", "1")
        self.assertEqual(self.ok("rget", "-0", "a"), b"a\0001\0")
        self.assertEqual(self.ok("rget", "-j", "a"), b'{"key":"a","value":"1"}\n')
        self.assertEqual(self.ok("rget", "-j", "a", "a"), b'{"key":"a","value":"1"}\n' * 2)

    def test_the_empty_key(self):
        self.cluster.call("SET", "", "nothing")
        self.assertEqual(self.ok("rget", ""), b"nothing")
        self.assertEqual(self.error(NO, "rget", "", "x").count("missing"), 1)

    def test_keys_that_begin_with_a_dash(self):
        self.cluster.call("SET", "-v", "1")
        self.assertEqual(self.ok("rget", "--", "-v"), b"1")

    def test_a_dash_among_keys_is_a_usage_error(self):
        self.error(FAILED, "rget", "a", "-")

    def test_one_error_among_several_keys(self):
        self.cluster.call("SET", "a", "1")
        self.cluster.call("RPUSH", "l", "1")
        result = self.check(FAILED, "rget", "a", "l", "a")
        self.assertEqual(result.out, b"a\t1\na\t1\n")
        self.assertIn("rget: l: WRONGTYPE", result.err)

    def test_keys_are_shown_on_one_line(self):
        err = self.error(NO, "rget", "a\nb\x1b[31m")
        self.assertEqual(err, "rget: a\\x0ab\\x1b[31m: no such key\n")
        self.assertLess(len(self.error(NO, "rget", "k" * 5000)), 500)


class Set(ToolCase):
    def get(self, key):
        return self.cluster.call("GET", key)

    def test_sets_and_says_nothing(self):
        self.assertEqual(self.ok("rset", "k", "v"), b"")
        self.assertEqual(self.get("k"), b"v")
        self.ok("rset", "k", "")
        self.assertEqual(self.get("k"), b"")
        self.ok("rset", "", "v")
        self.assertEqual(self.get(""), b"v")

    def test_arguments_are_raw(self):
        self.ok("rset", "k\\t", "a\\tb\\x41\t\n")
        self.assertEqual(self.get("k\\t"), b"a\\tb\\x41\t\n")
        self.ok("rset", b"\xff\xfe", b"\x80")
        self.assertEqual(self.get(b"\xff\xfe"), b"\x80")
        self.ok("rset", "k", "-")
        self.assertEqual(self.get("k"), b"-")
        self.ok("rset", "--", "k", "-5")
        self.assertEqual(self.get("k"), b"-5")

    def test_takes_standard_input_exactly(self):
        for value in (b"", b"line\n", b"no newline", BINARY, os.urandom(2_000_000)):
            self.ok("rset", "k", input=value)
            self.assertEqual(self.get("k"), value)
            self.assertEqual(self.ok("rget", "k"), value)

    def test_expiry(self):
        self.ok("rset", "k", "v", "--ex", "100")
        self.assertTrue(90_000 < self.cluster.call("PTTL", "k") <= 100_000)
        self.ok("rset", "--px=5000", "k", "v")
        self.assertTrue(3000 < self.cluster.call("PTTL", "k") <= 5000)
        self.ok("rset", "--keepttl", "k", "w")
        self.assertTrue(0 < self.cluster.call("PTTL", "k") <= 5000)
        self.assertEqual(self.get("k"), b"w")
        self.ok("rset", "k", "v")
        self.assertEqual(self.cluster.call("PTTL", "k"), -1)

    def test_nx_and_xx(self):
        self.assertEqual(self.error(NO, "rset", "--xx", "k", "v"), "rset: k: no such key (--xx)\n")
        self.ok("rset", "--nx", "k", "v")
        self.assertEqual(self.error(NO, "rset", "--nx", "k", "w"), "rset: k: exists already (--nx)\n")
        self.assertEqual(self.get("k"), b"v")
        self.ok("rset", "--xx", "k", "x")
        self.assertEqual(self.get("k"), b"x")
        self.ok("rset", "--nx", "--ex", "50", "other", "v")
        self.assertTrue(0 < self.cluster.call("TTL", "other") <= 50)

    def test_usage_errors(self):
        for args in (
            [],
            ["a", "b", "c"],
            ["-", "v"],
            ["--nx", "--xx", "k", "v"],
            ["--ex", "1", "--px", "1", "k", "v"],
            ["--ex", "1", "--keepttl", "k", "v"],
            ["--ex", "0", "k", "v"],
            ["--ex", "-1", "k", "v"],
            ["--ex", "1.5", "k", "v"],
            ["--ex", "", "k", "v"],
            ["--px", "99999999999999999999", "k", "v"],
            ["-0", "k", "v"],
            ["-j", "k"],
            ["-0", "-j", "-"],
        ):
            self.error(FAILED, "rset", *args)
        self.assertIsNone(self.get("k"))

    def test_closed_standard_input(self):
        script = f'exec "{program("rset")}" k <&-'
        result = subprocess.run(["sh", "-c", script], env=self.env(), capture_output=True, timeout=60)
        self.assertEqual(result.returncode, FAILED)
        self.assertEqual(result.stderr, b"rset: standard input: Bad file descriptor\n")
        self.assertIsNone(self.get("k"))

    def test_a_directory_as_standard_input(self):
        fd = os.open("/tmp", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        err = self.error(FAILED, "rset", "k", stdin=fd)
        self.assertIn("Is a directory", err)

    def test_too_long_a_value(self):
        # Half a gigabyte and a byte, from a file that takes no room.
        path = os.path.join(self.runtime.path, "long")
        with open(path, "wb") as file:
            file.truncate(512 * 1024 * 1024 + 1)
        with open(path, "rb") as file:
            self.assertIn("longer than a value may be", self.error(FAILED, "rset", "k", stdin=file))

    def test_a_value_of_100_megabytes(self):
        value = os.urandom(1 << 20) * 100
        self.ok("rset", "--timeout", "60000", "big", input=value)
        self.assertTrue(self.ok("rget", "--timeout", "60000", "big") == value)


class Del(ToolCase):
    def test_prints_how_many_were_there(self):
        for key in "abc":
            self.cluster.call("SET", key, "1")
        self.assertEqual(self.ok("rdel", "a"), b"1\n")
        self.assertEqual(self.ok("rdel", "a", "b", "c", "d"), b"2\n")
        result = self.check(NO, "rdel", "a", "b")
        self.assertEqual((result.out, result.err), (b"0\n", ""))

    def test_the_same_key_twice_counts_once(self):
        self.cluster.call("SET", "a", "1")
        self.assertEqual(self.ok("rdel", "a", "a"), b"1\n")

    def test_keys_of_any_type_and_the_empty_key(self):
        self.cluster.call("SADD", "s", "1")
        self.cluster.call("SET", "", "1")
        self.assertEqual(self.ok("rdel", "s", ""), b"2\n")

    def test_usage(self):
        self.error(FAILED, "rdel")
        self.error(FAILED, "rdel", "-", "a")


class Keys(ToolCase):
    """rkeys, where slots are large, are moved, or the pattern is odd."""

    def fill(self, keys):
        self.ok("rset", "-", "-0", input=b"".join(key + b"\0v\0" for key in keys))

    def each_once(self, keys, *args):
        self.assertEqual(sorted(self.ok("rkeys", *args).split()), sorted(keys))

    def test_patterns_match_what_the_server_matches(self):
        rng = random.Random(seed := random.randrange(1 << 32))
        keys = {bytes(rng.choices(b"ab*[]^-?\\{}", k=rng.randrange(1, 6))) for _ in range(300)}
        self.fill(keys)
        for _ in range(60):
            pattern = bytes(rng.choices(b"ab*[]^-?\\{}", k=rng.randrange(1, 7)))
            wanted = [key for server in self.cluster.masters() for key in server.call("KEYS", pattern)]
            shown = self.ok("rkeys", "-0", "--", pattern).split(b"\0")[:-1]
            self.assertEqual(sorted(shown), sorted(wanted), f"seed {seed}, {pattern!r}")

    def test_a_large_slot(self):
        keys = [b"{big}%d" % i for i in range(20000)] + [b"key:%d" % i for i in range(2000)]
        self.fill(keys)
        self.each_once(keys)
        self.each_once([key for key in keys if key.endswith(b"77")], "*77")

    def test_keys_of_a_slot_that_is_being_moved(self):
        keys = [b"{moving}%d" % i for i in range(200)] + [b"key:%d" % i for i in range(2000)]
        self.fill(keys)
        number = self.cluster.slot("{moving}")
        source = self.cluster.master_of(number)
        target = next(s for s in self.cluster.masters() if s is not source)
        self.cluster.open_slot(number, target)
        names = source.call("CLUSTER", "GETKEYSINSLOT", number, 100)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
        try:
            self.each_once(keys)
            self.each_once(keys[:200], "{moving}*")
        finally:
            while names := source.call("CLUSTER", "GETKEYSINSLOT", number, 100):
                source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)
            self.cluster.close_slot(number, target)
            self.cluster.wait_ok()
        self.each_once(keys)

    def test_no_slot_is_asked_that_the_pattern_rules_out(self):
        def asked():
            stats = [s.info("commandstats").get("cmdstat_cluster|getkeysinslot", "calls=0,") for s in self.cluster.masters()]
            return sum(int(line.split("=")[1].split(",")[0]) for line in stats)

        self.fill([b"{a}1", b"{a}2", b"b"])
        before = asked()
        self.each_once([b"{a}1", b"{a}2"], "{a}*")
        self.assertLessEqual(asked() - before, 1)


if __name__ == "__main__":
    unittest.main()
