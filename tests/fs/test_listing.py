#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Listings of a real mount: offsets that stay, every key once whatever happens meanwhile, constant memory."""

import os
import random
import re
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from fslib import Mount, sanitized  # noqa: E402
from shardtest import SLOTS, Cluster, Server, slot, wait_until  # noqa: E402

# Two keys of one slot whose hashes have the same first 48 bits.
SAME_PLACE = [("{t}11798249", "{t}23597384"), ("{t}16090112", "{t}32931309"), ("{t}12925738", "{t}15575608")]

# readdir() with offsets; what Python's own functions do not show.
DIR = """
import ctypes, os, random, sys
c = ctypes.CDLL(None, use_errno=True)
c.opendir.restype = c.readdir64.restype = ctypes.c_void_p
for f in (c.readdir64, c.telldir, c.rewinddir, c.seekdir, c.closedir):
    f.argtypes = [ctypes.c_void_p]
c.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
c.telldir.restype = ctypes.c_long
class Dir:
    def __init__(self):
        self.d = c.opendir(b".")
    def read(self):
        ctypes.set_errno(0)
        entry = c.readdir64(self.d)
        if not entry:
            if ctypes.get_errno():
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return None
        return ctypes.string_at(entry + 19), ctypes.c_int64.from_address(entry + 8).value
    def rest(self):
        entries = []
        while entry := self.read():
            entries.append(entry)
        return entries
    def seek(self, offset):
        c.seekdir(self.d, offset)
    def rewind(self):
        c.rewinddir(self.d)
def names(entries):
    return [name for name, _ in entries]
def same(what, a, b):
    if a != b:
        sys.exit(f"{what}: {len(a)} and {len(b)}, {set(a) ^ set(b)}"[:2000])
"""


def fill(cluster, keys, replicas=0):
    table = owners(cluster)
    parts = {}
    for key in keys:
        parts.setdefault(table[slot(key)], []).append(("SET", key, "v"))
    for port, commands in parts.items():
        with cluster.server(port).connect(timeout=60) as conn:
            assert set(conn.pipeline(commands)) <= {b"OK"}
            conn.call("WAIT", replicas, 5000)


def owners(cluster):
    table = [0] * SLOTS
    for (first, last), (port, _) in cluster.view(cluster.servers[0]).items():
        table[first : last + 1] = [port] * (last + 1 - first)
    return table


def setUpModule():
    global CLUSTER, MOUNT, OTHER
    CLUSTER = Cluster(masters=3, replicas=0)
    MOUNT = Mount(CLUSTER.uri)
    OTHER = Mount(CLUSTER.uri)


def tearDownModule():
    MOUNT.end()
    OTHER.end()
    CLUSTER.close()


def listed(out):
    """The names of an `ls -f`."""
    return [name for name in out.decode().split("\n") if name not in (".", "..", "")]


def peak_memory(mount):
    with open(f"/proc/{mount.daemon.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s*(\d+)", file.read()).group(1)) * 1024


class Listing(unittest.TestCase):
    def each_once(self, names, keys, others=()):
        """Every one of KEYS once, and beside them only of OTHERS."""
        names = [n for n in names if n not in others]
        self.assertEqual(len(names), len(set(names)), "some came twice")
        self.assertEqual(set(names) ^ set(keys), set())


