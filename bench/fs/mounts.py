# SPDX-License-Identifier: MIT
"""The two file systems that are compared, each on a directory of its own."""

import os
import resource
import shlex
import shutil
import subprocess
import tempfile
import time

from lib.measure import Failure
from shardtest import program


class Mounted:
    """A program that serves a file system at its last word, in the foreground, as long as this lives."""

    def __init__(self, *argv, env=None):
        self.dir = tempfile.mkdtemp(prefix="shard-bench-")
        self.path = os.path.join(self.dir, "mnt")
        os.mkdir(self.path)
        self.daemon = subprocess.Popen([*argv, self.path], stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
        end = time.monotonic() + 15
        while not self.is_mounted():
            if self.daemon.poll() is not None or time.monotonic() > end:
                self.close()
                raise Failure(f"{argv[0]} does not mount")
            time.sleep(0.02)

    @property
    def pid(self):
        return self.daemon.pid

    def is_mounted(self):
        with open("/proc/self/mounts", encoding="utf-8") as file:
            return any(line.split()[1] == self.path for line in file)

    def close(self):
        for command in (["fusermount3", "-uz", self.path], ["umount", "-l", self.path]):
            if self.is_mounted():
                subprocess.run(command, stderr=subprocess.DEVNULL, timeout=20, check=False)
        try:
            self.daemon.wait(10)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()
        os.rmdir(self.path)
        os.rmdir(self.dir)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def shardfs(cluster, *args):
    return Mounted(program("shardfs"), "-f", "-u", cluster.uri, *args)


def prototype(cluster, threads=0):
    """The blocking one: libfuse's loop with one thread, or the other one with so many."""
    env = {"BENCH_THREADS": str(threads)} if threads else None
    return Mounted(program("bench-fs-prototype"), "127.0.0.1", str(cluster.servers[0].port), env=env)


EXAMPLE = "/usr/share/doc/libfuse3-dev/examples/passthrough_ll.c"


class Example(Mounted):
    """What libfuse ships as its own example of a low-level file system, on SOURCE; CACHE: always or never."""

    def __init__(self, source, cache):
        self.folder = tempfile.mkdtemp(prefix="shard-bench-")
        binary = os.path.join(self.folder, "passthrough_ll")
        try:
            self.compile(binary)
            # The loop of one thread is the quicker one on one CPU. It has a file descriptor open for each inode.
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            super().__init__("sh", "-c", f'ulimit -n {hard} && exec "$0" "$@"', binary, "-f", "-s", "-o",
                             f"cache={cache}", "-o", f"source={source}")
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    @staticmethod
    def most_files():
        return resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 100

    @staticmethod
    def compile(binary):
        if not os.path.exists(EXAMPLE):
            raise Failure(f"{EXAMPLE} is not there: install it (Debian: libfuse3-dev)")
        flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3"], capture_output=True, text=True, check=True)
        done = subprocess.run(["cc", "-O2", EXAMPLE, *shlex.split(flags.stdout), "-o", binary],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"{EXAMPLE} cannot be compiled: {done.stderr.strip()}")

    def close(self):
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)
