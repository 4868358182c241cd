# SPDX-License-Identifier: MIT
"""The layers of CONTRIBUTING.md hold: a file includes its own layer or a lower one, front ends include only public
headers, their own and those they share, and the library neither prints nor exits."""

import os
import re
import subprocess
import sys
import unittest

SOURCE, ARCHIVE = sys.argv[1:3]
del sys.argv[1:3]

LIBRARY = os.path.join(SOURCE, "libshard")
LAYERS = {"base": 0, "pure": 1, "know": 2, "io": 3, "client": 4}
PUBLIC = {"error": 0, "reply": 1, "slot": 1, "command": 1, "uri": 1, "hash": 1, "ring": 1,
          "topology": 2, "pool": 2, "client": 4, "sync": 4, "tracking": 4}
FRONT_ENDS = ("tools", "fusefs", "examples")
COMMON = "tools/common"  # what front ends share: options, the address, errors

# Layers below I/O know of no socket and no waiting.
IO_HEADERS = {"poll.h", "netdb.h", "sys/epoll.h", "sys/eventfd.h", "sys/socket.h", "sys/timerfd.h", "sys/uio.h"}
# What would print, log or end the process.
LOUD = {
    *("stdout", "stderr", "printf", "vprintf", "dprintf", "vdprintf", "puts", "putchar", "perror", "syslog", "vsyslog"),
    *("err", "errx", "warn", "warnx", "exit", "_exit", "_Exit", "quick_exit", "abort", "__printf_chk", "__dprintf_chk"),
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.M)


def sources(folder):
    """Paths, relative to FOLDER, of its C files."""
    for directory, _, names in os.walk(os.path.join(SOURCE, folder)):
        for name in names:
            if name.endswith((".c", ".h", ".inc")):
                yield os.path.relpath(os.path.join(directory, name), SOURCE)


def includes(path):
    """(quoted, name) of each #include of a file."""
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return [(mark == '"', name) for mark, name in INCLUDE.findall(file.read())]


def layer_of(name):
    """The layer of what a file of the library includes; None for what is not ours."""
    first, _, rest = name.partition("/")
    if first == "shard":
        return PUBLIC.get(rest.removesuffix(".h"), max(LAYERS.values()))
    return LAYERS.get(first)


class Layers(unittest.TestCase):
    def files(self):
        for path in sources("libshard"):
            folder = path.split(os.sep)[1]
            if folder != "include":
                yield path, folder

    def test_every_folder_of_the_library_is_a_layer(self):
        self.assertEqual(sorted({folder for _, folder in self.files()}), sorted(LAYERS))

    def test_every_public_header_has_a_layer(self):
        names = {name.removesuffix(".h") for name in os.listdir(os.path.join(LIBRARY, "include", "shard"))}
        self.assertEqual(names - {"shard"}, set(PUBLIC))

    def test_no_file_includes_a_higher_layer(self):
        for path, folder in self.files():
            for _, name in includes(path):
                with self.subTest(file=path, includes=name):
                    self.assertLessEqual(layer_of(name) or 0, LAYERS[folder])

    def test_quoted_includes_name_their_layer(self):
        for path, _ in self.files():
            for quoted, name in includes(path):
                if quoted:
                    with self.subTest(file=path, includes=name):
                        self.assertIn(name.split("/")[0], LAYERS)

    def test_layers_below_io_know_of_no_socket(self):
        for path, folder in self.files():
            if LAYERS[folder] < LAYERS["io"]:
                for _, name in includes(path):
                    with self.subTest(file=path):
                        self.assertNotIn(name, IO_HEADERS)

    def test_public_headers_include_public_and_standard_headers_only(self):
        for path in sources("libshard/include"):
            for quoted, name in includes(path):
                with self.subTest(file=path):
                    self.assertFalse(quoted)
                    self.assertRegex(name, r"^(shard/\w+|std\w+)\.h$")

    def test_headers_include_each_other_in_no_circle(self):
        graph = {}
        for path in sources("libshard"):
            if path.endswith(".h"):
                name = path.split(os.sep, 2)[2] if "include" in path else path.split(os.sep, 1)[1]
                graph[name] = [name for _, name in includes(path)]
        done = set()

        def visit(name, way):
            self.assertNotIn(name, way, " -> ".join([*way, name]))
            if name not in done:
                for other in graph.get(name, ()):
                    visit(other, [*way, name])
                done.add(name)

        for name in graph:
            visit(name, [])


class FrontEnds(unittest.TestCase):
    def test_they_include_public_headers_and_their_own(self):
        for folder in FRONT_ENDS:
            own = set(sources(folder))
            allowed = own | set(sources(COMMON))
            for path in own:
                for quoted, name in includes(path):
                    with self.subTest(file=path, includes=name):
                        if quoted:
                            places = (os.path.dirname(path), folder, COMMON)
                            self.assertTrue(allowed & {os.path.normpath(os.path.join(p, name)) for p in places})
                        else:
                            self.assertNotIn(name.split("/")[0], {"hiredis", *LAYERS})


class Quiet(unittest.TestCase):
    def test_the_library_never_prints_logs_or_exits(self):
        table = subprocess.run(["nm", "-u", ARCHIVE], capture_output=True, text=True, check=True, timeout=60).stdout
        undefined = {line.split()[-1] for line in table.splitlines() if line.startswith(" ")}
        self.assertEqual(undefined & LOUD, set())
        self.assertTrue(undefined)


unittest.main()
