#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rcluster on any cluster: check, info, fix, reshard, rebalance. redis-cli is the oracle where it knows."""

import json
import os
import pty
import random
import re
import signal
import subprocess
import time
import unittest

from toollib import FAILED, NO, OK, ToolCase, shared_cluster
from shardtest import Cluster, Reply, Server, program, slot, wait_until


def redis_cli(*args, status=0, input=None):
    """redis-cli --cluster ARGS; its output."""
    done = subprocess.run(["redis-cli", "--cluster", *args], capture_output=True, text=True, timeout=120, input=input)
    text = done.stdout + done.stderr
    if status is not None:
        assert done.returncode == status, text
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


_tags = {}


def tag_of(number):
    """A hash tag of this slot."""
    i = len(_tags)
    while number not in _tags:
        i += 1
        _tags.setdefault(slot(str(i)), str(i))
    return _tags[number]


class AdminCase(ToolCase):
    def setUp(self):
        super().setUp()
        self.address = self.cluster.addrs[0]

    def ids(self):
        return {s.port: self.cluster.node_id(s) for s in self.cluster.servers}

    def fill(self, number, count=30, value="v"):
        """COUNT keys of a slot, {key: value}."""
        keys = {f"{{{tag_of(number)}}}{value}{i}": f"{value}{i}" for i in range(count)}
        owner = self.cluster.master_of(number)
        with owner.connect() as conn:
            replies = conn.pipeline([("SET", k, v) for k, v in keys.items()])
        self.assertEqual(set(replies), {b"OK"})
        return keys

    def fill_all(self, count, size=10):
        keys = {f"key{i}": str(i) * size for i in range(count)}
        data = "".join(f"{k}\t{v}\n" for k, v in keys.items()).encode()
        self.ok("rset", "-", input=data)
        return keys

    def has_all(self, keys):
        """All are there with their values, and there is nothing else on any master."""
        got = self.run_tool("rget", "-", input="\n".join(keys).encode() + b"\n")
        self.assertEqual(got.status, OK, got)
        self.assertEqual(dict(line.split("\t") for line in got.out.decode().splitlines()), keys)
        self.assertEqual(sum(s.call("DBSIZE") for s in self.cluster.masters()), len(keys))

    def agrees(self):
        """rcluster check and redis-cli --cluster check both find nothing."""
        self.check(OK, "rcluster", "check", self.address)
        # redis-cli asks each node once: what gossip has not brought to a replica yet is no fault.
        text = wait_until(lambda: (t := redis_cli("check", self.address, status=None)) and "[ERR]" not in t and
                          "[WARNING]" not in t and t, 10, "redis-cli finds nothing")
        self.assertIn("All nodes agree", text)
        self.assertIn("All 16384 slots covered", text)

    def owner(self, number):
        return self.cluster.master_of(number)

    def another(self, server):
        return next(m for m in self.cluster.masters() if m is not server)


