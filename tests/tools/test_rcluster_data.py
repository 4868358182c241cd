#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rcluster import, backup, restore: keys that go from one place to another."""

import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from toollib import FAILED, OK, ToolCase
from shardtest import HOST, Cluster, Server, TempDir, free_ports, wait_until

SECRET = "geheim"


def fill(call):
    """Keys of all types, some of which expire."""
    call("SET", "string", "value")
    call("SET", b"\0bin\xff\n", b"\0\r\n\xff")
    call("SET", "empty", "")
    call("SET", "big", "x" * 3000000)
    call("SET", "expires", "soon", "PX", 600000)
    call("RPUSH", "list", *range(300))
    call("SADD", "set", *(f"m{i}" for i in range(700)))
    call("SADD", "intset", *range(20))
    call("HSET", "hash", *(w for i in range(700) for w in (f"f{i}", i)))
    call("ZADD", "zset", *(w for i in range(300) for w in (i / 3, f"m{i}")))
    call("XADD", "stream", "1-1", "f", "v")
    call("XGROUP", "CREATE", "stream", "group", "0")
    call("HSET", "small", "f", "v")
    call("EXPIRE", "small", 700)


def value(call, key):
    """The value of a key, in an order of its own."""
    kind = call("TYPE", key).decode()
    words = {
        "string": ["GET", key],
        "list": ["LRANGE", key, 0, -1],
        "set": ["SMEMBERS", key],
        "zset": ["ZRANGE", key, 0, -1, "WITHSCORES"],
        "hash": ["HGETALL", key],
        "stream": ["XRANGE", key, "-", "+"],
        "none": ["GET", key],
    }[kind]
    got = call(*words)
    if kind == "set":
        got = sorted(got)
    if kind == "hash":
        got = sorted(zip(got[::2], got[1::2]))
    return kind, got


def contents(servers, call):
    """{key: (type, value)} of all that SERVERS hold."""
    keys = [key for server in servers for key in server.call("KEYS", "*")]
    if len(keys) != len(set(keys)):
        raise AssertionError("a key is there twice")
    return {key: value(call, key) for key in keys}


class Verbs(ToolCase):
    needs_cluster = False

    @classmethod
    def setUpClass(cls):
        cls.target = Cluster(3, 0, password=SECRET)
        cls.addClassCleanup(cls.target.close)

    def setUp(self):
        super().setUp()
        self.more_env = {"SHARD_PASSWORD": SECRET}
        self.target.flush()
        self.seed = self.target.addrs[0]

    def rcluster(self, *args, **how):
        result = self.check(OK, "rcluster", *map(str, args), **how)
        self.assertEqual(result.err, "")
        return result.out.decode()

    def fails(self, *args, **how):
        result = self.run_tool("rcluster", *map(str, args), **how)
        self.assertEqual(result.status, FAILED, f"{args}: {result}")
        self.assertNotEqual(result.err, "")
        return result.err

    def held(self):
        return contents(self.target.masters(), self.target.call)


