#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Caching that stays true: what is served without asking, and how soon a change is seen, whoever made it."""

import contextlib
import hashlib
import os
import random
import statistics
import subprocess
import threading
import time
import unittest

from fslib import Mount, run, sanitized
from pooltest import Pool
from shardtest import Cluster, Reply, Server, wait_until

SOON = 0.5  # what a change may take until it is seen, on a busy machine


def commands(cluster, name):
    """How often the servers have executed a command."""
    total = 0
    for server in cluster.servers:
        for line in server.call("INFO", "commandstats").decode().splitlines():
            if line.startswith(f"cmdstat_{name}:"):
                total += int(line.split("calls=")[1].split(",")[0])
    return total


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=0)
        cls.addClassCleanup(cls.cluster.close)
        cls.mount = Mount(cls.cluster.uri)
        cls.addClassCleanup(cls.mount.close)

    def setUp(self):
        self.cluster.flush()
        self.armed(self.mount)

    def armed(self, mount):
        """Waits until MOUNT serves without asking."""
        self.cluster.call("SET", "armed", "x")
        names = {self.cluster.master_of(f"armed{i}").port: f"armed{i}" for i in range(40)}
        for name in names.values():
            self.cluster.call("SET", name, "x")

        def served():
            mount.ok("cat " + " ".join(names.values()))
            before = commands(self.cluster, "getrange")
            mount.ok("cat " + " ".join(names.values()))
            return commands(self.cluster, "getrange") == before

        wait_until(served, 10, "what is read twice is asked for once")
        for name in {"armed", *names.values()}:
            self.cluster.call("DEL", name)

    def soon(self, command, wanted, mount=None):
        """Seconds until COMMAND prints WANTED; it must be soon."""
        start = time.monotonic()
        while (mount or self.mount).run(command).out != wanted:
            if time.monotonic() - start > SOON + 5:
                self.fail(f"{command} still prints {(mount or self.mount).run(command)}, not {wanted}")
        return time.monotonic() - start


class Served(Case):
    def test_a_second_look_asks_nobody(self):
        for value in (b"", b"short", b"x" * 5000, b"y" * 60000):
            self.cluster.call("SET", "k", value)
            self.mount.ok("stat k; cat k")
            before = [commands(self.cluster, name) for name in ("getrange", "strlen", "pttl", "get")]
            self.assertEqual(self.mount.ok("cat k"), value)
            self.assertEqual(self.mount.ok("stat -c %s k").strip(), str(len(value)).encode())
            self.assertEqual(before, [commands(self.cluster, name) for name in ("getrange", "strlen", "pttl", "get")])

    def test_off_means_off(self):
        self.cluster.call("SET", "k", "v")
        with Mount(self.cluster.uri, options="cache=off") as mount:
            mount.ok("cat k")
            before = commands(self.cluster, "getrange")
            mount.ok("cat k; cat k")
            self.assertGreater(commands(self.cluster, "getrange"), before)

    def test_a_bad_word_is_refused(self):
        for options in ("cache=on", "cache_size=0", "cache_size=x"):
            with self.assertRaisesRegex(AssertionError, "cache"):
                Mount(self.cluster.uri, options=options)

    @unittest.skipIf(sanitized(), "what is freed stays with the process")
    def test_memory_is_bounded(self):
        with Mount(self.cluster.uri, options="cache_size=4") as mount:
            for i in range(400):
                self.cluster.call("SET", f"m{i}", os.urandom(30000))
            mount.ok("cat m* > /dev/null")
            with open(f"/proc/{mount.daemon.pid}/status", encoding="utf-8") as file:
                before = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
            for _ in range(3):
                mount.ok("cat m* > /dev/null")
            with open(f"/proc/{mount.daemon.pid}/status", encoding="utf-8") as file:
                after = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
            self.assertLess(after - before, 8000)