class Check(AdminCase):
    def test_a_whole_cluster_is_ok(self):
        self.agrees()
        out = self.ok("rcluster", "check", self.address).decode()
        self.assertIn("6 nodes agree", out)

    def test_the_cluster_is_named_in_four_ways(self):
        for args, env in (([self.address], ""), (["-u", self.uri], ""), ([], self.uri)):
            self.more_env = {"SHARD_URI": env} if env else {}
            self.assertIn(b"6 nodes agree", self.ok("rcluster", "check", *args))
        self.assertIn(b"6 nodes agree", self.ok("rcluster", "check", f"localhost:{self.cluster.servers[0].port}"))

    def test_json_says_what_the_nodes_say(self):
        keys = self.fill_all(50)
        said = json.loads(self.ok("rcluster", "check", "--json"))
        self.assertTrue(said["ok"])
        self.assertEqual(said["findings"], [])
        self.assertEqual((said["masters"], said["covered"], said["keys"]), (3, 16384, len(keys)))
        self.assertEqual({n["node"]: n["id"] for n in said["nodes"]},
                         {s.addr: self.cluster.node_id(s) for s in self.cluster.servers})
        for node in said["nodes"]:
            self.assertEqual(node["keys"], self.cluster.server(int(node["node"].rsplit(":")[1])).call("DBSIZE"))
        self.assertEqual(json.loads(self.ok("rcluster", "info", "--json"))["nodes"], said["nodes"])

    def test_info_is_a_record_a_node(self):
        rows = [line.split("\t") for line in self.ok("rcluster", "info").decode().splitlines()]
        self.assertEqual(sorted(r[0] for r in rows), sorted(self.cluster.addrs))
        self.assertEqual([r[2] for r in rows], ["master"] * 3 + ["replica"] * 3)
        self.assertEqual(sum(int(r[5]) for r in rows[:3]), 16384)
        for row in rows[3:]:
            self.assertIn(row[0], [s.addr for s in self.cluster.replicas_of(self.cluster.server(int(row[3][-5:])))])

    def test_open_slots_are_found(self):
        source = self.owner(7)
        target = self.another(source)
        self.cluster.open_slot(7, target)
        self.addCleanup(self.ok, "rcluster", "fix", "--yes")
        err = self.error(NO, "rcluster", "check", lines=2)
        self.assertIn(f"{source.addr}: has slots open, migrating to {target.addr}: 7\n", err)
        self.assertIn(f"{target.addr}: has slots open, importing from {source.addr}: 7\n", err)
        self.assertIn("open", redis_cli("check", self.address, status=None))
        findings = json.loads(self.check(NO, "rcluster", "check", "--json").out)["findings"]
        self.assertEqual([(f["kind"], f["slots"]) for f in findings], [("open", "7")] * 2)

    def test_stray_keys_are_found_and_brought_home(self):
        source, number = self.owner(9), 9
        target = self.another(source)
        keys = self.fill(number, 5)
        self.cluster.open_slot(number, target)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *list(keys)[:2])
        for server in (source, target):
            server.call("CLUSTER", "SETSLOT", number, "STABLE")
        self.agrees()  # nothing shows
        err = self.error(NO, "rcluster", "check", "--search-multiple-owners")
        self.assertIn(f"{target.addr}: holds 2 keys of slots that are not its own: 9", err)
        self.ok("rcluster", "fix", "--search-multiple-owners", "--yes")
        self.has_all(keys)
        self.assertIs(self.owner(number), source)
        self.ok("rcluster", "check", "--search-multiple-owners")

    def test_a_dead_replica_is_told_and_hinders_no_move(self):
        replica = self.cluster.servers[5]
        replica.kill()
        try:
            err = self.error(NO, "rcluster", "check", self.address, lines=1)
            self.assertIn(f"{replica.addr}: ", err)
            self.error(NO, "rcluster", "info", self.address, lines=1)
            source = self.owner(11)
            self.move(11, source, self.another(source))
        finally:
            replica.start()
            self.cluster.wait_ok()

    def move(self, number, source, target):
        plan = f"{number}-{number} {source.addr} {target.addr}\n".encode()
        return self.check(OK, "rcluster", "reshard", "--plan", "-", "--yes", input=plan)

    def test_who_is_no_cluster_is_told(self):
        with Server() as single:
            err = self.error(FAILED, "rcluster", "check", single.addr)
            self.assertIn(f"{single.addr}: a single server, not a node of a cluster", err)
            single.kill()
            self.assertIn("Connection refused", self.error(FAILED, "rcluster", "check", single.addr))

    def test_usage(self):
        self.assertIn("--fish", self.run_tool("rcluster", "check", "--fish").err)
        for args, said in ((["x"], "x: is not HOST:PORT"), (["a:1", "b:1"], "b:1: is too much"), ([self.address, "-u", self.uri], "one of them is enough")):
            self.assertIn(said, self.error(FAILED, "rcluster", "check", *args))


