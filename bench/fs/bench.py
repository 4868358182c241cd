# SPDX-License-Identifier: MIT
"""shardfs on a cluster of three masters: everything, servers and clients too, shares one CPU."""

import contextlib
import itertools
import os
import subprocess
import time

from fs import mounts
from lib.measure import Failure, interleave
from lib.report import Row
from shardtest import Cluster, TempDir, program
from tools import records

OPERATIONS = ("stat", "read", "create", "unlink")
UNCACHED = ("-o", "cache=off")
SHOWN = {"stat": "stat", "read": "open+read+close", "create": "create+write+close", "unlink": "unlink"}
VALUE = b"v" * 100
LARGE = 100 << 20
SCAN = "redis-cli --scan, node after node"


def run(context):
    parts = {"ops": bench_operations, "hot": bench_hot, "cold": bench_cold, "see": bench_see, "cp": bench_copies,
             "ls": bench_listings, "again": bench_again, "memory": bench_memory}
    with Cluster(masters=3, replicas=0) as cluster:
        for name, part in parts.items():
            if context.only in name:
                yield from part(context, cluster)


# ---- operations ----


def fill(cluster, clients, count):
    owners = records.Owners(cluster)
    waiting = [[] for _ in owners.servers]
    for client in range(clients):
        for i in range(count):
            key = b"old%d-%d" % (client, i)
            waiting[owners.of(key)].append((b"SET", key, VALUE))
    for server, commands in zip(owners.servers, waiting):
        with server.connect(timeout=60) as connection:
            connection.pipeline(commands)


def operations(cluster, mount, clients, count, which=OPERATIONS):
    """Seconds an operation takes, the daemon's CPU and that of all: {"stat": ..., "stat cpu": ..., "stat all": ...}."""
    pids = ",".join(str(pid) for pid in (mount.pid, *(server.pid for server in cluster.servers)))
    argv = [program("bench-fs-client"), mount.path, pids, str(clients), str(count), *which]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise Failure(f"{' '.join(argv)}: {done.stderr.strip()}")
    figures = {}
    for line in done.stdout.splitlines():
        name, *shares = line.split()
        for metric, share in zip((name, f"{name} cpu", f"{name} all"), shares):
            figures[metric] = int(share) / 1e9
    return figures


def quicker(context, cluster, prototypes, clients):
    """Which of PROTOTYPES needs less time for all operations together."""
    count = context.scaled(2000) // clients
    sides = {name: lambda m=mount: operations(cluster, m, clients, count) for name, mount in prototypes.items()}
    got = interleave(context, sides, 3)
    return min(prototypes, key=lambda name: sum(got.median(name, f"{op} all") for op in OPERATIONS))


def bench_operations(context, cluster):
    fill(cluster, 8, context.scaled(4000))
    ours = mounts.shardfs(cluster, *UNCACHED)
    with ours, mounts.prototype(cluster) as one, mounts.prototype(cluster, 8) as many:
        prototypes = {"blocking prototype, one thread": one, "blocking prototype, eight threads": many}
        for clients in (1, 8):
            name = quicker(context, cluster, prototypes, clients)
            each = context.scaled(2000) // clients
            sides = {
                "shard": lambda: operations(cluster, ours, clients, each),
                "peer": lambda: operations(cluster, prototypes[name], clients, each),
            }
            yield from operation_rows(interleave(context, sides, 2 * context.rounds), clients, name)


def operation_rows(got, clients, peer):
    goal = ("speed-up", 1.0 if clients == 1 else 1.3)
    for name in OPERATIONS:
        what = f"{SHOWN[name]}, {clients} client{'s' * (clients > 1)}"
        for metric, more, kind in ((" all", ", CPU of all", goal), ("", "", ()), (" cpu", ", CPU of the daemon", ())):
            ours, theirs = (got.median(side, name + metric) for side in ("shard", "peer"))
            yield Row(what + more, "us", ours, peer, theirs, *kind)


EXAMPLE = "libfuse's passthrough_ll, cache=always"


def fill_folder(folder, count, prefix="old0-", value=VALUE):
    for i in range(count):
        with open(os.path.join(folder, f"{prefix}{i}"), "wb") as file:
            file.write(value)


def bench_hot(context, cluster):
    """What was looked at before, with caching and without, and the same on a cached example of libfuse."""
    count = context.scaled(2000)
    fill(cluster, 1, count)
    cluster.call("SET", "page", b"p" * 4096)
    with TempDir("shard-bench-") as source:
        fill_folder(source, count)
        with open(os.path.join(source, "page"), "wb") as file:
            file.write(b"p" * 4096)
        mounted = {
            "cached": mounts.shardfs(cluster),
            "pages": mounts.shardfs(cluster, "-o", "cache=pages"),
            "asking": mounts.shardfs(cluster, *UNCACHED),
            "example": mounts.Example(source, "always"),
        }
        with contextlib.ExitStack() as stack:
            for mount in mounted.values():
                stack.enter_context(mount)
            # A READ makes the kernel doubt the time of access: the first stat() after it asks.
            sides = {
                name: lambda m=mount: {
                    **operations(cluster, m, 1, count, ("read", "pread", "stat")),
                    **operations(cluster, m, 1, 10 * count, ("pread",)),
                    **operations(cluster, m, 1, count, ("stat",)),
                }
                for name, mount in mounted.items()
            }
            got = interleave(context, sides, 2 * context.rounds)
    yield from hot_rows(got)


