# SPDX-License-Identifier: MIT
"""GETs with 1000 in flight on a real cluster of three masters: CPU (getrusage) and instructions (callgrind) of one."""

from lib.measure import Partner, instructions, interleave
from lib.report import Row
from shardtest import Cluster, program

SIDES = {"shard": "libshard", "hiredis": "hiredis async, routed by hand", "raw": "raw sockets, no parsing"}
WHAT_CPU = "client CPU per GET, 1000 in flight"
WHAT_WALL = "wall per GET, servers on the same CPU"
WHAT_INSTRUCTIONS = "client instructions per GET, 1000 in flight"


def run(context):
    with Cluster(masters=3, replicas=0) as cluster:
        yield from counted(context, cluster.servers[0].addr)
        yield from timed(context, cluster.servers[0].addr)


def counted(context, seed):
    short, long = context.scaled(20000), context.scaled(60000)
    cost = {}
    for side in SIDES:
        context.progress(f"callgrind: {side}")
        argv = [program("bench-client"), seed]
        cost[side] = instructions(argv, (short, f"{side} {short}\n"), (long, f"{side} {long}\n"))
    context.progress("")
    ours = cost["shard"]
    yield Row(WHAT_INSTRUCTIONS, "instr", ours, SIDES["hiredis"], cost["hiredis"], "absolute", 850)
    yield Row(WHAT_INSTRUCTIONS, "instr", ours, SIDES["raw"], cost["raw"])


def timed(context, seed):
    count = context.scaled(300000)

    def side(partner, name):
        def once():
            done, cpu, wall = partner.ask(f"{name} {count}")
            return {"cpu": cpu / done / 1e9, "wall": wall / done / 1e9}

        return once

    with Partner(program("bench-client"), seed) as partner:
        got = interleave(context, {name: side(partner, name) for name in SIDES})
    for what, metric, goal in ((WHAT_CPU, "cpu", ("absolute", 0.35)), (WHAT_WALL, "wall", ())):
        ours = got.median("shard", metric)
        yield Row(what, "us", ours, SIDES["hiredis"], got.median("hiredis", metric), *goal)
        yield Row(what, "us", ours, SIDES["raw"], got.median("raw", metric))