class Fix(AdminCase):
    """Each point at which a move may be cut off: nothing is lost, and all is as it should be afterwards."""

    def steps(self, number, source, target, keys):
        name, first, rest = self.ids(), list(keys)[: len(keys) // 2], list(keys)[len(keys) // 2 :]
        set_slot = lambda server, *words: (server, "CLUSTER", "SETSLOT", number, *words)  # noqa: E731
        migrate = lambda how, part: (source, "MIGRATE", "127.0.0.1", target.port, "", 0, 5000, *how, "KEYS", *part)  # noqa: E731
        other = next(m for m in self.cluster.masters() if m not in (source, target))
        return [
            set_slot(target, "IMPORTING", name[source.port]),
            set_slot(source, "MIGRATING", name[target.port]),
            migrate(["COPY"], first[:3]),  # its answer was lost: they are on both sides
            migrate(["REPLACE"], first),
            migrate([], rest),
            set_slot(target, "NODE", name[target.port]),
            set_slot(source, "NODE", name[target.port]),
            set_slot(other, "NODE", name[target.port]),
        ]

    def cut_off(self, number, point):
        """Moves a slot up to a point; its keys, its source and target."""
        source = self.owner(number)
        target = self.another(source)
        keys = self.fill(number)
        for server, *words in self.steps(number, source, target, keys)[:point]:
            server.call(*words)
        if 2 <= point <= 5:
            late = f"{{{tag_of(number)}}}late"  # a client that follows ASK has made it
            self.cluster.call("SET", late, "late")
            keys[late] = "late"
        return keys, source, target

    def test_fix_after_each_step(self):
        for point in range(9):
            with self.subTest(point=point):
                self.cluster.flush()
                keys, source, target = self.cut_off(100 + point, point)
                self.check(OK, "rcluster", "fix", "--yes")
                self.has_all(keys)
                self.assertIs(self.owner(100 + point), source if point == 0 else target)
                self.agrees()

    def test_reshard_goes_on_after_each_step(self):
        for point in range(9):
            with self.subTest(point=point):
                self.cluster.flush()
                number = 200 + point
                keys, source, target = self.cut_off(number, point)
                plan = f"{number} {source.addr} {target.addr}\n".encode()
                self.check(OK, "rcluster", "reshard", "--plan", "-", "--yes", input=plan)
                self.has_all(keys)
                self.assertIs(self.owner(number), target)
                self.agrees()

    def test_only_one_side_is_open(self):
        for who in ("migrating", "importing", "stranger"):
            with self.subTest(who=who):
                self.cluster.flush()
                number = {"migrating": 300, "importing": 301, "stranger": 302}[who]
                source = self.owner(number)
                target = self.another(source)
                keys = self.fill(number)
                if who == "migrating":
                    source.call("CLUSTER", "SETSLOT", number, "MIGRATING", self.cluster.node_id(target))
                elif who == "importing":
                    target.call("CLUSTER", "SETSLOT", number, "IMPORTING", self.cluster.node_id(source))
                else:
                    third = next(m for m in self.cluster.masters() if m not in (source, target))
                    target.call("CLUSTER", "SETSLOT", number, "IMPORTING", self.cluster.node_id(third))
                self.check(OK, "rcluster", "fix", "--yes")
                self.has_all(keys)
                self.assertIs(self.owner(number), source if who == "stranger" else target)
                self.agrees()

    def test_keys_that_differ_are_named_and_left(self):
        number = 310
        source = self.owner(number)
        target = self.another(source)
        keys = self.fill(number, 4)
        key = list(keys)[1]
        self.cluster.open_slot(number, target)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "COPY", "KEYS", key)
        source.call("SET", key, "newer")
        keys[key] = "newer"
        err = self.error(FAILED, "rcluster", "fix", "--yes", lines=2)
        self.assertIn(f'"{key}" is on {target.addr}, too, and differs there', err)
        self.assertIn("slot 310", err)
        self.assertEqual(source.call("GET", key), b"newer")
        self.ok("rcluster", "fix", "--yes", "--replace")
        self.has_all(keys)
        self.agrees()

    def test_who_has_more_keys_decides_nothing(self):
        """The target holds more than the owner, and the owner is not migrating: the owner keeps what it owns."""
        number = 320
        source = self.owner(number)
        target, third = [m for m in self.cluster.masters() if m is not source]
        keys = self.fill(number, 30)
        self.cluster.open_slot(number, target)
        source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *list(keys)[:29])
        source.call("CLUSTER", "SETSLOT", number, "STABLE")
        third.call("CLUSTER", "SETSLOT", number, "IMPORTING", self.cluster.node_id(source))
        self.check(OK, "rcluster", "fix", "--yes")
        self.has_all(keys)
        self.assertIs(self.owner(number), source)
        self.agrees()

    def test_slots_without_an_owner_get_one(self):
        keys = self.fill(330)
        for server in self.cluster.servers:
            for number in (330, 331):
                try:
                    server.call("CLUSTER", "DELSLOTS", number)
                except Reply:
                    pass  # a replica has heard of it already
        holder = next(s for s in self.cluster.servers[:3] if s.call("CLUSTER", "COUNTKEYSINSLOT", 330))
        self.check(NO, "rcluster", "check")
        self.check(OK, "rcluster", "fix", "--yes")
        wait_until(lambda: self.owner(330) is holder, 10, "the holder of its keys owns the slot")
        self.cluster.wait_ok()
        self.has_all(keys)
        self.agrees()

    def test_a_lost_master_gives_its_slots_only_where_that_is_asked_for(self):
        with Cluster(3, 0, conf=["cluster-node-timeout 1000"]) as cluster:
            first, second, lost = cluster.servers
            with first.connect() as conn:
                keys = [k for k in (f"k{i}" for i in range(300)) if slot(k) < 5461]
                conn.pipeline([("SET", k, k) for k in keys])
            lost.kill()
            wait_until(lambda: b" master,fail " in first.call("CLUSTER", "NODES"), 20, "it is marked as failed")
            err = self.error(FAILED, "rcluster", "fix", first.addr, "--yes")
            self.assertIn(f"{lost.addr}, which has 5462 slots, does not answer", err)
            result = self.check(NO, "rcluster", "fix", first.addr, "--yes", "--fix-with-unreachable-masters")
            self.assertEqual(len(result.err.splitlines()), 1, result.err)  # it still does not answer
            wait_until(lambda: b"cluster_state:ok" in first.call("CLUSTER", "INFO"), 20, "the cluster is ok")
            self.assertEqual(first.call("DBSIZE"), len(keys))
            covered = sum(last - begin + 1 for (begin, last), (port, _) in cluster.view(first).items() if port != lost.port)
            self.assertEqual(covered, 16384)
            lost.start()
            wait_until(lambda: self.run_tool("rcluster", "check", first.addr).status == OK, 20, "it has come back, without slots")
            self.assertEqual(first.call("DBSIZE"), len(keys))

    def test_without_an_answer_nothing_is_done(self):
        number = 340
        source = self.owner(number)
        self.cluster.open_slot(number, self.another(source))
        err = self.error(FAILED, "rcluster", "fix")
        self.assertIn("--yes", err)
        self.check(NO, "rcluster", "check")
        self.ok("rcluster", "fix", "--yes")
        self.agrees()

    def test_nothing_to_mend(self):
        self.assertEqual(self.ok("rcluster", "fix", "--yes"), b"ok: nothing is to be mended\n")


