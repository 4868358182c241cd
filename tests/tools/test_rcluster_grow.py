#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""rcluster up: clusters that grow, settings of one's own, another server: test_rcluster_grow.py [CLASS...]"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_rcluster import DEADLINE, HOST, Case, Conn, call, info, runs, view, wait_until


def layout_of(home):
    with open(os.path.join(home.default_dir, "cluster"), encoding="utf-8") as file:
        return file.read().splitlines()


def path_with(home, name, target):
    """An environment whose PATH begins with a folder in which NAME is TARGET: a script, or (a path) a link to it."""
    folder = os.path.join(home.path, f"bin-{name}-{len(os.listdir(home.path))}")
    os.mkdir(folder)
    path = os.path.join(folder, name)
    if target.startswith("/"):
        os.symlink(target, path)
    else:
        with open(path, "w", encoding="ascii") as file:
            file.write(f"#!/bin/sh\n{target}\n")
        os.chmod(path, 0o755)
    return {**home.env, "PATH": f"{folder}:{home.env['PATH']}"}


def roles(rows):
    """{port: its master's port, or None for a master} of what status prints."""
    return {port: None if row[1] == "master" else int(row[2]) for port, row in rows.items()}


class Grow(Case):
    def assert_redis_cli_agrees(self, port):
        run = subprocess.run(
            ["redis-cli", "--cluster", "check", f"{HOST}:{port}"], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(run.returncode, 0, run.stdout)
        self.assertIn("[OK] All 16384 slots covered", run.stdout)

    def test_masters_and_replicas_are_added_empty_and_keys_stay(self):
        home = self.home()
        base = home.port(6)
        home.run("up", "--port", base, "--masters", 1, "--replicas", 1)
        for i in range(50):
            call([base], "SET", f"key{i}", i)
        before = view(base)
        pids = home.pids()
        output = home.run("up", "--masters", 2)
        self.assertIn("ready", output)
        self.assertIn(f"2 masters, 2 replicas, ports {base}-{base + 3}", output)
        rows = home.rows()
        self.assertEqual(rows[base + 2][1:4], ["master", "-", "-"])
        self.assertEqual(rows[base + 3][1:3], ["replica", str(base + 2)])
        self.assertEqual(view(base), before)
        self.assertEqual(view(base + 2), before)
        self.assertEqual({p: pid for p, pid in home.pids().items() if p in pids}, pids)
        self.assertEqual(int(info(base + 2, "CLUSTER", "INFO")["cluster_known_nodes"]), 4)
        self.assertIn(f"{base + 2} restarted\n", home.run("restart"))  # it has no slots to hand over
        home.run("up", "--masters", 2, "--replicas", 2)
        rows = home.rows()
        self.assertEqual(sorted(row[2] for row in rows.values() if row[1] == "replica"),
                         sorted(2 * [port for port in (str(p) for p in rows) if rows[int(port)][1] == "master"]))
        for i in range(50):
            self.assertEqual(call([base], "GET", f"key{i}"), str(i).encode())
        self.assert_redis_cli_agrees(base + 5)
        self.assertIn("already running", home.run("up", "--masters", 2, "--replicas", 2))
        for args in (["--masters", 1], ["--replicas", 0], ["--masters", 1, "--replicas", 4]):
            self.assertIn("it can grow, but not shrink", home.fails("up", *args))

    def test_a_stopped_cluster_grows_too_and_the_majority_of_roles_is_kept(self):
        home = self.home()
        base = home.port(3)
        home.run("up", "--port", base, "--masters", 1, "--replicas", 0)
        call([base], "SET", "key", "value")
        home.run("down")
        home.run("up", "--replicas", 2)
        self.assertEqual(roles(home.rows()), {base: None, base + 1: base, base + 2: base})
        self.assertEqual(call([base], "GET", "key"), b"value")

    def test_a_node_that_stands_outside_is_brought_back(self):
        home = self.home()
        base = home.port(4)
        home.run("up", "--port", base, "--masters", 2, "--replicas", 1)
        with Conn(base + 3) as conn:
            conn.call("CLUSTER", "RESET", "HARD")
        for port in home.ports[:3]:
            with Conn(port) as conn:
                for line in conn.call("CLUSTER", "NODES").decode().splitlines():
                    if f":{base + 3}@" in line:
                        conn.call("CLUSTER", "FORGET", line.split()[0])
        home.run("status", status=1)
        home.run("up")
        self.assertEqual(roles(home.rows()), {base: None, base + 1: None, base + 2: base, base + 3: base + 1})

    def test_another_cluster_in_its_place_is_refused(self):
        home = self.home()
        base = home.port(2)
        home.run("up", "--port", base, "--masters", 1)
        with Conn(base + 1) as conn:
            old = conn.call("CLUSTER", "MYID")
            conn.call("CLUSTER", "RESET", "HARD")
            conn.call("CLUSTER", "ADDSLOTS", *range(16384))
        with Conn(base) as conn:
            conn.call("CLUSTER", "FORGET", old)
        self.assertIn("is in another cluster", home.fails("up", "--wait", 5))


class Failing(Case):
    def small(self, ports=2):
        home = self.home()
        home.run("up", "--port", home.port(ports), "--masters", 1, "--replicas", 0)
        return home, home.ports[0]

    def assert_as_before(self, home, base, layout):
        self.assertEqual(layout_of(home), layout)
        self.assertEqual(list(home.rows()), [base])
        self.assertFalse(os.path.exists(os.path.join(home.default_dir, str(base + 1))))

    def test_what_cannot_grow_is_as_before(self):
        home, base = self.small()
        layout = layout_of(home)
        with socket.socket() as holder:
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((HOST, base + 1))
            holder.listen()
            self.assertIn(f"port {base + 1} is in use", home.fails("up", "--masters", 2))
        self.assert_as_before(home, base, layout)
        env = path_with(home, "redis-server", "echo boom; exit 1")
        self.assertIn("the server ended at once", home.fails("up", "--masters", 2, env=env))
        self.assert_as_before(home, base, layout)
        mine = os.path.join(home.default_dir, str(base + 1))
        os.mkdir(mine)
        self.assertIn(f"{mine}: is there already", home.fails("up", "--masters", 2))
        self.assertEqual(layout_of(home), layout)
        os.rmdir(mine)
        home.run("up", "--masters", 2)
        self.assertEqual(roles(home.rows()), {base: None, base + 1: None})

    def test_a_killed_or_interrupted_growth_is_finished_by_the_next_up(self):
        home, base = self.small(3)
        up = home.popen("up", "--replicas", 1)
        wait_until(lambda: len(home.pids()) == 2, what="the second server started")
        up.kill()
        up.communicate(timeout=DEADLINE)
        home.run("up")
        self.assertEqual(roles(home.rows()), {base: None, base + 1: base})
        layout = layout_of(home)
        env = path_with(home, "redis-server", "trap 'kill $!; exit' TERM; sleep 60 & wait")
        up = home.popen("up", "--replicas", 2, env=env)
        wait_until(lambda: len(home.pids()) == 3, what="the third server started")
        pid = home.pids()[base + 2]
        up.send_signal(signal.SIGINT)
        output, error = up.communicate(timeout=DEADLINE)
        self.assertEqual((up.returncode, output, error), (2, "", "rcluster: interrupted\n"))
        self.assertFalse(runs(pid))
        self.assertEqual(layout_of(home), layout)
        home.run("up", "--replicas", 2)
        self.assertEqual(roles(home.rows()), {base: None, base + 1: base, base + 2: base})


class Settings(Case):
    def test_settings_hold_on_every_node_new_ones_too(self):
        home = self.home()
        base = home.port(2)
        home.run(
            "up", "--masters", 1, "--replicas", 0, "--port", base, "--conf", "maxmemory=64mb", "--conf",
            "save=900 1 300 10", "--conf", "cluster-node-timeout=1500", "--conf", "notify-keyspace-events=",
        )  # fmt: skip
        self.assertIn("conf save 900 1 300 10", layout_of(home))
        home.run("up", "--masters", 2, "--conf", "save=900 1 300 10")
        for port in home.ports:
            with Conn(port) as conn:
                self.assertEqual(conn.call("CONFIG", "GET", "maxmemory")[1], b"67108864")
                self.assertEqual(conn.call("CONFIG", "GET", "save")[1], b"900 1 300 10")
                self.assertEqual(conn.call("CONFIG", "GET", "cluster-node-timeout")[1], b"1500")
        self.assertIn("made without maxmemory 65mb", home.fails("up", "--conf", "maxmemory=65mb"))

    def test_a_setting_that_the_server_refuses_is_explained_by_its_log(self):
        home = self.home()
        error = home.fails("up", "--masters", 1, "--port", home.port(2), "--conf", "nosuch-setting=1")
        self.assertIn("nosuch-setting", error)
        home.run("up", "--masters", 1, "--port", home.ports[0])

    def test_bad_settings_are_usage_errors(self):
        home = self.home()
        for arg, word in (
            ("x", "KEY=VALUE"), ("=1", "KEY=VALUE"), ("", "KEY=VALUE"), ("a b=1", "name of a setting"),
            ("port=1", "--port"), ("PORT=1", "--port"), ("bind=0.0.0.0", "--bind"), ("dir=/", "--dir"),
            ("unixsocket=/x", "each node"), ("requirepass=x", "password"), ("tls-port=1", "TLS"),
            ("cluster-announce-ip=1.1.1.1", "listen"),
            ("save=1\nport 5", "end of a line"), ("x=" + "y" * 5000, "longer"), ("k" * 99 + "=1", "KEY=VALUE"),
        ):  # fmt: skip
            error = home.fails("up", "--conf", arg)
            self.assertIn(word, error)
            self.assertEqual(error.count("\n"), 1, error)
        self.assertEqual(home.files(), set())


class Valkey(Case):
    """valkey-server is redis-server by another name where it is not installed: what is tested is who is started."""

    def test_valkey_is_chosen_and_remembered(self):
        home = self.home()
        base = home.port(2)
        if not shutil.which("valkey-server"):
            error = home.fails("up", "--valkey", "--masters", 1, "--port", base)
            self.assertIn("apt install valkey-server", error)
            self.assertEqual(home.files(), set())
        env = path_with(home, "valkey-server", os.path.realpath(shutil.which("redis-server")))
        home.run("up", "--valkey", "--masters", 1, "--replicas", 0, "--port", base, env=env)
        self.assertIn("server valkey-server", layout_of(home))
        home.run("kill", base)
        if not shutil.which("valkey-server"):
            self.assertIn("apt install valkey-server", home.fails("up"))
        home.run("up", "--replicas", 1, env=env)
        for pid in home.pids().values():
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                self.assertIn(b"valkey-server", file.read())
            with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                self.assertEqual(file.read().strip(), "valkey-server")
        home.run("restart", env=env)
        home.run("status")

    def test_the_data_stay_with_the_server_that_they_are_of(self):
        home = self.home()
        home.run("up", "--masters", 1, "--replicas", 0, "--port", home.port(1))
        self.assertIn("server redis-server", layout_of(home))
        self.assertIn("made with redis-server", home.fails("up", "--valkey"))
        home.run("up")


if __name__ == "__main__":
    unittest.main(verbosity=2)
