# SPDX-License-Identifier: MIT
"""Names and listings: every key has one name, ls shows each key once, rm -r of everything ends with nothing."""

import os
import random
import unittest

from fslib import Mount
from shardtest import Cluster, Server

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
        for name in ("%41", "a%", "%2f", "%val", "%~0000-0000000000000000", ".shardfs", "%2Ehidden"):
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

    def test_random_keys(self):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        keys = {rng.randbytes(rng.randrange(0, 60)) for _ in range(150)}
        keys |= {bytes(rng.choices(b"%/.2EFa\0", k=rng.randrange(0, 8))) for _ in range(150)}
        for key in keys:
            CLUSTER.call("SET", key, key)
        script = """
import os, sys
for name in os.listdir(b"."):
    value = open(name, "rb").read()
    print(name.hex(), value.hex())
    open(name, "wb").write(value + b"!")
"""
        rows = [line.split(" ") for line in MOUNT.python(script, timeout=60).splitlines()]
        self.assertEqual(len({name for name, _ in rows}), len(keys), f"seed {seed}")
        self.assertEqual({bytes.fromhex(value) for _, value in rows}, keys, f"seed {seed}")
        for key in keys:
            self.assertEqual(CLUSTER.call("GET", key), key + b"!", f"seed {seed}: {key!r}")


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
