# SPDX-License-Identifier: MIT
"""load.py ROLE MOUNT NAME: works in a mount until standard input ends, then says what it was told, as JSON.

    values   writes and reads again files of its own, check-summed, of all sizes
    pieces   the same, in several write()s: whole only where commit=close
    once     writes each file once, as the tutorial's writer does
    lines    appends numbered lines to one file
    patches  writes in place, record by record, with a handle that stays open
    reader   reads what `values` or `pieces` write

    acked    [what, number, when] of each write that was acknowledged (close or fsync came back)
    unknown  the same of each that was told an error
    errors   [call, errno, seconds]
    wrong    values that cannot be
    back     how often an older value was read than one that was acknowledged before
    slowest  [seconds, call] of one system call
"""

import errno
import hashlib
import json
import os
import random
import select
import sys
import time

KEYS = 24
RECORD = 100
RECORDS = 200


def value(name, number, size):
    """A value that says whose it is, and whether it is whole."""
    head = f"{name} {number} {size} ".encode()
    body = hashlib.sha256(head).hexdigest().encode() * (size // 64 + 1)
    return head + body[:size]


def number_of(name, data):
    """Its number; None where it is no value of NAME."""
    try:
        head = data.split(b" ", 3)
        number, size = int(head[1]), int(head[2])
    except (IndexError, ValueError):
        return None
    return number if data == value(name, number, size) else None


class Load:
    def __init__(self, mount, name):
        self.mount, self.name = mount, name
        self.rng = random.Random(name)
        self.said = {"acked": [], "unknown": [], "errors": [], "wrong": [], "back": 0, "slowest": [0, ""], "calls": 0}
        self.number = 0
        self.acked = {}

    def path(self, name):
        return os.path.join(self.mount, name)

    def timed(self, call, *args):
        start = time.monotonic()
        try:
            return call(*args)
        except OSError as error:
            name = errno.errorcode[error.errno]
            self.said["errors"].append([call.__name__, name, round(time.monotonic() - start, 3)])
            raise
        finally:
            took = time.monotonic() - start
            self.said["calls"] += 1
            if took > self.said["slowest"][0]:
                self.said["slowest"] = [round(took, 3), call.__name__]

    def ack(self, what):
        self.said["acked"].append([what, self.number, time.monotonic()])
        self.acked[what] = self.number

    def attempt(self, what, call):
        try:
            call()
        except OSError:
            self.said["unknown"].append([what, self.number, time.monotonic()])
        else:
            self.ack(what)

    def put(self, name, data, flags, pieces, sync):
        fd = self.timed(os.open, self.path(name), flags, 0o600)
        try:
            for i in range(0, len(data), pieces):
                self.timed(os.write, fd, data[i : i + pieces])
            if sync:
                self.timed(os.fsync, fd)
        except OSError:
            os.close(fd)
            raise
        self.timed(os.close, fd)

    def get(self, name):
        fd = self.timed(os.open, self.path(name), os.O_RDONLY)
        try:
            parts = []
            while part := self.timed(os.read, fd, 1 << 17):
                parts.append(part)
            return b"".join(parts)
        finally:
            os.close(fd)

    # ---- roles ----

    def check(self, name, least):
        try:
            data = self.get(name)
        except OSError:
            return
        number = number_of(name, data)
        if number is None:
            self.said["wrong"].append(f"{name}: {len(data)} bytes, {data[:60]!r}")
        elif number < least:
            self.said["back"] += 1

    def values(self, pieces=0):
        name = f"{self.name}{self.rng.randrange(KEYS)}"
        self.number += 1
        data = value(name, self.number, self.rng.choice((10, 500, 4000, 10000, 70000, 300000)))
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self.attempt(name, lambda: self.put(name, data, flags, pieces or len(data), self.rng.random() < 0.2))
        name = self.rng.choice(list(self.acked) or [name])
        self.check(name, self.acked.get(name, 0))

    def pieces(self):
        self.values(self.rng.choice((4096, 65536, 5000)))

    def once(self):
        name = f"{self.name}{self.number}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        self.attempt(name, lambda: self.put(name, value(name, self.number, 100), flags, 1 << 20, False))
        self.number += 1
        time.sleep(0.002)

    def lines(self):
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        line = value(self.name, self.number, 64) + b"\n"
        self.attempt(self.name, lambda: self.put(self.name, line, flags, 1 << 20, False))
        self.number += 1
        time.sleep(0.002)

    fd = -1

    def patches(self):
        if self.fd < 0:
            try:
                self.put(self.name, b"-" * RECORD * RECORDS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 1 << 20, True)
                self.fd = self.timed(os.open, self.path(self.name), os.O_RDWR)
            except OSError:
                return
        place = self.rng.randrange(RECORDS)
        record = value(self.name, self.number, 64).ljust(RECORD)
        self.attempt(f"{self.name}@{place}", lambda: self.timed(os.pwrite, self.fd, record, place * RECORD))
        self.number += 1
        time.sleep(0.002)

    seen = None

    def reader(self):
        self.seen = self.seen or {}
        name = f"{self.name}{self.rng.randrange(KEYS)}"
        try:
            data = self.get(name)
        except FileNotFoundError:
            self.said["errors"].pop()
            if name in self.seen:
                self.said["back"] += 1
            return
        except OSError:
            return
        number = number_of(name, data)
        if number is None:
            self.said["wrong"].append(f"{name}: {len(data)} bytes, {data[:60]!r}")
            return
        self.said["back"] += number < self.seen.get(name, 0)
        self.seen[name] = number

    def run(self, role):
        step = getattr(self, role)
        print("running", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            step()
        print(json.dumps(self.said))


if __name__ == "__main__":
    Load(sys.argv[2], sys.argv[3]).run(sys.argv[1])
