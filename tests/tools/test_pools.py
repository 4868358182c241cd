#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The tools on a pool of plain servers: twemproxy:FILE#POOL."""

import json
import os
import time
import unittest

from toollib import FAILED, NO, OK, ToolCase
from pooltest import Pool
from shardtest import TempDir, wait_until

KEYS = [f"k{i}" for i in range(300)]
RECORDS = "".join(f"{key}\tv{key}\n" for key in KEYS).encode()


class PoolCase(ToolCase):
    needs_cluster = False

    def make(self, **how):
        pool = Pool(**how)
        self.addCleanup(pool.close)
        self.more_env = {"SHARD_URI": pool.uri}
        return pool


class Plain(PoolCase):
    """One pool for all."""

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool()
        cls.addClassCleanup(cls.pool.close)

    def setUp(self):
        super().setUp()
        self.pool.flush()
        self.more_env = {"SHARD_URI": self.pool.uri}

    def test_what_is_written_is_read(self):
        self.ok("rset", "-", input=RECORDS)
        self.assertEqual(self.ok("rget", "-", input="\n".join(KEYS).encode() + b"\n"), RECORDS)
        self.assertEqual(self.ok("rget", "k7"), b"vk7")
        sizes = [server.call("DBSIZE") for server in self.pool.servers]
        self.assertEqual(sum(sizes), len(KEYS))
        self.assertGreater(min(sizes), 50)

    def test_each_key_is_where_rslots_says(self):
        self.ok("rset", "-", input=RECORDS)
        for line in self.ok("rslots", *KEYS[:50]).decode().splitlines():
            key, _, name, addr = line.split("\t")
            holder = int(name[1:])
            self.assertEqual(self.pool.holders(key), [holder])
            self.assertEqual(addr, self.pool.servers[holder].addr)

    def test_keys_are_listed_once(self):
        self.ok("rset", "-", input=RECORDS)
        self.assertEqual(sorted(self.ok("rkeys").decode().split()), sorted(KEYS))
        self.assertEqual(sorted(self.ok("rkeys", "k1?").decode().split()), sorted(f"k1{i}" for i in range(10)))

    def test_a_stray_is_not_listed(self):
        self.ok("rset", "stray", "x")
        holder = self.pool.holders("stray")[0]
        self.pool.servers[(holder + 1) % 3].call("SET", "stray", "y")
        self.assertEqual(self.ok("rkeys"), b"stray\n")
        self.assertEqual(self.ok("rget", "stray"), b"x")

    def test_the_long_list_has_no_slots(self):
        self.ok("rset", "a", "12345")
        addr = self.pool.servers[self.pool.holders("a")[0]].addr
        self.assertEqual(self.ok("rkeys", "-l").decode(), f"a\tstring\t-1\t5\t-\t{addr}\n")
        self.assertIsNone(json.loads(self.ok("rkeys", "-l", "-j"))["slot"])

    def test_delete(self):
        self.ok("rset", "-", input=RECORDS)
        self.assertEqual(self.ok("rdel", "-", input="\n".join(KEYS).encode() + b"\nnone\n"), b"300\n")
        self.assertEqual(self.ok("rkeys"), b"")

    def test_any_command(self):
        self.assertEqual(self.ok("rcmd", "mset", "a", "1", "b", "2", "c", "3", "d", "4"), b"OK\n")
        self.assertEqual(self.ok("rcmd", "mget", "a", "b", "c", "d"), b"1\n2\n3\n4\n")
        self.assertEqual(self.ok("rcmd", "dbsize"), b"4\n")
        self.assertEqual(self.ok("rcmd", "ping"), b"PONG\n")
        out = self.ok("rcmd", "config", "get", "maxmemory").decode()
        self.assertEqual([f"# {server.addr}" for server in self.pool.servers],
                         [line for line in out.splitlines() if line.startswith("#")])

    def test_keys_of_several_servers(self):
        far = next(key for key in KEYS if self.server_of(key) != self.server_of("k0"))
        self.assertIn("on several servers", self.error(FAILED, "rcmd", "rename", "k0", far))
        near = next(key for key in KEYS[1:] if self.server_of(key) == self.server_of("k0"))
        self.ok("rset", "k0", "v")
        self.assertEqual(self.ok("rcmd", "rename", "k0", near), b"OK\n")

    def server_of(self, key):
        return self.ok("rslots", key).split(b"\t")[2]

    def test_no_record_of_a_map_is_kept(self):
        self.ok("rset", "a", "1")
        self.ok("rget", "a")
        folder = os.path.join(self.runtime.path, "shard")
        self.assertEqual(os.listdir(folder) if os.path.exists(folder) else [], [])


