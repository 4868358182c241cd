# SPDX-License-Identifier: MIT
"""Rings: the server of a random hash and of a key, and making a ring, against twemproxy's way."""

from lib.measure import Partner, interleave
from lib.report import Row
from shardtest import program

SEARCH, BUILD = "twemproxy's binary search", "an MD5 a point, and qsort"
HASH, KEY, MAKE = "look-up of a random hash, {} servers", "fnv1a_64 of 16 bytes and look-up, {} servers", "making a ring of {} servers"
WORKS = (  # what, its name in bench-ring, servers, unit, times of ours and theirs, peer, the goal
    (HASH, "hash", 10, "ns", 8_000_000, 1_000_000, SEARCH, 0.13),
    (HASH, "hash", 100, "ns", 8_000_000, 1_000_000, SEARCH, 0.10),
    (HASH, "hash", 1000, "ns", 8_000_000, 1_000_000, SEARCH, 0.10),
    (KEY, "key", 100, "ns", 4_000_000, 1_000_000, SEARCH, 0.3),
    (MAKE, "build", 1000, "ms", 20, 5, BUILD, 0.4),
    (HASH, "hash-chained", 10, "ns", 8_000_000, 1_000_000, SEARCH, None),
    (HASH, "hash-chained", 100, "ns", 8_000_000, 1_000_000, SEARCH, None),
    (HASH, "hash-chained", 1000, "ns", 8_000_000, 1_000_000, SEARCH, None),
    (KEY, "key-chained", 100, "ns", 4_000_000, 1_000_000, SEARCH, None),
)


def run(context):
    with Partner(program("bench-ring")) as partner:
        for work in WORKS:
            yield measure(context, partner, *work)


def measure(context, partner, what, name, servers, unit, ours, theirs, peer, limit):
    def side(who, times):
        times = max(context.scaled(times), 1)

        def once():
            count, cpu = partner.ask(f"{who} {name} {servers} {times}")
            return {"cpu": cpu / count / 1e9}

        return once

    got = interleave(context, {"shard": side("shard", ours), "twemproxy": side("twemproxy", theirs)})
    goal = ("ratio", limit) if limit else ()
    what = what.format(servers) + (", each waits" if name.endswith("-chained") else "")
    return Row(what, unit, got.median("shard", "cpu"), peer, got.median("twemproxy", "cpu"), *goal)
