# SPDX-License-Identifier: MIT
"""nutcracker -t and libshard take the same files and refuse the same files: test_pool_accept.py HELPER

What is meant to differ stands here, each with its reason: STRICTER (it takes nonsense that goes wrong later) and OURS
(directives of our own)."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HELPER = sys.argv.pop(1)
NUTCRACKER = shutil.which("nutcracker", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
SEED = 4
VALID, BROKEN = 250, 600
SECRET = "hunter2"

HASHES = ("one_at_a_time md5 crc16 crc32 crc32a fnv1_64 fnv1a_64 fnv1_32 fnv1a_32 hsieh murmur jenkins").split()
NUMBERS = ("timeout", "backlog", "client_connections", "redis_db", "server_retry_timeout", "server_failure_limit")
BOOLS = ("preconnect", "auto_eject_hosts", "tcpkeepalive")

# What we say where we refuse what nutcracker takes.
STRICTER = {
    "NUL byte": "strings end there for some of its functions, not for others",
    'is not a number: \'"?\\d{10,}': "it wraps at 2^32",
    r"invalid (weight|port) in .*\d{10,}": "it wraps at 2^32",
    "the weights add up to": "it wraps at 2^32",
    "invalid file permission": "it ignores the mode, or the rest of it",
    "no name behind it": "its points have an empty name",
    "no host": "it can never connect there",
    "IPv6 address stands without brackets": "it can never connect there",
    "path of a unix socket has at most": "it can never connect there",
    r"the name '.*' has \d+ bytes": "it hashes bytes that it has not written",
    "have the same listen address": "it compares text: 1 and 01, /a and /a 0777",
}


def pool(more="", listen="127.0.0.1:22121", servers="   - 127.0.0.1:6379:1\n", name="alpha"):
    return f"{name}:\n  listen: {listen}\n{more}  servers:\n{servers}"


# (files, what our words have to be like): nutcracker takes them, we do not.
STRICTER_FILES = [
    (pool("  timeout: 4294967297\n"), "not a number"),
    (pool("  server_connections: 4294967297\n"), "not a number"),
    (pool(listen="127.0.0.1:4294989417"), "invalid port"),
    (pool(servers="   - 127.0.0.1:6379:4294967297\n"), "invalid weight"),
    (pool(servers="   - 127.0.0.1:4294973675:1\n"), "invalid port"),
    (pool(servers="".join(f"   - 127.0.0.1:{n}:2147483647\n" for n in (1, 2, 3))), "weights add up"),
    (pool('  hash_tag: "\\0\\0"\n'), "NUL"),
    (pool('  redis: true\n  redis_auth: "a\\0b"\n'), "NUL"),
    (pool(servers='   - "127.0.0.1:6379:1 a\\0b"\n'), "NUL"),
    (pool(name='"a\\0b"'), "NUL"),
    (pool(servers="   - '127.0.0.1:6379:1 '\n"), "no name behind"),
    (pool(servers="   - :6379:1\n"), "no host before"),
    (pool(servers="   - '[::1]:6379:1'\n"), "without brackets"),
    (pool(servers="   - h\u00e9:6379:1\n"), "no host name"),
    (pool(servers="   - 'a b:6379:1 n'\n"), "no host name"),
    (pool(servers="   - " + "h" * 256 + ":1:1\n"), "no host name"),
    (pool(servers="   - /" + "p" * 107 + ":1\n"), "at most 107 bytes"),
    (pool(servers="   - 127.0.0.1:6379:1 " + "n" * 270 + "\n"), "the name .* has 270 bytes; allowed: up to 269"),
    (pool(listen="/tmp/a 0888"), "invalid file permission"),
    (pool(listen="/tmp/a abc"), "invalid file permission"),
    (pool(listen="/tmp/a 0777x"), "invalid file permission"),
    (pool(listen="'/tmp/a '"), "no mode behind"),
    (pool() + pool(name="beta", listen="127.0.0.1:022121"), "same listen address"),
    (pool(listen="/a") + pool(name="beta", listen="/a 0777"), "same listen address"),
]

# We take them, nutcracker does not.
OURS = [
    pool("  hash: xxh3\n"),
    pool("  distribution: jump\n"),
    pool("  distribution: rendezvous\n"),
    pool("  eject_keeps_ring: true\n"),
    pool("  reuseport: true\n"),
    pool("  cluster: true\n"),
    pool("  strict: true\n"),
    pool("  redis: true\n  redis_user: u\n  redis_auth: p\n"),
]

SERVERS = """127.0.0.1:6379:1 a b|127.0.0.1:6379:1  a|127.0.0.1:6379|127.0.0.1|127.0.0.1::1|127.0.0.1:6379:|
127.0.0.1:6379:0|127.0.0.1:6379:-1|127.0.0.1:6379:x|127.0.0.1:0:1|127.0.0.1:65535:1|127.0.0.1:65536:1|
127.0.0.1:06379:01|127.0.0.1:0x10:1|::1:6379:1|[::1]:6379:1|fe80::1%eth0:6379:1|not.there.invalid:6379:1|/tmp/a:1|
/tmp/a:1 x|/tmp/a|/tmp/a:b:1|/tmp/a:0|/:1|/tmp/a b:1|/tmp/a b:1 n|127.0.0.1:6379:2147483647|127.0.0.1:6379:2147483648|
127.0.0.1:6379:1 a:b|127.0.0.1:6379:1\tname|127.0.0.1:6379:1 # comment|127.0.0.1:6379:1#x|'127.0.0.1:6379:1'|
"127.0.0.1:6379:1\\n"|"127.0.0.1:6379:1\\x20n"|''|~|- 127.0.0.1:6379:1|a: b|&a 127.0.0.1:6379:1|
!!str 127.0.0.1:6379:1|
*a|' 127.0.0.1:6379:1'|'a b:6379:1'|127.0.0.1:6379:1 127.0.0.1:6379|{a: b}|{}"""
LISTENS = """localhost:22121|:22121|127.0.0.1|127.0.0.1:|127.0.0.1:0|127.0.0.1:65535|127.0.0.1:65536|127.0.0.1:x|
::1:22121|'[::1]:22121'|300.1.1.1:1|127.1:1|0x7f.1:1|'*:1'|'0:1'|/tmp/a|/tmp/a 0777|/tmp/a 777|/tmp/a 1000|/tmp/a -1|
/tmp/a  0777|/tmp/a 0|/tmp/a\t0777|/tmp/a:5 0777|/|'/ 0777'|'127.0.0.1:22121 '|' 127.0.0.1:22121'|127.0.0.1:022121|''|
~|[127.0.0.1:1]|tmp/a|0.0.0.0:1|'127.0.0.1 :5'|'*a:5'|"127.0.0.1:5\\n"|\u00e9:5"""
VALUES = """1|0|true|false|True|yes|-1|+1|0x10|1.5|''|~|2147483647|2147483648|007|'1 '|ab|'{}'|'{'|'{}}'|ketama|KETAMA|
md5|MD5|\u00e9|[1]|{}|&x 1|*x|!!int 1|@|`|%|"\\q"|'a"""


def split(text):
    return text.replace("|\n", "|").split("|")


SERVERS = [*split(SERVERS), *(f"{way}\n    127.0.0.1:6379:1" for way in (">", "|", "|-", ">-", ""))]
SERVERS += ["127.0.0.1:6379:1\n    name", "127.0.0.1:6379:1\n\n    name"]
LISTENS = split(LISTENS)
VALUES = [*split(VALUES), "", "\n   - md5", "\n   - 1\n   - 2", "\n   a: b"]
KEYS = ("timeout", "redis_db", "preconnect", "redis", "redis_auth", "server_connections", "hash", "hash_tag")
KEYS += ("distribution", "Hash", "nosuch", "'timeout'", "? timeout", "<<", "listen", "servers", "''", "~")

WHOLE = {
    "empty": "",
    "comment": "# x\n",
    "crlf": pool().replace("\n", "\r\n"),
    "cr": pool().replace("\n", "\r"),
    "bom": "\ufeff" + pool(),
    "utf-16": ("\ufeff" + pool()).encode("utf-16-le"),
    "latin-1": b"# \xe9 \n" + pool().encode(),
    "nul": pool() + "\0",
    "no last newline": pool().rstrip("\n"),
    "tab": pool().replace("  listen", "\tlisten"),
    "---": "---\n" + pool(),
    "...": pool() + "...\n",
    "leading ...": "...\n" + pool(),
    "null": "---\n",
    "two documents": pool() + "---\n" + pool(name="beta", listen="/a"),
    "%YAML": "%YAML 1.1\n---\n" + pool(),
    "%TAG": "%TAG ! tag:x,2000:\n---\n" + pool(),
    "? key": pool().replace("  listen: ", "  ? listen\n  : "),
    "list key": "? - a\n: b\n" + pool(),
    "map key": "? a: b\n: c\n" + pool(),
    "empty pool": "alpha:\n",
    "empty pool and another": "alpha:\n" + pool(name="beta"),
    "text pool": "alpha: 1\n",
    "flow pool": "alpha: {}\n",
    "list pool": "alpha:\n - a\n",
    "list": "- a\n",
    "text": "alpha\n",
    "flow": "{}\n",
    "no name": pool(name="''"),
    "null name": pool(name=""),
    "hash as the list": "a:\n  listen: /a\n  hash:\n   - md5\n  servers: 127.0.0.1:1:1\n",
    "no list": "a:\n  listen: /a\n  servers: 127.0.0.1:1:1\n",
    "two lists": pool() + "  servers:\n   - 127.0.0.1:2:1\n",
    "text and list": pool("  servers: 127.0.0.1:2:1\n"),
    "servers null": "a:\n  listen: /a\n  servers:\n",
    "no listen": "a:\n  servers:\n   - 127.0.0.1:1:1\n",
    "no servers": "a:\n  listen: /a\n",
    "indented": "  a:\n    listen: /a\n",
    "same listen": pool() + pool(name="beta"),
    "same name": pool() + pool(listen="/a"),
    "other listen": pool() + pool(name="beta", listen="localhost:22121"),
    "long name": pool(name="n" * 1030),
    "same server name": pool(servers="   - 127.0.0.1:1:1 a\n   - 127.0.0.1:2:1 a\n"),
    "same server": pool(servers="   - 127.0.0.1:1:1\n   - 127.0.0.1:1:2\n"),
    "same server, named": pool(servers="   - 127.0.0.1:1:1 a\n   - 127.0.0.1:1:1 b\n"),
    "same 11211": pool(servers="   - 127.0.0.1:11211:1\n   - 127.0.0.1:11211:1 127.0.0.1\n"),
    "same in octal": pool(servers="   - 127.0.0.1:1:1\n   - 127.0.0.1:01:1\n"),
    "same path": pool(servers="   - /a:1\n   - /a:1\n"),
    "junk": pool() + "junk\n",
    "open quote": pool() + "  hash: 'md5\n",
    "longest name": pool(servers="   - 127.0.0.1:6379:1 " + "n" * 269 + "\n"),
    "longest path": pool(listen="/" + "p" * 106),
    "path too long": pool(listen="/" + "p" * 107),
    "auth without redis": pool("  redis_auth: x\n"),
    "auth": pool("  redis_auth: x\n  redis: true\n"),
    "auth, redis false": pool("  redis: false\n  redis_auth: x\n"),
    "dash": pool(servers="   -127.0.0.1:1:1\n"),
}


def fixed_files():
    yield from WHOLE.values()
    for line in SERVERS:
        yield pool(servers=f"   - {line}\n")
    for value in LISTENS:
        yield pool(listen=value)
    for key in KEYS:
        for value in VALUES:
            yield pool(f"  {key}: {value}\n")
    for key in (*NUMBERS, *BOOLS, "redis", "redis_auth", "server_connections"):
        for value in ("1", "true", "nonsense"):
            yield pool(f"  {key}: {value}\n")
        yield pool(f"  {key}: {'true' if key in BOOLS else 1}\n" * 2)


class Writer:
    """Files that are right, each written in a way of its own."""

    def __init__(self, rng):
        self.rng = rng

    def quoted(self, text):
        return self.rng.choice((text, text, text, f"'{text}'", f'"{text}"'))

    def server(self, n):
        """The line, and what we have to find in it."""
        rng = self.rng
        weight = rng.choice((1, 1, 1, 2, 50, 100000))
        named = rng.choice(("", "", f"server{n}", f"s:{n}", f"s#{n}"))
        port = rng.choice((6379 + n, 11211, 65535))
        host = rng.choice((f"10.0.{n}.1", f"host-{n}.example.com", f"2001:db8::{n}", f"fe80::{n}%eth0"))
        if rng.random() < 0.1:
            line, name, addr, port = f"/run/redis {n}.sock:{weight}", f"s{n}", f"/run/redis {n}.sock", 0
            return f"{line} {name}", dict(host=addr, name=name, addr=addr, port=0, weight=weight)
        text = rng.choice((f"{port}", f"0{port}"))
        name = named or (host if port == 11211 else f"{host}:{text}")
        addr = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        line = f"{host}:{text}:{weight}" + (f" {named}" if named else "")
        return line, dict(host=host, name=name, addr=addr, port=port, weight=weight)

    def directives(self, number):
        """Blocks of lines, and what they mean."""
        rng = self.rng
        port = 2000 + number
        listen = rng.choice((f"127.0.0.1:{port}", f"::1:{port}", f"/tmp/{number} 0660", f"/tmp/{number}"))
        means = dict(listen=listen.split(" ")[0], hash="fnv1a_64", distribution="ketama", timeout=5000, redis_auth=None)
        blocks = [f"listen: {self.quoted(listen)}"]
        if rng.random() < 0.7:
            means["hash"] = rng.choice(HASHES)
            blocks.append(f"hash: {self.quoted(means['hash'])}")
        if rng.random() < 0.5:
            means["distribution"] = rng.choice(("ketama", "modula", "random"))
            blocks.append(f"distribution: {means['distribution']}")
        if rng.random() < 0.3:
            blocks.append(f"hash_tag: {rng.choice(('ab', '$$', repr('{}'), repr('[]'), '<>'))}")
        for key in NUMBERS:
            if rng.random() < 0.2:
                value = rng.choice((0, 1, 400, 2147483647))
                blocks.append(f"{key}: {self.quoted(f'{value:0{rng.choice((1, 5))}}')}")
                if key == "timeout":
                    means["timeout"] = value
        for key in BOOLS:
            if rng.random() < 0.2:
                blocks.append(f"{key}: {rng.choice(('true', 'false'))}")
        if rng.random() < 0.3:
            blocks += ["redis: true", f"redis_auth: {self.quoted(SECRET)}"]
            means["redis_auth"] = SECRET
        return blocks, means

    def pool(self, number):
        rng = self.rng
        blocks, means = self.directives(number)
        means["name"] = rng.choice((f"pool{number}", f"a pool {number}", f"p.{number}"))
        servers = [self.server(n) for n in range(1, rng.choice((1, 2, 5, 30)) + 1)]
        means["servers"] = [what for _, what in servers]
        dash = " " * rng.choice((0, 1, 4)) + "- "
        blocks.append("servers:" + "".join(f"\n{dash}{line}" for line, _ in servers))
        rng.shuffle(blocks)
        indent = " " * rng.choice((1, 2, 2, 4))
        lines = [indent + line for block in blocks for line in block.split("\n")]
        lines = [line + rng.choice(("", "", "", " # note", " ")) for line in lines]
        for _ in range(rng.choice((0, 0, 2))):
            lines.insert(rng.randrange(len(lines) + 1), rng.choice(("", "# note", "      # note")))
        return f"{means['name']}:\n" + "\n".join(lines) + "\n", means

    def file(self):
        pools = [self.pool(n) for n in range(self.rng.choice((1, 1, 2, 4)))]
        text = self.rng.choice(("", "", "# pools\n\n")) + "".join(text for text, _ in pools)
        return text.replace("\n", self.rng.choice(("\n", "\n", "\n", "\r\n"))), [means for _, means in pools]


def broken(rng, text):
    """TEXT with one thing changed. Hosts to listen at are left alone: nutcracker would ask the network for them."""
    lines = text.split("\n")
    at = rng.randrange(len(lines))
    line = lines[at]
    how = rng.randrange(9)
    if how == 0:
        del lines[at]
    elif how == 1:
        lines.insert(rng.randrange(len(lines)), line)
    elif how == 2:
        lines[at] = rng.choice((" ", "   ", "\t", "- ", "-")) + line
    elif how == 3:
        lines[at] = line[rng.choice((1, 2)):] if line[:2] == "  " else line + ":"
    elif how == 4 and ":" in line and "listen" not in line:
        lines[at] = line[: line.index(":") + 1] + " " + rng.choice(VALUES)
    elif how == 5:
        lines = lines[: at + 1]
    elif how == 6:
        lines[at] = line + rng.choice((" x", "x", ":", "0", " 1", "'", "\\", " #", ",", "]", "\u0000", "\u2028"))
    elif "listen" not in line and line:
        i = rng.randrange(len(line))
        new = rng.choice(("", "", *":- #'\"{}[]&*!|>%@`,0x\t/~", "\u00e9"))
        lines[at] = line[:i] + new + line[i + rng.choice((0, 1)) :]
    return "\n".join(lines)


