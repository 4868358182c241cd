# SPDX-License-Identifier: MIT
"""Moving slots: rcluster reshard and redis-cli --cluster reshard on the same cluster and keys, a cluster of three masters."""

import subprocess
import time

from lib.measure import Failure, interleave
from lib.report import Row
from shardtest import Cluster, TempDir, clean_env, program, slot

SLOTS = 1000
CLI = "redis-cli --cluster reshard"
CLI_PIPELINE = "the same, --cluster-pipeline 100"


def run(context):
    parts = {"small": bench_small, "large": bench_large, "empty": bench_empty, "big": bench_big}
    with Cluster(masters=3, replicas=0) as cluster, TempDir("shard-bench-") as folder:
        place = Place(context, cluster, folder)
        for name, part in parts.items():
            if context.only in name:
                yield from part(place)


class Place:
    """A cluster whose first SLOTS slots go to and fro between its first two masters."""

    def __init__(self, context, cluster, folder):
        self.context = context
        self.cluster = cluster
        self.env = clean_env(folder, SHARD_URI=cluster.uri)
        self.a, self.b = cluster.servers[:2]
        self.name = {s.port: cluster.node_id(s) for s in cluster.servers}
        self.tags = tags(SLOTS)

    def fill(self, per_slot, size):
        """Values of SIZE bytes in each of the slots."""
        self.cluster.flush()
        with self.a.connect() as conn:
            for tag in self.tags:
                conn.pipeline([("SET", f"k{{{tag}}}{i}", "x" * size) for i in range(per_slot)])

    def side(self, argv):
        """Moves the slots there, timed, and brings them back; what MIGRATE took of it and what the rest."""

        def move():
            self.migrate_seconds()
            keys = [s.call("DBSIZE") for s in (self.a, self.b)]
            start = time.monotonic()
            self.do(argv(self.a, self.b))
            wall = time.monotonic() - start
            migrate = self.migrate_seconds()
            if self.b.call("DBSIZE") != sum(keys) or self.a.call("DBSIZE"):
                raise Failure(f"{argv(self.a, self.b)[0]}: not all keys were moved")
            self.do(ours(self)(self.b, self.a))
            return {"wall": wall, "outside": wall - migrate}

        return move

    def do(self, command):
        done = subprocess.run(command, capture_output=True, env=self.env, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise Failure(f"{' '.join(command)}: {done.stdout[-500:]!r} {done.stderr!r}")

    def migrate_seconds(self):
        """What MIGRATE took since this was last asked."""
        total = 0
        for server in (self.a, self.b):
            stats = server.info("commandstats").get("cmdstat_migrate", "")
            total += sum(int(field[5:]) for field in stats.split(",") if field.startswith("usec="))
            server.call("CONFIG", "RESETSTAT")
        return total / 1e6


def tags(count):
    """A hash tag for each of the slots 0..count-1."""
    found, i = {}, 0
    while len(found) < count:
        number = slot(str(i))
        if number < count:
            found.setdefault(number, str(i))
        i += 1
    return [found[n] for n in range(count)]


def ours(place):
    return lambda source, target: [program("rcluster"), "reshard", source.addr, "--from", place.name[source.port], "--to",
                                   place.name[target.port], "--slots", str(SLOTS), "--yes"]


def theirs(place, *more):
    return lambda source, target: ["redis-cli", "--cluster", "reshard", source.addr, "--cluster-from",
                                   place.name[source.port], "--cluster-to", place.name[target.port], "--cluster-slots",
                                   str(SLOTS), "--cluster-yes", *more]


def rows(place, what, sides, goals):
    """GOALS: peer -> how many times as quick; and of the time outside MIGRATE, a quarter of the first peer's."""
    results = interleave(place.context, sides)
    first = next(iter(goals))
    for peer, goal in goals.items():
        yield Row(what, "s", results.median("rcluster", "wall"), peer, results.median(peer, "wall"), "speed-up", goal)
    yield Row(f"{what}: time outside MIGRATE", "s", results.median("rcluster", "outside"), first,
              results.median(first, "outside"), "ratio", 0.25)
    yield Row(f"{what}: CPU with servers'", "s", results.median("rcluster", "all"), first, results.median(first, "all"))


def bench_small(place):
    place.fill(place.context.scaled(100), 10)
    sides = {"rcluster": place.side(ours(place)), CLI: place.side(theirs(place)),
             CLI_PIPELINE: place.side(theirs(place, "--cluster-pipeline", "100"))}
    yield from rows(place, "1000 slots with 100,000 small keys", sides, {CLI: 2.3, CLI_PIPELINE: 1.7})


def bench_large(place):
    place.fill(10, place.context.scaled(10000))
    sides = {"rcluster": place.side(ours(place)), CLI: place.side(theirs(place))}
    yield from rows(place, "1000 slots with 10,000 values of 10 KB", sides, {CLI: 1.9})


def bench_empty(place):
    place.cluster.flush()
    sides = {"rcluster": place.side(ours(place)), CLI: place.side(theirs(place))}
    yield from rows(place, "1000 slots without keys", sides, {CLI: 3})


def bench_big(place):
    """A slot with a hash of 64 MB among small keys: how long the longest MIGRATE of the others takes."""
    place.cluster.flush()
    fields = place.context.scaled(600000)
    tag = place.tags[0]
    with place.a.connect() as conn:
        conn.pipeline([("SET", f"k{{{tag}}}{i}", "x" * 10) for i in range(20000)])
        for i in range(0, fields, 1000):
            conn.call("HSET", f"{{{tag}}}big", *(w for f in range(i, i + 1000) for w in (f"field{f}", "x" * 80)))
    longest = []
    for _ in range(place.context.rounds):
        place.a.call("CONFIG", "SET", "slowlog-log-slower-than", 1000, "slowlog-max-len", 100000)
        place.a.call("SLOWLOG", "RESET")
        plan = f"0 {place.a.addr} {place.b.addr}\n"
        subprocess.run([program("rcluster"), "reshard", "--plan", "-", "--yes"], input=plan.encode(), env=place.env,
                       capture_output=True, check=True)
        moves = [(e[2] / 1e6, e[3][e[3].index(b"KEYS") + 1 :]) for e in place.a.call("SLOWLOG", "GET", 100000)
                 if e[3][0] == b"MIGRATE"]
        big = [t for t, keys in moves if any(k.endswith(b"big") for k in keys)]
        if [len(keys) for _, keys in moves if any(k.endswith(b"big") for k in keys)] != [1]:
            raise Failure("the big key was not moved by itself")
        longest.append((max([t for t, keys in moves if not any(k.endswith(b"big") for k in keys)] or [0.001]), big[0]))
        back = f"0 {place.b.addr} {place.a.addr}\n"
        subprocess.run([program("rcluster"), "reshard", "--plan", "-", "--yes"], input=back.encode(), env=place.env,
                       capture_output=True, check=True)
    longest.sort()
    small, big = longest[len(longest) // 2]
    yield Row("longest MIGRATE beside a hash of 64 MB", "ms", small, "that of the hash, by itself", big, "absolute", 20)