class Seen(Case):
    def test_every_kind_of_change(self):
        call = self.cluster.call
        call("SET", "k", "one")
        self.mount.ok("cat k; stat k")
        for words, wanted in (
            (("SET", "k", "two"), b"two"),  # of the same size
            (("SET", "k", "longer"), b"longer"),
            (("APPEND", "k", "!"), b"longer!"),
            (("SETRANGE", "k", "0", "L"), b"Longer!"),
            (("SET", "k", ""), b""),
            (("SET", "k", "7"), b"7"),
            (("INCR", "k"), b"8"),
            (("GETSET", "k", "9"), b"9"),
        ):
            call(*words)
            self.soon("cat k", wanted)
            self.assertEqual(self.mount.ok("stat -c %s k").strip(), str(len(wanted)).encode())

    def test_removed_and_made_anew(self):
        self.cluster.call("SET", "k", "v")
        self.mount.ok("cat k; stat k")
        self.cluster.call("DEL", "k")
        self.soon("cat k 2>&1", b"cat: k: No such file or directory\n")
        self.assertEqual(self.mount.ok("test -e k && echo there || echo gone"), b"gone\n")
        self.cluster.call("SET", "k", "w")
        self.assertEqual(self.mount.ok("cat k"), b"w")  # what is not there is asked for each time
        self.cluster.call("DEL", "k")
        self.soon("test -e k; echo $?", b"1\n")
        self.mount.ok("echo mine > k")
        self.assertEqual(self.cluster.call("GET", "k"), b"mine\n")

    def test_creating_what_was_removed_elsewhere(self):
        for i in range(30):
            self.cluster.call("SET", f"n{i}", "v")
            self.mount.ok(f"cat n{i}; stat n{i}")
            self.cluster.call("DEL", f"n{i}")
            self.mount.ok(f"echo new > n{i}")
            self.assertEqual(self.cluster.call("GET", f"n{i}"), b"new\n")
            self.cluster.call("DEL", f"n{i}")
            self.mount.ok(f"set -o noclobber; sleep 0.01; echo excl > n{i}")
            self.assertEqual(self.mount.ok(f"cat n{i}"), b"excl\n")

    def test_expiry(self):
        self.cluster.call("SET", "k", "v", "PX", "400")
        start = time.monotonic()
        self.assertEqual(self.mount.ok("stat -c %s k; cat k"), b"1\nv")
        while time.monotonic() - start < 0.42:
            time.sleep(0.01)
        self.assertNotEqual(self.mount.run("cat k").status, 0)
        self.assertNotEqual(self.mount.run("stat k").status, 0)
        self.cluster.call("SET", "k", "v")
        self.mount.ok("cat k")
        self.cluster.call("PEXPIRE", "k", "200")
        time.sleep(0.25)
        self.assertNotEqual(self.mount.run("cat k").status, 0)

    def test_another_type(self):
        self.cluster.call("SET", "k", "v")
        self.mount.ok("cat k; stat k")
        self.cluster.call("DEL", "k")
        self.cluster.call("HSET", "k", "f", "v")
        self.soon("cat k/f", b"v")
        self.cluster.call("DEL", "k")
        self.cluster.call("SET", "k", "w")
        self.soon("cat k", b"w")

    def test_flushall(self):
        for i in range(20):
            self.cluster.call("SET", f"k{i}", "v")
        self.mount.ok("cat k*; stat k*")
        self.cluster.flush()
        self.soon("for i in $(seq 0 19); do test -e k$i && echo k$i; done; true", b"")

    def test_renames(self):
        self.cluster.call("SET", "{s}a", "one")
        self.cluster.call("SET", "{s}b", "two")
        self.mount.ok("cat {s}a {s}b; stat {s}a {s}b")
        self.cluster.call("RENAME", "{s}a", "{s}b")
        self.soon("cat {s}b", b"one")
        self.assertNotEqual(self.mount.run("cat {s}a").status, 0)
        self.mount.ok("mv {s}b elsewhere; cat elsewhere; stat elsewhere")
        self.cluster.call("SET", "elsewhere", "three")
        self.soon("cat elsewhere", b"three")

    def test_an_open_file(self):
        script = (
            "import os, sys, time\n"
            "fd = os.open('k', os.O_RDONLY)\n"
            "print(os.pread(fd, 100, 0), os.fstat(fd).st_size, flush=True)\n"
            "sys.stdin.readline()\n"
            "time.sleep(0.5)\n"
            "print(os.pread(fd, 100, 0), os.fstat(fd).st_size)\n"
        )
        self.cluster.call("SET", "k", "one")
        with subprocess.Popen(
            ["python3", "-c", script], cwd=self.mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            self.assertEqual(process.stdout.readline(), b"b'one' 3\n")
            self.cluster.call("SET", "k", "three")
            self.assertEqual(process.communicate(b"\n", timeout=20)[0], b"b'three' 5\n")

    def test_the_time_of_change_moves(self):
        self.cluster.call("SET", "k", "aaa")
        before = self.mount.ok("stat -c %y k")
        time.sleep(0.02)
        self.cluster.call("SET", "k", "bbb")
        self.soon("cat k", b"bbb")
        self.assertNotEqual(self.mount.ok("stat -c %y k"), before)

    def test_own_writes_keep_their_times(self):
        self.mount.ok("echo v > k; touch -d 2001-02-03T04:05:06 k; sleep 0.3")
        self.assertIn(b"2001-02-03", self.mount.ok("stat -c %y k"))


class Listed(Case):
    """What a listing has shown, and members of keys."""

    ASKING = ("strlen", "pttl", "type", "getrange", "cluster|getkeysinslot", "hscan", "sscan", "zscan", "hget",
              "hstrlen", "zscore", "zmscore", "llen", "lrange", "lindex")

    def asked(self):
        return [commands(self.cluster, name) for name in self.ASKING]

    def sizes(self, where="."):
        """What ls -l shows: {name: size}."""
        lines = self.mount.ok(f"ls -l {where}").decode().splitlines()[1:]
        return {line.split()[-1]: int(line.split()[4]) for line in lines}

    def listed_twice(self, where, wanted):
        self.assertEqual(self.sizes(where), wanted)
        for _ in range(3):  # what is asked for ahead comes without attributes
            self.sizes(where)
        before = self.asked()
        self.assertEqual(self.sizes(where), wanted)
        self.assertEqual(self.asked(), before)

    def test_a_second_listing_asks_nobody(self):
        wanted = {f"k{i}": 1 + i % 50 for i in range(600)}
        for name, size in wanted.items():
            self.cluster.call("SET", name, b"v" * size)
        self.soon("ls | wc -l", b"600\n")
        self.listed_twice(".", wanted)
        for name in ("k1", "k599"):
            self.cluster.call("SET", name, b"v" * 60)
            wanted[name] = 60
        self.soon("stat -c %s k1 k599", b"60\n60\n")
        self.listed_twice(".", wanted)

    def test_a_second_listing_of_members_asks_nobody(self):
        fields = {f"f{i}": b"v" * (i % 60) for i in range(1500)}
        self.cluster.call("HSET", "h", *(word for item in fields.items() for word in item))
        self.cluster.call("SADD", "s", *fields)
        self.listed_twice("h", {name: len(value) for name, value in fields.items()})
        self.listed_twice("s", {name: 0 for name in fields})
        before = self.asked()
        self.assertEqual(self.mount.ok("cat h/f7 h/f59 h/f1499"), fields["f7"] + fields["f59"] + fields["f1499"])
        self.assertEqual(self.asked(), before)

    def score_members(self):
        """{member: score} of what numbers look like, as ZADD takes them."""
        draw = random.Random(7)
        scores = ["0", "-0", "0.5", "-1.25", "1e20", "-3e-7", "inf", "-inf", "123456789012345", "1234567890123456",
                  "0.00012345678", "123456.12345678", "1e15", "1e17", "0.1", "0.000001", "4.9e-324"]
        for _ in range(700):
            scores.append(f"{draw.uniform(-1, 1) * 10 ** draw.randint(-8, 18):.{draw.randint(0, 9)}f}")
            scores.append(repr(draw.random()))
        return {f"m{i}": score for i, score in enumerate(scores)}

    def test_scores_come_with_the_listing(self):
        members = self.score_members()
        self.cluster.call("ZADD", "z", *(word for name, score in members.items() for word in (score, name)))
        texts = {name: self.cluster.call("ZSCORE", "z", name) + b"\n" for name in members}
        before = commands(self.cluster, "zscore")
        self.listed_twice("z", {name: len(text) for name, text in texts.items()})
        self.assertLess(commands(self.cluster, "zscore") - before, len(members) / 2)
        shown = self.mount.ok("cd z; for name in *; do echo $name $(cat $name); done").decode().splitlines()
        self.assertEqual(dict(line.split() for line in shown), {n: t.decode().strip() for n, t in texts.items()})

    def test_whole_scores_are_not_asked_for(self):
        members = {f"m{i}": i * 7919 for i in range(3000)}
        self.cluster.call("ZADD", "z", *(word for name, score in members.items() for word in (score, name)))
        before = commands(self.cluster, "zscore")
        self.assertEqual(self.sizes("z"), {name: len(str(score)) + 1 for name, score in members.items()})
        asked = commands(self.cluster, "zscore") - before
        self.assertLess(asked, 1500)  # what came before the kernel wants attributes, or what one SCAN has of it
        before = commands(self.cluster, "zscore")
        self.assertEqual(self.mount.ok("cat z/m2999"), b"%d\n" % (2999 * 7919))
        self.assertLessEqual(commands(self.cluster, "zscore") - before, 1)

    def test_elements_come_with_the_listing(self):
        elements = [b"v" * (i * 7 % 90) for i in range(3000)] + [b"w" * 300000] * 5 + [b"", b"end"]
        self.cluster.call("RPUSH", "l", *elements)
        wanted = {str(i): len(element) for i, element in enumerate(elements)}
        before = commands(self.cluster, "lindex")
        self.assertEqual(self.sizes("l"), wanted)
        self.assertLess(commands(self.cluster, "lindex") - before, 1500)
        self.listed_twice("l", wanted)
        before = self.asked()
        self.assertEqual(self.mount.ok("cat l/7 l/2999 l/3006"), elements[7] + elements[2999] + b"end")
        self.assertEqual(self.asked(), before)
        for i in range(5):  # all numbers mean other elements
            self.cluster.call("LPUSH", "l", b"n" * (100 + i))
            elements.insert(0, b"n" * (100 + i))
            self.soon("stat -c %s l/0", b"%d\n" % (100 + i))
            self.assertEqual(self.sizes("l"), {str(i): len(element) for i, element in enumerate(elements)})

    def test_a_list_that_shrinks_while_it_is_listed(self):
        self.cluster.call("RPUSH", "l", *range(2000))
        with contextlib.closing(os.scandir(os.path.join(self.mount.path, "l"))) as listing:
            names = [next(listing).name]
            self.cluster.call("LTRIM", "l", "0", "99")
            names += [entry.name for entry in listing]
        self.assertEqual(set(names), {str(i) for i in range(2000)})
        self.soon("ls l | wc -l; cat l/99; echo; test -e l/100; echo $?", b"100\n99\n1\n")

    def poller(self, mount, wait_s):
        """A program at the end of x/%log: says "end", and then what it reads each time poll() wakes it."""
        script = (
            "import os, select, sys\n"
            "fd = os.open('x/%log', os.O_RDONLY)\n"
            "poll = select.poll()\n"
            "poll.register(fd, select.POLLIN)\n"
            "assert poll.poll(1000), 'what is there can be read'\n"
            "while os.read(fd, 65536): pass\n"
            "print('end', os.fstat(fd).st_size, flush=True)\n"
            f"while poll.poll({wait_s * 1000}):\n"
            "    data = os.read(fd, 65536)\n"
            "    print(repr(data), os.fstat(fd).st_size, flush=True)\n"
            "    assert data, 'woken for nothing'\n"
            "print('over', flush=True)\n"
        )
        program = subprocess.Popen(["python3", "-c", script], cwd=mount.path, stdout=subprocess.PIPE, text=True)
        self.addCleanup(program.stdout.close)
        self.addCleanup(program.wait, 20)
        return program

    def test_poll_tells_of_new_entries(self):
        self.cluster.call("XADD", "x", "1-1", "f", "v")
        program = self.poller(self.mount, 3)
        self.assertEqual(program.stdout.readline(), "end 8\n")
        before = commands(self.cluster, "xrange")
        size = 8
        for i in range(2, 12):
            self.cluster.call("XADD", "x", f"{i}-1", "f", "v")
            line = b"%d-1\tf\tv\n" % i
            size += len(line)
            self.assertEqual(program.stdout.readline(), f"{line!r} {size}\n")
        self.assertLessEqual(commands(self.cluster, "xrange") - before, 20)  # a change each, by those who look at it
        before = commands(self.cluster, "xrange")
        self.cluster.call("XDEL", "x", "3-1")  # a change, but nothing to read
        start = time.monotonic()
        self.assertEqual(program.stdout.readline(), "over\n")
        self.assertGreater(time.monotonic() - start, 1)
        self.assertLessEqual(commands(self.cluster, "xrange") - before, 1)  # it slept for 3 s

    def test_poll_where_nobody_tells_of_changes(self):
        self.cluster.call("XADD", "x", "1-1", "f", "v")
        with Mount(self.cluster.uri, options="cache=off") as mount:
            program = self.poller(mount, 3)
            self.assertEqual(program.stdout.readline(), "end 8\n")
            self.cluster.call("XADD", "x", "2-1", "f", "v")
            line = b"2-1\tf\tv\n"
            self.assertEqual(program.stdout.readline(), f"{line!r} 16\n")
            self.assertEqual(program.stdout.readline(), "over\n")
            program.wait(20)

    def test_poll_of_what_this_mount_writes_and_of_other_files(self):
        self.cluster.call("XADD", "x", "1-1", "f", "v")
        self.cluster.call("SET", "k", "v")
        program = self.poller(self.mount, 3)
        self.assertEqual(program.stdout.readline(), "end 8\n")
        self.mount.ok("printf 'own\\tline\\n' >> x/%log")
        self.assertIn("own\\tline", program.stdout.readline())
        ready = "import os, select; print(select.select([os.open('k', os.O_RDONLY)], [], [], 5)[0] != [])"
        self.assertEqual(self.mount.python(ready), "True\n")
        self.assertEqual(program.stdout.readline(), "over\n")

    def test_a_log_at_its_end_asks_nobody(self):
        self.cluster.call("XADD", "x", "1-1", "f", "v")
        with open(os.path.join(self.mount.path, "x", "%log"), "rb", buffering=0) as log:
            while log.read(4096):
                pass
            before = commands(self.cluster, "xrange")
            for _ in range(20):
                self.assertEqual((log.read(10), os.fstat(log.fileno()).st_size), (b"", 8))
            self.assertEqual(commands(self.cluster, "xrange"), before)
            self.cluster.call("XADD", "x", "2-1", "f", "v")
            wait_until(lambda: os.fstat(log.fileno()).st_size == 16, 5, "the new size")
            self.assertEqual(log.read(100), b"2-1\tf\tv\n")

    def test_members_are_read_without_asking(self):
        self.cluster.call("HSET", "h", "f", "v", "empty", "")
        self.cluster.call("RPUSH", "l", "one", "two")
        self.cluster.call("ZADD", "z", "1.5", "m")
        self.cluster.call("SADD", "s", "m")
        names = "h/f h/empty l/0 l/1 z/m s/m"
        for _ in range(2):
            self.assertEqual(self.mount.ok(f"cat {names}; stat -c %s {names}"), b"vonetwo1.5\n1\n0\n3\n3\n4\n0\n")
        asking = ("hget", "hexists", "lindex", "zscore", "sismember", "type", "pttl")
        before = [commands(self.cluster, name) for name in asking]
        self.assertEqual(self.mount.ok(f"cat {names}; stat -c %s {names}"), b"vonetwo1.5\n1\n0\n3\n3\n4\n0\n")
        self.assertEqual([commands(self.cluster, name) for name in asking], before)

    def test_every_kind_of_change_to_members(self):
        call = self.cluster.call
        call("HSET", "h", "f", "v", "g", "w")
        call("RPUSH", "l", "a", "bb")
        call("ZADD", "z", "1", "m")
        call("SADD", "s", "m")
        look = "cat h/f l/0 z/m 2>&1; stat -c %s h/f l/0 z/m 2>/dev/null; ls -l h l z s >/dev/null"
        self.mount.ok(look)
        for words, command, wanted in (
            (("HSET", "h", "f", "two"), "cat h/f", b"two"),
            (("HSET", "h", "f", "owt"), "cat h/f", b"owt"),
            (("HDEL", "h", "g"), "test -e h/g; echo $?", b"1\n"),
            (("HSET", "h", "g", "back"), "stat -c %s h/g", b"4\n"),
            (("LPUSH", "l", "ccc"), "cat l/0", b"ccc"),
            (("LPOP", "l"), "stat -c %s l/0 l/1", b"1\n2\n"),
            (("ZINCRBY", "z", "41", "m"), "cat z/m", b"42\n"),
            (("SREM", "s", "m"), "test -e s/m; echo $?", b"1\n"),
            (("RENAME", "h", "{h}2"), "cat '{h}2/f'", b"owt"),
            (("DEL", "{h}2"), "test -e '{h}2/f'; echo $?", b"1\n"),
        ):
            self.mount.run(look)
            call(*words)
            self.soon(command, wanted)
        call("HSET", "x", "f", "v")
        self.mount.ok("cat x/f; stat x/f")
        call("PEXPIRE", "x", "150")
        self.soon("cat x/f 2>/dev/null", b"")

    def test_own_changes_to_members_are_seen_at_once(self):
        self.cluster.call("RPUSH", "l", "a", "bb", "ccc")
        self.cluster.call("HSET", "h", "f", "v")
        for i in range(20):
            self.mount.ok("cat l/* h/f; ls -l l h; stat l/0 h/f")
            self.assertEqual(self.mount.ok(f"echo {i} > h/f; cat h/f; rm l/0; stat -c %s l/0"), b"%d\n%d\n" % (i, 2 if i % 2 == 0 else 3))
            self.assertEqual(self.mount.ok(f"touch h/n{i}; ls h | wc -l; ls l | wc -l"), b"%d\n2\n" % (i + 2))
            self.cluster.call("DEL", "l")
            self.cluster.call("RPUSH", "l", *(("bb", "ccc", "d") if i % 2 else ("a", "bb", "ccc")))
            if i % 2 == 0:
                self.cluster.call("DEL", "l")
                self.cluster.call("RPUSH", "l", "bb", "ccc", "d")
            else:
                self.cluster.call("DEL", "l")
                self.cluster.call("RPUSH", "l", "a", "bb", "ccc")
            self.soon("stat -c %s l/0 l/1 l/2", b"2\n3\n1\n" if i % 2 == 0 else b"1\n2\n3\n")

    def test_a_listing_shows_what_is_new_and_what_is_gone(self):
        names = {f"k{i}" for i in range(300)}
        for name in names:
            self.cluster.call("SET", name, "v")
        self.soon("ls | wc -l", b"300\n")
        for i in range(10):
            self.assertEqual(set(self.sizes()), names)
            self.mount.ok(f"echo own > own{i}; test -e own{i}")
            self.assertEqual(set(self.sizes()), names | {f"own{i}"})
            self.mount.ok(f"rm own{i}")
            self.assertEqual(set(self.sizes()), names)
            self.cluster.call("DEL", f"k{i}")
            self.cluster.call("SET", f"new{i}", "v")
            names = names - {f"k{i}"} | {f"new{i}"}
            self.soon("ls | sort | md5sum", hashlib.md5("".join(f"{n}\n" for n in sorted(names)).encode()).hexdigest().encode() + b"  -\n")
            self.soon(f"stat -c %s k{i} 2>/dev/null; set -o noclobber; echo v > k{i}; cat k{i}; rm k{i}", b"v\n")

    def test_what_expires_is_not_listed_for_longer(self):
        for i in range(300):
            self.cluster.call("SET", f"k{i}", "v", *(("PX", "700") if i % 3 == 0 else ()))
        self.mount.ok("ls -l; ls -l")
        time.sleep(0.8)
        self.assertEqual(self.mount.ok("for i in 0 3 6 150 297; do stat k$i 2>/dev/null; done; true"), b"")
        self.assertEqual(self.mount.ok("stat -c %s k1 k298"), b"1\n1\n")

    def test_nothing_listed_is_older_than_what_was_seen(self):
        """Sizes only grow; whoever saw one never sees a smaller one, in listings, by stat() or in a member's."""
        script = (
            "import os, sys, time\n"
            "end = time.monotonic() + 5\n"
            "last, looks = {}, 0\n"
            "def saw(name, size):\n"
            "    global looks\n"
            "    looks += 1\n"
            "    if size < last.get(name, 0): sys.exit(f'{name}: {size} after {last[name]}')\n"
            "    last[name] = size\n"
            "while time.monotonic() < end:\n"
            "    for where in ('.', 'h'):\n"
            "        for entry in os.scandir(where):\n"
            "            if entry.name != 'h': saw(entry.name, os.stat(entry.path).st_size)\n"
            "    for name in ('k0', 'k99', 'h/f0', 'h/f99'):\n"
            "        with open(name, 'rb') as file: saw(os.path.basename(name), len(file.read()))\n"
            "        saw(os.path.basename(name), os.stat(name).st_size)\n"
            "print(looks)\n"
        )
        size = {}
        for i in range(200):
            self.cluster.call("SET", f"k{i}", "v")
            self.cluster.call("HSET", "h", f"f{i}", "v")
        result = []
        thread = threading.Thread(target=lambda: result.append(run(["python3", "-c", script], self.mount.path, timeout=60)))
        thread.start()
        rng = random.Random(7)
        while thread.is_alive():
            i = rng.choice([0, 99, rng.randrange(200)])
            size[f"k{i}"] = size.get(f"k{i}", 1) + 1
            self.cluster.call("APPEND", f"k{i}", "v")
            size[f"f{i}"] = size.get(f"f{i}", 1) + 1
            self.cluster.call("HSET", "h", f"f{i}", "v" * size[f"f{i}"])
            time.sleep(rng.choice([0, 0.001, 0.01]))
        thread.join()
        self.assertEqual(result[0].status, 0, result[0])
        self.assertGreater(int(result[0].out), 1000)
        for name, wanted in size.items():
            where = name if name[0] == "k" else f"h/{name}"
            self.soon(f"stat -c %s {where}", b"%d\n" % wanted)

    def test_an_empty_directory_outlives_what_the_kernel_forgets(self):
        self.cluster.call("HSET", "h", "f", "v")
        self.mount.ok("mkdir d; cat h/f")
        for _ in range(5):
            self.cluster.call("DEL", "h")  # names are forgotten
            self.cluster.call("SET", "h", "v")
            self.soon("cat h", b"v")
            self.cluster.call("DEL", "h")
            self.cluster.call("HSET", "h", "f", "v")
            self.soon("cat h/f", b"v")
        self.assertEqual(self.mount.ok("test -d d; echo v > d/f; cat d/f; rm d/f; rmdir d; ls"), b"v\nh\n")


class Pages(Seen):
    """The same where the kernel keeps the bytes, too."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=0)
        cls.addClassCleanup(cls.cluster.close)
        cls.mount = Mount(cls.cluster.uri, options="cache=pages")
        cls.addClassCleanup(cls.mount.close)

    def test_one_read_is_one_value(self):
        script = (
            "import hashlib, os, sys, time\n"
            "end = time.monotonic() + 3\n"
            "fds = [os.open('p', os.O_RDONLY) for _ in range(2)]\n"
            "seen = set()\n"
            "while time.monotonic() < end:\n"
            "    for fd in fds:\n"
            "        value = os.pread(fd, 5000, 0)\n"
            "        head, _, body = value.partition(b':')\n"
            "        if hashlib.md5(body).hexdigest().encode() != head: sys.exit(f'torn: {len(value)} {value[:60]}')\n"
            "        seen.add(head)\n"
            "print(len(seen))\n"
        )
        values = [hashlib.md5(b).hexdigest().encode() + b":" + b for b in (b"a", b"b" * 50, b"c" * 4000, b"", b"d" * 50)]
        self.cluster.call("SET", "p", values[0])
        result = []
        thread = threading.Thread(target=lambda: result.append(run(["python3", "-c", script], self.mount.path, timeout=60)))
        thread.start()
        i = 0
        while thread.is_alive():
            self.cluster.call("SET", "p", values[i % len(values)])
            i += 1
            time.sleep(random.choice([0, 0.0005, 0.005]))
        thread.join()
        self.assertEqual(result[0].status, 0, result[0])
        self.assertEqual(int(result[0].out), len(values))


class TwoMounts(Case):
    def test_each_sees_what_the_other_does(self):
        with Mount(self.cluster.uri) as other:
            self.armed(other)
            self.mount.ok("echo one > k")
            self.soon("cat k", b"one\n", other)
            for i in range(20):
                writer, reader = (self.mount, other) if i % 2 else (other, self.mount)
                writer.ok(f"echo {i} > k")
                self.soon("cat k", b"%d\n" % i, reader)
                self.assertEqual(writer.ok("cat k"), b"%d\n" % i)
            other.ok("rm k")
            self.soon("cat k 2>&1", b"cat: k: No such file or directory\n")
            self.mount.ok("echo x >> log; echo y >> log")
            other.ok("echo z >> log")
            self.soon("cat log", b"x\ny\nz\n")

    def how_soon(self, look, put):
        """LOOK: an expression for the number that was PUT last."""
        script = (
            "import os, sys, time\n"
            f"look = lambda: {look}\n"
            "last = None\n"
            "while True:\n"
            "    value = look()\n"
            "    if value != last and last is not None: print(value, time.monotonic(), flush=True)\n"
            "    last = value\n"
            "    if value >= 200: break\n"
            "    time.sleep(0.0002)\n"
        )
        put(1)
        result, at = [], {}
        thread = threading.Thread(target=lambda: result.append(self.mount.python(script, timeout=60)))
        thread.start()
        time.sleep(0.5)
        for i in range(2, 201):
            at[i] = time.monotonic()
            put(i)
            time.sleep(0.005)
        thread.join()
        seen = [line.split() for line in result[0].splitlines()]
        times = [(float(when) - at[int(value)]) * 1000 for value, when in seen]
        self.assertGreater(len(times), 50)
        return statistics.quantiles(times, n=100)

    def test_how_soon(self):
        """Printed, not judged: it is the machine's."""
        call = self.cluster.call
        for what, look, put in (
            ("a value", "int(open('k').read())", lambda i: call("SET", "k", i)),
            ("a size", "os.stat('k').st_size", lambda i: call("SET", "k", "v" * i)),
            ("a field", "int(open('h/f').read())", lambda i: call("HSET", "h", "f", i)),
            ("a field's size", "os.stat('h/f').st_size", lambda i: call("HSET", "h", "f", "v" * i)),
        ):
            cuts = self.how_soon(look, put)
            print(f"{what} is seen after {cuts[49]:.2f} ms (p50), {cuts[98]:.2f} ms (p99)", flush=True)

    def test_no_value_is_torn(self):
        """Values of many sizes that name themselves, written by several while two mounts read."""
        script = (
            "import hashlib, os, sys, time\n"
            "end = time.monotonic() + 4\n"
            "seen = 0\n"
            "while time.monotonic() < end:\n"
            "    for name in ('t0', 't1', 't2', 't3'):\n"
            "        with open(name, 'rb') as file: value = file.read()\n"
            "        head, _, body = value.partition(b':')\n"
            "        if hashlib.md5(body).hexdigest().encode() != head: sys.exit(f'torn: {name} {len(value)} {value[:60]}')\n"
            "        if os.stat(name).st_size < 33: sys.exit('a size that was never one')\n"
            "        seen += 1\n"
            "print(seen)\n"
        )
        stop = threading.Event()

        def value(rng):
            body = rng.choice([b"a", b"b", b"c"]) * rng.choice([0, 1, 50, 100, 4000, 4063, 4064, 9000, 60000, 70000])
            return hashlib.md5(body).hexdigest().encode() + b":" + body

        rng = random.Random(5)
        for i in range(4):
            self.cluster.call("SET", f"t{i}", value(rng))

        def write(seed):
            rng = random.Random(seed)
            with contextlib.ExitStack() as stack:
                connections = {s.port: stack.enter_context(s.connect()) for s in self.cluster.servers}
                while not stop.is_set():
                    name = f"t{rng.randrange(4)}"
                    connections[self.cluster.master_of(name).port].call("SET", name, value(rng))
                    time.sleep(rng.choice([0, 0, 0.001, 0.02]))

        with Mount(self.cluster.uri) as other:
            threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2)]
            for thread in threads:
                thread.start()
            try:
                readers, results = [], []
                for mount in (self.mount, other, self.mount):
                    readers.append(threading.Thread(
                        target=lambda m=mount: results.append(run(["python3", "-c", script], m.path, timeout=60))))
                    readers[-1].start()
                for reader in readers:
                    reader.join()
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
        for result in results:
            self.assertEqual(result.status, 0, result)
            self.assertGreater(int(result.out), 50)


