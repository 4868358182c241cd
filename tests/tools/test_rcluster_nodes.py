#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rcluster's verbs about nodes: create, add-node, del-node, replicate, failover, call, set-timeout."""

import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from toollib import FAILED, OK, ToolCase
from shardtest import HOST, Server, free_ports, wait_until

SECRET = "geheim"
CONF = ("cluster-node-timeout 1500", "cluster-allow-replica-migration no")


def nodes_of(server):
    """CLUSTER NODES as {port: words}."""
    lines = [line.split() for line in server.call("CLUSTER", "NODES").decode().splitlines()]
    return {int(words[1].split("@")[0].rsplit(":", 1)[1] or 0): words for words in lines}


def node_id(server):
    return server.call("CLUSTER", "MYID").decode()


def redis_cli_check(server):
    """redis-cli's judgement: None where it finds nothing wrong, else its words."""
    words = ["redis-cli", "-a", SECRET, "--no-auth-warning", "--cluster", "check", server.addr]
    run = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    return None if run.returncode == 0 and "[OK] All 16384 slots covered" in run.stdout else run.stdout


class Verbs(ToolCase):
    needs_cluster = False

    def setUp(self):
        super().setUp()
        self.more_env = {"SHARD_PASSWORD": SECRET}

    def rcluster(self, *args, status=OK, **how):
        result = self.check(status, "rcluster", *map(str, args), **how)
        if status == OK:
            self.assertEqual(result.err, "")
        return result.out.decode()

    def fails(self, *args, status=FAILED, **how):
        result = self.run_tool("rcluster", *map(str, args), **how)
        self.assertEqual(result.status, status, f"{args}: {result}")
        self.assertNotEqual(result.err, "")
        for line in result.err.splitlines():
            self.assertRegex(line, "^rcluster( [a-z-]+)?: ")
        return result.err


class Create(Verbs):
    """What create refuses, on servers that are never joined; and its plans."""

    @classmethod
    def setUpClass(cls):
        ports = free_ports(7)
        hosts = (*CONF, f"bind {HOST} 127.0.0.2 127.0.0.3")
        cls.servers = [Server(hosts, cluster=True, password=SECRET, port=p) for p in ports[:6]]
        cls.plain = Server(password=SECRET, port=ports[6])
        for server in (*cls.servers, cls.plain):
            cls.addClassCleanup(server.close)
        cls.addrs = [s.addr for s in cls.servers]

    def test_three_masters_are_the_least(self):
        self.assertIn("at least 3 nodes, or --force", self.fails("create", *self.addrs[:2], "--yes"))
        self.assertIn("at least 6 nodes", self.fails("create", *self.addrs[:5], "--replicas", 1, "--yes"))
        self.assertIn("at least 12 nodes\n", self.fails("create", *self.addrs[:3], "--replicas", 3, "--yes", "--force"))
        self.assertEqual(len(nodes_of(self.servers[0])), 1)

    def test_nothing_is_done_without_an_answer(self):
        result = self.run_tool("rcluster", "create", *self.addrs[:3])
        self.assertEqual(result.status, FAILED)
        self.assertIn("--yes", result.err)
        plan = [line.split("\t") for line in result.out.decode().splitlines()]
        slots = ["0-5460", "5461-10922", "10923-16383"]
        self.assertEqual(plan, [[a, "master", s] for a, s in zip(self.addrs, slots)])
        self.assertEqual(len(nodes_of(self.servers[0])), 1)

    def test_nodes_that_are_not_empty_are_all_named(self):
        servers = self.servers[:4]
        servers[0].call("CLUSTER", "ADDSLOTS", 1, 2)
        servers[1].call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: self.set_key(servers[1]), what="a key is set")
        servers[2].call("CLUSTER", "MEET", HOST, servers[3].port)
        wait_until(lambda: len(nodes_of(servers[2])) == 2 and len(nodes_of(servers[3])) == 2)
        error = self.fails("create", *self.addrs, self.plain.addr, "--yes")
        self.assertIn(f"{self.addrs[0]}: owns 2 slots", error)
        self.assertIn(f"{self.addrs[1]}: holds 1 keys", error)
        for server in servers[2:]:
            self.assertIn(f"{server.addr}: knows 1 other nodes", error)
        self.assertIn(f"{self.plain.addr}: is no node of a cluster", error)
        self.assertEqual(error.count("\n"), 5)
        servers[1].call("FLUSHALL")
        for server in servers:
            server.call("CLUSTER", "RESET", "HARD")

    @staticmethod
    def set_key(server):
        return server.call("SET", "key", "value") == b"OK"

    def test_bad_addresses_and_servers(self):
        dead = f"{HOST}:{free_ports(1)[0]}"
        self.assertIn(f"{dead}: does not answer", self.fails("create", *self.addrs[:2], dead, "--yes"))
        self.assertIn("is the same node as", self.fails("create", *self.addrs[:2], self.addrs[0], "--yes"))
        other = f"127.0.0.2:{self.servers[0].port}"
        self.assertIn("is the same node as", self.fails("create", *self.addrs[:3], other, "--yes"))
        self.assertIn("is not HOST:PORT", self.fails("create", "nonsense", "--yes"))
        self.assertIn("HOST:PORT... are wanted", self.fails("create"))
        self.assertIn("named one by one", self.fails("create", "-u", "redis://" + self.addrs[0], self.addrs[1]))
        self.more_env = {"SHARD_PASSWORD": "wrong"}
        self.assertIn("WRONGPASS", self.fails("create", *self.addrs[:3], "--yes"))
        self.more_env = {}
        self.assertIn("NOAUTH", self.fails("create", *self.addrs[:3], "--yes"))

    def test_replicas_are_on_other_hosts_than_their_masters(self):
        addrs = [f"127.0.0.{1 + i // 2}:{server.port}" for i, server in enumerate(self.servers)]
        self.rcluster("create", *addrs, "--replicas", 1, "--dry-run", "--json")
        plan = json.loads(self.rcluster("create", *addrs, "--replicas", 1, "--dry-run", "--json"))["plan"]
        host = lambda addr: addr.split(":")[0]  # noqa: E731
        self.assertEqual(sorted(p["node"] for p in plan), sorted(addrs))
        masters = [p for p in plan if "first" in p]
        self.assertEqual(len({host(p["node"]) for p in masters}), 3)
        replicas = [p for p in plan if "master" in p]
        self.assertEqual(sorted(p["master"] for p in replicas), sorted(p["node"] for p in masters))
        for replica in replicas:
            self.assertNotEqual(host(replica["node"]), host(replica["master"]))
        self.assertEqual(len(nodes_of(self.servers[0])), 1)

    def test_one_host_for_all_is_told(self):
        result = self.run_tool("rcluster", "create", *self.addrs, "--replicas", "1", "--dry-run")
        self.assertEqual(result.status, OK)
        self.assertIn("on the host of their master", result.err)


