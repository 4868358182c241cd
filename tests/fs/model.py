# SPDX-License-Identifier: MIT
"""model.py STEPS SEED COMMIT PORT,PORT... MOUNT [MOUNT2]: random operations on mounts, and what they have to do.

The model is in memory: what the servers hold, and for each mount what its transactions hold. After each operation its
result is compared, now and then what a server has, so it is known that nothing is seen by others too early (a truncate,
half of what is written) or too late (after close, fsync, a direct write). One process, system calls alone; the same
SEED does the same things. COMMIT is the mounts' commit=.

What the model leaves open, for it depends on time: when a pause of 100 ms commits (any state since the last certain one
may be stored, but never an older one after a newer one), and what LOOKUP has fetched up to 50 ms before. A handle that
only reads may show each version since it was opened or has begun; one whose key is gone, what it had, or ESTALE.
With two mounts all is sequential: what one has done, the other one shows.
"""

import collections
import ctypes
import errno
import os
import random
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from shardtest import Conn, Reply, slot  # noqa: E402

NAMES = ["a", "b", "{t}c", "{t}d", "e%2Ff", "g"]
KEYS = ["a", "b", "{t}c", "{t}d", "e/f", "g"]
HANDLES = 5
NOREPLACE, EXCHANGE = 1, 2
BLOCK, FREE, LARGE = 4096, 16384, 65536
FRESH = 0.08  # what was looked up serves for 50 ms
RANDOM = random.Random(0).randbytes(1 << 20)

_libc = ctypes.CDLL(None, use_errno=True)


