# SPDX-License-Identifier: MIT
"""Clusters that are made, and keys that are brought into one: rcluster and redis-cli on the same servers."""

import os
import subprocess
import time

from lib.measure import Failure, interleave
from lib.report import Row
from shardtest import Cluster, Server, TempDir, clean_env, free_ports, program, release_port, wait_until

CREATE = "redis-cli --cluster create"
IMPORT = "redis-cli --cluster import, MIGRATE key by key"
START = "six redis-server until they answer"


def run(context):
    parts = {"create": bench_create, "up": bench_up, "import": bench_import}
    for name, part in parts.items():
        if context.only in name:
            yield from part(context)


def timed(argv, env):
    start = time.monotonic()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, env=env, check=False, timeout=120)
    if done.returncode:
        raise Failure(f"{' '.join(argv[:4])}: status {done.returncode}: {(done.stdout + done.stderr)[-300:]!r}")
    return time.monotonic() - start


def is_whole(servers):
    """Whether every node takes commands, and every replica is linked."""
    return all(
        b"cluster_state:ok" in s.call("CLUSTER", "INFO") and (s.call("ROLE")[0] == b"master" or s.call("ROLE")[3] == b"connected")
        for s in servers
    )


class Six:
    """Six nodes that are made a cluster, and taken apart again."""

    def __init__(self, env):
        self.env = env
        self.servers = [Server(("cluster-node-timeout 5000",), cluster=True, port=p) for p in free_ports(6)]

    def close(self):
        for server in self.servers:
            server.close()

    def make(self, *argv):
        """Seconds of the command, and until the cluster is whole."""
        for server in self.servers:
            server.call("CLUSTER", "RESET", "HARD")
        start = time.monotonic()
        wall = timed([*argv, *(s.addr for s in self.servers)], self.env)
        wait_until(lambda: is_whole(self.servers), 30, "the cluster is whole", 0.01)
        return {"wall": wall, "whole": time.monotonic() - start}


def bench_create(context):
    with TempDir("shard-bench-") as folder:
        six = Six(clean_env(folder))
        try:
            sides = {
                "shard": lambda: six.make(program("rcluster"), "create", "--yes", "--replicas", "1"),
                "cli": lambda: six.make("redis-cli", "--cluster-yes", "--cluster-replicas", "1", "--cluster", "create"),
            }
            got = interleave(context, sides, min(context.rounds, 5))
        finally:
            six.close()
    yield Row("create, 3 masters, 3 replicas, until it takes writes", "s", got.median("shard", "whole"), CREATE,
              got.median("cli", "whole"), "ratio", 1.0)  # fmt: skip
    yield Row("the command alone; redis-cli's returns before", "s", got.median("shard", "wall"), CREATE,
              got.median("cli", "wall"))  # fmt: skip


def bench_up(context):
    with TempDir("shard-bench-") as folder:
        env = clean_env(folder, HOME=folder)

        def up():
            ports = free_ports(6)
            where = os.path.join(folder, "cluster")
            argv = [program("rcluster"), "up", "--dir", where, "--port", str(ports[0])]
            try:
                return {"wall": timed(argv, env)}
            finally:
                subprocess.run([argv[0], "down", "--wipe", "--dir", where], env=env, capture_output=True, check=False)
                for port in ports:
                    release_port(port)

        def start():
            servers = []
            begin = time.monotonic()
            try:
                for port in free_ports(6):
                    server = Server(cluster=True, port=port)
                    servers.append(server)
                return {"wall": time.monotonic() - begin}
            finally:
                for server in servers:
                    server.close()

        got = interleave(context, {"shard": up, "start": start}, min(context.rounds, 5))
    ours, theirs = got.median("shard", "wall"), got.median("start", "wall")
    yield Row("rcluster up, six nodes, all whole", "s", ours, START, theirs)
    yield Row("what that takes more than their start", "s", max(ours - theirs, 0), START, theirs, "absolute", 2.0)


def bench_import(context):
    count = context.scaled(100000)
    with TempDir("shard-bench-") as folder, Cluster(masters=3, replicas=0) as cluster, Server() as source:
        env = clean_env(folder)

        def bring(*argv):
            cluster.flush()
            source.call("FLUSHALL")
            with source.connect() as conn:
                conn.pipeline(("SET", f"key:{i}", "x" * 100) for i in range(count))
            wall = timed(argv, env)
            if source.call("DBSIZE") or sum(s.call("DBSIZE") for s in cluster.servers) != count:
                raise Failure(f"{argv[0]}: not all keys were moved")
            return {"wall": wall}

        addr = cluster.servers[0].addr
        sides = {
            "shard": lambda: bring(program("rcluster"), "import", addr, "--from", source.addr),
            "cli": lambda: bring("redis-cli", "--cluster", "import", addr, "--cluster-from", source.addr),
        }
        got = interleave(context, sides, min(context.rounds, 3))
    yield Row(f"import of {count} keys", "s", got.median("shard", "wall"), IMPORT, got.median("cli", "wall"),
              "speed-up", 3.0)  # fmt: skip
