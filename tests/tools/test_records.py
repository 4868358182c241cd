#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Records through rset -, rget -, rdel -, rslots -: formats, escapes, errors, order."""

import base64
import json
import os
import pty
import random
import select
import subprocess
import time
import unittest

from toollib import FAILED, NO, OK, ToolCase, sanitized
from shardtest import program

AWKWARD = [
    b"",
    b"plain",
    b"two words",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"\\",
    b"\\n",
    b"\\x41",
    b"tab\there",
    b"\x01\x1b\x7f",
    b"\x80",
    b"\xff\xfe",
    b"\xc0\xaf",  # overlong
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # beyond Unicode
    b"\xc3",  # cut off
    "Zürich 漢字 🙂".encode(),
    "\u0085\u009b".encode(),  # C1 controls
    b'"quoted"',
    b"{tag}",
    bytes(range(256)),
]


def escaped(data):
    """What the tools print for DATA, by the words of their manual."""
    names = {0x5C: "\\\\", 9: "\\t", 10: "\\n", 13: "\\r", 0: "\\0"}
    text = data.decode("utf-8", "surrogateescape")
    out = []
    for c in text:
        if ord(c) in names:
            out.append(names[ord(c)])
        elif 0xDC80 <= ord(c) <= 0xDCFF:
            out.append(f"\\x{ord(c) - 0xDC00:02x}")
        elif ord(c) < 32 or 0x7F <= ord(c) < 0xA0:
            out.append("".join(f"\\x{b:02x}" for b in c.encode()))
        else:
            out.append(c)
    return "".join(out).encode()


def unjson(value):
    return base64.b64decode(value["base64"], validate=True) if isinstance(value, dict) else value.encode()


class Formats(ToolCase):
    pairs = [(a + b"%d" % i if i % 2 else b"k%d" % i + a, b) for i, (a, b) in enumerate(zip(AWKWARD, AWKWARD[::-1]))]

    def set_all(self):
        for key, value in self.pairs:
            self.cluster.call("SET", key, value)

    def test_lines(self):
        self.set_all()
        keys = b"".join(escaped(k) + b"\n" for k, _ in self.pairs)
        expected = b"".join(escaped(k) + b"\t" + escaped(v) + b"\n" for k, v in self.pairs)
        self.assertEqual(self.ok("rget", "-", input=keys), expected)
        self.assertEqual(self.ok("rdel", "-", input=keys), b"%d\n" % len(self.pairs))
        self.ok("rset", "-", input=expected)
        self.assertEqual(self.ok("rget", "-", input=keys), expected)
        for key, value in self.pairs:
            self.assertEqual(self.cluster.call("GET", key), value)

    def test_json(self):
        self.set_all()
        keys = b"".join(
            json.dumps({"key": {"base64": base64.b64encode(k).decode()}}).encode() + b"\n" for k, _ in self.pairs
        )
        out = self.ok("rget", "-j", "-", input=keys)
        lines = [json.loads(line) for line in out.splitlines()]
        self.assertEqual([(unjson(o["key"]), unjson(o["value"])) for o in lines], self.pairs)
        for o in lines:  # base64 only where there is no other way
            for value in (o["key"], o["value"]):
                if isinstance(value, dict):
                    self.assertRaises(UnicodeDecodeError, unjson(value).decode)
        self.cluster.flush()
        self.ok("rset", "--json", "-", input=out)
        self.assertEqual(self.ok("rget", "-j", "-", input=out), out)

    def test_nul(self):
        pairs = [(k, v) for k, v in self.pairs if b"\0" not in k + v]
        data = b"".join(k + b"\0" + v + b"\0" for k, v in pairs)
        keys = b"".join(k + b"\0" for k, _ in pairs)
        self.ok("rset", "-0", "-", input=data)
        for key, value in pairs:
            self.assertEqual(self.cluster.call("GET", key), value)
        self.assertEqual(self.ok("rget", "-0", "-", input=keys), data)
        self.assertEqual(self.ok("rget", "--null", "-v", "-", input=keys), b"".join(v + b"\0" for _, v in pairs))
        self.assertEqual(self.ok("rdel", "-0", "-", input=keys), b"%d\n" % len(pairs))

    def test_nul_refuses_data_that_holds_nul(self):
        self.cluster.call("SET", "a", b"1\0002")
        self.cluster.call("SET", "b", b"3")
        result = self.check(FAILED, "rget", "-0", "a", "b")
        self.assertEqual(result.out, b"b\0003\0")
        self.assertIn("rget: a: holds a NUL", result.err)
        self.cluster.call("SET", b"k\0", b"3")
        result = self.check(FAILED, "rkeys", "-0", "k*")
        self.assertEqual(result.out, b"")
        self.assertIn("holds a NUL", result.err)

    def test_a_last_line_without_newline(self):
        self.ok("rset", "-", input=b"a\t1\nb\t2")
        self.assertEqual(self.ok("rget", "-", input=b"a\nb"), b"a\t1\nb\t2\n")

    def test_a_last_record_without_nul_is_an_error(self):
        self.assertIn("record 2", self.error(FAILED, "rset", "-0", "-", input=b"a\0001\0b\0002"))
        self.assertIsNone(self.cluster.call("GET", "b"))
        self.assertIn("record 1", self.error(FAILED, "rset", "-0", "-", input=b"a\0"))
        self.assertIn("record 2", self.error(FAILED, "rslots", "-0", "-", input=b"a\0b"))

    def test_empty_input(self):
        for flag in ([], ["-0"], ["-j"]):
            self.assertEqual(self.ok("rget", *flag, "-", input=b""), b"")
            self.assertEqual(self.ok("rset", *flag, "-", input=b""), b"")
            result = self.check(NO, "rdel", *flag, "-", input=b"")
            self.assertEqual((result.out, result.err), (b"0\n", ""))
            self.assertEqual(self.ok("rslots", *flag, "-", input=b""), b"")

    def test_hexadecimal_of_both_cases_is_read(self):
        self.ok("rset", "-", input=b"k\\x4a\\x4A\t\\xFF\n")
        self.assertEqual(self.cluster.call("GET", "kJJ"), b"\xff")


