# SPDX-License-Identifier: MIT
"""-o scratch=memory: what editors make beside a file stays here; and the expiry, as an extended attribute."""

import shutil
import unittest

from fslib import Mount
from shardtest import Cluster

CLUSTER = None


def setUpModule():
    global CLUSTER
    CLUSTER = Cluster(masters=3, replicas=0)


def tearDownModule():
    CLUSTER.close()


def keys():
    return sorted(key.decode() for server in CLUSTER.servers for key in server.call("KEYS", "*"))


class Scratch(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mount = Mount(CLUSTER.uri, options="scratch=memory")

    @classmethod
    def tearDownClass(cls):
        cls.mount.end()

    def setUp(self):
        CLUSTER.flush()

    def exclusive(self, name, data, then=""):
        script = """
import os, sys
f = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
os.write(f, sys.argv[2].encode())
os.fsync(f)
exec(sys.argv[3])
os.close(f)
"""
        return self.mount.python(script, name, data, then)

    def test_it_is_in_no_server_and_works_as_a_file(self):
        for name in (".k.swp", ".k.swx", "sedAb12Cd", "k~", "4913", ".goutputstream-AB12C3"):
            with self.subTest(name):
                self.exclusive(name, "hello")
                self.assertEqual(keys(), [])
                self.assertEqual(self.mount.ok(f"cat {name}; stat -c %s {name}"), b"hello5\n")
                self.mount.ok(f"echo more >> {name}; truncate -s 7 {name}; printf J | dd of={name} conv=notrunc status=none")
                self.assertEqual(self.mount.ok(f"cat {name}"), b"Jellomo")
                self.assertEqual(keys(), [])
                self.mount.ok(f"rm {name}")
                self.assertNotEqual(self.mount.run(f"cat {name}").status, 0)

    def test_only_what_is_made_exclusively(self):
        self.mount.ok("echo v > k~; echo v > 4913")
        self.assertEqual(keys(), ["4913", "k~"])
        self.exclusive("other", "v")
        self.assertEqual(keys(), ["4913", "k~", "other"])

    def test_only_where_no_key_has_the_name(self):
        CLUSTER.call("SET", "k~", "key")
        self.assertIn("FileExistsError", self.mount.run("python3 -c \"open('k~', 'x')\"").err)
        self.assertEqual(CLUSTER.call("GET", "k~"), b"key")
        CLUSTER.call("SET", "4913", "key")
        self.mount.ok("rm 4913")
        self.assertEqual(keys(), ["k~"])

    def test_renamed_it_is_a_key_and_keeps_the_expiry_of_the_one_before(self):
        CLUSTER.call("SET", "k", "old", "EX", "1000")
        self.exclusive("sedAb12Cd", "new")
        self.mount.ok("mv sedAb12Cd k; cat k")
        self.assertEqual((keys(), CLUSTER.call("GET", "k")), (["k"], b"new"))
        self.assertGreater(CLUSTER.call("TTL", "k"), 900)
        self.mount.ok("echo further >> k")
        self.assertEqual(CLUSTER.call("GET", "k"), b"newfurther\n")

    def test_what_is_written_after_the_renaming_arrives(self):
        self.exclusive(".k.swp", "one", "os.rename('.k.swp', 'k'); os.write(f, b'two')")
        self.assertEqual(CLUSTER.call("GET", "k"), b"onetwo")

    def test_a_large_one(self):
        self.exclusive("sedAb12Cd", "x", "f2 = os.dup(f); os.pwrite(f2, b'y' * 20_000_000, 0); os.close(f2)")
        self.assertEqual(keys(), [])
        self.mount.ok("mv sedAb12Cd k")
        self.assertEqual(CLUSTER.call("STRLEN", "k"), 20_000_000)

    def test_renamed_without_replacing(self):
        CLUSTER.call("SET", "k", "old")
        self.exclusive("sedAb12Cd", "new")
        self.mount.ok("mv -n sedAb12Cd k; cat sedAb12Cd | grep -q new")
        self.assertEqual(CLUSTER.call("GET", "k"), b"old")
        self.mount.ok("rm sedAb12Cd")

    def set_memory(self, limit):
        for server in CLUSTER.servers:
            server.call("CONFIG", "SET", "maxmemory", limit)

    def test_a_renaming_that_fails_leaves_the_file_in_memory(self):
        self.set_memory("1")
        self.addCleanup(self.set_memory, "0")
        script = """
try:
    os.rename("sedAb12Cd", "k")
except OSError as error:
    print(error.errno)
"""
        self.assertEqual(self.exclusive("sedAb12Cd", "v", script), "28\n")
        self.set_memory("0")
        self.assertEqual(self.mount.ok("cat sedAb12Cd; mv sedAb12Cd k; cat k"), b"vv")

    def test_a_key_is_never_renamed_into_memory(self):
        CLUSTER.call("SET", "k", "v")
        self.mount.ok("mv k k~")
        self.assertEqual(keys(), ["k~"])
        self.mount.ok("rm k~")
        self.exclusive("k~", "memory")
        CLUSTER.call("SET", "k", "v")
        self.mount.ok("mv k k~")
        self.assertEqual((keys(), self.mount.ok("cat k~")), (["k~"], b"v"))

    def test_sed(self):
        CLUSTER.call("SET", "k", "one\ntwo\n")
        self.mount.ok("sed -i s/two/2/ k; sed -i.bak s/one/1/ k")
        self.assertEqual(CLUSTER.call("GET", "k"), b"1\n2\n")
        self.assertEqual(keys(), ["k", "k.bak"])

    @unittest.skipUnless(shutil.which("vim"), "no vim here")
    def test_vim(self):
        CLUSTER.call("SET", "k", "one\n")
        self.mount.ok("vim -es -u NONE -c 's/one/two/' -c wq k < /dev/null")
        self.assertEqual((CLUSTER.call("GET", "k"), keys()), (b"two\n", ["k"]))


class Expiry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.mount = Mount(CLUSTER.uri)

    @classmethod
    def tearDownClass(cls):
        cls.mount.end()

    def setUp(self):
        CLUSTER.flush()

    def test_ttl_is_read_and_set_and_taken_away(self):
        out = self.mount.python(
            """
import os, time
open("k", "w").write("v")
print(os.getxattr("k", "user.redis.ttl"))
os.setxattr("k", "user.redis.ttl", b"100")
print(99 <= int(os.getxattr("k", "user.redis.ttl")) <= 100)
open("k", "w").write("w")
print(int(os.getxattr("k", "user.redis.ttl")) > 90)
os.setxattr("k", "user.redis.ttl", b"-1")
print(os.getxattr("k", "user.redis.ttl"))
os.setxattr("k", "user.redis.ttl", b"1\\n")
os.removexattr("k", "user.redis.ttl")
print(os.getxattr("k", "user.redis.ttl"))
os.setxattr("k", "user.redis.ttl", b"1")
time.sleep(1.2)
print(os.path.exists("k"))
"""
        )
        self.assertEqual(out.split(), ["b'-1'", "True", "True", "b'-1'", "b'-1'", "False"])

    def test_what_cannot_be_set(self):
        out = self.mount.python(
            """
import errno, os
open("k", "w").write("v")
def attempt(*args):
    try:
        os.setxattr(*args)
        print("set")
    except OSError as error:
        print(errno.errorcode[error.errno])
for value in (b"", b"0", b"-2", b"x", b"1x", b" 1", b"99999999999999999999", b"1\\x00"):
    attempt("k", "user.redis.ttl", value)
attempt("k", "user.redis.type", b"hash")
attempt("k", "user.mine", b"1")
attempt("k", "user.redis.ttl", b"5", os.XATTR_CREATE)
"""
        )
        self.assertEqual(out.split(), ["EINVAL"] * 8 + ["EPERM", "ENOTSUP", "EEXIST"])


if __name__ == "__main__":
    unittest.main()
