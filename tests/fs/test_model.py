# SPDX-License-Identifier: MIT
"""Random operations: a mount does what the model says. $SHARD_MODEL_STEPS, $SHARD_MODEL_SEED: how many, and again."""

import contextlib
import os
import random
import sys
import unittest

from fslib import Mount, run
from shardtest import Cluster

STEPS = int(os.environ.get("SHARD_MODEL_STEPS") or 3000)
SEED = os.environ.get("SHARD_MODEL_SEED")
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.py")


class Model(unittest.TestCase):
    def check(self, mounts=1, commit="auto"):
        seed = int(SEED or random.randrange(1 << 32))
        with contextlib.ExitStack() as stack:
            cluster = stack.enter_context(Cluster(masters=3, replicas=0))
            # What is cached may be a round trip old, which no model knows: two mounts are to do without.
            options = f"commit={commit},cache={'off' if mounts > 1 else 'coherent'}"
            mounted = [stack.enter_context(Mount(cluster.uri, options=options)) for _ in range(mounts)]
            ports = ",".join(str(server.port) for server in cluster.servers)
            words = [sys.executable, MODEL, str(STEPS), str(seed), commit, ports, *(mount.path for mount in mounted)]
            result = run(words, timeout=60 + STEPS / 50)
            self.assertEqual(result.status, 0, f"seed {seed}: {result.out.decode()[-6000:]}{result.err[-3000:]}")
            print(f"{self._testMethodName}: {result.out.decode().splitlines()[-1]}", flush=True)
            for mount in mounted:
                mount.end()

    def test_one_mount(self):
        self.check()

    def test_one_mount_that_commits_at_close(self):
        self.check(commit="close")

    def test_one_mount_that_commits_each_write(self):
        self.check(commit="write")

    def test_two_mounts(self):
        self.check(mounts=2)

    def test_two_mounts_that_commit_at_close(self):
        self.check(mounts=2, commit="close")


if __name__ == "__main__":
    unittest.main()
