#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rslots on pools of plain servers: shares, servers of keys, and what moves when the file changes.

The oracle is twemproxy's arithmetic, written anew here: hashes, float32 point counts, ties, the ring."""

import bisect
import functools
import hashlib
import json
import math
import os
import random
import socket
import struct
import unittest
import zlib
from collections import Counter

from toollib import FAILED, OK, ToolCase
from shardtest import TempDir

SPACE = 1 << 32
DIGITS = 6e-7  # six digits are printed

# ---- the oracle ----


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def fnv1a_64(key):
    h = 0x84222325
    for byte in key:
        h = ((h ^ (byte - 256 if byte > 127 else byte)) * 0x1B3) % SPACE
    return h


def md5(key):
    return struct.unpack("<I", hashlib.md5(key).digest()[:4])[0]


def crc32(key):
    return zlib.crc32(key) >> 16 & 0x7FFF


def crc16_of_byte(byte):
    c = byte << 8
    for _ in range(8):
        c = c << 1 ^ (0x1021 if c & 0x8000 else 0)
    return c & 0xFFFF


CRC16 = [crc16_of_byte(byte) for byte in range(256)]


def crc16(key):
    c = 0
    for byte in key:
        c = (c << 8 ^ CRC16[(c >> 8 ^ byte) & 255]) % SPACE
    return c


HASHES = {"fnv1a_64": fnv1a_64, "md5": md5, "crc32": crc32, "crc32a": zlib.crc32, "crc16": crc16}


class Pool:
    """A pool as the file says it; servers are (host, port, weight, name or None)."""

    def __init__(self, servers, name="alpha", **keys):
        self.servers, self.name, self.keys = servers, name, keys
        self.hash = HASHES.get(keys.get("hash", "fnv1a_64"))
        self.space = 1 << 15 if keys.get("hash") == "crc32" else SPACE
        self.tag = keys.get("hash_tag", "").strip('"').encode()
        self.names = [n or (h if p == 11211 else f"{h}:{p}") for h, p, _, n in servers]
        self.weights = [w for _, _, w, _ in servers]

    @functools.cached_property
    def order(self):
        """As twemproxy numbers them: by the length of the name, then by its bytes."""
        return sorted(range(len(self.servers)), key=lambda i: (len(self.names[i]), self.names[i].encode()))

    @functools.cached_property
    def points(self):
        """(value, rank, server) of ketama."""
        if self.keys.get("distribution", "ketama") != "ketama":
            return None
        return sorted(point for rank, i in enumerate(self.order) for point in self.points_of(rank, i))

    @functools.cached_property
    def values(self):
        return [value for value, _, _ in self.points]

    @functools.cached_property
    def residues(self):
        """The server of each residue; modula's."""
        if self.keys.get("distribution") != "modula":
            return None
        return [i for i in self.order for _ in range(self.weights[i])]

    def points_of(self, rank, i):
        share = f32(f32(self.weights[i]) / f32(sum(self.weights)))
        count = f32(f32(f32(share * 160) / 4) * len(self.servers))
        for k in range(math.floor(f32(count + 1e-10))):
            digest = hashlib.md5(f"{self.names[i]}-{k}".encode()).digest()
            for value in struct.unpack("<4I", digest):
                yield value, rank, i

    def yaml(self):
        keys = {"listen": "127.0.0.1:22121", "redis": "true", **self.keys}
        lines = [f"{self.name}:"] + [f"  {key}: {value}" for key, value in keys.items()] + ["  servers:"]
        for host, port, weight, name in self.servers:
            port = f":{port}" if port else ""
            lines.append(f"   - {host}{port}:{weight}" + (f" {name}" if name else ""))
        return "\n".join(lines) + "\n"

    def addr(self, i):
        host, port = self.servers[i][:2]
        return host if not port else f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def hash_of(self, key):
        at = key.find(self.tag[:1]) if self.tag else -1
        end = key.find(self.tag[1:], at + 1) if at >= 0 else -1
        if end > at + 1:
            key = key[at + 1:end]
        return self.hash(key) if key else 0

    def server_of_hash(self, h):
        if len(self.servers) == 1:
            return 0
        if self.residues:
            return self.residues[h % len(self.residues)]
        return self.points[bisect.bisect_left(self.values, h) % len(self.points)][2]

    def server_of(self, key):
        return self.server_of_hash(self.hash_of(key))

    def ends(self):
        """Behind which hashes the server may change; ketama's."""
        return {min(value + 1, self.space) for value in self.values} | {self.space}


def stretches(*pools):
    """(start, end) of hashes for which no server changes; all pools are ketama."""
    start = 0
    for end in sorted(set().union(*(pool.ends() for pool in pools))):
        yield start, end
        start = end


