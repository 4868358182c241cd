# SPDX-License-Identifier: MIT
"""What the tests of the tools share: a cluster, a runtime directory, and running a tool."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
import shardtest
from shardtest import Cluster, TempDir, clean_env, program

OK, NO, FAILED = 0, 1, 2
DEADLINE = 120  # of one run of a tool

_shared = {}


def shared_cluster():
    """One cluster for all tests of a process: three masters, a replica each."""
    if "cluster" not in _shared:
        _shared["cluster"] = Cluster(3, 1)
    return _shared["cluster"]


def sanitized(tool):
    """Whether TOOL was built with sanitizers."""
    return shardtest.sanitized(program(tool))


class Result:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err.decode("utf-8", "replace")

    def __repr__(self):
        return f"status {self.status}, out {self.out[:300]!r}, err {self.err[:300]!r}"


class ToolCase(unittest.TestCase):
    """Runs tools against self.cluster (flushed before each test), with a runtime directory of the test's own."""

    needs_cluster = True

    def setUp(self):
        self.runtime = TempDir("shard-runtime-")
        self.addCleanup(self.runtime.close)
        self.more_env = {}
        if self.needs_cluster:
            self.cluster = shared_cluster()
            self.cluster.flush()
            self.uri = self.cluster.uri

    def env(self):
        env = clean_env(self.runtime.path)
        if self.needs_cluster:
            env["SHARD_URI"] = self.uri
        env.update(self.more_env)
        return env

    def start(self, tool, *args, **how):
        how.setdefault("stdin", subprocess.DEVNULL)
        how.setdefault("stdout", subprocess.PIPE)
        how.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([program(tool), *args], env=how.pop("env", None) or self.env(), **how)

    def run_tool(self, tool, *args, input=None, **how):
        """Runs TOOL to its end. INPUT: bytes for a pipe on its standard input; None: /dev/null."""
        if input is not None:
            how["stdin"] = subprocess.PIPE
        process = self.start(tool, *args, **how)
        try:
            out, err = process.communicate(input, DEADLINE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            self.fail(f"{tool} {args} hangs")
        return Result(process.returncode, out or b"", err or b"")

    def check(self, status, tool, *args, **how):
        """Runs TOOL, and checks its exit status, and that each line on stderr names the tool."""
        result = self.run_tool(tool, *args, **how)
        self.assertEqual(result.status, status, f"{tool} {args}: {result}")
        for line in result.err.splitlines():
            self.assertTrue(line.startswith(f"{tool}: "), result.err)
        return result

    def ok(self, tool, *args, **how):
        """Status 0 and nothing on stderr. Returns stdout."""
        result = self.check(OK, tool, *args, **how)
        self.assertEqual(result.err, "", f"{tool} {args}")
        return result.out

    def error(self, status, tool, *args, lines=1, **how):
        """A failure with so many lines on stderr. Returns stderr."""
        result = self.check(status, tool, *args, **how)
        self.assertEqual(len(result.err.splitlines()), lines, result.err)
        return result.err
