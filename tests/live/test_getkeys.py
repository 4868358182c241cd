#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The command table against real servers: test_getkeys.py HELPER

Lines for every command of the server, made from its own COMMAND DOCS and then spoilt in all ways, are given to
COMMAND GETKEYS, and to a node of a cluster that owns no slots: what it redirects to is what it takes for the keys.
$SHARD_TEST_SEED makes a run again, $SHARD_TEST_LINES is how many lines a command gets.
"""

import collections
import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../lib"))
from shardtest import Reply, Server, TempDir, server_program, slot, wait_until

SEED = int(os.environ.get("SHARD_TEST_SEED", "7"))
LINES = int(os.environ.get("SHARD_TEST_LINES", "25"))
MORE = 10  # times as many lines where keys have no fixed places

HELPER = None  # the path of command_keys_helper
MAKE_TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/make-command-table")

ODD_NUMBERS = [b"-1", b"0", b"1", b"2", b"3", b"abc", b"", b"2x", b"+2", b" 2", b"02", b"2.5", b"2\x00"]
ODD_NUMBERS += [b"2147483648", b"4294967298", b"9223372036854775808", b"99999999999999999999", b"-4294967294"]
KEYWORDS = b"STORE STOREDIST KEYS STREAMS LIMIT GET BY AUTH AUTH2 COPY REPLACE BLOCK COUNT GROUP NOACK EX NX".split()
KEYWORDS += [b"store", b"Keys", b"sTREAMS", b"keys\x00", b"STORES", b"STOR", b"claim"]


# ---- making lines ----


def as_map(flat):
    return dict(zip(flat[::2], flat[1::2]))


class Grammar:
    """Lines that look valid, from a command's entry in COMMAND DOCS."""

    def __init__(self, rng, name, docs):
        self.rng = rng
        self.name = name
        self.arguments = [as_map(a) for a in docs.get(b"arguments", [])]

    def line(self):
        words = [self.cased(w) for w in self.name.split(b"|")]
        self.sequence(self.arguments, words)
        return words

    def cased(self, word):
        return self.rng.choice([word.upper(), word.lower(), word.title()])

    def sequence(self, arguments, words):
        count_at = None
        for argument in arguments:
            flags = argument.get(b"flags", [])
            if b"optional" in flags and self.rng.random() < 0.5:
                continue
            if argument[b"name"] == b"numkeys":
                count_at = len(words)
            times = self.rng.randint(1, 4) if b"multiple" in flags else 1
            self.one(argument, times, b"multiple_token" in flags, words)
            if count_at is not None and argument[b"type"] in (b"key", b"block") and b"multiple" in flags:
                words[count_at] = b"%d" % times
                count_at = None

    def one(self, argument, times, token_each_time, words):
        token = argument.get(b"token")
        for n in range(times):
            if token is not None and (n == 0 or token_each_time):
                words.append(self.cased(token))
            self.value(argument, words)

    def value(self, argument, words):
        kind = argument[b"type"]
        if kind == b"oneof":
            self.sequence([as_map(self.rng.choice(argument[b"arguments"]))], words)
        elif kind == b"block":
            self.sequence([as_map(a) for a in argument[b"arguments"]], words)
        elif kind == b"key":
            words.append(self.key())
        elif kind in (b"integer", b"unix-time"):
            words.append(b"%d" % self.rng.randint(0, 9))
        elif kind == b"double":
            words.append(b"%.1f" % self.rng.random())
        elif kind != b"pure-token":
            words.append(self.rng.choice([b"x", b"y z", b"", self.key(), self.rng.choice(KEYWORDS)]))

    def key(self):
        odd = [b"", b"\x00", b"{t}\xff", b"a b", self.rng.choice(KEYWORDS)]
        return self.rng.choice(odd) if self.rng.random() < 0.15 else b"k%d" % self.rng.randrange(1000)


def spoil(rng, words):
    """A line with one to three faults. The name stays."""
    words = list(words)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(1, len(words) + 1)
        fault = rng.randrange(6)
        if fault == 0:
            words[i : i + 1] = []
        elif fault == 1:
            words.insert(i, rng.choice(KEYWORDS))
        elif fault == 2:
            words.insert(i, rng.choice(ODD_NUMBERS))
        elif fault == 3:
            words[i : i + 1] = [rng.choice(ODD_NUMBERS + KEYWORDS)]
        elif fault == 4:
            words[i:] = []
        else:
            words[i:i] = [b"w%d" % rng.randrange(100)] * rng.randint(1, 3)
    return words


