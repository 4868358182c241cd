# SPDX-License-Identifier: MIT
"""test_layers.py finds what it is for: each rule is broken, once, in a made-up tree."""

import os
import subprocess
import sys
import tempfile
import unittest

SCRIPT, ARCHIVE = sys.argv[1:3]
del sys.argv[1:3]

GOOD = {
    **{f"libshard/include/shard/{name}.h": "" for name in ("error", "reply", "slot", "command", "uri", "hash", "ring", "pool", "topology")},
    **{f"libshard/include/shard/{name}.h": "#include <shard/error.h>\n" for name in ("client", "sync", "tracking", "shard")},
    "libshard/base/a.h": "#include <stddef.h>\n",
    "libshard/base/a.c": '#include "base/a.h"\n',
    "libshard/pure/p.c": "#include <shard/slot.h>\n",
    "libshard/know/k.c": '#include <shard/topology.h>\n#include "base/a.h"\n',
    "libshard/io/i.c": "#include <sys/socket.h>\n",
    "libshard/client/c.c": "#include <shard/sync.h>\n",
    "tools/common/cli.h": "",
    "tools/rget.c": '#include <shard/shard.h>\n#include "cli.h"\n',
    "fusefs/own.h": "",
    "fusefs/main.c": '#include "own.h"\n#include "cli.h"\n',
    "examples/e.c": "#include <shard/sync.h>\n",
}

# (what is broken, the files that break it, the test that must tell)
BREAKS = [
    ("a public header above", {"libshard/pure/p.c": "#include <shard/client.h>\n"}, "no_file_includes_a_higher"),
    ("a private header above", {"libshard/base/a.c": '#include "io/i.h"\n'}, "no_file_includes_a_higher"),
    ("a circle", {"libshard/base/a.h": '#include "base/b.h"\n', "libshard/base/b.h": '#  include "base/a.h"\n'}, "no_circle"),
    ("a header without its folder", {"libshard/base/a.c": '#include "a.h"\n'}, "quoted_includes_name"),
    ("a socket below I/O", {"libshard/know/k.c": "#include <sys/socket.h>\n"}, "know_of_no_socket"),
    ("a folder that is no layer", {"libshard/extra/x.c": ""}, "every_folder"),
    ("a public header that has no layer", {"libshard/include/shard/new.h": ""}, "every_public_header"),
    ("a private header in public", {"libshard/include/shard/slot.h": '#include "base/a.h"\n'}, "public_headers_include"),
    ("a tool that looks inside", {"tools/rget.c": '#include "base/a.h"\n'}, "they_include_public"),
    ("a mount that speaks RESP", {"fusefs/main.c": "#include <hiredis/hiredis.h>\n"}, "they_include_public"),
    ("a mount that uses a tool", {"fusefs/main.c": '#include "rget.h"\n', "tools/rget.h": ""}, "they_include_public"),
]


class CanFail(unittest.TestCase):
    def run_on(self, files, archive=ARCHIVE):
        """(exit status, output) of the script on a tree of these files."""
        with tempfile.TemporaryDirectory(prefix="shard-layers-") as tree:
            for path, text in files.items():
                path = os.path.join(tree, path)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            run = subprocess.run([sys.executable, SCRIPT, tree, archive], capture_output=True, text=True, timeout=60)
            return run.returncode, run.stderr

    def test_a_good_tree_passes(self):
        status, output = self.run_on(GOOD)
        self.assertEqual(status, 0, output)

    def test_every_rule_is_checked(self):
        for what, files, test in BREAKS:
            with self.subTest(what):
                status, output = self.run_on({**GOOD, **files})
                self.assertEqual(status, 1, output)
                failed = [line for line in output.splitlines() if line.startswith(("FAIL:", "ERROR:"))]
                self.assertTrue([line for line in failed if test in line], output)

    def test_a_library_that_prints_is_found(self):
        with tempfile.TemporaryDirectory(prefix="shard-layers-") as place:
            loud = os.path.join(place, "loud.o")
            subprocess.run(["cc", "-c", "-x", "c", "-", "-o", loud], check=True, timeout=60, text=True,
                           input="int puts(const char *); void f(void) { puts(\"loud\"); }\n")
            status, output = self.run_on(GOOD, loud)
            self.assertEqual(status, 1, output)
            self.assertIn("never_prints", output)


unittest.main()
