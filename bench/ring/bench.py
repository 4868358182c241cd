# SPDX-License-Identifier: MIT
"""Rings: the server of a random hash and of a key, and making a ring, against twemproxy's way."""

from lib.measure import Partner, interleave
from lib.report import Row
from shardtest import program

SEARCH, BUILD = "twemproxy's binary search", "an MD5 a point, and qsort"
WORKS = (  # what, its name in bench-ring, servers, unit, times of ours and theirs, peer, the goal
    ("look-up of a random hash, 10 servers", "hash", 10, "ns", 8_000_000, 1_000_000, SEARCH, 0.13),
    ("look-up of a random hash, 100 servers", "hash", 100, "ns", 8_000_000, 1_000_000, SEARCH, 0.10),
    ("look-up of a random hash, 1000 servers", "hash", 1000, "ns", 5_000_000, 500_000, SEARCH, 0.10),
    ("look-up of a random hash, 10 servers, calls overlap", "apart", 10, "ns", 8_000_000, 1_000_000, SEARCH, None),
    ("look-up of a random hash, 100 servers, calls overlap", "apart", 100, "ns", 8_000_000, 1_000_000, SEARCH, None),
    ("look-up of a random hash, 1000 servers, calls overlap", "apart", 1000, "ns", 5_000_000, 500_000, SEARCH, None),
    ("fnv1a_64 of 16 bytes and look-up, 100 servers", "key", 100, "ns", 3_000_000, 1_000_000, SEARCH, 0.3),
    ("making a ring of 1000 servers", "build", 1000, "ms", 20, 5, BUILD, 0.4),
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
    return Row(what, unit, got.median("shard", "cpu"), peer, got.median("twemproxy", "cpu"), *goal)
