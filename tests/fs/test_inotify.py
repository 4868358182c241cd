#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""-o inotify: inotifywait on the mount is told of what others change, once, and of this mount's own changes as ever."""

import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from fslib import Mount, run
from shardtest import Cluster, Server, wait_until

QUIET = 0.4  # so long nothing may come where nothing is to come
WRITTEN = ["OPEN", "MODIFY", "CLOSE_WRITE,CLOSE"]


class Watch:
    """inotifywait -m on a file or directory: [(events, name)] of what has come since the last look."""

    def __init__(self, path, *args):
        self.file = tempfile.NamedTemporaryFile()
        self.process = subprocess.Popen(
            ["inotifywait", "-m", "--format", "%e %f", *args, path], stdout=self.file, stderr=subprocess.STDOUT
        )
        self.seen = 0
        wait_until(lambda: "established" in self.text(), 10, "inotifywait watches")
        self.seen = len(self.text())

    def text(self):
        with open(self.file.name, encoding="utf-8") as file:
            return file.read()

    def lines(self):
        """Whole lines only."""
        text = self.text()[self.seen :]
        return [tuple(line.split(" ", 1)) for line in text[: text.rfind("\n") + 1].splitlines()]

    def take(self, wanted):
        """Waits for these events in this order, and that no other comes before or after them."""
        try:
            wait_until(lambda: len(self.lines()) >= len(wanted), 10, "events")
        except Exception as error:
            raise AssertionError(f"{self.lines()} instead of {wanted}") from error
        time.sleep(QUIET)
        got = self.lines()
        self.seen = len(self.text())
        if got != wanted:
            raise AssertionError(f"{got} instead of {wanted}")

    def skip(self):
        self.seen = len(self.text())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.file.close()


def toucher(mount):
    """The PID of the mount's helper."""
    with open(f"/proc/{mount.daemon.pid}/task/{mount.daemon.pid}/children", encoding="utf-8") as file:
        return int(file.read().split()[0])


def written(name):
    return [(event, name) for event in WRITTEN]


class Told(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=1)
        cls.addClassCleanup(cls.cluster.close)
        cls.mount = Mount(cls.cluster.uri, options="inotify")
        cls.addClassCleanup(cls.mount.close)
        cls.other = Mount(cls.cluster.uri)
        cls.addClassCleanup(cls.other.close)

    def setUp(self):
        self.cluster.flush()
        wait_until(self.armed, 20, "all nodes are tracked")
        before = None
        while before != (now := self.stats()["inotify_told"]):
            before = now
            time.sleep(QUIET)

    def stats(self):
        return dict(line.split() for line in self.mount.ok("cat .shardfs/stats").decode().splitlines())

    def armed(self):
        return int(self.stats()["tracked_nodes"]) == 3

    def test_a_client_changes_a_string(self):
        call = self.cluster.call
        call("SET", "k", "one")
        self.mount.ok("cat k")
        with Watch(self.mount.path) as top, Watch(self.mount.file("k")) as file:
            file.skip(), top.skip()
            for words in (("SET", "k", "two"), ("APPEND", "k", "!"), ("SETRANGE", "k", "0", "T"), ("SET", "k", "")):
                call(*words)
                top.take(written("k"))
                self.assertEqual([line[0] for line in file.lines()], WRITTEN)
                file.skip()
            self.assertEqual(self.mount.ok("cat k"), b"")
            top.skip(), file.skip()
            time.sleep(0.6)  # a write of this mount's own would be too near
            call("EXPIRE", "k", 1000)
            top.take([("ATTRIB", "k")])
            call("PERSIST", "k")
            top.take([("ATTRIB", "k")])
            file.skip()
            call("DEL", "k")
            top.take([("DELETE", "k")])
            self.assertEqual([line[0] for line in file.lines()], ["ATTRIB", "DELETE_SELF"])
        self.assertEqual(call("EXISTS", "k"), 0)

    def test_keys_that_come_and_go(self):
        call = self.cluster.call
        with Watch(self.mount.path) as top:
            for name, shown in (("new", "new"), ("a/b%", "a%2Fb%25"), ("..", "%2E%2E"), ("", "%"), ("ü\n", None)):
                call("SET", name, "value")
                if shown is None:
                    time.sleep(QUIET)
                    top.skip()
                    continue
                top.take([("CREATE", shown), *written(shown)])
                self.assertEqual(self.mount.ok(f"cat -- '{shown}'"), b"value")
                top.skip()
                call("SET", name, "another")
                top.take(written(shown))
                call("DEL", name)
                top.take([("DELETE", shown)])
            call("SET", "short", "v", "PX", 300)
            wait_until(lambda: ("DELETE", "short") in top.lines(), 10, "an expiry is told of")
            self.assertEqual(top.lines(), [("CREATE", "short"), *written("short"), ("DELETE", "short")])
        self.assertEqual(self.cluster.call("EXISTS", "new"), 0)

    def test_directories(self):
        call = self.cluster.call
        with Watch(self.mount.path) as top:
            call("HSET", "h", "f", "v")
            top.take([("CREATE,ISDIR", "h")])
            self.assertEqual(self.mount.ok("cat h/f"), b"v")
            top.skip()
            with Watch(self.mount.file("h")) as inside:
                call("HSET", "h", "f", "w")
                top.take([("ATTRIB,ISDIR", "h")])
                self.assertEqual(inside.lines(), [("ATTRIB,ISDIR", "")])
            top.skip()
            call("DEL", "h")
            top.take([("DELETE,ISDIR", "h")])
            call("SET", "t", "string")
            top.take([("CREATE", "t"), *written("t")])
            call("DEL", "t")
            top.take([("DELETE", "t")])
            call("RPUSH", "t", "list")
            top.take([("CREATE,ISDIR", "t")])

    def test_another_mount(self):
        with Watch(self.mount.path) as top:
            self.other.ok("echo v > k")
            top.take([("CREATE", "k"), *written("k")])
            self.other.ok("echo w >> k")
            top.take(written("k"))
            self.other.ok("rm k")
            top.take([("DELETE", "k")])
        self.assertEqual(self.mount.run("cat k").status, 1)

    def test_its_own_changes_are_told_of_once(self):
        with Watch(self.mount.path) as top:
            self.mount.ok("echo v > k")
            top.take([("CREATE", "k"), *written("k")])
            self.mount.ok("echo w >> k")
            top.take(written("k"))
            self.mount.ok("mv k l")
            self.mount.python("import os; os.setxattr('l', 'user.redis.ttl', b'100')")
            top.take([("MOVED_FROM", "k"), ("MOVED_TO", "l"), ("ATTRIB", "l")])
            self.mount.ok("rm l; mkdir h; echo v > h/f; echo w > h/f; rm h/f; rmdir h")
            top.take([("DELETE", "l"), ("CREATE,ISDIR", "h"), ("DELETE,ISDIR", "h")])

    def test_a_flood_is_told_of_in_part_and_ends(self):
        """Coalesced: not each of 3000 changes of ten keys has events, but the last has."""
        with Watch(self.mount.path, "-e", "close_write") as top:
            for i in range(300):
                for k in range(10):
                    self.cluster.call("SET", f"flood{k}", f"{i}")
            names = [f"flood{k}" for k in range(10)]
            wait_until(lambda: {name for _, name in top.lines()} >= set(names), 10, "all are told of")
            time.sleep(QUIET)
            self.assertEqual(self.mount.ok("cat flood?"), b"299" * 10)
            top.skip()
            for name in names:
                self.cluster.call("SET", name, "the last one")
            wait_until(lambda: {name for _, name in top.lines()} == set(names), 10, "the last change is told of")

    def test_a_failover(self):
        self.cluster.call("SET", "k", "one")
        self.mount.ok("cat k")
        with Watch(self.mount.path, "-e", "modify") as top:
            master = self.cluster.master_of("k")
            self.cluster.failover(self.cluster.replicas_of(master)[0])
            self.cluster.wait_ok(60)
            wait_until(self.armed, 20, "all nodes are tracked again")
            self.cluster.call("SET", "k", "after it")
            wait_until(lambda: ("MODIFY", "k") in top.lines(), 30, "it is told of")

    def test_a_program_that_waits_and_reads(self):
        """What a script does: waits for a change, and finds it in the file."""
        self.cluster.call("SET", "k", "old")
        self.mount.ok("cat k")
        for i in range(20):
            with Watch(self.mount.file("k"), "-e", "close_write") as file:
                self.cluster.call("SET", "k", f"new {i}")
                wait_until(file.lines, 5, "close_write")
                self.assertEqual(self.mount.ok("cat k"), b"new %d" % i)


