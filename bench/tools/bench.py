# SPDX-License-Identifier: MIT
"""The tools as a user runs them, whole processes on a cluster of three masters that shares their CPU."""

import os
import subprocess

from lib.measure import Failure, interleave, run_together
from lib.report import Row
from shardtest import Cluster, TempDir, clean_env, program
from tools import records

CLI = "redis-cli -c, commands on stdin"
PIPES = "three redis-cli --pipe, split beforehand"
SCAN = "redis-cli --scan, node after node"
ONCE = {
    "cli": "redis-cli -c get",
    "minimal": "a minimal C program",
    "static": "the same, linked statically",
    "empty": "an empty program",
}


def run(context):
    parts = {"rset": bench_rset, "rget": bench_rget, "once": bench_once, "rkeys": bench_rkeys}
    with Cluster(masters=3, replicas=0) as cluster, TempDir("shard-bench-") as folder:
        place = Place(context, cluster, folder)
        for name, part in parts.items():
            if context.only in name:
                yield from part(place)


class Place:
    """A cluster, a folder and an environment for the tools."""

    def __init__(self, context, cluster, folder):
        self.context = context
        self.cluster = cluster
        self.folder = folder
        self.owners = records.Owners(cluster)
        runtime = os.path.join(folder, "runtime")
        os.mkdir(runtime, 0o700)
        self.env = clean_env(runtime, SHARD_URI=cluster.uri)
        self.count = context.scaled(100000)
        self._files = None

    @property
    def files(self):
        if not self._files:
            self._files = records.Files(self.folder, self.owners, self.count)
        return self._files

    @property
    def port(self):
        return str(self.cluster.servers[0].port)

    def side(self, *commands):
        return lambda: run_together(commands, self.env)

    def pipes(self, files):
        servers = self.owners.servers
        return self.side(*((["redis-cli", "--pipe", "-p", str(s.port)], f) for s, f in zip(servers, files)))

    def keys_there(self):
        return sum(server.call("DBSIZE") for server in self.owners.servers)

    def output(self, argv, path=None):
        with open(path or os.devnull, "rb") as source:
            done = subprocess.run(argv, stdin=source, capture_output=True, env=self.env, check=False)
        if done.returncode:
            raise Failure(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.decode().strip()}")
        return done.stdout


def against_cli_and_pipes(place, what, sides, limit):
    got = interleave(place.context, sides)
    ours = got.median("shard", "wall")
    yield Row(what, "s", ours, CLI, got.median("cli", "wall"), "speed-up", limit)
    yield Row(what, "s", ours, PIPES, got.median("pipes", "wall"), "ratio", 1.0)
    yield Row(f"{what}, CPU with servers'", "s", got.median("shard", "all"), PIPES, got.median("pipes", "all"))


def bench_rset(place):
    files = place.files
    place.cluster.flush()
    place.output([program("rset"), "-"], files.records)
    if place.keys_there() != place.count:
        raise Failure(f"rset -: {place.keys_there()} keys of {place.count} are there")
    sides = {
        "shard": place.side(([program("rset"), "-"], files.records)),
        "pipes": place.pipes(files.set_pipes),
        "cli": place.side((["redis-cli", "-c", "-p", place.port], files.set_lines)),
    }
    yield from against_cli_and_pipes(place, f"rset -, {place.count} records", sides, 45)


def bench_rget(place):
    files = place.files
    place.pipes(files.set_pipes)()
    with open(files.records, "rb") as wanted:
        if place.output([program("rget"), "-"], files.keys) != wanted.read():
            raise Failure("rget -: what it prints is not what was set")
    sides = {
        "shard": place.side(([program("rget"), "-"], files.keys)),
        "pipes": place.pipes(files.get_pipes),
        "cli": place.side((["redis-cli", "-c", "-p", place.port], files.get_lines)),
    }
    yield from against_cli_and_pipes(place, f"rget -, {place.count} keys", sides, 65)


def bench_once(place):
    """One key on the node that every side asks first: nobody is redirected, the map is not fetched."""
    key = next(k for k in records.names(1000) if place.owners.servers[place.owners.of(k)].port == int(place.port))
    key = key.decode()
    place.cluster.call("SET", key, "bar")
    times = str(place.context.scaled(400))
    commands = {
        "shard": [program("rget"), key],
        "minimal": [program("bench-minimal"), "127.0.0.1", place.port, key],
        "static": [program("bench-minimal-static"), "127.0.0.1", place.port, key],
        "empty": [program("bench-empty")],
        "cli": ["redis-cli", "-c", "-p", place.port, "get", key],
    }
    if place.output(commands["shard"]) != b"bar" or place.output(commands["minimal"]) != b"bar":
        raise Failure("one rget: not the value that was set")

    def side(argv):
        def once():
            done, cpu, wall = map(int, place.output([program("bench-spawn"), times, *argv]).split())
            return {"cpu": cpu / done / 1e9, "wall": wall / done / 1e9}

        return once

    got = interleave(place.context, {name: side(argv) for name, argv in commands.items()})
    ours = got.median("shard", "wall")
    for name in ("minimal", "static", "empty", "cli"):
        goal = ("ratio", 1.2) if name == "minimal" else ()
        yield Row("one rget, whole process", "ms", ours, ONCE[name], got.median(name, "wall"), *goal)
    ours = got.median("shard", "cpu")
    yield Row("one rget, whole process, CPU", "ms", ours, ONCE["minimal"], got.median("minimal", "cpu"))


def bench_rkeys(place):
    count = place.context.scaled(1000000)
    place.context.progress(f"filling with {count} keys")
    place.cluster.flush()
    records.fill(place.owners, records.names(count))
    printed = place.output([program("rkeys")])
    if printed.count(b"\n") != count or len(set(printed.split(b"\n"))) != count + 1:
        raise Failure(f"rkeys: {printed.count(bytes([10]))} lines, not each of the {count} keys once")
    nodes = " && ".join(f"redis-cli --scan -p {server.port}" for server in place.owners.servers)
    sides = {
        "shard": place.side(([program("rkeys")], None)),
        "scan": place.side((["sh", "-c", nodes], None)),
    }
    got = interleave(place.context, sides)
    what = f"rkeys, {count} keys"
    yield Row(what, "s", got.median("shard", "wall"), SCAN, got.median("scan", "wall"), "speed-up", 2.7)
    yield Row(f"{what}, CPU with servers'", "s", got.median("shard", "all"), SCAN, got.median("scan", "all"))
