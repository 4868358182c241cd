# SPDX-License-Identifier: MIT
"""Keys as trees: -o tree and -o sep. What is there is compared with what redis-cli's protocol says of the keys."""

import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from fslib import SHARDFS, Mount, run, sanitized
from shardtest import Cluster, Server, wait_until

CLUSTER = None


def setUpModule():
    global CLUSTER
    CLUSTER = Cluster(masters=3, replicas=0)


def tearDownModule():
    if CLUSTER:
        CLUSTER.close()


def keys(cluster=None):
    """All keys, as the servers have them."""
    return sorted(key for server in (cluster or CLUSTER).servers for key in server.call("KEYS", "*"))


# ---- the names once more, as the words of the specification are ----


def escape(piece):
    """A piece of a key as a file name."""
    if piece in (b"", b".", b"..", b".shardfs"):
        return {b"": b"%", b".": b"%2E", b"..": b"%2E%2E", b".shardfs": b"%2Eshardfs"}[piece]
    return piece.replace(b"%", b"%25").replace(b"/", b"%2F").replace(b"\0", b"%00")


def tree_paths(all_keys):
    """{path: key} of -o tree; markers have none."""
    dirs = {b"/".join(key.split(b"/")[:n]) for key in all_keys for n in range(1, key.count(b"/") + 1)}
    paths = {}
    for key, value in all_keys.items():
        path = b"/".join(escape(piece) for piece in key.split(b"/"))
        if key.endswith(b"/") and value == b"" and key not in dirs:
            continue
        paths[path + b"/%val" if key in dirs else path] = key
    return paths


def sep_paths(all_keys, sep):
    """{path: key} of -o sep."""
    paths = {}
    for key in all_keys:
        pieces = key.split(sep)
        paths[b"/".join([escape(piece + sep) for piece in pieces[:-1]] + [escape(pieces[-1])])] = key
    return paths


LIST = r"""
import os, sys
found = {}
for top, dirs, files in os.walk(b"."):
    for name in files:
        path = os.path.join(top, name)
        with open(path, "rb") as file:
            print(path[2:].hex(), file.read().hex() or "-")
    for name in dirs:
        print(os.path.join(top, name)[2:].hex() + "/")
"""


