#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rcmd: any command, as redis-cli --raw prints it."""

import os
import random
import shutil
import subprocess
import threading
import time
import unittest

from toollib import FAILED, OK, ToolCase
from shardtest import Server, program, slot

# One after the other on a server of each, these must print the same. No output depends on time or memory.
SAME = [
    ["PING"],
    ["PING", "hello"],
    ["ECHO", ""],
    ["ECHO", "two words\n"],
    ["SET", "k", "v"],
    ["GET", "k"],
    ["GET", "none"],
    ["SET", "k", "w", "NX"],
    ["APPEND", "k", "\n\n"],
    ["GET", "k"],
    ["STRLEN", "k"],
    ["INCR", "n"],
    ["DECRBY", "n", "5"],
    ["INCRBYFLOAT", "f", "1.5"],
    ["MSET", "a", "1", "b", "2"],
    ["MGET", "a", "none", "b"],
    ["DEL", "a", "none"],
    ["RPUSH", "l", "1", "", "3"],
    ["LRANGE", "l", "0", "-1"],
    ["LRANGE", "none", "0", "-1"],
    ["LPOP", "none", "2"],
    ["HSET", "h", "f1", "v1", "f2", "v2"],
    ["HGETALL", "h"],
    ["HMGET", "h", "f1", "x", "f2"],
    ["ZADD", "z", "1", "a", "2.5", "b"],
    ["ZRANGE", "z", "0", "-1", "WITHSCORES"],
    ["SADD", "s", "x"],
    ["SMEMBERS", "s"],
    ["XADD", "x", "1-1", "f", "v", "g", "w"],
    ["XADD", "x", "2-1", "f", "v2"],
    ["XRANGE", "x", "-", "+"],
    ["XREAD", "COUNT", "5", "STREAMS", "x", "0"],
    ["GEOADD", "geo", "13.361389", "38.115556", "Palermo"],
    ["GEOPOS", "geo", "Palermo", "none"],
    ["EVAL", "return {1,{2,{3,{}}},false,'x'}", "0"],
    ["EVAL", "return {}", "0"],
    ["EVAL", "return {{},{},1}", "0"],
    ["EVAL", "return {false,false}", "0"],
    ["EVAL", "return redis.call('GET',KEYS[1])", "1", "k"],
    ["EVAL", "return {ok='fine'}", "0"],
    ["EVAL", "return 3.99", "0"],
    ["TYPE", "z"],
    ["EXISTS", "k", "k", "none"],
    ["OBJECT", "ENCODING", "n"],
    ["SORT", "l", "ALPHA"],
    ["SCAN", "0", "COUNT", "1000", "MATCH", "z"],
    ["DBSIZE"],
    ["KEYS", "z"],
    ["COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2"],
    ["COMMAND", "COUNT"],
    ["CONFIG", "GET", "maxmemory-policy"],
    ["CONFIG", "SET", "maxmemory-samples", "6"],
    ["TTL", "none"],
    ["PUBLISH", "c", "m"],
    ["WAIT", "0", "10"],
    ["BLPOP", "l", "1"],
    ["BLPOP", "none", "0.05"],
    ["SET", "bin", "\udcff\udc80x"],
    ["GET", "bin"],
    ["FLUSHALL"],
    ["RANDOMKEY"],
    ["DBSIZE"],
]

LINES = rb"""SET a "x y"
get a
GET "a"
SET a "\x41\n\t\r\b\a\\\"\q"
GET a
SET a 'it\'s \n "raw"'
GET a
SET "" ''
GET ""

   
  RPUSH   l   1  2 "3 4"
LRANGE l 0 -1
foo"bar
GET 'x
GET "a"b
GET a'b'
SET pre"fix" 1
GET prefix
SET \x41 v
GET "\\x41"
SET x "\x4"
GET x
SET x "\xZZ"
GET x
MULTI
INCR n
INCR n
GET a
EXEC
MULTI
SET d 1
DISCARD
GET d
MULTI
EXEC
EVAL "return {1,{2,'x'},{}}" 0
"""


