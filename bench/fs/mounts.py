# SPDX-License-Identifier: MIT
"""The two file systems that are compared, each on a directory of its own."""

import os
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
