# SPDX-License-Identifier: MIT
"""The shared library exports what the public headers declare, and nothing else: test_symbols.py LIBRARY HEADERS"""

import os
import re
import subprocess
import sys
import unittest

LIBRARY, HEADERS = sys.argv[1:3]
del sys.argv[1:3]

DECLARATION = re.compile(r"\bSHARD_API\b[^;]*?\b(shard_\w+)\(")


class Symbols(unittest.TestCase):
    def setUp(self):
        self.declared = set()
        for name in os.listdir(HEADERS):
            with open(os.path.join(HEADERS, name), encoding="utf-8") as file:
                code = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
            self.declared |= set(DECLARATION.findall(code))
        table = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True,
                               timeout=60).stdout
        symbols = (line.split() for line in table.splitlines())
        self.exported = {name.split("@")[0] for _, kind, name in symbols if kind != "A"}

    def test_every_declared_function_is_exported(self):
        self.assertEqual(self.declared - self.exported, set())
        self.assertGreater(len(self.declared), 50)

    def test_nothing_else_is_exported(self):
        self.assertEqual(self.exported - self.declared, set())


unittest.main()
