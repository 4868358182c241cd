# SPDX-License-Identifier: MIT
"""Masters of a cluster that can move slots by themselves, which no server that can be installed does: scripted nodes."""

import socket
import threading
import time

from shardtest import free_ports

SLOTS = 16384
UNKNOWN = "ERR unknown subcommand '%s'. Try CLUSTER HELP."


class Error(Exception):
    """An error reply."""


def encode(value):
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, Error):
        return b"-%s\r\n" % str(value).encode()
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, (list, tuple)):
        return b"*%d\r\n" % len(value) + b"".join(encode(v) for v in value)
    if isinstance(value, str) and value == "OK":
        return b"+OK\r\n"
    data = value.encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


def ranges_text(slots):
    """{1,2,3,7} as 1-3 7."""
    out = []
    for slot in sorted(slots):
        if out and out[-1][1] == slot - 1:
            out[-1][1] = slot
        else:
            out.append([slot, slot])
    return " ".join(f"{a}-{b}" if a != b else str(a) for a, b in out)


def ranges(words):
    slots = set()
    for a, b in zip(words[::2], words[1::2]):
        slots |= set(range(int(a), int(b) + 1))
    return slots


class Node:
    def __init__(self, world, index, port):
        self.world, self.index, self.port = world, index, port
        self.id = f"{index + 1:040x}"
        self.addr = f"127.0.0.1:{port}"
        self.family = world.family
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            self.world.conns.append(conn)
            threading.Thread(target=self.serve, args=(conn,), daemon=True).start()

    def serve(self, conn):
        try:
            file = conn.makefile("rb")
            while (line := file.readline()):
                words = []
                for _ in range(int(line[1:])):
                    size = int(file.readline()[1:])
                    words.append(file.read(size + 2)[:-2].decode())
                with self.world.lock:
                    try:
                        reply = self.world.answer(self, words)
                    except Error as error:
                        reply = error
                conn.sendall(encode(reply))
        except (OSError, ValueError):
            pass
        finally:
            conn.close()