def rename(source, target, flags):
    if _libc.renameat2(-100, os.fsencode(source), -100, os.fsencode(target), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def attempt(call, *args):
    """(errno, result)"""
    try:
        return 0, call(*args)
    except OSError as error:
        return error.errno, None


def over(value, offset, data):
    """VALUE with DATA written at OFFSET."""
    value = value or b""
    return value[:offset].ljust(offset, b"\0") + data + value[offset + len(data) :]


def resized(value, size):
    return value[:size].ljust(size, b"\0")


class Transaction:
    """A value that is written anew."""

    def __init__(self, stored, absent, awaits_dup):
        self.value = b""
        self.dirty, self.absent, self.awaits_dup = not stored, absent, awaits_dup
        self.has_data = False
        self.handles = 0
        self.sent = 0  # bytes, at most

    def truncate(self, by_open):
        self.value, self.has_data, self.awaits_dup, self.absent, self.dirty = b"", False, by_open, False, True

    @property
    def unborn(self):
        return self.absent and not self.has_data


class Inode:
    """A key that a mount has open."""

    def __init__(self, key, value):
        self.key, self.gone = key, False
        self.transaction = None
        self.handles = []
        self.versions = [value]  # that could be seen through this mount since it is open
        self.looks = []  # (when, version)

    def look(self, version):
        self.looks.append((time.monotonic(), version))

    def recent(self):
        """The oldest version that a look may have fetched which still serves."""
        now = time.monotonic()
        self.looks = [look for look in self.looks if now - look[0] < FRESH]
        return min((version for _, version in self.looks), default=len(self.versions) - 1)

    def saw(self, value):
        if self.versions[-1] != value:
            self.versions.append(value)


class Handle:
    def __init__(self, mount, inode, flags, fd):
        self.mount, self.inode, self.flags, self.fd = mount, inode, flags, fd
        self.reads = flags & os.O_ACCMODE != os.O_WRONLY
        self.writes = flags & os.O_ACCMODE != os.O_RDONLY
        self.appends = bool(flags & os.O_APPEND)
        self.transaction = False  # it writes through the inode's
        self.oldest = self.first = len(inode.versions) - 1  # versions that it may show, and could
        self.started = False
        inode.handles.append(self)

    def __repr__(self):
        return f"{self.inode.key}:{self.flags:o}:{self.fd}"


class Servers:
    """The servers, asked past the mounts."""

    def __init__(self, ports):
        self.conns = [Conn(port) for port in ports]
        self.ranges = [(r[0], r[1], ports.index(r[2][1])) for r in self.conns[0].call("CLUSTER", "SLOTS")]

    def call(self, command, key, *words):
        number = slot(key)
        index = next(i for first, last, i in self.ranges if first <= number <= last)
        return self.conns[index].call(command, key, *words)


class Model:
    def __init__(self, seed, commit, ports, mounts):
        self.commit_mode = commit
        self.mounts = mounts
        self.alone = len(mounts) == 1
        self.rng = random.Random(seed)
        self.servers = Servers(ports)
        self.stored = {}  # key: the value that the servers have for certain
        self.maybe = {}  # key: newer values that they may have, in order
        self.inodes = [{} for _ in mounts]  # key: Inode
        self.handles = []
        self.log = collections.deque(maxlen=80)
        self.counts = collections.Counter()
        self.path_of = [{key: os.path.join(m, name) for key, name in zip(KEYS, NAMES)} for m in mounts]

    # ---- what should be ----

    def view(self, mount, key):
        """What a program sees on this mount that opens KEY now; None: nothing."""
        inode = self.inodes[mount].get(key)
        if inode and inode.transaction and inode.transaction.dirty:
            return inode.transaction.value
        return self.stored.get(key)

    def store(self, key, value):
        self.stored[key] = value
        self.maybe.pop(key, None)

    def commit(self, inode):
        t = inode.transaction
        if inode.gone or not t.dirty:
            return
        there = self.stored.get(inode.key)
        if t.absent and there is not None:  # someone else has made it: it is written in place
            self.store(inode.key, over(there, 0, t.value))
            self.dissolve(inode)
        else:
            self.store(inode.key, t.value)
        t.dirty = t.absent = False
        t.sent += len(t.value)

    @staticmethod
    def dissolve(inode):
        for handle in inode.handles:
            handle.transaction = False
        inode.transaction = None

    def after_write(self, inode, end):
        """A write has gone into a transaction: whether it is stored for certain."""
        t = inode.transaction
        t.has_data = t.dirty = True
        if inode.gone:
            return
        size = len(t.value)
        if self.commit_mode == "write":
            self.commit(inode)
        elif self.commit_mode == "auto":
            if end % BLOCK and t.sent <= size / 2 + FREE:  # the last piece, and no more than three times the value
                self.commit(inode)
            elif t.absent and self.stored.get(inode.key) is not None:  # a pause would end it: now, then
                handle = next(h for h in inode.handles if h.transaction)
                self.check("settle", attempt(os.fsync, handle.fd), (0, None))
                self.commit(inode)
            else:
                self.maybe.setdefault(inode.key, []).append(t.value)
                t.sent += size

    def settle(self, mount, *keys):
        """What a pause would store at a time that is not known is stored now, before someone else touches KEYS."""
        for other, inodes in enumerate(self.inodes):
            for key in keys:
                inode = inodes.get(key)
                if other != mount and inode and inode.transaction and self.commit_mode == "auto":
                    handle = next((h for h in inode.handles if h.transaction), None)
                    if handle and inode.transaction.has_data and inode.transaction.dirty:
                        self.check("settle", attempt(os.fsync, handle.fd), (0, None))
                        self.commit(inode)
                        self.touched(key)
                    elif self.maybe.get(key):  # truncated since: no pause stores anything now
                        time.sleep(0.02)
                        self.peek(key)
                        self.maybe.pop(key)
                        self.touched(key)

    def touched(self, *keys):
        for mount, inodes in enumerate(self.inodes):
            for key in keys:
                inode = inodes.get(key)
                if inode:
                    inode.saw(self.view(mount, key))

    def looked(self, mount, key):
        """An operation by path has made the daemon look."""
        inode = self.inodes[mount].get(key)
        if inode:
            inode.look(len(inode.versions) - 1)

    def fail(self, what):
        for line in self.log:
            print(line)
        sys.stdout.flush()
        sys.exit(what)

    def check(self, what, got, *expected):
        if got not in expected:
            short = [str(x)[:200] for x in expected]
            self.fail(f"{what}: got {str(got)[:200]}, expected {' or '.join(short)}")

    def note(self, *what):
        self.log.append(" ".join(map(str, what)))

    # ---- choices ----

    def data(self, least=1):
        draw = self.rng.random()
        if draw < 0.7:
            size = self.rng.choice((1, 5, 100, 1000))
        elif draw < 0.97:
            size = self.rng.choice((4095, 4096, 4097, 8192, 20000))
        else:
            size = self.rng.choice((65535, 65536, 70000, 150000))
        if self.rng.random() < 0.3:
            size = self.rng.randint(least, size)
        start = self.rng.randrange(len(RANDOM) - size)
        return RANDOM[start : start + size]

    def size(self):
        return self.rng.choice((0, 0, 1, 7, 100, 1000, 4096, 5000, 5000, 20000, 65536, 100001))

    def place(self):
        mount, key = self.rng.randrange(len(self.mounts)), self.rng.choice(KEYS)
        return mount, key, self.path_of[mount][key]

    # ---- open and close ----

    FLAGS = (
        os.O_RDONLY,
        os.O_RDONLY,
        os.O_RDONLY | os.O_CREAT,
        os.O_RDWR,
        os.O_WRONLY,
        os.O_RDWR | os.O_CREAT,
        os.O_WRONLY | os.O_CREAT,
        os.O_RDWR | os.O_CREAT | os.O_TRUNC,
        os.O_RDWR | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
        os.O_RDWR | os.O_TRUNC,
        os.O_RDWR | os.O_CREAT | os.O_EXCL,
        os.O_WRONLY | os.O_CREAT | os.O_APPEND,
        os.O_RDWR | os.O_CREAT | os.O_APPEND,
        os.O_RDWR | os.O_APPEND,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND,
    )

    def opened(self, mount, key, flags, fd):
        """The file is open: what that has done. Returns the handle."""
        before = self.view(mount, key)
        inodes = self.inodes[mount]
        created = before is None
        reads_only = flags & os.O_ACCMODE == os.O_RDONLY
        if created and (flags & os.O_EXCL or reads_only):
            self.store(key, b"")
        inode = inodes.get(key)
        if not inode:
            inode = inodes[key] = Inode(key, self.view(mount, key))
        handle = Handle(mount, inode, flags, fd)
        if not reads_only and (created or flags & os.O_TRUNC):
            t = inode.transaction
            if t:
                t.truncate(True)
            else:
                stored = bool(flags & os.O_EXCL)
                absent = created and not stored and not flags & os.O_TRUNC
                t = inode.transaction = Transaction(stored, absent, not stored)
            t.handles += 1
            handle.transaction = True
        return handle

    def expect_open(self, mount, key, flags):
        there = self.view(mount, key) is not None
        if there and flags & os.O_EXCL:
            return errno.EEXIST
        return 0 if there or flags & os.O_CREAT else errno.ENOENT

    def try_open(self, mount, key, flags):
        self.settle(mount, key)
        expected = self.expect_open(mount, key, flags)
        error, fd = attempt(os.open, self.path_of[mount][key], flags, 0o600)
        self.check("open", error, expected)
        if error:
            self.looked(mount, key)
            return None
        handle = self.opened(mount, key, flags, fd)
        self.touched(key)
        self.looked(mount, key)
        handle.oldest = handle.first = len(handle.inode.versions) - 1
        return handle

    def open(self):
        if len(self.handles) >= HANDLES:
            return self.close()
        mount, key, _ = self.place()
        flags = self.rng.choice(self.FLAGS)
        self.note("open", mount, key, oct(flags))
        handle = self.try_open(mount, key, flags)
        if handle:
            self.note("  is", handle)
            self.handles.append(handle)
        return None

    def flush(self, handle):
        t = handle.inode.transaction
        if not handle.transaction:
            return
        if t.awaits_dup and not t.has_data and t.dirty:
            t.awaits_dup = False  # the shell's dup()
        else:
            self.commit(handle.inode)

    def release(self, handle):
        inode, t = handle.inode, handle.inode.transaction
        inode.handles.remove(handle)
        if handle.transaction:
            t.handles -= 1
            if not t.handles:
                late = t.dirty and not inode.gone
                self.commit(inode)
                inode.transaction = None
                if late:
                    self.wait_stored(inode.key)
        if not inode.handles and not inode.gone:
            del self.inodes[handle.mount][inode.key]

    def wait_stored(self, key):
        """The RELEASE that stores an empty value comes after close()."""
        end = time.monotonic() + 2
        while self.servers.call("GET", key) != self.stored[key]:
            if time.monotonic() > end:
                self.fail(f"{key} was not stored after the last close")

    def shut(self, handle):
        self.settle(handle.mount, handle.inode.key)
        self.check("close", attempt(os.close, handle.fd), (0, None))
        self.flush(handle)
        self.release(handle)
        if not handle.inode.gone:
            self.touched(handle.inode.key)

    def close(self):
        handle = self.pick()
        if handle:
            self.note("close", handle)
            self.handles.remove(handle)
            self.shut(handle)

    def dup(self):
        """What a shell does for a redirection: the copy that is closed first must not publish an empty value."""
        handle = self.pick()
        if handle:
            self.note("dup and close", handle)
            self.settle(handle.mount, handle.inode.key)
            self.check("close", attempt(os.close, os.dup(handle.fd)), (0, None))
            self.flush(handle)
            self.touched_by(handle)

    def fsync(self):
        handle = self.pick()
        if handle:
            self.note("fsync", handle)
            self.settle(handle.mount, handle.inode.key)
            self.check("fsync", attempt(os.fsync, handle.fd), (0, None))
            if handle.transaction:
                self.commit(handle.inode)
            self.touched_by(handle)

    # ---- by handle ----

    def pick(self, writes=False, reads=False):
        handles = [h for h in self.handles if (h.writes or not writes) and (h.reads or not reads)]
        return self.rng.choice(handles) if handles else None

    def touched_by(self, handle):
        inode = handle.inode
        if inode.gone:
            inode.saw(inode.transaction.value if inode.transaction else inode.versions[-1])
        else:
            self.touched(inode.key)

    def changed_by(self, handle):
        """Something was written through this mount past any transaction: who may write sees that."""
        self.touched_by(handle)
        for other in handle.inode.handles:
            if other.writes:
                other.oldest = len(other.inode.versions) - 1

    def write_through(self, handle, offset, data):
        t = handle.inode.transaction
        t.value = over(t.value, offset, data)
        self.after_write(handle.inode, offset + len(data))
        self.touched_by(handle)

    def write_direct(self, handle, offset, data):
        inode = handle.inode
        t = inode.transaction
        if t and handle.appends and t.unborn:
            t.absent = t.dirty = False
        elif t:
            self.commit(inode)
        there = self.stored.get(inode.key)
        self.store(inode.key, (there or b"") + data if handle.appends else over(there, offset, data))
        t = inode.transaction
        if t:  # what it commits next has this too
            t.value = over(t.value, len(t.value) if handle.appends else offset, data)
            t.has_data = True
        if t and handle.appends and all(h.appends for h in inode.handles if h.transaction):
            self.dissolve(inode)  # who only appends sees what others append
        self.changed_by(handle)

    def write_gone(self, handle, offset, data):
        t = handle.inode.transaction
        t.value = over(t.value, len(t.value) if handle.appends else offset, data)
        self.changed_by(handle)

    def wrote(self, handle, offset, data, got):
        inode = handle.inode
        if inode.gone and not inode.transaction:
            self.check("write", got[0], errno.ESTALE)
            return
        lost = not inode.gone and not handle.transaction and self.view(handle.mount, inode.key) is None
        if lost and got[0] == errno.ESTALE:
            return
        self.check("write", got, (0, len(data)))
        if inode.gone:
            self.write_gone(handle, offset, data)
        elif handle.transaction and not handle.appends:
            self.write_through(handle, offset, data)
        else:
            self.write_direct(handle, offset, data)

    def pwrite(self):
        handle, data, offset = self.pick(writes=True), self.data(), self.size()
        if handle:
            self.note("pwrite", handle, len(data), "at", offset)
            self.settle(handle.mount, handle.inode.key)
            self.wrote(handle, offset, data, attempt(os.pwrite, handle.fd, data, offset))

    def write_on(self):
        """write() where the last one ended, as stdio does."""
        handle, data = self.pick(writes=True), self.data()
        if handle:
            offset = 0 if handle.appends else os.lseek(handle.fd, 0, os.SEEK_CUR)
            if offset > 1000000:
                offset = os.lseek(handle.fd, 0, os.SEEK_SET)
            self.note("write", handle, len(data), "at", offset)
            self.settle(handle.mount, handle.inode.key)
            self.wrote(handle, offset, data, attempt(os.write, handle.fd, data))

    def ftruncate(self):
        handle, size = self.pick(writes=True), self.size()
        if not handle:
            return
        inode = handle.inode
        self.note("ftruncate", handle, size)
        self.settle(handle.mount, inode.key)
        got = attempt(os.ftruncate, handle.fd, size)
        begins = not handle.appends and (handle.transaction or size == 0)
        if inode.gone and inode.transaction:
            self.check("ftruncate", got, (0, None))
            inode.transaction.value = resized(inode.transaction.value, size)
            self.changed_by(handle)
        elif begins:
            self.check("ftruncate", got, (0, None))
            self.truncate_through(handle, size)
        elif inode.gone:
            self.check("ftruncate", got[0], errno.ESTALE)
        else:
            self.truncate_direct(inode, size, got, errno.ESTALE)
            if not got[0]:
                self.changed_by(handle)

    def truncate_through(self, handle, size):
        inode = handle.inode
        if handle.transaction and size:
            inode.transaction.value = resized(inode.transaction.value, size)
            self.after_write(inode, 0)
            self.touched_by(handle)
            return
        if inode.transaction:
            inode.transaction.truncate(False)
        else:
            inode.transaction = Transaction(False, False, False)
        inode.transaction.handles += not handle.transaction
        handle.transaction = True
        self.touched_by(handle)

    def truncate_direct(self, inode, size, got, missing):
        if inode.transaction:
            self.commit(inode)
        key = inode.key
        there = self.stored.get(key)
        self.check("truncate", got[0], missing if there is None else 0)
        if there is None:
            return
        self.store(key, resized(there, size))
        if inode.transaction:
            inode.transaction.value = resized(inode.transaction.value, size)
        self.touched(key)

    # ---- reading by handle ----

    def may_show(self, handle, anew):
        """The values that HANDLE, without a transaction of its own, may show; None among them: ESTALE."""
        inode = handle.inode
        if inode.gone:
            if inode.transaction and (handle.writes or anew):
                return [inode.transaction.value] if handle.writes else inode.versions[handle.oldest :]
            return [*inode.versions[handle.first :], None]
        if inode.versions[-1] is None:
            return inode.versions[handle.oldest :]
        changed = inode.versions[handle.first :]
        stale = [None] if len(changed) > 1 and max(len(v or b"") for v in changed) >= LARGE else []
        recent = max(inode.recent(), handle.oldest)
        if handle.writes and self.alone:
            return inode.versions[-1:]
        if anew and handle.started:
            return inode.versions[recent:] + stale
        return inode.versions[handle.oldest :] + stale

    def pread(self):
        handle, offset, size = self.pick(reads=True), self.size(), self.size() + 1
        if not handle:
            return
        self.note("pread", handle, size, "at", offset)
        self.settle(handle.mount, handle.inode.key)
        self.compare_read(handle, offset, size, attempt(os.pread, handle.fd, size, offset))

    def compare_read(self, handle, offset, size, got):
        inode = handle.inode
        if handle.transaction:
            shown = [inode.transaction.value]
            there = self.stored.get(inode.key)
            if not self.alone and there != shown[0]:  # who truncates takes the file: others' writes do not show
                shown += [there or b"", shown[0][: len(there or b"")]]
        else:
            shown = self.may_show(handle, offset == 0)
        matching = [v for v in shown if got == ((errno.ESTALE, None) if v is None else (0, v[offset : offset + size]))]
        if not matching:
            self.fail(
                f"pread: got {str(got)[:100]} ({len(got[1] or b'')} bytes), expected one of "
                f"{[(None if v is None else len(v), (v or b'')[offset : offset + 20]) for v in shown]}"
            )
        handle.started = True
        if not handle.transaction and matching[0] is not None:
            handle.oldest = max(handle.oldest, inode.versions.index(matching[0]))

    def fstat(self):
        handle = self.pick()
        if not handle:
            return
        inode = handle.inode
        self.note("fstat", handle)
        self.settle(handle.mount, inode.key)
        error, st = attempt(os.fstat, handle.fd)
        size = errno.errorcode[error] if error else st.st_size
        t = inode.transaction
        if t and (t.dirty or inode.gone or (handle.transaction and self.alone)):
            allowed = {len(t.value)}
        elif inode.gone or inode.versions[-1] is None:
            first = min(h.first for h in inode.handles)
            allowed = {"ESTALE", *(len(v) for v in inode.versions[first:] if v is not None)}
        else:
            allowed = {len(v) for v in inode.versions[inode.recent() :] if v is not None}
            allowed |= {len(t.value)} if t else set()
        self.check("fstat", size, *allowed)
        inode.look(inode.recent())

    # ---- by path ----

    def stat(self):
        mount, key, path = self.place()
        self.note("stat", mount, key)
        self.settle(mount, key)
        error, st = attempt(os.stat, path)
        value = self.view(mount, key)
        self.check("stat", (error, st and st.st_size), (errno.ENOENT, None) if value is None else (0, len(value)))
        self.looked(mount, key)

    def read(self):
        mount, key, path = self.place()
        self.note("read", mount, key)
        self.settle(mount, key)
        value = self.view(mount, key)
        error, fd = attempt(os.open, path, os.O_RDONLY)
        self.check("open", error, errno.ENOENT if value is None else 0)
        self.looked(mount, key)
        if error:
            return
        try:
            got = attempt(os.read, fd, 1 << 21)
        finally:
            os.close(fd)
        if got != (0, value):
            place = next((i for i, (x, y) in enumerate(zip(got[1] or b"", value)) if x != y), None)
            self.fail(f"read: error {got[0]}, {len(got[1] or b'')} bytes, expected {len(value)}, differs at {place}")

    def write(self):
        """open, write in a piece or in several, close."""
        mount, key, _ = self.place()
        flags = os.O_WRONLY | self.rng.choice(
            (os.O_CREAT | os.O_TRUNC,) * 3 + (os.O_CREAT | os.O_APPEND, os.O_CREAT | os.O_EXCL)
        )
        pieces = [self.data() for _ in range(self.rng.choice((0, 1, 1, 1, 2, 3)))]
        self.note("write", mount, key, oct(flags), [len(p) for p in pieces])
        handle = self.try_open(mount, key, flags)
        if not handle:
            return
        offset = 0
        for piece in pieces:
            self.wrote(handle, offset, piece, attempt(os.write, handle.fd, piece))
            offset += len(piece)
        self.shut(handle)

    def truncate(self):
        mount, key, path = self.place()
        size = self.size()
        self.note("truncate", mount, key, size)
        self.settle(mount, key)
        got = attempt(os.truncate, path, size)
        if self.view(mount, key) is None:
            self.check("truncate", got[0], errno.ENOENT)
            return
        inode = self.inodes[mount].get(key) or Inode(key, None)
        self.truncate_direct(inode, size, got, errno.ENOENT)
        for handle in inode.handles:
            if handle.writes:
                handle.oldest = len(inode.versions) - 1
        self.looked(mount, key)

    def leave(self, mount, key):
        """The name is no longer the inode's."""
        inode = self.inodes[mount].pop(key, None)
        if inode:
            inode.saw(self.view_of(inode))
            inode.gone = True
        return inode

    def view_of(self, inode):
        return inode.transaction.value if inode.transaction else self.stored.get(inode.key)

    def unlink(self):
        mount, key, path = self.place()
        self.note("unlink", mount, key)
        self.settle(mount, key)
        value = self.view(mount, key)
        self.check("unlink", attempt(os.unlink, path)[0], errno.ENOENT if value is None else 0)
        self.looked(mount, key)
        if value is not None:
            self.leave(mount, key)
            self.store(key, None)
            self.touched(key)

    def rename(self):
        mount, source, path = self.place()
        target = self.rng.choice(KEYS)
        flags = self.rng.choice((0, 0, 0, 0, NOREPLACE, NOREPLACE, EXCHANGE))
        self.note("rename", mount, source, target, flags)
        self.settle(mount, source, target)
        before, there = self.view(mount, source), self.view(mount, target)
        self.looked(mount, source)
        self.looked(mount, target)
        if before is None or (there is None and flags == EXCHANGE):
            expected = errno.ENOENT
        elif there is not None and flags == NOREPLACE:
            expected = errno.EEXIST
        elif source != target and flags == EXCHANGE:
            expected = errno.EINVAL
        else:
            expected = 0
        self.check("rename", attempt(rename, path, self.path_of[mount][target], flags)[0], expected)
        if not expected and source != target:
            self.renamed(mount, source, target)
        elif not expected:
            self.touched(source)

    def renamed(self, mount, source, target):
        inode = self.inodes[mount].get(source)
        if inode and inode.transaction:
            self.commit(inode)
        self.leave(mount, target)
        self.store(target, self.stored[source])
        self.store(source, None)
        if inode:
            del self.inodes[mount][source]
            inode.key = target
            self.inodes[mount][target] = inode
        self.touched(source, target)

    def list(self):
        mount = self.rng.randrange(len(self.mounts))
        self.note("list", mount)
        got = set(os.listdir(self.mounts[mount]))
        must = {name for key, name in zip(KEYS, NAMES) if self.stored.get(key) is not None and key not in self.maybe}
        may = must | {name for key, name in zip(KEYS, NAMES) if key in self.maybe or self.stored.get(key) is not None}
        if not must <= got <= may:
            self.fail(f"list: got {sorted(got)}, expected {sorted(must)}, at most {sorted(may)}")

    # ---- past the mounts ----

    def peek(self, key=None):
        """What a server has is a state that was to be stored, and none that is older than what was seen of it."""
        key = key or self.rng.choice(KEYS)
        self.note("peek", key)
        got = self.servers.call("GET", key)
        states = [self.stored.get(key), *self.maybe.get(key, [])]
        if got not in states:
            self.fail(
                f"peek {key}: got {None if got is None else (len(got), got[:20])}, expected one of "
                f"{[None if v is None else (len(v), v[:20]) for v in states]}"
            )
        if key in self.maybe:
            first = states.index(got)
            self.stored[key] = got
            self.maybe[key] = states[first + 1 :]
            for inodes in self.inodes:
                t = inodes[key].transaction if key in inodes else None
                if first and t and t.has_data:  # it is one that stored something
                    t.absent = False

    def outside(self):
        """Another client changes a key."""
        key, data, draw = self.rng.choice(KEYS), self.data(), self.rng.random()
        if self.alone:
            return
        self.note("outside", key, len(data), draw)
        self.settle(None, key)
        if draw < 0.5:
            self.servers.call("SET", key, data)
            self.store(key, data)
        elif draw < 0.8:
            self.servers.call("APPEND", key, data)
            self.store(key, (self.stored.get(key) or b"") + data)
        else:
            self.servers.call("DEL", key)
            self.store(key, None)
        self.touched(key)

    def rest(self):
        """Long enough for what was fetched to age, and for a pause to commit."""
        if self.rng.random() < 0.02:
            self.note("rest")
            time.sleep(0.11)

    # ---- all ----

    KINDS = (
        *["write"] * 8,
        *["read"] * 8,
        *["stat"] * 4,
        *["open"] * 10,
        *["close"] * 6,
        *["pwrite", "write_on", "pread"] * 7,
        *["truncate", "list", "dup", "fsync", "ftruncate", "rest"] * 2,
        *["unlink", "rename", "fstat", "peek"] * 4,
        "outside",
    )

    def run(self, steps):
        start = last = time.monotonic()
        kinds = [getattr(self, kind) for kind in self.KINDS]
        for step in range(steps):
            self.rng.choice(kinds)()
            if step % 1000 == 0:
                self.trim()
            if time.monotonic() - last > 60:
                last = time.monotonic()
                print(f"{step} steps, {step / (last - start):.0f}/s", flush=True)
        while self.handles:
            self.close()
        for mount in range(len(self.mounts)):
            for key in KEYS:
                self.peek(key)
                self.check("stat", os.path.exists(self.path_of[mount][key]), self.view(mount, key) is not None)
        took = time.monotonic() - start
        print(f"{steps} operations in {took:.1f} s, {steps / took:.0f}/s", flush=True)

    def trim(self):
        """Nobody's memory grows with the number of steps."""
        for handle in list(self.handles):
            if len(handle.inode.versions) > 500:
                self.handles.remove(handle)
                self.shut(handle)


if __name__ == "__main__":
    _, STEPS, SEED, COMMIT, PORTS, *MOUNTS = sys.argv
    try:
        Model(int(SEED), COMMIT, [int(p) for p in PORTS.split(",")], MOUNTS).run(int(STEPS))
    except (OSError, Reply) as ERROR:
        sys.exit(f"{ERROR!r}")
