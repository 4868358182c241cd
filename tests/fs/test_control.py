#!/usr/bin/python3
# SPDX-License-Identifier: MIT
""".shardfs: each of its files against what the servers say, and what is refused there."""

import os
import random
import shutil
import tempfile
import time
import unittest

from fslib import Mount, run
from pooltest import Pool
from shardtest import Cluster, Failure, Server, wait_until


def file_name(key):
    """The name of KEY's file."""
    if not key:
        return b"%"
    name = b"".join(b"%%%02X" % c if c in b"%/\0" else bytes([c]) for c in key)
    return name.replace(b".", b"%2E", 1 if key == b".shardfs" else 2) if key in (b".", b"..", b".shardfs") else name


def unescape(line):
    return line.decode("latin-1").encode("latin-1").decode("unicode_escape").encode("latin-1")


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=1)
        cls.addClassCleanup(cls.cluster.close)

    def setUp(self):
        self.cluster.flush()
        self.mount = Mount(self.cluster.uri)
        self.addCleanup(self.mount.close)

    def records(self, name):
        return [line.split("\t") for line in self.mount.ok(f"cat .shardfs/{name}").decode().splitlines()]

    def values(self, name):
        return dict(line.split(" ", 1) for line in self.mount.ok(f"cat .shardfs/{name}").decode().splitlines())

    def stats(self):
        return {name: int(value) for name, value in self.values("stats").items()}