class Import(Verbs):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = Server()
        cls.addClassCleanup(cls.source.close)

    def setUp(self):
        super().setUp()
        self.source.call("FLUSHALL")

    def test_keys_of_all_types_are_moved_with_their_times_to_live(self):
        fill(self.source.call)
        before = contents([self.source], self.source.call)
        out = self.rcluster("import", self.seed, "--from", self.source.addr)
        self.assertIn(f"{len(before)} keys moved\n", out)
        self.assertEqual(self.source.call("DBSIZE"), 0)
        self.assertEqual(self.held(), before)
        for key, most in (("expires", 600000), ("small", 700000)):
            self.assertTrue(most - 60000 < self.target.call("PTTL", key) <= most)
        self.assertEqual(self.target.call("PTTL", "string"), -1)
        self.assertEqual(len(self.target.call("XINFO", "GROUPS", "stream", key="stream")), 1)
        self.assertIn("0 keys moved", self.rcluster("import", self.seed, "--from", self.source.uri))

    def test_a_copy_can_be_made_again(self):
        fill(self.source.call)
        before = contents([self.source], self.source.call)
        self.assertIn("copied\n", self.rcluster("import", self.seed, "--from", self.source.addr, "--copy"))
        out = self.rcluster("import", self.seed, "--from", self.source.addr, "--copy")
        self.assertIn(f"{len(before)} of them were there already", out)
        self.assertEqual(contents([self.source], self.source.call), before)
        self.assertEqual(self.held(), before)

    def test_conflicts_are_named_and_nothing_of_them_is_touched(self):
        for call, word in ((self.source.call, "theirs"), (self.target.call, "ours")):
            call("SET", "a", word)
            call("SADD", "b", word)
        self.source.call("SET", "c", "theirs")
        error = self.fails("import", self.seed, "--from", self.source.addr)
        for key in ("a", "b"):
            owner = self.target.master_of(key)
            self.assertIn(f"{key}: exists already at {owner.addr} (slot {self.target.slot(key)})", error)
        self.assertIn("2 keys are in the cluster already", error)
        self.assertEqual((self.target.call("GET", "a"), self.source.call("GET", "a")), (b"ours", b"theirs"))
        self.assertEqual((self.target.call("GET", "c"), self.source.call("GET", "c")), (b"theirs", None))
        self.assertIn("2 keys moved", self.rcluster("import", self.seed, "--from", self.source.addr, "--replace"))
        self.assertEqual((self.target.call("GET", "a"), self.source.call("DBSIZE")), (b"theirs", 0))

    def test_many_conflicts_are_counted(self):
        for i in range(50):
            self.source.call("SET", f"k{i}", "a")
            self.target.call("SET", f"k{i}", "b")
        error = self.fails("import", self.seed, "--from", self.source.addr)
        self.assertEqual(error.count("exists already"), 20)
        self.assertIn("and 30 keys more", error)
        self.assertIn("50 keys are in the cluster", error)

    def test_no_change_is_lost_while_keys_are_moved(self):
        keys = [f"counter{i}" for i in range(2000)]
        self.source.connect().pipeline([("SET", k, 0) for k in keys])
        stop, count = threading.Event(), [0]

        def write():
            with self.source.connect() as conn:
                while not stop.is_set():
                    conn.pipeline([("INCR", keys[(count[0] + i) % len(keys)]) for i in range(50)])
                    count[0] += 50

        writer = threading.Thread(target=write)
        writer.start()
        try:
            wait_until(lambda: count[0] > 500)
            result = self.run_tool("rcluster", "import", self.seed, "--from", self.source.addr)
        finally:
            stop.set()
            writer.join()
        self.assertEqual(result.status, OK, result)
        total = lambda values: sum(int(v or 0) for v in values)  # noqa: E731
        moved = total(self.target.call("GET", k) for k in keys)
        self.assertEqual(moved + total(self.source.connect().pipeline([("GET", k) for k in keys])), count[0])
        self.assertGreater(moved, 0)

    def test_a_killed_import_is_finished_by_the_same_command(self):
        with self.source.connect() as conn:
            conn.pipeline([("SET", f"k{i}", i) for i in range(30000)])
            conn.pipeline([("SADD", f"s{i}", *(f"m{j}" for j in range(200))) for i in range(300)])
        before = self.source.call("DBSIZE")
        for _ in range(2):
            left = self.source.call("DBSIZE")
            process = self.start("rcluster", "import", self.seed, "--from", self.source.addr)
            wait_until(lambda left=left: self.source.call("DBSIZE") < left - 500, pause=0.001, what="it is at work")
            process.kill()
            process.communicate()
        self.assertGreater(self.source.call("DBSIZE"), 0)
        self.rcluster("import", self.seed, "--from", self.source.addr)
        self.assertEqual(self.source.call("DBSIZE"), 0)
        self.assertEqual(sum(m.call("DBSIZE") for m in self.target.masters()), before)
        self.assertEqual(self.target.call("GET", "k29999"), b"29999")
        self.assertEqual(self.target.call("SCARD", "s299"), 200)

    def test_an_interrupt_says_how_to_go_on(self):
        with self.source.connect() as conn:
            conn.pipeline([("SET", f"k{i}", "x" * 1000) for i in range(30000)])
        process = self.start("rcluster", "import", self.seed, "--from", self.source.addr)
        wait_until(lambda: self.source.call("DBSIZE") < 29000, pause=0.001, what="it is at work")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        self.assertEqual(process.returncode, FAILED, error)
        self.assertIn(b"the same again goes on", error)
        done = int(out.split()[0])
        self.assertEqual(self.source.call("DBSIZE") + done, 30000)
        self.assertEqual(sum(m.call("DBSIZE") for m in self.target.masters()), done)

    def test_a_pool_behind_twemproxy(self):
        other = Server()
        self.addCleanup(other.close)
        path = os.path.join(self.runtime.path, "pool.yml")
        with open(path, "w", encoding="ascii") as file:
            file.write("alpha:\n  listen: 127.0.0.1:22121\n  redis: true\n  servers:\n")
            file.write(f"   - {self.source.addr}:1 one\n   - {other.addr}:1 two\n")
        records = "".join(f"user:{i}\t{i}\n" for i in range(500)).encode()
        self.ok("rset", "-u", f"twemproxy:{path}", "-", input=records, env={**self.env(), "SHARD_PASSWORD": ""})
        self.assertGreater(min(self.source.call("DBSIZE"), other.call("DBSIZE")), 100)
        self.assertIn("500 keys moved", self.rcluster("import", self.seed, "--from", f"twemproxy:{path}"))
        self.assertEqual((self.source.call("DBSIZE"), other.call("DBSIZE")), (0, 0))
        self.assertEqual(self.target.call("GET", "user:499"), b"499")

    def test_credentials_of_the_source_are_its_own(self):
        locked = Server(password="other")
        self.addCleanup(locked.close)
        locked.call("ACL", "SETUSER", "mover", "on", ">pass", "~*", "+@all")
        word = os.path.join(self.runtime.path, "word")
        with open(word, "w", encoding="ascii") as file:
            file.write("other\n")
        for i, how in enumerate((
            ["--from-pass", "other"],
            ["--from-user", "mover", "--from-pass", "pass"],
            ["--from-password-file", word],
            ["--from-askpass"],
        )):  # fmt: skip
            locked.call("SET", f"key{i}", i)
            self.assertIn("1 keys moved", self.ok_with(b"other\n", "import", self.seed, "--from", locked.addr, *how))
        locked.call("SET", "key", "x")
        for uri in (f"redis://:other@{locked.addr}", f"redis://mover:pass@{locked.addr}"):
            self.rcluster("import", self.seed, "--from", uri, "--copy", "--replace")
        error = self.fails("import", self.seed, "--from", locked.addr, "--from-pass", "wrong")
        self.assertIn("WRONGPASS", error)
        self.assertNotIn("wrong\n", error)
        self.assertIn("NOAUTH", self.fails("import", self.seed, "--from", locked.addr))
        self.more_env = {"SHARD_PASSWORD": "wrong"}
        self.assertIn("WRONGPASS", self.fails("import", self.seed, "--from", locked.addr, "--from-pass", "other"))

    def ok_with(self, given, *args):
        result = self.run_tool("rcluster", *map(str, args), input=given)
        self.assertEqual(result.status, OK, result)
        return result.out.decode()

    def test_what_import_refuses(self):
        self.assertIn("--from is wanted", self.fails("import", self.seed))
        dead = f"{HOST}:{free_ports(1)[0]}"
        self.assertIn(dead, self.fails("import", self.seed, "--from", dead))
        self.assertIn("Connection refused", self.fails("import", dead, "--from", self.source.addr))
        self.target.call("SET", "key", "value")
        for addr in self.target.addrs:
            error = self.fails("import", self.seed, "--from", addr, "--from-pass", SECRET)
            self.assertIn("is the cluster itself", error)
        self.assertEqual(self.target.call("GET", "key"), b"value")
        self.assertIn("URI", self.fails("import", self.seed, "--from", "redis://"))


