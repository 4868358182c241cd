# SPDX-License-Identifier: MIT
"""Names and listings: every key has one name, ls shows each key once, rm -r of everything ends with nothing."""

import ctypes
import os
import random
import re
import unittest

from fslib import Mount
from shardtest import Cluster, Server, slot

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


class Names(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()

    def listed(self):
        return [name for name in MOUNT.ok("find . -mindepth 1 -maxdepth 1 -printf '%f\\0'").split(b"\0") if name]

    def test_special_keys(self):
        names = {
            b"": b"%",
            b".": b"%2E",
            b"..": b"%2E%2E",
            b".shardfs": b"%2Eshardfs",
            b"/": b"%2F",
            b"a/b": b"a%2Fb",
            b"%41": b"%2541",
            b"nul\0nul": b"nul%00nul",
            b" ": b" ",
            b"new\nline": b"new\nline",
            b"-rf": b"-rf",
            b"*": b"*",
            b"\xff\xfe": b"\xff\xfe",
            "größe".encode(): "größe".encode(),
            b"x" * 255: b"x" * 255,
        }
        for key in names:
            CLUSTER.call("SET", key, b"value of " + key)
        self.assertEqual(sorted(self.listed()), sorted(names.values()))
        for key, name in names.items():
            script = "import os, sys; sys.stdout.buffer.write(open(os.fsencode(sys.argv[1]), 'rb').read())"
            self.assertEqual(MOUNT.ok(["/usr/bin/python3", "-c", script, name]), b"value of " + key)

    def test_special_names_make_their_keys(self):
        MOUNT.ok("for n in % %2E %2E%2E %2F a%00b '*' ' '; do echo \"$n\" > \"./$n\"; done")
        for key, name in ((b"", b"%"), (b".", b"%2E"), (b"..", b"%2E%2E"), (b"/", b"%2F"), (b"a\0b", b"a%00b")):
            self.assertEqual(CLUSTER.call("GET", key), name + b"\n")

    def test_other_names_are_no_keys(self):
        CLUSTER.call("SET", "A", "v")
        for name in ("%41", "a%", "%2f", "%val", "%~0000-0000000000000000", "%2Ehidden"):
            found = MOUNT.run(f"cat '{name}'")
            self.assertEqual(found.status, 1, found)
            self.assertIn("No such file or directory", found.err)
            made = MOUNT.run(f"echo v > '{name}'")
            self.assertEqual(made.status, 1, made)
            self.assertIn("Invalid argument", made.err)
        self.assertEqual(MOUNT.run("mv A %41").status, 1)
        self.assertEqual(CLUSTER.call("GET", "A"), b"v")

    def test_long_names(self):
        for key in (b"k" * 256, b"/" * 86, b"{tag}" + b"z" * 5000, bytes(range(256)) * 3):
            CLUSTER.flush()
            CLUSTER.call("SET", key, b"v" + key[:20])
            CLUSTER.call("SET", b"{tag}other", b"other")
            names = sorted(self.listed())
            self.assertEqual(len(names), 2)
            self.assertRegex(names[0], rb"^%~[0-9A-F]{4}-[0-9A-F]{16}$")
            self.assertEqual(int(names[0][2:6], 16), CLUSTER.slot(key))
            name = names[0].decode()
            self.assertEqual(MOUNT.ok(f"cat '{name}'"), b"v" + key[:20])
            MOUNT.ok(f"echo new > '{name}'; echo more >> '{name}'; mv '{name}' short")
            self.assertEqual(CLUSTER.call("GET", "short"), b"new\nmore\n")
            self.assertEqual(MOUNT.run(f"cat '{name}'").status, 1)

    def test_a_long_name_works_whole_too(self):
        CLUSTER.call("SET", "k" * 300, "value")
        result = MOUNT.run("cat " + "k" * 300)
        if "too long" not in result.err:  # older kernels pass no more than 1024 bytes, as one name
            self.assertEqual(result.out, b"value")


# ---- the codec once more, as the words of the specification are ----


def encode(key):
    """The whole name of a key."""
    if key == b"":
        return b"%"
    name = key.replace(b"%", b"%25").replace(b"/", b"%2F").replace(b"\0", b"%00")
    if key in (b".", b".."):
        return name.replace(b".", b"%2E")
    return b"%2E" + name[1:] if key == b".shardfs" else name


def decode(name):
    """The key of a name; None where it is no key's."""
    key = re.sub(rb"%([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), name) if name != b"%" else b""
    return key if encode(key) == name else None


def xxh3(key):
    try:
        library = ctypes.CDLL("libxxhash.so.0")
    except OSError as error:
        raise unittest.SkipTest("no libxxhash.so.0") from error
    library.XXH3_64bits.restype = ctypes.c_uint64
    library.XXH3_64bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    return library.XXH3_64bits(key, len(key))


def listed(key):
    """The name that a listing shows."""
    name = encode(key)
    return name if len(name) <= 255 else b"%%~%04X-%016X" % (slot(key), xxh3(key))


class Codec(unittest.TestCase):
    """Random names and keys, both ways."""

    # Tries each NAME that standard input has, in hex: what stat and create say, and what it holds.
    TRY = """
import errno, os, sys
def attempt(call, *args):
    try:
        return call(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
def read(name):
    with open(name, "rb") as file:
        return file.read().hex()
def create(name):
    with open(name, "wb") as file:
        return str(file.write(b"made as " + name))
for line in sys.stdin:
    name = bytes.fromhex(line)
    print(line.strip(), attempt(read, name) or "-", attempt(create, name) or "-")
"""

    def setUp(self):
        CLUSTER.flush()
        self.seed = random.randrange(1 << 32)
        self.rng = random.Random(self.seed)

    def random_keys(self, count):
        rng = self.rng
        keys = {rng.randbytes(rng.randrange(0, 40)) for _ in range(count)}
        keys |= {bytes(rng.choices(b"%/.2EFa\0~-\n", k=rng.randrange(0, 9))) for _ in range(count)}
        keys |= {bytes(rng.choices(b"/%a", k=rng.randrange(80, 260))) for _ in range(count // 4)}
        keys |= {b"x" * size for size in (253, 254, 255, 256, 257)}
        keys |= {b"/" * 84 + b"x" * size for size in (2, 3, 4)} | {b"/" * 85, b"/" * 86}
        keys |= {b"", b".", b"..", b"...", b".shardfs", b".shardfs/x", b"%", b"%%", b"%val", b"%2E", b"%41", b"\n"}
        keys |= {b"%~0000-0000000000000000", b"\xff", b"\xc3", "gr\u00f6\u00dfe".encode(), b"\0", b"/", b"a/../b"}
        return keys

    def tries(self, names):
        stdin = "".join(f"{name.hex()}\n" for name in names).encode()
        out = MOUNT.ok(["/usr/bin/python3", "-I", "-c", self.TRY], stdin, 60)
        rows = [line.split(" ") for line in out.decode().splitlines()]
        self.assertEqual(len(rows), len(names))
        return {bytes.fromhex(name): (read, made) for name, read, made in rows}

    def test_a_key_is_listed_and_read_under_its_name(self):
        keys = self.random_keys(150)
        for key in keys:
            CLUSTER.call("SET", key, b"value of " + key)
        found = MOUNT.ok("find . -mindepth 1 -maxdepth 1 -printf '%f\\0'", timeout=60).split(b"\0")[:-1]
        self.assertEqual(sorted(found), sorted(map(listed, keys)), f"seed {self.seed}")
        for key in keys:
            self.assertEqual(decode(encode(key)), key)
        for key, (read, made) in zip(keys, self.tries([listed(key) for key in keys]).values()):
            self.assertEqual(bytes.fromhex(read), b"value of " + key, f"seed {self.seed}")
            self.assertEqual(CLUSTER.call("GET", key), b"made as " + listed(key), f"seed {self.seed} {made}")

    def test_a_file_is_the_key_of_its_name(self):
        names = {encode(key) for key in self.random_keys(150)}
        for name, (read, made) in self.tries(sorted(names)).items():
            self.assertEqual((read, made), ("ENOENT", str(len(name) + 8)), f"seed {self.seed} {name}")
            self.assertEqual(CLUSTER.call("GET", decode(name)), b"made as " + name, f"seed {self.seed} {name}")
        self.assertEqual(sum(s.call("DBSIZE") for s in CLUSTER.masters()), len(names))

    def test_any_other_name_is_no_file(self):
        rng = self.rng
        names = {bytes(rng.choices(b"%2E5F0aA~.-", k=rng.randrange(1, 12))) for _ in range(600)}
        names |= {b"%~" + bytes(rng.choices(b"0123456789ABCDEFabcg-", k=21)) for _ in range(50)}
        names |= {b"%2f", b"%41", b"%2E%2E%2E", b"%2Ex", b"x%2E", b"%2Eshardfs2", b"%2E%2Fx", b"%00%", b"%0", b"%g0"}
        names |= {b"%%~%04X-%016X" % (slot("short"), xxh3(b"short")), b"%~", b"%~0000-", b"%val"}
        CLUSTER.call("SET", "short", "v")
        others = sorted(name for name in names - {b".", b".."} if decode(name) is None)
        self.assertGreater(len(others), 200)
        for name, said in self.tries(others).items():
            self.assertEqual(said, ("ENOENT", "EINVAL"), f"seed {self.seed} {name}")
        self.assertEqual(sum(s.call("DBSIZE") for s in CLUSTER.masters()), 1)


class LongNames(unittest.TestCase):
    """Keys whose names do not fit into a listing, and do all that files do."""

    def setUp(self):
        CLUSTER.flush()

    # What can be done with a file, under the name that is given.
    USE = """
import os, sys
name, other = map(os.fsencode, sys.argv[1:])
def read(name):
    with open(name, "rb") as file:
        return file.read()
assert read(name) == b"value", read(name)
assert os.stat(name).st_size == 5
with open(name, "ab") as file:
    file.write(b" and more")
with open(name, "r+b") as file:
    file.write(b"V")
assert read(name) == b"Value and more", read(name)
os.truncate(name, 5)
with open(name, "wb") as file:
    file.write(b"anew")
assert int(os.getxattr(name, "user.redis.slot")) >= 0
os.rename(name, b"short")
assert not os.path.exists(name) and read(b"short") == b"anew"
with open(other, "wb") as file:
    file.write(b"other")
os.rename(b"short", other)
assert read(other) == b"anew"
os.unlink(other)
assert os.listdir(b".") == [], os.listdir(b".")
"""

    def test_everything_works_with_the_short_name(self):
        rng = random.Random(1)
        for size in (256, 1000, 4095, 4096, 65535, 65536, 100000, 1 << 20):
            with self.subTest(size):
                key, other = rng.randbytes(size), b"{other}" * 40
                CLUSTER.call("SET", key, "value")
                MOUNT.python(self.USE, os.fsdecode(listed(key)), os.fsdecode(encode(other)))

    def test_everything_works_with_the_whole_name(self):
        for size in (256, 1024, 4000, 4095):
            with self.subTest(size):
                key, other = b"k" * size, b"{other}" + b"o" * (size - 7)
                if "too long" in MOUNT.run(["stat", key]).err:  # older kernels
                    self.assertGreater(size, 1024)
                    continue
                CLUSTER.call("SET", key, "value")
                MOUNT.python(self.USE, key.decode(), other.decode())

    def test_a_name_beyond_what_the_kernel_passes(self):
        result = MOUNT.run("n=$(head -c 4096 /dev/zero | tr '\\0' k); echo v > ./$n")
        self.assertIn("File name too long", result.err)

    def test_both_names_are_one_file(self):
        key = b"long/" * 60
        CLUSTER.call("SET", key, "value")
        script = """
import os, sys
short, whole = sys.argv[1:]
assert os.stat(short).st_ino == os.stat(whole).st_ino
with open(short, "r+b", buffering=0) as a, open(whole, "r+b", buffering=0) as b:
    a.write(b"VALUE")
    assert b.read() == b"VALUE"
    b.truncate(0)
    assert os.stat(short).st_size == 0 and a.read() == b""
    b.seek(0)
    b.write(b"pending")
    assert os.stat(short).st_size == 7
os.unlink(whole)
assert not os.path.exists(short)
"""
        MOUNT.python(script, os.fsdecode(listed(key)), os.fsdecode(encode(key)))
        self.assertIsNone(CLUSTER.call("GET", key))

    def test_many_in_one_slot(self):
        keys = [b"{slot}" + b"%d" % i * 200 for i in range(100, 400)]
        for key in keys:
            CLUSTER.call("SET", key, key[6:9])
        names = {listed(key): key for key in keys}
        self.assertEqual(len(names), len(keys))
        out = MOUNT.ok("for f in *; do echo \"$f $(cat \"$f\")\"; done; rm -- *; ls -A", timeout=60)
        rows = dict(line.split(b" ") for line in out.splitlines())
        self.assertEqual(rows, {name: key[6:9] for name, key in names.items()})

    def test_a_short_name_of_another_slot_or_hash(self):
        key = b"k" * 300
        CLUSTER.call("SET", key, "v")
        name = listed(key).decode()
        other = f"{(slot(key) + 1) % 16384:04X}"
        wrongs = [name[:2] + other + name[6:], name[:-1] + "0F"[name[-1] == "0"], name.lower(), name + "0"]
        for wrong in [*wrongs, "%~FFFF" + name[6:], name[:-1]]:
            with self.subTest(wrong):
                self.assertIn("No such file", MOUNT.run(["cat", wrong]).err)
                self.assertIn("Invalid argument", MOUNT.run(f"echo x > '{wrong}'").err)
        self.assertEqual(CLUSTER.call("GET", key), b"v")


class Listings(unittest.TestCase):
    COUNT = 20000

    @classmethod
    def setUpClass(cls):
        CLUSTER.flush()
        for server in CLUSTER.masters():
            with server.connect() as conn:
                ours = [f"key:{i}" for i in range(cls.COUNT) if cls.owner(f"key:{i}") is server]
                replies = conn.pipeline([("SET", key, "v") for key in ours])
                assert set(replies) == {b"OK"}

    @classmethod
    def owner(cls, key):
        if not hasattr(cls, "ranges"):
            cls.ranges = [
                (first, last, CLUSTER.server(master))
                for (first, last), (master, _) in CLUSTER.view(CLUSTER.servers[0]).items()
            ]
        number = CLUSTER.slot(key)
        return next(s for first, last, s in cls.ranges if first <= number <= last)

    def test_1_ls_shows_every_key_once(self):
        names = MOUNT.ok("ls -f", timeout=60).decode().split("\n")[:-1]
        self.assertEqual(len(names), self.COUNT + 2)
        self.assertEqual(set(names), {f"key:{i}" for i in range(self.COUNT)} | {".", ".."})

    def test_2_rewinding_and_seeking(self):
        out = MOUNT.python(
            """
import ctypes, os
c = ctypes.CDLL(None, use_errno=True)
c.opendir.restype = c.readdir64.restype = ctypes.c_void_p
for f in (c.readdir64, c.telldir, c.rewinddir, c.seekdir, c.closedir):
    f.argtypes = [ctypes.c_void_p]
c.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
c.telldir.restype = ctypes.c_long
d = c.opendir(b".")
def read():
    entry = c.readdir64(d)
    return ctypes.string_at(entry + 19) if entry else None
def rest():
    names = []
    while (name := read()) is not None:
        names.append(name)
    return names
start = [read() for _ in range(3000)]
place = c.telldir(d)
more = rest()
c.seekdir(d, place)
again = rest()
c.rewinddir(d)
whole = rest()
print(len(set(start + more)), more == again, len(set(whole)), set(whole) == set(start + more))
""",
            timeout=60,
        )
        self.assertEqual(out, f"{self.COUNT + 2} True {self.COUNT + 2} True\n")

    def test_3_two_listings_at_once_while_keys_come_and_go(self):
        out = MOUNT.ok(
            "for i in $(seq 300); do echo v > new:$i; rm new:$i; done & "
            "ls -f | grep -c ^key: & ls -f | grep -c ^key: & wait",
            timeout=60,
        )
        self.assertEqual(out.split(), [str(self.COUNT).encode()] * 2)

    def test_4_a_listing_that_nobody_ends(self):
        MOUNT.python("import os; next(os.scandir('.')); os._exit(0)")
        self.assertEqual(MOUNT.ok("ls -f | head -1"), b".\n")

    def test_5_rm_r_of_everything(self):
        MOUNT.ok("rm -r ./*", timeout=120)
        self.assertEqual(MOUNT.ok("ls -A"), b"")
        self.assertEqual(sum(s.call("DBSIZE") for s in CLUSTER.masters()), 0)


class OneServer(unittest.TestCase):
    """A server without slots."""

    def test_names_and_listings(self):
        with Server() as server, Mount(server.uri) as mount:
            server.call("SET", "k" * 300, "long")
            for i in range(3000):
                server.call("SET", f"k{i}", i)
            self.assertEqual(len(mount.ok("ls").split()), 3001)
            self.assertEqual(mount.ok("cat %~*"), b"long")
            mount.ok("echo v > new; mv new newer; cat newer; find . -name 'k*' -delete; rm %~* newer", timeout=60)
            self.assertEqual(server.call("DBSIZE"), 0)
            mount.end()


if __name__ == "__main__":
    unittest.main()