def moves(pool, other):
    """{(name, name): share} of what moves, exactly: ketama on both sides, or modula on both, or crc32."""
    counts, total = Counter(), pool.space

    def count(h, times):
        counts[pool.server_of_hash(h), other.server_of_hash(h)] += times

    if pool.points and other.points:
        for start, end in stretches(pool, other):
            count(start, end - start)
    else:
        if pool.residues and other.residues:
            total = min(total, math.lcm(len(pool.residues), len(other.residues)))
        assert total < 1 << 20
        for h in range(total):
            count(h, 1)
    return {(pool.names[a], other.names[b]): n / total for (a, b), n in counts.items() if pool.addr(a) != other.addr(b)}


def some_servers(rng, count, weights=(1,), named=True):
    return [(f"10.0.{i // 200}.{i % 200 + 1}", 6379 + i % 3, rng.choice(weights), f"s{i * 7}" if named else None)
            for i in range(count)]


# ---- the tests ----


class PoolCase(ToolCase):
    needs_cluster = False

    def setUp(self):
        super().setUp()
        self.dir = TempDir("shard-pool-")
        self.addCleanup(self.dir.close)
        self.rng = random.Random(20)
        self.files = 0

    def write(self, *pools):
        """A file of these pools (or texts)."""
        self.files += 1
        path = os.path.join(self.dir.path, f"{self.files}.yml")
        for i, pool in enumerate(pools):
            if i and isinstance(pool, Pool):
                pool.keys.setdefault("listen", f"127.0.0.1:{22121 + i}")
        with open(path, "w", encoding="utf-8") as file:
            file.write("".join(pool.yaml() if isinstance(pool, Pool) else pool for pool in pools))
        return path

    def uri(self, *pools):
        return "twemproxy:" + self.write(*pools)

    def rows(self, pool, *args, err="", **how):
        result = self.check(OK, "rslots", "-u", self.uri(pool), *args, **how)
        self.assertIn(err, result.err) if err else self.assertEqual(result.err, "")
        return [line.split("\t") for line in result.out.decode().split("\n")[:-1]]

    def diff(self, pool, other, *args, **how):
        """({(from, to): share}, the whole share, the lines on stderr)"""
        result = self.check(OK, "rslots", "-u", self.uri(pool), "--diff", self.write(other), *args, **how)
        rows = [line.split("\t") for line in result.out.decode().splitlines()]
        shares = [float(share) for share, _, _ in rows]
        self.assertEqual(shares, sorted(shares, reverse=True))
        err = result.err.splitlines()
        self.assertTrue(err[-1].split(" ", 1)[1][0] in "01", err)
        return {(a, b): float(share) for share, a, b in rows}, float(err[-1].split()[1]), err

    def check_moves(self, pool, other):
        found, whole, err = self.diff(pool, other)
        expected = moves(pool, other)
        self.assertEqual(set(found), set(expected))
        for pair, share in expected.items():
            self.assertAlmostEqual(found[pair], share, delta=DIGITS, msg=pair)
        self.assertAlmostEqual(whole, sum(expected.values()), delta=DIGITS)
        self.assertTrue(err[-1].endswith(" of all keys move"), err)
        return whole


