# SPDX-License-Identifier: MIT
"""rslots against CLUSTER KEYSLOT: tags, binary keys, the empty key, long keys."""

import os
import random
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))

from shardtest import Server  # noqa: E402

RSLOTS = sys.argv.pop(1)
COUNT = 20000


def escape(key):
    plain = {0x5C: "\\\\", 0x09: "\\t", 0x0A: "\\n", 0x0D: "\\r", 0: "\\0"}
    return "".join(plain.get(b) or (chr(b) if 0x20 <= b < 0x7F else f"\\x{b:02X}") for b in key)


def keys(rng):
    yield from (b"", b"{}", b"{a}", b"foo{}{bar}", b"foo{{bar}}zap", b"foo{bar}{zap}", b"\0", b"a\0b", b"{\0}x")
    for _ in range(COUNT):
        length = rng.choice((rng.randrange(0, 40), rng.randrange(0, 300), rng.randrange(0, 4000)))
        alphabet = rng.choice((b"{}ab", b"{}" + bytes(range(256)), b"abcdefgh"))
        yield bytes(rng.choices(alphabet, k=length))


class KeySlot(unittest.TestCase):
    def test_slots_are_the_servers(self):
        seed = int(os.environ.get("SHARD_SEED", random.randrange(2**32)))
        print("seed", seed)
        every = list(keys(random.Random(seed)))
        with Server(cluster=True) as server:
            server.call("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            with server.connect() as conn:
                expected = [int(s) for s in conn.pipeline([("CLUSTER", "KEYSLOT", key) for key in every])]
            out = subprocess.run(
                [RSLOTS, "-u", server.uri if isinstance(server.uri, str) else server.uri(), "-"],
                input="".join(escape(key) + "\n" for key in every).encode(), stdout=subprocess.PIPE, timeout=120,
                check=True).stdout
        records = out.decode().split("\n")[:-1]
        self.assertEqual(len(records), len(every))
        for key, slot, record in zip(every, expected, records):
            self.assertEqual(int(record.split("\t")[1]), slot, key)


if __name__ == "__main__":
    unittest.main()
