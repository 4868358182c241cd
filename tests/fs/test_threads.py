#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""-o threads=N: programs that work at the same time, each as if it were alone; and every end of the mount under load."""

import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from fslib import Mount, mounts, run
from pooltest import Pool
from shardtest import Cluster, Server, wait_until

SECONDS = float(os.environ.get("SHARD_HAMMER_SECONDS") or 3)

# One program: files of its own, whose contents it knows; fields of a hash that all share; lines in a file of all.
HAMMER = r"""
import os, random, sys, time
me, end = sys.argv[1], time.monotonic() + float(sys.argv[2])
rng, mine, count = random.Random(int(me)), {}, 0
os.makedirs("h", exist_ok=True)

def check(name, want):
    try:
        with open(name, "rb") as file: got = file.read()
    except FileNotFoundError: got = None
    if got != want: sys.exit(f"{name}: {got and got[:80]} (of {got and len(got)}) instead of {want and want[:80]}")
    try: size = os.stat(name).st_size
    except FileNotFoundError: size = None
    if size != (None if want is None else len(want)): sys.exit(f"{name}: size {size} instead of {want and len(want)}")

while time.monotonic() < end:
    name = f"m{me}-{rng.randrange(6)}"
    what = rng.randrange(9)
    data = rng.choice([b"", b"x", b"line\n", b"y" * 5000, os.urandom(70000)])
    if what == 0:
        with open(name, "wb") as file: file.write(data)
        mine[name] = data
    elif what == 1:
        with open(name, "ab") as file: file.write(data)
        if data or name in mine: mine[name] = mine.get(name, b"") + data
        else: mine[name] = b""
    elif what == 2 and name in mine:
        with open(name, "r+b", buffering=0) as file: file.seek(3); file.write(b"abc")
        old = mine[name]
        mine[name] = (old[:3] + b"\0" * (3 - len(old)) if len(old) < 3 else old[:3]) + b"abc" + old[6:]
    elif what == 3 and name in mine:
        os.unlink(name); del mine[name]
    elif what == 4 and name in mine:
        to = f"m{me}-{rng.randrange(6)}"
        os.rename(name, to)
        if to != name: mine[to] = mine.pop(name)
    elif what == 5 and name in mine:
        os.truncate(name, 2); mine[name] = mine[name][:2].ljust(2, b"\0")
    elif what == 6:
        with open("h/f" + me, "wb") as file: file.write(data)
        check("h/f" + me, data)
    elif what == 7:
        with open("all", "ab") as file: file.write(f"{me} {count}\n".encode())
        count += 1
    else:
        names = {entry for entry in os.listdir(".") if entry.startswith(f"m{me}-")}
        if names != set(mine): sys.exit(f"listed {names}, there are {set(mine)}")
    check(name, mine.get(name))
    other = f"m{rng.randrange(int(sys.argv[3]))}-0"
    try:
        with open(other, "rb") as file: file.read()
    except OSError: pass
for name in list(mine): check(name, mine[name])
print(count)
"""


def threads_of(mount):
    return len(os.listdir(f"/proc/{mount.daemon.pid}/task"))


def hammer(mount, programs=8, seconds=SECONDS):
    """Runs the programs; returns [(status, stdout, stderr)]."""
    words = [sys.executable, "-c", HAMMER]
    running = [
        subprocess.Popen(
            [*words, str(i), str(seconds), str(programs)],
            cwd=mount.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(programs)
    ]
    results = []
    for process in running:
        try:
            out, err = process.communicate(timeout=seconds + 60)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += " (hangs)"
        results.append((process.returncode, out, err))
    return results


class Hammer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=0)
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.cluster.flush()

    def check(self, options):
        with Mount(self.cluster.uri, options=options) as mount:
            wanted = int(options.split("threads=")[1].split(",")[0])
            wait_until(lambda: threads_of(mount) >= wanted, 5, "all threads are there")
            results = hammer(mount)
            self.assertEqual([(0, "")] * len(results), [(status, err) for status, _, err in results])
            counts = {str(i): int(out) for i, (_, out, _) in enumerate(results)}
            lines = (self.cluster.call("GET", "all") or b"").decode().splitlines()
            self.assertEqual({me: [f"{me} {i}" for i in range(count)] for me, count in counts.items()},
                             {me: [line for line in lines if line.split()[0] == me] for me in counts})
            stats = dict(line.split() for line in mount.ok("cat .shardfs/stats").decode().splitlines())
            self.assertLessEqual(int(stats["handles"]), 1)
            self.assertIn(b"threads %d\n" % wanted, mount.ok("cat .shardfs/config"))
            mount.end()

    def test_two(self):
        self.check("threads=2")

    def test_four_without_caching(self):
        self.check("threads=4,cache=off")

    def test_eight_with_pages_and_inotify(self):
        self.check("threads=8,cache=pages,inotify")


