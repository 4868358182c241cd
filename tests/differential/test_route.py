# SPDX-License-Identifier: MIT
"""test_route.py ROUTE_HELPER: keys go where nutcracker sends them.

$SHARD_SEED: the seed of an earlier run. $SHARD_ROUTE_ROUNDS: how many rounds of 40 pools (default 3).
"""

import os
import random
import shlex
import socket
import struct
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "lib")]

from nutcracker import Fleet, Nutcracker, program  # noqa: E402
from shardtest import Conn, Reply, Server, TempDir, wait_until  # noqa: E402

HELPER = sys.argv.pop(1)
ROUNDS = int(os.environ.get("SHARD_ROUTE_ROUNDS", 3))
SEED = int(os.environ.get("SHARD_SEED", random.randrange(2**32)))

HASHES = ("one_at_a_time md5 crc16 crc32 crc32a fnv1_64 fnv1a_64 fnv1_32 fnv1a_32 hsieh murmur jenkins").split()
DISTRIBUTIONS = ("ketama", "modula")
SERVERS = 64  # of the fleet
KEYS = 3000  # for each pool
AT_ONCE = 8  # pools of one nutcracker
NAME_MAX = 267  # nutcracker has room for 272 bytes of "name-i"


def note(text):
    print(text, flush=True)


# ---- what our ring says ----


