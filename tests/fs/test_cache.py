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

    def test_how_soon(self):
        """Printed, not judged: it is the machine's."""
        script = (
            "import os, sys, time\n"
            "fd = os.open('k', os.O_RDONLY)\n"
            "last = None\n"
            "while True:\n"
            "    value = os.pread(fd, 100, 0)\n"
            "    if value != last:\n"
            "        if last: print(time.monotonic() - float(value), flush=True)\n"
            "        last = value\n"
            "    if value == b'end': break\n"
            "    time.sleep(0.0002)\n"
        ).replace("float(value)", "float(value) if value != b'end' else 0")
        self.cluster.call("SET", "k", "0.0")
        result = []
        thread = threading.Thread(target=lambda: result.append(self.mount.python(script, timeout=60)))
        thread.start()
        time.sleep(0.5)
        for _ in range(200):
            self.cluster.call("SET", "k", repr(time.monotonic()))
            time.sleep(0.005)
        self.cluster.call("SET", "k", "end")
        thread.join()
        times = [float(line) * 1000 for line in result[0].split()][:-1]
        self.assertGreater(len(times), 100)
        cuts = statistics.quantiles(times, n=100)
        print(f"a change is seen after {cuts[49]:.2f} ms (p50), {cuts[98]:.2f} ms (p99)", flush=True)

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
            "import sys, time\n"
            f"end = time.monotonic() + {seconds}\n"
            "last, reads, errors = 0, 0, 0\n"
            "while time.monotonic() < end:\n"
            "    for i in range(6):\n"
            "        try:\n"
            "            with open(f'c{i}') as file: value = file.read()\n"
            "            reads += 1\n"
            "        except OSError: errors += 1\n"
            "    time.sleep(0.001)\n"
            "print(reads, errors)\n"
        )
        for i in range(6):
            cluster.call("SET", f"c{i}", "0")
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
                    wait_until(lambda: self.put(cluster, f"c{i}", f"t{turn}"), 20, "a write works again")
                start = time.monotonic()
                wait_until(lambda: mount.run("cat c?").out == f"t{turn}".encode() * 6, 6, f"turn {turn} is seen")
                if turn:
                    self.assertLess(time.monotonic() - start, SOON + 5)

    @staticmethod
    def put(cluster, key, value):
        try:
            return cluster.call("SET", key, value) == b"OK"
        except (Reply, OSError):
            return False

    def test_a_killed_master(self):
        with Cluster(masters=3, replicas=1) as cluster:
            self.check_reader(cluster, lambda c: c.master_of("c0").kill())

    def test_a_manual_failover(self):
        with Cluster(masters=3, replicas=1) as cluster:
            self.check_reader(cluster, lambda c: c.failover(c.replicas_of(c.master_of("c0"))[0]))

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
            with Mount(cluster.uri, timeout=1000) as mount:
                mount.ok("cat k; cat k")
                server = cluster.master_of("k")
                server.pause()
                try:
                    wait_until(lambda: mount.run("cat k").status != 0, 8, "it is not believed for ever")
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