class Ends(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def setUp(self):
        self.server.call("FLUSHALL")

    def load(self, mount):
        """Readers and writers that go on until they are ended, whatever happens to them."""
        script = "while :; do for i in 1 2 3 4 5; do echo $$ > w$$-$i; cat w$$-$i; ls; done; done"
        load = [
            subprocess.Popen(["bash", "-c", script], cwd=mount.path, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, start_new_session=True)
            for _ in range(4)
        ]
        self.addCleanup(self.end_load, load)
        wait_until(lambda: self.server.call("DBSIZE") >= 20, 20, "they work")
        return load

    @staticmethod
    def end_load(load):
        for process in load:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()

    def test_a_signal_under_load(self):
        for _ in range(3):
            mount = Mount(self.server.uri, options="threads=4")
            try:
                load = self.load(mount)
                mount.daemon.send_signal(signal.SIGTERM)
                self.assertEqual(mount.wait(20), 0, mount.stderr())
                self.assertNotIn(mount.path, mounts())
                self.end_load(load)
            finally:
                mount.close()

    def test_unmounted_under_load(self):
        for _ in range(3):
            mount = Mount(self.server.uri, options="threads=4")
            try:
                load = self.load(mount)
                run(["fusermount3", "-uz", mount.path])
                self.end_load(load)
                self.assertEqual(mount.wait(20), 0, mount.stderr())
            finally:
                mount.close()

    def test_what_was_written_last_is_stored(self):
        with Mount(self.server.uri, options="threads=4,commit=close") as mount:
            with tempfile.TemporaryFile() as out:
                script = "exec 3>k; echo kept >&3; echo; exec sleep 60"
                process = subprocess.Popen(["bash", "-c", script], cwd=mount.path, stdout=out)
                wait_until(lambda: os.fstat(out.fileno()).st_size, 10, "it is written")
                mount.daemon.send_signal(signal.SIGTERM)
                self.assertEqual(mount.wait(20), 0, mount.stderr())
                process.kill()
                process.wait()
        self.assertEqual(self.server.call("GET", "k"), b"kept\n")

    def test_an_interrupt_reaches_the_thread_that_waits(self):
        with Mount(self.server.uri, options="threads=4,cache=off", timeout=20000) as mount:
            self.server.call("SET", "k", "v")
            mount.ok("cat k")
            self.server.pause()
            try:
                waiting = [subprocess.Popen(["cat", f"k{i}"], cwd=mount.path, stderr=subprocess.DEVNULL)
                           for i in range(8)]
                time.sleep(0.3)
                start = time.monotonic()
                for process in waiting:
                    process.send_signal(signal.SIGINT)
                for process in waiting:
                    process.wait(15)
                self.assertLess(time.monotonic() - start, 10)
            finally:
                self.server.resume()
            self.assertEqual(mount.ok("cat k"), b"v")
            mount.end()

    def test_a_pool(self):
        with Pool() as pool, Mount(pool.uri, options="threads=3") as mount:
            mount.ok("for i in $(seq 40); do echo $i > k$i & done; wait; cat k* > /dev/null")
            self.assertEqual(sorted(mount.ok("ls").split()), sorted(b"k%d" % i for i in range(1, 41)))
            for i in range(1, 41):
                self.assertEqual(pool.servers[pool.holders(f"k{i}")[0]].call("GET", f"k{i}"), b"%d\n" % i)

    def test_a_number_is_wanted(self):
        for value in ("0", "65", "x", ""):
            with self.assertRaisesRegex(Exception, "threads="):
                Mount(self.server.uri, options=f"threads={value}")
        with Mount(self.server.uri, options="threads=1") as mount:
            self.assertEqual(threads_of(mount), 1)


unittest.main()
