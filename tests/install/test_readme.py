# SPDX-License-Identifier: MIT
"""The README's tour is true: each console block is run, line by line, on a cluster and a mount of our own.

`...` in the README stands for what differs from run to run; ports and the mount point are replaced by free ones."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
del sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, "tests", "lib"))

from shardtest import free_ports  # noqa: E402

PROGRAMS = ("tools/rget", "tools/rset", "tools/rdel", "tools/rkeys", "tools/rslots", "tools/rcmd")
PROGRAMS += ("tools/rcluster/rcluster", "tools/rproxy/rproxy", "fusefs/shardfs")
TOP_HEADING = re.compile(r"^#+ (.*)$")


def blocks():
    """(heading, [(command, expected lines)...]) of each console block."""
    found, heading, inside = [], "", False
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line == "```console":
                inside = True
                found.append((heading, []))
            elif line == "```":
                inside = False
            elif not inside:
                title = TOP_HEADING.match(line)
                heading = title.group(1) if title else heading
            elif line.startswith("$ "):
                found[-1][1].append((line[2:], []))
            else:
                found[-1][1][-1][1].append(line)
    return found


def matches(expected, output):
    pattern = "\n".join(".*".join(map(re.escape, line.split("..."))) for line in expected)
    return re.fullmatch(pattern, output) is not None


class Tour(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not os.path.exists("/dev/fuse"):
            raise unittest.SkipTest("no /dev/fuse")
        cls.dir = tempfile.mkdtemp(prefix="tour.")
        cls.addClassCleanup(shutil.rmtree, cls.dir)
        for name in ("bin", "run", "data", "mnt", "mnt-tree"):
            os.mkdir(os.path.join(cls.dir, name), 0o700)
        for program in PROGRAMS:
            os.symlink(os.path.join(BUILD, program), os.path.join(cls.dir, "bin", os.path.basename(program)))
        cls.mount = os.path.join(cls.dir, "mnt")
        cls.base = free_ports(6)[0]
        cls.second = free_ports(2)[0]
        cls.proxy = free_ports(1)[0]
        cls.env = {name: value for name, value in os.environ.items() if not name.startswith("SHARD_U")}
        cls.env["PATH"] = os.path.join(cls.dir, "bin") + ":" + cls.env["PATH"]
        cls.env["XDG_RUNTIME_DIR"] = os.path.join(cls.dir, "run")
        cls.env["XDG_DATA_HOME"] = os.path.join(cls.dir, "data")
        cls.addClassCleanup(cls.run_line, "rcluster down --wipe")
        cls.addClassCleanup(cls.run_line, "test ! -d second || rcluster down --dir second --wipe")
        cls.addClassCleanup(cls.run_line, 'test ! -s rproxy.pid || kill "$(cat rproxy.pid)"')
        cls.addClassCleanup(cls.run_line, "for s in s1 s2 s3; do test -S $s && redis-cli -s $s shutdown nosave; done")
        for mount in (cls.mount, cls.mount + "-tree"):
            cls.addClassCleanup(cls.run_line, f"fusermount3 -u -z {mount} || umount -l {mount}")

    @classmethod
    def run_line(cls, command):
        done = subprocess.run(
            ["bash", "-c", command],
            env=cls.env,
            cwd=cls.dir,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return done.stdout

    def ours(self, text):
        """The README's line with our ports and mount point."""
        text = re.sub(r"\b700([0-5])\b", lambda found: str(self.base + int(found.group(1))), text)
        text = re.sub(r"\b710([01])\b", lambda found: str(self.second + int(found.group(1))), text)
        text = text.replace("6380", str(self.proxy))
        text = text.replace("/mnt/kv", self.mount).replace("/mnt/tree", self.mount + "-tree")
        return re.sub(r"^rcluster up$", f"rcluster up --port {self.base}", text)

    def check_block(self, lines):
        for command, expected in lines:
            expected = [self.ours(line) for line in expected]
            output = self.run_line(self.ours(command)).rstrip("\n")
            while expected and not expected[-1]:
                expected.pop()
            if not matches(expected, output):
                self.assertEqual("\n".join(expected), output, f"$ {command}")


def add_cases():
    """A case a block, in the README's order: they go on where the one before ended."""
    for number, (heading, lines) in enumerate(blocks(), 1):
        name = "test_%02d_%s" % (number, re.sub(r"\W+", "_", heading.lower()))
        setattr(Tour, name, lambda self, lines=lines: self.check_block(lines))


add_cases()
unittest.main()
