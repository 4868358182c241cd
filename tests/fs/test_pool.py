#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The mount of a pool of plain servers."""

import unittest

from fslib import Mount
from pooltest import Pool
from shardtest import Failure, wait_until

NAMES = [f"k{i}" for i in range(60)]


class Files(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pool = Pool()
        cls.addClassCleanup(cls.pool.close)

    def setUp(self):
        self.pool.flush()
        self.mount = Mount(self.pool.uri)
        self.addCleanup(self.mount.close)

    def test_files_are_keys_of_the_right_servers(self):
        self.mount.ok("for k in " + " ".join(NAMES) + "; do echo v$k > $k; done")
        self.assertEqual(sorted(self.mount.ok("ls").decode().split()), sorted(NAMES))
        for name in NAMES:
            self.assertEqual(len(self.pool.holders(name)), 1)
        self.assertEqual(sum(s.call("DBSIZE") for s in self.pool.servers), len(NAMES))
        self.assertEqual(self.mount.ok("cat k3 k4"), b"vk3\nvk4\n")
        attribute = "import os; print(os.getxattr('k5', 'user.redis.{}').decode())"
        node = self.mount.python(attribute.format("node")).strip()
        self.assertEqual(node, self.pool.servers[self.pool.holders("k5")[0]].addr)
        with self.assertRaisesRegex(Failure, "No data available"):
            self.mount.python(attribute.format("slot"))

    def test_renaming_within_and_across_servers(self):
        self.mount.ok("echo v > old")
        kinds = set()
        for name in NAMES:
            here = self.pool.holders("old") or self.pool.holders(last)
            self.mount.ok(f"mv {'old' if name == NAMES[0] else last} {name}")
            kinds.add(here == self.pool.holders(name))
            last = name
        self.assertEqual(kinds, {True, False})
        self.assertEqual(self.mount.ok(f"ls; cat {last}"), f"{last}\nv\n".encode())
        self.mount.ok("echo w > other")
        self.assertNotEqual(self.mount.run(f"mv --no-copy -n other {last} && test ! -e other").status, 0)

    def test_names_longer_than_the_kernel_lists(self):
        name = "x" * 400
        for server in self.pool.servers:
            server.call("FLUSHALL")
        # The key goes where the pool looks for it.
        self.mount.python("import sys; open(sys.argv[1], 'w').write('long')", name)
        listed = self.mount.ok("ls").decode().strip()
        self.assertTrue(listed.startswith("%~"), listed)
        self.assertEqual(self.mount.ok(f"cat '{listed}'"), b"long")

    def test_remove_all(self):
        self.mount.ok("for i in $(seq 500); do echo $i; done | xargs -n 50 touch")
        self.assertEqual(len(self.mount.ok("ls").split()), 500)
        self.mount.ok("rm -r ./*")
        self.assertEqual(sum(s.call("DBSIZE") for s in self.pool.servers), 0)

    def test_large_values_and_appends(self):
        self.mount.ok("head -c 3000000 /dev/zero | tr '\\0' x > big; echo end >> big; cp big copy; cmp big copy")
        self.assertEqual(self.mount.ok("tail -c 4 big; stat -c %s big"), b"end\n3000004\n")

    def test_df(self):
        self.mount.ok("df . > /dev/null")


class Trouble(unittest.TestCase):
    def test_a_dead_server(self):
        with Pool() as pool:
            with Mount(pool.uri) as mount:
                mount.ok("for k in " + " ".join(NAMES) + "; do echo v$k > $k; done")
                lost = [name for name in NAMES if pool.holders(name) == [0]]
                kept = [name for name in NAMES if name not in lost]
                pool.servers[0].kill()
                mount.ok("cat " + " ".join(kept))
                result = mount.run(f"cat {lost[0]}")
                self.assertIn("No route to host", result.err)
                self.assertLess(result.seconds, 2)
                pool.servers[0].start()
                wait_until(lambda: mount.run(f"echo again > {lost[0]}").status == 0, 5, "it is back")
                self.assertEqual(mount.ok(f"cat {lost[0]}"), b"again\n")

    def test_ejection(self):
        with Pool(auto_eject_hosts="true", server_retry_timeout=500) as pool:
            with Mount(pool.uri) as mount:
                mount.ok("for k in " + " ".join(NAMES) + "; do echo v$k > $k; done")
                pool.servers[0].kill()
                mount.ok("for k in " + " ".join(NAMES) + "; do echo w$k > $k; done")
                self.assertEqual(sorted(mount.ok("ls").decode().split()), sorted(NAMES))
                self.assertEqual(mount.ok("cat k1"), b"wk1\n")

    def test_a_mount_without_some_servers_and_without_all(self):
        with Pool() as pool:
            pool.servers[0].kill()
            with Mount(pool.uri) as mount:
                self.assertIn("Connection refused", mount.stderr())
                self.assertIn(pool.servers[0].addr, mount.stderr())
            for server in pool.servers[1:]:
                server.kill()
            with self.assertRaisesRegex(AssertionError, "Connection refused"):
                Mount(pool.uri)

    def test_what_is_refused(self):
        for directive, value in (("redis", "false"), ("distribution", "random"), ("hash", "none")):
            with Pool(servers=1) as pool:
                pool.directives[directive] = value
                pool.write()
                with self.assertRaisesRegex(AssertionError, f"{pool.path}:"):
                    Mount(pool.uri)


unittest.main()
