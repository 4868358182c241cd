#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""
rcluster where the servers move slots by themselves. The nodes are scripted (fakenodes.py): what is tested is what rcluster
sends, what it makes of the answers, and that it never moves such slots key by key.
"""

import signal
import unittest

from toollib import FAILED, OK, ToolCase
from fakenodes import World
from shardtest import wait_until

RUNS = ["connecting", "snapshotting", "streaming"]
COMMAND = {"valkey": ("CLUSTER", "MIGRATESLOTS"), "redis": ("CLUSTER", "MIGRATION", "IMPORT")}
DONE = {"valkey": RUNS + ["success"], "redis": RUNS + ["completed"]}
STATUS = {"valkey": ("CLUSTER", "GETSLOTMIGRATIONS"), "redis": ("CLUSTER", "MIGRATION", "STATUS", "ID")}
CANCEL = {"valkey": ("CLUSTER", "CANCELSLOTMIGRATIONS"), "redis": ("CLUSTER", "MIGRATION", "CANCEL", "ID")}


class Atomic(ToolCase):
    needs_cluster = False

    def world(self, family, states=None, **how):
        world = World(family, states or DONE.get(family, []), **how)
        self.addCleanup(world.close)
        return world

    def reshard(self, world, *args, slots=100, giver=0, status=OK):
        return self.check(status, "rcluster", "reshard", world.nodes[0].addr, "--from", world.nodes[giver].addr, "--to",
                          world.nodes[-1].addr, "--slots", str(slots), "--yes", *args)

    def never_key_by_key(self, world):
        self.assertEqual(world.said("CLUSTER", "SETSLOT"), [])
        self.assertEqual(world.said("CLUSTER", "GETKEYSINSLOT"), [])
        self.assertEqual(world.said("MIGRATE"), [])

    def begun(self, world):
        return world.said(*COMMAND[world.family])

    def test_a_source_is_told_to_move_its_slots_at_once(self):
        for shape in "flat", "pairs":
            with self.subTest(shape):
                world = self.world("valkey", shape=shape, keys={5: 3, 99: 4, 100: 50})
                out = self.reshard(world).out.decode()
                self.assertEqual(self.begun(world), [(0, ["CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", "0", "99", "NODE",
                                                          world.nodes[2].id])])
                self.assertIn("moved 100 slots with 7 keys", out)
                self.assertEqual(world.slots_of(2), set(range(100)))
                self.never_key_by_key(world)

    def test_a_target_is_told_to_fetch_them_at_once(self):
        for shape in "flat", "pairs":
            with self.subTest(shape):
                world = self.world("redis", shape=shape, keys={5: 3})
                out = self.reshard(world).out.decode()
                self.assertEqual(self.begun(world), [(2, ["CLUSTER", "MIGRATION", "IMPORT", "0", "99"])])
                self.assertIn("moved 100 slots with 3 keys", out)
                self.assertEqual(world.slots_of(2), set(range(100)))
                self.assertEqual({w[4] for _, w in world.said(*STATUS["redis"])}, {"task0"})
                self.never_key_by_key(world)

    def test_all_ranges_of_a_pair_go_out_as_one_command(self):
        plan = "0-1 {0} {2}\n5-5 {0} {2}\n7-9 {0} {2}\n9000-9001 {1} {2}\n"
        for family, at in ("valkey", 3), ("redis", 3):
            with self.subTest(family):
                world = self.world(family)
                text = plan.format(*(n.addr for n in world.nodes)).encode()
                self.check(OK, "rcluster", "reshard", world.nodes[0].addr, "--plan", "-", "--yes", input=text)
                got = [w[at:at + 6] for _, w in self.begun(world)]
                self.assertEqual(got[0], ["0", "1", "5", "5", "7", "9"])
                self.assertEqual(got[1][:2], ["9000", "9001"])
                self.assertEqual(len(got), 2)
                self.assertEqual(world.slots_of(2), {0, 1, 5, 7, 8, 9, 9000, 9001})
                self.never_key_by_key(world)

    def test_a_target_fetches_from_one_source_at_a_time(self):
        world = self.world("redis")
        text = f"0-1 {world.nodes[0].addr} {world.nodes[2].addr}\n9000 {world.nodes[1].addr} {world.nodes[2].addr}\n"
        self.check(OK, "rcluster", "reshard", world.nodes[0].addr, "--plan", "-", "--yes", input=text.encode())
        order = [w[2:5] for _, w in world.said("CLUSTER", "MIGRATION") if w[2] == "IMPORT" or w[4:] == ["task0"]]
        self.assertEqual([w[0] for w in order], ["IMPORT"] + ["STATUS"] * len(DONE["redis"]) + ["IMPORT"])

    def test_who_has_no_such_command_is_done_key_by_key(self):
        world = self.world(None)
        self.reshard(world)
        self.assertEqual(world.slots_of(2), set(range(100)))
        self.assertEqual(len(world.said("CLUSTER", "GETSLOTMIGRATIONS")), 2)  # once each: the source and the target
        self.assertEqual(len(world.said("CLUSTER", "MIGRATION")), 2)
        self.assertTrue(world.said("CLUSTER", "SETSLOT"))

    def test_both_nodes_must_have_it(self):
        for family in COMMAND:
            for without in 0, 2:
                with self.subTest(f"{family}, node {without}"):
                    world = self.world(family)
                    world.nodes[without].family = None
                    self.reshard(world)
                    self.assertEqual(world.slots_of(2), set(range(100)))
                    self.assertEqual(self.begun(world), [])

    def test_an_unknown_subcommand_at_the_start_is_done_key_by_key(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family)
                world.refuse = "ERR unknown subcommand 'X'. Try CLUSTER HELP."
                self.reshard(world)
                self.assertEqual(world.slots_of(2), set(range(100)))
                self.assertTrue(world.said("CLUSTER", "SETSLOT"))

    def test_no_atomic_and_limits_are_key_by_key(self):
        for args in ["--no-atomic"], ["--max-keys/s", "100000"], ["--max-bytes/s", "1G"]:
            with self.subTest(args):
                world = self.world("valkey")
                self.reshard(world, *args)
                self.assertEqual(world.slots_of(2), set(range(100)))
                self.assertEqual(world.said("CLUSTER", "GETSLOTMIGRATIONS"), [])
                self.assertEqual(self.begun(world), [])
                self.assertTrue(world.said("CLUSTER", "SETSLOT"))

    def test_a_failed_migration_is_named_with_its_reason(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family, RUNS + ["failed"], why="the target ran out of memory")
                err = self.reshard(world, status=FAILED).err
                self.assertIn(f"{world.nodes[0].addr} to {world.nodes[2].addr}, 100 slots from 0 to 99: the migration failed:"
                              " the target ran out of memory", err)
                self.assertIn("0 slots were moved, 100 are left", err)
                self.assertEqual(world.slots_of(2), set())
                self.never_key_by_key(world)
                # A target would try again by itself.
                self.assertEqual(len(world.said(*CANCEL[family])), 1 if family == "redis" else 0)

    def test_a_target_may_try_again_by_itself(self):
        world = self.world("redis", ["connecting", "failed", "failed", "connecting", "completed"], why="not ready")
        self.reshard(world)
        self.assertEqual(world.slots_of(2), set(range(100)))
        self.assertEqual(world.said(*CANCEL["redis"]), [])

    def test_a_refusal_is_named_with_its_reason(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family)
                world.refuse = "ERR a failover is in progress"
                err = self.reshard(world, status=FAILED).err
                self.assertIn(f"{' '.join(COMMAND[family])}: ERR a failover is in progress", err)
                self.never_key_by_key(world)

    def test_a_cancel_by_others_is_named(self):
        for family, word in ("valkey", "cancelled"), ("redis", "canceled"):
            with self.subTest(family):
                world = self.world(family, RUNS + [word])
                self.assertIn("the migration was cancelled", self.reshard(world, status=FAILED).err)
                self.assertEqual(world.slots_of(2), set())

    def test_what_others_have_under_way_is_not_touched(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family, ["streaming"])
                world.begin(world.nodes[0], world.nodes[1], {1, 2})
                err = self.reshard(world, status=FAILED).err
                self.assertIn(f"{world.nodes[0].addr}: a migration of slots is under way already (task0, ", err)
                self.assertEqual(self.begun(world), [])
                self.assertEqual(world.said(*CANCEL[family]), [])

    def test_what_failed_in_the_past_does_not_matter(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family)
                old = world.begin(world.nodes[0], world.nodes[2], {1, 2})
                old.update(state="failed", states=[])
                self.reshard(world)
                self.assertEqual(world.slots_of(2), set(range(100)))

    def test_an_interrupt_cancels(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family, ["streaming"])
                process = self.start("rcluster", "reshard", world.nodes[0].addr, "--from", world.nodes[0].addr, "--to",
                                     world.nodes[2].addr, "--slots", "100", "--yes")
                wait_until(lambda w=world, f=family: self.begun(w) and w.said(*STATUS[f]), 20, "it is under way")
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=60)
                self.assertEqual(process.returncode, FAILED)
                self.assertEqual(err.decode(), "rcluster: interrupted: 0 slots were moved, 100 are left\n")
                self.assertEqual(len(world.said(*CANCEL[family])), 1)
                # The same command does it then.
                world.states = DONE[family]
                self.assertIn(b"100 of its 100 slots are left", self.reshard(world).out)
                self.assertEqual(world.slots_of(2), set(range(100)))
                self.never_key_by_key(world)

    def test_slots_that_are_open_go_on_as_they_were_begun(self):
        world = self.world("valkey")
        a, b = world.nodes[0], world.nodes[2]
        world.open[(0, 7)] = f"[7->-{b.id}]"
        world.open[(2, 7)] = f"[7-<-{a.id}]"
        self.reshard(world, slots=3)
        self.assertEqual({w[2] for _, w in world.said("CLUSTER", "SETSLOT")}, {"7"})
        self.assertEqual([w[3:5] for _, w in self.begun(world)], [["0", "2"]])
        self.assertEqual(world.slots_of(2), {0, 1, 2, 7})

    def test_rebalance_and_drain_use_it_too(self):
        for family in COMMAND:
            with self.subTest(family):
                world = self.world(family)
                self.ok("rcluster", "rebalance", world.nodes[0].addr, "--use-empty-masters", "--threshold", "0", "--yes")
                self.assertEqual(sorted(len(world.slots_of(i)) for i in range(3)), [5461, 5461, 5462])
                self.assertEqual(len(self.begun(world)), 2)
                self.run_tool("rcluster", "del-node", world.nodes[0].addr, world.nodes[2].addr, "--drain", "--yes",
                              "--wait", "1")
                self.assertEqual(world.slots_of(2), set())
                self.assertEqual(len(self.begun(world)), 4)
                self.never_key_by_key(world)


if __name__ == "__main__":
    unittest.main()