class Trouble(unittest.TestCase):
    def check_reader(self, cluster, event, errors_allowed=True, seconds=8):
        """A counter in a key only goes up, whatever happens; and once all is well it is the last one within a lease."""
        script = (
            "import os, sys, time\n"
            f"end = time.monotonic() + {seconds}\n"
            "last, reads, errors = 0, 0, 0\n"
            "while time.monotonic() < end:\n"
            "    for i in range(6):\n"
            "        for name in (f'c{i}', f'h{i}/f'):\n"
            "            try:\n"
            "                with open(name) as file: value = file.read()\n"
            "                os.stat(name)\n"
            "                reads += 1\n"
            "            except OSError: errors += 1\n"
            "    try:\n"
            "        for entry in os.scandir('.'): entry.stat()\n"
            "    except OSError: errors += 1\n"
            "    time.sleep(0.001)\n"
            "print(reads, errors)\n"
        )
        for i in range(6):
            cluster.call("SET", f"c{i}", "0")
            cluster.call("HSET", f"h{i}", "f", "0")
        with Mount(cluster.uri) as mount:
            result = []
            thread = threading.Thread(target=lambda: result.append(run(["python3", "-c", script], mount.path, timeout=90)))
            thread.start()
            time.sleep(1)
            event(cluster)
            thread.join()
            self.assertEqual(result[0].status, 0, result[0])
            cluster.wait_ok(60)
            for turn in range(3):
                for i in range(6):
                    value = f"t{turn}" * (turn + 1)
                    wait_until(lambda: self.put(cluster, "SET", f"c{i}", value), 20, "a write works again")
                    wait_until(lambda: self.put(cluster, "HSET", f"h{i}", "f", value), 20, "a write works again")
                start = time.monotonic()
                sizes = b"%d\n" % len(value) * 12
                wait_until(lambda: mount.run("cat c? h?/f").out == value.encode() * 12, 6, f"turn {turn} is seen")
                wait_until(lambda: mount.run("stat -c %s c? h?/f").out == sizes, 6, f"sizes of turn {turn} are seen")
                shown = "ls -l | awk '/ c/ {print $5}'"
                wait_until(lambda: mount.run(shown).out == sizes[: len(sizes) // 2], 6, f"turn {turn} is listed")
                if turn:
                    self.assertLess(time.monotonic() - start, SOON + 5)

    @staticmethod
    def put(cluster, *words):
        try:
            return cluster.call(*words) in (b"OK", 0)
        except (Reply, OSError):
            return False

    def test_a_killed_master(self):
        with Cluster(masters=3, replicas=1) as cluster:
            self.check_reader(cluster, lambda c: c.master_of("c0").kill())

    def test_a_manual_failover(self):
        with Cluster(masters=3, replicas=1) as cluster:
            self.check_reader(cluster, lambda c: c.failover(c.replicas_of(c.master_of("c0"))[0]))

    def test_flushall(self):
        def flush(cluster):
            cluster.flush()
            for i in range(6):
                cluster.call("HSET", f"h{i}", "f", "0")

        with Cluster(masters=3, replicas=0) as cluster:
            self.check_reader(cluster, flush, seconds=4)

    def test_a_slot_that_moves_with_its_keys(self):
        def move(cluster):
            source = cluster.master_of("c0")
            target = next(server for server in cluster.masters() if server is not source)
            cluster.move_slot(cluster.slot("c0"), target)

        with Cluster(masters=3, replicas=0) as cluster:
            self.check_reader(cluster, move)

    def test_a_slot_that_is_taken(self):
        """Its keys stay behind: nobody invalidates them."""
        with Cluster(masters=3, replicas=0) as cluster:
            cluster.call("SET", "c0", "old")
            with Mount(cluster.uri) as mount:
                wait_until(lambda: mount.ok("cat c0") == b"old", 5, "it is read")
                mount.ok("cat c0; stat c0")
                source = cluster.master_of("c0")
                target = next(server for server in cluster.masters() if server is not source)
                target.call("CLUSTER", "SETSLOT", cluster.slot("c0"), "NODE", cluster.node_id(target))
                target.call("CLUSTER", "BUMPEPOCH")
                target.call("SET", "c0", "new")
                wait_until(lambda: mount.run("cat c0").out == b"new", 8, "the new owner's value within the lease")

    def test_a_paused_server(self):
        """Within the time that a silent node is believed, and no longer, what it said last is served."""
        with Cluster(masters=3, replicas=0) as cluster:
            cluster.call("SET", "k", "v")
            cluster.call("HSET", "{k}h", "f", "v")
            with Mount(cluster.uri, timeout=1000) as mount:
                mount.ok("cat k {k}h/f; cat k {k}h/f; ls -l; ls -l {k}h; stat k {k}h/f")
                server = cluster.master_of("k")
                server.pause()
                try:
                    for command in ("cat k", "cat {k}h/f", "stat k", "stat {k}h/f", "ls -l", "ls -l {k}h"):
                        wait_until(lambda: mount.run(command).status != 0, 8, f"{command} is not believed for ever")
                finally:
                    server.resume()
                wait_until(lambda: mount.run("cat k").out == b"v", 8, "it is believed again")

    def test_who_may_not_track(self):
        with Server() as server:
            server.call("ACL", "SETUSER", "u", "on", ">p", "~*", "+@all", "-client|tracking", "&*")
            with Mount(f"redis://u:p@{server.addr}") as mount:
                server.call("SET", "k", "one")
                self.assertEqual(mount.ok("cat k"), b"one")
                server.call("SET", "k", "two")
                self.assertEqual(mount.ok("cat k"), b"two")
                wait_until(lambda: "cannot be tracked" in mount.stderr(), 5, "it is told")
                self.assertEqual(mount.stderr().count("cannot be tracked"), 1)

    def test_a_pool(self):
        with Pool() as pool, Mount(pool.uri) as mount:
            mount.ok("for i in $(seq 30); do echo one > k$i; done; cat k*; stat k* > /dev/null")
            for i in range(1, 31):
                pool.servers[pool.holders(f"k{i}")[0]].call("SET", f"k{i}", "two\n")
            wait_until(lambda: mount.ok("cat k*") == b"two\n" * 30, SOON + 3, "all are seen")

    def test_a_killed_daemon_and_a_clean_mount(self):
        with Server() as server:
            mount = Mount(server.uri)
            try:
                mount.ok("echo v > k; cat k")
                mount.daemon.kill()
                mount.daemon.wait()
            finally:
                mount.close()
            server.call("SET", "k", "w")
            with Mount(server.uri) as again:
                self.assertEqual(again.ok("cat k"), b"w")


unittest.main()
