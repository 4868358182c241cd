# SPDX-License-Identifier: MIT
"""Two mounts and redis-cli at the same keys: nothing is torn, lost, made twice, sent without need, or out of date."""

import collections
import hashlib
import random
import subprocess
import sys
import threading
import time
import unittest

from fslib import Mount, sanitized
from shardtest import Cluster, Server, wait_until

CLUSTER = None
ONE = None
TWO = None


def setUpModule():
    global CLUSTER, ONE, TWO
    CLUSTER = Cluster(masters=3, replicas=0)
    ONE = Mount(CLUSTER.uri)
    TWO = Mount(CLUSTER.uri)


def tearDownModule():
    try:
        for mount in (ONE, TWO):
            if mount:
                mount.end()
    finally:
        for mount in (ONE, TWO):
            if mount:
                mount.close()
        if CLUSTER:
            CLUSTER.close()


class Commands:
    """What servers are told while it is open: words in upper case, counted; lines as MONITOR shows them."""

    def __init__(self, servers):
        self.servers, self.lines = servers, []

    def __enter__(self):
        self.conns = [server.connect(timeout=60) for server in self.servers]
        for conn in self.conns:
            conn.call("MONITOR")
        self.threads = [threading.Thread(target=self._read, args=(conn,), daemon=True) for conn in self.conns]
        for thread in self.threads:
            thread.start()
        return self

    def _read(self, conn):
        while True:
            try:
                line = conn.read().decode("utf-8", "replace")
            except (OSError, ValueError):
                return
            if '"the-end"' in line:
                return
            self.lines.append(line)

    def __exit__(self, *_):
        for server in self.servers:
            server.call("ECHO", "the-end")
        for thread in self.threads:
            thread.join(10)
        for conn in self.conns:
            conn.close()

    @property
    def names(self):
        return collections.Counter(line.split('"')[1].upper() for line in self.lines if '"' in line)