class Settings(PoolCase):
    def test_password_and_database(self):
        pool = self.make(password="secret", db=3)
        self.ok("rset", "a", "1")
        holder = next(s for s in pool.servers if b"db3" in s.call("INFO", "keyspace"))
        with holder.connect() as connection:
            connection.call("SELECT", "3")
            self.assertEqual(connection.call("GET", "a"), b"1")
        self.assertEqual(self.ok("rkeys"), b"a\n")

    def test_a_wrong_password_is_told_and_not_shown(self):
        pool = self.make(password="secret")
        pool.directives["redis_auth"] = "wrong-one"
        pool.write()
        err = self.error(FAILED, "rget", "a")
        self.assertIn("WRONGPASS", err)
        self.assertNotIn("wrong-one", err)

    def test_a_password_file_goes_before_the_pool_and_the_pool_before_the_environment(self):
        pool = self.make(password="secret")
        path = os.path.join(pool.dir.path, "password")
        with open(path, "w", encoding="utf-8") as file:
            file.write("secret\n")
        self.more_env["SHARD_PASSWORD"] = "wrong"
        self.error(NO, "rget", "a")
        pool.directives["redis_auth"] = "wrong"
        pool.write()
        self.error(NO, "rget", "--password-file", path, "a")
        self.error(FAILED, "rget", "a")

    def test_unix_sockets(self):
        pool = self.make(unix=True)
        self.ok("rset", "-", input=RECORDS)
        self.assertEqual(self.ok("rget", "-", input="\n".join(KEYS).encode() + b"\n"), RECORDS)
        self.assertEqual(sorted(self.ok("rkeys").decode().split()), sorted(KEYS))
        err = self.error(FAILED, "rcmd", "lpush", *self.string_key())
        self.assertIn(pool.servers[pool.holders("k0")[0]].path, err)

    def string_key(self):
        return "k0", "x"

    def test_several_connections(self):
        pool = self.make(server_connections=4, preconnect="true")
        before = [s.call("INFO", "stats").split(b"total_connections_received:")[1].split()[0] for s in pool.servers]
        self.ok("rset", "-", input=RECORDS)
        after = [s.call("INFO", "stats").split(b"total_connections_received:")[1].split()[0] for s in pool.servers]
        self.assertEqual([int(b) - int(a) for a, b in zip(before, after)], [4, 4, 4])

    def test_the_timeout_is_the_pools_unless_another_is_given(self):
        pool = self.make(timeout=300)
        self.ok("rset", "a", "1")
        holder = pool.servers[pool.holders("a")[0]]
        holder.pause()
        self.addCleanup(holder.resume)
        for words, low in (((), 0.3), (("--timeout", "900"), 0.9)):
            start = time.monotonic()
            self.assertIn("timed out", self.error(FAILED, "rget", *words, "a"))
            self.assertGreater(time.monotonic() - start, low - 0.02)


class Names(PoolCase):
    def test_several_pools(self):
        pool = self.make()
        with open(pool.path, "a", encoding="utf-8") as file:
            file.write(pool.text().replace("alpha", "beta").replace("22121", "22122"))
        self.more_env = {}
        self.ok("rset", "-u", pool.uri + "#beta", "a", "1")
        self.assertEqual(self.ok("rget", "-u", pool.uri + "#alpha", "a"), b"1")
        err = self.error(FAILED, "rget", "-u", pool.uri, "a")
        self.assertIn("alpha", err)
        self.assertIn("beta", err)
        err = self.error(FAILED, "rget", "-u", pool.uri + "#gamma", "a")
        self.assertIn("gamma", err)

    def test_what_no_tool_serves(self):
        for directive, value, word in (("redis", "false", "memcached"), ("distribution", "random", "random")):
            pool = self.make(servers=1)
            pool.directives[directive] = value
            pool.write()
            for tool, *args in (["rget", "a"], ["rset", "a", "b"], ["rkeys"], ["rcmd", "ping"], ["rdel", "a"]):
                err = self.error(FAILED, tool, *args)
                self.assertIn(f"{pool.path}:1: pool 'alpha': ", err)
                self.assertIn(word, err)

    def test_every_mistake_is_a_line(self):
        pool = self.make(servers=1)
        pool.directives.update(hash="fnv", timeout="soon", backlog="-1")
        pool.write()
        err = self.error(FAILED, "rget", "a", lines=3)
        for number, word in ((4, "hash"), (5, "timeout"), (6, "backlog")):
            self.assertRegex(err, rf"{pool.path}:{number}: .*{word}")

    def test_no_such_file(self):
        self.assertIn("No such file", self.error(FAILED, "rget", "-u", "twemproxy:/nonexistent/n.yml", "a"))


