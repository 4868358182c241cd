# SPDX-License-Identifier: MIT
"""What is done in a mount and in a folder of another file system, and must not differ."""

import os
import sys
import tempfile
import unittest

from fslib import Mount, run
from shardtest import Cluster, wait_until

CLUSTER = None
MOUNT = None


def setUpModule():
    global CLUSTER, MOUNT
    CLUSTER = Cluster(masters=3, replicas=0)
    MOUNT = Mount(CLUSTER.uri)


def tearDownModule():
    try:
        if MOUNT:
            MOUNT.end()
    finally:
        if CLUSTER:
            CLUSTER.close()


def stored():
    """{key: value} of all string keys."""
    keys = [key for server in CLUSTER.servers for key in server.call("KEYS", "*")]
    return {key.decode(): CLUSTER.call("GET", key) for key in keys}


def files(folder):
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as file:
            found[name] = file.read()
    return found


def blocks(text):
    """Scripts with empty lines between them."""
    return [block.strip("\n") + "\n" for block in text.split("\n\n") if block.strip()]


class Ways(unittest.TestCase):
    def setUp(self):
        CLUSTER.flush()

    SHOW = 'for f in *; do test -e "$f" && printf "%s " "$f" && md5sum < "$f"; done'

    def same(self, words, script):
        """SCRIPT, run by WORDS, does the same in the mount and in a folder of another file system."""
        CLUSTER.flush()
        with self.subTest(script, by=words[0]), tempfile.TemporaryDirectory(prefix="shardfs-test-") as other:
            folders = (f"{MOUNT.path}/.", f"{other}/.")
            here, there = (run([*words, script], folder, timeout=60) for folder in folders)
            self.assertEqual((here.status, here.out, here.err), (there.status, there.out, there.err))
            shown, expected = (run(self.SHOW, folder) for folder in folders)
            self.assertEqual(shown.out, expected.out)
            try:
                # close() does not wait for the last commit of a file without data.
                wait_until(lambda: stored() == files(other), 2)
            except AssertionError:
                self.assertEqual(stored(), files(other))

    def shells(self, text, shells=("bash", "dash")):
        for script in blocks(text):
            for shell in shells:
                self.same([shell, "-c"], script)

    def bash(self, text):
        self.shells(text, ["bash"])

    def python(self, text, start=""):
        for script in blocks(text):
            self.same([sys.executable, "-c"], start + script)

    @staticmethod
    def in_mount(script):
        return MOUNT.python(script)
