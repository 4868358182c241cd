# SPDX-License-Identifier: MIT
"""Every call on a mount under every refusal of a server: the right error, and before the deadline."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
import unittest

import calls
import fslib
from shardtest import Cluster, Server, wait_until

TIMEOUT_MS = 600
GRACE = 2.0

LOOKS = {"stat", "ls", "statfs", "read", "getxattr", "open_read", "open_stat"}
CHANGES = set(calls.CALLS) - LOOKS

# Of what is cached no server is asked.
Mount = functools.partial(fslib.Mount, options="cache=off")


# ---- what servers may do, and what their clients hear of it ----


def out_of_memory(server):
    server.call("CONFIG", "SET", "maxmemory", "1")


def becomes_a_replica(server):
    server.call("REPLICAOF", "127.0.0.1", "1")


def has_lost_its_master(server):
    server.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    server.call("REPLICAOF", "127.0.0.1", "1")


def takes_away_commands(server):
    server.call("ACL", "SETUSER", "default", "-@write")


def takes_away_keys(server):
    server.call("ACL", "SETUSER", "default", "resetkeys", "~nothing*")


def wants_a_password(server):
    server.call("CONFIG", "SET", "requirepass", "another")
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def cannot_save(server):
    os.mkdir(os.path.join(server.dir, "dump.rdb"))
    server.call("CONFIG", "SET", "save", "900 1")
    server.call("BGSAVE")
    wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err")


def is_busy(server):
    server.call("CONFIG", "SET", "lua-time-limit", "10")
    with server.connect() as conn:
        conn.send("EVAL", "while true do end", "0")
    time.sleep(0.1)


def is_loading(server):
    with server.connect() as conn:
        conn.pipeline(("SET", f"more{i}", "v") for i in range(2000))
    server.call("CONFIG", "SET", "save", "900 1")
    server.call("SAVE")
    with open(os.path.join(server.dir, "redis.conf"), "a", encoding="utf-8") as conf:
        conf.write("key-load-delay 30000\nloading-process-events-interval-bytes 1024\n")
    server.stop()
    server.start(wait=False)
    time.sleep(0.2)


def is_flushed(server):
    server.call("FLUSHALL")


def has_lists(server):
    server.call("FLUSHALL")
    for key in calls.keys():
        server.call("RPUSH", key, "v")


def every(names, error):
    return {name: {error} for name in names}


# Without a word about a call, it works.
SERVERS = {
    # RENAME takes no memory, and one server needs nothing else; nor does what is removed.
    out_of_memory: every(CHANGES - {"unlink", "rename", "move", "setxattr"}, "ENOSPC"),
    becomes_a_replica: every(CHANGES, "EROFS"),
    # A replica refuses writes before it thinks of its master.
    has_lost_its_master: {name: {"ETIMEDOUT"} if name in LOOKS else {"ETIMEDOUT", "EROFS"} for name in calls.CALLS}
    | {"statfs": {"ok", "ETIMEDOUT"}},
    takes_away_commands: every(CHANGES, "EACCES"),
    takes_away_keys: every(set(calls.CALLS) - {"ls", "statfs"}, "EACCES"),
    wants_a_password: every(calls.CALLS, "EACCES"),
    cannot_save: every(CHANGES, "EIO"),
    is_busy: every(calls.CALLS, "ETIMEDOUT"),
    is_loading: every(calls.CALLS, "ETIMEDOUT") | {"statfs": {"ok", "ETIMEDOUT"}},
    # Later calls need not wait: that nobody answers is known.
    Server.pause: every(calls.CALLS, "ETIMEDOUT") | {"statfs": {"ETIMEDOUT", "EHOSTUNREACH"}},
    Server.kill: every(calls.CALLS, "EHOSTUNREACH"),
    is_flushed: every(
        ("stat", "read", "empty", "in_place", "shorten", "lengthen", "truncate", "unlink", "rename", "move"), "ENOENT"
    )
    | every(("getxattr", "setxattr"), "ENOENT")
    | every(("open_read", "open_in_place", "open_shorten"), "ESTALE")
    # What was loaded is still shown. What is appended may begin a new file, what was truncated is written anew.
    | {"open_stat": {"ok", "ESTALE"}, "open_append": {"ok", "ESTALE"}},
    # They are directories.
    has_lists: every(
        ("read", "overwrite", "empty", "append", "in_place", "truncate", "shorten", "lengthen", "unlink"), "EISDIR"
    )
    | {"open_stat": {"ok", "ESTALE"}}
    | every(("open_read", "open_append", "open_in_place", "open_shorten"), "ESTALE"),
}


def another_master_dies(cluster):
    for server in cluster.servers:
        if server is not cluster.master_of("{t}"):
            server.kill()
            break
    wait_until(lambda: b"cluster_state:fail" in cluster.master_of("{t}").call("CLUSTER", "INFO"), 30)


def a_slot_is_half_moved(cluster):
    target = next(server for server in cluster.servers if server is not cluster.master_of("{t}"))
    cluster.open_slot(cluster.slot("{t}"), target)


CLUSTERS = {
    another_master_dies: every(calls.CALLS, "EHOSTUNREACH") | {"statfs": {"ok", "EHOSTUNREACH"}},
    # TRYAGAIN: one of the two keys is not there.
    a_slot_is_half_moved: every(("rename",), "ETIMEDOUT"),
}

RESULTS = {}


class Case:
    """A server or cluster with a mount, in which calls.py waits."""

    def __init__(self, stack, servers):
        self.servers = stack.enter_context(servers)
        for key, value in calls.keys().items():
            self.servers.call("SET", key, value)
        mount = stack.enter_context(Mount(self.servers.uri, timeout=TIMEOUT_MS))
        self.process = subprocess.Popen(
            [sys.executable, calls.__file__], cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        stack.callback(self.end)
        self.process.stdout.readline()

    def go(self):
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()

    def results(self):
        return json.loads(self.process.communicate(timeout=90)[0])

    def end(self):
        self.process.kill()
        self.process.communicate()


def setUpModule():
    with contextlib.ExitStack() as stack:
        cases = {happen: Case(stack, Cluster(masters=3, replicas=0)) for happen in CLUSTERS}
        cases |= {happen: Case(stack, Server()) for happen in SERVERS}
        for happen, case in cases.items():
            happen(case.servers)
        # Mostly they wait; so all at once.
        for case in cases.values():
            case.go()
        for happen, case in cases.items():
            RESULTS[happen] = case.results()


class Calls(unittest.TestCase):
    def check(self, happen, names):
        for name in sorted(names):
            expected = (SERVERS.get(happen) or CLUSTERS[happen]).get(name, {"ok"})
            result, seconds = RESULTS[happen][name]
            with self.subTest(happen.__name__, call=name):
                self.assertIn(result, expected)
                # A listing that works is many requests, each with its deadline.
                self.assertLess(seconds, TIMEOUT_MS / 1000 + (5 * GRACE if (name, result) == ("ls", "ok") else GRACE))


def add(happen):
    def test(self):
        self.check(happen, calls.CALLS)

    setattr(Calls, f"test_{happen.__name__}", test)


for function in (*SERVERS, *CLUSTERS):
    add(function)


if __name__ == "__main__":
    unittest.main()