class Offsets(Listing):
    COUNT = 20000

    @classmethod
    def setUpClass(cls):
        CLUSTER.flush()
        cls.keys = [f"key:{i}" for i in range(cls.COUNT - 6)] + [key for pair in SAME_PLACE for key in pair]
        fill(CLUSTER, cls.keys)

    def script(self, text, mount=None, **more):
        return (mount or MOUNT).python(DIR + text, timeout=90, **more)

    def test_they_are_unique_positive_and_the_same_for_all_handles_and_mounts(self):
        text = """
d = Dir()
for name, offset in d.rest():
    print(name.decode(), offset)
"""
        first, second, other = self.script(text), self.script(text), self.script(text, OTHER)
        self.assertEqual(first, second)
        self.assertEqual(first, other)
        rows = [line.split() for line in first.splitlines()]
        offsets = [int(row[1]) for row in rows]
        self.assertEqual(len(set(offsets)), self.COUNT + 2)
        self.assertGreater(min(offsets), 0)
        self.each_once([row[0] for row in rows], self.keys, (".", ".."))

    def test_one_can_seek_to_every_offset(self):
        self.script("""
d, e = Dir(), Dir()
whole = d.rest()
random.seed(%d)
places = [0, 1, 2, len(whole) - 2, len(whole) - 1] + random.sample(range(len(whole)), 25)
for i in places:
    d.seek(whole[i][1])
    same(f"behind {whole[i]}", d.rest(), whole[i + 1:])
    e.seek(whole[i][1])
    same(f"another handle behind {whole[i]}", [e.read() for _ in range(100)][:len(whole) - 1 - i], whole[i + 1:i + 101])
d.rewind()
same("rewound", names(d.rest()), names(whole))
""" % random.randrange(1 << 32))

    def test_keys_of_the_same_place(self):
        """The offset between them is the handle's own, and right at every length of a buffer, too."""
        self.script("""
pair = {%r, %r}
d = Dir()
whole = d.rest()
at = min(i for i, (name, _) in enumerate(whole) if name.decode() in pair)
same("they are neighbours", {name.decode() for name, _ in whole[at:at + 2]}, pair)
for i in (at - 1, at, at + 1):
    d.seek(whole[0][1])
    d.read()
    d.seek(whole[i][1])
    same(f"behind {whole[i]}", d.rest(), whole[i + 1:])
import os
e = Dir()
while e.read()[0].decode() not in pair:
    pass
""" % SAME_PLACE[0])

    def test_the_first_of_the_same_place_may_be_removed_behind_the_reader(self):
        first, second = sorted(SAME_PLACE[0])
        self.addCleanup(CLUSTER.call, "SET", first, "v")
        self.script("""
d = Dir()
whole = d.rest()
at = names(whole).index(%r)
os.unlink(whole[at][0])
d.seek(whole[1][1])
d.read()
d.seek(whole[at][1])
same("the rest", d.rest(), whole[at + 1:])
""" % first.encode())

    def test_an_offset_that_is_none(self):
        out = self.script("""
d = Dir()
d.seek(12345)
try:
    d.read()
except OSError as error:
    print(error.strerror)
d.rewind()
print(len(d.rest()))
""")
        self.assertEqual(out, f"Invalid argument\n{self.COUNT + 2}\n")

    def test_rewinding_shows_what_is_new(self):
        self.addCleanup(CLUSTER.call, "DEL", "brand-new")
        out = self.script("""
d = Dir()
d.rest()
open("brand-new", "w").write("v")
d.rewind()
print(names(d.rest()).count(b"brand-new"))
""")
        self.assertEqual(out, "1\n")

    def test_two_handles_at_once(self):
        self.script("""
d, e = Dir(), Dir()
a, b = [], []
while True:
    x, y = d.read(), e.read() if len(a) %% 3 else None
    if y:
        b.append(y)
    if not x:
        break
    a.append(x)
b += e.rest()
same("both", a, b)
same("each once", sorted(names(a)), sorted(set(names(a))))
print(len(a))
""".replace("%%", "%"))

    def test_keys_that_come_and_go_meanwhile(self):
        stop = threading.Event()
        others = [f"other:{i}" for i in range(400)]

        def churn():
            table = owners(CLUSTER)
            conns = {s.port: s.connect() for s in CLUSTER.servers}
            while not stop.is_set():
                for key in others:
                    conns[table[slot(key)]].call("SET", key, "v")
                for key in random.sample(others, 300):
                    conns[table[slot(key)]].call("DEL", key)
            for conn in conns.values():
                conn.close()

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(8):
                self.each_once(listed(MOUNT.ok("ls -f", timeout=60)), self.keys, set(others))
        finally:
            stop.set()
            thread.join()
            for key in others:
                CLUSTER.call("DEL", key)


