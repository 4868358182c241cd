# SPDX-License-Identifier: MIT
"""-o threads=2 beside one thread: eight programs on all CPUs, unlike all else here, for on one there is nothing to gain."""

import contextlib
import os
import statistics

from fs import mounts
from lib.report import Row

CLIENTS = 8
THREADS = 2
CACHED = ("stat", "read")


@contextlib.contextmanager
def on_all_cpus():
    """For this process and those that it starts meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count()))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def measure(context, sides, rounds):
    """Medians of SIDES, taken in turns, after a round that does not count."""
    results = {}
    for number in range(rounds + 1):
        for side, function in sides.items():
            context.progress(f"threads, round {number}: {side}")
            for metric, value in function().items():
                results.setdefault((side, metric), []).append(value)
    context.progress("")
    return {key: statistics.median(values[1:]) for key, values in results.items()}


def rows(context, cluster, operations, which, shown, *options):
    count = context.scaled(8000) // CLIENTS
    more = "".join(f", {option}" for option in options)
    words = {n: ("-o", ",".join([f"threads={n}", *options])) for n in (1, THREADS)}
    with mounts.shardfs(cluster, *words[1]) as one, mounts.shardfs(cluster, *words[THREADS]) as several:
        sides = {
            1: lambda: operations(cluster, one, CLIENTS, count, which),
            THREADS: lambda: operations(cluster, several, CLIENTS, count, which),
        }
        got = measure(context, sides, 2 * context.rounds)
    for name in which:
        for metric, what in ((name, ""), (f"{name} cpu", ", CPU of the daemon")):
            yield Row(
                f"{shown[name]}, {CLIENTS} clients, threads={THREADS}, {os.cpu_count()} CPUs{more}{what}",
                "us", got[THREADS, metric], "threads=1", got[1, metric],
            )


def bench_threads(context, cluster, operations, which, shown):
    with on_all_cpus():
        yield from rows(context, cluster, operations, CACHED, shown)
        yield from rows(context, cluster, operations, which, shown, "cache=off")
