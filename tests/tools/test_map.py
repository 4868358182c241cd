#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rkeys and rslots: what is where."""

import json
import os
import threading
import unittest

from toollib import FAILED, ToolCase
from shardtest import SLOTS, Cluster, Server, slot


class Keys(ToolCase):
    def fill(self, count):
        self.ok("rset", "-", input=b"".join(b"key:%d\tv\n" % i for i in range(count)))

    def test_every_key_of_every_node_once(self):
        self.fill(20000)
        self.assertEqual(sorted(self.ok("rkeys").split()), sorted(b"key:%d" % i for i in range(20000)))

    def test_an_empty_cluster(self):
        self.assertEqual(self.ok("rkeys"), b"")
        self.assertEqual(self.ok("rkeys", "-l", "-j"), b"")

    def test_patterns_are_globs(self):
        for key in ("a", "ab", "abc", "b", "[x]", "a*"):
            self.cluster.call("SET", key, "1")
        for pattern, keys in (
            ("a*", "a ab abc a*"),
            ("?", "a b"),
            ("a\\*", "a*"),
            ("[ab]", "a b"),
            ("[^a]", "b"),
            ("\\[x\\]", "[x]"),
            ("nothing", ""),
            ("*", "a ab abc b [x] a*"),
        ):
            self.assertEqual(sorted(self.ok("rkeys", pattern).decode().split()), sorted(keys.split()), pattern)

    def test_awkward_keys_are_escaped(self):
        keys = [b"", b"\t", b"\n", b"\\", b"\xff", b"\0", "é".encode()]
        for key in keys:
            self.cluster.call("SET", key, "1")
        shown = [b"", b"\\t", b"\\n", b"\\\\", b"\\xff", b"\\0", "é".encode()]
        self.assertEqual(sorted(self.ok("rkeys").splitlines()), sorted(shown))
        listed = [json.loads(line)["key"] for line in self.ok("rkeys", "-j").splitlines()]
        self.assertIn({"base64": "/w=="}, listed)
        self.assertIn("é", listed)
        self.assertEqual(self.ok("rdel", "-", input=self.ok("rkeys")), b"%d\n" % len(keys))

    def test_long_form(self):
        self.cluster.call("SET", "string", "12345")
        self.cluster.call("SET", "mortal", "123", "PX", "100000")
        self.cluster.call("SET", "empty", "")
        self.cluster.call("RPUSH", "list", *range(100))
        self.cluster.call("HSET", "hash", "f", "v")
        self.cluster.call("XADD", "stream", "*", "f", "v")
        rows = {line.split("\t")[0]: line.split("\t")[1:] for line in self.ok("rkeys", "-l").decode().splitlines()}
        self.assertEqual(set(rows), {"string", "mortal", "empty", "list", "hash", "stream"})
        for key, (kind, pttl, size, number, addr) in rows.items():
            self.assertEqual(kind, self.cluster.call("TYPE", key).decode())
            self.assertEqual(int(number), slot(key))
            self.assertEqual(addr, self.cluster.master_of(key).addr)
            if key == "mortal":
                self.assertTrue(0 < int(pttl) <= 100000)
            else:
                self.assertEqual(pttl, "-1")
            if kind == "string":
                self.assertEqual(int(size), self.cluster.call("STRLEN", key))
            else:
                self.assertEqual(int(size), self.cluster.call("MEMORY", "USAGE", key, key=key))

    def test_long_form_in_other_formats(self):
        self.cluster.call("SET", "k", "v")
        addr = self.cluster.master_of("k").addr
        expected = {"key": "k", "type": "string", "pttl": -1, "bytes": 1, "slot": slot("k"), "node": addr}
        self.assertEqual(json.loads(self.ok("rkeys", "-lj")), expected)
        fields = self.ok("rkeys", "--long", "--null").decode().split("\0")
        self.assertEqual(fields, ["k", "string", "-1", "1", str(slot("k")), addr, ""])

    def test_long_form_of_many_keys(self):
        self.fill(5000)
        lines = self.ok("rkeys", "-l").splitlines()
        self.assertEqual(len(lines), 5000)
        self.assertEqual({line.split(b"\t")[0] for line in lines}, {b"key:%d" % i for i in range(5000)})

    def test_keys_that_go_away_meanwhile_do_no_harm(self):
        self.fill(20000)
        self.cluster.call("SET", "stays", "1")
        keys = b"".join(b"key:%d\n" % i for i in range(20000))
        thread = threading.Thread(target=self.run_tool, args=("rdel", "-"), kwargs={"input": keys})
        thread.start()
        out = self.ok("rkeys", "-l")
        thread.join()
        self.assertIn(b"stays\tstring\t-1\t1\t", out)
        self.assertNotIn(b"\tnone\t", out)

    def test_a_pattern_and_a_format(self):
        self.cluster.call("SET", "a", "1")
        self.cluster.call("SET", "b", "1")
        self.assertEqual(self.ok("rkeys", "-0", "a"), b"a\0")


