# SPDX-License-Identifier: MIT
"""rproxy and nutcracker, the same file, three servers, redis-benchmark through either: CPU of the proxy, rates, memory."""

import os
import re
import shutil
import socket
import subprocess
import time

from lib.measure import Failure, interleave
from lib.report import Row
from shardtest import HOST, Server, TempDir, encode, free_port, program, wait_until

PEER = "nutcracker"
CLIENTS = 50
IDLE = 10000
BURST = 1 << 30
VALUE = 1 << 20
SUMMARY = re.compile(r"throughput summary: ([\d.]+)")
LATENCY = re.compile(r"\n\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)")


class Side:
    """A proxy that runs."""

    def __init__(self, name, argv, servers, folder):
        self.name, self.port = name, free_port()
        file = os.path.join(folder, name + ".yml")
        with open(file, "w", encoding="ascii") as out:
            out.write(f"alpha:\n  listen: {HOST}:{self.port}\n  redis: true\n  timeout: 5000\n  servers:\n")
            out.writelines(f"   - {server.addr}:1 s{i}\n" for i, server in enumerate(servers))
        self.process = subprocess.Popen(
            [*argv, "-c", file, "-s", str(free_port()), "-a", HOST, "-p", os.path.join(folder, name + ".pid"),
             "-o", os.path.join(folder, name + ".log")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: socket.create_connection((HOST, self.port)).close() or True, 10, f"{name} listens")

    def cpu(self):
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat", encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def memory(self):
        """In MB."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("VmRSS:")).split()[1]) * 1024 / 1e6

    def pin(self, cpu):
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            os.sched_setaffinity(int(task), {cpu})

    def load(self, count, *args):
        """redis-benchmark through it. Seconds for one request: cpu (the proxy's), wall; p99 of the latencies."""
        before = self.cpu()
        done = subprocess.run(["redis-benchmark", "-p", str(self.port), "-n", str(count), "-c", str(CLIENTS),
                               "--precision", "3", *args], capture_output=True, text=True, check=False)
        rate, latency = SUMMARY.search(done.stdout), LATENCY.findall(done.stdout)
        if done.returncode or not rate or not latency:
            raise Failure(f"redis-benchmark through {self.name}: {done.stdout[-300:]}{done.stderr[-300:]}")
        return {"cpu": (self.cpu() - before) / count, "wall": 1 / float(rate.group(1)), "p99": float(latency[-1][4]) / 1000}

    def close(self):
        self.process.terminate()
        self.process.wait()


def nutcracker():
    path = shutil.which("nutcracker") or shutil.which("nutcracker", path="/usr/sbin:/usr/local/sbin")
    if not path:
        raise Failure("nutcracker is not there: install it (Debian: nutcracker)")
    return path


def run(context):
    servers = [Server() for _ in range(3)]
    with TempDir("shard-bench-") as folder:
        sides = {}
        try:
            for name, argv in (("rproxy", [program("rproxy")]), (PEER, [nutcracker()])):
                sides[name] = Side(name, argv, servers, folder)
            if "memory" not in context.only:
                yield from rates(context, sides)
            yield from memory(context, sides)
        finally:
            for side in sides.values():
                side.close()
            for server in servers:
                server.close()


def measured(context, sides, count, *args):
    return interleave(context, {name: lambda side=side: side.load(count, *args) for name, side in sides.items()})


def row(got, what, metric, unit, *goal):
    return Row(what, unit, got.median("rproxy", metric), PEER, got.median(PEER, metric), *goal)


def rates(context, sides):
    get = ("-t", "get", "-r", "100000")
    got = measured(context, sides, context.scaled(100000), "-P", "1", *get)
    yield row(got, "proxy CPU per GET, -P 1", "cpu", "us", "ratio", 0.75)
    yield row(got, "a GET, -P 1, everything on one CPU", "wall", "us", "speed-up", 1)
    others = sorted(set(range(os.cpu_count())) - {context.cpu})
    if others:
        for side in sides.values():
            side.pin(others[0])
        got = measured(context, sides, context.scaled(100000), "-P", "1", *get)
        yield row(got, "a GET, -P 1, the proxy with a CPU of its own", "wall", "us", "speed-up", 1)
        for side in sides.values():
            side.pin(context.cpu)
    got = measured(context, sides, context.scaled(400000), "-P", "16", *get)
    yield row(got, "proxy CPU per GET, -P 16", "cpu", "us", "ratio", 0.22)
    yield row(got, "a GET, -P 16", "wall", "us", "speed-up", 1.8)
    yield row(got, "p99 of GETs, -P 16", "p99", "ms", "ratio", 0.5)
    keys = [f"key:{i}" for i in range(100)]
    got = measured(context, sides, context.scaled(10000), "mget", *keys)
    yield row(got, "an MGET of 100 keys", "wall", "us", "speed-up", 2)
    yield row(got, "proxy CPU per MGET of 100 keys", "cpu", "us")


def idle(side):
    """Memory with so many clients that have all asked for something at once, and are idle now."""
    clients = []
    try:
        for _ in range(IDLE):
            clients.append(socket.create_connection((HOST, side.port)))
        for client in clients:
            client.sendall(encode(["GET", "nothing"]))
        for client in clients:
            client.recv(100)
        return side.memory()
    finally:
        for client in clients:
            client.close()


def burst(side):
    """Memory after a gigabyte of values has gone through, eight at once."""
    clients = [socket.create_connection((HOST, side.port)) for _ in range(8)]
    value, size = bytes(VALUE), VALUE + len(b"$1048576\r\n\r\n")
    clients[0].sendall(encode(["SET", "large", value]))
    clients[0].recv(5)
    for _ in range(BURST // VALUE // len(clients)):
        for client in clients:
            client.sendall(encode(["GET", "large"]))
        for client in clients:
            left = size
            while left:
                left -= len(client.recv(min(left, 1 << 16)))
    for client in clients:
        client.close()
    time.sleep(0.5)
    return side.memory()


def memory(context, sides):
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    before = sides["rproxy"].memory()
    after = {name: burst(side) for name, side in sides.items()}
    yield Row("memory after a burst of 1 GB", "MB", after["rproxy"], "before it", before, "ratio", 1.1)
    yield Row("memory after a burst of 1 GB", "MB", after["rproxy"], PEER, after[PEER])
    with_clients = {name: idle(side) for name, side in sides.items()}
    yield Row(f"memory with {IDLE} idle clients", "MB", with_clients["rproxy"], PEER, with_clients[PEER], "ratio", 0.25)
