# SPDX-License-Identifier: MIT
"""The input of the tools' benchmarks, in every form that a side wants, made before anything is timed."""

import os

from shardtest import encode

# CRC16 a byte a step; the oracle of the tests, a bit a step, would take minutes here.
_TABLE = []
for _byte in range(256):
    _crc = _byte << 8
    for _ in range(8):
        _crc = ((_crc << 1) ^ 0x1021 if _crc & 0x8000 else _crc << 1) & 0xFFFF
    _TABLE.append(_crc)


def slot(key):
    crc = 0
    for byte in key:
        crc = (crc << 8 & 0xFFFF) ^ _TABLE[crc >> 8 ^ byte]
    return crc & 16383


class Owners:
    """Which of CLUSTER's masters a key lives on."""

    def __init__(self, cluster):
        self.servers = cluster.masters()
        self.table = [0] * 16384
        for (first, last), (port, _) in cluster.view(self.servers[0]).items():
            index = next(i for i, server in enumerate(self.servers) if server.port == port)
            self.table[first : last + 1] = [index] * (last + 1 - first)

    def of(self, key):
        return self.table[slot(key)]


def names(count):
    return [b"foo%d" % i for i in range(count)]


def value(key):
    return b"value of " + key


class Files:
    """COUNT keys as files in FOLDER: records and keys for our tools, commands for redis-cli, RESP split by node."""

    def __init__(self, folder, owners, count):
        self.folder = folder
        keys = names(count)
        self.records = self._write("records", [b"%s\t%s\n" % (k, value(k)) for k in keys])
        self.keys = self._write("keys", [k + b"\n" for k in keys])
        self.set_lines = self._write("set-lines", [b'set %s "%s"\n' % (k, value(k)) for k in keys])
        self.get_lines = self._write("get-lines", [b"get %s\n" % k for k in keys])
        self.set_pipes = self._split("set-pipe", owners, keys, lambda k: encode((b"SET", k, value(k))))
        self.get_pipes = self._split("get-pipe", owners, keys, lambda k: encode((b"GET", k)))

    def _write(self, name, parts):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(b"".join(parts))
        return path

    def _split(self, name, owners, keys, make):
        parts = [[] for _ in owners.servers]
        for key in keys:
            parts[owners.of(key)].append(make(key))
        return [self._write(f"{name}-{i}", part) for i, part in enumerate(parts)]


def fill(owners, keys, batch=10000):
    """Sets KEYS to their own names, straight to their nodes."""
    waiting = [[] for _ in owners.servers]
    for key in keys:
        part = waiting[owners.of(key)]
        part.append((b"SET", key, key))
        if len(part) == batch:
            _send(owners.servers[waiting.index(part)], part)
    for server, part in zip(owners.servers, waiting):
        _send(server, part)


def _send(server, commands):
    with server.connect(timeout=60) as connection:
        connection.pipeline(commands)
    commands.clear()