class Servers(PoolCase):
    def check_servers(self, pool, err=""):
        rows = self.rows(pool, err=err)
        self.assertEqual([row[0] for row in rows], pool.names)
        self.assertEqual([row[1] for row in rows], [pool.addr(i) for i in range(len(pool.servers))])
        share = Counter()
        if pool.points:
            points = Counter(i for _, _, i in pool.points)
            self.assertEqual([int(row[2]) for row in rows], [points[i] for i in range(len(rows))])
            for start, end in stretches(pool):
                share[pool.server_of_hash(start)] += end - start
        else:
            self.assertEqual([row[2] for row in rows], ["-"] * len(rows))
            period = pool.space if pool.space < SPACE else len(pool.residues)
            share = Counter(pool.server_of_hash(h) for h in range(period))
        for i, row in enumerate(rows):
            self.assertRegex(row[3], r"^(0|[01]\.\d{6})$")
            self.assertAlmostEqual(float(row[3]), share[i] / sum(share.values()), delta=DIGITS)
            self.assertEqual(row[3] == "0", not share[i])

    def test_ketama_points_and_shares(self):
        for count in (1, 2, 3, 10, 25, 47, 60):
            self.check_servers(Pool(some_servers(self.rng, count)))
            self.check_servers(Pool(some_servers(self.rng, count, (1, 2, 7, 1000)), hash="md5"))

    def test_the_vector_of_four_equal_servers(self):
        pool = Pool([("10.0.0.1", 6379 + i, 1, f"server{i + 1}") for i in range(4)])
        self.assertEqual([pool.points[0][::2], pool.points[-1][::2]], [(9796559, 2), (4290847573, 3)])
        self.assertEqual([row[2] for row in self.rows(pool)], ["160"] * 4)
        self.assertEqual([row[2] for row in self.rows(pool, "apple", "foo", "user:1000")], ["server1"] * 3)

    def test_the_vector_of_weights(self):
        pool = Pool([("10.0.0.1", 6379, 1, None), ("10.0.0.2", 6379, 2, None), ("10.0.0.10", 6379, 7, None)])
        self.assertEqual([row[2] for row in self.rows(pool)], ["48", "96", "336"])

    def test_a_server_of_tiny_weight_has_no_points_and_no_share(self):
        pool = Pool([("10.0.0.1", 1, 1, "tiny"), ("10.0.0.2", 1, 100000, "huge")])
        self.assertEqual([row[2:] for row in self.rows(pool)], [["0", "0"], ["316", "1.000000"]])

    def test_names_ports_and_paths(self):
        pool = Pool([("10.0.0.1", 11211, 1, None), ("::1", 6379, 1, None), ("cache.example", 6380, 1, "n")])
        self.check_servers(pool)
        pool = Pool([("/tmp/a.sock", 0, 1, "a"), ("/tmp/b.sock", 0, 1, None)])
        self.assertEqual([row[:2] for row in self.rows(pool)], [["a", "/tmp/a.sock"], ["/tmp/b.sock:", "/tmp/b.sock"]])

    def test_modula_shares_are_the_weights(self):
        for weights in ((1,), (1, 2, 7, 300)):
            self.check_servers(Pool(some_servers(self.rng, 9, weights), distribution="modula"))

    def test_shares_of_15_bits(self):
        """crc32 has 32768 values: those are all there is to share."""
        many = Pool(some_servers(self.rng, 2000), hash="crc32")
        self.assertGreater(len({many.server_of_hash(h) for h in range(1 << 15)}), 2)
        self.check_servers(many, err="crc32")
        for weight in (3000, 20000):
            self.check_servers(Pool(some_servers(self.rng, 5, (weight,)), hash="crc32", distribution="modula"))

    def test_other_distributions(self):
        servers = [("10.0.0.1", 1, 1, "a"), ("10.0.0.2", 1, 3, "b")]
        for distribution, shares in (("jump", ["0.250000", "0.750000"]), ("rendezvous", ["0.250000", "0.750000"]),
                                     ("random", ["0.500000", "0.500000"])):
            rows = self.rows(Pool(servers, distribution=distribution))
            self.assertEqual([row[2:] for row in rows], [["-", share] for share in shares], distribution)

    def test_formats(self):
        pool = Pool([("10.0.0.1", 6379, 1, "a"), ("10.0.0.2", 6379, 1, "b")])
        rows = self.rows(pool)
        uri = self.uri(pool)
        found = [json.loads(line) for line in self.ok("rslots", "-j", "-u", uri).splitlines()]
        self.assertEqual(found, [{"name": a, "node": b, "points": int(c), "share": float(d)} for a, b, c, d in rows])
        self.assertEqual(self.ok("rslots", "-0", "-u", uri).decode().split("\0")[:-1], sum(rows, []))
        pool.keys["distribution"] = "modula"
        self.assertIsNone(json.loads(self.ok("rslots", "-j", "-u", self.uri(pool)).splitlines()[0])["points"])

    def test_a_hash_that_puts_nearly_all_on_one_server_is_warned_of(self):
        pool = Pool(some_servers(self.rng, 5), hash="crc32")
        for args in ([], ["key"]):
            result = self.check(OK, "rslots", "-u", self.uri(pool), *args)
            self.assertEqual(len(result.err.splitlines()), 1)
            self.assertRegex(result.err, r"\.yml:1: pool 'alpha': hash: crc32 .* nearly all keys are on one server \(s")
        for quiet in (Pool(some_servers(self.rng, 1), hash="crc32"),
                      Pool(some_servers(self.rng, 5), hash="crc32", distribution="modula")):
            self.rows(quiet)


