# SPDX-License-Identifier: MIT
"""Random operations: a mount does what another file system does."""

import contextlib
import os
import random
import sys
import tempfile
import unittest

from fslib import Mount, run
from shardtest import Cluster

STEPS = int(os.environ.get("SHARD_MODEL_STEPS") or 3000)
MODEL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model.py")


class Model(unittest.TestCase):
    def check(self, mounts=1, **more):
        seed = random.randrange(1 << 32)
        with contextlib.ExitStack() as stack:
            cluster = stack.enter_context(Cluster(masters=3, replicas=0))
            mounted = [stack.enter_context(Mount(cluster.uri, **more)) for _ in range(mounts)]
            other = stack.enter_context(tempfile.TemporaryDirectory(prefix="shardfs-test-"))
            words = [sys.executable, MODEL, str(STEPS), str(seed), other, *(mount.path for mount in mounted)]
            result = run(words, timeout=60 + STEPS / 50)
            self.assertEqual(result.status, 0, f"seed {seed}: {result.out.decode()[-3000:]}{result.err[-3000:]}")
            for mount in mounted:
                mount.end()

    def test_as_mounted_by_default(self):
        self.check()

    def test_commit_close(self):
        self.check(options="commit=close")

    def test_commit_write(self):
        self.check(options="commit=write")

    def test_two_mounts(self):
        self.check(mounts=2)


if __name__ == "__main__":
    unittest.main()
