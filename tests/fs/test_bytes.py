# SPDX-License-Identifier: MIT
"""No way of writing a file sends more than three times the file to the servers: they count what they are sent."""

import random
import unittest

from fslib import Mount
from shardtest import Cluster

CLUSTER = None
MOUNT = None

# What may be sent of short values without counting, so that a shell hears of the error of each of its first lines.
FREE = 16 << 10
# Commands that carry no value: looking up, and what goes with each write that goes straight to the server.
A_CALL = 200

WRITER = """
import os, sys, time
name, pause, *sizes = sys.argv[1:]
f = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
data = b"x" * max(map(int, sizes))
for size in sizes:
    os.write(f, data[:int(size)])
    time.sleep(float(pause))
os.close(f)
"""


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


def received():
    return sum(int(server.info("stats")["total_net_input_bytes"]) for server in CLUSTER.servers)


class Sent(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()

    def cost(self, do, calls=10, names=("k",)):
        """DO writes the keys NAMES; calls: how many commands it may need that carry a piece of them each."""
        before = received()
        do()
        sent = received() - before
        size = sum(CLUSTER.call("STRLEN", name) for name in names)
        self.assertGreater(size, 0)
        self.assertLessEqual(sent, 3 * size + FREE + calls * A_CALL, f"{size} bytes, {sent / size:.1f} times")

    def shell(self, script, **more):
        CLUSTER.flush()
        with self.subTest(script):
            self.cost(lambda: MOUNT.ok(script, timeout=60), **more)


class Ways(Sent):
    def test_copies(self):
        for script in (
            "cp /usr/share/common-licenses/GPL-2 k",
            "head -c 3000000 /dev/urandom | tee k > /dev/null",
            "head -c 3000000 /dev/urandom | cat > k",
            "head -c 3000000 /dev/urandom | gzip > k",
            f"head -c 3000001 /dev/zero > {MOUNT.dir}/in; cp --sparse=always {MOUNT.dir}/in k; rm {MOUNT.dir}/in",
        ):
            self.shell(script)

    def test_dd(self):
        for size, count in ((1, 1), (1, 100), (1, 4096), (1, 30000), (7, 3000), (1000, 66), (1000, 5000), (4097, 1000)):
            self.shell(f"dd if=/dev/zero of=k bs={size} count={count} status=none")
        for size, count in ((4096, 2000), (65535, 100), ("1M", 20)):
            self.shell(f"dd if=/dev/zero of=k bs={size} count={count} status=none")

    def test_line_by_line(self):
        loop = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i + 1)); done > k"
        for script in (
            loop,
            f"dash -c '{loop}'",
            "seq 10000 | sed -u s/1/one/ > k",
            "seq 10000 | grep --line-buffered . > k",
            "seq 10000 | stdbuf -oL cat -n > k",
            "seq 100000 > k",
        ):
            self.shell(script)

    def test_python(self):
        for buffering in (1, 100, 8192, -1):
            script = f"f = open('k', 'w', {buffering})\nfor i in range(5000): print('line', i, file=f)"
            CLUSTER.flush()
            with self.subTest(buffering):
                self.cost(lambda script=script: MOUNT.python(script))

    def test_tar(self):
        self.shell("tar cf k -C /usr/include linux", calls=100)

    def test_editors(self):
        MOUNT.ok("seq 20000 > k")
        self.cost(lambda: MOUNT.ok("sed -i s/1/2/ k"))
        self.cost(lambda: MOUNT.ok("vim -n -u NONE -es -c '%s/2/3/g' -c wq k < /dev/null"))
        self.cost(lambda: MOUNT.ok("sort -o k k"))

    def test_many_commands_in_one_redirection(self):
        for script in (
            "for i in $(seq 200); do /bin/echo line $i; done > k",
            "for i in $(seq 50); do cat in; done > k",
            "(for i in $(seq 50); do cat in; done) > k",
            "strace -f -o k bash -c 'for i in $(seq 20); do /bin/true; done'",
        ):
            MOUNT.ok("head -c 100000 /dev/zero > in")
            CLUSTER.call("DEL", "k")
            with self.subTest(script):
                self.cost(lambda script=script: MOUNT.ok(script, timeout=60), calls=50)

    def test_out_of_order(self):
        for offsets in ("range(1000)", "range(999, -1, -1)", "sorted(range(1000), key=lambda i: i * 7919 % 1000)"):
            script = f"import os\nf = os.open('k', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\nfor i in {offsets}:\n"
            for size in (10, 1000):
                CLUSTER.flush()
                with self.subTest(offsets, size=size):
                    write = f"    os.pwrite(f, b'x' * {size}, i * {size})\n"
                    self.cost(lambda script=script, write=write: MOUNT.python(script + write))
                    resize = f"    i or os.ftruncate(f, {1000 * size})\n"
                    self.cost(lambda script=script, more=resize + write: MOUNT.python(script + more))

    def test_maps(self):
        script = """
import mmap, os
f = os.open("k", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(f, 1 << 20)
with mmap.mmap(f, 1 << 20) as m:
    for i in range(0, 1 << 20, 5000):
        m[i] = 1
"""
        self.cost(lambda: MOUNT.python(script))

    def test_straight_to_the_server(self):
        self.shell("dd if=/dev/zero of=k bs=10 count=1000 oflag=append conv=notrunc status=none", calls=1010)
        self.shell("truncate -s 100000 k; dd if=/dev/zero of=k bs=100 count=1000 conv=notrunc status=none", calls=1010)
        self.shell("for i in $(seq 100); do echo line $i >> k; done", calls=1000)

    def test_an_append_does_not_send_the_file(self):
        CLUSTER.call("SET", "k", b"x" * 10_000_000)
        before = received()
        MOUNT.ok("echo more >> k; echo more | dd of=k bs=1 seek=5000000 conv=notrunc status=none")
        MOUNT.ok("truncate -s 9000000 k; mv k '{k}2'; touch '{k}2'; rm '{k}2'")
        self.assertLess(received() - before, 5000)

    def test_reading_sends_nothing(self):
        for size in (5, 50_000, 500_000, 5_000_000):
            CLUSTER.call("SET", "k", b"x" * size)
            before = received()
            MOUNT.ok("cat k; head -c 5 k; tail -c 5 k; stat k; ls -l k; grep -c y k || true")
            self.assertLess(received() - before, 20 * A_CALL + size // 100, size)


class Pauses(Sent):
    """What is stored because nothing came for a while."""

    def paused(self, pause, sizes):
        CLUSTER.flush()
        words = [str(size) for size in (pause, *sizes)]
        with self.subTest(pause=pause, sizes=sizes[:3]):
            self.cost(lambda: MOUNT.python(WRITER, "k", *words, timeout=60))

    def test_a_writer_that_pauses(self):
        self.paused(0.11, [200] * 20)
        self.paused(0.11, [4096] * 20)
        self.paused(0.11, [100_000] * 12)
        self.paused(0.05, [1000] * 40)


class Random(Sent):
    def test_any_sizes(self):
        seed = random.randrange(1 << 32)
        rng = random.Random(seed)
        for _ in range(60):
            size = int(2 ** rng.uniform(0, 24.3))
            sizes = []
            largest = 2 ** rng.uniform(0, 21)
            while sum(sizes) < size and len(sizes) < 5000:
                n = int(rng.uniform(1, largest)) if rng.random() < 0.9 else 4096 * rng.randint(1, 9)
                sizes.append(min(n, size - sum(sizes)))
            CLUSTER.flush()
            with self.subTest(seed=seed, size=sum(sizes), calls=len(sizes), first=sizes[:5]):
                words = [str(n) for n in sizes]
                self.cost(lambda words=words: MOUNT.python(WRITER, "k", "0", *words))


if __name__ == "__main__":
    unittest.main()
