# SPDX-License-Identifier: MIT
"""A master is killed: how long until a client that writes all the time writes again, and how long after the promotion."""

import statistics
import subprocess
import threading
import time

from lib.measure import Failure
from lib.report import Row
from outage import Outage, deadline_ms, key_of, promoted_at, served_at
from shardtest import Cluster, program

PEER = "redis-cli -c, again and again"
NODE_TIMEOUTS = (1000, 5000)
REACH = 50  # ms
POLL = 0.01  # s between two of the peer's


def run(context):
    for node_timeout in NODE_TIMEOUTS:
        if not context.only or context.only == str(node_timeout):
            yield from measure(context, node_timeout)


class Poller(threading.Thread):
    """What a script does that has no client of its own. over: when its first write after BEGIN succeeded."""

    def __init__(self, port, key):
        super().__init__()
        self.words = ["redis-cli", "-c", "-p", str(port), "set", key, "poll"]
        self.over = None

    def run(self):
        end = time.monotonic() + 60
        while not self.over and time.monotonic() < end:
            done = subprocess.run(self.words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
            if done.stdout.strip() == b"OK":
                self.over = time.time()
            time.sleep(POLL)


def one_outage(cluster, node_timeout):
    """Seconds: {"killed": (ours, theirs), "promoted": (ours, theirs), "others": (ours, theirs)}."""
    master, another = cluster.masters()[:2]
    replicas = cluster.replicas_of(master)
    own, other = key_of(cluster, master), key_of(cluster, another)
    writers = [Outage(program("bench-outage"), another.uri, deadline_ms(node_timeout), [key]) for key in (own, other)]
    time.sleep(0.2)
    killed = time.time()
    master.kill()
    pollers = [Poller(another.port, own), Poller(another.port, other)]
    pollers[0].start()
    promoted = promoted_at(replicas, killed)
    pollers[1].start()  # before, the other master serves as ever for a while
    for poller in pollers:
        poller.join()
    time.sleep(0.3)
    for writer in writers:
        writer.end()
        if writer.errors:
            raise Failure(f"a write failed: {writer.errors[0]}")
    if not all(poller.over for poller in pollers):
        raise Failure("redis-cli never wrote")
    served = served_at(another, promoted)
    back = writers[0].over(promoted)
    master.start()
    cluster.wait_ok(60)
    return {
        "killed": (back - killed, pollers[0].over - killed),
        "promoted": (back - promoted, pollers[0].over - promoted),
        "others": (max(0, writers[1].over(served) - served), max(0, pollers[1].over - served)),
    }


def measure(context, node_timeout):
    outages = []
    with Cluster(3, 1, conf=(f"cluster-node-timeout {node_timeout}",)) as cluster:
        for number in range(context.rounds):
            context.progress(f"node timeout {node_timeout} ms, outage {number + 1}")
            outages.append(one_outage(cluster, node_timeout))
    context.progress("")
    for name, what, goal in (
        ("killed", "killed until the next write", ()),
        ("promoted", "promoted until the next write", ("absolute", REACH)),
        ("others", "another master serves again until the next write there", ()),
    ):
        for how, function in (("p50", statistics.median), ("max", max)):
            ours, theirs = (function([outage[name][side] for outage in outages]) for side in (0, 1))
            yield Row(f"node timeout {node_timeout} ms: {what}, {how}", "ms", ours, PEER, theirs, *goal)
