# SPDX-License-Identifier: MIT
"""Real servers for tests: Server (one redis-server), Cluster (masters and replicas), Conn (a RESP2 connection).

    from shardtest import Cluster, Server, wait_until

    with Cluster(masters=3, replicas=1) as cluster:
        cluster.call("SET", "foo0", "bar")          # follows MOVED
        cluster.master_of(cluster.slot("foo0")).kill()
        cluster.wait_ok()

Everything is started on free loopback ports in a temporary directory and ends with the process: by close(), at exit,
on SIGTERM, and (servers alone) when the process is killed. A server dies with the thread that started it.
"""

import atexit
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HOST = "127.0.0.1"
SLOTS = 16384
BUS = 10000  # the bus port is this much above the port

_libc = ctypes.CDLL(None, use_errno=True)
_open = []  # servers and clusters to close at exit
_reserved = {}  # port -> the abstract socket that reserves it for this process


class Failure(AssertionError):
    """What was waited for did not come."""


def wait_until(check, timeout=15.0, what="", pause=0.02):
    """Calls CHECK until it returns something true, which is returned. Errors of the connection count as not yet."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            result = check()
            if result:
                return result
            last = result
        except (OSError, Reply) as error:
            last = error
        if time.monotonic() > end:
            raise Failure(f"not within {timeout} s: {what or check} (last: {last!r})")
        time.sleep(pause)


def sanitized(path):
    """Whether a program was built with sanitizers: then what is freed stays with the process for a while."""
    return b"san.so" in subprocess.run(["ldd", path], capture_output=True, timeout=60, check=True).stdout


# ---- temporary directories, ports ----


def _cleanup():
    for thing in list(_open):
        thing.close()


atexit.register(_cleanup)


def _on_sigterm(number, frame):
    sys.exit(128 + number)  # runs atexit


if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    try:
        signal.signal(signal.SIGTERM, _on_sigterm)
    except ValueError:
        pass  # not in the main thread


class TempDir:
    """A temporary directory with the interface of the rest: path, close(), with."""

    def __init__(self, prefix="shard-test-"):
        self.path = tempfile.mkdtemp(prefix=prefix)
        _open.append(self)

    def close(self):
        if self in _open:
            _open.remove(self)
            shutil.rmtree(self.path, ignore_errors=True)

    def __enter__(self):
        return self.path

    def __exit__(self, *_):
        self.close()


def _port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _reserve(port):
    """Reserves PORT among the processes that use this module: a name that the kernel frees with the process."""
    name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        name.bind(f"\0shard-test-port-{port}")
    except OSError:
        name.close()
        return False
    _reserved[port] = name
    return True


def release_port(port):
    for p in (port, port + BUS):
        name = _reserved.pop(p, None)
        if name:
            name.close()


def free_ports(count=1):
    """COUNT neighbouring ports that are free together with their bus ports, and stay reserved for this process."""
    for _ in range(1000):
        base = random.randrange(10100, 19800)
        ports = [p for i in range(count) for p in (base + i, base + i + BUS)]
        taken = []
        for port in ports:
            if not _port_is_free(port) or not _reserve(port):
                break
            taken.append(port)
        if len(taken) == len(ports):
            return list(range(base, base + count))
        for port in taken:
            _reserved.pop(port).close()
    raise Failure("no free ports")


def free_port():
    return free_ports(1)[0]


# ---- RESP2 ----


class Reply(Exception):
    """An error reply of a server; raised by Conn.call() and friends."""


def _bytes(word):
    if isinstance(word, bytes):
        return word
    return str(word).encode("utf-8", "surrogateescape")


def encode(words):
    """A command as it goes over the wire."""
    words = [_bytes(w) for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


class Conn:
    """A RESP2 connection: bytes for strings, int, None, list; errors are raised (in lists they are elements)."""

    def __init__(self, port, host=HOST, timeout=10.0, password=None, user=None, path=None):
        if path:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(timeout)
            self.sock.connect(path)
        else:
            self.sock = socket.create_connection((host, port), timeout)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")
        if password is not None:
            self.call("AUTH", *([user] if user else []), password)

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *words):
        self.sock.sendall(encode(words))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return Reply(rest.decode("utf-8", "replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            if rest == b"-1":
                return None
            data = self.file.read(int(rest) + 2)
            if len(data) != int(rest) + 2:
                raise ConnectionError("the server closed the connection")
            return data[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise ConnectionError(f"not RESP2: {line!r}")

    def call(self, *words):
        self.send(*words)
        reply = self.read()
        if isinstance(reply, Reply):
            raise reply
        return reply

    def pipeline(self, commands):
        """Sends all COMMANDS (sequences of words) at once; a list of replies, errors among them."""
        commands = list(commands)
        replies = []
        for i in range(0, len(commands), 1000):
            part = commands[i : i + 1000]
            self.sock.sendall(b"".join(encode(c) for c in part))
            replies += [self.read() for _ in part]
        return replies


# ---- one server ----


def server_program():
    """redis-server, else valkey-server; $SHARD_TEST_SERVER overrides."""
    for name in (os.environ.get("SHARD_TEST_SERVER"), "redis-server", "valkey-server"):
        path = name and shutil.which(name)
        if path:
            return path
    raise Failure("no redis-server or valkey-server in $PATH")


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """A redis-server of ours on a free port.

    conf: more lines of redis.conf. cluster: cluster mode. password: requirepass and masterauth. unix: listens on
    self.path too. Attributes: port, pid, dir, path, addr, uri, log.
    """

    def __init__(self, conf=(), cluster=False, password=None, unix=False, port=None, program=None):
        self.port = port or free_port()
        self.addr = f"{HOST}:{self.port}"
        self.cluster = cluster
        self.password = password
        self.program = program or server_program()
        self.temp = TempDir()
        self.dir = self.temp.path
        self.log = os.path.join(self.dir, "log")
        self.path = os.path.join(self.dir, "sock") if unix else None
        self.process = None
        self._conn = None
        self._write_conf(conf)
        _open.append(self)
        self.start()

    def _write_conf(self, conf):
        lines = [
            f"port {self.port}",
            f"bind {HOST}",
            f"dir {self.dir}",
            f"logfile {self.log}",
            "daemonize no",
            'save ""',
            "appendonly no",
            "repl-diskless-sync-delay 0",
            "repl-ping-replica-period 1",  # a replica at offset 0 is not in CLUSTER SLOTS
            "enable-debug-command yes",
        ]
        if self.path:
            lines.append(f"unixsocket {self.path}")
        if self.password is not None:
            lines += [f'requirepass "{self.password}"', f'masterauth "{self.password}"']
        if self.cluster:
            lines += ["cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000"]
        with open(os.path.join(self.dir, "redis.conf"), "w", encoding="utf-8") as file:
            file.write("\n".join([*lines, *conf, ""]))

    @property
    def uri(self):
        secret = f":{self.password}@" if self.password is not None else ""
        return f"redis://{secret}{self.addr}"

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def start(self, wait=True):
        """Starts the process (again, on the same port, directory and cluster state)."""
        if self.process:
            return
        self.process = subprocess.Popen(
            [self.program, "redis.conf"],
            cwd=self.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,
        )
        if wait:
            self.wait_up()

    def wait_up(self, timeout=15.0):
        def up():
            if self.process.poll() is not None:
                raise Failure(f"{self.program} on {self.addr} ended with {self.process.returncode}:\n{self.log_tail()}")
            return self.call("PING") == b"PONG"

        wait_until(up, timeout, f"{self.addr} answers")

    def log_tail(self, lines=20):
        try:
            with open(self.log, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""

    def connect(self, timeout=10.0):
        return Conn(self.port, timeout=timeout, password=self.password)

    def call(self, *words):
        """One command on a connection that is kept; raises Reply for an error."""
        for fresh in (self._conn is None, True):
            if self._conn is None:
                self._conn = self.connect()
            try:
                return self._conn.call(*words)
            except OSError:
                self.forget()
                if fresh:
                    raise
        raise AssertionError("not reached")

    def forget(self):
        """Closes the connection that is kept."""
        if self._conn:
            self._conn.close()
            self._conn = None

    def info(self, section):
        """INFO SECTION as a dict of strings."""
        return _fields(self.call("INFO", section))

    def kill(self, number=signal.SIGKILL, wait=True):
        """Ends the process as a crash does."""
        self.forget()
        if self.process:
            process, self.process = self.process, None
            process.send_signal(number)
            if number == signal.SIGKILL:
                return process.wait()
            process.send_signal(signal.SIGCONT)
            try:
                return process.wait(10 if wait else 0)
            except subprocess.TimeoutExpired:
                process.kill()
                return process.wait()
        return None

    def stop(self):
        """Ends the process in good order (SIGTERM)."""
        return self.kill(signal.SIGTERM)

    def restart(self):
        self.stop()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self in _open:
            _open.remove(self)
        self.kill()
        self.temp.close()
        release_port(self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Server {self.addr}>"


def _fields(text):
    pairs = (line.split(":", 1) for line in text.decode("utf-8", "replace").splitlines() if ":" in line)
    return {name: value for name, value in pairs}


# ---- a cluster ----


def crc16(data):
    """CRC16-XMODEM, bit by bit: an oracle that shares nothing with the library."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def slot(key):
    key = _bytes(key)
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    return crc16(key) % SLOTS