class Keys(PoolCase):
    def keys(self, count):
        keys = [b"", b"{", b"{}", b"{a}", b"x{user:1}y", b"{}{a}", b"a$b$c", "é".encode(), b"\xff\xfe", b"\0", b"\t\n"]
        keys += [self.rng.randbytes(self.rng.randrange(1, 40)) for _ in range(count)]
        return keys + [b"user:%d" % i for i in range(count)] + [b"{%d}.%d" % (i % 100, i) for i in range(count)]

    def check_keys(self, pool, keys, err=""):
        given = b"".join(b"".join(b"\\x%02x" % byte for byte in key) + b"\n" for key in keys)
        rows = self.rows(pool, "-", input=given, err=err)
        self.assertEqual(len(rows), len(keys))
        for key, (_, number, name, addr) in zip(keys, rows):
            server = pool.server_of(key)
            self.assertEqual((int(number), name, addr), (pool.hash_of(key), pool.names[server], pool.addr(server)), key)

    def test_each_key_is_where_twemproxy_has_it(self):
        keys = self.keys(1000)
        for name in HASHES:
            for distribution in ("ketama", "modula"):
                servers = some_servers(self.rng, self.rng.randrange(2, 30), (1, 2, 5))
                warned = "crc32" if (name, distribution) == ("crc32", "ketama") else ""
                self.check_keys(Pool(servers, hash=name, distribution=distribution), keys, err=warned)

    def test_hash_tags(self):
        keys = self.keys(300)
        for tag in ("{}", "$$", "ab"):
            self.check_keys(Pool(some_servers(self.rng, 7), hash_tag=f'"{tag}"'), keys)

    def test_without_names(self):
        self.check_keys(Pool(some_servers(self.rng, 12, (1, 9), named=False)), self.keys(300))

    def test_one_server_has_all(self):
        self.check_keys(Pool(some_servers(self.rng, 1)), self.keys(50))

    def test_arguments_and_formats(self):
        pool = Pool(some_servers(self.rng, 3))
        uri = self.uri(pool)
        server = pool.server_of(b"foo")
        fields = ["foo", str(fnv1a_64(b"foo")), pool.names[server], pool.addr(server)]
        self.assertEqual(self.ok("rslots", "-u", uri, "foo", "").decode().splitlines()[0], "\t".join(fields))
        self.assertEqual(self.ok("rslots", "-0", "-u", uri, "-", input=b"foo\0").decode().split("\0")[:-1], fields)
        found = json.loads(self.ok("rslots", "-j", "-u", uri, "-", input=b'{"key":"foo"}\n'))
        self.assertEqual(found, {"key": "foo", "hash": int(fields[1]), "name": fields[2], "node": fields[3]})
        out = self.ok("rslots", "-j", "-u", uri, "-", input=b'{"key":{"base64":"/w=="}}\n')
        self.assertEqual(json.loads(out)["key"], {"base64": "/w=="})

    def test_hashes_of_64_bits_are_texts_in_json_that_are_read_again(self):
        pool = Pool(some_servers(self.rng, 3), distribution="jump")
        rows = self.rows(pool, *(f"k{i}" for i in range(20)))
        self.assertTrue(any(int(row[1]) > 1 << 63 for row in rows))
        out = self.ok("rslots", "-j", "-u", self.uri(pool), *(f"k{i}" for i in range(20)))
        self.assertEqual([json.loads(line)["hash"] for line in out.splitlines()], [row[1] for row in rows])
        self.assertEqual(self.ok("rslots", "-j", "-u", self.uri(pool), "-", input=out), out)

    def test_bad_records_are_told_and_the_rest_is_done(self):
        uri = self.uri(Pool(some_servers(self.rng, 3)))
        result = self.check(FAILED, "rslots", "-u", uri, "-", input=b"a\nb\\q\nc\n")
        self.assertEqual([line.split(b"\t")[0] for line in result.out.splitlines()], [b"a", b"c"])
        self.assertIn("rslots: line 2: ", result.err)

    def test_memcached_pools_can_be_asked_about(self):
        self.rows(Pool(some_servers(self.rng, 3), redis="false"), "foo")

    def test_the_uri_may_come_from_the_environment(self):
        pool = Pool(some_servers(self.rng, 3))
        self.more_env["SHARD_URI"] = self.uri(pool)
        self.assertEqual(self.ok("rslots").decode().splitlines(), ["\t".join(row) for row in self.rows(pool)])

    def test_no_server_is_asked(self):
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            pool = Pool([("127.0.0.1", listener.getsockname()[1], 1, None)], preconnect="true")
            self.rows(pool)
            self.rows(pool, "foo")
            self.diff(pool, pool)
            self.assertRaises(BlockingIOError, listener.accept)


