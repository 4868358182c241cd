# SPDX-License-Identifier: MIT
"""What programs do to files by system calls, and by python's library, is the same on a mount."""

import unittest

from ways import Ways, setUpModule, tearDownModule  # noqa: F401


class Python(Ways):
    def test_buffered(self):
        for buffering in (1, 10, 4096, 8192, 1 << 17, -1):
            self.python(
                f"buffering = {buffering}"
                + r"""
with open("a", "w", buffering) as f:
    for i in range(3000):
        f.write(f"line {i}\n")
with open("a", "a", buffering) as f:
    for i in range(30):
        f.write(f"more {i}\n")
with open("a", "r+", buffering) as f:
    f.seek(9000)
    f.write("HERE")
    f.seek(0, 2)
    f.write("END")
    f.seek(8990)
    print(f.read(30))
    f.truncate(9000)
"""
            )
        self.python(
            r"""
with open("a", "wb", 0) as f:
    for i in range(300): f.write(b"x" * i)
    print(f.tell())

with open("a", "w+") as f:
    f.write("hello"); f.seek(1); print(f.read()); f.truncate(3); f.seek(0); print(f.read())

with open("a", "x") as f:
    f.write("1")
try:
    open("a", "x")
except FileExistsError as error:
    print(error)

f = open("a", "a+")
f.write("one"); f.flush(); f.seek(0); print(f.read()); f.write("two"); f.seek(1); print(f.read())
f.write("3"); f.close(); print(open("a").read())

f = open("a", "w"); g = open("a")
f.write("x" * 10); f.flush(); print(g.read()); f.write("y" * 5); f.close(); print(g.read())
"""
        )

    CALLS = r"""
os.writev(f, [b"one", b"", b"two" * 5000]); print(os.preadv(f, [bytearray(5), bytearray(9)], 2))

os.pwrite(f, b"end", 100000); print(os.pread(f, 9, 99995), os.pread(f, 5, 200000), os.fstat(f).st_size)

os.pwrite(f, b"x", 300000); os.pwrite(f, b"y", 150000); os.pwrite(f, b"z", 0); print(os.read(f, 10))

os.ftruncate(f, 5); print(os.fstat(f).st_size)
os.ftruncate(f, 70000); print(os.pread(f, 12, 0), os.fstat(f).st_size)

os.truncate("a", 5); print(os.fstat(f).st_size)
os.truncate("a", 9); print(os.pread(f, 99, 0))
os.truncate("a", 0); print(os.stat("a").st_size)

os.ftruncate(f, 50000); os.ftruncate(f, 0); os.write(f, b"x"); os.ftruncate(f, 3)
os.fsync(f); os.fdatasync(f); print(os.pread(f, 9, 0))

os.ftruncate(f, 10); os.lseek(f, 0, 2); os.write(f, b"at the end"); os.lseek(f, -3, 1); print(os.read(f, 9))

os.lseek(f, 5000, 0); os.write(f, b"x"); os.lseek(f, 0, 0); os.write(f, b"y"); os.close(f); print(os.stat("a").st_size)

os.posix_fallocate(f, 0, 5000); os.pwrite(f, b"x", 6000); print(os.fstat(f).st_size)

g = os.open("a", os.O_WRONLY | os.O_APPEND)
for i in range(9): os.write(g, b"append"); os.pwrite(f, b"in place", i)
print(os.fstat(g).st_size)

g = os.open("a", os.O_RDWR | os.O_APPEND)
os.write(g, b"one"); os.lseek(g, 0, 0); print(os.read(g, 5)); os.write(g, b"two"); print(os.fstat(g).st_size)

g = os.open("a", os.O_WRONLY | os.O_TRUNC)
os.write(g, b"new"); print(os.pread(f, 9, 0)); os.write(f, b"old"); print(os.pread(f, 9, 0))

g = os.dup(f)
os.write(f, b"one"); os.write(g, b"two"); os.close(f); os.write(g, b"three"); print(os.lseek(g, 0, 1))

if not (pid := os.fork()): os.write(f, b"child"); os._exit(0)
os.waitpid(pid, 0); os.write(f, b"mother"); print(os.lseek(f, 0, 1), os.fstat(f).st_size)

import fcntl
fcntl.fcntl(f, fcntl.F_SETFL, os.O_APPEND); os.lseek(f, 0, 0)
os.write(f, b"x"); os.write(f, b"y"); print(os.fstat(f).st_size)

g = os.open("b", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"data" * 9999, 0)
print(os.copy_file_range(f, g, 20000, 0), os.sendfile(g, f, 0, 5000), os.fstat(g).st_size)

r, w = os.pipe()
os.write(w, b"through a pipe"); print(os.splice(r, f, 14))
os.lseek(f, 0, 0); print(os.splice(f, w, 7), os.read(r, 9))

import mmap
os.ftruncate(f, 9000); os.fsync(f)
with mmap.mmap(f, 9000, mmap.MAP_PRIVATE) as m: m[0:3] = b"abc"; print(m[0:5])

os.write(f, b"one"); os.rename("a", "b"); os.write(f, b"two"); print(os.listdir("."))
os.close(f); print(open("b").read(10))

g = os.open("a", os.O_RDWR | os.O_SYNC); os.write(g, b"sync")
h = os.open("a", os.O_WRONLY | os.O_DSYNC | os.O_APPEND); os.write(h, b"!"); print(os.pread(f, 5, 0))

os.write(f, b"x"); g = os.open("a", os.O_PATH); print(os.fstat(g).st_size)
d = os.open(".", 0); print(os.stat("a", dir_fd=d).st_size); os.unlink("a", dir_fd=d); print(os.listdir(d))
"""

    def test_system_calls(self):
        self.python(self.CALLS, 'import os\nf = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)\n')
        self.python(self.CALLS, 'import os\nf = os.open("a", os.O_RDWR | os.O_CREAT)\n')
        full = 'import os\nopen("a", "w").write("0123456789" * 9999)\n'
        self.python(self.CALLS, full + 'f = os.open("a", os.O_RDWR | os.O_CREAT)\n')

    def test_a_file_that_was_removed(self):
        self.python(
            r"""
import os
f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.unlink("a"); os.write(f, b"gone"); print(os.pread(f, 9, 0), os.fstat(f).st_nlink)
os.ftruncate(f, 2); print(os.fstat(f).st_size)
"""
        )

    def test_several_handles(self):
        self.python(
            r"""
import os
f = os.open("a", os.O_WRONLY | os.O_APPEND | os.O_TRUNC | os.O_CREAT)
os.write(f, b"one"); os.lseek(f, 0, 0); os.write(f, b"two"); os.ftruncate(f, 1); os.write(f, b"3")
print(os.fstat(f).st_size)

import os
open("a", "w").write("x" * 5000)
f = os.open("a", os.O_RDWR | os.O_APPEND | os.O_TRUNC)
os.write(f, b"one"); print(os.pread(f, 9, 0)); os.ftruncate(f, 0); os.write(f, b"z"); print(os.pread(f, 9, 0))

import os
open("a", "w").write("x" * 5000)
f = os.open("a", os.O_RDWR | os.O_APPEND); os.ftruncate(f, 0); os.write(f, b"z")
g = os.open("a", os.O_RDWR); os.pwrite(g, b"yy", 3); os.write(f, b"end"); print(os.pread(f, 9, 0))

import os
f, g = (os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC) for _ in "ab")
os.write(f, b"aaa"); os.write(g, b"b"); os.close(f); print(os.pread(g, 9, 0)); os.ftruncate(g, 2)
h = os.open("a", os.O_RDONLY); print(os.read(h, 9)); os.write(g, b"cc"); print(os.pread(h, 9, 0))

import os
f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_EXCL); g = os.open("a", os.O_RDWR | os.O_TRUNC)
os.write(f, b"1" * 10); os.write(g, b"2" * 5); print(os.pread(f, 20, 0))
os.unlink("a"); os.write(f, b"3"); print(os.pread(g, 20, 0))
h = os.open("a", os.O_RDWR | os.O_CREAT | os.O_EXCL); os.write(h, b"new"); os.close(f); os.close(g)
print(open("a").read())

import os
f = os.open("a", os.O_RDWR | os.O_CREAT); os.rename("a", "b"); os.write(f, b"x")
g = os.open("a", os.O_RDWR | os.O_CREAT); os.write(g, b"y" * 3); os.rename("a", "b")
os.write(f, b"old"); os.write(g, b"new"); os.close(f); os.close(g); print(open("b").read(), os.listdir("."))

import os, threading
f = os.open("a", os.O_RDWR | os.O_CREAT)
work = lambda i: [os.pwrite(f, bytes([i]) * 5000, i * 5000) for _ in range(5)]
threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(os.fstat(f).st_size)

import os
for size in (3_000_000, 10):
    f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC if size > 10 else os.O_RDWR)
    print(os.write(f, b"x" * size), len(os.pread(f, 5_000_000, 0)))
    print(os.pwrite(f, b"y" * 3_000_000, 1_000_000), os.fstat(f).st_size)
    os.close(f)
g = os.open("a", os.O_APPEND | os.O_WRONLY); print(os.write(g, b"e" * 2_500_000))
"""
        )

    def test_refusals(self):
        self.python(
            r"""
import os, stat
flags = os.O_RDONLY, os.O_RDWR, os.O_CREAT, os.O_CREAT | os.O_EXCL, os.O_WRONLY | os.O_TRUNC, os.O_DIRECTORY, os.O_TRUNC
for flag in flags:
    for name in ("a", "b", ".", "a/", "./a", "x/y"):
        try: f = os.open(name, flag); print(flag, name, "ok", stat.S_ISDIR(os.fstat(f).st_mode)); os.close(f)
        except OSError as error: print(flag, name, error.errno)

import os
f = os.open("a", os.O_WRONLY | os.O_CREAT); r = os.open("a", os.O_RDONLY)
def attempt(call, *args):
    try: print(call.__name__, args[1:], call(*args))
    except OSError as error: print(call.__name__, args[1:], error.errno)
attempt(os.read, f, 1); attempt(os.write, r, b"x"); attempt(os.ftruncate, r, 0); attempt(os.pwrite, f, b"x", -1)
attempt(os.truncate, "nosuch", 0); attempt(os.truncate, ".", 0); attempt(os.rename, "a", "."); attempt(os.unlink, ".")
attempt(os.rmdir, "a"); attempt(os.rmdir, "nosuch"); attempt(os.readlink, "a"); attempt(os.listdir, "a")
attempt(os.ftruncate, f, -1); attempt(os.write, f, b""); attempt(os.read, r, 0); attempt(os.lseek, f, -1, 0)
"""
        )

    def test_killed_writers(self):
        self.python(
            r"""
import os, signal, time
if not (pid := os.fork()):
    f = open("a", "w"); f.write("x" * 20000); f.flush(); os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(pid, 0); time.sleep(0.3); print(os.stat("a").st_size)
"""
        )

    def test_holes(self):
        self.python(
            r"""
import os
f = os.open("a", os.O_RDWR | os.O_CREAT)
os.pwrite(f, b"x", 1 << 20); print(os.fstat(f).st_size)
os.pwrite(f, b"y", 5 << 20); print(set(os.pread(f, 1 << 20, 2 << 20)))
os.lseek(f, 0, 2); os.write(f, b"z")

import os
f = os.open("a", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
os.ftruncate(f, 3 << 20); os.pwrite(f, b"y", 2 << 20)
print(set(os.pread(f, 1 << 20, 1 << 20)), os.lseek(f, 2 << 20, os.SEEK_DATA), os.lseek(f, 0, os.SEEK_END))

import os
os.close(os.open("a", os.O_WRONLY | os.O_CREAT))
os.truncate("a", 100000); print(os.stat("a").st_size)
with open("a", "r+b") as f: f.seek(200000); f.write(b"x")
"""
        )

    def test_library(self):
        self.python(
            r"""
import os, tempfile
with tempfile.NamedTemporaryFile("w", dir=".", delete=False) as f: f.write("x")
os.replace(f.name, "a")

import tempfile
with tempfile.TemporaryFile(dir=".") as f: f.write(b"x" * 9999); f.seek(0); print(len(f.read()))

import shutil
open("a", "w").write("x" * 99999)
shutil.copy("a", "b"); shutil.copyfile("b", "c"); shutil.move("a", "d")

import fileinput
open("a", "w").write("1\n2\n3\n")
for line in fileinput.input("a", inplace=True, backup=".bak"): print(line, end="" if "2" in line else line)

import zipfile
for i in range(3):
    with zipfile.ZipFile("a", "a") as z: z.writestr(zipfile.ZipInfo(f"f{i}"), "x" * 5000)
print(zipfile.ZipFile("a").testzip(), zipfile.ZipFile("a").namelist())

import dbm.dumb
for i in range(5):
    with dbm.dumb.open("a") as d: d[str(i)] = "v" * i; print(len(d))

import os, sqlite3
c = sqlite3.connect("a"); c.execute("create table t (i, v)")
for i in range(200): c.execute("insert into t values (?, ?)", (i, "v" * 99))
c.commit(); c.execute("delete from t where i % 3"); c.commit(); c.execute("vacuum"); c.close()
c = sqlite3.connect("a")
print(c.execute("select count(*), sum(i) from t").fetchall(), c.execute("pragma integrity_check").fetchall())
c.close(); print(os.listdir(".")); os.unlink("a")

import logging, logging.handlers
log = logging.getLogger()
log.addHandler(logging.handlers.RotatingFileHandler("a", maxBytes=1000, backupCount=3))
for i in range(100): log.warning("line %d of the log", i)

import mailbox, os
m = mailbox.mbox("a"); m.lock(); m.add("From: x\n\nbody\n"); m.flush(); m.unlock(); m.close()
print(len(mailbox.mbox("a"))); os.unlink("a")

import configparser, csv, json
json.dump([1] * 999, open("a", "w"))
c = configparser.ConfigParser(); c["x"] = {"y": 1}; c.write(open("b", "w"))
csv.writer(open("c", "w")).writerows([[1, 2]] * 99)
"""
        )

    RENAME = """
import ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def rename(a, b, flags):
    ok = libc.renameat2(-100, a.encode(), -100, b.encode(), flags) == 0
    print(a, b, flags, "ok" if ok else errno.errorcode[ctypes.get_errno()])
"""

    def test_renaming(self):
        self.python(
            """
for b in ("b", "{a}b"):
    open("a", "w").write("1")
    rename("a", b, 1); rename("a", b, 1); rename("a", b, 0)
    open("a", "w").write("2")
    rename("a", b, 1); rename(b, b, 1); rename(b, b, 0); rename("a", "a", 0)
    rename("a", b, 0); rename("nosuch", b, 1)
open("c", "w"); rename("c", "b/c", 0); rename("c", ".", 0); rename("c", "d", 4096)
""",
            self.RENAME,
        )

    def test_names_cannot_be_exchanged(self):
        self.assertEqual(
            self.in_mount(self.RENAME + "open('a', 'w'); open('b', 'w'); rename('a', 'b', 2)"), "a b 2 EINVAL\n"
        )

    def test_locks(self):
        self.python(
            """
import fcntl, os
def child(lock):
    if pid := os.fork():
        os.waitpid(pid, 0)
        return
    f = os.open("a", os.O_RDWR)
    try:
        lock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print("got it", flush=True)
    except OSError as error:
        print("busy", error.errno, flush=True)
    os._exit(0)
open("a", "w").write("x")
for lock in (fcntl.flock, fcntl.lockf):
    f = os.open("a", os.O_RDWR)
    lock(f, fcntl.LOCK_EX); child(lock)
    lock(f, fcntl.LOCK_UN); child(lock)
    lock(f, fcntl.LOCK_SH); child(lock)
    os.close(f); child(lock)
"""
        )
        self.bash(
            """
echo 0 > n
add() { flock 9; echo $(($(cat n) + 1)) > n; }
for i in 1 2 3 4; do (for j in 1 2 3 4 5; do (add) 9>> lock; done) & done; wait; cat n
"""
        )


if __name__ == "__main__":
    unittest.main()