class Reshard(AdminCase):
    def test_slots_and_keys_go_where_they_should(self):
        keys = self.fill_all(3000)
        source, target = self.cluster.masters()[:2]
        name = self.ids()
        before = {n: self.owner(n) for n in range(0, 16384, 50)}
        out = self.ok("rcluster", "reshard", self.address, "--from", name[source.port], "--to", target.addr,
                      "--slots", "300", "--yes").decode()
        self.assertRegex(out, r"^(\d+-\d+ %s %s\n)+moved 300 slots with" % (source.addr, target.addr))
        plan = [n for a, b in re.findall(r"^(\d+)-(\d+) ", out, re.M) for n in range(int(a), int(b) + 1)]
        self.assertEqual(len(plan), 300)
        for number, was in before.items():
            self.assertIs(self.owner(number), target if number in plan else was)
        self.has_all(keys)
        self.agrees()

    def test_a_plan_is_printed_piped_and_done_once(self):
        keys = self.fill_all(500)
        target = self.cluster.masters()[2]
        plan = self.ok("rcluster", "reshard", "--from", "all", "--to", target.addr, "--slots", "20", "--dry-run")
        self.assertEqual(len(self.cluster.masters()), 3)
        self.ok("rcluster", "reshard", "--plan", "-", "--yes", input=plan)
        again = self.ok("rcluster", "reshard", "--plan", "-", "--yes", input=plan)
        self.assertEqual(again, b"nothing is to be moved\n")
        data = json.loads(self.ok("rcluster", "reshard", "--from", "all", "--to", target.addr, "--slots", "20",
                                  "--dry-run", "--json"))
        self.assertEqual(data["slots"], 20)
        self.assertEqual(sum(m["last"] - m["first"] + 1 for m in data["moves"]), 20)
        self.has_all(keys)
        self.agrees()

    def test_bad_plans_name_their_line(self):
        a, b = self.cluster.masters()[:2]
        far = self.owner(16383).addr
        for line, said in (("x", "FIRST-LAST SOURCE TARGET is wanted"), (f"5-3 {a.addr} {b.addr}", "two slots"),
                           (f"0-16384 {a.addr} {b.addr}", "two slots"), (f"0 {a.addr} 1.2.3.4:5", "no node of this address"),
                           (f"0-16383 {far} {b.addr}", "neither SOURCE nor TARGET owns it")):
            plan = f"# a comment\n\n{line}\n".encode()
            err = self.error(FAILED, "rcluster", "reshard", "--plan", "-", "--yes", input=plan)
            self.assertIn("standard input: line 3: ", err)
            self.assertIn(said, err)
        for plan, said in ((f"0 {a.addr} {b.addr}\0 # more\n".encode(), "holds a NUL"), (b"x" * 2000, "is too long")):
            err = self.error(FAILED, "rcluster", "reshard", "--plan", "-", "--yes", input=plan)
            self.assertIn(f"standard input: line 1: a plan: the line {said}", err)
        err = self.error(FAILED, "rcluster", "reshard", "--plan", "/dev/zero", "--yes")
        self.assertIn("/dev/zero: line 1: ", err)

    def test_usage(self):
        a, b = self.cluster.masters()[:2]
        replica = self.cluster.replicas_of(a)[0]
        base = ["--from", a.addr, "--to", b.addr, "--slots"]
        for args, said in ((["--to", a.addr, "--slots", "1"], "--from is missing"), ([*base, "16384"], "slots only"), (["--from", a.addr, "--to", a.addr, "--slots", "1"], "is the receiving node"),
                           (["--from", a.addr, "--to", replica.addr, "--slots", "1"], "is a replica"),
                           (["--from", "0z", "--to", a.addr, "--slots", "1"], "neither HOST:PORT nor an id"),
                           ([*base, "1", "--plan", "-"], "--plan says all")):
            self.assertIn(said, self.error(FAILED, "rcluster", "reshard", *args, "--yes"))
        for args in (["--slots", "0"], ["--slots", "16385"], ["--max-keys/s", "-1"], ["--max-bytes/s", "1x"], ["--big-key", ""]):
            result = self.run_tool("rcluster", "reshard", *args)
            self.assertEqual(result.status, FAILED)
            self.assertIn(f"rcluster reshard: {args[0]}: ", result.err)

    def test_an_id_may_be_cut_short_where_it_is_the_only_one(self):
        ids = list(self.ids().values())
        length = next(n for n in range(1, 41) if len({i[:n] for i in ids}) == len(ids))
        a, b = self.cluster.masters()[:2]
        name = self.ids()
        self.ok("rcluster", "reshard", "--from", name[a.port][:length], "--to", name[b.port][:length], "--slots", "1", "--yes")
        shared = next((i[:1] for i in ids if sum(j[:1] == i[:1] for j in ids) > 1), None)
        if shared:
            err = self.error(FAILED, "rcluster", "reshard", "--from", shared, "--to", b.addr, "--slots", "1", "--yes")
            self.assertIn("give more of it", err)

    def talk(self, *lines, more=()):
        """rcluster reshard on a terminal, given LINES; (status, what was shown)."""
        master, slave = pty.openpty()
        process = self.start("rcluster", "reshard", self.address, *more, stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        os.write(master, "".join(line + "\n" for line in lines).encode() + b"\x04")
        shown = b""
        while True:
            try:
                piece = os.read(master, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(master)
        return process.wait(30), shown.decode()

    def test_what_is_missing_is_asked_for(self):
        keys = self.fill_all(200)
        a, b = self.cluster.masters()[:2]
        slots = lambda s: sum(l - f + 1 for (f, l), (m, _) in self.cluster.view(s).items() if m == s.port)  # noqa: E731
        before = slots(b)
        status, shown = self.talk("many", "7", b.addr, a.addr, "done", "yes")
        self.assertEqual(status, OK, shown)
        self.assertIn("How many slots", shown)
        self.assertEqual(slots(b), before + 7)
        status, shown = self.talk("7", b.addr, a.addr, "done", "no")
        self.assertEqual(status, FAILED, shown)
        self.assertEqual(slots(b), before + 7)
        self.has_all(keys)

    def test_a_terminal_sees_how_far_it_is(self):
        self.fill(420, 1500)
        source = self.owner(420)
        plan = os.path.join(self.runtime.path, "plan")
        with open(plan, "w", encoding="ascii") as file:
            file.write(f"420 {source.addr} {self.another(source).addr}\n")
        status, shown = self.talk(more=["--plan", plan, "--yes", "--max-keys/s", "700"])
        self.assertEqual(status, OK, shown)
        self.assertRegex(shown, r"\[#+ *\] \d+ keys, \d+/s, \d+%, \d+:\d\d left")

    def test_the_end_of_input_ends_the_questions(self):
        status, shown = self.talk()
        self.assertEqual(status, FAILED)
        self.assertIn("the input has ended", shown)

    def test_an_interrupt_ends_the_questions(self):
        master, slave = pty.openpty()
        process = self.start("rcluster", "reshard", stdin=slave, stdout=slave)
        os.close(slave)
        shown = b""
        while not shown.endswith(b"? "):
            shown += process.stderr.read1()
        while process.poll() is None:  # one may come before it reads
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        os.close(master)
        self.assertEqual(process.returncode, FAILED)
        self.assertEqual(process.stderr.read(), b"rcluster: interrupted: nothing was done\n")
        process.stderr.close()

    def test_limits_hold(self):
        keys = self.fill(400, 300)
        source = self.owner(400)
        plan = f"400 {source.addr} {self.another(source).addr}\n".encode()
        begin = time.monotonic()
        self.ok("rcluster", "reshard", "--plan", "-", "--yes", "--max-keys/s", "400", input=plan)
        self.assertGreater(time.monotonic() - begin, 0.5)  # 300 keys at 400/s, less the head start
        self.has_all(keys)

    def test_a_big_key_goes_alone_after_a_question(self):
        number, n = 410, 2_000_000
        keys = self.fill(number, 50)
        source = self.owner(number)
        target = self.another(source)
        big = f"{{{tag_of(number)}}}big"
        source.call("SET", big, "x" * n)
        keys[big] = "x" * n
        source.call("CONFIG", "SET", "slowlog-log-slower-than", 0)
        source.call("CONFIG", "SET", "slowlog-max-len", 100000)
        source.call("SLOWLOG", "RESET")
        self.addCleanup(source.call, "CONFIG", "SET", "slowlog-log-slower-than", 10000)
        plan = f"{number} {source.addr} {target.addr}\n".encode()
        result = self.check(OK, "rcluster", "reshard", "--plan", "-", "--yes", "--big-key", "1M", input=plan)
        self.assertIn(f'a big key: "{big}"', result.err)
        moves = [e[3] for e in source.call("SLOWLOG", "GET", 100000) if e[3][0] == b"MIGRATE"]
        alone = [m for m in moves if big.encode() in m]
        self.assertEqual([m[m.index(b"KEYS") + 1 :] for m in alone], [[big.encode()]])
        self.assertGreater(len(moves), 1)
        self.has_all(keys)

    def test_an_interrupt_leaves_what_goes_on(self):
        keys = self.fill_all(6000)
        source, target = self.cluster.masters()[:2]
        command = ["reshard", self.address, "--from", source.addr, "--to", target.addr, "--slots", "600", "--yes"]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            process = self.start("rcluster", *command, "--max-keys/s", "2000")
            wait_until(lambda: "migrating" in str(source.call("CLUSTER", "NODES")) or b"->-" in source.call("CLUSTER", "NODES"),
                       20, "slots are open")
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
            if number == signal.SIGKILL:
                self.assertEqual(process.returncode, -signal.SIGKILL)
            else:
                self.assertEqual(process.returncode, FAILED, err)
                self.assertIn(b"interrupted: ", err)
            self.check(OK, "rcluster", *command[:-3], "--slots", "1", "--yes")
            self.has_all(keys)
            self.agrees()

    def slots_of(self, server):
        return {n for (a, b), (port, _) in self.cluster.view(server).items() if port == server.port for n in range(a, b + 1)}

    def test_the_same_command_goes_on_exactly(self):
        keys = self.fill_all(6000)
        source, target = self.cluster.masters()[:2]
        command = ["reshard", self.address, "--from", source.addr, "--to", target.addr, "--slots", "300", "--yes"]
        for number in (signal.SIGINT, signal.SIGKILL):
            before = self.slots_of(source)
            process = self.start("rcluster", *command, "--max-keys/s", "200")
            wait_until(lambda: self.slots_of(source) < before, 20, "some slots are moved")
            process.send_signal(number)
            process.communicate(timeout=60)
            self.assertGreater(len(self.slots_of(source)), len(before) - 300)
            self.ok("rcluster", "fix", "--yes")
            left = json.loads(self.ok("rcluster", *command, "--dry-run", "--json"))["slots"]
            self.assertTrue(0 < left < 300, left)
            # Another target, another number: another reshard.
            self.assertEqual(json.loads(self.ok("rcluster", *command[:-2], "5", "--dry-run", "--json"))["slots"], 5)
            out = self.ok("rcluster", *command).decode()
            self.assertIn(f"# the same command was interrupted: {left} of its 300 slots are left", out)
            self.assertEqual(self.slots_of(source), before - set(sorted(before)[:300]))
            self.assertIn(b"moved 300 slots", self.ok("rcluster", *command[:2], "--from", target.addr, "--to", source.addr,
                                                      "--slots", "300", "--yes"))
            # What is done is done: the same words are a new reshard.
            self.assertNotIn(b"interrupted", self.ok("rcluster", *command, "--dry-run"))
            self.assertEqual(os.listdir(os.path.join(self.runtime.path, "shard")), [])
        self.has_all(keys)

    def test_what_was_interrupted_and_cannot_go_on_is_told(self):
        source, target, third = self.cluster.masters()
        record = os.path.join(self.runtime.path, "shard", f"reshard-{self.cluster.node_id(target)}")
        os.makedirs(os.path.dirname(record), 0o700)
        number = min(self.slots_of(third))
        with open(record, "w", encoding="utf-8") as file:
            file.write(f"# reshard: 2 slots to {self.cluster.node_id(target)} from {self.cluster.node_id(source)}\n"
                       f"{number} {self.cluster.node_id(source)} {self.cluster.node_id(target)}\n")
        command = ["reshard", self.address, "--from", source.addr, "--to", target.addr, "--slots", "2", "--yes"]
        err = self.error(FAILED, "rcluster", *command, lines=2)
        self.assertIn(f"line 2: slot {number}: neither SOURCE nor TARGET owns it", err)
        self.assertIn(f"remove {record} to begin anew", err)
        os.unlink(record)
        self.assertIn(b"moved 2 slots", self.ok("rcluster", *command))

    def test_a_cluster_that_is_down_for_a_moment_ends_nothing(self):
        with Cluster(3, 0) as cluster:
            source, target, third = cluster.servers
            keys = [k for k in (f"k{i}" for i in range(6000)) if slot(k) < 1000]
            with source.connect() as conn:
                conn.pipeline([("SET", k, k) for k in keys])
            process = self.start("rcluster", "reshard", source.addr, "--from", source.addr, "--to", target.addr,
                                 "--slots", "1000", "--yes", "--max-keys/s", "150", "--timeout", "1000")
            wait_until(lambda: target.call("DBSIZE"), 20, "keys move")
            third.pause()
            try:
                wait_until(lambda: source.info("server") and b"cluster_state:fail" in source.call("CLUSTER", "INFO"), 20, "it is down")
            finally:
                third.resume()
            out, err = process.communicate(timeout=90)
            self.assertEqual(process.returncode, OK, err)
            self.assertEqual((source.call("DBSIZE"), target.call("DBSIZE")), (0, len(keys)))
            self.check(OK, "rcluster", "check", source.addr)

    def test_clients_go_on_meanwhile(self):
        keys = self.fill_all(3000)
        source, target = self.cluster.masters()[:2]
        process = self.start("rcluster", "reshard", "--from", source.addr, "--to", target.addr, "--slots", "1000", "--yes")
        rounds = 0
        while process.poll() is None or rounds < 1:
            more = {f"new{rounds}-{i}": "n" for i in range(200)}
            self.ok("rset", "-", input="".join(f"{k}\t{v}\n" for k, v in more.items()).encode())
            keys.update(more)
            rounds += 1
        self.assertEqual(process.wait(), OK, process.stderr.read())
        process.communicate()
        self.has_all(keys)
        self.agrees()


class Rebalance(AdminCase):
    def setUp(self):
        super().setUp()
        for server in self.cluster.servers:  # else a master without slots makes itself a replica
            server.call("CONFIG", "SET", "cluster-allow-replica-migration", "no")
            self.addCleanup(server.call, "CONFIG", "SET", "cluster-allow-replica-migration", "yes")

    def slots(self):
        count = {m.port: 0 for m in self.cluster.servers[:3]}
        for (first, last), (port, _) in self.cluster.view(self.cluster.servers[0]).items():
            count[port] += last - first + 1
        return list(count.values())

    def weights(self, *weights):
        return ["--weight", ",".join(f"{s.addr}={w}" for s, w in zip(self.cluster.servers, weights))]

    def test_by_slots_is_exact(self):
        keys = self.fill_all(1000)
        self.ok("rcluster", "rebalance", *self.weights(1, 2, 5), "--threshold", "0", "--yes")
        self.assertEqual(sorted(self.slots()), [2048, 4096, 10240])
        self.assertEqual(self.slots(), [2048, 4096, 10240])
        self.has_all(keys)
        self.ok("rcluster", "rebalance", "--threshold", "0", "--yes")
        self.assertEqual(sorted(self.slots()), [5461, 5461, 5462])
        self.assertIn("No rebalancing needed", redis_cli("rebalance", self.address, status=None))
        self.assertEqual(self.ok("rcluster", "rebalance", "--threshold", "0", "--yes"), b"nothing is to be moved\n")
        self.has_all(keys)
        self.agrees()

    def test_a_threshold_leaves_small_differences(self):
        a, b = self.cluster.masters()[:2]
        self.ok("rcluster", "rebalance", "--threshold", "0", "--yes")
        self.ok("rcluster", "reshard", "--from", a.addr, "--to", b.addr, "--slots", "50", "--yes")  # 0.9 %
        self.assertEqual(self.ok("rcluster", "rebalance", "--yes"), b"nothing is to be moved\n")
        out = self.ok("rcluster", "rebalance", "--threshold", "0.5", "--simulate")
        lines = [line.split() for line in out.decode().splitlines()]
        self.assertEqual({(s, t) for _, s, t in lines}, {(b.addr, a.addr)})
        self.ok("rcluster", "rebalance", "--plan", "-", "--yes", input=out)
        self.assertEqual(sorted(self.slots()), [5461, 5461, 5462])

    def test_a_weight_of_nothing_empties_a_master(self):
        keys = self.fill_all(300)
        self.ok("rcluster", "rebalance", *self.weights(1, 1, 0), "--yes")
        self.assertEqual(self.slots(), [8192, 8192, 0])
        self.assertEqual(self.ok("rcluster", "rebalance", "--yes"), b"nothing is to be moved\n")
        self.ok("rcluster", "rebalance", "--use-empty-masters", "--threshold", "0", "--yes")
        self.assertEqual(sorted(self.slots()), [5461, 5461, 5462])
        self.has_all(keys)
        self.cluster.wait_ok()

    def test_an_emptied_master_may_become_a_replica(self):
        with Cluster(3, 0) as cluster:
            source, target = cluster.servers[0], cluster.servers[1]
            keys = [k for k in (f"k{i}" for i in range(1000)) if slot(k) < 5000]
            with source.connect() as conn:
                conn.pipeline([("SET", k, k) for k in keys])
            self.ok("rcluster", "reshard", source.addr, "--from", source.addr, "--to", target.addr, "--slots", "5461", "--yes")
            wait_until(lambda: source.call("ROLE")[0] == b"slave", 10, "it is a replica")
            self.assertEqual(target.call("DBSIZE"), len(keys))
            wait_until(lambda: self.run_tool("rcluster", "check", target.addr).status == OK, 15, "all is well")

    def test_by_keys_and_bytes(self):
        keys = self.fill_all(3000)
        heavy = self.fill(5, 100, "h" * 1000)
        keys.update(heavy)
        for what in ("keys", "bytes"):
            out = self.ok("rcluster", "rebalance", "--by", what, "--threshold", "1", "--yes").decode()
            self.assertEqual(out.startswith("# by"), what == "bytes")
            shares = []
            for server in self.cluster.servers[:3]:
                with server.connect() as conn:
                    names = conn.call("KEYS", "*")
                    sizes = conn.pipeline([("MEMORY", "USAGE", n) for n in names])
                shares.append(len(names) if what == "keys" else sum(sizes))
            mean = sum(shares) / 3
            for share in shares:
                self.assertLess(abs(share - mean) / mean, {"keys": 0.05, "bytes": 0.25}[what], (what, shares))  # sampled
            self.has_all(keys)
        self.agrees()

    def test_by_traffic_counts_what_is_used(self):
        """Keys that were not used for long weigh next to nothing."""
        first = next(f for (f, l), (port, _) in self.cluster.view(self.cluster.servers[0]).items()
                     if port == self.cluster.servers[0].port and l - f > 300)
        quiet = range(first, first + 300)
        for server in self.cluster.servers[:3]:
            server.call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
            self.addCleanup(server.call, "CONFIG", "SET", "maxmemory-policy", "noeviction")
        hot = {}
        with self.cluster.servers[0].connect() as conn:
            for n in quiet:
                hot[f"{{{tag_of(n)}}}hot"] = "v"
            conn.pipeline([("SET", k, "v") for k in hot])
            for _ in range(30):
                conn.pipeline([("GET", k) for k in hot])
        self.ok("rcluster", "rebalance", "--by", "traffic", "--threshold", "1", "--yes")
        counts = [s.call("DBSIZE") for s in self.cluster.servers[:3]]
        for count in counts:
            self.assertLess(abs(count - 100), 25, counts)
        self.has_all(hot)
        self.ok("rcluster", "rebalance", "--threshold", "0", "--yes")

    def test_usage(self):
        for args, said in ((["--weight", "x"], "NODE=WEIGHT is wanted"), (self.weights(0, 0, 0), "nobody is left"),
                           (["--weight", "1.2.3.4:5=1"], "no node of this address"),
                           (["--plan", "/dev/null", "--by", "keys"], "--plan says all"),
                           (["--plan", "/dev/null", "--threshold", "2"], "--plan says all")):
            self.assertIn(said, self.error(FAILED, "rcluster", "rebalance", *args, "--yes"))
        for args in (["--threshold", "-1"], ["--by", "colour"]):
            self.assertIn(f"rcluster rebalance: {args[0]}: ", self.run_tool("rcluster", "rebalance", *args).err)


class WithRedisCli(AdminCase):
    """States made by one and read by the other."""

    def test_what_redis_cli_left_is_finished(self):
        keys = self.fill_all(4000)
        source, target = self.cluster.masters()[:2]
        name = self.ids()
        for _ in range(3):
            process = subprocess.Popen(["redis-cli", "--cluster", "reshard", self.address, "--cluster-from", name[source.port],
                                        "--cluster-to", name[target.port], "--cluster-slots", "400", "--cluster-yes"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(0.1 + random.random() * 0.2)
            process.kill()
            process.wait()
            self.check(OK, "rcluster", "fix", "--yes")
            self.has_all(keys)
            self.agrees()

    def test_what_rcluster_left_is_finished(self):
        keys = self.fill_all(4000)
        source, target = self.cluster.masters()[:2]
        while b"->-" not in source.call("CLUSTER", "NODES"):  # it may be killed just between two batches
            process = self.start("rcluster", "reshard", "--from", source.addr, "--to", target.addr, "--slots", "400",
                                 "--yes", "--max-keys/s", "500")
            wait_until(lambda: b"->-" in source.call("CLUSTER", "NODES") or process.poll() is not None, 20, "it has begun")
            process.kill()
            process.communicate()
        self.assertIn("[WARNING]", redis_cli("check", self.address, status=None))
        redis_cli("fix", self.address, input="yes\n" * 10, status=None)
        wait_until(lambda: self.run_tool("rcluster", "check", self.address).status == OK, 15, "gossip has told all")
        self.has_all(keys)
        self.agrees()


class Passwords(ToolCase):
    needs_cluster = False

    def test_keys_move_with_a_password_and_with_a_user(self):
        acl = ["user mover on >secret ~* &* +@all"]
        with Cluster(3, 0, conf=acl, password="hidden") as cluster:
            with cluster.servers[0].connect() as conn:
                key = next(k for k in (f"k{i}" for i in range(1000)) if slot(k) < 1000)
                conn.call("SET", key, "value")
            source, target = cluster.servers[:2]
            plan = f"{slot(key)} {source.addr} {target.addr}\n"
            self.error(FAILED, "rcluster", "check", source.addr)
            for uri, env in ((source.uri, {}), (f"redis://mover:secret@{target.addr}", {}),
                             (f"redis://{source.addr}", {"SHARD_PASSWORD": "hidden"})):
                self.more_env = env
                result = self.check(OK, "rcluster", "reshard", "-u", uri, "--plan", "-", "--yes", input=plan.encode())
                self.assertIn(b"moved 1 slots with 1 keys", result.out)
                self.assertEqual(target.call("GET", key), b"value")
                source, target = target, source
                plan = f"{slot(key)} {source.addr} {target.addr}\n"


if __name__ == "__main__":
    unittest.main(verbosity=2)