class Removing(Listing):
    def test_rm_r_while_it_is_being_read(self):
        """Each key is removed as soon as it is listed: the places of the others stay where they are."""
        CLUSTER.flush()
        keys = [f"key:{i}" for i in range(20000)] + [f"{{big}}{i}" for i in range(300)]
        fill(CLUSTER, keys)
        out = MOUNT.python(DIR + """
d = Dir()
n = 0
while entry := d.read():
    if entry[0] not in (b".", b".."):
        os.unlink(entry[0])
        n += 1
print(n, len(d.rest()))
d.rewind()
print(len(d.rest()))
""", timeout=200)
        self.assertEqual(out, "20300 0\n2\n")
        self.assertEqual(sum(s.call("DBSIZE") for s in CLUSTER.masters()), 0)

    def test_rm_r(self):
        CLUSTER.flush()
        fill(CLUSTER, [f"key:{i}" for i in range(20000)])
        MOUNT.run(f"rm -r {MOUNT.path}", timeout=200)  # which cannot remove the mount point itself
        self.assertEqual(MOUNT.ok("ls -A"), b"")


class LargeSlot(Listing):
    """More keys than a slot may have to be listed as one."""

    def setUp(self):
        CLUSTER.flush()
        self.keys = [f"{{big}}{i}" for i in range(20000)] + [f"key:{i}" for i in range(1000)]
        fill(CLUSTER, self.keys)

    def test_every_key_once(self):
        for _ in range(2):
            self.each_once(listed(MOUNT.ok("ls -f", timeout=60)), self.keys)

    def test_seeking(self):
        MOUNT.python(DIR + """
d = Dir()
whole = d.rest()
same("each once", sorted(names(whole)), sorted(set(names(whole))))
for i in (500, 1500, 15000, len(whole) - 1):
    d.seek(whole[i][1])
    rest = d.rest()
    if i < 1000: # SCAN begins anew
        same("all of them", sorted(names(rest)), sorted(names(whole[i + 1:])))
        whole = whole[:i + 1] + rest
    else:
        same(f"behind {whole[i]}", rest, whole[i + 1:])
d.rewind()
same("rewound", sorted(names(d.rest())), sorted(names(whole)))
e = Dir() # has not seen the slot; it lies before the offset, or behind it
for i in (2, 990):
    e.seek(whole[i][1])
    same("the rest of another handle", sorted(names(e.rest())), sorted(names(whole[i + 1:])))
""", timeout=60)

    def test_removing_it(self):
        MOUNT.ok("rm -r ./*", timeout=200)
        self.assertEqual(sum(s.call("DBSIZE") for s in CLUSTER.masters()), 0)


class OneServer(Listing):
    """A server without slots."""

    def test_listing_seeking_removing(self):
        with Server() as server, Mount(server.uri) as mount:
            with server.connect(timeout=60) as conn:
                conn.pipeline(("SET", f"key:{i}", "v") for i in range(20000))
            self.each_once(listed(mount.ok("ls -f", timeout=60)), [f"key:{i}" for i in range(20000)])
            mount.python(DIR + """
d = Dir()
whole = d.rest()
for i in (0, 1, 5, 10000, len(whole) - 1):
    d.seek(whole[i][1])
    same(f"behind {whole[i]}", d.rest(), whole[i + 1:])
d.rewind()
same("rewound", sorted(names(d.rest())), sorted(names(whole)))
e = Dir()
e.seek(1 << 62)
try:
    e.read()
    sys.exit("an offset of a cluster")
except OSError:
    pass
""", timeout=60)
            mount.ok("rm -r ./*", timeout=200)
            self.assertEqual(server.call("DBSIZE"), 0)
            mount.end()