class Differential(ToolCase):
    """Against redis-cli --raw: each has a server of its own."""

    needs_cluster = False

    def setUp(self):
        super().setUp()
        self.cli = shutil.which("redis-cli") or shutil.which("valkey-cli")
        if not self.cli:
            self.skipTest("needs redis-cli")
        self.ours, self.theirs = Server(), Server()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.more_env["SHARD_URI"] = self.ours.uri

    def redis_cli(self, *args, **how):
        command = [self.cli, "-p", str(self.theirs.port), "--raw", *args]
        return subprocess.run(command, capture_output=True, timeout=60, check=False, **how).stdout

    def test_replies(self):
        for words in SAME:
            words = [os.fsencode(w) for w in words]
            self.assertEqual(self.ok("rcmd", *words), self.redis_cli(*words), words)

    def test_errors_go_to_stderr(self):
        for words in (["SET", "k"], ["NONSENSE"], ["NONSENSE", "k"], ["EVAL", "return redis.error_reply('X no')", "0"]):
            result = self.check(FAILED, "rcmd", *words)
            self.assertEqual(result.out, b"")
            text = self.redis_cli(*words).decode().strip()
            self.assertTrue(result.err.startswith(f"rcmd: {words[0]}: {text[:20]}"), result.err)

    def test_errors_inside_an_array_stand_where_they_are_and_are_reported(self):
        self.ours.call("SET", "s", "x")
        self.theirs.call("SET", "s", "x")
        lines = b"MULTI\nINCR s\nGET s\nEXEC\n"
        result = self.check(FAILED, "rcmd", "-", input=lines)
        self.assertEqual(result.out, self.redis_cli(input=lines))
        self.assertIn("rcmd: line 4: EXEC: ERR value is not an integer", result.err)

    def test_lines(self):
        ours = self.check(FAILED, "rcmd", "-", input=LINES)
        theirs = self.redis_cli(input=LINES)
        bad = [b"Invalid argument(s)"]
        self.assertEqual(ours.out.split(b"\n"), [line for line in theirs.split(b"\n") if line not in bad])
        self.assertEqual(len(ours.err.splitlines()), theirs.count(bad[0]))
        for number, line in enumerate(LINES.split(b"\n"), 1):
            if line in (b'foo"bar', b"GET 'x", b'GET "a"b'):
                self.assertIn(f"rcmd: line {number}: ", ours.err)

    def test_random_quoting(self):
        rng = random.Random(7)
        pieces = [b'"', b"'", b"\\", b"x4", b"n", b" ", b"a", b"\t", b"1", b"\\x41", b"\\n", b"\xc3\xa9"]
        for _ in range(60):
            line = b"ECHO " + b"".join(rng.choice(pieces) for _ in range(rng.randrange(1, 9))) + b"\n"
            ours = self.run_tool("rcmd", "-", input=line)
            theirs = self.redis_cli(input=line)
            if theirs == b"Invalid argument(s)\n":
                self.assertEqual((ours.status, ours.out), (FAILED, b""), line)
            elif ours.status == OK:
                self.assertEqual(ours.out, theirs, line)
            else:
                self.assertIn("ERR wrong number", ours.err, line)
                self.assertIn(b"ERR wrong number", theirs, line)


