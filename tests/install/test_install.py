# SPDX-License-Identifier: MIT
"""`meson install`: what a packager and a program that embeds the library get."""

import glob
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

PROGRAMS = ("rget", "rset", "rdel", "rkeys", "rslots", "rcmd", "rcluster", "rproxy", "shardfs")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def run(*command, **more):
    """Standard output of a command that has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, **more)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def readme_example():
    """The program that the README shows: its first C block."""
    return re.search(r"^```c\n(.*?)^```$", read(SOURCE, "README.md"), re.M | re.S).group(1)


def setUpModule():
    global ROOT, PREFIX, LIBDIR, ENV
    ROOT = tempfile.mkdtemp(prefix="install.")
    unittest.addModuleCleanup(shutil.rmtree, ROOT)
    run("meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", ROOT)
    (archive,) = glob.glob(ROOT + "/**/libshard.a", recursive=True)
    LIBDIR = os.path.dirname(archive)
    PREFIX = os.path.dirname(os.path.dirname(glob.glob(ROOT + "/**/include/shard", recursive=True)[0]))
    ENV = dict(
        os.environ,
        PKG_CONFIG_PATH=os.path.join(LIBDIR, "pkgconfig"),
        PKG_CONFIG_SYSROOT_DIR=ROOT,
        LD_LIBRARY_PATH=LIBDIR,
    )


def declared():
    """The functions that the installed headers declare as public."""
    names = set()
    for header in glob.glob(PREFIX + "/include/shard/*.h"):
        names.update(re.findall(r"^SHARD_API[^;]*?\b(shard_\w+)\(", read(header), re.M))
    return names


def pkg_config(*options):
    return run("pkg-config", *options, "shard", env=ENV).split()


def compile_program(text, name, *flags):
    source = os.path.join(ROOT, name + ".c")
    with open(source, "w", encoding="utf-8") as file:
        file.write(text)
    output = os.path.join(ROOT, name)
    return run("gcc", "-std=gnu17", *WARNINGS, source, "-o", output, *flags) or output


class Library(unittest.TestCase):
    def test_every_public_header_is_installed(self):
        public = os.listdir(os.path.join(SOURCE, "libshard", "include", "shard"))
        self.assertEqual(sorted(os.listdir(PREFIX + "/include/shard")), sorted(public))

    def test_each_header_compiles_alone(self):
        for header in os.listdir(PREFIX + "/include/shard"):
            with self.subTest(header=header):
                text = f"#include <shard/{header}>\nint main(void) {{ return 0; }}\n"
                compile_program(text, "alone", "-I" + PREFIX + "/include")

    def test_shared_library_has_its_links_and_soname(self):
        self.assertEqual(os.readlink(LIBDIR + "/libshard.so"), "libshard.so.0")
        self.assertTrue(os.path.exists(LIBDIR + "/libshard.so.0"))
        self.assertIn("soname: [libshard.so.0]", run("readelf", "-d", LIBDIR + "/libshard.so"))

    def test_shared_library_exports_what_the_headers_declare_and_no_more(self):
        table = run("nm", "-D", "--defined-only", LIBDIR + "/libshard.so")
        exported = {line.split()[2].split("@")[0] for line in table.splitlines() if line.split()[1] != "A"}
        self.assertEqual(sorted(exported), sorted(declared()))

    def test_archive_defines_what_the_headers_declare(self):
        table = run("nm", "-g", "--defined-only", LIBDIR + "/libshard.a")
        defined = {line.split()[2] for line in table.splitlines() if len(line.split()) == 3}
        self.assertEqual(sorted(declared() - defined), [])

    def test_pkg_config_knows_the_version(self):
        (version,) = pkg_config("--modversion")
        self.assertIn(f'#define SHARD_VERSION "{version}"', read(PREFIX, "include/shard/shard.h"))

    def test_pkg_config_asks_users_of_the_shared_library_for_nothing_else(self):
        libraries = [flag for flag in pkg_config("--libs") if flag.startswith("-l")]
        self.assertEqual(libraries, ["-lshard"])


class Embedding(unittest.TestCase):
    """The README's example, built as a stranger would build it."""

    def check(self, program):
        from shardtest import Server

        with Server() as server:
            uri = f"redis://127.0.0.1:{server.port}"
            text = run(program, env=dict(ENV, SHARD_URI=uri))
        self.assertEqual(text, f"foo0 = v (slot 9302, 127.0.0.1:{server.port})\n")

    def test_against_the_shared_library(self):
        program = compile_program(readme_example(), "shared", *pkg_config("--cflags", "--libs"))
        self.assertIn("libshard.so.0", run("readelf", "-d", program))
        self.check(program)

    def test_against_the_archive(self):
        flags = pkg_config("--cflags", "--libs", "--static")
        archive = [LIBDIR + "/libshard.a" if flag == "-lshard" else flag for flag in flags]
        program = compile_program(readme_example(), "archive", *archive)
        self.assertNotIn("libshard.so", run("readelf", "-d", program))
        self.check(program)

    def test_wholly_static(self):
        # glibc warns that its resolver is not wholly static; that is not ours to mend.
        flags = pkg_config("--cflags", "--libs", "--static")
        program = compile_program(readme_example(), "static", "-static", "-Wl,--no-warnings", *flags)
        self.assertNotIn("NEEDED", run("readelf", "-d", program))
        self.check(program)


class Programs(unittest.TestCase):
    def test_every_program_is_installed_and_tells_its_version(self):
        for name in PROGRAMS:
            with self.subTest(program=name):
                self.assertIn("0.1.0", run(f"{PREFIX}/bin/{name}", "--version"))

    def test_programs_need_no_installed_library(self):
        for name in PROGRAMS:
            with self.subTest(program=name):
                self.assertNotIn("libshard", run("readelf", "-d", f"{PREFIX}/bin/{name}"))

    @unittest.skipUnless(shutil.which("scdoc"), "no scdoc: man pages are not built")
    def test_every_program_has_a_man_page(self):
        for name in PROGRAMS:
            with self.subTest(program=name):
                (page,) = glob.glob(f"{PREFIX}/share/man/man[18]/{name}.[18]")
                text = read(page)
                self.assertIn(f'.TH "{name}"', text)
                self.assertRegex(text, rf"\.SH NAME\n\.PP?\n{name} - ")


unittest.main()