class Life(Verbs):
    """One cluster, made by create: 3 masters with a replica each; and two nodes outside that come and go."""

    @classmethod
    def setUpClass(cls):
        ports = free_ports(8)
        cls.all = [Server(CONF, cluster=True, password=SECRET, port=p) for p in ports]
        for server in cls.all:
            cls.addClassCleanup(server.close)
        cls.servers, cls.new, cls.more = cls.all[:6], cls.all[6], cls.all[7]
        cls.made = None

    def setUp(self):
        super().setUp()
        if not Life.made:
            Life.made = self.rcluster_warned("create", *(s.addr for s in self.servers), "--replicas", 1, "--yes")
        self.seed = self.servers[0]

    def rcluster_warned(self, *args):
        result = self.check(OK, "rcluster", *map(str, args))
        self.assertIn("on the host of their master", result.err)
        return result.out.decode()

    def tearDown(self):
        """Every test leaves six nodes and a healthy cluster."""
        for server in self.all:
            if not server.process:
                server.start()
        for server in (self.new, self.more):
            if server.port in nodes_of(self.seed):
                self.rcluster("del-node", self.seed.addr, server.addr)
        wait_until(lambda: self.run_tool("rcluster", "check", self.seed.addr).status == OK, 30, "the cluster is well")
        self.assertIsNone(redis_cli_check(self.seed))

    def role(self, server, seen_by=None):
        """The port of SERVER's master, or None."""
        nodes = nodes_of(seen_by or self.seed)
        ports = {words[0]: port for port, words in nodes.items()}
        return ports.get(nodes[server.port][3])

    def masters(self):
        return [s for s in self.servers if self.role(s) is None]

    def replica_of(self, master):
        return next(s for s in self.servers if self.role(s) == master.port)

    def test_create_is_whole_when_it_returns(self):
        self.assertIn("ready: 3 masters, 3 replicas", Life.made)
        error = self.fails("create", *(s.addr for s in self.servers), "--replicas", 1, "--yes")
        self.assertEqual(error.count("knows 5 other nodes"), 6)

    def test_a_master_is_added_with_the_functions_and_removed(self):
        library = "#!lua name=lib\nredis.register_function('answer', function() return 42 end)"
        for master in self.masters():
            master.call("FUNCTION", "LOAD", "REPLACE", library)
        out = self.rcluster("add-node", self.new.addr, self.seed.addr)
        self.assertIn("a master without slots", out)
        for server in self.servers:
            self.assertIn("master", nodes_of(server)[self.new.port][2])
        self.assertEqual(self.new.call("FCALL", "answer", 0), 42)
        self.assertIn("a master without slots", self.rcluster("add-node", self.new.addr, self.seed.addr))
        self.assertIn("in the cluster", self.rcluster("add-node", self.more.addr, "-u", f"redis://{self.seed.addr}",
                                                      "--replica", "--master-id", node_id(self.new)))  # fmt: skip
        self.assertEqual(self.role(self.more), self.new.port)
        self.assertEqual(self.more.info("replication")["role"], "slave")
        out = self.rcluster("del-node", self.seed.addr, self.new.addr)
        self.assertIn("is out of the cluster", out)
        self.assertIn(f"{self.more.addr} follows", out)  # its replica went to another master
        for server in self.servers:
            self.assertNotIn(self.new.port, nodes_of(server))
        self.assertEqual(list(nodes_of(self.new)), [self.new.port])
        self.assertIn(self.role(self.more), [m.port for m in self.masters()])
        self.assertIn("no node of this address", self.fails("del-node", self.seed.addr, self.new.addr))

    def test_a_replica_goes_to_the_master_that_has_the_fewest(self):
        self.rcluster("add-node", self.new.addr, self.seed.addr, "--slave")
        first = self.role(self.new)
        self.rcluster("add-node", self.more.addr, self.seed.addr, "--slave")
        self.assertNotIn(self.role(self.more), (first, None))
        self.assertEqual(self.new.info("replication")["master_link_status"], "up")
        self.assertIn("as a replica", self.fails("add-node", self.new.addr, self.seed.addr))
        self.assertIn("in the cluster", self.rcluster("add-node", self.new.addr, self.seed.addr, "--slave"))

    def test_what_add_node_refuses(self):
        self.assertIn("is wanted", self.fails("add-node"))
        self.assertIn("is not HOST:PORT", self.fails("add-node", "x", self.seed.addr))
        dead = f"{HOST}:{free_ports(1)[0]}"
        self.assertIn(f"{dead}: does not answer", self.fails("add-node", dead, self.seed.addr))
        self.assertIn(dead, self.fails("add-node", self.new.addr, dead))
        replica = self.replica_of(self.masters()[0])
        error = self.fails("add-node", self.new.addr, self.seed.addr, "--master-id", replica.addr)
        self.assertIn("is no master", error)
        said = self.rcluster("add-node", self.seed.addr, self.seed.addr)
        self.assertRegex(said, "is in the cluster, a master of [0-9]+ slots")
        self.new.call("CLUSTER", "ADDSLOTS", 7)
        self.assertIn("owns 1 slots", self.fails("add-node", self.new.addr, self.seed.addr))
        self.new.call("CLUSTER", "RESET")
        master = self.masters()[0]
        other = next(m for m in self.masters() if m is not master)
        slot = int(nodes_of(self.seed)[master.port][8].split("-")[0])
        master.call("CLUSTER", "SETSLOT", slot, "MIGRATING", node_id(other))
        self.assertIn(str(slot), self.fails("add-node", self.new.addr, self.seed.addr))
        master.call("CLUSTER", "SETSLOT", slot, "STABLE")
        self.assertEqual(list(nodes_of(self.new)), [self.new.port])
        self.more_env = {"SHARD_PASSWORD": "wrong"}
        self.assertIn("WRONGPASS", self.fails("add-node", self.new.addr, self.seed.addr))
        self.more_env = {"SHARD_PASSWORD": SECRET}

    def test_what_del_node_refuses(self):
        master = self.masters()[0]
        self.assertIn("--drain", self.fails("del-node", self.seed.addr, node_id(master)))
        self.assertIn("no node of this id", self.fails("del-node", self.seed.addr, "0" * 40))
        self.assertIn("neither HOST:PORT nor an id", self.fails("del-node", self.seed.addr, "nonsense"))
        self.assertIn("is wanted", self.fails("del-node"))

    def test_drain_moves_the_slots_with_their_keys_and_all_are_there(self):
        keys = {f"key:{i}": f"value {i}" for i in range(300)}
        victim = next(m for m in self.masters() if m is not self.seed)
        follower = self.replica_of(victim)
        records = "".join(f"{key}\t{value}\n" for key, value in keys.items())
        self.ok("rset", "-u", f"redis://{self.seed.addr}", "-", input=records.encode())
        out = self.rcluster("del-node", self.seed.addr, victim.addr, "--drain")
        self.assertIn("slots with", out)
        self.assertIn("is out of the cluster", out)
        for server in self.servers:
            if server is not victim:
                self.assertNotIn(victim.port, nodes_of(server))
        self.assertEqual(list(nodes_of(victim)), [victim.port])
        self.assertEqual(victim.call("DBSIZE"), 0)
        self.assertIn(self.role(follower), [m.port for m in self.servers if m is not victim])
        got = self.ok("rget", "-u", f"redis://{self.seed.addr}", *keys).decode()
        self.assertEqual(dict(line.split("\t") for line in got.splitlines()), keys)
        # back into the ring, as it was: a third of the slots, and its replica
        self.rcluster("add-node", victim.addr, self.seed.addr)
        self.rcluster("reshard", self.seed.addr, "--from", "all", "--to", node_id(victim), "--slots", 5461, "--yes")
        self.rcluster("replicate", self.seed.addr, follower.addr, victim.addr)
        got = self.ok("rget", "-u", f"redis://{self.seed.addr}", *keys).decode()
        self.assertEqual(dict(line.split("\t") for line in got.splitlines()), keys)

    def test_a_half_moved_slot_is_not_lost_sight_of(self):
        self.rcluster("add-node", self.new.addr, self.seed.addr)
        owner = self.masters()[0]
        slot = int(nodes_of(owner)[owner.port][8].split("-")[0])
        self.new.call("CLUSTER", "SETSLOT", slot, "IMPORTING", node_id(owner))
        self.assertIn(f"slot {slot} is half-moved", self.fails("del-node", self.seed.addr, self.new.addr))
        self.new.call("CLUSTER", "SETSLOT", slot, "STABLE")

    def test_a_dead_node_is_removed(self):
        self.rcluster("add-node", self.new.addr, self.seed.addr, "--slave")
        self.rcluster("add-node", self.more.addr, self.seed.addr)
        name = node_id(self.new)
        self.new.kill()
        self.more.kill()
        self.assertIn("it did not answer", self.rcluster_warned_about(self.more, "del-node", self.seed.addr, name))
        self.assertIn("it did not answer", self.rcluster("del-node", self.seed.addr, self.more.addr))
        for server in self.servers:
            self.assertEqual(set(nodes_of(server)), {s.port for s in self.servers})
        for server in (self.new, self.more):
            server.start()
            server.call("CLUSTER", "RESET")

    def rcluster_warned_about(self, server, *args):
        """The node is out, and yet one that is away will know it: told, and no success."""
        result = self.check(FAILED, "rcluster", *args)
        self.assertIn(f"{server.addr}: does not answer", result.err)
        return result.out.decode()

    def test_a_dead_master_with_slots_is_not_removed(self):
        master = self.masters()[1]
        replica = self.replica_of(master)
        master.kill()
        error = self.fails("del-node", self.seed.addr if self.seed is not master else replica.addr, master.addr)
        self.assertIn("rcluster failover --force", error)
        self.rcluster("failover", self.seed.addr, replica.addr, "--force")
        self.assertIsNone(self.role(replica))

    def test_failover_is_seen_by_all_when_it_returns(self):
        master = self.masters()[0]
        replica = self.replica_of(master)
        self.assertIn("is the master", self.rcluster("failover", self.seed.addr, node_id(replica)[:12]))
        for server in self.servers:
            self.assertIsNone(self.role(replica, server))
            self.assertEqual(self.role(master, server), replica.port)
        self.assertIn("is a master already", self.rcluster("failover", self.seed.addr, replica.addr))
        self.rcluster("failover", self.seed.addr, master.addr, "--takeover")
        for server in self.servers:
            self.assertEqual(self.role(replica, server), master.port)

    def test_failover_of_a_dead_master_needs_force(self):
        master = next(m for m in self.masters() if m is not self.seed)
        replica = self.replica_of(master)
        master.pause()
        self.addCleanup(master.resume)
        error = self.fails("failover", "--timeout", 500, self.seed.addr, replica.addr)
        self.assertIn("--force", error)
        self.rcluster("failover", "--timeout", 500, self.seed.addr, replica.addr, "--force")
        self.assertIsNone(self.role(replica))
        master.resume()
        wait_until(lambda: self.role(master, master) == replica.port, what="it has become a replica")

    def test_what_failover_refuses(self):
        replica = self.replica_of(self.masters()[0])
        self.assertIn("one of them", self.fails("failover", self.seed.addr, replica.addr, "--force", "--takeover"))
        self.assertIn("is wanted", self.fails("failover"))
        self.assertIn("no node of this address", self.fails("failover", self.seed.addr, self.new.addr))
        self.rcluster("add-node", self.new.addr, self.seed.addr)
        self.assertIn("without slots", self.fails("failover", self.seed.addr, self.new.addr))
        self.rcluster("add-node", self.more.addr, self.seed.addr, "--master-id", self.new.addr)
        self.assertIn("nothing to take over", self.fails("failover", self.seed.addr, self.more.addr))

    def test_replicate_moves_a_replica_and_takes_an_empty_master(self):
        first, second = self.masters()[:2]
        replica = self.replica_of(first)
        self.assertIn("is a replica of", self.rcluster("replicate", self.seed.addr, replica.addr, node_id(second)))
        for server in self.servers:
            self.assertEqual(self.role(replica, server), second.port)
        self.rcluster("replicate", self.seed.addr, replica.addr, second.addr)
        self.rcluster("replicate", "-u", f"redis://{self.seed.addr}", replica.addr, first.addr)
        self.rcluster("add-node", self.new.addr, self.seed.addr)
        self.rcluster("replicate", self.seed.addr, self.new.addr, first.addr)
        self.assertEqual(self.role(self.new), first.port)
        self.assertIn("of itself", self.fails("replicate", self.seed.addr, replica.addr, replica.addr))
        self.assertIn("is a replica itself", self.fails("replicate", self.seed.addr, self.new.addr, replica.addr))
        self.assertIn("owns", self.fails("replicate", self.seed.addr, first.addr, second.addr))
        self.assertIn("is wanted", self.fails("replicate", self.seed.addr))

    def test_call(self):
        answers = self.rcluster("call", self.seed.addr, "config", "get", "port").splitlines()
        self.assertEqual({a[2:] for a in answers if a[0] == "#"}, {s.addr for s in self.servers})
        for heading, _, port in zip(answers[::3], answers[1::3], answers[2::3]):
            self.assertTrue(heading.endswith(f":{port}"))
        masters = self.rcluster("call", self.seed.addr, "--only-masters", "ping").splitlines()
        self.assertEqual(set(masters[::2]), {f"# {m.addr}" for m in self.masters()})
        replicas = self.rcluster("call", "--only-replicas", "-u", f"redis://{self.seed.addr}", "echo", "-x").splitlines()
        self.assertEqual(set(replicas[::2]), {f"# {s.addr}" for s in self.servers if s not in self.masters()})
        self.assertEqual(set(replicas[1::2]), {"-x"})
        error = self.fails("call", self.seed.addr, "nosuch")
        self.assertEqual(error.count("ERR unknown command"), 6)
        self.assertIn("leave no node", self.fails("call", self.seed.addr, "--only-masters", "--only-replicas", "ping"))
        self.assertIn("is wanted", self.fails("call", self.seed.addr))
        self.assertIn("127.0.0.1:99999: is not HOST:PORT", self.fails("call", "127.0.0.1:99999", "flushall"))
        dead = self.replica_of(self.masters()[0])
        dead.kill()
        result = self.run_tool("rcluster", "call", self.seed.addr, "ping")
        self.assertEqual((result.status, result.out.count(b"PONG")), (FAILED, 5))
        self.assertIn(dead.addr, result.err)

    def test_set_timeout_reaches_the_files(self):
        self.assertIn("1700 ms on 6 nodes", self.rcluster("set-timeout", self.seed.addr, 1700))
        for server in self.servers:
            self.assertEqual(server.call("CONFIG", "GET", "cluster-node-timeout")[1], b"1700")
            with open(os.path.join(server.dir, "redis.conf"), encoding="utf-8") as file:
                self.assertIn("cluster-node-timeout 1700\n", file.read())
        self.rcluster("set-timeout", self.seed.addr, 1500)
        for bad in ("99", "x", "-5", ""):
            self.assertIn("MILLISECONDS", self.fails("set-timeout", "--", self.seed.addr, bad))


if __name__ == "__main__":
    unittest.main(verbosity=2)
