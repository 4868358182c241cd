# SPDX-License-Identifier: MIT
"""model.py STEPS SEED OTHER MOUNT [MOUNT2]: does the same random things in a mount and in a folder of another file
system, and fails where they differ.

What differs by design is left out, or allowed: a reader keeps the version that it began, so no handle here is for
reading alone; a file that was removed while it was open for writing in place shows what was loaded, or is stale.
With two mounts of the same servers each thing is done on one of them, by path: what was not closed yet is shown by its
own mount alone, and so is an empty file until its release, which comes after close().
"""

import os
import random
import sys

NAMES = ["a", "b", "{t}c", "{t}d", "e%2Ff", "g"]
HANDLES = 3


def attempt(call):
    """(errno, result)"""
    try:
        return 0, call()
    except OSError as error:
        return error.errno, None


class Pair:
    """One file open in both places."""

    def __init__(self, name, flags, fds):
        self.name, self.flags, self.fds = name, flags, fds
        self.readable = flags & os.O_ACCMODE == os.O_RDWR

    def each(self, call):
        return [attempt(lambda fd=fd: call(fd)) for fd in self.fds]

    def close(self):
        return self.each(os.close)


class Model:
    def __init__(self, seed, other, mounts):
        self.mounts = mounts
        self.roots = [mounts[0], other]
        self.rng = random.Random(seed)
        self.handles = []
        self.log = []

    def data(self):
        sizes = [1, 5, 100, 4095, 4096, 4097, 8192, 65535, 65536, 70000, 150000]
        size = self.rng.choice(sizes + [0] * (len(self.mounts) == 1))
        return self.rng.randbytes(self.rng.randint(min(size, 1), size) if self.rng.random() < 0.3 else size)

    def size(self):
        return self.rng.choice([0, 0, 1, 7, 4096, 5000, 65536, 100001])

    def name(self):
        return self.rng.choice(NAMES)

    def both(self, what, call):
        """CALL(path function) in both places; results must be equal."""
        self.roots[0] = self.rng.choice(self.mounts)
        self.log.append(f"{self.mounts.index(self.roots[0])}: {what}")
        results = [attempt(lambda root=root: call(lambda name: os.path.join(root, name))) for root in self.roots]
        self.compare(results)

    def compare(self, results):
        if results[0] != results[1]:
            for line in self.log[-60:]:
                print(line)
            sys.exit(f"mount: {str(results[0])[:300]}\nother: {str(results[1])[:300]}")

    # ---- by path ----

    def write(self):
        name, data, mode = self.name(), self.data(), self.rng.choice(["wb", "wb", "ab", "xb"])

        def call(path):
            with open(path(name), mode, buffering=self_buffering) as file:
                return file.write(data)

        self_buffering = self.rng.choice([-1, 0, 100])
        self.both(f"write {name} {mode} {len(data)}", call)

    def read(self):
        name = self.name()

        def call(path):
            with open(path(name), "rb") as file:
                return file.read()

        self.both(f"read {name}", call)

    def stat(self):
        name = self.name()
        self.both(f"stat {name}", lambda path: os.stat(path(name)).st_size)

    def truncate(self):
        name, size = self.name(), self.size()
        self.both(f"truncate {name} {size}", lambda path: os.truncate(path(name), size))

    def unlink(self):
        name = self.name()
        self.both(f"unlink {name}", lambda path: os.unlink(path(name)))

    def rename(self):
        a, b = self.name(), self.name()
        self.both(f"rename {a} {b}", lambda path: os.rename(path(a), path(b)))

    def list(self):
        if not self.handles:  # what is only created is not listed yet
            self.both("list", lambda path: sorted(os.listdir(path("."))))

    # ---- by handle ----

    def open(self):
        if len(self.handles) == HANDLES or len(self.mounts) > 1:
            return
        name = self.name()
        flags = self.rng.choice(
            [
                os.O_RDWR | os.O_CREAT,
                os.O_RDWR | os.O_CREAT | os.O_TRUNC,
                os.O_RDWR | os.O_CREAT | os.O_TRUNC,
                os.O_RDWR | os.O_CREAT | os.O_EXCL,
                os.O_WRONLY | os.O_CREAT,
                os.O_WRONLY | os.O_CREAT | os.O_APPEND,
                os.O_RDWR | os.O_CREAT | os.O_APPEND,
                os.O_RDWR,
            ]
        )
        self.log.append(f"open {name} {flags:o}")
        results = [attempt(lambda root=root: os.open(os.path.join(root, name), flags, 0o600)) for root in self.roots]
        if results[0][0] or results[1][0]:
            self.compare(results)
            return
        self.handles.append(Pair(name, flags, [fd for _, fd in results]))

    def pick(self):
        return self.rng.choice(self.handles) if self.handles else None

    def on_handle(self, what, call):
        pair = self.pick()
        if not pair:
            return
        self.log.append(f"{what} on {pair.name} {pair.flags:o} ({self.handles.index(pair)})")
        results = pair.each(lambda fd: call(pair, fd))
        written_anew = pair.flags & (os.O_TRUNC | os.O_EXCL)
        if results[0] != results[1] and os.fstat(pair.fds[1]).st_nlink == 0 and not written_anew:
            self.handles.remove(pair)
            pair.close()
            return
        self.compare(results)

    def pwrite(self):
        data, offset = self.data(), self.size()
        self.on_handle(f"pwrite {len(data)} at {offset}", lambda pair, fd: os.pwrite(fd, data, offset))

    def pread(self):
        offset, size = self.size(), self.size()
        self.on_handle(
            f"pread {size} at {offset}", lambda pair, fd: os.pread(fd, size, offset) if pair.readable else None
        )

    def ftruncate(self):
        size = self.size()
        self.on_handle(f"ftruncate {size}", lambda pair, fd: os.ftruncate(fd, size))

    def fsync(self):
        self.on_handle("fsync", lambda pair, fd: os.fsync(fd))

    def fstat(self):
        self.on_handle("fstat", lambda pair, fd: os.fstat(fd).st_size)

    def close(self):
        pair = self.pick()
        if pair:
            self.log.append(f"close {pair.name} ({self.handles.index(pair)})")
            self.handles.remove(pair)
            self.compare(pair.close())

    def run(self, steps):
        kinds = [
            *[self.write] * 4,
            *[self.read] * 4,
            *[self.stat, self.truncate, self.list] * 1,
            *[self.unlink, self.rename] * 2,
            *[self.open] * 4,
            *[self.pwrite, self.pread] * 5,
            *[self.ftruncate, self.fsync, self.fstat] * 1,
            *[self.close] * 3,
        ]
        for _ in range(steps):
            self.rng.choice(kinds)()
        while self.handles:
            self.close()
        for name in NAMES:
            self.both(f"read {name}", lambda path, name=name: open(path(name), "rb").read())
        self.list()


if __name__ == "__main__":
    Model(int(sys.argv[2]), sys.argv[3], sys.argv[4:]).run(int(sys.argv[1]))
