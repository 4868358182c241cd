# SPDX-License-Identifier: MIT
"""Keys as files: what the shell and the usual tools do to a file, they do to a key."""

import os
import random
import shutil
import subprocess
import sys
import time
import unittest

from fslib import Mount
from shardtest import Cluster, slot

CLUSTER = None
MOUNT = None


def setUpModule():
    global CLUSTER, MOUNT
    CLUSTER = Cluster(masters=3, replicas=0)
    MOUNT = Mount(CLUSTER.uri)


def tearDownModule():
    try:
        if MOUNT:
            MOUNT.end()
    finally:
        if CLUSTER:
            CLUSTER.close()


class OnMount(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()
        self.mount = MOUNT

    def get(self, key):
        return CLUSTER.call("GET", key)

    def set(self, key, value, *more):
        CLUSTER.call("SET", key, value, *more)

    def ok(self, command, **more):
        return self.mount.ok(command, **more)

    def fails(self, command, text, status=1, **more):
        result = self.mount.run(command, **more)
        self.assertEqual(result.status, status, result)
        self.assertIn(text, result.err)
        return result


class Reading(OnMount):
    def test_cat_shows_the_exact_bytes(self):
        for value in (b"", b"x", b"line\n", bytes(range(256)) * 3, b"v" * 65535, b"v" * 65536, b"v" * 65537):
            self.set("k", value)
            self.assertEqual(self.ok("cat k"), value)

    def test_large_values_are_read_whole(self):
        for size in (1 << 20, (4 << 20) - 1, (4 << 20) + 1, 9_000_001):
            value = os.urandom(size)
            self.set("large", value)
            self.assertEqual(self.ok("cat large"), value)
            self.assertEqual(self.ok("dd if=large bs=100000 status=none"), value)
            self.assertEqual(self.ok("tail -c 5 large"), value[-5:])

    def test_a_missing_key_is_no_such_file(self):
        self.fails("cat nokey", "No such file or directory")
        self.fails("stat nokey", "No such file or directory")
        self.fails("rm nokey", "No such file or directory")
        self.fails("mv nokey other", "No such file or directory")
        self.fails("truncate -c -s 5 nokey && cat nokey", "No such file or directory")

    def test_a_change_is_seen_at_once(self):
        for i in range(20):
            self.set("k", f"value {i}" * (1 + i % 3))
            self.assertEqual(self.ok("cat k").decode(), f"value {i}" * (1 + i % 3))
            self.assertEqual(int(self.ok("stat -c %s k")), len(f"value {i}" * (1 + i % 3)))
        CLUSTER.call("DEL", "k")
        self.fails("cat k", "No such file")

    def test_a_reader_finishes_the_version_that_it_began(self):
        self.set("k", b"a" * 50000)
        self.set("go", b"")
        out = self.mount.python(
            """
import os, subprocess, sys
f = os.open("k", os.O_RDONLY)
data = os.read(f, 100)
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
while part := os.read(f, 1000):
    data += part
print(len(data), set(data))
os.lseek(f, 0, 0)
print(os.read(f, 10))
""",
            *("redis-cli", "-c", "-p", str(CLUSTER.servers[0].port), "SET", "k", "b" * 30),
        )
        self.assertEqual(out, f"50000 {{{ord('a')}}}\n" + "b'bbbbbbbbbb'\n")

    def test_tail_f_follows_appends(self):
        for size in (0, 100, 65530, 300_000, 5_000_000):
            self.set("log", b"x" * size + b"\none\n")
            out = self.ok(
                "timeout 2 tail -n 1 -f -s 0.05 log & sleep 0.5; echo two >> log; sleep 0.3; echo three >> log; "
                "sleep 0.3; head -c 100000 /dev/zero | tr '\\0' y >> log; wait"
            )
            self.assertEqual(out, b"one\ntwo\nthree\n" + b"y" * 100_000, size)

    def test_the_end_is_the_end_where_the_value_was_replaced(self):
        for size in (10, 100_000, 5_000_000):
            self.set("k", b"a" * size)
            self.set("longer", b"b" * (size + 5000))
            out = self.mount.python(
                """
import os
f = os.open("k", os.O_RDONLY)
n = 0
while part := os.read(f, 1 << 20):
    n += len(part)
os.rename("longer", "k")
g = os.open("k", os.O_RDONLY)
print(n, os.fstat(g).st_size - n, len(os.read(f, 100)))
"""
            )
            self.assertEqual(out, f"{size} 5000 0\n")

    def test_large_values_that_change_size_are_stale(self):
        self.set("k", b"a" * 5_000_000)
        self.set("big", b"b" * 5_000_001)
        out = self.mount.python(
            """
import os, subprocess, sys
f = os.open("k", os.O_RDONLY)
data = os.read(f, 100)
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
try:
    while part := os.read(f, 100000):
        data += part
except OSError as error:
    print(error.errno == 116, set(data))
""",
            *("redis-cli", "-c", "-p", str(CLUSTER.servers[0].port), "APPEND", "k", "more"),
        )
        self.assertEqual(out, f"True {{{ord('a')}}}\n")

    def test_no_value_is_torn(self):
        self.set("k", b"<" * 10)
        script = """
import os, sys, time
end = time.monotonic() + 3
seen, stale = set(), 0
while time.monotonic() < end:
    try:
        if len(seen) % 2:
            value = open("k", "rb").read()
        else:
            f = os.open("k", os.O_RDONLY)
            value = b""
            while part := os.read(f, 7000):
                value += part
            os.close(f)
    except OSError as error:
        stale += error.errno == 116
        continue
    assert len(set(value)) == 1, f"{len(value)} bytes of {set(value)}"
    assert len(value) % 10 == value[0] % 10, f"{len(value)} bytes of {value[:1]}"
    seen.add(len(value))
print(len(seen), stale)
"""
        words = [sys.executable, "-c", script]
        running = [subprocess.Popen(words, cwd=self.mount.path, stdout=subprocess.PIPE) for _ in range(3)]
        rng = random.Random(1)
        while any(process.poll() is None for process in running):
            size = rng.choice([1, 50, 5000, 65536, 70000, 300_000])
            size += rng.randrange(size)
            self.set("k", bytes([size % 10 + 60]) * size)
        for process in running:
            seen = int(process.communicate()[0].split()[0])
            self.assertEqual(process.returncode, 0)
            self.assertGreater(seen, 10)

    def test_large_values_of_one_size_are_read_in_one_version(self):
        size = 6_000_000
        script = """
import os, random, sys, time
size, rng = int(sys.argv[1]), random.Random(int(sys.argv[2]))
end = time.monotonic() + 4
whole = stale = 0
while time.monotonic() < end:
    f = os.open("k", os.O_RDONLY)
    seen = set()
    try:
        for _ in range(rng.choice([0, 0, 1, 2, 6])):
            seen |= set(os.pread(f, rng.choice([1, 5000, 200000]), rng.randrange(1, size)))
        assert len(seen) <= 1, seen
        seen = set()  # at offset 0 a reader begins anew
        while part := os.read(f, rng.choice([100_000, 3_000_000])):
            seen |= set(part)
        assert len(seen) == 1, seen
        whole += 1
    except OSError as error:
        assert error.errno == 116, error
        stale += 1
        assert len(seen) <= 1, seen
    os.close(f)
print(whole, stale)
"""
        self.set("k", b"a" * size)
        words = [[sys.executable, "-c", script, str(size), str(i)] for i in range(3)]
        running = [subprocess.Popen(line, cwd=self.mount.path, stdout=subprocess.PIPE) for line in words]
        turn = 0
        while any(process.poll() is None for process in running):
            turn += 1
            self.set("k", bytes([97 + turn % 20]) * size)
            time.sleep(0.1)
        read = 0
        for process in running:
            whole, _ = map(int, process.communicate()[0].split())
            self.assertEqual(process.returncode, 0)
            read += whole
        self.assertGreater(read, 2)

    def test_mmap_reads(self):
        self.set("k", b"0123456789")
        out = self.mount.python(
            "import mmap\nf = open('k', 'rb')\nprint(mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)[3:6])"
        )
        self.assertEqual(out, "b'345'\n")


class Writing(OnMount):
    def test_echo_creates_and_overwrites(self):
        self.ok("echo one > k")
        self.assertEqual(self.get("k"), b"one\n")
        self.ok("echo second > k")
        self.assertEqual(self.get("k"), b"second\n")
        self.ok("echo 2 > k; cat k > other")
        self.assertEqual((self.get("k"), self.get("other")), (b"2\n", b"2\n"))

    def test_echo_is_stored_before_the_command_ends(self):
        for i in range(30):
            self.ok(f"echo {i} > k{i}")
            self.assertEqual(self.get(f"k{i}"), f"{i}\n".encode())

    def test_dash_and_printf(self):
        self.ok("dash -c 'echo from dash > k; printf x%sy 1 >> k'")
        self.assertEqual(self.get("k"), b"from dash\nx1y")

    def test_append(self):
        self.ok("echo one >> k; echo two >> k; for i in 1 2 3; do echo $i >> k; done")
        self.assertEqual(self.get("k"), b"one\ntwo\n1\n2\n3\n")

    def test_append_never_rewrites(self):
        self.set("k", b"x" * 4090)
        self.ok("printf %0100d 7 >> k")
        self.assertEqual(self.get("k"), b"x" * 4090 + b"%0100d" % 7)

    def test_truncation_alone(self):
        self.set("k", "value")
        self.ok(": > k; test ! -s k; > new; test -e new")
        self.assertEqual((self.get("k"), self.get("new")), (b"", b""))

    def test_touch(self):
        self.set("old", "kept")
        self.ok("touch old new; ls -l new")
        self.assertEqual((self.get("old"), self.get("new")), (b"kept", b""))
        self.ok("touch -d '2020-01-02 03:04:05 UTC' old; test $(stat -c %Y old) = 1577934245")

    def test_the_old_value_stays_until_data_comes(self):
        self.set("k", "old")
        # A reader on this mount sees the truncated file; the server still has the old value.
        get = f"redis-cli -c -p {CLUSTER.servers[0].port} GET k"
        self.assertEqual(self.ok(f"(sleep 0.6; echo new) > k & sleep 0.3; cat k; {get}; wait; cat k"), b"old\nnew\n")
        self.assertEqual(self.get("k"), b"new\n")

    def test_two_commands_in_one_redirection(self):
        self.ok("(echo a; echo b; seq 1 3) > k")
        self.assertEqual(self.get("k"), b"a\nb\n1\n2\n3\n")
        self.ok("{ echo a; /bin/echo b; echo c; } > k")
        self.assertEqual(self.get("k"), b"a\nb\nc\n")

    def test_cp_dd_tee_cat(self):
        data = os.urandom(300_000)
        out = self.ok("cat > in; cp in copy; cat copy | tee teed | md5sum > sum; cat copy", stdin=data)
        self.assertEqual(out, data)
        for key in ("in", "copy", "teed"):
            self.assertEqual(self.get(key), data)
        for size in ("1000", "4096", "1M"):
            self.ok(f"dd if=copy of=d{size} bs={size} status=none")
            self.assertEqual(self.get(f"d{size}"), data)

    def test_dd_byte_by_byte(self):
        self.ok("dd if=/dev/zero of=z bs=1 count=300 status=none; dd if=/dev/urandom bs=1 count=100 of=r status=none")
        self.assertEqual(self.get("z"), bytes(300))
        self.assertEqual(len(self.get("r")), 100)

    def test_dd_into_the_middle(self):
        self.set("k", b"0123456789")
        self.ok("printf AB | dd of=k bs=1 seek=4 conv=notrunc status=none")
        self.assertEqual(self.get("k"), b"0123AB6789")
        self.ok("printf Z | dd of=k bs=1 seek=12 conv=notrunc status=none")
        self.assertEqual(self.get("k"), b"0123AB6789\0\0Z")
        self.ok("printf Q | dd of=k bs=1 seek=3 status=none")
        self.assertEqual(self.get("k"), b"012Q")

    def test_large_values_in_and_out(self):
        data = os.urandom(40 << 20)
        self.assertEqual(self.ok("cat > big; cp big big2; cmp big big2 && cat big2", stdin=data, timeout=60), data)
        self.assertEqual(self.get("big"), data)
        self.assertEqual(self.get("big2"), data)

    def test_truncate(self):
        self.set("k", "0123456789")
        self.ok("truncate -s 4 k")
        self.assertEqual(self.get("k"), b"0123")
        self.ok("truncate -s 6 k")
        self.assertEqual(self.get("k"), b"0123\0\0")
        self.ok("truncate -s 0 k; test -e k")
        self.assertEqual(self.get("k"), b"")
        self.ok("truncate -s 5 new")
        self.assertEqual(self.get("new"), bytes(5))

    def test_the_expiry_is_kept(self):
        self.set("k", "old", "EX", 1000)
        self.ok("echo new > k; echo more >> k; truncate -s 5 k; echo x | dd of=k conv=notrunc status=none")
        self.ok(": > k; echo 1 > k")
        self.assertEqual(self.get("k"), b"1\n")
        self.assertGreater(CLUSTER.call("TTL", "k"), 900)

    def test_python_buffered_writes(self):
        out = self.mount.python(
            """
with open("p", "w") as f:
    for i in range(5000):
        f.write(f"line {i}\\n")
with open("p", "a") as f:
    f.write("end\\n")
with open("p", "r+") as f:
    f.seek(5)
    f.write("X")
with open("w+", "w+") as f:
    f.write("hello")
    f.seek(1)
    print(f.read())
    f.truncate(3)
with open("x", "x") as f:
    f.write("only once")
try:
    open("x", "x")
except FileExistsError:
    print("there")
"""
        )
        self.assertEqual(out, "ello\nthere\n")
        text = "".join(f"line {i}\n" for i in range(5000)) + "end\n"
        self.assertEqual(self.get("p").decode(), text[:5] + "X" + text[6:])
        self.assertEqual(self.get("w+"), b"hel")
        self.assertEqual(self.get("x"), b"only once")

    def test_flush_and_fsync_store(self):
        out = self.mount.python(
            """
import os, subprocess, sys
port = sys.argv[1]
def get():
    return subprocess.run(["redis-cli", "-c", "-p", port, "GET", "k"], capture_output=True).stdout
f = open("k", "w")
f.write("x" * 4096)
f.flush()
os.fsync(f.fileno())
print(len(get()))
f.write("y" * 4096)
f.flush()
import time
time.sleep(0.6)
print(len(get()))
f.close()
""",
            str(CLUSTER.servers[0].port),
        )
        self.assertEqual(out, "4097\n8193\n")

    def test_exclusive_create(self):
        self.ok("set -C; echo 1 > k; ! echo 2 > k 2> /dev/null")
        self.assertEqual(self.get("k"), b"1\n")

    def test_a_create_that_does_not_truncate_keeps_what_others_made(self):
        self.mount.python(
            """
import os, subprocess, sys
def redis(*words):
    subprocess.run(["redis-cli", "-c", "-p", sys.argv[1], *words], check=True, stdout=subprocess.DEVNULL)
a, b = (os.open(name, os.O_WRONLY | os.O_CREAT) for name in "ab")
redis("SET", "a", "0123456789")
redis("SET", "b", "theirs")
os.write(a, b"AB")
os.close(a)
os.close(b)
""",
            str(CLUSTER.servers[0].port),
        )
        self.assertEqual((self.get("a"), self.get("b")), (b"AB23456789", b"theirs"))

    def test_mmap_writes(self):
        self.mount.python(
            """
import mmap, os
f = os.open("m", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(f, 10000)
m = mmap.mmap(f, 10000)
m[5000:5005] = b"hello"
m.flush()
m.close()
os.close(f)
"""
        )
        self.assertEqual(self.get("m"), bytes(5000) + b"hello" + bytes(4995))

    def test_read_your_own_writes_in_place(self):
        self.set("k", b"a" * 100)
        out = self.mount.python(
            """
import os
f = os.open("k", os.O_RDWR)
print(os.pread(f, 3, 0))
os.pwrite(f, b"BCD", 50)
print(os.pread(f, 5, 49), os.fstat(f).st_size)
os.pwrite(f, b"END", 100)
print(os.pread(f, 10, 98), os.fstat(f).st_size)
os.ftruncate(f, 51)
print(os.pread(f, 10, 48), os.fstat(f).st_size)
"""
        )
        self.assertEqual(out, "b'aaa'\nb'aBCDa' 100\nb'aaEND' 103\nb'aaB' 51\n")

    def test_a_removed_file_goes_on_in_memory(self):
        out = self.mount.python(
            """
import os
f = open("k", "w+")
f.write("one"); f.flush()
os.unlink("k")
f.write("two"); f.flush()
f.seek(0)
print(f.read(), os.path.exists("k"), os.fstat(f.fileno()).st_nlink)
open("k", "w").write("another")
f.write("three"); f.close()
print(open("k").read())
"""
        )
        self.assertEqual(out, "onetwo False 0\nanother\n")
        self.assertEqual(self.get("k"), b"another")


class Tools(OnMount):
    def test_sed_i(self):
        self.set("conf", "a=1\nb=2\n")
        self.ok("sed -i s/1/one/ conf; sed -i.bak s/2/two/ conf")
        self.assertEqual(self.get("conf"), b"a=one\nb=two\n")
        self.assertEqual(self.get("conf.bak"), b"a=one\nb=2\n")
        self.assertEqual(self.ok("ls").split(), [b"conf", b"conf.bak"])

    @unittest.skipUnless(shutil.which("vim"), "vim is not installed")
    def test_vim(self):
        self.set("text", "first\nsecond\n")
        self.ok("vim -u NONE -es -c '%s/second/2nd/' -c 'normal Goadded' -c wq text < /dev/null")
        self.assertEqual(self.get("text"), b"first\n2nd\nadded\n")
        self.ok("vim -u NONE -es -c 'normal ihello' -c wq fresh < /dev/null")
        self.assertEqual(self.get("fresh"), b"hello\n")
        self.assertEqual(self.ok("ls -A").split(), [b"fresh", b"text"])

    def test_mv_within_and_across_slots(self):
        self.set("{t}a", "value", "EX", 1000)
        self.ok("mv {t}a {t}b; test ! -e {t}a; cat {t}b")
        self.assertEqual(self.get("{t}b"), b"value")
        self.assertNotEqual(slot("{t}b"), slot("other"))
        self.ok("mv {t}b other; test ! -e {t}b; cat other")
        self.assertEqual(self.get("other"), b"value")
        self.assertIsNone(self.get("{t}b"))
        self.assertGreater(CLUSTER.call("TTL", "other"), 900)

    def test_mv_over_and_not_over(self):
        for a, b in (("{t}a", "{t}b"), ("a", "b")):
            self.set(a, "A")
            self.set(b, "B")
            self.ok(f"mv -n '{a}' '{b}'; mv -f '{a}' '{b}'")
            self.assertEqual((self.get(a), self.get(b)), (None, b"A"))
        self.fails(
            "python3 -c 'import ctypes, os; c = ctypes.CDLL(None, use_errno=True); "
            'r = c.renameat2(-100, b"b", -100, b"{t}b", 2); os._exit(ctypes.get_errno() == 22)\'',
            "",
        )
        self.fails(
            "python3 -c 'import ctypes, os; c = ctypes.CDLL(None, use_errno=True); "
            'r = c.renameat2(-100, b"b", -100, b"{t}b", 1); os._exit(ctypes.get_errno() == 17)\'',
            "",
        )
        self.assertEqual(self.get("{t}b"), b"A")

    def test_writing_goes_on_after_mv(self):
        self.ok("exec 3> a; echo 1 >&3; mv a b; echo 2 >&3; exec 3>&-; test ! -e a")
        self.assertEqual((self.get("a"), self.get("b")), (None, b"1\n2\n"))
        self.ok("exec 3> unborn; mv unborn {t}c; echo x >&3")
        self.assertEqual((self.get("unborn"), self.get("{t}c")), (None, b"x\n"))

    def test_tar_both_ways(self):
        self.ok("for i in $(seq 50); do echo $i > f$i; done; tar cf /dev/stdout f* | cat > all.tar")
        self.ok("test $(tar tf all.tar | wc -l) = 50; md5sum f* > sums; rm f*; tar xf all.tar; md5sum -c --quiet sums")

    def test_rsync(self):
        if not shutil.which("rsync"):
            self.skipTest("rsync is not installed")
        self.set("src", os.urandom(100000))
        self.ok("rsync src dst; rsync --inplace --no-whole-file src dst; cmp src dst")

    def test_git_style_lock_files(self):
        self.ok("set -e; (set -C; echo lock > f.lock); mv f.lock f; test $(cat f) = lock")

    def test_what_keys_cannot_be(self):
        self.set("k", "v")
        self.fails("ln k l", "Operation not permitted")
        self.fails("ln -s k l", "Operation not permitted")
        self.fails("mkfifo p", "Operation not permitted")
        self.fails("cat k/x", "Not a directory")


class Attributes(OnMount):
    def test_stat(self):
        self.set("k", "12345")
        shown = self.ok("stat -c '%F %s %a %u %g %h %o' k").decode()
        self.assertEqual(shown, f"regular file 5 600 {os.getuid()} {os.getgid()} 1 4096\n")
        self.assertEqual(self.ok("stat -c '%F %a' .").decode(), "directory 700\n")

    def test_chmod_is_kept_here_and_owners_stay(self):
        self.set("k", "v")
        self.ok("chmod 640 k; test $(stat -c %a k) = 640; chown $(id -u):$(id -g) k")
        self.fails("chown 12345 k", "Operation not permitted")
        self.ok("rm k; echo v > k; test $(stat -c %a k) = 600")
        self.ok("chmod 640 k")
        CLUSTER.call("DEL", "k")
        self.ok("! stat k 2> /dev/null")
        self.set("k", "v")
        self.ok("test $(stat -c %a k) = 600")

    def test_mtime_tells_a_change(self):
        self.set("k", "one")
        out = self.mount.python(
            """
import os, subprocess, sys, time
f = os.open("k", os.O_RDONLY)
a = os.stat("k").st_mtime_ns
b = os.stat("k").st_mtime_ns
time.sleep(0.1)
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
c = os.stat("k").st_mtime_ns
time.sleep(0.1)
print(a == b, b < c, c == os.stat("k").st_mtime_ns)
open("k", "w").write("mine")
d = os.stat("k").st_mtime_ns
time.sleep(0.1)
print(c < d, d == os.stat("k").st_mtime_ns)
""",
            *("redis-cli", "-c", "-p", str(CLUSTER.servers[0].port), "SET", "k", "two"),
        )
        self.assertEqual(out, "True True True\nTrue True\n")

    def test_extended_attributes(self):
        self.set("k", "12345", "EX", 1000)
        out = self.mount.python(
            """
import errno, os
for name in ("ttl", "type", "encoding", "slot", "node"):
    print(os.getxattr("k", "user.redis." + name).decode())
print(os.listxattr("k"))
for name in ("security.capability", "system.posix_acl_access", "user.other"):
    try:
        os.getxattr("k", name)
    except OSError as error:
        print(errno.errorcode[error.errno])
for name in ("user.redis.slot", "user.other"):
    try:
        os.setxattr("k", name, b"1")
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
        ).split("\n")
        self.assertIn(int(out[0]), range(990, 1001))
        self.assertEqual(out[1:4], ["string", "int", str(slot("k"))])
        self.assertEqual(out[4], CLUSTER.master_of("k").addr)
        self.assertEqual(out[5:], ["[]", "ENOTSUP", "ENOTSUP", "ENODATA", "EPERM", "ENOTSUP", ""])

    def test_statfs(self):
        for i in range(10):
            self.set(f"k{i}", "v")
        total, free, names = map(int, self.ok("sleep 1.1; stat -f -c '%b %f %l' .").split())
        self.assertGreater(total, 1000)
        self.assertLessEqual(free, total)
        self.assertEqual(names, 255)
        self.ok("df -h . && df -i .")


if __name__ == "__main__":
    unittest.main()