class Moving(Listing):
    """Slots that move while they are listed, nodes that fail."""

    def setUp(self):
        CLUSTER.flush()
        self.keys = [f"key:{i}" for i in range(5000)] + [f"{{{i % 7}}}{i}" for i in range(3000)]
        fill(CLUSTER, self.keys)

    def test_a_slot_that_is_being_moved(self):
        """Half of its keys are at one node, half at the other, and some at both."""
        number = slot("{3}")
        source = owner_of(number)
        target = next(s for s in CLUSTER.servers if s is not source)
        open_slot(number, source, target)
        moved = source.call("CLUSTER", "GETKEYSINSLOT", number, 100)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *moved[:90])
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "COPY", "KEYS", *moved[90:])
        try:
            for _ in range(2):
                self.each_once(listed(MOUNT.ok("ls -f", timeout=60)), self.keys)
        finally:
            move(number, source, target, 100)
            CLUSTER.wait_ok()
        self.each_once(listed(MOUNT.ok("ls -f", timeout=60)), self.keys)

    def test_a_reshard_while_it_goes_on(self):
        stop = threading.Event()
        failures = []

        def reshard():
            numbers = sorted({slot(key) for key in self.keys[::25]} | {slot(f"{{{i}}}") for i in range(7)})
            try:
                while not stop.is_set():
                    # Many to one, and then all agree: nodes whose epochs collide may forget whose a slot is.
                    target = random.choice(CLUSTER.servers)
                    for number in random.sample(numbers, 12):
                        move_slowly(number, target)
                    CLUSTER.wait_ok()
            except Exception as error:  # pylint: disable=broad-except
                failures.append(error)

        thread = threading.Thread(target=reshard)
        thread.start()
        try:
            for i in range(12):
                out = (MOUNT, OTHER)[i % 2].ok("ls -f", timeout=60)
                self.each_once(listed(out), self.keys)
            slow = OTHER.python(DIR + """
import time
d = Dir()
entries = []
while entry := d.read():
    entries.append(entry)
    if len(entries) % 500 == 0:
        time.sleep(0.1)
print("\\n".join(n.decode() for n in names(entries)))
""", timeout=60)
            self.each_once(listed(slow.encode()), self.keys)
        finally:
            stop.set()
            thread.join()
            self.assertEqual(failures, [])
            CLUSTER.wait_ok()

    def test_a_master_that_dies(self):
        with Cluster(masters=3, replicas=1) as cluster:
            fill(cluster, self.keys, replicas=1)
            with Mount(cluster.uri, timeout=20000) as mount:
                threading.Timer(0.05, cluster.servers[1].kill).start()
                end = time.monotonic() + 8
                count = 0
                while time.monotonic() < end:
                    self.each_once(listed(mount.ok("ls -f", timeout=60)), self.keys)
                    count += 1
                self.assertGreater(count, 3)
                mount.end()


def owner_of(number):
    """Who thinks of itself as the owner; while slots move, others may think of somebody else for a moment."""

    def owner():
        for server in CLUSTER.servers:
            for (first, last), (port, _) in CLUSTER.view(server).items():
                if port == server.port and first <= number <= last:
                    return server
        return None

    return wait_until(owner, 10, f"an owner of slot {number}")


def move(number, source, target, step):
    while names := source.call("CLUSTER", "GETKEYSINSLOT", number, step):
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "REPLACE", "KEYS", *names)
    for server in (target, source, *(s for s in CLUSTER.servers if s not in (source, target))):
        server.call("CLUSTER", "SETSLOT", number, "NODE", CLUSTER.node_id(target))


def open_slot(number, source, target):
    target.call("CLUSTER", "SETSLOT", number, "IMPORTING", CLUSTER.node_id(source))
    source.call("CLUSTER", "SETSLOT", number, "MIGRATING", CLUSTER.node_id(target))


def move_slowly(number, target):
    """A few keys at a time, so that a listing meets the slot in every state."""
    source = owner_of(number)
    if source is not target:
        open_slot(number, source, target)
        move(number, source, target, 7)


class Memory(Listing):
    @unittest.skipIf(sanitized(), "with sanitizers memory stays for a while")
    def test_it_does_not_grow_with_the_keys(self):
        CLUSTER.flush()
        with Mount(CLUSTER.uri) as mount:
            fill(CLUSTER, [f"key:{i}" for i in range(10000)])
            mount.ok("ls -f > /dev/null", timeout=60)
            few = peak_memory(mount)
            fill(CLUSTER, [f"key:{i}" for i in range(200000)])
            self.assertEqual(mount.ok("ls -f | wc -l", timeout=60), b"200002\n")
            self.assertLess(peak_memory(mount) - few, 3 << 20)
            mount.end()


if __name__ == "__main__":
    unittest.main()