def hot_rows(got):
    shown = {"stat": "stat", "read": "open+read+close", "pread": "pread of 4 KiB"}
    near = ("speed-up", 0.9)
    for name, side, peer, peer_name, goal in (
        ("stat", "cached", "example", EXAMPLE, near),
        ("pread", "pages", "example", EXAMPLE, near),
        ("pread", "cached", "example", EXAMPLE, ()),
        ("read", "cached", "example", EXAMPLE, near),
        ("read", "pages", "example", EXAMPLE, ()),
        ("stat", "cached", "asking", "-o cache=off", ()),
        ("read", "cached", "asking", "-o cache=off", ("speed-up", 3.0)),
        ("read", "pages", "asking", "-o cache=off", ()),
    ):
        what = f"{shown[name]}, looked at before{', cache=pages' * (side == 'pages')}, CPU of all"
        yield Row(what, "us", got.median(side, f"{name} all"), peer_name, got.median(peer, f"{name} all"), *goal)


# ---- what was never looked at ----


def get_all(cluster, key, count):
    server = cluster.master_of(key)
    argv = [program("bench-fs-see"), "127.0.0.1", str(server.port), key, "-", str(count)]
    cpu = cpu_of([server.pid])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip())
    wall, own = (int(word) / 1e9 for word in done.stdout.split())
    return {"wall": wall, "cpu": cpu_of([server.pid]) - cpu + own}


def bench_cold(context, cluster):
    """Each run has names of its own. All keys are on one node."""
    count, turns = context.scaled(1000), itertools.count()
    server = cluster.master_of("{cold}")
    with TempDir("shard-bench-") as source:

        def cat(key):
            return ["cat", *(f"{key}{i}" for i in range(count))]

        def ours():
            key = f"{{cold}}{next(turns)}-"
            with server.connect(timeout=60) as connection:
                connection.pipeline([("SET", f"{key}{i}", VALUE) for i in range(count)])
            return run_in(cat(key), mount.path, [mount.pid, *(s.pid for s in cluster.servers)])

        def both():
            key = f"{{cold}}{next(turns)}-"
            fill_folder(source, count, key)
            with server.connect(timeout=60) as connection:
                connection.pipeline([("SET", f"{key}{i}", VALUE) for i in range(count)])
            one = run_in(cat(key), example.path, [example.pid])
            other = get_all(cluster, key, count)
            return {metric: one[metric] + other[metric] for metric in one}

        with mounts.shardfs(cluster) as mount, mounts.Example(source, "never") as example:
            got = interleave(context, {"ours": ours, "both": both})
    for metric, more, kind in (("cpu", ", CPU of all", ("ratio", 1.3)), ("wall", "", ())):
        yield Row(f"cat of {count} cold keys{more}", "ms", got.median("ours", metric),
                  f"passthrough_ll, cache=never, and {count} GETs by hiredis", got.median("both", metric), *kind)
    cluster.flush()


# ---- how soon a change is seen ----


def bench_see(context, cluster):
    server = cluster.master_of("seen")
    with mounts.shardfs(cluster) as mount:

        def see():
            argv = [program("bench-fs-see"), "127.0.0.1", str(server.port), "seen", os.path.join(mount.path, "seen"),
                    str(context.scaled(2000))]
            done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                raise Failure(done.stderr.strip())
            return dict(zip(("p50", "p99", "get"), (int(word) / 1e9 for word in done.stdout.split())))

        got = interleave(context, {"see": see})
    for metric, kind in (("p50", ("ratio", 5.0)), ("p99", ())):
        yield Row(f"a change is seen by another, {metric}", "us", got.median("see", metric), "one GET by hiredis, p50",
                  got.median("see", "get"), *kind)


# ---- copies ----