class Trouble(PoolCase):
    def test_a_dead_server_is_told_at_once_and_the_others_serve(self):
        pool = self.make()
        self.ok("rset", "-", input=RECORDS)
        lost = {key for key in KEYS if pool.holders(key) == [0]}
        pool.servers[0].kill()
        start = time.monotonic()
        result = self.check(FAILED, "rget", "-", input="\n".join(KEYS).encode() + b"\n")
        self.assertLess(time.monotonic() - start, 4)
        got = {line.split(b"\t")[0].decode() for line in result.out.splitlines()}
        self.assertIn("Connection refused", result.err)
        self.assertEqual(got & lost, set())

    def test_its_keys_move_with_ejection(self):
        pool = self.make(auto_eject_hosts="true", server_retry_timeout=400)
        self.ok("rset", "-", input=RECORDS)
        first = {key: pool.holders(key) for key in KEYS}
        pool.servers[1].kill()
        self.ok("rset", "-", input=RECORDS)
        self.assertEqual(self.ok("rget", "-", input="\n".join(KEYS).encode() + b"\n"), RECORDS)
        self.assertEqual(len(self.ok("rkeys").split()), len(KEYS))
        for key in KEYS:
            if first[key] != [1]:
                self.assertEqual(pool.servers[first[key][0]].call("GET", key), b"v" + key.encode())
        pool.servers[1].restart()
        wait_until(lambda: self.run_tool("rget", "k0").status == OK, 5, "k0 is there")

    def test_a_long_job_outlives_a_restart(self):
        pool = self.make(auto_eject_hosts="true", server_retry_timeout=300, server_failure_limit=1)
        job = self.start("rcmd", "-", stdin=-1)
        for turn in range(6):
            if turn == 2:
                pool.servers[2].kill()
            if turn == 4:
                pool.servers[2].start()
                time.sleep(0.8)
            for key in KEYS[:30]:
                job.stdin.write(f"set {key} {turn}\n".encode())
            job.stdin.flush()
            time.sleep(0.2)
        out, err = job.communicate(timeout=60)
        self.assertEqual((job.returncode, err), (OK, b""))
        self.assertEqual(out.count(b"OK"), 180)
        back = [key for key in KEYS[:30] if 2 in pool.holders(key)]
        self.assertGreater(len(back), 2)
        for key in back:
            self.assertEqual(pool.servers[2].call("GET", key), b"5")
        for key in set(KEYS[:30]) - set(back):
            self.assertIn(b"5", [server.call("GET", key) for server in pool.servers])


class OfCluster(ToolCase):
    """A pool with "cluster: true": its servers are where a cluster is looked for."""

    def setUp(self):
        super().setUp()
        self.dir = TempDir("shard-pool-")
        self.addCleanup(self.dir.close)
        self.path = self.write(self.cluster.masters()[:1])
        self.more_env = {"SHARD_URI": "twemproxy:" + self.path}

    def write(self, servers, name="nutcracker.yml", **directives):
        path = os.path.join(self.dir.path, name)
        directives = {"listen": "127.0.0.1:22121", "redis": "true", "cluster": "true", **directives}
        with open(path, "w", encoding="utf-8") as file:
            file.write("alpha:\n" + "".join(f"  {key}: {value}\n" for key, value in directives.items()))
            file.write("  servers:\n" + "".join(f"   - {server.addr}:1\n" for server in servers))
        return path

    def test_keys_of_all_masters_by_the_name_of_one(self):
        self.ok("rset", "-", input=RECORDS)
        sizes = [server.call("DBSIZE") for server in self.cluster.masters()]
        self.assertEqual(sum(sizes), len(KEYS))
        self.assertGreater(min(sizes), 50)
        for key in KEYS[:20]:
            self.assertEqual(self.cluster.call("GET", key, key=key), b"v" + key.encode())
            self.assertEqual(self.ok("rget", "-u", "twemproxy:" + self.path, key), b"v" + key.encode())
        self.assertEqual(self.ok("rget", "-", input="\n".join(KEYS).encode() + b"\n"), RECORDS)
        self.assertEqual(sorted(self.ok("rkeys").decode().split()), sorted(KEYS))
        self.assertEqual(self.ok("rcmd", "dbsize").strip(), b"300")
        self.ok("rdel", "-", input="\n".join(KEYS).encode() + b"\n")
        self.assertEqual([server.call("DBSIZE") for server in self.cluster.masters()], [0] * len(sizes))

    def test_slots_are_the_clusters(self):
        for key, line in zip(KEYS[:30], self.ok("rslots", *KEYS[:30]).decode().splitlines()):
            slot = self.cluster.slot(key)
            self.assertEqual(line.split("\t"), [key, str(slot), self.cluster.master_of(slot).addr])
        self.assertEqual(self.ok("rslots"), self.ok("rslots", "-u", self.uri))

    def test_no_ring_to_compare(self):
        plain = self.write(self.cluster.masters(), "plain.yml", cluster="false")
        self.assertIn("cluster: true", self.error(FAILED, "rslots", "--diff", plain))
        result = self.error(FAILED, "rslots", "-u", "twemproxy:" + plain, "--diff", self.path)
        self.assertIn(self.path + ":1: pool 'alpha'", result)

    def test_its_timeout(self):
        seed = self.cluster.masters()[0]
        self.write([seed], timeout=300)
        key = next(key for key in KEYS if self.cluster.master_of(key) is not seed)
        server = self.cluster.master_of(key)
        server.pause()
        self.addCleanup(self.cluster.wait_ok)
        self.addCleanup(server.resume)
        # With the usual one it would wait for who takes over.
        self.error(FAILED, "rget", key)


unittest.main()