class Cluster(ToolCase):
    def masters(self):
        return sorted(s.addr for s in self.cluster.masters())

    def by_node(self, out):
        """{addr: lines} of a reply with headers."""
        parts, lines = {}, None
        for line in out.decode().splitlines():
            if line.startswith("# ") and line[2:] in self.cluster.addrs:
                lines = parts.setdefault(line[2:], [])
            else:
                lines.append(line)
        return parts

    def test_routed_by_keys(self):
        for i in range(30):
            self.assertEqual(self.ok("rcmd", "SET", f"k{i}", str(i)), b"OK\n")
        for i in range(30):
            self.assertEqual(self.cluster.call("GET", f"k{i}"), b"%d" % i)
        self.assertEqual(self.ok("rcmd", "EVAL", "return redis.call('get',KEYS[1])", "1", "k7"), b"7\n")
        self.assertEqual(self.ok("rcmd", "MEMORY", "USAGE", "k7").strip().isdigit(), True)

    def test_keys_of_several_slots(self):
        self.assertEqual(self.ok("rcmd", "MSET", *(w for i in range(30) for w in (f"k{i}", str(i)))), b"OK\n")
        out = self.ok("rcmd", "MGET", *(f"k{i}" for i in range(31)))
        self.assertEqual(out, b"".join(b"%d\n" % i for i in range(30)) + b"\n")
        self.assertEqual(self.ok("rcmd", "DEL", *(f"k{i}" for i in range(31))), b"30\n")
        self.assertIn("slot", self.error(FAILED, "rcmd", "SINTER", "a", "b"))
        self.assertIn("slot", self.error(FAILED, "rcmd", "MSETNX", "a", "1", "b", "2"))

    def test_commands_with_a_policy_are_put_together(self):
        for i in range(100):
            self.cluster.call("SET", f"k{i}", "v")
        self.assertEqual(self.ok("rcmd", "DBSIZE"), b"100\n")
        self.assertEqual(sorted(self.ok("rcmd", "KEYS", "*").split()), sorted(b"k%d" % i for i in range(100)))
        self.assertEqual(self.ok("rcmd", "PING"), b"PONG\n")
        sha = self.ok("rcmd", "SCRIPT", "LOAD", "return 1").decode().strip()
        self.assertEqual(self.ok("rcmd", "SCRIPT", "EXISTS", sha), b"1\n")
        for server in self.cluster.masters():
            self.assertEqual(server.call("SCRIPT", "EXISTS", sha), [1])
        self.assertEqual(self.ok("rcmd", "FLUSHALL"), b"OK\n")
        self.assertEqual(self.ok("rcmd", "DBSIZE"), b"0\n")

    def test_keyless_commands_without_a_policy_go_to_every_master(self):
        for words, check in (
            (["ECHO", "x"], lambda lines: lines == ["x"]),
            (["CONFIG", "GET", "maxmemory-policy"], lambda lines: lines == ["maxmemory-policy", "noeviction"]),
            (["CLUSTER", "MYID"], lambda lines: len(lines[0]) == 40),
            (["TIME"], lambda lines: len(lines) == 2),
            (["EVAL", "return 5", "0"], lambda lines: lines == ["5"]),
            (["SCAN", "0"], lambda lines: lines[0] == "0"),
        ):
            parts = self.by_node(self.ok("rcmd", *words))
            self.assertEqual(sorted(parts), self.masters(), words)
            for lines in parts.values():
                self.assertTrue(check(lines), (words, lines))

    def test_replies_that_no_rule_joins_stand_for_themselves(self):
        parts = self.by_node(self.ok("rcmd", "INFO", "replication"))
        self.assertEqual(sorted(parts), self.masters())
        for lines in parts.values():
            self.assertIn("role:master", lines)

    def test_a_message_is_published_once(self):
        with self.cluster.servers[1].connect() as conn:
            conn.call("SUBSCRIBE", "channel")
            self.ok("rcmd", "PUBLISH", "channel", "once")
            self.assertEqual(conn.read(), [b"message", b"channel", b"once"])
            conn.sock.settimeout(0.5)
            self.assertRaises(OSError, conn.read)

    def test_redirects_are_followed(self):
        self.ok("rcmd", "SET", "moves", "1")
        number = slot("moves")
        source = self.cluster.master_of(number)
        target = next(s for s in self.cluster.masters() if s is not source)
        self.cluster.open_slot(number, target)
        try:
            self.assertEqual(self.ok("rcmd", "SET", "{moves}new", "2"), b"OK\n")  # ASK
            self.assertEqual(self.ok("rcmd", "-", input=b"GET {moves}new\nGET moves\n"), b"2\n1\n")
        finally:
            self.cluster.move_slot(number, target)
        self.assertEqual(self.ok("rcmd", "GET", "moves"), b"1\n")  # MOVED
        self.cluster.move_slot(number, source)
        self.cluster.wait_ok()

    def test_errors_name_node_and_slot(self):
        self.cluster.call("RPUSH", "l", "1")
        err = self.error(FAILED, "rcmd", "INCR", "l")
        self.assertEqual(err, f"rcmd: INCR: WRONGTYPE Operation against a key holding the wrong kind of value "
                              f"({self.cluster.master_of('l').addr}, slot {slot('l')})\n")

    def test_unknown_commands(self):
        for words in (["NONSENSE"], ["NONSENSE", "k"], ["GET"], ["SET", "k"], ["CLUSTER", "NONSENSE"]):
            result = self.check(FAILED, "rcmd", *words)
            self.assertIn("ERR", result.err)
            self.assertEqual(result.out, b"")

    def test_errors_show_the_name_of_a_command_whatever_it_is(self):
        for word, line, name in (("", b'""', '""'), ("\1x", b'"\\x01x"', "\\x01x"), ("x" * 500, b"x" * 500, "xxx")):
            err = self.error(FAILED, "rcmd", word)
            self.assertTrue(err.startswith(f"rcmd: {name}"), err)
            err = self.error(FAILED, "rcmd", "-", input=line + b" x\n")
            self.assertTrue(err.startswith(f"rcmd: line 1: {name}"), err)
            self.assertIn("ERR unknown command", err)
        self.assertIn("rcmd: line 1: a\\x00b: ", self.error(FAILED, "rcmd", "-", input=b'"a\\x00b" x\n'))

    def test_commands_that_change_a_connection_are_refused(self):
        for line in ("SELECT 0", "SUBSCRIBE c", "MULTI", "WATCH k", "MONITOR", "AUTH x", "EXEC"):
            self.error(FAILED, "rcmd", *line.split())

    def test_arguments_that_look_like_options_are_the_commands(self):
        self.cluster.call("RPUSH", "l", "a", "b", "c")
        self.assertEqual(self.ok("rcmd", "LRANGE", "l", "-2", "-1"), b"b\nc\n")
        self.assertEqual(self.ok("rcmd", "SET", "k", "--help"), b"OK\n")
        self.assertEqual(self.ok("rcmd", "GET", "k"), b"--help\n")

    def test_binary_arguments(self):
        self.ok("rcmd", "SET", b"\xff\xfe", b"\x80\n")
        self.assertEqual(self.ok("rcmd", "GET", b"\xff\xfe"), b"\x80\n\n")

    def test_a_blocking_command_waits_past_the_deadline(self):
        def push():
            time.sleep(1.2)
            self.cluster.call("RPUSH", "q", "x")

        for timeout in ("0", "10"):
            thread = threading.Thread(target=push)
            thread.start()
            self.assertEqual(self.ok("rcmd", "--timeout", "500", "BLPOP", "q", timeout), b"q\nx\n")
            thread.join()
        self.assertEqual(self.ok("rcmd", "--timeout", "300", "BLPOP", "q", "0.5"), b"\n")