class Contents(Case):
    def test_it_is_hidden_and_its_name_is_no_key(self):
        self.mount.ok("echo v > foo0; echo key > %2Eshardfs")
        self.assertEqual(self.cluster.call("GET", ".shardfs"), b"key\n")
        self.assertEqual(self.mount.ok("ls -A").split(), [b"%2Eshardfs", b"foo0"])
        self.assertEqual(
            self.mount.ok("ls -A .shardfs").split(), [b"config", b"keyslot", b"node", b"nodes", b"slots", b"stats"]
        )
        self.mount.ok("rm ./*")
        self.assertEqual(self.mount.run("cat .shardfs/nosuch").err, "cat: .shardfs/nosuch: No such file or directory\n")

    def test_nodes(self):
        nodes = {record[0]: record[1:] for record in self.records("nodes")}
        self.assertEqual(sorted(nodes), sorted(self.cluster.addrs))
        for (first, last), (port, replicas) in self.cluster.view(self.cluster.servers[0]).items():
            master = self.cluster.server(port).addr
            slots = [f"{first}-{last}", str(last - first + 1)]
            self.assertEqual(nodes[master], ["master", "-", "-", *slots])
            for replica in replicas:
                self.assertEqual(nodes[self.cluster.server(replica).addr], ["replica", master, "-", "-", "0"])

    def test_slots(self):
        wanted = [
            [str(first), str(last), self.cluster.server(nodes[0][1]).addr, nodes[0][2].decode()]
            + [",".join(self.cluster.server(node[1]).addr for node in nodes[1:])]
            for first, last, *nodes in sorted(self.cluster.servers[0].call("CLUSTER", "SLOTS"))
        ]
        self.assertEqual(self.records("slots"), wanted)

    def test_a_moved_slot_is_seen(self):
        target = self.cluster.servers[2]
        source = self.cluster.master_of(0)
        self.cluster.move_slot(0, target)
        self.addCleanup(self.cluster.move_slot, 0, source)
        name = next(f"k{i}" for i in range(100000) if self.cluster.slot(f"k{i}") == 0)
        self.mount.run(f"cat {name}")
        # The map follows the redirect.
        wait_until(lambda: self.records(f"keyslot/{name}") == [["0", target.addr]], 5, "the slot's new owner")
        self.assertEqual(self.records("slots")[0][:3], ["0", "0", target.addr])

    def test_keyslot_of_any_bytes_and_no_server_asked(self):
        chance = random.Random(5)
        keys = [b"", b"foo0", b".", b"..", b".shardfs", b"%", b"a/b", b"a\0b", b"{tag}x", b"\xff\xfe\n", b"%41"]
        keys.append(b"x" * 250)
        keys += [chance.randbytes(chance.randrange(1, 40)) for _ in range(200)]
        script = (
            "import os, sys\n"
            "for name in sys.stdin.read().split():\n"
            "    print(open(b'.shardfs/keyslot/' + bytes.fromhex(name)).read(), end='')"
        )
        names = " ".join(file_name(key).hex() for key in keys).encode()
        before = self.stats()["commands"]
        result = run(["/usr/bin/python3", "-c", script], self.mount.path, names)
        self.assertEqual(result.err, "")
        self.assertEqual(self.stats()["commands"], before)
        owners = {s: self.cluster.server(port).addr for (a, b), (port, _) in
                  self.cluster.view(self.cluster.servers[0]).items() for s in range(a, b + 1)}
        for key, line in zip(keys, result.out.decode().splitlines(), strict=True):
            slot = self.cluster.servers[0].call("CLUSTER", "KEYSLOT", key)
            self.assertEqual(line, f"{slot}\t{owners[slot]}", key)
        self.assertEqual(self.mount.ok("ls -a .shardfs/keyslot").split(), [b".", b".."])
        for bad in ("%41", ".shardfs", "%zz"):
            self.assertIn("No such file", self.mount.run(f"cat .shardfs/keyslot/{bad}").err)

    def test_the_slot_of_a_key_that_is_listed_by_a_hash(self):
        key = "long" * 100
        self.cluster.call("SET", key, "v")
        name = self.mount.ok("ls").decode().strip()
        self.assertEqual(self.records(f"keyslot/{name}")[0][0], str(self.cluster.slot(key)))

    def test_info_of_each_node(self):
        self.assertEqual(sorted(self.mount.ok("ls .shardfs/node").decode().split()), sorted(self.cluster.addrs))
        for server in self.cluster.servers:
            text = self.mount.ok(f"cat .shardfs/node/{server.addr}/info").decode()
            self.assertIn(f"run_id:{server.info('server')['run_id']}", text)
            self.assertIn("# Keyspace", text)
        for name in ("127.0.0.1:1", "nosuch"):
            self.assertIn("No such file", self.mount.run(f"cat .shardfs/node/{name}/info").err)

    def test_keys_of_each_node(self):
        keys = {f"key:{i}".encode() for i in range(5000)}
        keys |= {b"tab\there", b"line\nbreak", b"back\\slash", b"\xff\xfe", b""}
        for key in keys:
            self.cluster.call("SET", key, "v")
        found = []
        for server in self.cluster.masters():
            lines = self.mount.ok(f"cat .shardfs/node/{server.addr}/keys").splitlines()
            self.assertEqual(len(lines), server.call("DBSIZE"))
            found += [unescape(line) for line in lines]
            replica = self.cluster.replicas_of(server)[0]
            wait_until(lambda: replica.call("DBSIZE") == server.call("DBSIZE"), 10, "the replica has all")  # noqa: B023
            self.assertEqual(
                sorted(self.mount.ok(f"cat .shardfs/node/{replica.addr}/keys").splitlines()), sorted(lines)
            )
        self.assertEqual(len(found), len(keys))
        self.assertEqual(set(found), keys)

    def test_keys_are_fetched_while_they_are_read(self):
        for at in range(0, 20000, 1000):
            self.cluster.call("MSET", *(word for i in range(at, at + 1000) for word in (f"{{foo2}}{i}", "v")))
        target = self.cluster.master_of("foo2")
        name = f".shardfs/node/{target.addr}/keys"
        before = self.stats()["commands"]
        self.mount.ok(f"head -c 100 {name}")
        self.assertLess(self.stats()["commands"] - before, 15)
        # Many at once, of one open file, at any offset.
        out = self.mount.python(
            "import os, sys, concurrent.futures as c\n"
            "whole = open(sys.argv[1], 'rb').read()\n"
            "fd = os.open(sys.argv[1], os.O_RDONLY)\n"
            "def part(at):\n"
            "    bytes = b''\n"
            "    while len(bytes) < 50000 and (more := os.pread(fd, 50000 - len(bytes), at + len(bytes))):\n"
            "        bytes += more\n"
            "    return bytes\n"
            "with c.ThreadPoolExecutor(8) as pool:\n"
            "    parts = list(pool.map(part, reversed(range(0, len(whole), 50000))))\n"
            "print(b''.join(reversed(parts)) == whole, len(set(whole.split())), os.pread(fd, 10, 1 << 40))",
            name,
        )
        self.assertEqual(out, "True 20000 b''\n")

    def test_stats_count(self):
        before = self.stats()
        self.mount.ok("echo v > k; cat k k k; mkdir h; echo f > h/f; ! cat missing; ! rmdir h")
        after = self.stats()
        grown = {name: after[name] - before.get(name, 0) for name in after}
        for name, least in (("lookup", 3), ("open", 3), ("create", 2), ("write", 2), ("mkdir", 1), ("rmdir", 1),
                            ("commits", 2), ("commands", 4), ("latency_count", 4), ("error_ENOENT", 1),
                            ("error_ENOTEMPTY", 1)):
            self.assertGreaterEqual(grown[name], least, name)
        self.assertEqual(grown["mkdir"], 1)
        self.assertEqual(grown["rmdir"], 1)
        self.assertLessEqual(after["latency_p50_us"], after["latency_p99_us"])
        self.assertGreater(after["latency_p50_us"], 10)
        self.assertEqual(after["commits_under_way"], 0)
        self.assertEqual(after["handles"], 0)
        wait_until(lambda: self.stats()["tracked_nodes"] == 3, 5, "all masters are tracked")
        self.cluster.call("SET", "k", "other")
        self.mount.ok("cat k k k")
        wait_until(lambda: self.mount.ok("cat k") and self.stats()["cache_hits"] > after["cache_hits"], 5, "a hit")
        self.assertGreater(self.stats()["cache_changes"], before["cache_changes"])

    def test_open_files_are_counted(self):
        self.mount.ok("echo v > k; exec 3< k 4>> k; grep '^handles 2$' .shardfs/stats")


