# SPDX-License-Identifier: MIT
"""Values up to the largest there are, in and out, and what they cost."""

import contextlib
import hashlib
import os
import socket
import tempfile
import threading
import time
import unittest

from fslib import Mount
from shardtest import Cluster, Server

CLUSTER = None
MOUNT = None
LARGEST = 512 << 20
# What the daemon may take, whatever the size: a value above 16 MiB is in a temporary file.
MEMORY = 64 << 20


def setUpModule():
    global CLUSTER, MOUNT
    CLUSTER = Cluster(masters=3, replicas=0, conf=["cluster-node-timeout 15000"])
    MOUNT = Mount(CLUSTER.uri, timeout=60000)


def tearDownModule():
    try:
        if MOUNT:
            MOUNT.end()
    finally:
        if CLUSTER:
            CLUSTER.close()


def status(pid, name):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


class Peak:
    """The most memory that the daemon had, less what it had at the start."""

    def __enter__(self):
        with open(f"/proc/{MOUNT.daemon.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")  # VmHWM begins anew
        self.start = status(MOUNT.daemon.pid, "VmRSS")
        return self

    def __exit__(self, *_):
        self.bytes = status(MOUNT.daemon.pid, "VmHWM") - self.start


class Large(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()
        self.temp = tempfile.TemporaryDirectory(prefix="shardfs-test-")
        self.addCleanup(self.temp.cleanup)

    def file(self, size):
        """A file outside of the mount with SIZE bytes that nothing can make smaller, and their digest."""
        path = os.path.join(self.temp.name, "in")
        digest = hashlib.md5()
        block = os.urandom(1 << 20)
        with open(path, "wb") as file:
            for i in range(0, size, 1 << 20):
                part = (i.to_bytes(8, "big") + block)[: min(1 << 20, size - i)]
                file.write(part)
                digest.update(part)
        return path, digest.hexdigest().encode()

    def ok(self, command):
        return MOUNT.ok(command, timeout=200)

    def in_and_out(self, size):
        path, digest = self.file(size)
        with Peak() as writing:
            self.ok(f"cp {path} k")
        self.assertEqual(CLUSTER.call("STRLEN", "k"), size)
        with Peak() as reading:
            self.assertEqual(self.ok("md5sum < k").split()[0], digest)
            self.ok(f"cp k {path}2")
        self.ok(f"cmp {path} {path}2; rm {path}2")
        self.assertLess(writing.bytes, MEMORY)
        self.assertLess(reading.bytes, MEMORY)


class Hundred(Large):
    def test_100_mb(self):
        self.in_and_out(100_000_000)
        # Above 64 MiB mv copies where the slot is another.
        self.ok("mv k '{k}2'; mv '{k}2' other; test ! -e k")
        self.assertEqual(CLUSTER.call("STRLEN", "other"), 100_000_000)
        self.assertIsNone(CLUSTER.call("GET", "k"))

    def test_many_ways(self):
        path, digest = self.file(30_000_000)
        for command in (
            f"dd if={path} of=k bs=1M status=none",
            f"dd if={path} of=k bs=65537 status=none",
            f"cat {path} > k",
            f"tee k < {path} > /dev/null",
            f"dd if={path} of=k bs=4M oflag=append conv=notrunc status=none",
            f"truncate -s 30000000 k; dd if={path} of=k bs=1M conv=notrunc status=none",
            f"cp {path} new; mv new k",
            f"cp {path} '{{k}}'; mv '{{k}}' k",
            f"cp {path} k; cp k new; truncate -s 0 k; cat new >> k",
            f"gzip -1 < {path} > z; gunzip < z > k",
            f"tar cf t -C {self.temp.name} in; tar xOf t > k",
            f"head -c 20000000 {path} > k; tail -c +20000001 {path} >> k",
            f"cp {path} k; truncate -s 17000000 k; tail -c +17000001 {path} | cat >> k",
        ):
            with self.subTest(command.replace(path, "FILE")):
                CLUSTER.flush()
                self.ok(command)
                self.assertEqual(self.ok("md5sum < k").split()[0], digest)
                self.assertEqual(hashlib.md5(CLUSTER.call("GET", "k")).hexdigest().encode(), digest)

    def test_others_go_on_meanwhile(self):
        path, _ = self.file(100_000_000)
        CLUSTER.call("SET", "other", "v")
        slowest = 0.0
        copy = threading.Thread(target=lambda: self.ok(f"cp {path} k; cp k {path}2"))
        copy.start()
        while copy.is_alive():
            start = time.monotonic()
            self.assertEqual(MOUNT.ok("cat other"), b"v")
            slowest = max(slowest, time.monotonic() - start)
        copy.join()
        self.assertLess(slowest, 3)


    def test_without_a_place_for_temporary_files(self):
        with Mount(CLUSTER.uri, env={**os.environ, "TMPDIR": "/nonexistent"}) as mount:
            mount.ok("head -c 20000000 /dev/zero > k; test $(stat -c %s k) = 20000000", timeout=60)


class SlowNetwork(Large):
    """A relay that lets 20 MB a second through."""

    RATE = 20e6

    def pump(self, source, target):
        try:
            while part := source.recv(65536):
                target.sendall(part)
                time.sleep(len(part) / self.RATE)
        except OSError:
            pass
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def relay(self, listener, port):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self.pump, args=pair, daemon=True).start()
                self.addCleanup(near.close)
                self.addCleanup(far.close)

    def test_what_travels_longer_than_the_deadline(self):
        with Server() as server, socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=self.relay, args=(listener, server.port), daemon=True).start()
            with Mount(f"redis://127.0.0.1:{listener.getsockname()[1]}", timeout=700) as mount:
                path, digest = self.file(40_000_000)
                mount.ok(f"cp {path} k", timeout=60)
                self.assertEqual(server.call("STRLEN", "k"), 40_000_000)
                self.assertEqual(mount.ok("md5sum < k", timeout=60).split()[0], digest)
            listener.shutdown(socket.SHUT_RDWR)


class Largest(Large):
    def test_512_mb(self):
        self.in_and_out(LARGEST)

    def test_one_byte_more(self):
        path, _ = self.file(LARGEST)
        CLUSTER.call("SET", "k", "old")
        for command, error in (
            (f"echo >> {path}; cp {path} k", "cp: error writing 'k': File too large\n"),
            ("truncate -s 536870913 k", "truncate: failed to truncate 'k' at 536870913 bytes: File too large\n"),
            ("echo | dd of=k bs=1 seek=512M conv=notrunc status=none", "dd: error writing 'k': File too large\n"),
        ):
            with self.subTest(command.replace(path, "FILE")):
                result = MOUNT.run(command, timeout=200)
                self.assertEqual((result.status, result.err), (1, error), result)
                CLUSTER.flush()
                CLUSTER.call("SET", "k", "old")

    def test_appending_over_the_limit(self):
        self.ok("truncate -s 536870910 k; printf 12 >> k")
        result = MOUNT.run("echo 3 >> k")
        self.assertEqual(result.status, 1)
        self.assertIn("File too large", result.err)
        self.assertEqual(self.ok("tail -c 3 k; stat -c %s k"), b"\00012536870912\n")


if __name__ == "__main__":
    unittest.main()