class World:
    """
    COUNT masters that share the slots out; the last has none where EMPTY. FAMILY: "valkey", "redis" or None. STATES: what
    a migration says of itself, look by look; the last one stays. SHAPE: "flat" or "pairs", the shape of maps.
    """

    def __init__(self, family, states, count=3, shape="flat", why="", keys=None):
        self.family, self.states, self.shape, self.why, self.keys = family, states, shape, why, keys or {}
        self.lock = threading.Lock()
        self.conns, self.log, self.jobs, self.open = [], [], [], {}
        self.refuse = None      # the error that a migration is refused with
        self.first_finish = []  # states of the first job alone
        self.nodes = [Node(self, i, port) for i, port in enumerate(free_ports(count))]
        full = count - 1
        self.owner = {slot: self.nodes[min(slot * full // SLOTS, full - 1)] for slot in range(SLOTS)}

    def close(self):
        for node in self.nodes:
            node.listener.close()
        for conn in self.conns:
            try:
                conn.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def said(self, *begin):
        """(node's index, words) of all commands that begin like this."""
        with self.lock:
            return [(n, w) for n, w in self.log if [x.upper() for x in w[:len(begin)]] == list(begin)]

    def slots_of(self, index):
        return {slot for slot, node in self.owner.items() if node.index == index}

    # ---- answers ----

    def answer(self, node, words):
        self.log.append((node.index, words))
        name = words[0].upper()
        if name == "CLUSTER":
            return self.cluster(node, words[1].upper(), words[2:])
        if name == "INFO":
            return "role:master\r\n"
        if name == "DBSIZE":
            return sum(n for slot, n in self.keys.items() if self.owner[slot] is node)
        if name == "PING":
            return "PONG"
        raise Error(f"ERR unknown command '{words[0]}'")

    def cluster(self, node, what, words):
        if what == "NODES":
            return self.cluster_nodes(node)
        if what == "INFO":
            return "cluster_state:ok\r\ncluster_current_epoch:9\r\n"
        if what == "COUNTKEYSINSLOT":
            slot = int(words[0])
            return self.keys.get(slot, 0) if self.owner[slot] is node else 0
        if what == "GETKEYSINSLOT":
            return []
        if what == "SETSLOT":
            if words[1].upper() == "NODE":
                self.owner[int(words[0])] = self.by_id(words[2])
                self.open.pop((node.index, int(words[0])), None)
            return "OK"
        if node.family == "valkey" and what in ("MIGRATESLOTS", "GETSLOTMIGRATIONS", "CANCELSLOTMIGRATIONS"):
            return getattr(self, "valkey_" + what.lower())(node, words)
        if node.family == "redis" and what == "MIGRATION":
            return getattr(self, "redis_" + words[0].lower())(node, words[1:])
        raise Error(UNKNOWN % what)

    def by_id(self, node_id):
        for node in self.nodes:
            if node.id == node_id:
                return node
        raise Error("ERR Unknown node " + node_id)

    def cluster_nodes(self, me):
        lines = []
        for node in self.nodes:
            slots = ranges_text(self.slots_of(node.index))
            opened = [text for (index, _), text in self.open.items() if index == node.index and node is me]
            flags = "myself,master" if node is me else "master"
            lines.append(f"{node.id} {node.addr}@{node.port + 10000 if node.port < 55000 else node.port - 10000} {flags}"
                         f" - 0 0 {node.index + 1} connected {' '.join([slots, *opened])}".rstrip())
        return "\n".join(lines) + "\n"

    # ---- migrations ----

    def begin(self, source, target, slots):
        if self.refuse:
            raise Error(self.refuse)
        if any(self.owner[s] is not source for s in slots):
            raise Error("ERR Slots are not served by this node")
        states = self.first_finish if self.first_finish and not self.jobs else self.states
        self.jobs.append({"id": f"task{len(self.jobs)}", "source": source, "target": target, "slots": slots,
                          "states": list(states), "state": "connecting", "began": time.monotonic()})
        return self.jobs[-1]

    def step(self, job):
        """One look further."""
        if job["states"] and job["state"] not in ("success", "completed", "cancelled", "canceled"):
            job["state"] = job["states"].pop(0)
        if job["state"] in ("success", "completed"):
            for slot in job["slots"]:
                self.owner[slot] = job["target"]

    def map(self, pairs):
        return [list(p) for p in pairs] if self.shape == "pairs" else [x for p in pairs for x in p]

    def valkey_migrateslots(self, node, words):
        at = words.index("NODE")
        assert words[0] == "SLOTSRANGE" and at == len(words) - 2, words
        self.begin(node, self.by_id(words[at + 1]), ranges(words[1:at]))
        return "OK"

    def valkey_getslotmigrations(self, node, _):
        jobs = [job for job in self.jobs if node in (job["source"], job["target"])]
        for job in jobs:
            if job["source"] is node:
                self.step(job)
        return [self.map([("name", job["id"]), ("operation", "EXPORT" if job["source"] is node else "IMPORT"),
                          ("slot_ranges", ranges_text(job["slots"])), ("target_node", job["target"].id),
                          ("source_node", job["source"].id), ("create_time", 1), ("state", job["state"]),
                          ("message", self.why if job["state"] == "failed" else ""), ("cow_size", 0)]) for job in jobs]

    def valkey_cancelslotmigrations(self, node, _):
        for job in self.jobs:
            if job["source"] is node and job["state"] not in ("success", "failed"):
                job["state"] = "cancelled"
        return "OK"

    def redis_import(self, node, words):
        slots = ranges(words)
        return self.begin(self.owner[min(slots)], node, slots)["id"]

    def redis_status(self, node, words):
        jobs = [job for job in self.jobs if words[0] == "ALL" or job["id"] == words[1]]
        jobs = [job for job in jobs if node in (job["source"], job["target"])]
        for job in jobs:
            if words[0] == "ID":
                self.step(job)
        return [self.map([("id", job["id"]), ("slots", ranges_text(job["slots"])), ("source", job["source"].id),
                          ("dest", job["target"].id), ("operation", "import"), ("state", job["state"]),
                          ("last_error", self.why if job["state"] == "failed" else ""), ("retries", 0)])
                for job in jobs]

    def redis_cancel(self, _, words):
        for job in self.jobs:
            if job["id"] == words[1]:
                job["state"] = "canceled"
        return 1