def resident():
    """Bytes of ONE's daemon."""
    with open(f"/proc/{ONE.daemon.pid}/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


class Shared(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()

    def get(self, key):
        return CLUSTER.call("GET", key)

    def set(self, key, value, *more):
        CLUSTER.call("SET", key, value, *more)

    def together(self, *jobs, timeout=60):
        """Runs JOBS, (mount, script of python, words...), at once; what each has written, when all have ended well."""
        running = [
            subprocess.Popen(
                [sys.executable, "-c", script, *map(str, words)],
                cwd=mount.path,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
            )
            for mount, script, *words in jobs
        ]
        end = time.monotonic() + timeout
        try:
            outs = [process.communicate(timeout=max(end - time.monotonic(), 0.1))[0].decode() for process in running]
        finally:
            for process in running:
                process.kill()
                process.communicate()
        self.assertEqual([process.returncode for process in running], [0] * len(running))
        return outs


class Appending(Shared):
    WRITER = """
import hashlib, os, random, sys
name, count, longest = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(name)
for i in range(count):
    text = f"{name} {i} " + "x" * int(rng.uniform(0, longest))
    line = f"{hashlib.md5(text.encode()).hexdigest()} {text}\\n".encode()
    with open("log", "ab", 0) as log:
        n = log.write(line)
    assert n == len(line), n
"""

    def test_eight_writers_on_two_mounts(self):
        count = 300
        jobs = [
            (mount, self.WRITER, f"w{n}{i}", count, longest)
            for n, mount in enumerate((ONE, TWO))
            for i, longest in enumerate((10, 100, 5000, 30000))
        ]
        self.together(*jobs)
        lines = self.get("log").decode().splitlines()
        self.assertEqual(len(lines), 8 * count)
        written = collections.defaultdict(list)
        for line in lines:
            digest, text = line.split(" ", 1)
            self.assertEqual(hashlib.md5(text.encode()).hexdigest(), digest)
            writer, i, _ = text.split(" ")
            written[writer].append(int(i))
        self.assertEqual(len(written), 8)
        for numbers in written.values():
            self.assertEqual(numbers, list(range(count)))

    def test_largest_appends_are_whole(self):
        size = (1 << 20) - 4096
        script = f"""
import os, sys
log = os.open("log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
for i in range(10):
    assert os.write(log, sys.argv[1].encode() * {size}) == {size}
"""
        self.together((ONE, script, "a"), (TWO, script, "b"), (ONE, script, "c"))
        value = self.get("log")
        self.assertEqual(len(value), 30 * size)
        for i in range(0, len(value), size):
            self.assertEqual(len(set(value[i : i + size])), 1)

    def test_no_zeros_where_the_other_mount_has_shortened_it(self):
        self.set("log", b"x" * 10000)
        ONE.ok("cat log > /dev/null; stat log")
        script = "import os, sys\nf = os.open('log', os.O_WRONLY | os.O_APPEND)\nos.fstat(f)\n"
        script += "os.truncate(sys.argv[1], 10)\nos.write(f, b'new')"
        ONE.python(script, TWO.file("log"))
        self.assertEqual(self.get("log"), b"x" * 10 + b"new")


class Exclusive(Shared):
    def test_each_file_is_made_by_one(self):
        script = """
import os, sys, time
made = 0
for i in range(150):
    try:
        f = os.open(f"lock{i}", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        continue
    os.write(f, sys.argv[1].encode())
    os.close(f)
    made += 1
print(made)
"""
        made = self.together(*((mount, script, i) for i, mount in enumerate((ONE, TWO) * 3)))
        self.assertEqual(sum(map(int, made)), 150)
        owners = collections.Counter(self.get(f"lock{i}").decode() for i in range(150))
        self.assertEqual({i: int(n) for i, n in enumerate(made) if int(n)}, {int(k): n for k, n in owners.items()})

    def test_a_lock_file_protects_a_counter(self):
        script = """
import os, time
for _ in range(15):
    while True:
        try:
            os.close(os.open("n.lock", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            break
        except FileExistsError:
            time.sleep(0.001)
    n = int(open("n").read())
    with open("n", "w") as f:
        f.write(str(n + 1))
    os.unlink("n.lock")
"""
        self.set("n", "0")
        self.together(*((mount, script) for mount in (ONE, TWO) * 2))
        self.assertEqual(self.get("n"), b"60")


class Torn(Shared):
    READER = """
import hashlib, os, sys, time
end = time.monotonic() + 4
seen, stale = set(), 0
def whole(): return open("k", "rb").read()
def pieces():
    f = os.open("k", os.O_RDONLY)
    try:
        value = b""
        while part := os.read(f, 9000): value += part
        return value
    finally:
        os.close(f)
def again():
    global kept
    kept.seek(0)
    return kept.read()
kept = open("k", "rb", 0)
ways = [whole, pieces, again]
while time.monotonic() < end:
    way = ways[len(seen) % 3]
    try:
        value = way()
    except OSError as error:
        assert error.errno == 116, error
        stale += 1
        continue
    digest, _, text = value.partition(b" ")
    assert hashlib.md5(text).hexdigest().encode() == digest, f"{way.__name__}: {len(value)} bytes, {value[:60]}"
    seen.add(digest)
print(len(seen), stale)
"""
    SIZES = (1, 60, 4000, 65536, 70_000, 400_000)

    @staticmethod
    def value(rng, sizes):
        size = rng.choice(sizes)
        text = rng.choice("abcdefgh") * (size + rng.randrange(size))
        return f"{hashlib.md5(text.encode()).hexdigest()} {text}"

    def read_while(self, write, minimum=5, mounts=None):
        """Two readers on each mount, while WRITE is called again and again."""
        rng = random.Random(1)
        self.set("k", self.value(rng, self.SIZES))
        stop = threading.Event()

        def loop():
            while not stop.is_set():
                write(rng)

        writer = threading.Thread(target=loop)
        writer.start()
        try:
            outs = self.together(*((mount, self.READER) for mount in mounts or (ONE, TWO, ONE, TWO)))
        finally:
            stop.set()
            writer.join(30)
        for out in outs:
            self.assertGreater(int(out.split()[0]), minimum, outs)

    def test_while_redis_cli_writes(self):
        words = ["redis-cli", "-p", str(CLUSTER.master_of("k").port)]
        cli = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        def write(rng):
            cli.stdin.write(f'SET k "{self.value(rng, self.SIZES)}"\n'.encode())
            cli.stdin.flush()
            self.assertEqual(cli.stdout.readline(), b"OK\n")

        try:
            self.read_while(write)
        finally:
            cli.communicate(timeout=10)

    def test_while_large_values_are_set(self):
        def write(rng):
            self.set("k", self.value(rng, (100, 3_000_000, 5_000_000)))
            time.sleep(0.1)

        self.read_while(write, 0)

    def test_while_the_other_mount_writes(self):
        def write(rng):
            ways = ("cat > k", "cat > new; mv new k", "cat > '{k}'; mv '{k}' k", "dd of=k bs=64k status=none")
            TWO.ok(rng.choice(ways), self.value(rng, self.SIZES).encode())

        # A reader on the writer's mount sees what it has written so far.
        self.read_while(write, 1, (ONE, ONE))

    def test_sizes_belong_to_their_values(self):
        """A reader that takes the size first (cp, tail, git) gets all of a value, or all of another."""
        script = """
import os, time
end = time.monotonic() + 3
n = 0
while time.monotonic() < end:
    f = os.open("k", os.O_RDONLY)
    size = os.fstat(f).st_size
    value = os.read(f, size)
    assert len(set(value)) == 1 and (len(value) < size or value[0] % 10 == size % 10), (size, len(value), value[:9])
    os.close(f)
    n += 1
print(n)
"""
        stop = threading.Event()

        def loop():
            rng = random.Random(2)
            while not stop.is_set():
                size = rng.choice((4, 8, 100, 5000, 60000))
                self.set("k", bytes([60 + size % 10]) * size)
                size = rng.randrange(1, 60000)
                self.set("k", bytes([60 + size % 10]) * size)

        self.set("k", b"@@@@")
        writer = threading.Thread(target=loop)
        writer.start()
        try:
            self.together((ONE, script), (TWO, script))
        finally:
            stop.set()
            writer.join(10)


class Expiry(Shared):
    OVERWRITES = (
        "echo new > k",
        "cp in k",
        "tee k < in > /dev/null",
        "dd if=in of=k status=none",
        "vim -n -u NONE -es -c 'normal ix' -c wq k < /dev/null",
        f"{sys.executable} -c 'f = open(\"k\", \"w\"); f.write(\"x\" * 99999)'",
        ": > k",
    )
    IN_PLACE = (
        "echo more >> k",
        "echo x | dd of=k conv=notrunc status=none",
        "truncate -s 2 k",
        "truncate -s 200 k",
        "truncate -s 0 k",
        "touch k; chmod 600 k",
        "mv k k2; mv k2 k",
        "mv k '{k}2'; mv '{k}2' k",
    )

    def expiries(self, mount, commands):
        for command in commands:
            CLUSTER.flush()
            self.set("k", "old", "EX", 1000)
            self.set("in", "copied")
            mount.ok(command)
            wait_until(lambda: mount.run("exec 3>> k").status == 0)
            yield command, CLUSTER.call("TTL", "k")

    def test_kept(self):
        for command, ttl in self.expiries(ONE, self.OVERWRITES + self.IN_PLACE):
            with self.subTest(command):
                self.assertIn(ttl, range(980, 1001))

    def test_cleared(self):
        with Mount(CLUSTER.uri, options="ttl=clear") as mount:
            for command, ttl in self.expiries(mount, self.OVERWRITES[:-1]):
                with self.subTest(command):
                    self.assertEqual(ttl, -1)
            mount.ok(": > k")
            wait_until(lambda: CLUSTER.call("TTL", "k") == -1, 3)
            for command, ttl in self.expiries(mount, self.IN_PLACE):
                with self.subTest(command):
                    self.assertIn(ttl, range(980, 1001) if command != "truncate -s 0 k" else (-1,))

    def test_set(self):
        with Mount(CLUSTER.uri, options="ttl=50") as mount:
            for command, ttl in self.expiries(mount, self.OVERWRITES):
                with self.subTest(command):
                    self.assertIn(ttl, range(40, 51))
            mount.ok("echo v > new; set -C; echo v > exclusive")
            for key in ("new", "exclusive"):
                self.assertIn(CLUSTER.call("TTL", key), range(40, 51))

    def test_a_key_that_expires_is_gone(self):
        self.set("k", "v", "PX", 300)
        self.assertEqual(ONE.ok("cat k"), b"v")
        time.sleep(0.35)
        self.assertEqual(ONE.ok("test -e k || echo gone; ls"), b"gone\n")


class Complaints(Shared):
    """What others' file systems are blamed for."""

    def test_no_empty_value_is_stored_before_the_data(self):
        self.set("old", "v")
        scripts = (
            "echo v > k",
            "echo v > old",
            "(sleep 0.3; echo v) > k",
            "(sleep 0.3; echo v) > old",
            "{ sleep 0.3; echo v; } > old",
            "cat /etc/hostname > k",
            "cp /etc/hostname old",
            "python3 -c 'import time; f = open(\"k\", \"w\"); time.sleep(0.3); f.write(\"v\")'",
            "exec 3> k; sleep 0.3; echo v >&3",
            "seq 9 | sort -o old",
        )
        for script in scripts:
            for shell in ("bash", "dash"):
                with self.subTest(script, shell=shell), Commands(CLUSTER.servers) as commands:
                    ONE.ok(f"{shell} <<'END'\n{script}\nEND")
                empty = [line for line in commands.lines if '"SET"' in line and '""' in line]
                self.assertEqual(empty, [])
                CLUSTER.call("DEL", "k")

    def test_reading_writes_nothing_and_lists_nothing(self):
        self.set("k", "v")
        self.set("large", b"v" * 6_000_000)
        self.set("other", b"v")
        with Commands(CLUSTER.servers) as commands:
            ONE.ok("cat k large > /dev/null; head -c 1 large; tail -c 1 large; stat k; ls -l k large; test ! -e nosuch")
            ONE.ok("cat k; grep v k; md5sum large; cp k /dev/null; test -r k -a -w k; df . > /dev/null; wc k")
        reads = {"GET", "GETRANGE", "STRLEN", "TYPE", "PTTL", "EXISTS", "INFO", "DBSIZE", "CLUSTER", "CONFIG", "ECHO"}
        self.assertLessEqual(set(commands.names), reads | {"MULTI", "EXEC", "PING", "CLIENT"}, commands.names)
        told = [line for line in commands.lines if '"other"' in line or "KEYSINSLOT" in line.upper()]
        self.assertEqual(told, [])

    def test_what_is_not_there_may_come(self):
        for i in range(20):
            self.assertEqual(ONE.ok(f"test -e k{i} || echo none; cat k{i} 2> /dev/null || true"), b"none\n")
            (self.set(f"k{i}", "v") if i % 2 else TWO.ok(f"echo -n v > k{i}"))
            self.assertEqual(ONE.ok(f"test -e k{i} && cat k{i}; ls k{i}"), f"vk{i}\n".encode())

    def test_the_same_size_is_no_reason_to_show_the_old_value(self):
        script = """
import os, sys, subprocess
kept = open("k", "rb", 0)
for i in range(30):
    text = f"value {i:3}"
    subprocess.run(["dd", f"of={sys.argv[1]}", "status=none"], input=text.encode(), check=True)
    kept.seek(0)
    print(open("k").read() == text, kept.read().decode() == text, end=" ")
"""
        self.set("k", "value ...")
        self.assertEqual(set(ONE.python(script, TWO.file("k")).split()), {"True"})

    def test_no_zeros_before_what_is_appended(self):
        for size in (1, 4090, 4096, 65530, 65536, 1_048_570):
            self.set("k", b"x" * size)
            ONE.ok("stat k; cat k > /dev/null; printf %0100d 7 >> k; head -c 5000 /dev/zero | tr '\\0' y >> k")
            self.assertEqual(self.get("k"), b"x" * size + b"%0100d" % 7 + b"y" * 5000)

    def test_shared_maps_work_or_are_refused(self):
        self.set("k", b"0123456789" * 1000)
        script = """
import errno, mmap, os
for flags in (os.O_RDONLY, os.O_RDWR):
    f = os.open("k", flags)
    try:
        with mmap.mmap(f, 0, access=mmap.ACCESS_READ) as m:
            print(m[5000:5010] == b"0123456789", len(m) == 10000)
    except OSError as error:
        print(error.errno == errno.ENODEV)  # where FUSE does not map what goes past the page cache
"""
        self.assertEqual(set(ONE.python(script).split()), {"True"})

    def test_private_maps(self):
        self.set("k", b"0123456789" * 1000)
        script = "import mmap\nf = open('k', 'rb')\nprint(mmap.mmap(f.fileno(), 0, mmap.MAP_PRIVATE)[5000:5010])"
        self.assertEqual(ONE.python(script), "b'0123456789'\n")
        # git, ld and grep do this.
        self.assertEqual(ONE.ok("git hash-object --no-filters k"), ONE.ok("git hash-object --stdin < k"))

    def test_df_tells_memory(self):
        with Server(["maxmemory 100mb"]) as server, Mount(server.uri) as mount:
            total, free = map(int, mount.ok("df --block-size=1 --output=size,avail . | tail -n 1").split())
            self.assertEqual(total // (1 << 20), 100)
            self.assertLess(free, total)
            server.call("SET", "k", b"x" * (20 << 20))
            time.sleep(1.1)
            less = int(mount.ok("df --block-size=1 --output=avail . | tail -n 1"))
            self.assertAlmostEqual((free - less) / (20 << 20), 1, delta=0.3)

    def test_a_listing_takes_time_by_the_key_and_leaves_nothing_behind(self):
        tags = collections.defaultdict(list)
        for i in range(300):
            tags[CLUSTER.master_of(f"t{i}")].append(f"{{t{i}}}")

        def listing(count, prefix):
            CLUSTER.flush()
            for server, names in tags.items():
                words = (("SET", f"{prefix}{name}{i}", "v") for name in names for i in range(count // 300))
                with server.connect() as conn:
                    self.assertEqual(set(conn.pipeline(words)), {b"OK"})
            start = time.monotonic()
            self.assertEqual(int(ONE.ok("ls -f | grep -c -v '^[.]'", timeout=60)), count // 300 * 300)
            return time.monotonic() - start

        few = min(listing(5000, f"a{i}") for i in range(2))
        many = min(listing(40_000, f"b{i}") for i in range(2))
        self.assertLess(many, 16 * max(few, 0.05))
        before = resident()
        for i in range(6):
            listing(20_000, f"c{i}")
        self.assertTrue(sanitized() or resident() - before < 8 << 20, resident() - before)

    def test_files_that_come_and_go_leave_nothing_behind(self):
        script = """
import os, sys
for i in range(500):
    name = f"{sys.argv[1]}-{i}"
    with open(name, "w") as f:
        f.write("x" * 1000)
    with open(name) as f:
        f.read()
    os.unlink(name)
"""
        ONE.python(script, "warm")
        before = resident()
        for i in range(3):
            ONE.python(script, f"r{i}")
        self.assertTrue(sanitized() or resident() - before < 2 << 20, resident() - before)


if __name__ == "__main__":
    unittest.main()