class Diff(PoolCase):
    def test_with_itself_nothing_moves(self):
        for keys in ({}, {"distribution": "modula"}, {"distribution": "jump"}, {"distribution": "rendezvous"}):
            pool = Pool(some_servers(self.rng, 5, (1, 3)), **keys)
            result = self.check(OK, "rslots", "-u", self.uri(pool), "--diff", self.write(pool))
            self.assertEqual((result.out, result.err), (b"", "rslots: 0 of all keys move\n"), keys)
        # rendezvous does not look at the hash.
        other = Pool(pool.servers, distribution="rendezvous", hash="md5")
        self.assertEqual(self.diff(pool, other), ({}, 0, ["rslots: 0 of all keys move"]))

    def test_ketama_is_exact(self):
        for _ in range(10):
            servers = some_servers(self.rng, self.rng.randrange(2, 30), (1, 2, 5))
            less = [server for server in servers if self.rng.random() < 0.8] or servers[:1]
            self.check_moves(Pool(servers), Pool(less))
            self.check_moves(Pool(less, hash="md5"), Pool(servers, hash="md5"))
            others = [(host, port, self.rng.choice((1, 2, 5)), name) for host, port, _, name in servers]
            self.check_moves(Pool(servers), Pool(others))

    def test_one_equal_server_more_takes_its_share_only(self):
        servers = some_servers(self.rng, 8)
        found, whole, _ = self.diff(Pool(servers[:7]), Pool(servers))
        self.assertEqual({to for _, to in found}, {servers[7][3]})
        self.assertAlmostEqual(whole, 1 / 8, delta=0.04)

    def test_modula_is_exact(self):
        for _ in range(10):
            servers = some_servers(self.rng, self.rng.randrange(2, 20), (1, 2, 5, 11))
            less = servers[:-1]
            self.check_moves(Pool(servers, distribution="modula"), Pool(less, distribution="modula"))
            self.check_moves(Pool(less, distribution="modula"), Pool(servers, distribution="modula"))

    def test_15_bits_are_exact_in_every_pairing(self):
        servers = some_servers(self.rng, 2000)
        pools = [Pool(servers, hash="crc32", distribution=one) for one in ("ketama", "modula")]
        others = [Pool(servers[3:], hash="crc32", distribution=one) for one in ("ketama", "modula")]
        for pool in pools:
            for other in others:
                self.check_moves(pool, other)

    def test_ketama_to_modula(self):
        for count in (3, 20):
            servers = some_servers(self.rng, count, (1, 2))
            pool, other = Pool(servers), Pool(servers, distribution="modula")
            counts = Counter()
            for _ in range(100000):
                h = self.rng.randrange(SPACE)
                counts[pool.names[pool.server_of_hash(h)], pool.names[other.server_of_hash(h)]] += 1
            for a, b in ((pool, other), (other, pool)):
                found, whole, err = self.diff(a, b)
                self.assertTrue(err[-1].endswith(" of all keys move"))
                for (x, y), n in counts.items():
                    pair = (x, y) if a is pool else (y, x)
                    self.assertAlmostEqual(found.get(pair, 0), n / 100000 if x != y else 0, delta=0.006)
                self.assertAlmostEqual(whole, sum(found.values()), delta=1e-4)

    def test_to_and_from_a_server_alone(self):
        """It hashes nothing, so its hash is no difference."""
        one = [("10.0.9.9", 1, 1, "one")]
        pool = Pool(some_servers(self.rng, 5), hash="md5")
        _, whole, err = self.diff(Pool(one), pool)
        self.assertEqual((whole, err[-1]), (1, "rslots: 1.000000 of all keys move"))
        kept = Pool([pool.servers[2]], hash="crc32")
        _, whole, _ = self.diff(pool, kept)
        share = float(self.rows(pool)[2][3])
        self.assertAlmostEqual(whole, 1 - share, delta=2e-6)
        self.assertAlmostEqual(self.diff(kept, pool)[1], 1 - share, delta=2e-6)

    def sampled(self, pool, other):
        """Against our own sample of hashed keys; what rslots says about its error has to be true."""
        found, whole, err = self.diff(pool, other)
        self.assertRegex(err[-1], r"give or take 0\.00[124] \(\d+ random keys were tried\)$")
        return found, whole

    def test_another_hash_is_sampled(self):
        servers = some_servers(self.rng, 6, (1, 2))
        for one, other in (("fnv1a_64", "md5"), ("crc32a", "crc16"), ("md5", "crc32a")):
            pool, new = Pool(servers, hash=one), Pool(servers, hash=other)
            found, whole = self.sampled(pool, new)
            keys = [self.rng.randbytes(16) for _ in range(40000)]
            counts = Counter((pool.server_of(key), new.server_of(key)) for key in keys)
            for (a, b), n in counts.items():
                share = n / len(keys) if a != b else 0
                self.assertAlmostEqual(found.get((pool.names[a], pool.names[b]), 0), share, delta=0.012)
            self.assertAlmostEqual(whole, sum(n for (a, b), n in counts.items() if a != b) / len(keys), delta=0.012)

    def test_distributions_of_our_own_are_sampled(self):
        servers = some_servers(self.rng, 10)
        _, whole = self.sampled(Pool(servers[:9], distribution="jump"), Pool(servers, distribution="jump"))
        again = self.sampled(Pool(servers[:9], distribution="jump"), Pool(servers, distribution="jump"))
        self.assertEqual(whole, again[1])
        self.assertAlmostEqual(whole, 0.1, delta=0.002)
        found, whole = self.sampled(Pool(servers, distribution="rendezvous"),
                                    Pool(servers[:4] + servers[5:], distribution="rendezvous"))
        self.assertAlmostEqual(whole, 0.1, delta=0.002)
        self.assertEqual({a for a, _ in found}, {servers[4][3]})
        _, whole = self.sampled(Pool(servers, distribution="jump"), Pool(servers))
        self.assertAlmostEqual(whole, 0.9, delta=0.02)

    def test_another_hash_tag_is_told_apart(self):
        servers = some_servers(self.rng, 4)
        for distribution in ("ketama", "modula", "jump"):
            plain = Pool(servers, distribution=distribution)
            tagged = Pool(servers, distribution=distribution, hash_tag='"{}"')
            other = Pool(servers, distribution=distribution, hash_tag='"[]"')
            found, whole, err = self.diff(plain, tagged)
            self.assertEqual((found, whole, len(err)), ({}, 0, 2))
            self.assertRegex(err[0], r"^rslots: hash_tag differs: 0\.7\d\d of the keys with a tag in \{\} move, "
                                     r"give or take 0\.004$")
            self.assertEqual(err[1], "rslots: 0 of all keys without a tag move")
            err = self.diff(tagged, other)[2]
            self.assertEqual([" {} " in err[0], " [] " in err[1], len(err)], [True, True, 3])
        # No key that is tried has one by chance.
        pool = Pool(servers, distribution="rendezvous")
        _, whole, err = self.diff(pool, Pool(servers[::-1], distribution="rendezvous", hash_tag='"{}"'))
        self.assertEqual(whole, 0)
        self.assertIn("of all keys without a tag move, give or take", err[-1])
        # The user's own keys tell it for themselves.
        keys = [f"{{a}}{i}" for i in range(500)]
        plain, tagged = Pool(servers), Pool(servers, hash_tag='"{}"')
        moved = sum(plain.server_of(key.encode()) != tagged.server_of(key.encode()) for key in keys)
        _, whole, err = self.diff(plain, tagged, *keys)
        self.assertAlmostEqual(whole, moved / 500, delta=DIGITS)
        self.assertEqual(len(err), 1)

    def test_of_the_keys_that_are_given(self):
        servers = some_servers(self.rng, 5)
        pool, other = Pool(servers), Pool(servers[1:], hash="md5")
        keys = [b"user:%d" % i for i in range(2000)]
        counts = Counter((pool.names[pool.server_of(k)], other.names[other.server_of(k)]) for k in keys)
        counts = {pair: n / 2000 for pair, n in counts.items() if pair[0] != pair[1]}
        found, whole, err = self.diff(pool, other, "-", input=b"\n".join(keys))
        self.assertEqual(set(found), set(counts))
        for pair, share in counts.items():
            self.assertAlmostEqual(found[pair], share, delta=DIGITS)
        self.assertEqual(err, [f"rslots: {sum(counts.values()):.6f} of 2000 keys move"])
        found, whole, err = self.diff(pool, pool, "one")
        self.assertEqual((found, err), ({}, ["rslots: 0 of 1 key moves"]))
        self.assertEqual(self.diff(pool, other, "-", input=b"")[2], ["rslots: 0 of 0 keys move"])
        args = ["-u", self.uri(pool), "--diff", self.write(pool), "-"]
        result = self.check(FAILED, "rslots", *args, input=b"a\n\\q\nb\n")
        self.assertIn("rslots: line 2: ", result.err)
        self.assertIn("rslots: 0 of 2 keys move", result.err)

    def test_a_name_with_another_address_moves(self):
        """Its keys will be asked for at another machine, which may not have them."""
        servers = some_servers(self.rng, 4)
        moved = [("10.9.9.9", 1, *servers[0][2:])] + servers[1:]
        pool = Pool(servers)
        share = float(self.rows(pool)[0][3])
        found, whole, err = self.diff(pool, Pool(moved))
        self.assertEqual((found, whole), ({("s0", "s0"): share}, share))
        self.assertEqual(err[0], "rslots: 1 name has another address (s0: 10.0.0.1:6379, then 10.9.9.9:1): keys that "
                                 "stay with the name move, too")
        swapped = [(*servers[1][:3], "s0"), (*servers[0][:3], "s7")] + servers[2:]
        found, _, err = self.diff(pool, Pool(swapped))
        self.assertEqual(set(found), {("s0", "s0"), ("s7", "s7")})
        self.assertIn("2 names have another address", err[0])

    def test_another_name_of_the_same_address_does_not_move(self):
        pool = Pool([("10.0.0.1", 6379, 1, "a"), ("10.0.0.2", 6379, 1, "b")], distribution="modula")
        new = Pool([("10.0.0.1", 6379, 1, "x"), ("10.0.0.2", 6379, 1, "y")], distribution="modula")
        self.assertEqual(self.diff(pool, new)[:2], ({}, 0))
        # Two names of one machine: it is all the same which of them has a key.
        double = Pool([("10.0.0.1", 6379, 1, "a"), ("10.0.0.1", 6379, 5, "b")])
        self.assertEqual(self.diff(double, Pool([("10.0.0.1", 6379, 1, "c")]))[:2], ({}, 0))

    def test_an_address_may_be_written_in_more_ways(self):
        pool = Pool([("::1", 6379, 1, "a"), ("Cache.Example", 6379, 1, "b"), ("/tmp/S", 0, 1, "c")])
        same = Pool([("0:0:0::0:1", 6379, 1, "a"), ("cache.example", 6379, 1, "b"), ("/tmp/S", 0, 1, "c")])
        self.assertEqual(self.diff(pool, same)[:2], ({}, 0))
        other = Pool([*same.servers[:2], ("/tmp/s", 0, 1, "c")])
        self.assertEqual(set(self.diff(pool, other)[0]), {("c", "c")})

    def test_another_database_is_told(self):
        servers = some_servers(self.rng, 2)
        _, whole, err = self.diff(Pool(servers), Pool(servers, redis_db=3))
        self.assertEqual((whole, len(err)), (0, 2))
        self.assertIn("redis_db is 0, then 3", err[0])

    def test_formats(self):
        servers = some_servers(self.rng, 3)
        uri, other = self.uri(Pool(servers)), self.write(Pool(servers[1:]))
        args = ["-u", uri, "--diff", other]
        rows = [line.split("\t") for line in self.check(OK, "rslots", *args).out.decode().splitlines()]
        found = [json.loads(line) for line in self.check(OK, "rslots", "-j", *args).out.splitlines()]
        self.assertEqual(found, [{"share": float(share), "from": a, "to": b} for share, a, b in rows])
        out = self.check(OK, "rslots", "-0", *args).out
        self.assertEqual(out.decode().split("\0")[:-1], sum(rows, []))

    def test_many_servers(self):
        servers = some_servers(self.rng, 1001)
        _, whole, err = self.diff(Pool(servers[:1000]), Pool(servers))
        self.assertTrue(err[-1].endswith(" of all keys move"))
        self.assertLess(whole, 0.2)
        modula = {"distribution": "modula"}
        _, whole, err = self.diff(Pool(servers[:200], **modula), Pool(servers[:201], **modula))
        self.assertTrue(err[-1].endswith(" of all keys move"))
        self.assertAlmostEqual(whole, 200 / 201, delta=1e-6)
        _, whole, err = self.diff(Pool(servers[:300]), Pool(servers[:400], **modula))
        self.assertRegex(err[-1], r" of all keys move, give or take 0\.001 \(1048576 random keys were tried\)$")
        self.assertAlmostEqual(whole, 399 / 400, delta=0.001)