class BadRecords(ToolCase):
    def check_bad(self, flag, good, bad, count=b"\n"):
        """BAD in line 3 of five is reported with its number, the others are done."""
        records = [b"a\t1", b"b\t2", bad, b"d\t4", b"e\t5"] if not good else good
        err = self.error(FAILED, "rset", *flag, "-", input=count.join(records) + count)
        self.assertIn("rset: line 3: ", err)
        self.assertEqual(self.ok("rget", "a", "b", "d", "e"), b"a\t1\nb\t2\nd\t4\ne\t5\n")
        return err

    def test_unknown_escapes(self):
        for bad in (b"c\t\\q", b"c\\\t3", b"c\t\\", b"c\t\\x", b"c\t\\x1", b"c\t\\xg0", b"\\u0041\t3", b"c\t\\X41"):
            self.assertIn("unknown escape", self.check_bad([], None, bad))
            self.cluster.flush()

    def test_wrong_number_of_fields(self):
        for bad in (b"c", b"", b"c\t3\t4"):
            self.assertIn("fields than wanted", self.check_bad([], None, bad))
        self.error(FAILED, "rget", "-", input=b"a\tb\n")
        self.error(FAILED, "rdel", "-", input=b"a\tb\n")

    def test_bad_json(self):
        good = [b'{"key":"%c","value":"%d"}' % (c, i + 1) for i, c in enumerate(b"abcde")]
        for bad in (
            b"",
            b"{",
            b"[]",
            b'"c"',
            b"{}",
            b'{"key":"c"}',
            b'{"value":"3"}',
            b'{"key":"c","value":3}',
            b'{"key":"c","value":null}',
            b'{"key":"c","value":{"base64":"?"}}',
            b'{"key":"c","value":{"base64":"QQ=A"}}',
            b'{"key":"c","value":{"base64":"====", "x":1}}',
            b'{"key":"c","value":{"base64":1}}',
            b'{"key":"c","key":"c","value":"3"}',
            b'{"key":"c","value":"3"} x',
            b'{"key":"c","value":"\xff"}',
        ):
            self.check_bad(["-j"], good[:2] + [bad] + good[3:], None)
            self.assertIsNone(self.cluster.call("GET", "c"))

    def test_json_may_have_more_members(self):
        self.ok("rset", "-j", "-", input=b'{"ttl":1,"value":"1","key":"a"}\n')
        self.assertEqual(self.ok("rget", "a"), b"1")

    def test_standard_input_that_cannot_be_read(self):
        fd = os.open("/tmp", os.O_RDONLY)
        self.addCleanup(os.close, fd)
        for tool in ("rget", "rset", "rslots", "rcmd"):
            self.assertIn("standard input: Is a directory", self.error(FAILED, tool, "-", stdin=fd))
        self.assertIn("Is a directory", self.error(FAILED, "rdel", "-", stdin=fd))

    def test_a_server_error_does_not_stop_the_rest(self):
        self.cluster.call("RPUSH", "l", "1")
        self.cluster.call("SET", "z", "26")
        result = self.check(FAILED, "rget", "-", input=b"l\nz\nl\nz\n")
        self.assertEqual(result.out, b"z\t26\nz\t26\n")
        self.assertEqual(result.err.count("rget: l: WRONGTYPE"), 2)