class Trees(unittest.TestCase):
    options = "tree"
    many = 150

    @classmethod
    def setUpClass(cls):
        cls.mount = Mount(CLUSTER.uri, options=cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.mount.end()

    def setUp(self):
        CLUSTER.flush()
        self.seed = random.randrange(1 << 32)
        self.rng = random.Random(self.seed)

    def ok(self, command, **how):
        return self.mount.ok(command, **how).decode()

    def refused(self, command, words):
        result = self.mount.run(command)
        self.assertNotEqual(result.status, 0, result)
        self.assertIn(words, result.err)

    def wait(self, command, out):
        wait_until(lambda: self.mount.run(command).out == out.encode(), 10, f"{command} says {out!r}")

    def listed(self, mount=None):
        """{path: value} and directories, as a walk finds them."""
        out = (mount or self.mount).python(LIST, timeout=60).split("\n")
        words = [line.split() for line in out if line and not line.endswith("/")]
        dirs = {bytes.fromhex(line[:-1]) for line in out if line.endswith("/")}
        return {bytes.fromhex(p): b"" if v == "-" else bytes.fromhex(v) for p, v in words}, dirs

    def seen(self, paths, values):
        """The mount shows exactly these."""
        want = {path: values[key] for path, key in paths.items()}
        wait_until(lambda: self.listed()[0].keys() == want.keys(), 10, f"all keys are listed (seed {self.seed})")
        self.assertEqual(self.listed()[0], want, f"seed {self.seed}")

    def random_keys(self, count, bytes_of):
        found = {bytes(self.rng.choices(bytes_of, k=self.rng.randrange(0, 8))) for _ in range(count)}
        return {key: b"value of " + key for key in found}


class Tree(Trees):
    cautious = None  # a marker that is made where it may be needed

    def test_keys_are_files_in_directories(self):
        for key in ("a/b", "a/c/d", "top"):
            CLUSTER.call("SET", key, key)
        self.wait("find . | sort", ".\n./a\n./a/b\n./a/c\n./a/c/d\n./top\n")
        self.assertEqual(self.ok("cat a/b a/c/d top"), "a/ba/c/dtop")
        self.ok("echo new > a/c/e; echo more >> a/b; mkdir n; echo 1 > n/f")
        self.assertEqual(CLUSTER.call("GET", "a/c/e"), b"new\n")
        self.assertEqual(CLUSTER.call("GET", "a/b"), b"a/bmore\n")
        self.assertEqual(CLUSTER.call("GET", "n/f"), b"1\n")
        self.assertEqual(self.ok("stat -c '%F %h %a %s' a a/b"), "directory 1 700 0\nregular file 1 600 8\n")

    def test_names_are_a_bijection(self):
        values = self.random_keys(self.many, b"//a.%\0\n")
        values |= {key: b"v" + key for key in (b"", b"/", b"//", b"a", b"a/", b"a//", b".", b"..", b"./..", b".shardfs")}
        values |= {key: b"v" for key in (b".shardfs/x", b"%val", b"%val/x", b"x/%val", b"x", b"x" * 300 + b"/" + b"y" * 300)}
        values |= {b"dir/": b"", b"empty/dir/": b""}
        for key, value in values.items():
            CLUSTER.call("SET", key, value)
        paths = {path: key for path, key in tree_paths(values).items() if len(key) < 300}
        wait_until(lambda: len(self.listed()[0]) == len(paths) + 1, 10, f"all are listed (seed {self.seed})")
        found, dirs = self.listed()
        long = [path for path in found if path not in paths]
        self.assertEqual(len(long), 1)
        self.assertRegex(long[0], rb"^%~[0-9A-F]{4}-[0-9A-F]{16}/%~[0-9A-F]{4}-[0-9A-F]{16}$")
        self.assertEqual(found.pop(long[0]), b"v")
        self.assertEqual(found, {path: values[key] for path, key in paths.items()}, f"seed {self.seed}")
        self.assertIn(b"dir", dirs)
        self.assertIn(b"empty/dir", dirs)

        # The other way: through the names all are made anew, and removed.
        CLUSTER.flush()
        script = """
import os, sys
for line in sys.stdin:
    path = bytes.fromhex(line.split()[0])
    if not os.path.isdir(os.path.dirname(path) or b"."):
        os.makedirs(os.path.dirname(path))
    with open(path, "wb") as file:
        file.write(path)
"""
        given = "".join(f"{path.hex()}\n" for path in paths).encode()
        self.mount.ok([sys.executable, "-c", script], stdin=given, timeout=60)
        made = {key: CLUSTER.call("GET", key) for key in keys()}
        self.assertEqual(
            {key for key, value in made.items() if value}, set(paths.values()), f"seed {self.seed}")
        for path, key in paths.items():
            self.assertEqual(made[key], path)
        self.ok("find . -mindepth 1 -delete", timeout=60)
        self.assertEqual(keys(), [])

    def test_names_that_are_none(self):
        CLUSTER.call("SET", "a/b", "v")
        for name in ("a%2Fb", "a/%41", "a/b%", "%2Fa", "a/.shardfs", "a/%~0000-0000000000000000"):
            self.refused(f"cat '{name}'", "No such file")
            self.refused(f"echo v > '{name}'", "Invalid argument")
            self.refused(f"mkdir '{name}'", "Invalid argument")
        self.assertEqual(keys(), [b"a/b"])

    def test_a_key_and_a_directory_of_one_name(self):
        CLUSTER.call("SET", "a", "value")
        self.wait("cat a", "value")
        CLUSTER.call("SET", "a/b", "below")
        self.wait("cat a/%val a/b", "valuebelow")
        self.assertEqual(self.ok("ls a; echo new > a/%val; rm a/b; cat a/%val; ls -l a | wc -l"), "%val\nb\nnew\n2\n")
        self.assertEqual(CLUSTER.call("GET", "a"), b"new\n")
        self.ok("rm -r a")
        self.assertEqual(keys(), [])
        CLUSTER.call("SET", "a", "value")
        self.wait("cat a", "value")

    def test_empty_directories_are_markers(self):
        self.ok("mkdir d; mkdir d/e")
        self.assertEqual(keys(), [b"d/", b"d/e/"])
        self.assertEqual(self.ok("ls -A d/e; ls d"), "e\n")
        self.refused("mkdir d", "File exists")
        self.refused("rmdir d", "Directory not empty")
        with Mount(CLUSTER.uri, options="tree") as other:
            self.assertEqual(other.ok("find . | sort").decode(), ".\n./d\n./d/e\n")
            other.ok("rmdir d/e")
            wait_until(lambda: self.mount.run("ls -d d/e").status, 10, "the other mount's rmdir is seen")
        self.ok("rmdir d")
        self.assertEqual(keys(), [])
        self.refused("rmdir d", "No such file")

    def test_a_marker_with_a_value_is_no_marker(self):
        CLUSTER.call("SET", "d/", "value")
        self.wait("ls d", "%\n")
        self.assertEqual(self.ok("cat d/%"), "value")
        self.refused("rmdir d", "not empty")
        self.assertEqual(CLUSTER.call("GET", "d/"), b"value")
        CLUSTER.call("DEL", "d/")
        CLUSTER.call("HSET", "d/", "field", "value")
        self.wait("cat d/%/field", "value")
        self.refused("rmdir d", "not empty")

    def test_the_last_file_leaves_its_directory(self):
        for key in ("a/b/c", "m/f", "m/g"):
            CLUSTER.call("SET", key, "v")
        self.wait("ls m", "f\ng\n")
        self.ok("rm a/b/c; mv m/f f")
        self.assertEqual([key for key in keys() if key != self.cautious], [b"a/b/", b"f", b"m/g"])
        self.ok("mv m/g g; ls m a/b")
        self.assertEqual(keys(), [b"a/b/", b"f", b"g", b"m/"])
        self.ok("rmdir a/b; ls a; rmdir a m; rm f g")
        self.assertEqual(keys(), [])

    def test_renames(self):
        self.ok("mkdir -p a/b/c x; for i in 1 2 3 4 5 6 7 8; do echo $i > a/b/$i; echo c$i > a/b/c/$i; done")
        CLUSTER.call("SET", "a/b", "of b", "EX", "1000")
        CLUSTER.call("HSET", "a/b/h", "f", "v")
        before = self.ok("cat a/b/[1-8] a/b/c/*")
        self.wait("cat a/b/%val a/b/h/f", "of bv")
        self.ok("mv a/b x/n")
        self.assertEqual(self.ok("ls a; cat x/n/[1-8] x/n/c/* x/n/%val x/n/h/f"), before + "of bv")
        self.assertFalse([key for key in keys() if key.startswith(b"a/b")])
        self.assertGreater(CLUSTER.call("TTL", "x/n"), 900)
        self.ok("mkdir full empty; touch full/f")
        self.refused("mv -T x/n full", "not empty")
        self.ok("mv -T x/n empty")
        self.assertEqual(self.ok("ls x; cat empty/[1-8] empty/c/*"), before)
        self.assertEqual(self.ok("ls -d x empty full"), "empty\nfull\nx\n")
        self.refused("mv empty empty/c/in", "subdirectory of itself")
        self.ok("mv empty/1 full/; mv -T full x; cat x/1")
        self.assertIn("1\n", self.ok("cat x/1"))
        self.refused("mv x/1/ y", "Not a directory")

    def test_a_renamed_directory_keeps_what_is_open(self):
        self.mount.python("""
import os
os.makedirs("d/e"); f = open("d/e/f", "w"); f.write("one"); f.flush()
os.chdir("d/e")
os.rename("../../d", "../../n")
f.write("two"); f.close()
print(open("f").read()); assert os.listdir(".") == ["f"]
open("g", "w").write("3")
""")
        self.assertEqual(CLUSTER.call("GET", "n/e/f"), b"onetwo")
        self.assertEqual(CLUSTER.call("GET", "n/e/g"), b"3")
        self.assertFalse([key for key in keys() if key.startswith(b"d")])

    def test_a_directory_of_too_many_keys_is_copied(self):
        conns = {server.port: [] for server in CLUSTER.servers}
        for i in range(10001):
            conns[CLUSTER.master_of(b"big/%d" % i).port].append(("SET", b"big/%d" % i, "v"))
        for server in CLUSTER.servers:
            with server.connect() as conn:
                conn.pipeline(conns[server.port])
        self.wait("ls big | wc -l", "10001\n")
        out = self.mount.python("""
import os
try: os.rename("big", "new")
except OSError as error: print(error.errno)
""")
        self.assertEqual(out, f"{errno.EXDEV}\n")
        self.ok("rm big/0; mv big new", timeout=60)
        self.assertEqual(len(keys()), 10001)  # with a marker
        self.assertEqual(self.ok("ls new | wc -l; ls"), "10000\nnew\n")
        CLUSTER.flush()

    def test_types_in_trees(self):
        self.ok("mkdir -p a/b; mkdir a/b/h%hash a/b/s%set; echo v > a/b/h/field; touch a/b/s/member")
        self.assertEqual(CLUSTER.call("HGET", "a/b/h", "field"), b"v\n")
        self.assertEqual(CLUSTER.call("SMEMBERS", "a/b/s"), [b"member"])
        CLUSTER.call("RPUSH", "a/l", "one")
        CLUSTER.call("XADD", "a/x", "1-1", "f", "v")
        self.wait("cat a/l/0 a/x/%log", "one1-1\tf\tv\n")
        self.ok("echo two > a/l/%push; mv a c; cat c/l/1 c/b/h/field; rm -r c")
        self.assertEqual(keys(), [])

    def test_what_there_is_none_of(self):
        self.ok("mkdir d; echo v > d/f")
        for command in ("ln d/f d/g", "ln -s f d/g", "mkfifo d/g", "mknod d/g c 1 3"):
            self.refused(command, "Operation not permitted")
        self.ok("chmod 640 d/f; chmod 750 d; touch -d @1000 d d/f; chown $(id -u) d d/f")
        self.assertEqual(self.ok("stat -c '%a %Y' d d/f"), "750 1000\n640 1000\n")
        self.refused("cat d", "Is a directory")
        self.refused("rm d", "Is a directory")
        self.refused("cat d/f/x", "Not a directory")
        self.refused("rmdir d/f", "Not a directory")

    def test_control_files_and_a_root_that_has_no_key(self):
        self.assertIn("cache_hits", self.ok("cat .shardfs/stats"))
        self.assertEqual(self.ok("ls -A"), "")
        self.refused("mkdir .shardfs", "File exists")
        self.refused("mv .shardfs x", "Operation not permitted")
        self.refused("cat %val", "No such file")

    def test_the_times_of_directories(self):
        self.ok("mkdir d; touch d/f; touch -d @1000 d")
        self.ok("echo v > d/f")
        self.assertEqual(self.ok("stat -c %Y d"), "1000\n")
        self.ok("echo v > d/new")
        self.assertNotEqual(self.ok("stat -c %Y d"), "1000\n")
        self.ok("touch -d @1000 d; rm d/new")
        self.assertNotEqual(self.ok("stat -c %Y d"), "1000\n")


class Coherence(Trees):
    """What others change is seen."""

    def test_what_others_make_and_remove(self):
        self.ok("ls -R")
        CLUSTER.call("SET", "new/dir/file", "v")
        self.wait("ls new/dir", "file\n")
        CLUSTER.call("SET", "new/dir/second", "v")
        self.wait("ls new/dir", "file\nsecond\n")
        CLUSTER.call("DEL", "new/dir/file")
        self.wait("ls new/dir", "second\n")
        CLUSTER.call("DEL", "new/dir/second")
        wait_until(lambda: self.mount.run("ls -d new").status, 10, "new is gone")
        self.assertEqual(self.ok("ls"), "")

    def test_a_file_becomes_a_directory_and_back(self):
        CLUSTER.call("SET", "a", "v")
        self.wait("cat a", "v")
        for _ in range(3):
            self.assertEqual(self.ok("cat a; stat -c %F a; stat -c %F a"), "vregular file\nregular file\n")
            CLUSTER.call("SET", "a/b", "w")
            self.wait("cat a/b", "w")
            CLUSTER.call("DEL", "a/b")
            self.wait("cat a", "v")

    def test_two_mounts(self):
        with Mount(CLUSTER.uri, options="tree") as other:
            for i in range(20):
                mine, theirs = (self.mount, other) if i % 2 else (other, self.mount)
                mine.ok(f"mkdir d{i}; echo {i} > d{i}/f; mv d{i} n{i}")
                wait_until(lambda: theirs.run(f"cat n{i}/f").out == b"%d\n" % i, 10, "the new directory is seen")
                wait_until(lambda: theirs.run(f"ls -d d{i}").status, 10, "the old one is not")
                theirs.ok(f"rm -r n{i}")
                wait_until(lambda: mine.run(f"ls -d n{i}").status, 10, "its end is seen")
        self.assertEqual(keys(), [])

    def test_after_flushall_nothing_is_there(self):
        self.ok("mkdir -p a/b; touch a/b/c; ls -R")
        CLUSTER.flush()
        self.wait("ls", "")
        self.ok("mkdir a; touch a/x")
        self.assertEqual(self.ok("find . | sort"), ".\n./a\n./a/x\n")

    def test_tracking_that_is_lost(self):
        self.ok("mkdir -p a/b; touch a/b/c; ls -R")
        for server in CLUSTER.servers:
            server.call("CLIENT", "KILL", "TYPE", "pubsub")
        CLUSTER.call("SET", "x/y", "v")
        CLUSTER.call("DEL", "a/b/c")
        self.wait("find . | sort", ".\n./a\n./a/b\n./x\n./x/y\n")

    def test_a_paused_server_is_no_hang(self):
        with Mount(CLUSTER.uri, options="tree", timeout=1000) as mount:
            CLUSTER.servers[0].pause()
            try:
                result = mount.run("ls a/b")
                self.assertIn("timed out", result.err)
                self.assertLess(result.seconds, 10)
            finally:
                CLUSTER.servers[0].resume()
            CLUSTER.wait_ok()
            CLUSTER.call("SET", "a/b/c", "v")
            wait_until(lambda: mount.run("ls a/b").out == b"c\n", 20, "it answers again")


class Uncached(Tree):
    """Without tracking the same holds."""

    options = "tree,cache=off"
    cautious = b"m/"
    many = 40


class UncachedCoherence(Coherence):
    options = "tree,cache=off"
    test_tracking_that_is_lost = None


class Sep(Trees):
    options = "sep=:"
    sep = b":"

    def test_prefixes_are_directories(self):
        for key in ("user", "user:1000", "user:1000:name", "x:"):
            CLUSTER.call("SET", key, "v:" + key)
        self.assertEqual(self.ok("cat user user:/1000 user:/1000:/name x:/%"), "v:userv:user:1000v:user:1000:namev:x:")
        self.wait("ls", "user\nuser:\nx:\n")
        self.assertEqual(self.ok("ls user: user:/1000:"), "user::\n1000\n1000:\n\nuser:/1000::\nname\n")
        self.ok("echo 1 > user:/2; echo 2 > new:/k; mkdir user:/h; echo v > user:/h/f; mkdir user:/s%set; touch user:/s/m")
        self.assertEqual(CLUSTER.call("GET", "user:2"), b"1\n")
        self.assertEqual(CLUSTER.call("GET", "new:k"), b"2\n")
        self.assertEqual(CLUSTER.call("HGET", "user:h", "f"), b"v\n")
        self.assertEqual(CLUSTER.call("SMEMBERS", "user:s"), [b"m"])

    def test_a_prefix_is_always_a_directory(self):
        self.assertEqual(self.ok("stat -c %F x: x:/y:; ls x:"), "directory\ndirectory\n")
        self.refused("cat x:", "Is a directory")
        self.refused("echo v > x:", "Is a directory")
        self.refused("mkdir x:", "File exists")
        self.ok("mkdir -p x:/y:; echo v > x:/y:/k")
        self.assertEqual(keys(), [b"x:y:k"])
        self.refused("rmdir x:", "not empty")
        self.ok("rm x:/y:/k; rmdir x:/y: x:; ls x:")

    def test_names_are_a_bijection(self):
        values = self.random_keys(150, b"::a/.%\0")
        values |= {key: b"v" + key for key in (b"", b":", b"::", b"a", b"a:", b":a", b".:", b"..:..", b".shardfs:x", b".shardfs")}
        for key, value in values.items():
            CLUSTER.call("SET", key, value)
        paths = sep_paths(values, b":")
        self.seen(paths, values)
        CLUSTER.flush()
        script = "import sys\nfor line in sys.stdin:\n  p = bytes.fromhex(line)\n  open(p, 'wb').write(p)"
        self.mount.ok([sys.executable, "-c", script], stdin="".join(f"{path.hex()}\n" for path in paths).encode())
        self.assertEqual({key: CLUSTER.call("GET", key) for key in keys()}, {key: path for path, key in paths.items()})
        self.ok("find . -mindepth 1 -delete", timeout=60)
        self.assertEqual(keys(), [])

    def test_names_that_are_none(self):
        for name in ("a:b", "x:/a:b", ":a", "a%3A", "x:/%3A", "a::"):
            self.refused(f"cat '{name}'", "No such file")
            self.refused(f"echo v > '{name}'", "Invalid argument")
        self.assertEqual(keys(), [])

    def test_long_pieces(self):
        values = {b"x" * 300 + b":" + b"y" * 300: b"one", b"z:" + b"y" * 300: b"two"}
        for key, value in values.items():
            CLUSTER.call("SET", key, value)
        wait_until(lambda: len(self.listed()[0]) == 2, 10, "both are listed")
        self.assertEqual(sorted(self.listed()[0].values()), [b"one", b"two"])
        self.ok("rm -r ./*")
        self.assertEqual(keys(), [])

    def test_renames(self):
        self.ok("for i in 1 2 3 4 5 6; do echo $i > a:/$i; echo $i > a:/b:/$i; done; echo v > a")
        self.ok("mv -T a: n:; cat n:/[1-6] n:/b:/*; mv n:/1 m:/; mv n:/2 plain; cat m:/1 plain")
        self.assertEqual(CLUSTER.call("GET", "a"), b"v\n")
        self.assertEqual(CLUSTER.call("GET", "m:1"), b"1\n")
        self.assertEqual(len(keys()), 13)
        self.refused("mv -T n: m:", "not empty")
        self.refused("mv -T n: file", "cannot move")
        CLUSTER.call("SET", "k:", "its own")
        CLUSTER.call("SET", "k:1", "v")
        self.wait("cat k:/%", "its own")
        self.ok("mv -T k: l:; cat l:/% l:/1")
        self.assertEqual(CLUSTER.call("GET", "l:"), b"its own")
        self.assertIsNone(CLUSTER.call("GET", "k:"))

    def test_what_others_make_is_listed(self):
        self.ok("ls -R")
        CLUSTER.call("SET", "p:q:r", "v")
        self.wait("ls p:; ls p:/q:", "q:\nr\n")
        CLUSTER.call("DEL", "p:q:r")
        self.wait("ls", "")


class UncachedSep(Sep):
    options = "sep=:,cache=off"


class LongSep(Trees):
    """A separator of several bytes that can overlap itself; and with other options."""

    options = r"sep=\,\,,ro,umask=022"

    def test_names_are_a_bijection(self):
        values = self.random_keys(200, b",,,ab")
        for key, value in values.items():
            CLUSTER.call("SET", key, value)
        self.seen(sep_paths(values, b",,"), values)
        self.refused("echo v > x", "Read-only file system")
        self.refused("rmdir a,,", "Read-only file system")
        self.assertEqual(self.ok("stat -c '%a %F' x,,"), "755 directory\n")


class Options(unittest.TestCase):
    def refused(self, options, words):
        result = run([SHARDFS, "-u", CLUSTER.uri, "-o", options, "/tmp"])
        self.assertEqual(result.status, 2, result)
        self.assertEqual(result.err.count("\n"), 1, result)
        self.assertIn(words, result.err)

    def test_what_is_refused(self):
        self.refused("sep=", "sep=:")
        self.refused("sep", "a separator is wanted")
        self.refused("sep=/", "-o tree")
        self.refused("sep=a/b", "-o tree")
        self.refused("tree=x", "no value is wanted")
        self.refused("sep=:,tree", "exclude each other")
        self.refused("tree,sep=:", "exclude each other")
        self.refused("tree,inotify", "-o inotify")
        self.refused("sep=:,inotify", "-o inotify")


class Interrupted(unittest.TestCase):
    """A directory is being renamed when the daemon dies: the same rename goes on with what is left."""

    def check(self, options, old, new, extra):
        CLUSTER.flush()
        names = [f"{old}{i}" for i in range(4000)]
        for server in CLUSTER.servers:
            with server.connect() as conn:
                conn.pipeline([("SET", name, name) for name in names if CLUSTER.master_of(name.encode()) is server])
        mount = Mount(CLUSTER.uri, options=options)
        try:
            moving = subprocess.Popen(
                [sys.executable, "-c", "import os, sys; os.rename(*sys.argv[1:])", mount.file(extra[0]), mount.file(extra[1])],
                stderr=subprocess.DEVNULL,
            )
            wait_until(lambda: sum(key.startswith(new.encode()) for key in keys()) > 100, 20, "some are moved", 0)
            mount.daemon.send_signal(signal.SIGKILL)
            moving.wait(20)
        finally:
            mount.close()
        left = [key for key in keys() if key.startswith(old.encode())]
        self.assertGreater(len(left), 1, "it was over before it was killed")
        with Mount(CLUSTER.uri, options=options) as mount:
            mount.ok(f"mv -T {extra[0]} {extra[1]}")
            found = {key: CLUSTER.call("GET", key) for key in keys()}
            marker = {new.encode(): b""} if options == "tree" else {}
            self.assertEqual(found, {f"{new}{i}".encode(): f"{old}{i}".encode() for i in range(4000)} | marker)
            self.assertEqual(mount.ok(f"ls {extra[1]} | wc -l"), b"4000\n")

    def test_with_tree(self):
        self.check("tree", "old/", "new/", ("old", "new"))

    def test_with_sep(self):
        self.check("sep=:", "old:", "new:", ("old:", "new:"))


class Programs(Trees):
    """What programs do in a tree is what they do in a local directory."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.local = tempfile.mkdtemp(prefix="shardfs-test-")
        source = os.path.join(cls.local, "source")
        script = f"""
set -e
mkdir {source}; cd {source}; git init -q; git config user.name n; git config user.email e@example.com
for d in a a/b a/b/c d 'e f' .hidden; do
  mkdir "$d"; for i in 1 2 3 4 5 6 7; do seq $((i * 300)) > "$d/$i"; done
done
: > empty; mkdir none; printf '#!/bin/sh\necho ran\n' > run; chmod +x run; head -c 300000 /dev/urandom > large
git add .; git commit -qm one; seq 99 > a/1; git rm -q d/2; git mv a/b a/moved; git commit -qam two
"""
        result = run(script, timeout=60)
        assert result.status == 0, result
        cls.source = source

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.local)
        super().tearDownClass()

    def same(self, name):
        self.ok(f"diff -r --no-dereference {self.source} {name}", timeout=60)

    def gone(self):
        self.ok("rm -rf ./* ./.[!.]*", timeout=60)
        self.assertEqual(keys(), [])

    def test_cp_tar_and_rsync(self):
        self.ok(f"cp -a {self.source} c", timeout=60)
        self.same("c")
        self.ok(f"mkdir t && tar cf - -C {self.source} . | tar xf - -C t", timeout=60)
        self.same("t")
        self.ok(f"rsync -a {self.source}/ r/", timeout=60)
        self.same("r")
        self.assertEqual(self.ok(f"rsync -ani {self.source}/ r/ | grep -v '^\\.d' || true", timeout=60), "")
        self.ok("seq 9 >> r/a/2; rm r/a/3; echo x > r/more; head -c 1000 /dev/zero | dd of=r/large conv=notrunc seek=100 status=none")
        self.ok(f"rsync -a --inplace --checksum --delete {self.source}/ r/", timeout=60)
        self.same("r")
        self.ok("cp -a r r2; mv r2/a r2/z; mv r2/z r2/a", timeout=60)
        self.same("r2")
        self.assertEqual(self.ok("tar cf - c | tar tf - | wc -l"), self.ok(f"find {self.source} | wc -l"))
        self.gone()

    def test_git(self):
        self.ok(f"git clone -q --no-local {self.source} g && cd g && git fsck --full --strict", timeout=60)
        self.assertEqual(self.ok("cd g && git status --short && ./run && git log --format=%s"), "ran\ntwo\none\n")
        self.ok(
            "cd g && git config user.name n && git config user.email e@example.com && git checkout -q -b topic HEAD~1 &&"
            " echo x >> a/1 && git mv 'e f' ef && git commit -qam three && git rebase -q -Xtheirs master && git gc -q &&"
            " git fsck --full && git worktree add -q ../w && cd ../w && git stash list && git checkout -q --detach HEAD~1",
            timeout=120,
        )
        self.gone()

    def test_sqlite(self):
        sql = "create table t(a); insert into t select value from generate_series(1, 2000); "
        self.ok(f"mkdir db; sqlite3 db/x 'pragma journal_mode=delete; {sql}'")
        self.mount.python("""
import sqlite3
db = sqlite3.connect("db/x", timeout=10)
for i in range(20):
    with db: db.execute("insert into t values(?)", (i,))
try:
    with db: db.execute("delete from t"); raise RuntimeError
except RuntimeError: pass
print(db.execute("select count(*) from t").fetchone(), db.execute("pragma integrity_check").fetchone())
""")
        self.assertEqual(self.ok("sqlite3 db/x 'select count(*) from t; pragma integrity_check'; ls db"), "2020\nok\nx\n")
        self.gone()

    def test_editors(self):
        self.ok("mkdir -p e/d; printf 'one\\ntwo\\n' > e/d/f; vim -es -u NONE -c '%s/one/three/' -c wq e/d/f")
        self.assertEqual(self.ok("cat e/d/f; sed -i s/two/four/ e/d/f; cat e/d/f; ls -A e/d"), "three\ntwo\nthree\nfour\nf\n")
        self.gone()

    def test_stress(self):
        if not shutil.which("stress-ng"):
            self.skipTest("no stress-ng")
        self.ok("stress-ng --hdd 1 --rename 1 --dir 1 --dir-dirs 64 --getdent 1 --temp-path . -t 4 --verify -q --hdd-bytes 4M",
                timeout=100)
        self.assertEqual(self.ok("find . -type f | wc -l"), "0\n")


class Large(Trees):
    """What has many files is quick enough to be used at all; how quick is printed."""

    def test_a_hundred_thousand_files(self):
        count = 20000 if sanitized() else 100000
        for server in CLUSTER.servers:
            names = [b"d%d/e%d/f%06d" % (i % 10, i % 1000, i) for i in range(count)]
            with server.connect() as conn:
                conn.pipeline([("SET", n, "v") for n in names if CLUSTER.master_of(n) is server])
        for command, out in (
            ("ls | wc -l", "10\n"),
            ("find . | wc -l", f"{count + 1011}\n"),
            ("find . -type f | wc -l", f"{count}\n"),
            ("rm -r ./* && ls", ""),
        ):
            result = self.mount.run(command, timeout=200)
            self.assertEqual(result.out.decode(), out, result)
            print(f"{count} files: {command}: {result.seconds:.2f} s", flush=True)
        self.assertEqual(keys(), [])


class Single(unittest.TestCase):
    def test_a_single_server(self):
        with Server() as server, Mount(server.uri, options="tree") as mount:
            mount.ok("mkdir -p a/b; echo v > a/b/c; mv a n; cat n/b/c")
            self.assertEqual(sorted(server.call("KEYS", "*")), [b"n/", b"n/b/", b"n/b/c"])
            self.assertEqual(mount.ok("rm -r n; ls"), b"")
            self.assertEqual(server.call("DBSIZE"), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