class Config(Case):
    def set(self, line):
        self.mount.ok(f"echo '{line}' > .shardfs/config")
        self.assertIn(line, self.mount.ok("cat .shardfs/config").decode().splitlines())

    def test_what_was_given(self):
        options = "uid=12,gid=34,umask=022,ttl=9,scratch=memory,cache=off"
        with Mount(self.cluster.uri, options=options, timeout=700) as m:
            lines = m.ok("cat .shardfs/config").decode().splitlines()
            for line in ("uid 12", "gid 34", "umask 022", "ttl 9", "scratch memory", "cache off", "timeout 700",
                         f"uri {self.cluster.uri}", f"mountpoint {m.path}", "commit auto", "cache_size 64"):
                self.assertIn(line, lines)
            self.assertEqual(m.ok("stat -c %A .shardfs/config .shardfs/nodes .shardfs").split(),
                             [b"-rw-r--r--", b"-r--r--r--", b"dr-xr-xr-x"])

    def test_no_secret_is_shown(self):
        with Server(password="s3cr3t") as server, Mount(server.uri.replace("//", "//:s3cr3t@").replace(
                "s3cr3t@:s3cr3t@", "s3cr3t@")) as mount:
            self.assertNotIn(b"s3cr3t", mount.ok("cat .shardfs/config .shardfs/nodes .shardfs/slots"))

    def test_commit(self):
        script = (
            "import os, time\n"
            "fd = os.open('k', os.O_WRONLY | os.O_CREAT | os.O_TRUNC)\n"
            "os.write(fd, b'v\\n')\n"
            "time.sleep(0.5)\n"
            "print(open('.shardfs/stats').read().split('commits ')[1].split()[0])\n"
            "os.close(fd)"
        )
        before = self.stats()["commits"]
        self.set("commit close")
        self.assertEqual(int(self.mount.python(script)), before)
        self.assertEqual(self.cluster.call("GET", "k"), b"v\n")
        self.set("commit write")
        self.assertEqual(int(self.mount.python(script)), before + 2)

    def test_ttl(self):
        self.mount.ok("echo v > k")
        self.assertEqual(self.cluster.call("TTL", "k"), -1)
        self.set("ttl 100")
        self.mount.ok("echo w > k")
        self.assertGreater(self.cluster.call("TTL", "k"), 90)
        self.set("ttl keep")
        self.mount.ok("echo x > k")
        self.assertGreater(self.cluster.call("TTL", "k"), 90)
        self.set("ttl clear")
        self.mount.ok("echo y > k")
        self.assertEqual(self.cluster.call("TTL", "k"), -1)

    def test_timeout(self):
        self.set("timeout 300")
        self.mount.ok("echo v > foo0")
        server = self.cluster.master_of("foo0")
        server.pause()
        try:
            for command in ("cat missing{foo0}", f"cat .shardfs/node/{server.addr}/info", "echo w > foo0",
                            f"cat .shardfs/node/{server.addr}/keys"):
                result = self.mount.run(command)
                self.assertNotEqual(result.status, 0)
                self.assertLess(result.seconds, 1.5, command)
        finally:
            server.resume()

    def test_cache_size(self):
        script = "for i in $(seq 200); do head -c 30000 /dev/zero > f$i; done; cat f* f* > /dev/null"
        wait_until(lambda: self.stats()["tracked_nodes"] == 3, 5, "all masters are tracked")
        self.mount.ok(script)
        self.assertGreater(self.stats()["cache_bytes"], 2 << 20)
        self.set("cache_size 1")
        self.assertLessEqual(self.stats()["cache_bytes"], 1 << 20)
        self.assertEqual(self.mount.ok("cat f1 | wc -c"), b"30000\n")
        self.assertLessEqual(self.stats()["cache_bytes"], 1 << 20)

    def test_wrong_lines_change_nothing(self):
        before = self.values("config")
        for lines in ("commit never", "commit", "commit  close", "ttl 0", "ttl soon", "ttl -1", "timeout 0",
                      "timeout x", "cache_size 0", "cache_size 9999999999999999999999", "uid 5", "cache off", "x y",
                      "commit close ",
                      "ttl 7\\ncommit never", "uri redis://x", "x" * 5000):
            result = self.mount.run(f"/usr/bin/printf '{lines}\\n' > .shardfs/config")
            self.assertNotEqual(result.status, 0, lines)
            self.assertIn("Invalid argument", result.err)
        result = self.mount.python(
            "import os\n"
            "fd = os.open('.shardfs/config', os.O_WRONLY)\n"
            "try:\n    os.write(fd, b'ttl 7\\0\\n')\nexcept OSError as error:\n    print(error.strerror)"
        )
        self.assertEqual(result, "Invalid argument\n")
        self.assertEqual(self.values("config"), before)
        self.mount.ok("/usr/bin/printf 'ttl 7\\n\\ncommit write' > .shardfs/config")
        self.mount.ok("printf 'cache_size 2\\n' >> .shardfs/config")
        after = self.values("config")
        self.assertEqual((after["ttl"], after["commit"], after["cache_size"]), ("7", "write", "2"))

    def test_a_mount_that_is_read_only(self):
        with Mount(self.cluster.uri, options="ro") as mount:
            self.assertIn("Read-only", mount.run("echo 'commit close' > .shardfs/config").err)
            self.assertIn(b"commit auto", mount.ok("cat .shardfs/config"))