def routed(file, pool, keys, ejected=()):
    """For each key the number of its server in the pool."""
    done = subprocess.run([HELPER, file, pool, *map(str, ejected)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          input=b"".join(struct.pack("<I", len(k)) + k for k in keys), timeout=60, check=False)
    if done.returncode:
        raise AssertionError(f"{HELPER}: status {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
    return [int(line) for line in done.stdout.split()]


# ---- pools ----


class Pool:
    """A pool of a nutcracker.yml. members: for each server its number in the fleet."""

    def __init__(self, name, listen, hash_, distribution, members, lines, more=()):
        self.name, self.listen, self.members = name, listen, members
        self.text = "\n".join([f"{name}:", f"  listen: {listen}", f"  hash: {hash_}", f"  distribution: {distribution}",
                               "  redis: true", *(f"  {line}" for line in more), "  servers:",
                               *(f"    - {line}" for line in lines), ""])


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def tcp_address(rng, port=None):
    """A loopback address of which nobody else has thought."""
    while True:
        port_now = port or rng.randrange(1024, 30000)
        host = f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
        with socket.socket() as probe:
            try:
                probe.bind((host, port_now))
            except OSError:
                continue
        return f"{host}:{port_now}"


def addresses(rng, folder):
    """Of a fleet: some on port 11211, some unix sockets, one on IPv6 where there is any."""
    found = [tcp_address(rng, 11211) for _ in range(5)]
    found += [os.path.join(folder, f"s{i}" + "x" * rng.randrange(8)) for i in range(6)]
    if has_ipv6():
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            found.append(f"::1:{probe.getsockname()[1]}")
    found += [tcp_address(rng) for _ in range(SERVERS - len(found))]
    rng.shuffle(found)
    return found


def a_name(rng, used):
    while True:
        length = rng.choice((rng.randrange(1, 4), rng.randrange(1, 20), rng.randrange(1, NAME_MAX)))
        name = "".join(rng.choices("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.:/", k=length))
        # What YAML, or nutcracker's line of a server, takes for something else is not for here.
        if name not in used and name[0] not in "-:./" and name[-1] != ":":
            used.add(name)
            return name


def some_pool(rng, number, folder, fleet, hash_, distribution):
    count = rng.choice((1, 2, 3, rng.randrange(1, 10), rng.randrange(1, 61), 25, 50))
    # modula repeats a server by its weight.
    heaviest = rng.choice((1, 1, 3, 50, 100000 if distribution == "ketama" else 50))
    named = rng.choice((0, 0.5, 1))
    members = rng.sample(range(len(fleet)), count)
    if named == 1 and count > 1:
        members[-1] = members[0]  # it is names that have to differ
    used, lines = set(), []
    for member in members:
        line = f"{fleet[member]}:{rng.randint(1, heaviest)}"
        lines.append(line + (f" {a_name(rng, used)}" if rng.random() < named else ""))
    tag = rng.choice((None, None, "{}", "$$", "[]", "ab"))
    return Pool(f"pool{number}", os.path.join(folder, f"l{number}"), hash_, distribution, members, lines,
                [f'hash_tag: "{tag}"'] if tag else [])


def some_keys(rng, count=KEYS):
    keys = [b"", b"{}", b"{a}", b"a{b}c", b"$", b"$$", b"a$b$c", b"$b$", b"ab", b"aXb", b"[[x]]", b"\0", b"\xff\xfe"]
    alphabets = (b"{}$[]ab", bytes(range(256)), b"abcdefghijklmnop:0123456789", bytes(range(128, 256)))
    keys += [bytes(rng.choices(alphabets[1], k=length)) for length in range(1, 40)]
    keys += [rng.randbytes(rng.randrange(1000, 9000)) for _ in range(12)]
    while len(keys) < count:
        keys.append(bytes(rng.choices(rng.choice(alphabets), k=rng.choice((3, 10, 16, 25, 60)))))
    return keys


# ---- what nutcracker does ----


def asked(pool, keys):
    """For each key the number, in the fleet, of who was asked for it."""
    with Conn(0, path=pool.listen, timeout=30.0) as conn:
        replies = conn.pipeline(("GET", key) for key in keys)
    found = []
    for key, reply in zip(keys, replies):
        if isinstance(reply, Reply):
            raise AssertionError(f"nutcracker answers {reply} for {key!r}")
        number, _, echoed = reply.partition(b" ")
        if echoed != key:
            raise AssertionError(f"asked for {key!r}, a server was asked for {echoed!r}")
        found.append(int(number))
    return found


class Case(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(f"{SEED} {self.id()}")
        note(f"{self.id()}: SHARD_SEED={SEED}")
        self.temp = TempDir()
        self.addCleanup(self.temp.close)
        self.folder = self.temp.path

    def fleet(self, found):
        fleet = Fleet(found)
        self.addCleanup(fleet.close)
        return fleet

    def nutcracker(self, pools):
        proxy = Nutcracker("\n".join(pool.text for pool in pools), [pool.listen for pool in pools])
        self.addCleanup(proxy.close)
        return proxy

    def agree(self, proxy, pool, keys, ejected=()):
        """Both send every key to the same server. Returns who was asked."""
        theirs = asked(pool, keys)
        ours = [pool.members[number] for number in routed(proxy.file, pool.name, keys, ejected)]
        self.assertEqual(len(ours), len(theirs))
        differ = [(key, mine, its) for key, mine, its in zip(keys, ours, theirs) if mine != its]
        if differ:
            key, mine, its = differ[0]
            self.fail(f"{len(differ)} of {len(keys)} keys go elsewhere (SHARD_SEED={SEED}); {key!r} to server {mine}, "
                      f"nutcracker asks {its}; ejected: {list(ejected)}\n{pool.text}")
        return theirs


class Routes(Case):
    def test_nutcracker_is_there(self):
        note(shlex.join([program()]))

    def test_every_hash_and_distribution(self):
        pairs = [(h, d) for h in HASHES for d in DISTRIBUTIONS]
        for number in range(ROUNDS):
            self.check_pools(pairs + self.rng.choices(pairs, k=16), number)

    def check_pools(self, pairs, number):
        with TempDir() as folder, Fleet(addresses(self.rng, folder)) as fleet:
            for first in range(0, len(pairs), AT_ONCE):
                pools = [some_pool(self.rng, first + i, folder, fleet.addresses, *pair)
                         for i, pair in enumerate(pairs[first : first + AT_ONCE])]
                with Nutcracker("\n".join(p.text for p in pools), [p.listen for p in pools]) as proxy:
                    for pool in pools:
                        self.agree(proxy, pool, some_keys(self.rng))
        note(f"round {number}: {len(pairs)} pools of {KEYS} keys")

    def test_random_is_everyone(self):
        fleet = self.fleet([tcp_address(self.rng) for _ in range(5)])
        lines = [f"{address}:{weight}" for address, weight in zip(fleet.addresses, (1, 50, 3, 7, 1))]
        pool = Pool("any", os.path.join(self.folder, "l"), "md5", "random", list(range(5)), lines)
        proxy = self.nutcracker([pool])
        keys = [b"the same"] * 500
        self.assertEqual(set(asked(pool, keys)), set(range(5)))
        self.assertEqual(set(routed(proxy.file, "any", keys)), set(range(5)))


class RealServers(Case):
    def setUp(self):
        super().setUp()
        self.servers = [Server() for _ in range(3)]
        for server in self.servers:
            self.addCleanup(server.close)

    def check(self, hash_, distribution, tag):
        for server in self.servers:
            server.call("FLUSHALL")
        listen = os.path.join(self.folder, f"{hash_}-{distribution}")
        lines = [f"{server.addr}:{weight} {name}" for server, weight, name in zip(self.servers, (1, 3, 2), "xya")]
        more = [f'hash_tag: "{tag}"'] if tag else []
        pool = Pool("real", listen, hash_, distribution, [0, 1, 2], lines, more)
        proxy = self.nutcracker([pool])
        keys = list(dict.fromkeys(some_keys(self.rng, 600)))
        where = routed(proxy.file, "real", keys)
        half = len(keys) // 2
        with Conn(0, path=listen) as conn:
            replies = conn.pipeline(("SET", key, b"through %d" % i) for i, key in enumerate(keys[:half]))
            self.assertEqual(set(replies), {b"OK"})
            for i in range(half):
                self.assertEqual(self.servers[where[i]].call("GET", keys[i]), b"through %d" % i, keys[i])
            self.assertEqual(sum(server.call("DBSIZE") for server in self.servers), half)
            for i in range(half, len(keys)):
                self.servers[where[i]].call("SET", keys[i], b"to it %d" % i)
            replies = conn.pipeline(("GET", key) for key in keys[half:])
        self.assertEqual(replies, [b"to it %d" % i for i in range(half, len(keys))])
        proxy.close()

    def test_what_one_writes_the_other_finds(self):
        for hash_, distribution, tag in (("fnv1a_64", "ketama", None), ("murmur", "modula", "{}"),
                                         ("md5", "ketama", "$$"), ("hsieh", "ketama", "{}")):
            with self.subTest(hash=hash_, distribution=distribution, tag=tag):
                self.check(hash_, distribution, tag)


class Ejection(Case):
    RETRIES = (2.5, 8.0, 25.0)  # seconds that an ejected server stays away; more where the machine is too slow to look

    def pools(self, fleet, retry):
        for number, (limit, distribution) in enumerate((n, d) for n in (1, 2, 3) for d in DISTRIBUTIONS):
            lines = [f"{address}:{self.rng.randint(1, 5)}" for address in fleet.addresses]
            yield limit, Pool(f"pool{number}", os.path.join(self.folder, f"l{retry:g}-{number}"), "fnv1a_64",
                              distribution, list(range(len(lines))), lines,
                              ["auto_eject_hosts: true", f"server_retry_timeout: {int(retry * 1000)}",
                               f"server_failure_limit: {limit}"])

    def eject(self, pool, keys, dead, before, limit):
        """Asks until no server that is dead is asked any more. As many failures as their limits say, at most."""
        with Conn(0, path=pool.listen) as conn:
            key = keys[before.index(dead[0])]
            for _ in range(len(dead) * limit + 1):
                conn.send("GET", key)
                if not isinstance(conn.read(), Reply):
                    break
            else:
                self.fail(f"{pool.name}: too many failures")
            for _ in range(len(dead) * limit + 1):
                if not any(isinstance(reply, Reply) for reply in conn.pipeline(("GET", key) for key in keys)):
                    return
        self.fail(f"{pool.name}: they are asked again and again")

    def all_eject(self, proxy, pools, keys, before, dead, fleet):
        for limit, pool in pools:
            self.eject(pool, keys, dead, before[pool.name], limit)
        for _, pool in pools:
            self.assertFalse(set(dead) & set(self.agree(proxy, pool, keys, dead)))
        # They are there again, and nobody asks them before their time.
        for number in dead:
            fleet.start(number)
        for _, pool in pools:
            self.agree(proxy, pool, keys, dead)

    def check(self, retry, count):
        """Whether there was time to look."""
        fleet = self.fleet(addresses(self.rng, self.folder)[:6])
        pools = list(self.pools(fleet, retry))
        proxy = self.nutcracker([pool for _, pool in pools])
        keys = [key for key in some_keys(self.rng, 500) if key]
        before = {pool.name: self.agree(proxy, pool, keys) for _, pool in pools}
        dead = self.rng.sample(range(len(fleet.addresses)), count)
        for number in dead:
            fleet.stop(number)
        start = time.monotonic()
        try:
            self.all_eject(proxy, pools, keys, before, dead, fleet)
        except AssertionError:
            if time.monotonic() - start < retry:
                raise
        if time.monotonic() - start >= retry:
            proxy.close()
            fleet.close()
            return False
        for _, pool in pools:
            wait_until(lambda p=pool: set(dead) <= set(asked(p, keys)), retry + 10, "they are asked again", 0.1)
            self.assertEqual(self.agree(proxy, pool, keys), before[pool.name])
        return True

    def check_in_time(self, count):
        self.assertTrue(any(self.check(retry, count) for retry in self.RETRIES), "the machine is too slow to tell")

    def test_the_ring_without_a_dead_server_and_with_it_again(self):
        self.check_in_time(1)

    def test_the_ring_without_three_and_with_them_again(self):
        self.check_in_time(3)

    def test_the_last_one_left_has_all(self):
        self.check_in_time(5)


if __name__ == "__main__":
    unittest.main()