def spoil_number(rng, words):
    """A line with a number that is odd."""
    places = [i for i, word in enumerate(words) if i > 0 and word.isdigit()]
    if places:
        words = list(words)
        words[rng.choice(places)] = rng.choice(ODD_NUMBERS)
    return words


def docs_of(server):
    """name -> its entry in COMMAND DOCS, subcommands included."""
    result = {}

    def add(flat):
        for name, entry in as_map(flat).items():
            result[name.lower()] = entry = as_map(entry)
            add(entry.get(b"subcommands", []))

    add(server.call("COMMAND", "DOCS"))
    return result


def entries_of(reply):
    """name -> (arity, flags, key specifications) of COMMAND."""
    result = {}
    for entry in reply:
        result[entry[0].lower()] = (entry[1], set(entry[2]), entry[8])
        result.update(entries_of(entry[9]))
    return result


def is_movable(entry):
    return b"movablekeys" in entry[1] or len(entry[2]) > 1


def make_lines(seed, docs, entries):
    rng = random.Random(seed)
    lines = []
    for name in sorted(entries):
        grammar = Grammar(rng, name, docs.get(name, {}))
        for _ in range(LINES * (MORE if is_movable(entries[name]) else 1)):
            words = grammar.line()
            lines.append(rng.choice([lambda _, w: w, spoil, spoil_number])(rng, words))
    return lines


# ---- what the library says ----

READONLY, WRITE, BLOCKING, MOVABLE, CONTAINER = 1 << 0, 1 << 1, 1 << 3, 1 << 5, 1 << 7  # enum shard_command_flag

# name: "" where the table has no such command; keys: None where the line is malformed
Found = collections.namedtuple("Found", "name idempotent keys")


def ask_library(lines):
    text = "".join(" ".join(word.hex() or "-" for word in words) + "\n" for words in lines)
    run = subprocess.run([HELPER], input=text, capture_output=True, text=True, timeout=300, check=True)
    answers = run.stdout.splitlines()
    assert len(answers) == len(lines)
    found = []
    for words, answer in zip(lines, answers):
        name, *rest = answer.split()
        if rest:
            found.append(Found(name, rest[0] == "1", [words[int(place)] for place in rest[1:]]))
        else:
            found.append(Found("" if name == "unknown" else name, False, [] if name == "unknown" else None))
    return found


def table():
    """name -> (flags, arity)"""
    run = subprocess.run([HELPER, "--table"], capture_output=True, text=True, timeout=60, check=True)
    rows = (line.split() for line in run.stdout.splitlines())
    return {name: (int(flags), int(arity)) for name, flags, arity in rows}


# ---- COMMAND GETKEYS ----


def text_of(word):
    """A word as servers compare it."""
    return word.split(b"\0")[0].lower()


def times(words, *wanted):
    return sum(text_of(word) in wanted for word in words)


def has_odd_number(words):
    """A numkeys that is no number, but that the server reads as one after its key specifications gave up."""
    return any(word in ODD_NUMBERS and not word.isdigit() or word == b"02" for word in words)


def has_huge_number(words):
    """A numkeys that the server cuts to 32 bits."""
    return any(word.lstrip(b"-").isdigit() and abs(int(word)) >= 1 << 31 for word in words)


def excuse(words, ours, theirs):
    """Why the library differs from a list of keys that COMMAND GETKEYS gave; None where nothing explains it."""
    name = text_of(words[0])
    if name in (b"xread", b"xreadgroup") and times(words, b"streams") > 1:
        return "several STREAMS"
    if name in (b"georadius", b"georadiusbymember"):
        if times(words, b"store", b"storedist") > 1 or times(words[:6], b"store", b"storedist"):
            return "several STORE, or one in another's place"
    if has_odd_number(words) and ours.keys and sorted(ours.keys) == sorted(theirs):
        return "another order for a numkeys that is no number"
    if has_huge_number(words) and not ours.keys:
        return "a numkeys over 31 bits"
    return None


def judge_refusal(words, ours, error, arity):
    """The same for a line that COMMAND GETKEYS refused: "" where the library agrees."""
    name = text_of(words[0])
    if "Invalid command specified" in error:
        return "" if not ours.keys else None
    if "no key arguments" in error:
        channels = name in (b"spublish", b"ssubscribe", b"sunsubscribe")
        return "a channel" if channels else "" if ours.keys == [] else None
    if "Invalid number of arguments" in error:
        if len(words) < abs(arity):
            return "" if ours.keys is None else None
        return "too many words"
    if "Invalid arguments" in error:
        if name == b"pfmerge" and len(words) == 2:
            return "PFMERGE without sources"
        if name == b"migrate" and times(words[-1:], b"keys"):
            return "MIGRATE with KEYS and no keys"
        if name == b"xreadgroup" and times(words[1:4], b"streams"):
            return "XREADGROUP without GROUP"
        return "" if ours.keys is None else None
    return None