class Lines(ToolCase):
    def test_many_lines_in_order(self):
        count = 20000
        lines = b"".join(b"SET k%d %d\n" % (i, i) for i in range(count))
        lines += b"".join(b"GET k%d\n" % i for i in range(count))
        out = self.ok("rcmd", "-", input=lines).splitlines()
        self.assertEqual(out, [b"OK"] * count + [b"%d" % i for i in range(count)])

    def test_lines_have_the_effect_that_they_have_one_after_the_other(self):
        rng = random.Random(3)
        lines, expected, state = [], [], {}
        for i in range(4000):
            key = f"k{rng.randrange(20)}"
            kind = rng.randrange(4)
            if kind == 0:
                lines.append(f"SET {key} {i}")
                state[key] = i
                expected.append("OK")
            elif kind == 1:
                lines.append(f"INCR {key}")
                state[key] = state.get(key, 0) + 1
                expected.append(str(state[key]))
            elif kind == 2:
                lines.append(f"GET {key}")
                expected.append(str(state.get(key, "")))
            elif rng.randrange(20) == 0:
                lines.append("DBSIZE")
                expected.append(str(len(state)))
            else:
                lines.append(f"DEL {key}")
                expected.append(str(int(state.pop(key, None) is not None)))
        out = self.ok("rcmd", "-", input="\n".join(lines).encode() + b"\n")
        self.assertEqual(out.decode().split("\n")[:-1], expected)

    def test_blocks_on_several_nodes(self):
        lines = b"".join(b"MULTI\nINCR {t%d}a\nINCRBY {t%d}b 2\nEXEC\n" % (i, i) for i in range(50))
        self.assertEqual(self.ok("rcmd", "-", input=lines), b"OK\nQUEUED\nQUEUED\n1\n2\n" * 50)

    def test_a_block_over_two_slots_is_refused(self):
        result = self.check(FAILED, "rcmd", "-", input=b"MULTI\nSET a 1\nSET b 1\nEXEC\nSET c 1\n")
        self.assertEqual(result.out, b"OK\n")
        self.assertIn("line 4", result.err)
        self.assertIsNone(self.cluster.call("GET", "a"))
        self.assertIsNone(self.cluster.call("GET", "b"))

    def test_a_block_with_a_bad_line_is_not_executed(self):
        result = self.check(FAILED, "rcmd", "-", input=b'MULTI\nSET a 1\nSET a "\nEXEC\nSET c 1\n')
        self.assertEqual(result.out, b"OK\n")
        self.assertIn("line 3: a quote is not closed", result.err)
        self.assertIn("line 4: ", result.err)
        self.assertIsNone(self.cluster.call("GET", "a"))

    def test_a_block_with_a_bad_command_is_not_executed(self):
        result = self.check(FAILED, "rcmd", "-", input=b"MULTI\nSET a 1\nSET a\nEXEC\n")
        self.assertEqual(result.out, b"")
        self.assertIn("ERR wrong number of arguments", result.err)
        self.assertIsNone(self.cluster.call("GET", "a"))

    def test_a_block_without_exec(self):
        err = self.error(FAILED, "rcmd", "-", input=b"SET c 1\nMULTI\nSET a 1\n")
        self.assertIn("MULTI without EXEC", err)
        self.assertIsNone(self.cluster.call("GET", "a"))

    def test_errors_tell_the_line(self):
        result = self.check(FAILED, "rcmd", "-", input=b"SET a 1\nNONSENSE x\nGET a\nLPUSH a 1\nSUBSCRIBE c\nGET a\n")
        self.assertEqual(result.out, b"OK\n1\n1\n")
        lines = result.err.splitlines()
        self.assertTrue(lines[0].startswith("rcmd: line 2: NONSENSE: ERR unknown command"), lines)
        self.assertTrue(lines[1].startswith("rcmd: line 4: LPUSH: WRONGTYPE"), lines)
        self.assertTrue(lines[2].startswith("rcmd: line 5: SUBSCRIBE: "), lines)

    def test_headers_in_lines(self):
        out = self.ok("rcmd", "-", input=b"SET a 1\nECHO hi\nGET a\n").decode().splitlines()
        self.assertEqual(out[0], "OK")
        self.assertEqual(out[-1], "1")
        self.assertEqual([line for line in out[1:-1] if line != "hi"], [f"# {s.addr}" for s in self.cluster.masters()])

    def test_no_newline_at_the_end(self):
        self.assertEqual(self.ok("rcmd", "-", input=b"SET a 1\nGET a"), b"OK\n1\n")


if __name__ == "__main__":
    unittest.main()