class WhichPool(PoolCase):
    def setUp(self):
        super().setUp()
        self.servers = some_servers(self.rng, 3)
        self.three = self.write(*(Pool(self.servers[i:], name) for i, name in enumerate(("alpha", "beta", "gamma"))))

    def whole(self, uri, other, **how):
        return self.check(OK, "rslots", "-u", uri, "--diff", other, **how).err.splitlines()[-1].split()[1]

    def test_the_one_of_the_same_name_else_the_only_one(self):
        beta = f"twemproxy:{self.three}#beta"
        self.assertEqual(self.whole(beta, self.three), "0")
        self.assertEqual(self.whole(beta, f"{self.three}#gamma"), self.whole(beta, f"twemproxy:{self.three}#gamma"))
        self.assertNotEqual(self.whole(beta, f"{self.three}#gamma"), "0")
        self.assertEqual(self.whole(beta, self.write(Pool(self.servers[1:], "another"))), "0")

    def test_several_and_none_fits(self):
        uri = self.uri(Pool(self.servers, "delta"))
        err = self.error(FAILED, "rslots", "-u", uri, "--diff", self.three)
        for name in ("alpha", "beta", "gamma", self.three):
            self.assertIn(name, err)
        err = self.error(FAILED, "rslots", "-u", uri, "--diff", self.three + "#delta")
        for name in ("alpha", "beta", "gamma", "delta"):
            self.assertIn(name, err)

    def test_the_first_file_has_to_be_clear_too(self):
        for args in ([], ["key"], ["--diff", self.three]):
            err = self.error(FAILED, "rslots", "-u", f"twemproxy:{self.three}", *args)
            self.assertIn("alpha", err)
            self.assertIn("gamma", self.error(FAILED, "rslots", "-u", f"twemproxy:{self.three}#nosuch", *args))

    def test_the_last_number_sign_counts(self):
        uri = f"twemproxy:{self.three}#beta"
        os.mkdir(os.path.join(self.dir.path, "a#b"))
        path = os.path.join(self.dir.path, "a#b", "c.yml")
        os.rename(self.three, path)
        uri = f"twemproxy:{path}#beta"
        for other in (f"{path}#beta", f"{path}#", f"twemproxy:{path.replace('#', '%23')}"):
            result = self.run_tool("rslots", "-u", uri, "--diff", other)
            self.assertEqual((result.status, result.err), (OK, "rslots: 0 of all keys move\n"), other)