def judge(words, ours, theirs, arity):
    if isinstance(theirs, Reply):
        return judge_refusal(words, ours, str(theirs), arity)
    return "" if ours.keys == theirs else excuse(words, ours, theirs)


# ---- the tests ----


def is_newer(server):
    """Whether the server may have commands that the table does not."""
    info = server.info("server")
    name, last = ("valkey_version", (9, 0)) if "valkey_version" in info else ("redis_version", (8, 4))
    return tuple(int(n) for n in info[name].split(".")[:2]) > last


class Cases(unittest.TestCase):
    def report(self, what, counts, wrong):
        print(f"{what}: seed {SEED}, {sum(counts.values())} lines, {counts['']} agree")
        for why, count in sorted(counts.items()):
            if why:
                print(f"    {count:6} {why}")
        self.assertFalse(wrong, f"{len(wrong)} lines, the first of them: " + "\n".join(repr(w) for w in wrong[:10]))


class Keys(Cases):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.close)
        cls.entries = entries_of(cls.server.call("COMMAND"))
        cls.lines = make_lines(SEED, docs_of(cls.server), cls.entries)
        cls.found = ask_library(cls.lines)

    def test_the_table_has_every_command_with_its_flags(self):
        ours = table()
        missing = [name for name in self.entries if name.decode() not in ours]
        if is_newer(self.server):
            print("not in the table:", *missing)
        else:
            self.assertEqual(missing, [])
        for name, (arity, flags, _) in self.entries.items():
            if name in missing:
                continue
            mine, my_arity = ours[name.decode()]
            with self.subTest(command=name):
                self.assertEqual(bool(mine & READONLY), b"readonly" in flags)
                self.assertEqual(bool(mine & WRITE), b"write" in flags)
                self.assertEqual(bool(mine & MOVABLE), b"movablekeys" in flags)
                self.assertTrue(mine & BLOCKING or b"blocking" not in flags)
                self.assertTrue(my_arity == arity or my_arity < 0 and -my_arity <= abs(arity))

    def test_a_table_made_anew_is_the_same_twice(self):
        made = []
        with TempDir() as folder:
            for path in (os.path.join(folder, name) for name in "ab"):
                command = ["/usr/bin/python3", MAKE_TABLE, "--server", server_program(), "--output", path]
                subprocess.run(command, stderr=subprocess.DEVNULL, timeout=60, check=True)
                with open(path, encoding="ascii") as file:
                    made.append(file.read())
        self.assertEqual(*made)
        for name in self.entries:
            self.assertIn(f'{{"{name.decode()}", ', made[0])

    def test_keys_are_those_of_command_getkeys(self):
        counts, wrong = collections.Counter(), []
        lines = [(words, ours) for words, ours in zip(self.lines, self.found) if len(words) > 1]
        conn = self.server.connect()
        replies = conn.pipeline([[b"COMMAND", b"GETKEYS", *words] for words, _ in lines])
        conn.close()
        ours = table()
        for (words, found), theirs in zip(lines, replies):
            if not found.name:
                why = "not in the table"
            else:
                name = text_of(words[0]), b"|".join(text_of(word) for word in words[:2])
                arity = next(ours[n.decode()][1] for n in reversed(name) if n.decode("latin-1") in ours)
                why = judge(words, found, theirs, arity)
            counts["WRONG" if why is None else why] += 1
            if why is None:
                wrong.append((words, found, theirs))
        self.report("COMMAND GETKEYS", counts, wrong)
        self.assertGreater(counts[""], len(lines) // 2)


class Routing(Cases):
    """A node that owns no slots redirects whatever has keys."""

    def setUp(self):
        self.empty, self.owner = Server(cluster=True), Server(cluster=True)
        self.addCleanup(self.empty.close)
        self.addCleanup(self.owner.close)
        self.owner.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        self.empty.call("CLUSTER", "MEET", "127.0.0.1", self.owner.port)
        wait_until(self.redirects, 20, "the node that owns no slots redirects")

    def redirects(self):
        try:
            self.empty.call("GET", "x")
        except Reply as error:
            return str(error).startswith("MOVED")
        return False

    def ask(self, lines):
        with self.empty.connect() as conn:
            return conn.pipeline(lines)

    def test_the_server_routes_by_the_same_keys(self):
        lines = make_lines(SEED + 1, docs_of(self.empty), entries_of(self.empty.call("COMMAND")))
        found = list(zip(lines, ask_library(lines)))
        counts, wrong = collections.Counter(), []
        self.with_keys([(words, ours.keys) for words, ours in found if ours.keys], counts, wrong)
        self.malformed([words for words, ours in found if ours.keys is None], counts, wrong)
        self.report("redirects", counts, wrong)
        self.assertGreater(counts[""], len(lines) // 3)

    def with_keys(self, lines, counts, wrong):
        """Redirected as the library thinks, or refused for its syntax."""
        for (words, keys), reply in zip(lines, self.ask([words for words, _ in lines])):
            slots = {slot(key) for key in keys}
            wanted = "CROSSSLOT" if len(slots) > 1 else f"MOVED {slots.pop()} "
            if str(reply).startswith(wanted):
                counts[""] += 1
            elif isinstance(reply, Reply) and str(reply).startswith("ERR "):
                counts["an error of syntax"] += 1
            elif reply == b"NOKEY" and times(words[-1:], b"keys"):
                counts["MIGRATE with KEYS and no keys"] += 1
            else:
                wrong.append((words, keys, reply))

    def malformed(self, lines, counts, wrong):
        """Refused by the server, too."""
        for words, reply in zip(lines, self.ask(lines)):
            if isinstance(reply, Reply) and (str(reply).startswith("ERR ") or has_huge_number(words)):
                counts["malformed and refused"] += 1
            else:
                wrong.append((words, None, reply))


class Twice(Cases):
    """What the table calls idempotent, executed twice, gives the same reply and leaves the same data."""

    SEEDS = """SET s1 10; SET s2 abc; RPUSH l1 3 1 2; RPUSH l2 a b; SADD t1 1 2 3; SADD t2 2 3 4; ZADD z1 1 a 2 b;
               ZADD z2 3 b 4 c; HSET h1 x 1 y 2; PFADD p1 a b; PFADD p2 c; GEOADD g1 0.1 0.1 a 0.2 0.2 b;
               XADD x1 1-1 x 1; XGROUP CREATE x1 x 0"""
    KEYS = b"s1 s2 l1 l2 t1 t2 z1 z2 h1 p1 p2 g1 x1 none".split()
    TIMES = (b"seconds", b"milliseconds")  # short ones would end within the test
    NUMBERS = {
        b"unix-time": [b"9999999999999"],
        b"integer": [b"0", b"1", b"2", b"500"],
        b"double": [b"0.1", b"1", b"500"],
    }

    class Grammar(Grammar):
        def key(self):
            return self.rng.choice(Twice.KEYS)

        def value(self, argument, words):
            kind = argument[b"type"]
            if argument[b"name"] in Twice.TIMES:
                words.append(self.rng.choice([b"0", b"30000"]))
            elif kind in Twice.NUMBERS:
                words.append(self.rng.choice(Twice.NUMBERS[kind]))
            elif kind == b"string":
                words.append(self.rng.choice([b"1", b"x", b"a", b"1-1", b"REPLACE"]))
            else:
                super().value(argument, words)

    def lines(self, server):
        rng = random.Random(SEED + 2)
        docs = docs_of(server)
        writing = {name.encode() for name, (flags, _) in table().items() if flags & WRITE}
        for name in sorted(writing & set(docs)):
            grammar = self.Grammar(rng, name, docs[name])
            yield from (grammar.line() for _ in range(10 * LINES))

    def test_what_is_idempotent_may_be_sent_twice(self):
        with Server() as server, server.connect() as conn:
            lines = list(self.lines(server))
            lines = [(words, found) for words, found in zip(lines, ask_library(lines)) if found.idempotent]
            counts, wrong = collections.Counter(), []
            for words, found in lines:
                before = ["FLUSHALL", "FUNCTION FLUSH", *self.SEEDS.split(";")]
                both = [words, ["DEBUG", "DIGEST"]] * 2
                replies = conn.pipeline([line.split() for line in before] + both)
                once, digest, twice, digest_after = replies[-4:]
                if isinstance(once, Reply):
                    counts["refused"] += 1
                    continue
                counts[""] += 1
                counts[f"of {found.name}"] += 1
                if (once, digest) != (twice, digest_after):
                    wrong.append((words, once, twice))
        self.report("twice", counts, wrong)


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit("usage: test_getkeys.py HELPER [unittest's options]")
    HELPER = os.path.abspath(sys.argv.pop(1))
    unittest.main(verbosity=2)
