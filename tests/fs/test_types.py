# SPDX-License-Identifier: MIT
"""Keys of every type as directories: by files and by commands against each other."""

import os
import random
import subprocess
import sys
import time
import unittest

from fslib import Mount
from pooltest import Pool
from shardtest import Cluster, Reply, Server
from test_names import encode, listed

CLUSTER = None
MOUNT = None
OTHER = None


def setUpModule():
    global CLUSTER, MOUNT, OTHER
    CLUSTER = Cluster(masters=3, replicas=0)
    # What others change is looked at at once.
    MOUNT = Mount(CLUSTER.uri, options="cache=off")
    OTHER = Mount(CLUSTER.uri, options="cache=off")


def tearDownModule():
    try:
        for mount in (MOUNT, OTHER):
            if mount:
                mount.end()
    finally:
        for mount in (MOUNT, OTHER):
            if mount:
                mount.close()
        if CLUSTER:
            CLUSTER.close()


class OnMount(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()
        for mount in (MOUNT, OTHER):  # empty directories are in their memory
            mount.ok("find . -mindepth 1 -maxdepth 1 -type d -exec rmdir {} +")

    def call(self, *words):
        return CLUSTER.call(*words)

    def ok(self, command, **more):
        return MOUNT.ok(command, **more)

    def fails(self, command, text, **more):
        result = MOUNT.run(command, **more)
        self.assertNotEqual(result.status, 0, result)
        self.assertIn(text, result.err)

    def hash(self, key):
        words = self.call("HGETALL", key)
        return dict(zip(words[::2], words[1::2]))

    def zset(self, key):
        words = self.call("ZRANGE", key, 0, -1, "WITHSCORES")
        return dict(zip(words[::2], words[1::2]))

    def list(self, key):
        return self.call("LRANGE", key, 0, -1)

    def stream(self, key):
        return [entry[1] for entry in self.call("XRANGE", key, "-", "+")]

    def names(self, directory):
        out = self.ok(f"find '{directory}' -mindepth 1 -maxdepth 1 -printf '%f\\0'", timeout=60)
        return sorted(out.split(b"\0")[:-1])

    def keys(self):
        return sum(server.call("DBSIZE") for server in CLUSTER.masters())


class Hashes(OnMount):
    def test_fields_are_files(self):
        self.call("HSET", "h", "f", "value", "g", "", "n", "line\n")
        self.assertEqual(self.ok("stat -c '%F %a' h"), b"directory 700\n")
        self.assertEqual(self.names("h"), [b"f", b"g", b"n"])
        self.assertEqual(self.ok("cat h/f h/g h/n"), b"valueline\n")
        self.assertEqual(self.ok("stat -c '%F %s %a' h/f h/g"), b"regular file 5 600\nregular empty file 0 600\n")
        self.fails("cat h/none", "No such file or directory")
        self.fails("cat h", "Is a directory")
        self.fails("cat h/f/x", "Not a directory")
        self.fails("cd h/f", "Not a directory")

    def test_writing(self):
        self.call("HSET", "h", "f", "value", "g", "v")
        self.ok("echo new > h/f; echo made > h/made; : > h/empty; touch h/touched h/g")
        expected = {b"f": b"new\n", b"g": b"v", b"made": b"made\n", b"empty": b"", b"touched": b""}
        self.assertEqual(self.hash("h"), expected)
        self.ok("printf more >> h/f; printf first >> h/appended; truncate -s 2 h/made; truncate -s 3 h/g")
        self.assertEqual(self.hash("h")[b"f"], b"new\nmore")
        self.assertEqual(self.hash("h")[b"appended"], b"first")
        self.assertEqual(self.hash("h")[b"made"], b"ma")
        self.assertEqual(self.hash("h")[b"g"], b"v\0\0")
        self.ok("printf XY | dd of=h/f bs=1 seek=1 conv=notrunc status=none")
        self.assertEqual(self.hash("h")[b"f"], b"nXY\nmore")
        self.ok("printf Z | dd of=h/g bs=1 seek=5 conv=notrunc status=none")
        self.assertEqual(self.hash("h")[b"g"], b"v\0\0\0\0Z")

    def test_removing(self):
        self.call("HSET", "h", "a", "1", "b", "2", "c", "3")
        self.ok("rm h/a")
        self.assertEqual(self.hash("h"), {b"b": b"2", b"c": b"3"})
        self.fails("rm h/a", "No such file or directory")
        self.fails("rmdir h", "Directory not empty")
        self.fails("rm h", "Is a directory")
        self.ok("rm h/b h/c")
        self.assertEqual(self.call("EXISTS", "h"), 0)
        self.ok("test -d h; ls -A h; ls | grep -qx h; echo 4 > h/d")
        self.assertEqual(self.hash("h"), {b"d": b"4\n"})

    def test_exclusive(self):
        self.call("HSET", "h", "f", "v")
        script = """
import os
def attempt(name):
    try:
        f = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        os.write(f, b"mine"); os.close(f)
        return "made"
    except FileExistsError:
        return "exists"
print(attempt("h/f"), attempt("h/g"), attempt("h/g"))
"""
        self.assertEqual(MOUNT.python(script), "exists made exists\n")
        self.assertEqual(self.hash("h"), {b"f": b"v", b"g": b"mine"})

    def test_exclusive_among_many(self):
        self.call("HSET", "h", "f", "v")
        script = """
for i in $(seq 50); do (set -C; echo $$ > h/x$i) 2>/dev/null && echo made; done; true
"""
        runs = [MOUNT, OTHER]
        made = b"".join(mount.ok(f"({script}) & ({script}) & wait") for mount in runs)
        self.assertGreaterEqual(made.count(b"made"), 50)
        self.assertEqual(self.call("HLEN", "h"), 51)

    def test_appends_of_many(self):
        self.call("HSET", "h", "f", "")
        self.ok("for w in 1 2 3 4; do (for i in $(seq 50); do echo $w-$i >> h/f; done) & done; wait", timeout=60)
        lines = sorted(self.hash("h")[b"f"].split())
        self.assertEqual(lines, sorted(f"{w}-{i}".encode() for w in range(1, 5) for i in range(1, 51)))

    def test_mv_within(self):
        self.call("HSET", "h", "a", "1", "b", "2")
        self.ok("mv h/a h/c")
        self.assertEqual(self.hash("h"), {b"c": b"1", b"b": b"2"})
        self.ok("mv h/c h/b; sed -i s/1/one/ h/b; test ! -e h/c")
        self.assertEqual(self.hash("h"), {b"b": b"one"})
        self.ok("echo x > h/y; exec 3>> h/y; mv h/y h/z; echo more >&3; exec 3>&-; cat h/z")
        self.assertEqual(self.hash("h"), {b"b": b"one", b"z": b"x\nmore\n"})

    def test_mv_between(self):
        self.call("HSET", "h", "a", "1")
        self.call("HSET", "g", "b", "2")
        self.call("SET", "s", "3")
        self.ok("mv h/a g/a; mv s g/s; mv g/b k")
        self.assertEqual(self.hash("g"), {b"a": b"1", b"s": b"3"})
        self.assertEqual(self.call("GET", "k"), b"2")
        self.assertEqual(self.call("EXISTS", "h"), 0)

    def test_large_values(self):
        self.call("HSET", "h", "f", "v")
        for size in (4096, 65536, 65537, 1 << 20, 20_000_001):
            value = os.urandom(size)
            self.ok("cat > h/f", stdin=value, timeout=60)
            self.assertEqual(self.hash("h")[b"f"], value)
            self.assertEqual(self.ok("cat h/f"), value)
            self.assertEqual(self.ok("tail -c 5 h/f"), value[-5:])

    def test_what_is_written_is_seen_at_once_or_not_at_all(self):
        self.call("HSET", "h", "f", "old")
        out = self.ok("exec 3> h/f; cat h/f; redis() { :; }; printf 'new' >&3; cat h/f; exec 3>&-; cat h/f")
        self.assertEqual(out, b"newnew")
        self.call("HSET", "h", "f", "old")
        script = """
import os, subprocess, sys
f = os.open("h/f", os.O_WRONLY | os.O_TRUNC)
print(subprocess.run(["cat", sys.argv[1] + "/h/f"], capture_output=True).stdout)
os.write(f, b"x" * 4096)
os.close(f)
print(len(subprocess.run(["cat", sys.argv[1] + "/h/f"], capture_output=True).stdout))
"""
        self.assertEqual(MOUNT.python(script, OTHER.path), "b'old'\n4096\n")

    def test_a_reader_keeps_its_version(self):
        first, second = os.urandom(300_000), os.urandom(300_000)
        self.call("HSET", "h", "f", first)
        self.call("HSET", "h", "new", second)
        write = f"cat {OTHER.path}/h/new > {OTHER.path}/h/f"
        self.assertEqual(self.ok(f"exec 3< h/f; head -c 1000 <&3 | wc -c; {write}; tail -c 5 <&3"), b"1000\n" + first[-5:])
        self.assertEqual(self.ok("cat h/f"), second)

    def test_the_time_tells_of_changes(self):
        self.call("HSET", "h", "f", "one")
        self.ok("stat h/f; stat h/f")
        before = self.ok("stat -c %y h/f")
        self.assertEqual(self.ok("stat -c %y h/f"), before)
        self.call("HSET", "h", "f", "two")
        self.assertNotEqual(self.ok("stat -c %y h/f"), before)
        self.ok("touch -d 2001-02-03 h/f; test $(stat -c %Y h/f) = $(date -d 2001-02-03 +%s); chmod 640 h/f")
        self.assertEqual(self.ok("stat -c %a h/f"), b"640\n")

    def test_vim_and_python(self):
        self.call("HSET", "h", "f", "one\n")
        self.ok("python3 -c \"open('h/f', 'a').write('two\\n'); open('h/g', 'w').write('x' * 10000)\"")
        self.assertEqual(self.hash("h"), {b"f": b"one\ntwo\n", b"g": b"x" * 10000})

    def test_ls_l_shows_the_sizes(self):
        sizes = {f"f{i}": i % 97 for i in range(3000)}
        self.call("HSET", "h", *(word for name, size in sizes.items() for word in (name, "x" * size)))
        self.call("SADD", "s", *sizes)
        for _ in range(2):
            rows = [line.split() for line in self.ok("ls -l h", timeout=60).decode().splitlines()[1:]]
            self.assertEqual({row[8]: int(row[4]) for row in rows}, sizes)
        self.assertEqual(self.ok("ls -l s | awk '{ n += $5 } END { print NR, n }'", timeout=60), b"3001 0\n")
        self.call("HSET", "h", "f1", "longer")
        time.sleep(0.1)
        self.assertEqual(self.ok("stat -c %s h/f1"), b"6\n")
        self.assertEqual(self.ok("echo new > h/f2; ls -l h/f2 | cut -d ' ' -f 5"), b"4\n")

    def test_an_expiry_stays(self):
        self.call("HSET", "h", "f", "v")
        self.call("EXPIRE", "h", 1000)
        self.ok("echo w > h/f; echo x >> h/g")
        self.assertGreater(self.call("TTL", "h"), 900)


class Lists(OnMount):
    def setUp(self):
        super().setUp()
        self.call("RPUSH", "l", "a", "b", "c")

    def test_elements_are_files(self):
        self.assertEqual(self.names("l"), [b"0", b"1", b"2"])
        self.assertEqual(self.ok("cat l/0 l/1 l/2"), b"abc")
        self.assertEqual(self.ok("stat -c %s l/1"), b"1\n")
        for name in ("3", "00", "01", "-1", "x", "+1", "99999999999", "%"):
            self.fails(f"cat l/{name}", "No such file or directory")

    def test_writing(self):
        self.ok("printf B > l/1; printf c >> l/2; printf d > l/3; truncate -s 0 l/0")
        self.assertEqual(self.list("l"), [b"", b"B", b"cc", b"d"])
        self.fails("echo x > l/9", "Invalid argument")
        self.fails("echo x > l/x", "Invalid argument")
        self.fails("mv l/0 l/1", "Operation not permitted")
        self.assertEqual(self.list("l"), [b"", b"B", b"cc", b"d"])

    def test_push(self):
        self.ok("echo x > l/%push; printf y >> l/%push; (echo one; echo two) > l/%push")
        self.assertEqual(self.list("l")[3:], [b"x\n", b"y", b"one\ntwo\n"])
        self.ok("printf 'b\\0' | tee l/%push > /dev/null; cp l/0 l/%push; : > l/%push")
        self.assertEqual(self.list("l")[6:], [b"b\0", b"a"])
        self.assertEqual(self.ok("stat -c %a l/%push"), b"200\n")
        value = os.urandom(3_000_000)
        self.ok("cat > l/%push", stdin=value)
        self.assertEqual(self.list("l")[8], value)
        self.fails("cat l/%push", "Permission denied")
        self.fails("rm l/%push", "Operation not permitted")

    def test_push_of_many(self):
        self.ok("for w in 1 2 3 4; do (for i in $(seq 50); do echo $w-$i > l/%push; done) & done; wait", timeout=60)
        self.assertEqual(len(set(self.list("l"))), 203)

    def test_only_the_ends_are_removed(self):
        self.fails("rm l/1", "Operation not permitted")
        self.ok("rm l/2")
        self.assertEqual(self.list("l"), [b"a", b"b"])
        self.ok("rm l/0; cat l/0")
        self.assertEqual(self.list("l"), [b"b"])

    def test_rm_r(self):
        self.call("RPUSH", "l", *range(2000))
        self.ok("rm -r l", timeout=60)
        self.assertEqual(self.keys(), 0)
        self.assertEqual(self.ok("ls"), b"")

    def test_rm_r_of_so_many_that_rm_sorts_them(self):
        for i in range(12):
            self.call("RPUSH", "l", *range(1000))
        self.ok("rm -r l", timeout=120)
        self.assertEqual(self.keys(), 0)


class Sets(OnMount):
    def test_members_are_empty_files(self):
        self.call("SADD", "s", "a", "b", "")
        self.assertEqual(self.names("s"), [b"%", b"a", b"b"])
        self.assertEqual(self.ok("cat s/*; stat -c %s s/a"), b"0\n")
        self.ok("touch s/a s/new; : > s/b; : > s/c; rm s/a; mv s/b s/moved")
        self.assertEqual(sorted(self.call("SMEMBERS", "s")), [b"", b"c", b"moved", b"new"])
        self.fails("echo x > s/c", "Operation not permitted")
        self.fails("truncate -s 5 s/c", "Operation not permitted")
        self.fails("rm s/a", "No such file or directory")
        self.fails("bash -c 'set -C; : > s/c'", "exist")

    def test_tests_of_membership(self):
        self.call("SADD", "s", *range(100))
        self.assertEqual(self.ok("test -e s/42 && echo in; test -e s/100 || echo out"), b"in\nout\n")


class SortedSets(OnMount):
    def test_scores_are_lines(self):
        self.call("ZADD", "z", "1.5", "a", "-2", "b", "inf", "c")
        self.assertEqual(self.ok("cat z/a z/b z/c"), b"1.5\n-2\ninf\n")
        self.assertEqual(self.ok("stat -c %s z/a"), b"4\n")
        self.ok("echo 3 > z/a; printf 1e3 > z/new; touch z/zero; rm z/c; mv z/b z/moved; echo ' 7 ' > z/seven")
        expected = {b"a": b"3", b"new": b"1000", b"zero": b"0", b"moved": b"-2", b"seven": b"7"}
        self.assertEqual(self.zset("z"), expected)
        for bad in ("x", "1 2", "nan", "1,5"):
            self.fails(f"echo '{bad}' > z/a", "Invalid argument")
            self.fails(f"echo '{bad}' > z/fresh", "Invalid argument")
        self.fails("echo 4 >> z/a", "Invalid argument")
        self.assertEqual(self.zset("z"), expected)
        self.ok("echo 0.1 > z/a; cat z/a > z/b")
        self.assertEqual(self.call("ZSCORE", "z", "a"), self.call("ZSCORE", "z", "b"))


class Streams(OnMount):
    def setUp(self):
        super().setUp()
        self.call("XADD", "x", "1-1", "f", "v")
        self.call("XADD", "x", "2-1", "tab\t", "new\nline", "b", "\\ \0\x01\xff")

    def test_the_log_has_a_line_an_entry(self):
        self.assertEqual(self.names("x"), [b"%log"])
        lines = b"1-1\tf\tv\n2-1\ttab\\t\tnew\\nline\tb\t\\\\ \\0\\x01\xc3\xbf\n"
        self.assertEqual(self.ok("cat x/%log"), lines)
        self.assertEqual(self.ok("wc -c < x/%log; tail -n 1 x/%log"), b"%d\n" % len(lines) + lines[8:])
        self.assertEqual(self.ok("tail -c +5 x/%log | head -c 3"), b"f\tv")

    def test_lines_become_entries(self):
        self.ok("printf 'a\\tb\\n' >> x/%log; printf 'c\\td\\n\\ne\\tf\\\\n\\tg\\th\\n' > x/%log; printf 'i\\tj' >> x/%log")
        expected = [[b"a", b"b"], [b"c", b"d"], [b"e", b"f\n", b"g", b"h"], [b"i", b"j"]]
        self.assertEqual(self.stream("x")[2:], expected)
        for bad in ("odd", "1-1\\tf\\tv", "a\\t\\\\q"):
            self.fails(f"printf '{bad}\\n' > x/%log", "Invalid argument")
        self.assertEqual(len(self.stream("x")), 6)
        self.fails("truncate -s 0 x/%log", "Operation not permitted")

    def test_what_is_read_can_be_written(self):
        self.ok("mkdir y%stream; cut -f 2- x/%log > y/%log")
        self.assertEqual(self.stream("y"), self.stream("x"))

    def test_many(self):
        lines = b"".join(b"n\t%d\n" % i for i in range(10000))
        self.ok("cat >> x/%log", stdin=lines, timeout=60)
        self.assertEqual(self.call("XLEN", "x"), 10002)
        self.assertEqual(self.ok("cut -f 2- x/%log | tail -n +3", timeout=60), lines)

    def test_tail_f(self):
        script = """
import subprocess, sys, time
tail = subprocess.Popen(["tail", "-n", "1", "-s", "0.1", "-f", "x/%log"], stdout=subprocess.PIPE)
print(tail.stdout.readline().split(b"\\t")[0])
for i in range(3):
    subprocess.run(["bash", "-c", f"printf 'i\\\\t{i}\\\\n' >> {sys.argv[1]}/x/%log"], check=True)
    print(tail.stdout.readline().split(b"\\t", 1)[1])
tail.kill()
tail.wait()
"""
        out = MOUNT.python(script, OTHER.path)
        self.assertEqual(out, "b'2-1'\n" + "".join(f"b'i\\t{i}\\n'\n" for i in range(3)))

    def test_rm_r(self):
        self.ok("rm -r x")
        self.assertEqual(self.keys(), 0)


class Directories(OnMount):
    def fill(self, count=3):
        """One of each type."""
        for i in range(count):
            self.call("HSET", "h", f"f{i}", f"v{i}")
            self.call("RPUSH", "l", f"v{i}")
            self.call("SADD", "s", f"m{i}")
            self.call("ZADD", "z", i, f"m{i}")
            self.call("XADD", "x", "*", "f", i)

    def test_mkdir_makes_what_it_says(self):
        self.ok("mkdir h h2%hash l%list s%set z%zset x%stream; ls")
        self.assertEqual(self.keys(), 0)
        self.assertEqual(self.ok("ls").split(), [b"h", b"h2", b"l", b"s", b"x", b"z"])
        self.assertEqual(self.ok("find . -mindepth 1 -type d | wc -l"), b"6\n")
        self.ok("echo v > h/f; echo v > h2/f; echo v > l/0; touch s/m; echo 1 > z/m; printf 'f\\tv\\n' > x/%log")
        types = [self.call("TYPE", key) for key in ("h", "h2", "l", "s", "z", "x")]
        self.assertEqual(types, [b"hash", b"hash", b"list", b"set", b"zset", b"stream"])
        self.assertEqual(self.ok("ls").split(), [b"h", b"h2", b"l", b"s", b"x", b"z"])
        for name in ("h", "h%set", "l"):
            self.fails(f"mkdir {name}", "File exists")
        self.fails("mkdir 'k%no'", "Invalid argument")
        self.fails("mkdir h/d", "Operation not permitted")

    def test_mkdir_over_a_string(self):
        self.call("SET", "k", "v")
        self.fails("mkdir k", "File exists")
        self.fails("mkdir 'k%set'", "File exists")
        self.assertEqual(self.call("GET", "k"), b"v")

    def test_rmdir(self):
        self.ok("mkdir d e%set; rmdir d e; test ! -e d; test ! -e e; mkdir d%zset; touch d/m")
        self.fails("rmdir d", "Directory not empty")
        self.ok("rm d/m; rmdir d")
        self.fails("rmdir d", "No such file or directory")
        self.call("SET", "k", "v")
        self.fails("rmdir k", "Not a directory")
        self.assertEqual(self.ok("ls"), b"k\n")

    def test_an_empty_directory_that_others_fill(self):
        self.ok("mkdir d e%set")
        self.call("HSET", "d", "f", "v")
        self.call("SET", "e", "v")
        self.assertEqual(self.ok("ls; cat d/f e"), b"d\ne\nvv")
        self.call("DEL", "d")
        self.fails("ls d", "No such file or directory")

    def test_rm_r(self):
        self.fill(100)
        self.ok("rm -r h l s z x", timeout=60)
        self.assertEqual(self.keys(), 0)
        self.assertEqual(self.ok("ls -A"), b"")
        self.fill(100)
        self.ok("find . -mindepth 1 -delete", timeout=60)
        self.assertEqual(self.keys(), 0)
        self.assertEqual(self.ok("ls -A"), b"")

    def test_rm_r_of_many_while_others_add(self):
        for i in range(0, 30000, 1000):
            self.call("HSET", "h", *(word for j in range(i, i + 1000) for word in (f"f{j}", j)))
        self.assertEqual(len(self.names("h")), 30000)
        self.ok(f"rm -r h & for i in $(seq 20); do echo v > {OTHER.path}/h/new$i; done; wait; rm -rf h", timeout=120)
        self.assertEqual(self.keys(), 0)

    def test_mv_in_a_slot_and_across(self):
        for target in ("{h}2", "other", "a", "b", "c"):
            self.call("HSET", "h", "f", "v")
            self.call("EXPIRE", "h", 1000)
            self.ok(f"mv h '{target}'; test ! -e h; cat '{target}/f'")
            self.assertEqual(self.hash(target), {b"f": b"v"})
            self.assertGreater(self.call("TTL", target), 900)
            self.ok(f"rm -r '{target}'")
        self.fill()
        for key in "lszx":
            self.ok(f"mv {key} {key}2")
            self.assertEqual((self.call("EXISTS", key), self.call("EXISTS", key + "2")), (0, 1))

    def test_mv_of_an_open_directory(self):
        self.call("HSET", "h", "f", "v", "g", "w")
        self.ok("cd h; exec 3>> f 4< g 5> new; mv ../h ../moved; echo x >&3; cat <&4; echo y >&5; cat f; ls")
        self.assertEqual(self.hash("moved"), {b"f": b"vx\n", b"g": b"w", b"new": b"y\n"})
        self.assertEqual(self.call("EXISTS", "h"), 0)

    def test_mv_over_directories(self):
        self.call("HSET", "h", "f", "v")
        self.call("HSET", "full", "f", "v")
        self.call("SET", "k", "v")
        self.fails("mv -T h full", "not empty")
        self.fails("mv -T h k", "cannot overwrite non-directory")
        self.fails("mv -T k h", "cannot overwrite directory")
        self.ok("mkdir empty; mv -T h empty; mv empty full2; mkdir e1 e2; mv -T e1 e2; mv e2 e3; test -d e3 -a ! -e e1")
        self.assertEqual(self.hash("full2"), {b"f": b"v"})
        self.fails("mv full full2/x", "")
        self.assertEqual(self.hash("full"), {b"f": b"v"})

    def test_trees_of_programs(self):
        rng = random.Random(3)
        for key in ("h1", "h2", "{x}h3"):
            self.call("HSET", key, *(word for i in range(40) for word in (f"f{i}", rng.randbytes(rng.randrange(9000)))))
        self.ok("cp -r h1 copy; diff -r h1 copy; cp -a . $(mktemp -d ../tree.XXXX); diff -r . ../tree.*", timeout=60)
        self.assertEqual(self.hash("copy"), self.hash("h1"))
        self.ok("tar cf ../all.tar h1 h2; rm -r h1 h2; tar xf ../all.tar; tar df ../all.tar; diff -r h1 ../tree.*/h1")
        self.assertEqual(self.hash("copy"), self.hash("h1"))
        self.assertEqual(len(self.ok("find . -type f").split()), 160)
        self.assertEqual(len(self.ok("grep -rlza ''  .").split()), 160)
        self.assertEqual(self.ok("du -a . | wc -l"), b"165\n")

    def test_attributes(self):
        self.fill()
        script = """
import os
for name in "hlszx":
    print(os.getxattr(name, "user.redis.type").decode(), end=" ")
    os.setxattr(name, "user.redis.ttl", b"1000")
for name in ("h/f0", "l/0", "s/m0", "x/%log"):
    try:
        print(os.getxattr(name, "user.redis.type"))
    except OSError as error:
        print(error.errno, end=" ")
"""
        self.assertEqual(MOUNT.python(script), "hash list set zset stream 61 61 61 61 ")
        for key in "hlszx":
            self.assertGreater(self.call("TTL", key), 900)

    def test_a_read_only_mount(self):
        self.fill()
        with Mount(CLUSTER.uri, options="ro") as mount:
            self.assertEqual(mount.ok("cat h/f0 l/0 z/m1 s/m0; wc -l < x/%log"), b"v0v01\n3\n")
            for command in ("echo v > h/f0", "rm h/f0", "mkdir d", "echo x > l/%push", "touch s/n"):
                self.assertIn("Read-only file system", mount.run(command).err)
            mount.end()


class Names(OnMount):
    KEYS = (
        b"",
        b".",
        b"..",
        b".shardfs",
        b"/",
        b"a/b/../c",
        b"%",
        b"%41",
        b"%push",
        b"%log",
        b"nul\0nul",
        b" ",
        b"new\nline",
        b"-rf",
        b"*",
        b"\xff\xfe",
        "größe".encode(),
        b"x" * 255,
        b"x" * 256,
        b"{t}" + b"y" * 5000,
        b"/" * 200,
    )

    # Every member is read, written, appended to, renamed there and back, removed: under the name that is listed.
    USE = """
import os, sys
directory, has_values = sys.argv[1], sys.argv[2] == "1"
os.chdir(directory)
for name in os.listdir(b"."):
    if has_values:
        with open(name, "rb") as file:
            value = file.read()
        with open(name, "wb") as file:
            file.write(value)
        assert os.stat(name).st_size == len(value), name
        with open(name, "ab") as file:
            file.write(b"")
    os.rename(name, b"elsewhere")
    assert not os.path.exists(name), name
    os.rename(b"elsewhere", name) if len(name) < 255 and not name.startswith(b"%~") else None
    if os.path.exists(b"elsewhere"):
        os.unlink(b"elsewhere")
        continue
    assert os.path.exists(name), name
    if sys.argv[3] == "rm":
        os.unlink(name)
print(len(os.listdir(b".")))
"""

    def test_every_name_in_every_type(self):
        for key in ("h", "s", "z"):
            for member in self.KEYS:
                words = {"h": ("HSET", member, b"v" + member[:9]), "s": ("SADD", member), "z": ("ZADD", 7, member)}[key]
                self.call(words[0], key, *words[1:])
            with self.subTest(key):
                self.assertEqual(self.names(key), sorted(map(listed, self.KEYS)))
                short = [member for member in self.KEYS if len(encode(member)) < 255]
                out = MOUNT.python(self.USE, key, "1" if key != "s" else "0", "keep", timeout=60)
                self.assertEqual(out, f"{len(short)}\n")
                count = self.call({"h": "HLEN", "s": "SCARD", "z": "ZCARD"}[key], key)
                self.assertEqual(count, len(short))
                if key == "h":
                    self.assertEqual(self.hash("h"), {member: b"v" + member[:9] for member in short})
                MOUNT.python(self.USE, key, "0", "rm", timeout=60)
                self.assertEqual(self.call("EXISTS", key), 0)

    def test_every_name_of_a_directory(self):
        for key in self.KEYS:
            self.call("HSET", key, key, b"value of " + key[:20])
        self.assertEqual(self.names("."), sorted(map(listed, self.KEYS)))
        script = """
import os
for name in os.listdir(b"."):
    (field,) = os.listdir(name)
    assert field == name, (field, name)
    with open(name + b"/" + field, "rb") as file:
        assert file.read().startswith(b"value of "), name
    with open(name + b"/new", "wb") as file:
        file.write(b"v")
    os.unlink(name + b"/new"), os.unlink(name + b"/" + field), os.rmdir(name)
"""
        MOUNT.python(script, timeout=60)
        self.assertEqual(self.keys(), 0)

    def test_names_that_make_directories(self):
        self.ok("mkdir % %2E a%2Fb '%%set' 'a%25set' 'x%set'; for d in *; do ls -d -- \"$d\"; done; touch x/m %/m %2E/m")
        self.assertEqual(self.call("TYPE", ""), b"hash")
        self.assertEqual(self.call("TYPE", "."), b"hash")
        self.assertEqual(self.call("TYPE", "x"), b"set")

    def test_other_names_are_no_members(self):
        self.call("HSET", "h", "A", "v")
        for name in ("%41", "a%", "%2f", "%val", "%push", "%log", ".shardfs"):
            self.fails(f"cat 'h/{name}'", "No such file or directory")
            self.fails(f"echo v > 'h/{name}'", "Invalid argument")
        self.fails("cat h/%~0000-0000000000000000", "No such file or directory")
        self.assertEqual(self.hash("h"), {b"A": b"v"})


class Changes(OnMount):
    """What others do meanwhile."""

    def test_a_type_that_changes_under_an_open_file(self):
        for make in (("SET", "k", "text"), ("RPUSH", "k", "text"), ("SADD", "k", "f"), ("ZADD", "k", "1", "f")):
            self.call("DEL", "k")
            self.call("HSET", "k", "f", "x" * 100000, "g", "v")
            script = """
import errno, os, sys
def attempt(call, *args):
    try:
        return call(*args) and "ok"
    except OSError as error:
        return errno.errorcode[error.errno]
os.chdir("k")
files = [os.open("f", os.O_RDONLY), os.open("g", os.O_WRONLY | os.O_APPEND), os.open("g", os.O_WRONLY)]
listing = os.scandir(".")
print("ready", flush=True)
sys.stdin.readline()
print(attempt(os.read, files[0], 10), attempt(os.write, files[1], b"x"), attempt(os.pwrite, files[2], b"x", 0))
print(attempt(os.stat, "f"), attempt(os.open, "f", os.O_RDONLY), attempt(os.open, "new", os.O_CREAT | os.O_EXCL))
print(attempt(os.unlink, "g"), attempt(os.rename, "f", "h"))
"""
            with subprocess.Popen(
                [sys.executable, "-c", script], cwd=MOUNT.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            ) as process:
                process.stdout.readline()
                self.call("DEL", "k")
                self.call(*make)
                time.sleep(0.1)
                out = process.communicate(b"\n", timeout=30)[0].decode().split()
            with self.subTest(make):
                self.assertEqual(process.returncode, 0)
                self.assertLessEqual(set(out), {"ESTALE", "ENOENT", "EISDIR"}, out)
            value = {"SET": ("GET", "k"), "RPUSH": ("LRANGE", "k", 0, -1)}.get(make[0])
            if value:
                self.assertIn(self.call(*value), (b"text", [b"text"]))
            self.ok("stat k; ls -l . ; cat k 2>/dev/null || ls k")

    def test_a_path_follows_the_type(self):
        for i in range(3):
            self.call("DEL", "k")
            self.call("SET", "k", "v")
            self.assertEqual(self.ok("cat k"), b"v")
            self.call("DEL", "k")
            self.call("HSET", "k", "f", "w")
            self.assertEqual(self.ok("cat k/f"), b"w")
            self.call("DEL", "k")
            self.call("SADD", "k", "f")
            self.assertEqual(self.ok("cat k/f; ls k"), b"f\n")
            self.call("DEL", "k")
            self.fails("ls k", "No such file or directory")

    def test_a_member_that_goes_away_under_an_open_file(self):
        self.call("HSET", "h", "f", "value", "g", "v")
        out = self.ok(f"exec 3< h/f 4>> h/f 5<> h/f; cat <&3; rm {OTHER.path}/h/f; echo x >&4; cat h/f")
        self.assertEqual(out, b"valuex\n")
        self.fails(f"exec 5<> h/f; rm {OTHER.path}/h/f; echo x >&5", "Stale file handle")
        self.assertEqual(self.hash("h"), {b"g": b"v"})
        self.assertEqual(self.ok("exec 3< h/g; head -c 1 <&3; rm h/g; ls h; exec 3<&-"), b"v")

    def test_two_mounts_see_each_other(self):
        self.ok(f"mkdir h; echo 1 > h/f; cat {OTHER.path}/h/f; echo 2 > {OTHER.path}/h/g; rm {OTHER.path}/h/f")
        self.assertEqual(self.ok("ls h; cat h/g"), b"g\n2\n")
        self.ok(f"rm -r {OTHER.path}/h")
        self.fails("ls h", "No such file or directory")

    def test_random_types_while_files_are_used(self):
        """Nothing but the errors of the table, and the daemon lives."""
        script = """
import errno, os, random, time
rng = random.Random(5)
end = time.monotonic() + 6
seen = set()
while time.monotonic() < end:
    key = f"k{rng.randrange(3)}"
    name = f"{key}/{rng.choice(['f', '0', '1', '%push', '%log'])}"
    try:
        match rng.randrange(9):
            case 0: os.listdir(key)
            case 1: open(name, "rb").read()
            case 2: open(name, "wb").write(b"1")
            case 3: open(name, "ab").write(b"1")
            case 4: os.unlink(name)
            case 5: os.rename(name, key + "/g")
            case 6: os.stat(name)
            case 7: os.truncate(name, 3)
            case 8: open(key, "rb").read()
    except OSError as error:
        seen.add(errno.errorcode[error.errno])
print(*sorted(seen))
"""
        users = [
            subprocess.Popen([sys.executable, "-c", script], cwd=mount.path, stdout=subprocess.PIPE)
            for mount in (MOUNT, OTHER, MOUNT)
        ]
        rng = random.Random(6)
        makers = [
            lambda key: self.call("SET", key, "v"),
            lambda key: self.call("HSET", key, "f", "v", "0", "w"),
            lambda key: self.call("RPUSH", key, "v", "w"),
            lambda key: self.call("SADD", key, "f", "0"),
            lambda key: self.call("ZADD", key, 1, "f", 2, "0"),
            lambda key: self.call("XADD", key, "*", "f", "v"),
            lambda key: None,
        ]
        while any(user.poll() is None for user in users):
            key = f"k{rng.randrange(3)}"
            self.call("DEL", key)
            try:
                rng.choice(makers)(key)
            except Reply:
                pass  # somebody has made it again
            time.sleep(0.005)
        allowed = {"ENOENT", "ESTALE", "EISDIR", "ENOTDIR", "EPERM", "EINVAL", "EACCES", "EEXIST", "EXDEV"}
        for user in users:
            out = user.communicate(timeout=30)[0].decode().split()
            self.assertEqual(user.returncode, 0)
            self.assertLessEqual(set(out), allowed)


class Faults(unittest.TestCase):
    def test_a_server_that_does_not_answer(self):
        with Server() as server, Mount(server.uri, timeout=700, options="cache=off") as mount:
            server.call("HSET", "h", "f", "v")
            server.call("RPUSH", "l", "v")
            server.call("XADD", "x", "*", "f", "v")
            mount.ok("ls h; cat h/f")
            server.pause()
            try:
                for command in ("cat h/f", "ls h", "echo v > h/f", "echo v > l/%push", "cat x/%log", "mkdir d"):
                    result = mount.run(f"timeout -s KILL 10 {command}" if command[0] != "e" else command)
                    self.assertNotEqual(result.status, 0, command)
                    self.assertLess(result.seconds, 5)
                    self.assertIn("timed out", result.err)
            finally:
                server.resume()
            self.assertEqual(mount.ok("cat h/f l/0"), b"vv")
            server.call("CONFIG", "SET", "maxmemory", "1")
            for command in ("echo v > h/f", "echo v >> h/f", "echo v | tee l/%push", "printf 'a\\tb\\n' > x/%log"):
                self.assertIn("No space left", mount.run(command).err, command)
            mount.end()

    def test_what_is_open_when_the_daemon_ends_is_stored(self):
        with Server() as server, Mount(server.uri) as mount:
            server.call("RPUSH", "l", "v")
            server.call("XADD", "x", "1-1", "f", "v")
            script = "exec 3> l/%push 4>> x/%log 5> h/f; printf new >&3; printf 'a\\tb' >&4; exec 1>&-; sleep 60"
            mount.ok("mkdir h")
            writer = subprocess.Popen(
                ["bash", "-c", script], cwd=mount.path, stdout=subprocess.PIPE, start_new_session=True
            )
            try:
                writer.stdout.read()  # to its end
                mount.daemon.terminate()
                self.assertEqual(mount.wait(), 0)
                self.assertEqual(server.call("LRANGE", "l", 0, -1), [b"v", b"new"])
                self.assertEqual(server.call("XRANGE", "x", "-", "+")[1][1], [b"a", b"b"])
                self.assertEqual(server.call("HGETALL", "h"), [b"f", b""])
            finally:
                os.killpg(writer.pid, 9)
                writer.communicate()

    def test_a_user_who_may_only_read(self):
        with Server() as server:
            server.call("HSET", "h", "f", "v")
            server.call("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "+@connection", "+command")
            server.call("ACL", "SETUSER", "reader", "+multi", "+exec", "+@keyspace", "+info", "+cluster")
            with Mount(server.uri.replace("redis://", "redis://reader:secret@")) as mount:
                self.assertEqual(mount.ok("ls h; cat h/f"), b"f\nv")
                for command in ("echo w > h/f", "rm h/f", "echo w >> h/f"):
                    self.assertIn("Permission denied", mount.run(command).err)
                mount.end()
            self.assertEqual(server.call("HGET", "h", "f"), b"v")


class Pools(unittest.TestCase):
    def test_types_in_a_pool(self):
        with_pool = Pool()
        self.addCleanup(with_pool.close)
        with Mount(with_pool.uri) as mount:
            names = [f"k{i}" for i in range(20)]
            mount.ok(f"for k in {' '.join(names)}; do mkdir $k; echo $k > $k/f; echo x >> $k/f; done; mv k0 moved")
            self.assertEqual(mount.ok("cat k7/f moved/f"), b"k7\nx\nk0\nx\n")
            self.assertEqual(len(mount.ok("ls").split()), 20)
            mount.ok("mkdir l%list; echo v > l/%push; cp -r k1 copy; rm -r k* moved copy l; test -z \"$(ls)\"")
            self.assertEqual(sum(server.call("DBSIZE") for server in with_pool.servers), 0)
            mount.end()


if __name__ == "__main__":
    unittest.main()
