# SPDX-License-Identifier: MIT
"""Every wait ends: by a signal at once, by the deadline, by an unmount; whatever the servers do."""

import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
import unittest

import fslib
from fslib import SHARDFS, detach, mounts, run
from shardtest import Cluster, wait_until

# What is done beforehand, when all is well, and what has to wait for a server then. K: a key of the node that is
# silent; OTHER: one of another node; NEAR: one in K's slot.
CALLS = {
    "open": ("", "os.open(K, os.O_RDONLY)"),
    "open to write": ("", "os.open(K, os.O_WRONLY)"),
    "create": ("", "os.open(NEAR, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)"),
    "create exclusively": ("", "os.open(NEAR, os.O_WRONLY | os.O_CREAT | os.O_EXCL)"),
    "read": ("f = os.open(K, os.O_RDONLY)", "os.read(f, 10)"),
    "read of a large value": (
        "f = os.open(K, os.O_RDONLY); os.truncate(K, 9000000)",
        "os.pread(f, 9, 8000000)",
    ),
    "write": ("f = os.open(K, os.O_WRONLY | os.O_TRUNC)", "os.write(f, b'line\\n')"),
    "write in place": ("f = os.open(K, os.O_WRONLY)", "os.pwrite(f, b'x', 3)"),
    "append": ("f = os.open(K, os.O_WRONLY | os.O_APPEND)", "os.write(f, b'x')"),
    "close": ("f = os.open(K, os.O_WRONLY | os.O_TRUNC)", "os.write(f, bytes(4096)), os.close(f)"),
    "fsync": ("f = os.open(K, os.O_WRONLY | os.O_TRUNC)", "os.write(f, bytes(4096)), os.fsync(f)"),
    "truncate": ("", "os.truncate(K, 1)"),
    "ftruncate": ("f = os.open(K, os.O_WRONLY)", "os.ftruncate(f, 1)"),
    "unlink": ("", "os.unlink(K)"),
    "rename": ("", "os.rename(K, NEAR)"),
    "rename to another slot": ("", "os.rename(K, OTHER)"),
    "rename from another slot": ("", "os.rename(OTHER, K)"),
    "stat": ("", "os.stat(K)"),
    "fstat": ("f = os.open(K, os.O_RDONLY)", "os.fstat(f)"),
    "chmod": ("", "os.chmod(K, 0o644)"),
    "utime": ("", "os.utime(K)"),
    "getxattr": ("", "os.getxattr(K, 'user.redis.ttl')"),
    "setxattr": ("", "os.setxattr(K, 'user.redis.ttl', b'100')"),
    "ls": ("", "os.listdir('.')"),
    "df": ("", "os.statvfs('.')"),
}
# Those that servers who read but do not write keep waiting, too.
WRITES = [name for name in CALLS if name.split()[0] in ("write", "append", "close", "fsync", "truncate", "ftruncate")]
WRITES += ["create exclusively", "unlink", "rename", "rename to another slot", "rename from another slot"]

PROGRAM = """
import errno, os, signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
K, NEAR, OTHER, BEFORE, CALL = sys.argv[1:]
exec(BEFORE)
print("ready", flush=True)
sys.stdin.readline()
start = time.monotonic()
try:
    exec(CALL)
    said = "done"
except OSError as error:
    said = errno.errorcode[error.errno]
print(said, time.monotonic() - start, flush=True)
"""

# Of what is cached no server is asked.
Mount = functools.partial(fslib.Mount, options="cache=off")

# What libfuse itself may print where the kernel ends the connection.
ABORTED = "fuse: reading device: Software caused connection abort\n"


