# SPDX-License-Identifier: MIT
"""rproxy in front of a cluster: what happens to the cluster stays behind it."""

import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from proxylib import DEADLINE, HOST, Conn, Proxy, free_port, pool_text  # noqa: E402
from shardtest import Cluster, Reply, wait_until  # noqa: E402


class Load:
    """A client that writes and reads back all the time; errors: what went wrong; counted: INCRs that were answered."""

    def __init__(self, port, number):
        self.port, self.number = port, number
        self.errors, self.done, self.counted, self.unknown = [], 0, 0, 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        with Conn(self.port, timeout=DEADLINE) as conn:
            while not self.over.is_set():
                key = f"load{self.number}:{self.done % 500}"
                try:
                    replies = [conn.call("SET", key, self.done), conn.call("GET", key), conn.call("MGET", key, "no")]
                    if replies != [b"OK", b"%d" % self.done, [b"%d" % self.done, None]]:
                        self.errors.append(replies)
                except (OSError, Reply) as error:
                    self.errors.append(error)
                    return
                try:
                    conn.call("INCR", f"count{self.number}")
                    self.counted += 1
                except Reply as error:
                    self.unknown += 1
                    if not str(error).startswith("ERR unknown"):
                        self.errors.append(error)
                self.done += 1

    def more(self, rounds):
        """Waits until so many rounds more are done."""
        target = self.done + rounds
        wait_until(lambda: self.done >= target or not self.thread.is_alive(), DEADLINE, "the load goes on")

    def stop(self):
        self.over.set()
        self.thread.join(DEADLINE)


class BeforeACluster(unittest.TestCase):
    def setUp(self):
        self.cluster = Cluster(3, 1)
        self.addCleanup(self.cluster.close)
        self.port = free_port()

    def start(self):
        proxy = Proxy(None, "-l", f"{HOST}:{self.port}", "-u", self.cluster.uri, ready=self.port)
        self.addCleanup(proxy.close)
        return proxy

    def test_reshard_failover_and_a_death_beneath_a_load(self):
        self.start()
        loads = [Load(self.port, i) for i in range(3)]
        try:
            loads[0].more(50)
            masters = self.cluster.masters()
            for slot in range(0, 5000, 100):
                self.cluster.move_slot(slot, masters[1])
            loads[0].more(50)
            self.cluster.failover(self.cluster.replicas_of(masters[2])[0])
            loads[0].more(50)
            # Asked for, nothing is lost: no INCR may have an outcome that is not known.
            self.assertEqual([(load.errors, load.unknown) for load in loads], [([], 0)] * 3)
            self.cluster.wait_ok()
            self.cluster.masters()[0].kill()
            for load in loads:
                load.more(100)
        finally:
            for load in loads:
                load.stop()
        with Conn(self.port) as conn:
            for load in loads:
                self.assertEqual(load.errors, [])
                # A master that dies takes what it had not passed on with it; nothing may be there twice.
                self.assertLessEqual(int(conn.call("GET", f"count{load.number}")), load.counted + load.unknown)

    def test_a_pool_that_is_a_cluster(self):
        second = free_port()
        text = pool_text(self.port, self.cluster.servers[:2], cluster="true")
        text += pool_text(second, self.cluster.servers[:2], name="beta", cluster="true", strict="true")
        with Proxy(text, ready=self.port), Conn(self.port) as conn, Conn(second) as strict:
            keys = [f"k{i}" for i in range(100)]
            self.assertEqual(conn.call("MSET", *(w for k in keys for w in (k, k))), b"OK")
            self.assertEqual(strict.call("MGET", *keys), [k.encode() for k in keys])
            self.assertEqual(conn.call("DBSIZE"), 100)
            found, cursor = [], b"0"
            while True:
                cursor, part = conn.call("SCAN", cursor)
                found += part
                if cursor == b"0":
                    break
            self.assertEqual(sorted(set(found)), sorted(k.encode() for k in keys))
            with self.assertRaisesRegex(Reply, "^CROSSSLOT"):
                conn.call("RENAME", "k1", "k2")
            self.assertEqual(conn.pipeline([["MULTI"], ["SET", "{a}1", "1"], ["INCR", "{a}1"], ["EXEC"]])[3], [b"OK", 2])
            self.assertEqual(conn.call("EVAL", "return redis.call('get', KEYS[1])", "1", "k5"), b"k5")
            self.assertEqual(conn.call("DEL", *keys), 100)


if __name__ == "__main__":
    unittest.main(verbosity=2)