class Slots(ToolCase):
    def rows(self, *args):
        return [line.split("\t") for line in self.ok("rslots", *args).decode().splitlines()]

    def test_ranges_are_sorted_and_complete(self):
        rows = self.rows()
        self.assertEqual(len(rows), 3)
        expected = 0
        for first, last, addr, node, replicas in rows:
            self.assertEqual(int(first), expected)
            expected = int(last) + 1
            server = self.cluster.master_of(int(first))
            self.assertEqual(addr, server.addr)
            self.assertEqual(node, self.cluster.node_id(server))
            self.assertEqual(replicas.split(","), [s.addr for s in self.cluster.replicas_of(server)])
        self.assertEqual(expected, SLOTS)

    def test_json(self):
        lines = [json.loads(line) for line in self.ok("rslots", "-j").splitlines()]
        self.assertEqual([[o["first"], o["last"], o["node"], o["id"], o["replicas"]] for o in lines],
                         [[int(a), int(b), c, d, e.split(",")] for a, b, c, d, e in self.rows()])

    def test_nul(self):
        fields = self.ok("rslots", "-0").decode().split("\0")
        self.assertEqual(fields[:-1], [field for row in self.rows() for field in row])

    def test_keys(self):
        keys = ["foo", "", "{a}b", "a{}b", "{{x}}", "\t", "bar" * 100]
        rows = self.rows(*keys)
        self.assertEqual([row[0] for row in rows], ["\\t" if k == "\t" else k for k in keys])
        for key, (_, number, addr) in zip(keys, rows):
            server = self.cluster.master_of(key)
            self.assertEqual((int(number), addr), (server.call("CLUSTER", "KEYSLOT", key), server.addr))

    def test_keys_from_standard_input(self):
        keys = [b"k%d" % i for i in range(50000)]
        lines = self.ok("rslots", "-", input=b"\n".join(keys)).splitlines()
        self.assertEqual([line.split(b"\t")[0] for line in lines], keys)
        self.assertEqual([int(line.split(b"\t")[1]) for line in lines[:500]], [slot(k) for k in keys[:500]])
        out = self.ok("rslots", "-0", "-", input=b"foo\0a\nb\0")
        self.assertEqual(out.split(b"\0")[0::3], [b"foo", b"a\nb", b""])
        self.assertEqual(json.loads(self.ok("rslots", "-j", "-", input=b'{"key":"foo"}\n'))["slot"], slot("foo"))

    def test_bad_records(self):
        result = self.check(FAILED, "rslots", "-", input=b"a\nb\\q\nc\n")
        self.assertEqual([line.split(b"\t")[0] for line in result.out.splitlines()], [b"a", b"c"])
        self.assertIn("rslots: line 2: ", result.err)

    def test_the_map_of_now_not_the_cached_one(self):
        self.rows()
        number = slot("moves")
        source = self.cluster.master_of(number)
        target = next(s for s in self.cluster.masters() if s is not source)
        self.cluster.move_slot(number, target)
        try:
            self.cluster.wait_ok()
            self.assertEqual(self.rows("moves")[0][2], target.addr)
            self.assertEqual(len(self.rows()), 5)
        finally:
            self.cluster.move_slot(number, source)
            self.cluster.wait_ok()


class Holes(ToolCase):
    needs_cluster = False

    def test_ranges_that_nobody_covers(self):
        holes = [*range(0, 10), 5461, *range(16000, 16384)]
        with Cluster(3, 0, unassigned=holes, conf=["cluster-require-full-coverage no"]) as cluster:
            self.more_env["SHARD_URI"] = cluster.uri
            rows = [line.split("\t") for line in self.ok("rslots").decode().splitlines()]
            gaps = [(int(r[0]), int(r[1])) for r in rows if r[2:] == ["-", "-", "-"]]
            self.assertEqual(gaps, [(0, 9), (5461, 5461), (16000, 16383)])
            covered = [r for r in rows if r[2] != "-"]
            self.assertEqual([(r[0], r[1], r[4]) for r in covered],
                             [("10", "5460", ""), ("5462", "10921", ""), ("10922", "15999", "")])
            lines = [json.loads(line) for line in self.ok("rslots", "-j").splitlines()]
            self.assertEqual(lines[0], {"first": 0, "last": 9, "node": None, "id": None, "replicas": None})
            key = next(f"k{i}" for i in range(100000) if slot(f"k{i}") >= 16000)
            self.assertEqual(self.ok("rslots", key).decode(), f"{key}\t{slot(key)}\t-\n")
            # What is covered works, what is not says so.
            covered_key = next(f"k{i}" for i in range(100000) if 100 < slot(f"k{i}") < 16000)
            self.ok("rset", covered_key, "v")
            err = self.error(FAILED, "rget", "--timeout", "700", key)
            self.assertIn(f"slot {slot(key)}", err)


if __name__ == "__main__":
    unittest.main()