class Accept(unittest.TestCase):
    def setUp(self):
        if not NUTCRACKER:
            self.fail("there is no nutcracker, with which these files are compared (Debian: nutcracker)")
        self.place = tempfile.TemporaryDirectory(prefix="shard-accept-")
        self.addCleanup(self.place.cleanup)

    def theirs(self, path):
        """Whether nutcracker takes the file."""
        # No name that these files have is worth waiting for.
        done = subprocess.run([NUTCRACKER, "-t", "-c", path], stdin=subprocess.DEVNULL, capture_output=True, timeout=20,
                              env={**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"})
        self.assertIn(done.returncode, (0, 1), done)
        return done.returncode == 0

    def both(self, files):
        """(the file, whether nutcracker takes it, what the helper says) of each."""
        paths = []
        for i, text in enumerate(files):
            paths.append(os.path.join(self.place.name, str(i)))
            with open(paths[-1], "wb") as out:
                out.write(text if isinstance(text, bytes) else text.encode())
        done = subprocess.run([HELPER], input="".join(path + "\n" for path in paths).encode(), capture_output=True,
                              timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        said = [json.loads(line) for line in done.stdout.decode().splitlines()]
        self.assertEqual(len(said), len(files))
        for path, ours in zip(paths, said):
            self.check_words(path, ours)
        return [(text, self.theirs(path), ours) for text, path, ours in zip(files, paths, said)]

    def check_words(self, path, ours):
        if not ours["error"]:
            self.assertIsNone(ours["why"])
            return
        for line in ours["why"].splitlines():
            self.assertRegex(line, "^" + re.escape(path) + r":[1-9][0-9]*: [^\x00-\x1f\x7f]+$")
        self.assertNotIn(SECRET, ours["why"])

    def assert_agree(self, files):
        """Returns how many of them are right."""
        right = 0
        for text, theirs, ours in self.both(files):
            right += theirs
            if theirs and ours["error"]:
                for line in ours["why"].splitlines():
                    self.assertTrue(any(re.search(known, line) for known in STRICTER), f"{text!r}\n{line}")
            else:
                self.assertEqual(theirs, not ours["error"], f"{text!r}\n{ours['why']}")
        return right

    def test_what_nutcracker_takes_is_taken_with_all_it_says(self):
        writer = Writer(random.Random(SEED))
        files, meant = zip(*(writer.file() for _ in range(VALID)))
        for (text, theirs, ours), means in zip(self.both(files), meant):
            self.assertTrue(theirs, text)
            self.assertEqual(ours["pools"], means, f"{text}\n{ours['why']}")

    def test_what_nutcracker_refuses_is_refused(self):
        files = list(fixed_files())
        right = self.assert_agree(files)
        self.assertTrue(len(files) / 20 < right < len(files) / 2, f"{right} of {len(files)}")

    def test_one_thing_changed_makes_the_same_difference(self):
        rng = random.Random(SEED)
        writer = Writer(rng)
        files = [broken(rng, writer.file()[0]) for _ in range(BROKEN)]
        right = self.assert_agree(files)
        self.assertTrue(len(files) / 10 < right < len(files) * 2 / 3, f"{right} of {len(files)}")

    def test_what_is_stricter_on_purpose(self):
        results = self.both([text for text, _ in STRICTER_FILES])
        for (text, theirs, ours), (_, words) in zip(results, STRICTER_FILES):
            self.assertTrue(theirs, text)
            self.assertTrue(ours["error"], text)
            self.assertRegex(ours["why"], words)

    def test_what_is_ours(self):
        for text, theirs, ours in self.both(OURS):
            self.assertFalse(theirs, text)
            self.assertEqual(ours["error"], 0, f"{text}\n{ours['why']}")


unittest.main()
