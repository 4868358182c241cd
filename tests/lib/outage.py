# SPDX-License-Identifier: MIT
"""What a failover costs clients: who writes meanwhile, and when, by the servers' own logs, it was over."""

import datetime
import re
import subprocess
from dataclasses import dataclass

from faults import end_process
from shardtest import wait_until

STAMP = re.compile(r"\d+:\w (\d+ \w+ \d+ [\d:]+)\.(\d+) ")
PROMOTED = re.compile("Failover election won|Taking over the master")
UP_AGAIN = re.compile("Cluster state changed: ok")


def deadline_ms(node_timeout_ms):
    """After so long a master that is gone has been replaced: its silence is noticed after one to one and a half node timeouts
    (it is asked only when it has been silent for half of one), the others hear of that, and the election waits for a second."""
    return node_timeout_ms * 3 // 2 + 2500


def logged(server, what, after):
    """When SERVER logged WHAT first at or after AFTER (seconds since 1970, to a millisecond); or None."""
    with open(server.log, encoding="utf-8", errors="replace") as file:
        for line in file:
            stamp = STAMP.match(line)
            if stamp and what.search(line):
                moment = datetime.datetime.strptime(stamp[1], "%d %b %Y %H:%M:%S").timestamp() + int(stamp[2]) / 1000
                if moment >= after - 0.001:
                    return moment
    return None


def promoted_at(replicas, after, timeout=60):
    """When the first of REPLICAS became a master; waits for it."""
    moments = lambda: [m for m in (logged(r, PROMOTED, after) for r in replicas) if m]  # noqa: E731
    return min(wait_until(moments, timeout, "a replica is promoted"))


def served_at(server, promoted):
    """When SERVER, a master that refused all while slots had no owner, knew of the promotion; PROMOTED where it knew before."""
    return logged(server, UP_AGAIN, promoted) or promoted


def key_of(cluster, master, prefix="k"):
    """A key that MASTER has."""
    return next(key for key in (f"{prefix}{i}" for i in range(100000)) if cluster.master_of(key) is master)


@dataclass
class Slow:
    """A write that took long, or (error not 0) failed."""

    began: float
    ended: float
    key: str
    error: int
    message: str


class Outage:
    """outage_helper on KEYS, which it writes in turn, all the time. slow: what was slow or failed, once it has ended."""

    def __init__(self, helper, uri, timeout_ms, keys):
        words = [helper, uri, str(timeout_ms), *keys]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            self.kill()
            raise AssertionError(f"outage_helper says {line!r}")

    def end(self):
        text, _ = self.process.communicate(timeout=60)
        words = (line.split(" ", 4) for line in text.splitlines() if line != "ready")
        self.slow = [Slow(float(w[0]), float(w[1]), w[2], int(w[3]), w[4]) for w in words]

    @property
    def errors(self):
        return [slow for slow in self.slow if slow.error]

    def over(self, moment):
        """When the first write succeeded that was under way at MOMENT; MOMENT itself where none was slow."""
        return min((s.ended for s in self.slow if s.began < moment < s.ended and not s.error), default=moment)

    def kill(self):
        end_process(self.process)