class Ends(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)

    def ended(self, pid):
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 5, "the helper ends")

    def test_with_the_mount(self):
        mount = Mount(self.server.uri, options="inotify")
        pid = toucher(mount)
        mount.end()
        self.ended(pid)

    def test_with_a_killed_daemon(self):
        mount = Mount(self.server.uri, options="inotify")
        try:
            pid = toucher(mount)
            mount.daemon.kill()
            mount.daemon.wait()
            self.ended(pid)
        finally:
            mount.close()

    def test_without_the_helper_the_mount_goes_on(self):
        with Mount(self.server.uri, options="inotify") as mount:
            os.kill(toucher(mount), signal.SIGKILL)
            wait_until(lambda: "has ended" in mount.stderr(), 5, "it is said")
            self.server.call("SET", "k", "v")
            self.assertEqual(mount.ok("cat k"), b"v")
            mount.end()

    def test_a_stopped_helper_keeps_nobody(self):
        """Neither the daemon nor who unmounts; what is more than it keeps is left out, and that is said."""
        with Mount(self.server.uri, options="inotify") as mount:
            pid = toucher(mount)
            os.kill(pid, signal.SIGSTOP)
            with self.server.connect() as connection:
                for first in range(0, 5000, 1000):
                    connection.call("MSET", *[word for i in range(first, first + 1000) for word in (f"k{i}", "v")])
            self.assertEqual(mount.ok("cat k4999"), b"v")
            wait_until(lambda: "left out" in mount.stderr(), 10, "it is said")
            self.assertIsNone(re.search("left out.*left out", mount.stderr(), re.S))
            mount.end()
            self.ended(pid)
        self.server.call("FLUSHALL")

    def test_with_what_it_cannot_work(self):
        for options, why in (("inotify,cache=off", "cache=off"), ("inotify,ro", "ro"), ("inotify=1", "no value")):
            with self.assertRaisesRegex(Exception, why):
                Mount(self.server.uri, options=options)

    def test_without_it_nobody_is_told(self):
        with Mount(self.server.uri) as mount, Watch(mount.path) as top:
            self.server.call("SET", "k", "v")
            top.take([])
            self.assertEqual(run(["pgrep", "-P", str(mount.daemon.pid)]).out, b"")


unittest.main()
