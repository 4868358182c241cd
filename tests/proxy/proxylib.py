# SPDX-License-Identifier: MIT
"""What the tests of rproxy share: rproxy itself, a pool or a cluster behind it, and raw connections."""

import os
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "lib"), os.path.join(HERE, "..", "differential")]

from shardtest import HOST, Conn, Failure, Server, TempDir, _die_with_parent, clean_env, free_port, program  # noqa: E402
from shardtest import release_port, wait_until  # noqa: E402

DEADLINE = 30


def pool_text(port, servers, name="alpha", **directives):
    """A pool of a nutcracker.yml. SERVERS: Servers, or addresses."""
    lines = [f"{name}:", f"  listen: {HOST}:{port}", "  redis: true"]
    lines += [f"  {key}: {value}" for key, value in directives.items()] + ["  servers:"]
    for i, server in enumerate(servers):
        lines.append(f"   - {getattr(server, 'addr', server)}:1 s{i}")
    return "\n".join(lines) + "\n"


class Proxy:
    """rproxy in the foreground, serving the file TEXT or, TEXT None, what ARGS say. ready: a port that has to answer."""

    def __init__(self, text, *args, ready=None, wait=True):
        self.temp = TempDir("shard-proxy-")
        self.file = os.path.join(self.temp.path, "nutcracker.yml")
        self.log = os.path.join(self.temp.path, "log")
        self.stats = free_port()
        argv = [program("rproxy"), "-o", self.log, "-v", "6", "-s", str(self.stats), *args]
        if text is not None:
            self.write(text)
            argv += ["-c", self.file]
        self.process = subprocess.Popen(argv, env=clean_env(self.temp.path), stdin=subprocess.DEVNULL,
                                        preexec_fn=_die_with_parent)
        try:
            if wait:
                wait_until(lambda: self._ready(ready), DEADLINE, "rproxy listens")
        except BaseException:
            self.close()
            raise

    def write(self, text):
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)

    def _ready(self, port):
        if self.process.poll() is not None:
            raise Failure(f"rproxy ended with {self.process.returncode}:\n{self.log_text()}")
        socket.create_connection((HOST, port or self.stats), 5).close()
        return "serving" in self.log_text()

    def log_text(self):
        try:
            with open(self.log, encoding="utf-8") as file:
                return file.read()
        except OSError:
            return ""

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def memory(self):
        """Its resident set, in kB."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("VmRSS:")).split()[1])

    def show_stats(self):
        import json

        with socket.create_connection((HOST, self.stats), 10) as sock:
            data = b""
            while part := sock.recv(65536):
                data += part
        return json.loads(data)

    def close(self):
        """Ends it; its status must be 0."""
        process, self.process = self.process, None
        if process and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        status, log = process and process.returncode, self.log_text()
        release_port(self.stats)
        self.temp.close()
        if status:
            raise Failure(f"rproxy ended with {status}:\n{log}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.close()
        except Failure:
            if kind is None:
                raise


class Raw:
    """A connection that bytes go through."""

    def __init__(self, port, timeout=DEADLINE):
        self.sock = socket.create_connection((HOST, port), timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data):
        self.sock.sendall(data)

    def until_closed(self):
        """All that comes before the end; None behind it where the connection was reset."""
        data = b""
        try:
            while part := self.sock.recv(65536):
                data += part
        except ConnectionResetError:
            pass
        return data

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def exchange(port, data, end):
    """Sends DATA, then END (a request that is answered by its own words); what came before that answer; None: closed."""
    with Raw(port) as raw:
        got = b""
        try:
            raw.send(data + end[0])
            while not got.endswith(end[1]):
                part = raw.sock.recv(65536)
                if not part:
                    return None
                got += part
        except (ConnectionResetError, BrokenPipeError):
            return None
        return got[: -len(end[1])]