class Order(ToolCase):
    def test_answers_come_in_the_order_of_the_input(self):
        count = 20000
        self.ok("rset", "-", input=b"".join(b"k%d\t%d\n" % (i, i) for i in range(count)))
        order = list(range(count))
        random.Random(1).shuffle(order)
        keys = b"".join(b"k%d\n" % i for i in order)
        self.assertEqual(self.ok("rget", "-", input=keys), b"".join(b"k%d\t%d\n" % (i, i) for i in order))

    def test_a_key_that_comes_again_gets_the_last_value(self):
        records = b"".join(b"k%d\t%d\n" % (i % 7, i) for i in range(5000))
        self.ok("rset", "-", input=records)
        for k in range(7):
            last = max(i for i in range(5000) if i % 7 == k)
            self.assertEqual(self.ok("rget", f"k{k}"), b"%d" % last)

    def test_conditions_count_over_a_stream(self):
        self.cluster.call("SET", "a", "0")
        err = self.error(NO, "rset", "--nx", "-", input=b"a\t1\nb\t2\nb\t3\n")
        self.assertEqual(err, "rset: 2 of 3 keys were not set (--nx)\n")
        self.assertEqual(self.cluster.call("GET", "b"), b"2")
        self.error(NO, "rset", "--xx", "-", input=b"a\t1\nc\t2\n")
        self.ok("rset", "--ex", "100", "-", input=b"a\t1\nb\t1\n")
        self.assertTrue(0 < self.cluster.call("TTL", "b") <= 100)

    def test_an_answer_does_not_wait_for_more_input(self):
        self.cluster.call("SET", "a", "1")
        process = self.start("rget", "-", stdin=subprocess.PIPE)
        try:
            for _ in range(3):
                process.stdin.write(b"a\n")
                process.stdin.flush()
                self.assertTrue(select.select([process.stdout], [], [], 20)[0], "no answer")
                self.assertEqual(os.read(process.stdout.fileno(), 100), b"a\t1\n")
            process.stdin.close()
            self.assertEqual(process.wait(20), OK)
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def test_a_writer_that_pauses_does_not_cost_the_deadline(self):
        process = self.start("rset", "--timeout", "300", "-", stdin=subprocess.PIPE)
        for i in range(3):
            process.stdin.write(b"slow%d\t1\n" % i)
            process.stdin.flush()
            time.sleep(0.5)
        out, err = process.communicate(timeout=20)
        self.assertEqual((process.returncode, out, err), (OK, b"", b""))

    def test_a_slow_reader_does_not_cost_the_deadline(self):
        count, value = 20000, b"v" * 200
        self.ok("rset", "-", input=b"".join(b"k%d\t%s\n" % (i, value) for i in range(count)))
        keys = b"".join(b"k%d\n" % i for i in range(count))
        path = os.path.join(self.runtime.path, "keys")
        with open(path, "wb") as file:
            file.write(keys)
        with open(path, "rb") as file:
            process = self.start("rget", "--timeout", "300", "-", stdin=file)
        time.sleep(1.5)
        out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err), (OK, b""))
        self.assertEqual(len(out.splitlines()), count)


class ClosedPipe(ToolCase):
    def sh(self, script):
        env = self.env()
        env["PATH"] = os.path.dirname(program("rget")) + ":" + env["PATH"]
        return subprocess.run(["bash", "-c", script], env=env, capture_output=True, timeout=120)

    def setUp(self):
        super().setUp()
        self.ok("rset", "-", input=b"".join(b"k%d\t%d\n" % (i, i) for i in range(30000)))

    def test_ends_quietly(self):
        for script in (
            "rkeys | head -1",
            "rkeys -l | head -1",
            "rkeys | rget - | head -1",
            "rkeys | rslots - | head -1",
            "rslots | head -1 ",
            "rget k1 k2 | true",
            "rget k1 | true",
            "rdel k1 | true",
        ):
            result = self.sh(script + '; echo "${PIPESTATUS[0]}" >&2')
            self.assertEqual(result.stderr, b"0\n", script)

    def test_rcmd_tells_by_its_status_that_commands_are_left(self):
        result = self.sh("(for i in $(seq 20000); do echo GET k$i; done) | rcmd - | head -1; echo ${PIPESTATUS[1]}")
        self.assertEqual(result.stdout.splitlines()[1:], [b"2"])
        self.assertEqual(result.stderr, b"")

    def test_a_full_disk_is_an_error(self):
        for script in ("rkeys", "rget k1", "rget k1 k2", "rslots", "rcmd PING", "rdel k1"):
            result = self.sh(f"{script} > /dev/full")
            self.assertEqual(result.returncode, FAILED, script)
            self.assertIn(b"standard output: No space left on device", result.stderr)
            self.assertEqual(result.stderr.count(b"\n"), 1)

    def test_closed_standard_output(self):
        for script in ("rkeys", "rget k1", "rget k1 k2", "rslots", "rcmd PING"):
            result = self.sh(f"{script} >&-")
            self.assertEqual(result.returncode, FAILED, script)
            self.assertIn(b"standard output: Bad file descriptor", result.stderr)

    def test_closed_standard_error(self):
        self.assertEqual(self.sh("rget nokey 2>&-").returncode, NO)
        self.assertEqual(self.sh("rget k1 2>&-").stdout, b"1")