class Cluster:
    """MASTERS masters with REPLICAS replicas each; the slots are split evenly. Ready when the constructor returns.

    servers: all Servers, masters first (as they were at the start). replica j of master i is
    servers[masters + i * replicas + j].
    """

    def __init__(self, masters=3, replicas=1, conf=(), password=None, unassigned=(), program=None):
        self.servers = []
        self.unassigned = frozenset(unassigned)
        _open.append(self)
        try:
            ports = free_ports(masters * (1 + replicas))
            for port in ports:
                self.servers.append(Server(conf, True, password, port=port, program=program))
            self._join(masters, replicas)
            self.wait_ok()
        except BaseException:
            self.close()
            raise

    def _join(self, masters, replicas):
        for i, server in enumerate(self.servers):
            server.call("CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        for i in range(masters):
            first, last = i * SLOTS // masters, (i + 1) * SLOTS // masters
            self.servers[i].call("CLUSTER", "ADDSLOTS", *(s for s in range(first, last) if s not in self.unassigned))
        for server in self.servers[1:]:
            server.call("CLUSTER", "MEET", HOST, self.servers[0].port)
        all_known = lambda: all(self._known(s) == len(self.servers) for s in self.servers)  # noqa: E731
        self.wait(all_known, "every node knows every other")
        for n, replica in enumerate(self.servers[masters:]):
            replica.call("CLUSTER", "REPLICATE", self.node_id(self.servers[n // replicas]))

    @staticmethod
    def _known(server):
        text = server.call("CLUSTER", "NODES").decode()
        return sum("handshake" not in line and "noaddr" not in line for line in text.splitlines())

    @staticmethod
    def wait(check, what="", timeout=30.0):
        return wait_until(check, timeout, what, 0.05)

    @property
    def alive(self):
        return [s for s in self.servers if s.process]

    @property
    def addrs(self):
        return [s.addr for s in self.servers]

    @property
    def uri(self):
        return self.servers[0].uri

    @staticmethod
    def slot(key):
        return slot(key)

    @staticmethod
    def node_id(server):
        return server.call("CLUSTER", "MYID").decode()

    def view(self, server):
        """The map as SERVER sees it: {(first, last): (master's port, sorted replicas' ports)}."""
        return {
            (first, last): (nodes[0][1], tuple(sorted(n[1] for n in nodes[1:])))
            for first, last, *nodes in server.call("CLUSTER", "SLOTS")
        }

    def is_ok(self):
        """Whether all nodes that run are in state ok, agree on the map, and all links of replicas are up."""
        alive = self.alive
        ports = {s.port for s in alive}
        views = []
        for server in alive:
            if _fields(server.call("CLUSTER", "INFO"))["cluster_state"] != "ok" and not self.unassigned:
                return False
            role = server.call("ROLE")
            if role[0] == b"slave" and role[3] != b"connected":
                return False
            views.append(self.view(server))
        shown = {p for master, replicas in views[0].values() for p in (master, *replicas)}
        covered = sum(last - first + 1 for first, last in views[0])
        return all(v == views[0] for v in views) and shown == ports and covered == SLOTS - len(self.unassigned)

    def wait_ok(self, timeout=30.0):
        """Waits until is_ok(). Masters that own no slots never show: for such clusters wait for something else."""
        self.wait(self.is_ok, "the cluster is ok and all nodes agree", timeout)

    def server(self, port):
        return next(s for s in self.servers if s.port == port)

    def masters(self):
        """The Servers that own slots now, as a node that runs sees it."""
        ports = [master for master, _ in self.view(self.alive[0]).values()]
        return [self.server(p) for p in dict.fromkeys(ports)]

    def replicas_of(self, server):
        for master, replicas in self.view(self.alive[0]).values():
            if master == server.port:
                return [self.server(p) for p in replicas]
        return []

    def master_of(self, slot_or_key):
        number = slot_or_key if isinstance(slot_or_key, int) else slot(slot_or_key)
        for (first, last), (master, _) in self.view(self.alive[0]).items():
            if first <= number <= last:
                return self.server(master)
        return None

    def call(self, *words, key=None):
        """A command on the node of its first argument (or KEY), by MOVED and ASK."""
        key = key if key is not None else words[1] if len(words) > 1 else None
        target = self.alive[0] if key is None else self.master_of(slot(key)) or self.alive[0]
        for _ in range(16):
            try:
                return target.call(*words)
            except Reply as error:
                code, *rest = str(error).split()
                if code not in ("MOVED", "ASK"):
                    raise
                target = self.server(int(rest[1].rsplit(":", 1)[1]))
                if code == "ASK":
                    target.call("ASKING")
        raise Failure(f"redirected for ever: {words!r}")

    def move_slot(self, number, target, keys=True):
        """Moves one slot to the Server TARGET, with its keys."""
        source = self.master_of(number)
        if source is target:
            return
        self.open_slot(number, target)
        while keys:
            names = source.call("CLUSTER", "GETKEYSINSLOT", number, 1000)
            if not names:
                break
            auth = ["AUTH", target.password] if target.password is not None else []
            source.call("MIGRATE", HOST, target.port, "", 0, 5000, *auth, "KEYS", *names)
        self.close_slot(number, target)

    def open_slot(self, number, target):
        """IMPORTING on TARGET, MIGRATING on the owner: keys that are not there are answered by ASK."""
        source = self.master_of(number)
        target.call("CLUSTER", "SETSLOT", number, "IMPORTING", self.node_id(source))
        source.call("CLUSTER", "SETSLOT", number, "MIGRATING", self.node_id(target))

    def close_slot(self, number, target):
        """Gives the slot to TARGET in the eyes of all masters."""
        name = self.node_id(target)
        for server in [target] + [s for s in self.masters() if s is not target]:
            server.call("CLUSTER", "SETSLOT", number, "NODE", name)

    def failover(self, replica, timeout=20.0):
        """A manual failover to REPLICA; returns when it is a master."""
        replica.call("CLUSTER", "FAILOVER")
        wait_until(lambda: replica.call("ROLE")[0] == b"master", timeout, f"{replica} became master")

    def flush(self):
        for server in self.masters():
            server.call("FLUSHALL")

    def close(self):
        if self in _open:
            _open.remove(self)
        for server in self.servers:
            server.kill()
        for server in self.servers:
            server.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __repr__(self):
        return f"<Cluster {' '.join(self.addrs)}>"


# ---- programs of the build ----


def program(name):
    """The path of a program that was built: tools/NAME, tools/rcluster/NAME, ... below $SHARD_BUILD_ROOT."""
    root = os.environ.get("SHARD_BUILD_ROOT", "build")
    for folder in ("tools", f"tools/{name}", "fusefs", "examples", "bench", "."):
        path = os.path.join(root, folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    raise Failure(f"{name} is not below {root}: set SHARD_BUILD_ROOT to the build directory")


def clean_env(runtime_dir, **more):
    """An environment that holds nothing of the user's: XDG_RUNTIME_DIR is RUNTIME_DIR, no $SHARD_*, no password."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("SHARD_") and k != "REDISCLI_AUTH"}
    env.update(XDG_RUNTIME_DIR=runtime_dir, LC_ALL="C.UTF-8", **more)
    return env
