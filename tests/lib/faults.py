# SPDX-License-Identifier: MIT
"""What happens to a cluster while others work with it. Each function returns when the cluster is well again."""

import random
import subprocess
import time

from shardtest import wait_until


def reshard(cluster, source, target, slots):
    """redis-cli moves SLOTS slots, with their keys."""
    subprocess.run(
        ["redis-cli", "--cluster", "reshard", source.addr, "--cluster-from", cluster.node_id(source)]
        + ["--cluster-to", cluster.node_id(target), "--cluster-slots", str(slots), "--cluster-yes"]
        + ["--cluster-pipeline", "5"],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=120,
    )
    cluster.wait_ok()


def reshard_round(cluster, slots):
    """Slots go from each of three masters to the next."""
    first, second, third = (cluster.servers[i] for i in range(3))
    for source, target in ((first, second), (second, third), (third, first)):
        reshard(cluster, source, target, slots)


def fail_over_all(cluster):
    """CLUSTER FAILOVER on a replica of each master."""
    for master in cluster.masters():
        cluster.failover(cluster.replicas_of(master)[0])
        cluster.wait_ok()


def a_master(cluster):
    return random.choice(cluster.masters())


def wait_replaced(cluster, server):
    """Until another node owns what SERVER owned."""
    others = [s for s in cluster.alive if s is not server]
    wait_until(
        lambda: all(server.port not in {m for m, _ in cluster.view(s).values()} for s in others),
        30,
        f"{server} is replaced",
    )


def kill_master(cluster, master, paused=0.0):
    """MASTER dies and comes back as a replica. PAUSED: it answers nobody for so many seconds before."""
    if paused:  # else few requests are under way in the moment of its death
        master.pause()
        time.sleep(paused)
    master.kill()
    wait_replaced(cluster, master)
    time.sleep(1)
    master.start()
    cluster.wait_ok()


def pause_master(cluster, master):
    """MASTER is silent until it is replaced, and a second more."""
    master.forget()
    master.pause()
    try:
        wait_replaced(cluster, master)
        time.sleep(1)
    finally:
        master.resume()
    cluster.wait_ok()


def pause_briefly(master, seconds=0.8):
    """Shorter than the node timeout: nobody is replaced."""
    master.pause()
    time.sleep(seconds)
    master.resume()
    time.sleep(seconds / 2)


def restart_all(cluster, each=lambda server: None):
    """Every node in turn. EACH is called before."""
    for server in cluster.servers:
        each(server)
        server.restart()
        cluster.wait_ok()


def end_process(process):
    """Kills it, where it still runs, and closes its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe and not pipe.closed:
            pipe.close()


# ---- the same events for every kind of load ----


class Events:
    """A base of a TestCase with `cluster`, and under_load(event, lossless, unknown_allowed), which has EVENT repeated.

    lossless: nothing acknowledged may be lost; unknown_allowed: what is not idempotent may end with its outcome unknown.
    """

    slots = 1500  # moved from each master at once

    def going(self, *_):
        """A master is about to go."""


class Moves(Events):
    def test_reshard(self):
        self.under_load(lambda: reshard_round(self.cluster, self.slots), lossless=True, unknown_allowed=False)

    def test_manual_failover(self):
        self.under_load(lambda: fail_over_all(self.cluster), lossless=True, unknown_allowed=True)


class Crashes(Events):
    def test_killed_master(self):
        def event():
            for paused in (0, 0.1):
                self.going()
                kill_master(self.cluster, a_master(self.cluster), paused)

        self.under_load(event, lossless=False, unknown_allowed=True)

    def test_paused_master(self):
        def event():
            self.going()
            pause_master(self.cluster, a_master(self.cluster))

        self.under_load(event, lossless=False, unknown_allowed=True)

    def test_short_pause_of_a_master(self):
        """Nobody is replaced, so nothing may fail and nothing be lost."""

        def event():
            for _ in range(3):
                pause_briefly(a_master(self.cluster))

        self.under_load(event, lossless=True, unknown_allowed=False)


class Restarts(Events):
    conf = ("appendonly yes", "appendfsync always")

    def test_restart_of_every_node_in_turn(self):
        self.under_load(lambda: restart_all(self.cluster, self.going), lossless=False, unknown_allowed=True)


def repeated(event, seconds):
    """EVENT once, and again for so many seconds. Returns how often."""
    end, rounds = time.monotonic() + seconds, 0
    while rounds == 0 or time.monotonic() < end:
        event()
        rounds += 1
    return rounds
