# SPDX-License-Identifier: MIT
"""The real nutcracker, in front of servers that say who they are.

    with Fleet(["127.0.0.2:7001", "/tmp/x/sock"]) as fleet, Nutcracker(text_of_file) as proxy:
        with Conn(path=...) as conn: conn.call("GET", "key")  # b"1 key": the second of the fleet was asked
"""

import asyncio
import os
import shutil
import socket
import subprocess
import threading

from shardtest import HOST, Failure, TempDir, _die_with_parent, free_port, release_port, wait_until

DEADLINE = 20


def program():
    path = shutil.which("nutcracker") or shutil.which("nutcracker", path="/usr/sbin:/sbin:/usr/local/sbin")
    if not path:
        raise Failure("nutcracker is not there: install it (Debian: nutcracker); what it does is what we are compared with")
    return path


class Nutcracker:
    """nutcracker in the foreground, with TEXT as its file. Attributes: file, pid."""

    def __init__(self, text, listening=()):
        """LISTENING: paths of unix sockets that have to answer before it is ready."""
        self.temp = TempDir()
        self.file = os.path.join(self.temp.path, "nutcracker.yml")
        self.log = os.path.join(self.temp.path, "log")
        self.stats = free_port()
        self.process = None
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)
        self.process = subprocess.Popen(
            [program(), "-c", self.file, "-o", self.log, "-s", str(self.stats), "-a", HOST]
            + ["-p", os.path.join(self.temp.path, "pid"), "-v", "4"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_parent)
        try:
            wait_until(lambda: self._ready(listening), DEADLINE, "nutcracker listens")
        except BaseException:
            self.close()
            raise

    @property
    def pid(self):
        return self.process.pid

    def _ready(self, listening):
        if self.process.poll() is not None:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Failure(f"nutcracker ended with {self.process.returncode}:\n{log.read()}")
        for path in listening:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(path)
        return True

    def close(self):
        if self.process:
            process, self.process = self.process, None
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        release_port(self.stats)
        self.temp.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class _Backend(asyncio.Protocol):
    """Answers GET KEY with "NUMBER KEY"."""

    def __init__(self, number, connections):
        self.number = b"%d " % number
        self.connections = connections
        self.rest = b""

    def connection_made(self, transport):
        self.transport = transport
        self.connections.add(transport)

    def connection_lost(self, _):
        self.connections.discard(self.transport)

    def data_received(self, data):
        data = self.rest + data
        at, answers = 0, []
        while True:
            words, end = _command(data, at)
            if end < 0:
                break
            at = end
            value = self.number + words[1]
            answers.append(b"$%d\r\n%s\r\n" % (len(value), value))
        self.rest = data[at:]
        if answers:
            self.transport.write(b"".join(answers))


def _command(data, at):
    """The command that begins at AT, and where it ends; -1: there is more to come."""
    end = data.find(b"\r\n", at)
    if end < 0:
        return None, -1
    words = []
    count, at = int(data[at + 1 : end]), end + 2
    for _ in range(count):
        end = data.find(b"\r\n", at)
        if end < 0:
            return None, -1
        size = int(data[at + 1 : end])
        at = end + 2 + size + 2
        if at > len(data):
            return None, -1
        words.append(data[end + 2 : end + 2 + size])
    return words, at


class Fleet:
    """Servers on ADDRESSES ("HOST:PORT" or paths), numbered in this order, all in one thread."""

    def __init__(self, addresses):
        self.addresses = list(addresses)
        self._servers = [None] * len(self.addresses)
        self._connections = [set() for _ in self.addresses]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        try:
            for number in range(len(self.addresses)):
                self.start(number)
        except BaseException:
            self.close()
            raise

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    def start(self, number):
        self._call(self._start(number))

    def stop(self, number):
        """As if it had died: nobody listens any more, and connections are reset."""
        self._call(self._stop(number))

    async def _start(self, number):
        address = self.addresses[number]
        protocol = lambda: _Backend(number, self._connections[number])  # noqa: E731
        if address.startswith("/"):
            server = await self._loop.create_unix_server(protocol, address, backlog=512)
        else:
            host, port = address.rsplit(":", 1)
            server = await self._loop.create_server(protocol, host, int(port), backlog=512)
        self._servers[number] = server

    async def _stop(self, number):
        server, self._servers[number] = self._servers[number], None
        if server:
            server.close()
        for transport in list(self._connections[number]):
            transport.abort()
        if self.addresses[number].startswith("/") and os.path.exists(self.addresses[number]):
            os.unlink(self.addresses[number])

    def close(self):
        for number in range(len(self.addresses)):
            self.stop(number)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
