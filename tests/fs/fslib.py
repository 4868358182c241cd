# SPDX-License-Identifier: MIT
"""A real mount for tests.

    with Mount(cluster.uri) as mount:
        mount.ok("echo v > foo0")         # a shell in the mount, with a deadline
        mount.file("foo0")                # its path

The daemon runs in the foreground as a child of ours, so its end and its stderr are seen. Nothing here touches the
mount from this process: what hangs there cannot be killed, and so would hang the test. close() always ends it.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

import shardtest  # noqa: E402
from shardtest import Failure, wait_until  # noqa: E402

BUILD = os.environ.get("SHARD_BUILD_ROOT") or sys.exit("SHARD_BUILD_ROOT is not set: run by meson test")
SHARDFS = os.path.join(BUILD, "fusefs", "shardfs")


def sanitized():
    """Whether shardfs was built with sanitizers: then what is freed stays with the process for a while."""
    return shardtest.sanitized(SHARDFS)


def mounts():
    """Mount points of shardfs now, by the table alone."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        return [line.split()[1] for line in file if line.split()[2] == "fuse.shardfs"]


def mounted_elsewhere(path):
    """Whether another mount namespace has a copy of it: one that was made while it was mounted keeps it alive."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
                if any(line.split()[4].endswith(path) for line in file):
                    return True
        except OSError:
            pass
    return False


def detach(path):
    for command in (["fusermount3", "-uz", path], ["umount", "-l", path]):
        if path not in mounts():
            return
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=False)


class Result:
    """What a command in a mount did. status is None where it did not end in time."""

    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    def __repr__(self):
        return f"<status {self.status} after {self.seconds:.2f} s, out {self.out[:300]!r}, err {self.err[:300]!r}>"


def run(command, cwd=None, stdin=b"", timeout=20.0, env=None):
    """Runs COMMAND (words, or a script for bash) with a deadline."""
    words = ["bash", "-c", command] if isinstance(command, str) else command
    start = time.monotonic()
    # Files, not pipes: what outlives the deadline must not keep us.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            words, cwd=cwd, stdin=given, stdout=out, stderr=err, env=env, start_new_session=True
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            status = None
            os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        return Result(status, out.read(), err.read().decode("utf-8", "replace"), time.monotonic() - start)


class Mount:
    """shardfs -f on a temporary directory. args: more words of the command line."""

    def __init__(self, uri, *args, options="", timeout=None, env=None):
        self.dir = tempfile.mkdtemp(prefix="shardfs-test-")
        self.path = os.path.join(self.dir, "mnt")
        self.log = os.path.join(self.dir, "stderr")
        os.mkdir(self.path)
        words = [SHARDFS, "-f", "-u", uri, *args]
        # Every test can be run with several threads: SHARDFS_THREADS=4.
        if os.environ.get("SHARDFS_THREADS"):
            options = ",".join(filter(None, [f"threads={os.environ['SHARDFS_THREADS']}", options]))
        words += ["-o", options] if options else []
        words += ["--timeout", str(timeout)] if timeout else []
        with open(self.log, "wb") as log:
            self.daemon = subprocess.Popen([*words, self.path], stdin=subprocess.DEVNULL, stderr=log, env=env)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    def _wait(self):
        def up():
            if self.daemon.poll() is not None:
                raise Failure(f"shardfs ended with {self.daemon.returncode}: {self.stderr()}")
            return self.path in mounts() and run(["stat", "-c", "%i", self.path], timeout=5).out == b"1\n"

        wait_until(up, 15, "the mount answers")

    def stderr(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def file(self, name):
        return os.path.join(self.path, name)

    def run(self, command, stdin=b"", timeout=20.0):
        """A script of bash, run in the mount."""
        return run(command, f"{self.path}/.", stdin, timeout)

    def ok(self, command, stdin=b"", timeout=20.0):
        """The same, which has to work. Returns its output."""
        result = self.run(command, stdin, timeout)
        if result.status != 0:
            raise Failure(f"{command!r}: {result}")
        return result.out

    def python(self, script, *args, timeout=20.0):
        """A script of python in the mount; has to work. Returns its output."""
        result = run([sys.executable, "-c", script, *args], self.path, timeout=timeout)
        if result.status != 0:
            raise Failure(f"{script}: {result}")
        return result.out.decode()

    def unmount(self):
        """Ends it as a user does. Returns the daemon's exit status."""

        def done():
            result = run(["fusermount3", "-u", self.path])
            if result.status != 0 and "busy" not in result.err:  # a stranger's df may be in it for a moment
                raise Failure(f"fusermount3 -u: {result}")
            return result.status == 0

        wait_until(done, 5, "fusermount3 -u")
        try:
            return self.wait(10)
        except subprocess.TimeoutExpired:
            if not mounted_elsewhere(self.path):
                raise
            self.daemon.terminate()
            return self.wait()

    def end(self):
        """Unmounts it, and fails where the daemon does not end well."""
        try:
            status = self.unmount()
            if status != 0:
                raise Failure(f"shardfs ended with {status}: {self.stderr()[-4000:]}")
        finally:
            self.close()

    def wait(self, timeout=20.0):
        return self.daemon.wait(timeout)

    def close(self):
        detach(self.path)
        try:
            self.daemon.wait(10)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        detach(self.path)
        if self.path in mounts():
            raise Failure(f"{self.path} cannot be unmounted")
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