class Million(ToolCase):
    count = 1_000_000

    @staticmethod
    def peak(pid):
        """The most memory that the process has held so far, in KB. (What wait4() tells counts its parent's, too.)"""
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                return next((int(line.split()[1]) for line in file if line.startswith("VmHWM:")), 0)
        except OSError:
            return 0

    def check_memory(self, memory, limit):
        if not sanitized("rget"):  # they keep what was freed for a while
            self.assertLess(memory, limit)

    def run_files(self, tool, *args, stdin):
        """Runs TOOL with files for input and output; returns (output's path, peak memory in KB)."""
        out, memory = os.path.join(self.runtime.path, "out." + tool), 0
        with open(stdin or os.devnull, "rb") as source, open(out, "wb") as sink:
            process = self.start(tool, *args, stdin=source, stdout=sink)
            while process.poll() is None:
                memory = max(memory, self.peak(process.pid))
                time.sleep(0.02)
            err = process.stderr.read()
            process.stderr.close()
        self.assertEqual((process.returncode, err), (OK, b""), tool)
        return out, memory

    def test_a_million_records(self):
        records = os.path.join(self.runtime.path, "records")
        keys = os.path.join(self.runtime.path, "keys")
        with open(records, "wb") as r, open(keys, "wb") as k:
            for i in range(self.count):
                r.write(b"key:%d\tvalue of %d\n" % (i, i))
                k.write(b"key:%d\n" % i)
        _, memory = self.run_files("rset", "-", stdin=records)
        self.check_memory(memory, 20_000)
        self.assertEqual(self.ok("rcmd", "DBSIZE"), b"%d\n" % self.count)
        out, memory = self.run_files("rget", "-", stdin=keys)
        self.check_memory(memory, 20_000)
        self.assertEqual(subprocess.run(["cmp", out, records]).returncode, 0)
        os.unlink(out)
        out, memory = self.run_files("rkeys", stdin=None)
        self.check_memory(memory, 60_000)  # it knows by 64-bit hashes what it has listed
        with open(out, "rb") as listed, open(keys, "rb") as wanted:
            self.assertEqual(sorted(listed), sorted(wanted))
        with open(keys, "rb") as file:
            self.assertEqual(self.ok("rdel", "-", stdin=file), b"%d\n" % self.count)

    def test_large_values_do_not_make_the_window_large(self):
        value = b"x" * 1_000_000
        for i in range(100):
            self.cluster.call("SET", f"big{i}", value)
        keys = os.path.join(self.runtime.path, "keys")
        with open(keys, "wb") as file:
            file.write(b"".join(b"big%d\n" % (i % 100) for i in range(1000)))
        out, memory = self.run_files("rget", "-", stdin=keys)
        self.assertEqual(os.path.getsize(out), sum(len(b"big%d\t\n" % (i % 100)) + len(value) for i in range(1000)))
        self.check_memory(memory, 100_000)
        os.unlink(out)


class Progress(ToolCase):
    def run_on_terminal(self, tool, *args, feed):
        """Runs TOOL with stderr on a terminal, stdin a pipe that FEED writes to. Returns what stderr showed."""
        master, slave = pty.openpty()
        process = self.start(tool, *args, stdin=subprocess.PIPE, stderr=slave)
        os.close(slave)
        try:
            feed(process.stdin)
            process.stdin.close()
            process.stdout.read()
            self.assertEqual(process.wait(60), OK)
            shown = b""
            while select.select([master], [], [], 0)[0]:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                shown += piece
            return shown
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
            os.close(master)

    @staticmethod
    def slowly(pipe):
        for i in range(16):
            pipe.write(b"k%d\tv\n" % i)
            pipe.flush()
            time.sleep(0.1)

    def test_a_bar_for_long_work_on_a_terminal(self):
        shown = self.run_on_terminal("rset", "-", feed=self.slowly)
        self.assertIn(b" keys, ", shown)
        self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)

    def test_none_for_short_work(self):
        self.assertEqual(self.run_on_terminal("rset", "-", feed=lambda pipe: pipe.write(b"k\tv\n")), b"")

    def test_none_where_stderr_is_no_terminal(self):
        process = self.start("rset", "-", stdin=subprocess.PIPE)
        self.slowly(process.stdin)
        _, err = process.communicate(timeout=60)
        self.assertEqual(err, b"")


if __name__ == "__main__":
    unittest.main()