class Refused(Case):
    def test_nothing_is_made_removed_or_renamed(self):
        self.mount.ok("echo v > k; mkdir h; echo f > h/f")
        node = self.cluster.addrs[0]
        for command, text in (
            ("touch .shardfs/x", "not permitted"),
            ("mkdir .shardfs/d", "not permitted"),
            ("rm .shardfs/nodes", "not permitted"),
            ("rmdir .shardfs/node", "not permitted"),
            ("rmdir .shardfs", "not permitted"),
            ("mv .shardfs other", "not permitted"),
            ("mv .shardfs/nodes .shardfs/m", "not permitted"),
            ("mv .shardfs/nodes n", "not permitted"),
            ("mv k .shardfs/", "not permitted"),
            ("mv h/f .shardfs/f", "not permitted"),
            ("ln k .shardfs/k", "not permitted"),
            ("ln -s k .shardfs/k", "not permitted"),
            ("mkfifo .shardfs/k", "not permitted"),
            ("chmod 777 .shardfs/config", "not permitted"),
            ("chown 1 .shardfs", "not permitted"),
            (f"rm -r .shardfs/node/{node}", "not permitted"),
            (f"echo x > .shardfs/node/{node}/info", "denied"),
            ("echo x > .shardfs/nodes", "denied"),
            ("truncate -s 0 .shardfs/nodes", "denied"),
            ("mkdir .shardfs", "exists"),
            ("echo x > .shardfs", "directory"),
        ):
            result = self.mount.run(command)
            self.assertNotEqual(result.status, 0, command)
            self.assertIn(text, result.err, command)
        for call in ("os.setxattr(f, 'user.x', b'1')", "os.getxattr(f, 'user.x')"):
            for name in (".shardfs", ".shardfs/nodes"):
                with self.assertRaisesRegex(Failure, "not supported|No data"):
                    self.mount.python(f"import os; f = '{name}'; {call}")
        self.assertEqual(self.mount.python("import os; print(os.listxattr('.shardfs/nodes'))"), "[]\n")
        self.assertEqual(self.mount.ok("ls; cat k h/f; truncate -s 0 .shardfs/config"), b"h\nk\nv\nf\n")

    def test_walking_and_copying(self):
        directory = tempfile.mkdtemp(prefix="shardfs-copy-")
        self.addCleanup(shutil.rmtree, directory, True)
        self.mount.ok("for i in $(seq 100); do echo $i > k$i; done")
        self.mount.ok("ls -laR .shardfs; find .shardfs; du -a .shardfs; grep -r master .shardfs; wc -c .shardfs/nodes")
        self.mount.ok(f"cp -r .shardfs {directory}/copy && tar cf - .shardfs > /dev/null || true")
        for name in ("nodes", "slots", f"node/{self.cluster.addrs[0]}/keys"):
            with open(os.path.join(directory, "copy", name), "rb") as file:
                self.assertEqual(file.read(), self.mount.ok(f"cat .shardfs/{name}"))
        inodes = self.mount.ok("stat -c '%i' .shardfs .shardfs/* .shardfs/node/* .shardfs/node/*/*").split()
        self.assertEqual(len(set(inodes)), len(inodes))
        listed = self.mount.ok("ls -i .shardfs/node | awk '{print $1}' ; stat -c %i .shardfs/node/*").split()
        self.assertEqual(listed[: len(listed) // 2], listed[len(listed) // 2 :])

    def test_an_interrupt_ends_a_wait(self):
        server = self.cluster.masters()[0]
        server.pause()
        try:
            for name in ("info", "keys"):
                result = self.mount.run(f"timeout -s INT 0.5 cat .shardfs/node/{server.addr}/{name}")
                self.assertEqual(result.status, 124)
                self.assertLess(result.seconds, 2)
        finally:
            server.resume()
        self.assertIn(b"redis_version", self.mount.ok(f"cat .shardfs/node/{server.addr}/info"))

    def test_open_files_and_listings_at_the_end(self):
        words = f"exec 3< {self.mount.file('.shardfs/nodes')} 4< {self.mount.file('.shardfs/keyslot/x')}; "
        words += f"cd {self.mount.file('.shardfs/node')}; ls > /dev/null; kill -TERM {self.mount.daemon.pid}; sleep 0.2"
        self.assertEqual(run(words).status, 0)
        self.assertEqual(self.mount.wait(10), 0)
        self.assertEqual(self.mount.stderr(), "")

    def test_many_names_and_a_clean_end(self):
        self.mount.ok("for i in $(seq 3000); do : < .shardfs/keyslot/k$i; done")
        self.assertGreater(self.stats()["lookup"], 3000)
        self.mount.end()


class Others(unittest.TestCase):
    def test_a_single_server(self):
        with Server() as server, Mount(server.uri) as mount:
            self.assertEqual(mount.ok("cat .shardfs/nodes").decode(), f"{server.addr}\n")
            self.assertEqual(mount.ok("cat .shardfs/slots").decode(), f"0\t16383\t{server.addr}\t-\t\n")
            self.assertEqual(mount.ok("cat .shardfs/keyslot/foo0").decode(), f"9302\t{server.addr}\n")
            mount.ok("echo v > k")
            self.assertEqual(mount.ok("cat .shardfs/node/*/keys"), b"k\n")

    def test_a_unix_socket(self):
        with Server(unix=True) as server, Mount(f"unix://{server.path}") as mount:
            mount.ok("echo v > k")
            self.assertEqual(mount.ok("ls .shardfs/node").decode().strip(), server.path.replace("/", "%2F"))
            self.assertEqual(mount.ok("cat .shardfs/node/*/keys"), b"k\n")
            self.assertEqual(mount.ok("cat .shardfs/nodes").decode(), f"{server.path}\n")

    def test_a_pool(self):
        with Pool() as pool, Mount(pool.uri) as mount:
            wanted = [[f"s{i}", server.addr, "1"] for i, server in enumerate(pool.servers)]
            lines = mount.ok("cat .shardfs/nodes").decode().splitlines()
            self.assertEqual([line.split("\t") for line in lines], wanted)
            self.assertEqual(mount.ok("cat .shardfs/slots"), b"")
            for i in range(20):
                mount.ok(f"echo v > k{i}")
                addr = pool.servers[pool.holders(f"k{i}")[0]].addr
                self.assertEqual(mount.ok(f"cat .shardfs/keyslot/k{i}").decode(), f"{addr}\n")
                self.assertIn(f"k{i}\n".encode(), mount.ok(f"cat .shardfs/node/{addr}/keys"))

    def test_a_dead_node(self):
        with Cluster(masters=3, replicas=0) as cluster, Mount(cluster.uri, timeout=1000) as mount:
            dead = cluster.servers[2]
            dead.kill()
            start = time.monotonic()
            result = mount.run(f"cat .shardfs/node/{dead.addr}/info .shardfs/node/{dead.addr}/keys")
            self.assertLess(time.monotonic() - start, 5)
            self.assertRegex(result.err, "No route|timed out")
            self.assertIn(b"redis_version", mount.ok(f"cat .shardfs/node/{cluster.servers[0].addr}/info"))
            mount.ok("cat .shardfs/nodes .shardfs/slots .shardfs/stats; ls -laR .shardfs")


unittest.main()