class Backup(Verbs):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = Cluster(2, 1, password=SECRET)
        cls.addClassCleanup(cls.source.close)
        fill(cls.source.call)
        for i in range(500):
            cls.source.call("SET", f"key{i}", i)
        library = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)"
        for master in cls.source.masters():
            master.call("FUNCTION", "LOAD", library)
        cls.all = contents(cls.source.masters(), cls.source.call)

    def setUp(self):
        super().setUp()
        for master in self.target.masters():
            master.call("FUNCTION", "FLUSH")
        self.place = TempDir()
        self.addCleanup(self.place.close)
        self.dir = os.path.join(self.place.path, "backup")
        self.from_addr = self.source.addrs[0]

    def backup(self):
        return self.rcluster("backup", self.from_addr, self.dir)

    def manifest(self):
        with open(os.path.join(self.dir, "manifest.json"), encoding="utf-8") as file:
            return json.load(file)

    def test_what_was_there_is_there_in_another_layout(self):
        for diskless in ("yes", "no"):
            for master in self.source.masters():
                master.call("CONFIG", "SET", "repl-diskless-sync", diskless)
            self.assertIn("2 snapshots", self.backup())
            files = sorted(glob.glob(self.dir + "/*.rdb"))
            self.assertEqual(files, sorted(os.path.join(self.dir, n["file"]) for n in self.manifest()["nodes"]))
            for path in files:
                run = subprocess.run(["redis-check-rdb", path], capture_output=True, timeout=60, check=False)
                self.assertEqual(run.returncode, 0, run.stdout)
            self.target.flush()
            self.assertIn(f"{len(self.all)} keys restored", self.rcluster("restore", self.seed, self.dir))
            self.assertEqual(self.held(), self.all)
            self.assertTrue(0 < self.target.call("PTTL", "expires") <= 600000)
            for master in self.target.masters():
                self.assertEqual(master.call("FCALL", "answer", 0), 42)
            shutil.rmtree(self.dir)

    def test_the_manifest_tells_the_truth(self):
        self.backup()
        manifest = self.manifest()
        self.assertEqual(manifest["version"], 1)
        for node in manifest["nodes"]:
            server = next(s for s in self.source.servers if s.addr == node["address"])
            self.assertEqual(node["id"], self.source.node_id(server))
            (first, last), = [r for r, (port, _) in self.source.view(server).items() if port == server.port]
            self.assertEqual(node["slots"], f"{first}-{last}")
            path = os.path.join(self.dir, node["file"])
            self.assertEqual(node["bytes"], os.path.getsize(path))
            run = subprocess.run(["sha256sum", path], capture_output=True, text=True, timeout=60, check=True)
            self.assertEqual(node["sha256"], run.stdout.split()[0])
            self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        self.assertEqual(sum(n["keys"] for n in manifest["nodes"]), len(self.all))

    def test_a_cluster_that_holds_keys_needs_replace(self):
        self.backup()
        self.target.call("SET", "key1", "ours")
        self.target.call("SET", "mine", "stays")
        self.assertIn("--replace", self.fails("restore", self.seed, self.dir))
        self.assertEqual(self.target.call("GET", "key1"), b"ours")
        self.rcluster("restore", self.seed, self.dir, "--replace")
        self.assertEqual(self.held(), {**self.all, b"mine": ("string", b"stays")})

    def test_a_damaged_backup_is_refused_before_anything_is_written(self):
        self.backup()
        files = sorted(glob.glob(self.dir + "/*.rdb"))
        with open(files[0], "r+b") as file:
            file.seek(100)
            file.write(b"\0\1\2")
        os.truncate(files[1], 50)
        error = self.fails("restore", self.seed, self.dir)
        self.assertIn(f"{files[0]}: its sha256", error)
        self.assertIn(f"{files[1]}: has 50 bytes", error)
        os.unlink(files[1])
        self.assertIn("No such file", self.fails("restore", self.seed, self.dir))
        manifest = os.path.join(self.dir, "manifest.json")
        for content, word in (("{", "line 1"), ("[]", "version"), ('{"version":1}', "names no node"),
                              ('{"version":9,"nodes":[]}', "version 9"), ('{"version":1,"nodes":[{}]}', "not complete")):  # fmt: skip
            with open(manifest, "w", encoding="ascii") as file:
                file.write(content)
            self.assertIn(word, self.fails("restore", self.seed, self.dir))
        node = {"id": "x", "address": "x", "slots": "0", "file": "../x", "sha256": "", "bytes": 1, "keys": 0}
        with open(manifest, "w", encoding="ascii") as file:
            json.dump({"version": 1, "nodes": [node]}, file)
        self.assertIn("not a file of this directory", self.fails("restore", self.seed, self.dir))
        shutil.rmtree(self.dir)
        self.backup()
        whole = self.manifest()["nodes"]
        for nodes, word in ((whole[:1], "no node has slot"), ([*whole, whole[0]], "node 3: its slots are none, or another"),
                            ([{**whole[0], "slots": "0-x"}, whole[1]], "node 1: its slots are none")):  # fmt: skip
            with open(manifest, "w", encoding="ascii") as file:
                json.dump({"version": 1, "nodes": nodes}, file)
            self.assertIn(word, self.fails("restore", self.seed, self.dir))
        self.assertIn("not a directory that rcluster backup has made", self.fails("restore", self.seed, self.place.path))
        self.assertEqual(self.held(), {})

    def test_what_backup_refuses(self):
        self.backup()
        self.assertIn("holds a backup already", self.fails("backup", self.from_addr, self.dir))
        self.assertIn("No such file", self.fails("backup", self.from_addr, self.place.path + "/no/where"))
        self.assertIn("/dev/null: is not a directory", self.fails("backup", self.from_addr, "/dev/null"))
        self.assertIn("is wanted", self.fails("backup"))
        self.more_env = {"SHARD_PASSWORD": "wrong"}
        self.assertIn("WRONGPASS", self.fails("backup", self.from_addr, self.dir + "2"))
        self.more_env = {"SHARD_PASSWORD": SECRET}
        master, other = self.source.masters()
        slot = next(first for (first, _), (port, _) in self.source.view(master).items() if port == master.port)
        master.call("CLUSTER", "SETSLOT", slot, "MIGRATING", self.source.node_id(other))
        self.assertIn(f"slot {slot} is half-moved", self.fails("backup", self.from_addr, self.dir + "2"))
        master.call("CLUSTER", "SETSLOT", slot, "STABLE")
        self.assertFalse(os.path.exists(self.dir + "2"))

    def test_a_master_that_is_away_is_named_and_no_half_backup_stays(self):
        master = next(m for m in self.source.masters() if m is not self.source.servers[0])
        master.pause()
        try:
            error = self.fails("backup", "--timeout", 300, self.from_addr, self.dir)
        finally:
            master.resume()
        self.assertIn(f"{master.addr}: does not answer", error)
        self.assertFalse(os.path.exists(os.path.join(self.dir, "manifest.json")))
        self.source.wait_ok()
        self.backup()

    def test_an_interrupted_restore_leaves_no_server_and_is_finished_by_replace(self):
        self.backup()
        tmp = os.path.join(self.place.path, "tmp")
        os.mkdir(tmp)
        self.more_env["TMPDIR"] = tmp
        process = self.start("rcluster", "restore", self.seed, self.dir)
        wait_until(lambda: os.listdir(tmp), pause=0.001, what="its server starts")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        self.assertEqual(os.listdir(tmp), [])
        self.assertIn(process.returncode, (OK, FAILED))
        self.rcluster("restore", self.seed, self.dir, "--replace")
        self.assertEqual(os.listdir(tmp), [])
        self.assertEqual(self.held(), self.all)


if __name__ == "__main__":
    unittest.main(verbosity=2)
