# SPDX-License-Identifier: MIT
"""scripts/install-deps knows every library that the build asks for, and does nothing where nothing is missing."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SOURCE = sys.argv.pop(1)
SCRIPT = os.path.join(SOURCE, "scripts", "install-deps")
DEPENDENCY = re.compile(r"\bdependency\('([^']+)'")
PART_OF_THE_COMPILER = {"threads"}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


class InstallDeps(unittest.TestCase):
    def test_every_library_of_the_build_is_known(self):
        asked = set()
        for path in glob.glob(SOURCE + "/*/**/meson.build", recursive=True) + [SOURCE + "/meson.build"]:
            asked.update(DEPENDENCY.findall(read(path)))
        known = set(re.findall(r"^module +(\S+)", read(SCRIPT), re.M))
        self.assertEqual(asked - known - PART_OF_THE_COMPILER, set())

    def test_usage(self):
        done = subprocess.run([SCRIPT, "everything"], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("usage: scripts/install-deps build|check", done.stderr)

    def test_it_says_what_is_missing_where_it_cannot_install(self):
        # No apt-get, and none of the programs: an empty PATH but for what the script itself runs.
        done = subprocess.run(
            ["/bin/bash", SCRIPT, "build"],
            env={"PATH": self.tools()},
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("meson", done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1)

    def tools(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        for name in ("sort", "find"):
            os.symlink(shutil.which(name), os.path.join(directory, name))
        return directory


unittest.main()
