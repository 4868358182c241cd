# SPDX-License-Identifier: MIT
"""Random operations: a mount does what another file system does."""

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
    def check(self, **more):
        seed = random.randrange(1 << 32)
        with (
            Cluster(masters=3, replicas=0) as cluster,
            Mount(cluster.uri, **more) as mount,
            tempfile.TemporaryDirectory(prefix="shardfs-test-") as other,
        ):
            result = run([sys.executable, MODEL, mount.path, other, str(STEPS), str(seed)], timeout=60 + STEPS / 50)
            self.assertEqual(result.status, 0, f"seed {seed}: {result.out.decode()[-3000:]}{result.err[-3000:]}")
            mount.end()

    def test_as_mounted_by_default(self):
        self.check()

    def test_commit_close(self):
        self.check(options="commit=close")

    def test_commit_write(self):
        self.check(options="commit=write")


if __name__ == "__main__":
    unittest.main()