class Program:
    """A program that makes one of the CALLS when it is told to."""

    def __init__(self, mount, keys, before, call):
        words = [sys.executable, "-I", "-c", PROGRAM, *keys, before, call]
        self.process = subprocess.Popen(
            words, cwd=mount.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        if self.process.stdout.readline() != "ready\n":
            self.close()
            raise AssertionError(f"{before}: failed")

    def go(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def waits(self):
        return self.process.poll() is None

    def signal(self, number):
        """Sends it, and returns how many seconds that took to end the program."""
        start = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(20)
        return time.monotonic() - start

    def said(self):
        """What came of the call, and the seconds that it took."""
        out, _ = self.process.communicate(timeout=30)
        what, seconds = out.split()
        return what, float(seconds)

    def close(self):
        self.process.kill()
        self.process.wait(20)
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Silent(unittest.TestCase):
    """A cluster of which one node will not answer."""

    @classmethod
    def setUpClass(cls):
        conf = ["cluster-require-full-coverage no", "cluster-node-timeout 60000"]
        cls.cluster = Cluster(masters=3, replicas=0, conf=conf)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.close()

    def setUp(self):
        for server in self.cluster.servers:
            server.start()
        self.victim = self.cluster.servers[1]
        self.well_again()
        self.addCleanup(self.well_again)

    def well_again(self):
        """All nodes answer, and have their keys."""
        if self.victim.process:
            self.victim.resume()
            wait_until(lambda: self.victim.call("CLIENT", "UNPAUSE"))
        else:
            self.victim.start()
        self.cluster.wait_ok()
        self.cluster.flush()
        names = [f"key{i}" for i in range(150)]
        self.keys = [k for k in names if self.cluster.master_of(k) is self.victim]
        self.other = next(k for k in names if self.cluster.master_of(k) is not self.victim)
        for key in [*self.keys, self.other]:
            self.cluster.call("SET", key, f"value of {key}")

    @contextlib.contextmanager
    def down(self, fault):
        try:
            fault()
            yield
        finally:
            self.well_again()

    def program(self, mount, name):
        key = self.keys.pop()
        return Program(mount, (key, f"{{{key}}}near", self.other), *CALLS[name])

    def works(self, mount):
        """It does all that it does, on all nodes."""
        key = self.keys[0]
        out = mount.ok(f"echo v > {key}; cat {key} {self.other}; ls | wc -l; df . > /dev/null", timeout=30)
        self.assertTrue(out.startswith(b"v\nvalue of"), out)


class Interrupts(Silent):
    def interrupted(self, number):
        with Mount(self.cluster.uri, timeout=60000) as mount, contextlib.ExitStack() as stack:
            # df waits for nobody.
            programs = {name: stack.enter_context(self.program(mount, name)) for name in CALLS if name != "df"}
            time.sleep(1.1)  # what was looked up is asked for again
            self.victim.pause()
            for name, program in programs.items():
                with self.subTest(name):
                    program.go()
                    time.sleep(0.25)
                    self.assertTrue(program.waits(), "it does not wait")
                    took = program.signal(number)
                    self.assertEqual(program.process.returncode, -number)
                    self.assertLess(took, 0.9)
                    alive = mount.run(f"cat {self.other}")
                    self.assertTrue(alive.out.startswith(b"value of") and alive.seconds < 3, alive)
            self.victim.resume()
            self.works(mount)
            mount.end()

    def test_an_interrupt_ends_every_wait_at_once(self):
        self.interrupted(signal.SIGINT)

    def test_a_kill_ends_every_wait_at_once(self):
        self.interrupted(signal.SIGKILL)

    def test_what_was_written_is_stored_although_close_was_interrupted(self):
        for number in (signal.SIGINT, signal.SIGKILL):
            with Mount(self.cluster.uri, timeout=20000) as mount:
                key = self.keys[-1]
                with self.program(mount, "close") as program:
                    self.victim.pause()
                    program.go()
                    time.sleep(0.3)
                    self.assertLess(program.signal(number), 0.9)
                self.victim.resume()
                wait_until(lambda key=key: self.cluster.call("GET", key) == bytes(4096), 5)
                mount.end()

    def test_who_waits_behind_another_is_ended_too(self):
        """Each waits for the kernel's lock of the directory, or of the name, or for the daemon: all have to end."""
        with Mount(self.cluster.uri, timeout=3000) as mount, contextlib.ExitStack() as stack:
            names = ["stat", "open", "unlink", "create", "ls", "rename"]
            programs = [stack.enter_context(self.program(mount, name)) for name in names]
            self.victim.pause()
            for program in programs:
                program.go()
            time.sleep(0.3)
            for program in programs:
                program.process.send_signal(signal.SIGKILL)
            start = time.monotonic()
            for program in programs:
                program.process.wait(20)
            self.assertLess(time.monotonic() - start, 1)
            self.victim.resume()
            self.works(mount)


class Deadlines(Silent):
    TIMEOUT = 600

    def late(self, programs):
        """Each call ends with an error, within the deadline and a second."""
        for name, program in programs.items():
            with self.subTest(name):
                program.go()
                what, seconds = program.said()
                self.assertLess(seconds, self.TIMEOUT / 1000 + 1)
                if name != "df":
                    self.assertIn(what, ("ETIMEDOUT", "EHOSTUNREACH"))

    def under(self, fault, names=CALLS):
        with Mount(self.cluster.uri, timeout=self.TIMEOUT) as mount, contextlib.ExitStack() as stack:
            programs = {name: stack.enter_context(self.program(mount, name)) for name in names}
            time.sleep(0.1)
            fault()
            self.late(programs)
            self.well_again()
            self.works(mount)
            mount.end()

    def test_a_paused_node(self):
        self.under(self.victim.pause)

    def test_a_dead_node(self):
        self.under(self.victim.kill)

    def test_a_node_that_reads_but_does_not_write(self):
        self.under(lambda: self.victim.call("CLIENT", "PAUSE", 60000, "WRITE"), WRITES)

    def test_steps_do_not_have_a_deadline_each(self):
        """A rename of several steps, each of which is slow: the whole must not be slower than one may be."""
        timeout = 2000
        source = self.cluster.master_of(self.other)
        with Mount(self.cluster.uri, timeout=timeout) as mount:
            program = Program(mount, (self.keys.pop(), "", self.other), *CALLS["rename from another slot"])
            with program:
                source.call("CLIENT", "PAUSE", 1800, "WRITE")
                self.victim.call("CLIENT", "PAUSE", 60000, "WRITE")
                program.go()
                what, seconds = program.said()
                self.assertEqual(what, "ETIMEDOUT")
                self.assertLess(seconds, timeout / 1000 + 1)

    def test_what_waits_for_a_commit_waits_no_longer(self):
        """Writers behind a SET that hangs: in place, appending, truncating, renaming."""
        with Mount(self.cluster.uri, timeout=1000) as mount:
            key = self.keys.pop()
            after = ["os.pwrite(g, b'x', 3)", "os.write(a, b'x')", "os.ftruncate(g, 9)", "os.close(f)", "os.fsync(f)"]
            before = (
                "f = os.open(K, os.O_WRONLY | os.O_TRUNC); g = os.open(K, os.O_WRONLY);"
                "a = os.open(K, os.O_WRONLY | os.O_APPEND); os.write(f, bytes(4096)); os.fsync(f)"
            )
            for call in after:
                with self.subTest(call):
                    call = f"os.write(f, bytes(4096)); time.sleep(0.6); {call}"
                    with Program(mount, (key, "", ""), before, call) as it:
                        self.victim.pause()
                        it.go()
                        what, seconds = it.said()
                        self.victim.resume()
                    self.assertIn(what, ("ETIMEDOUT", "EHOSTUNREACH"))
                    self.assertLess(seconds, 0.6 + 1 + 1)


class Unmounting(Silent):
    TIMEOUT = 1500
    # Writes what nobody has stored yet, and keeps it open; another one waits for an answer.
    WRITER = "f = os.open(K, os.O_WRONLY | os.O_TRUNC); os.write(f, bytes(8192))"

    def end(self, how, mount):
        if how.startswith("kill"):
            mount.daemon.send_signal(getattr(signal, how.split()[1]))
            return
        result = run([*how.split(), mount.path], timeout=10)
        self.assertEqual(result.status, 0, result)
        self.assertLess(result.seconds, 1)

    def check_gone(self, mount, seconds):
        self.assertEqual(mount.wait(seconds), 0, mount.stderr())
        self.assertNotIn(mount.path, mounts())

    WAYS = ("umount -l", "fusermount3 -uz", "kill SIGTERM", "kill SIGINT", "kill SIGHUP")

    def unmounted(self, how, fault, then):
        """A mount with open files, waits and what is not stored yet is ended HOW while the node is down."""
        with contextlib.ExitStack() as stack:
            mount = stack.enter_context(Mount(self.cluster.uri, timeout=self.TIMEOUT, options="commit=close"))
            key = self.keys.pop()
            writer = stack.enter_context(Program(mount, (key, "", ""), self.WRITER, "time.sleep(60)"))
            reader = stack.enter_context(self.program(mount, "stat"))
            lister = stack.enter_context(Program(mount, ("", "", ""), "d = os.scandir('.'); next(d)", "time.sleep(60)"))
            fault()
            reader.go()
            time.sleep(0.2)
            start = time.monotonic()
            self.end(how, mount)
            if not how.startswith("kill"):  # the last open file ends it
                for program in (writer, reader, lister):
                    self.assertLess(program.signal(signal.SIGKILL), 0.9)
            then(mount, key)
            self.check_gone(mount, self.TIMEOUT / 1000 + 2)
            self.assertLess(time.monotonic() - start, self.TIMEOUT / 1000 + 2)
            if how.startswith("kill"):
                self.assertIn(reader.said()[0], ("ECONNABORTED", "ENOTCONN", "EIO", "ETIMEDOUT"))
            return mount.stderr(), key

    def test_with_a_paused_node_what_was_written_is_stored(self):
        def then(*_):
            time.sleep(0.4)
            self.victim.resume()

        for how in self.WAYS:
            with self.subTest(how), self.down(lambda: None):
                told, key = self.unmounted(how, self.victim.pause, then)
                self.assertEqual(self.cluster.call("GET", key), bytes(8192))
                self.assertEqual(told, "")

    def loss_is_told(self, fault):
        for how in self.WAYS:
            with self.subTest(how), self.down(lambda: None):
                told, key = self.unmounted(how, fault, lambda *_: None)
                told = told.replace(ABORTED, "")
                self.assertRegex(told, f"^shardfs: {key}: cannot be stored: ")

    def test_with_a_node_that_stays_paused_the_loss_is_told(self):
        self.loss_is_told(self.victim.pause)

    def test_with_a_dead_node_the_loss_is_told(self):
        self.loss_is_told(self.victim.kill)

    def test_once_programs_have_ended_an_unmount_is_at_once(self):
        self.at_once("fusermount3 -u")

    def test_once_programs_have_ended_umount_is_at_once(self):
        self.at_once("umount")

    def at_once(self, how):
        for number in (signal.SIGINT, signal.SIGKILL):
            with Mount(self.cluster.uri, timeout=self.TIMEOUT) as mount:
                with self.program(mount, "stat") as program, self.down(self.victim.pause):
                    program.go()
                    time.sleep(0.2)
                    program.signal(number)
                    self.end(how, mount)
                    self.check_gone(mount, self.TIMEOUT / 1000 + 2)

    def test_a_daemon_that_was_killed(self):
        for how in ("umount", "fusermount3 -u", "umount -l"):
            with self.subTest(how), self.down(lambda: None), Mount(self.cluster.uri, timeout=30000) as mount:
                with self.program(mount, "stat") as waiting, self.program(mount, "read") as later:
                    self.victim.pause()
                    waiting.go()
                    time.sleep(0.2)
                    mount.daemon.kill()
                    self.assertIn(waiting.said()[0], ("ECONNABORTED", "ENOTCONN"))
                    later.go()
                    self.assertIn(later.said()[0], ("ECONNABORTED", "ENOTCONN"))
                self.assertIn("not connected", run(["ls", mount.path]).err)
                self.end(how, mount)
                self.assertEqual(mount.wait(5), -signal.SIGKILL)
                self.assertNotIn(mount.path, mounts())

    def test_two_signals_at_once(self):
        with Mount(self.cluster.uri, timeout=self.TIMEOUT, options="commit=close") as mount:
            with Program(mount, (self.keys[0], "", ""), self.WRITER, ""), self.down(self.victim.pause):
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
                    with contextlib.suppress(ProcessLookupError):
                        mount.daemon.send_signal(number)
                    time.sleep(0.05)
                self.check_gone(mount, self.TIMEOUT / 1000 + 2)

    def test_in_the_background_nothing_is_left(self):
        for how in ("umount -l", "kill SIGTERM"):
            with self.subTest(how), Mount(self.cluster.uri) as place:
                pass  # a directory of its own below a temporary one
            os.makedirs(place.path)
            self.addCleanup(os.removedirs, place.path)
            self.addCleanup(detach, place.path)
            words = [SHARDFS, "-u", self.cluster.uri, "--timeout", str(self.TIMEOUT), place.path]
            self.assertEqual(run(words).status, 0)
            (pid,) = self.daemons(place.path)
            with self.down(self.victim.pause):
                if how == "umount -l":
                    run([*how.split(), place.path])
                else:
                    os.kill(pid, signal.SIGTERM)
                wait_until(lambda place=place: not self.daemons(place.path), self.TIMEOUT / 1000 + 2)
                self.assertNotIn(place.path, mounts())

    @staticmethod
    def daemons(path):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
                if words[0] == os.fsencode(SHARDFS) and os.fsencode(path) in words:
                    found.append(int(pid))
        return found


if __name__ == "__main__":
    unittest.main()
