#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What libshard reads from CLUSTER SLOTS, SHARDS and NODES of real nodes agrees: test_topology.py HELPER

SLOTS as this module reads it itself (shardtest) is the oracle."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from shardtest import HOST, SLOTS, Cluster, wait_until

HELPER = None  # the path of topology_helper

WAYS = ("slots", "shards", "nodes", "reread")


class Map:
    """What the helper printed: ranges {(first, last): id}, nodes {id: Node}, open [(slot, how, id)], epoch."""

    def __init__(self, text):
        self.ranges, self.nodes, self.open, self.epoch = {}, {}, [], 0
        for line in text.splitlines():
            kind, *words = line.split(" ")
            if kind == "range" and words[2] != "-":
                self.ranges[int(words[0]), int(words[1])] = words[2]
            elif kind == "node":
                addr, hostname, master, flags = words[1:]
                self.nodes[words[0]] = (addr, hostname, master, frozenset(flags.split(",")) - {""})
            elif kind == "open":
                self.open.append((int(words[0]), words[1], words[2]))
            elif kind == "epoch":
                self.epoch = int(words[0])

    def roles(self):
        """{id: (whether it is a master, its master's id)} of the nodes in good health."""
        sick = {"fail", "pfail", "noaddr", "loading"}
        return {name: ("master" in flags, master) for name, (_, _, master, flags) in self.nodes.items() if not flags & sick}


def read(server, how):
    run = subprocess.run([HELPER, HOST, str(server.port), how], capture_output=True, text=True, timeout=30)
    if run.returncode:
        raise AssertionError(f"{how}: {run.stderr}")
    return Map(run.stdout)


class Agreement(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(masters=3, replicas=1)
        cls.ids = {cls.cluster.node_id(s): s for s in cls.cluster.servers}

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def tearDown(self):
        for server in self.cluster.servers:
            if not server.process:
                server.start()
            server.call("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip", "cluster-announce-hostname", "")
        self.cluster.wait_ok()

    def expected_ranges(self, server):
        """The ranges of SLOTS, neighbours of one owner put together as the helper does."""
        merged = []
        ports = {s.port: name for name, s in self.ids.items()}
        for (first, last), (port, _) in sorted(self.cluster.view(server).items()):
            if merged and merged[-1][1] + 1 == first and merged[-1][2] == ports[port]:
                merged[-1][1] = last
            else:
                merged.append([first, last, ports[port]])
        return {(first, last): name for first, last, name in merged}

    def agree(self, server):
        """Whether all ways show SERVER's map, as it is; else raises."""
        expected = self.expected_ranges(server)
        maps = {how: read(server, how) for how in WAYS}
        for how, seen in maps.items():
            self.assertEqual(seen.ranges, expected, how)
        shown = maps["slots"].roles()
        for how in WAYS:
            roles = maps[how].roles()
            self.assertEqual({name: roles.get(name) for name in shown}, shown, how)
        self.assertEqual(maps["shards"].roles(), maps["nodes"].roles())
        self.assertEqual(vars(maps["nodes"]), vars(maps["reread"]))
        return maps

    def agree_everywhere(self):
        """The maps of each node, once all agree: gossip needs its time."""

        def settled():
            try:
                return {server: self.agree(server) for server in self.cluster.alive}
            except AssertionError as error:
                self.last = error
                return None

        self.last = None
        try:
            return wait_until(settled, 20)
        except AssertionError:
            raise self.last or AssertionError("no answer") from None

    def test_a_fresh_cluster(self):
        for server, maps in self.agree_everywhere().items():
            for seen in maps.values():
                self.assertEqual({name: node[0] for name, node in seen.nodes.items()},
                                 {name: s.addr for name, s in self.ids.items()})
            myself = [name for name, node in maps["nodes"].nodes.items() if "myself" in node[3]]
            self.assertEqual(myself, [self.cluster.node_id(server)])
            self.assertGreaterEqual(maps["nodes"].epoch, 3)

    def test_slots_that_move_and_slots_that_are_gone(self):
        source, target = self.cluster.master_of(100), self.cluster.master_of(SLOTS - 1)
        self.cluster.move_slot(100, target)
        self.cluster.open_slot(101, target)
        owner = self.cluster.master_of(7000)
        for server in self.cluster.alive:
            server.call("CLUSTER", "DELSLOTS", 7000)
            server.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        try:
            maps = self.agree_everywhere()
            self.assertEqual(maps[source]["nodes"].open, [(101, "migrating", self.cluster.node_id(target))])
            self.assertEqual(maps[target]["nodes"].open, [(101, "importing", self.cluster.node_id(source))])
            self.assertFalse([1 for first, last in maps[source]["slots"].ranges if first <= 7000 <= last])
        finally:
            owner.call("CLUSTER", "ADDSLOTS", 7000)
            self.cluster.close_slot(101, source)
            self.cluster.move_slot(100, source)

    def test_host_names_are_preferred(self):
        for server in self.cluster.alive:
            server.call("CONFIG", "SET", "cluster-announce-hostname", f"node-{server.port}.example",
                        "cluster-preferred-endpoint-type", "hostname")

        def announced():
            maps = self.agree_everywhere()
            return maps if all("-" not in {n[1] for n in m["slots"].nodes.values()} for m in maps.values()) else None

        for maps in wait_until(announced, 20).values():
            for name, server in self.ids.items():
                hostname = f"node-{server.port}.example"
                for how in ("slots", "shards"):
                    self.assertEqual(maps[how].nodes[name][:2], (f"{hostname}:{server.port}", hostname), how)
                self.assertEqual(maps["nodes"].nodes[name][:2], (server.addr, hostname))

    def test_no_host_name_is_known_though_preferred(self):
        for server in self.cluster.alive:
            server.call("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")

        def unknown():
            nodes = read(self.cluster.alive[0], "slots").nodes.values()
            return len(nodes) == 6 and all(node[0].startswith("?:") and "noaddr" in node[3] for node in nodes)

        wait_until(unknown, 20, "names that were announced before are forgotten")

    def test_endpoints_are_where_we_asked(self):
        for server in self.cluster.alive:
            server.call("CONFIG", "SET", "cluster-preferred-endpoint-type", "unknown-endpoint")
        for maps in self.agree_everywhere().values():
            for how in ("slots", "shards"):
                self.assertEqual({name: node[0] for name, node in maps[how].nodes.items()},
                                 {name: s.addr for name, s in self.ids.items()})

    def test_a_killed_master(self):
        victim = self.cluster.master_of(0)
        name = self.cluster.node_id(victim)
        victim.kill()
        wait_until(lambda: self.cluster.master_of(0) not in (None, victim), 30, "a replica took over")
        for maps in self.agree_everywhere().values():
            self.assertNotIn(name, maps["slots"].nodes)
            for how in ("shards", "nodes"):
                self.assertIn("fail", maps[how].nodes[name][3], how)
                self.assertNotIn(name, maps[how].ranges.values())


if __name__ == "__main__":
    HELPER = os.path.abspath(sys.argv.pop(1))
    unittest.main()
