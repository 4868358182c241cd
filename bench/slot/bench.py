# SPDX-License-Identifier: MIT
"""The slot of a key of 16, 64 and 256 bytes, against a CRC16 by a table of bytes."""

from lib.measure import Partner, interleave
from lib.report import Row
from shardtest import program

PEER = "byte-table CRC16"
GOALS = {16: 0.32, 64: 0.11, 256: 0.065}
WHAT = {"chained": "slot of {} bytes", "apart": "slot of {} bytes, calls overlap"}


def run(context):
    with Partner(program("bench-slot")) as partner:
        for mode in WHAT:
            for length, limit in GOALS.items():
                yield measure(context, partner, mode, length, limit)


def measure(context, partner, mode, length, limit):
    rounds = context.scaled(40_000_000) // (64 * (length + 16))

    def side(name, times):
        def once():
            keys, cpu = partner.ask(f"{name} {mode} {length} {times}")
            return {"cpu": cpu / keys / 1e9}

        return once

    got = interleave(context, {"shard": side("shard", 4 * rounds), "bytewise": side("bytewise", rounds)})
    goal = ("ratio", limit) if mode == "chained" else ()
    ours, theirs = got.median("shard", "cpu"), got.median("bytewise", "cpu")
    return Row(WHAT[mode].format(length), "ns", ours, PEER, theirs, *goal)