def cpu_of(pids):
    """Seconds of CPU that these processes have used, all their threads."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # clock_getcpuclockid()


def copy(cluster, mount, source, target):
    pids = [mount.pid, *(server.pid for server in cluster.servers)]
    start, cpu = time.monotonic(), cpu_of(pids)
    child = subprocess.Popen(["cp", source, target])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise Failure(f"cp {source} {target}: ended with status {child.returncode}")
    wall = time.monotonic() - start
    return {"wall": wall, "cpu": cpu_of(pids) - cpu + usage.ru_utime + usage.ru_stime}


def command(cluster, what, key, size):
    server = cluster.master_of(key)
    argv = [program("bench-fs-value"), "127.0.0.1", str(server.port), what, key, str(size)]
    cpu = cpu_of([server.pid])
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip())
    wall, own = (int(word) / 1e9 for word in done.stdout.split())
    return {"wall": wall, "cpu": cpu_of([server.pid]) - cpu + own}


def bench_copies(context, cluster):
    size = context.scaled(LARGE)
    with TempDir("shard-bench-") as folder, mounts.shardfs(cluster, *UNCACHED) as ours:
        source = os.path.join(folder, "source")
        with open(source, "wb") as file:
            file.write(b"v" * size)
        inside = os.path.join(ours.path, "large")
        sides = {
            "in": lambda: copy(cluster, ours, source, inside),
            "out": lambda: copy(cluster, ours, inside, "/dev/null"),
            "set": lambda: command(cluster, "set", "large", size),
            "get": lambda: command(cluster, "get", "large", size),
        }
        got = interleave(context, sides)
        for side, peer in (("in", "set"), ("out", "get")):
            what = f"cp of {size >> 20} MB {side}"
            peer_name = f"one {peer.upper()} by hiredis"
            for metric, more, kind in (("cpu", ", CPU of all", ("ratio", 3.0)), ("wall", "", ())):
                yield Row(what + more, "ms", got.median(side, metric), peer_name, got.median(peer, metric), *kind)
    cluster.flush()


# ---- listings ----


def timed(argv, cwd=None):
    start = time.monotonic()
    subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, timeout=300, check=True)
    return {"wall": time.monotonic() - start}


def bench_listings(context, cluster):
    count = context.scaled(100000)
    cluster.flush()
    owners = records.Owners(cluster)
    records.fill(owners, records.names(count))
    nodes = " && ".join(f"redis-cli --scan -p {server.port}" for server in owners.servers)
    with mounts.shardfs(cluster, *UNCACHED) as ours:
        listed = subprocess.run(["ls", "-f"], cwd=ours.path, capture_output=True, timeout=300, check=True)
        if len(set(listed.stdout.split())) != count + 2:
            raise Failure(f"ls -f: {len(set(listed.stdout.split())) - 2} keys, not {count}")
        sides = {
            "ls -f": lambda: timed(["ls", "-f"], ours.path),
            "ls -l": lambda: timed(["ls", "-l"], ours.path),
            "scan": lambda: timed(["sh", "-c", nodes]),
        }
        got = interleave(context, sides)
        for name, limit in (("ls -f", 1.5), ("ls -l", 3.0)):
            what = f"{name} of {count} keys"
            for metric, more, kind in (("all", ", CPU of all", ("ratio", limit)), ("wall", "", ())):
                yield Row(what + more, "ms", got.median(name, metric), SCAN, got.median("scan", metric), *kind)
    cluster.flush()


def run_in(argv, folder, pids):
    """The CPU of the program and of those processes."""
    start, cpu = time.monotonic(), cpu_of(pids)
    child = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise Failure(f"{' '.join(argv)} in {folder}: ended with status {child.returncode}")
    wall = time.monotonic() - start
    return {"wall": wall, "cpu": cpu_of(pids) - cpu + usage.ru_utime + usage.ru_stime}


def listed_again(folder, pids):
    run_in(["ls", "-l"], folder, pids)
    return run_in(["ls", "-l"], folder, pids)


def bench_again(context, cluster):
    """The second `ls -l`; the first one is made just before. libfuse's example takes a descriptor for each file."""
    count = context.scaled(100000)
    fewer = min(count, mounts.Example.most_files())
    owners = records.Owners(cluster)
    with TempDir("shard-bench-") as source, TempDir("shard-bench-") as local, contextlib.ExitStack() as stack:
        fill_folder(source, fewer, "key:", b"v")
        fill_folder(local, count, "key:", b"v")
        example = stack.enter_context(mounts.Example(source, "always"))
        rows = []
        for number, name, folder, pid, goal in (
            (fewer, EXAMPLE, example.path, example.pid, ("ratio", 1.2)),
            (count, "a local directory", local, None, ()),
        ):
            records.fill(owners, records.names(number))
            with mounts.shardfs(cluster) as ours:
                got = interleave(context, {
                    "ours": lambda m=ours: listed_again(m.path, [m.pid]),
                    "peer": lambda f=folder, p=pid: listed_again(f, [p] if p else []),
                })
            for metric, more, kind in (("cpu", ", CPU of all", goal), ("wall", "", ())):
                rows.append(Row(f"ls -l of {number} keys, second time{more}", "ms", got.median("ours", metric), name,
                                got.median("peer", metric), *kind))
            cluster.flush()
    yield from rows


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS")) / 1024


def bench_memory(context, cluster):
    count = context.scaled(1000000)
    owners = records.Owners(cluster)
    records.fill(owners, records.names(count))
    with mounts.shardfs(cluster) as ours:
        most = 0
        for argv in (["ls", "-f"], ["find", "."], ["ls", "-l"]):
            context.progress(f"{' '.join(argv)} of {count} keys")
            run_in(argv, ours.path, [ours.pid])
            most = max(most, resident(ours.pid))
            what = f"resident after {' '.join(argv)} of {count} keys"
            yield Row(what, "MB", most, "what is allowed", 64.0, "absolute", 64.0)
    cluster.flush()