class Refusals(PoolCase):
    def test_files_that_cannot_be_read(self):
        good = self.write(Pool(some_servers(self.rng, 2)))
        fifo = os.path.join(self.dir.path, "fifo")
        os.mkfifo(fifo)
        for path in (os.path.join(self.dir.path, "nosuch.yml"), self.dir.path, fifo):
            for args in (["-u", f"twemproxy:{path}"], ["-u", f"twemproxy:{good}", "--diff", path]):
                err = self.error(FAILED, "rslots", *args)
                self.assertIn(path, err)

    def test_a_wrong_file_tells_every_mistake(self):
        good = self.write(Pool(some_servers(self.rng, 2)))
        bad = self.write("alpha:\n  listen: 127.0.0.1:1\n  hash: sha1\n  timeout: x\n  servers:\n   - h:1:1\n")
        for args in (["-u", f"twemproxy:{bad}"], ["-u", f"twemproxy:{good}", "--diff", bad]):
            err = self.error(FAILED, "rslots", *args, lines=2).splitlines()
            self.assertTrue(err[0].startswith(f"rslots: {bad}:3: pool 'alpha': "), err)
            self.assertTrue(err[1].startswith(f"rslots: {bad}:4: pool 'alpha': "), err)

    def test_no_file_at_all(self):
        uri = self.uri(Pool(some_servers(self.rng, 2)))
        for other in ("", "#alpha", "twemproxy:", "twemproxy:#alpha", "twemproxy:%zz"):
            self.assertIn("rslots: --diff: ", self.error(FAILED, "rslots", "-u", uri, "--diff", other), other)
        self.assertIn("twemproxy:FILE", self.error(FAILED, "rslots", "-u", "twemproxy:"))

    def test_random_has_no_place_for_a_key(self):
        servers = some_servers(self.rng, 3)
        pool = Pool(servers, distribution="random")
        uri, good = self.uri(pool), self.uri(Pool(servers))
        for args in (["-u", uri, "foo"], ["-u", uri, "-"], ["-u", uri, "--diff", good], ["-u", good, "--diff", uri],
                     ["-u", uri, "--diff", uri]):
            self.assertIn("pool 'alpha': distribution: random", self.error(FAILED, "rslots", *args))

    def test_diff_is_for_pools(self):
        path = self.write(Pool(some_servers(self.rng, 2)))
        err = self.error(FAILED, "rslots", "-u", "redis://127.0.0.1:1", "--diff", path)
        self.assertIn("-u twemproxy:FILE[#POOL]", err)

    def test_a_reader_that_went_away_is_no_error(self):
        servers = some_servers(self.rng, 1000)
        uri, other = self.uri(Pool(servers)), self.write(Pool(servers[::-3]))
        keys = b"".join(b"key:%d\n" % i for i in range(50000))
        for args, given in (([], None), (["-"], keys), (["--diff", other], None)):
            read, write = os.pipe()
            os.close(read)
            try:
                result = self.run_tool("rslots", "-u", uri, *args, input=given, stdout=write)
                self.assertEqual((result.status, result.err), (OK, ""), args)
            finally:
                os.close(write)


if __name__ == "__main__":
    unittest.main()
