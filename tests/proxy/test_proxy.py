# SPDX-License-Identifier: MIT
"""rproxy in front of a pool of real servers: what clients see, and what the machine does."""

import os
import random
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from proxylib import DEADLINE, HOST, Conn, Proxy, Raw, Server, TempDir, free_port, pool_text, program  # noqa: E402
from shardtest import Reply, encode, sanitized, wait_until  # noqa: E402


class PoolCase(unittest.TestCase):
    """One proxy in front of three servers for the class, flushed before each test."""

    options = ()
    directives = {}

    @classmethod
    def setUpClass(cls):
        cls.servers = [Server() for _ in range(3)]
        cls.addClassCleanup(lambda: [s.close() for s in cls.servers])
        cls.port = free_port()
        cls.proxy = Proxy(pool_text(cls.port, cls.servers, **cls.directives), *cls.options, ready=cls.port)
        cls.addClassCleanup(cls.proxy.close)

    def setUp(self):
        for server in self.servers:
            server.call("FLUSHALL")

    def connect(self, **how):
        conn = Conn(self.port, timeout=DEADLINE, **how)
        self.addCleanup(conn.close)
        return conn

    def raw(self):
        raw = Raw(self.port)
        self.addCleanup(raw.close)
        return raw

    def error(self, conn, *words):
        with self.assertRaises(Reply) as caught:
            conn.call(*words)
        return str(caught.exception)


class Commands(PoolCase):
    def test_keys_are_on_all_servers(self):
        conn = self.connect()
        conn.pipeline(("SET", f"key{i}", i) for i in range(300))
        sizes = [server.call("DBSIZE") for server in self.servers]
        self.assertEqual(sum(sizes), 300)
        self.assertGreater(min(sizes), 0)
        self.assertEqual(conn.call("DBSIZE"), 300)

    def test_split_commands(self):
        conn = self.connect()
        keys = [f"k{i}" for i in range(100)]
        self.assertEqual(conn.call("MSET", *(w for k in keys for w in (k, "v" + k))), b"OK")
        wanted = [b"vk7", None, b"vk0", b"vk7"] + [f"v{k}".encode() for k in keys]
        self.assertEqual(conn.call("MGET", "k7", "no", "k0", "k7", *keys), wanted)
        self.assertEqual(conn.call("EXISTS", "no", *keys, "k1"), 101)
        self.assertEqual(conn.call("TOUCH", "no", *keys), 100)
        self.assertEqual(conn.call("DEL", *keys[:50], "no"), 50)
        self.assertEqual(conn.call("UNLINK", *keys), 50)

    def test_replies_are_the_servers_bytes(self):
        raw = self.raw()
        raw.send(encode(["LPOP", "no", "5"]) + encode(["LPOP", "no"]) + encode(["GEOPOS", "no", "a"]))
        wanted = b"*-1\r\n$-1\r\n*1\r\n*-1\r\n"
        got = b""
        while len(got) < len(wanted):
            got += raw.sock.recv(100)
        self.assertEqual(got, wanted)

    def test_what_rproxy_answers(self):
        conn = self.connect()
        self.assertEqual(conn.call("PING"), b"PONG")
        self.assertEqual(conn.call("PING", "hello"), b"hello")
        self.assertEqual(conn.call("ECHO", "\0x"), b"\0x")
        self.assertEqual(conn.call("SELECT", "0"), b"OK")
        self.assertIn("one database", self.error(conn, "SELECT", "3"))
        self.assertEqual(conn.call("CLIENT", "SETNAME", "me"), b"OK")
        self.assertEqual(conn.call("CLIENT", "GETNAME"), b"me")
        self.assertEqual(conn.call("CLIENT", "SETINFO", "LIB-NAME", "x"), b"OK")
        self.assertEqual(conn.call("CLIENT", "NO-EVICT", "ON"), b"OK")
        self.assertGreater(self.connect().call("CLIENT", "ID"), conn.call("CLIENT", "ID"))
        hello = conn.call("HELLO", "2", "SETNAME", "you")
        self.assertEqual(dict(zip(hello[::2], hello[1::2]))[b"proto"], 2)
        self.assertEqual(conn.call("CLIENT", "GETNAME"), b"you")
        self.assertIn("NOPROTO", self.error(conn, "HELLO", "3"))
        self.assertIn(b"connected_clients:", conn.call("INFO"))
        self.assertGreater(conn.call("COMMAND", "COUNT"), 100)
        self.assertEqual(conn.call("RESET"), b"RESET")
        self.assertEqual(conn.call("CLIENT", "GETNAME"), b"")

    def test_what_cannot_be_is_told_and_the_connection_stays(self):
        conn = self.connect()
        apart = ("a", next(f"b{i}" for i in range(100) if self.holder(conn, f"b{i}") != self.holder(conn, "a")))
        for words, text in (
            (("NOSUCH", "x"), "unknown command"),
            (("GET",), "wrong number"),
            (("GET", "a", "b"), "wrong number"),
            (("MSET", "a"), "wrong number"),
            (("SUBSCRIBE", "x"), "changes the connection"),
            (("MONITOR",), "changes the connection"),
            (("CONFIG", "GET", "x"), "no key"),
            (("SHUTDOWN",), "no key"),
            (("FLUSHALL",), "--allow-flush"),
            (("RENAME", *apart), "CROSSSLOT"),
            (("SINTERSTORE", "a", *apart), "CROSSSLOT"),
            (("MSETNX", apart[0], "1", apart[1], "2"), "CROSSSLOT"),
            (("AUTH", "x"), "no password is set"),
            (("SCAN", "x"), "invalid cursor"),
        ):
            with self.subTest(words):
                self.assertIn(text, self.error(conn, *words))
                self.assertEqual(conn.call("PING"), b"PONG")

    def test_keys_that_are_together_may_be_together(self):
        conn = self.connect()
        key = next(f"a{i}" for i in range(100) if self.holder(conn, f"a{i}") == self.holder(conn, "z"))
        conn.call("SADD", key, "1")
        self.assertEqual(conn.call("SUNIONSTORE", "z", key), 1)

    def holder(self, conn, key):
        conn.call("SETNX", key, "x")
        found = [i for i, s in enumerate(self.servers) if s.call("EXISTS", key)]
        conn.call("DEL", key)
        return found[0]

    def test_scan_goes_through_all_servers(self):
        conn = self.connect()
        conn.pipeline(("SET", f"key{i}", i) for i in range(1000))
        found, cursor = [], b"0"
        while True:
            cursor, keys = conn.call("SCAN", cursor, "COUNT", "50", "MATCH", "key*")
            found += keys
            if cursor == b"0":
                break
        self.assertEqual(sorted(set(found)), sorted(b"key%d" % i for i in range(1000)))
        self.assertEqual(sorted(conn.call("KEYS", "key1??")), sorted(b"key%d" % i for i in range(100, 200)))

    def test_transactions(self):
        conn = self.connect()
        self.assertEqual(conn.pipeline([["MULTI"], ["SET", "a", "1"], ["INCR", "a"], ["LPOP", "a"], ["EXEC"]])[:4],
                         [b"OK", b"QUEUED", b"QUEUED", b"QUEUED"])
        self.assertEqual(conn.call("GET", "a"), b"2")
        self.assertEqual(conn.pipeline([["MULTI"], ["EXEC"], ["MULTI"], ["SET", "a", "9"], ["DISCARD"], ["GET", "a"]]),
                         [b"OK", [], b"OK", b"QUEUED", b"OK", b"2"])
        conn.call("MULTI")
        self.assertIn("nested", self.error(conn, "MULTI"))
        self.assertIn("unknown command", self.error(conn, "NOSUCH"))
        self.assertIn("EXECABORT", self.error(conn, "EXEC"))
        conn.pipeline([["MULTI"], *(["SET", f"k{i}", "1"] for i in range(20))])
        self.assertIn("CROSSSLOT", self.error(conn, "EXEC"))
        self.assertEqual(conn.call("EXISTS", *(f"k{i}" for i in range(20))), 0)
        self.assertIn("EXEC without MULTI", self.error(conn, "EXEC"))

    def test_a_blocking_command_waits_alone(self):
        waiter, other = self.connect(), self.connect()
        waiter.send("BLPOP", "q", "20")
        waiter.send("PING")
        for _ in range(3):
            self.assertEqual(other.call("PING"), b"PONG")
        self.assertEqual(other.call("RPUSH", "q", "v"), 1)
        self.assertEqual(waiter.read(), [b"q", b"v"])
        self.assertEqual(waiter.read(), b"PONG")

    def test_who_goes_leaves_no_blocking_command_behind(self):
        with Conn(self.port) as waiter:
            waiter.send("BLPOP", "q", "0")
            wait_until(lambda: any(int(s.info("clients")["blocked_clients"]) for s in self.servers), 10)
        wait_until(lambda: not any(int(s.info("clients")["blocked_clients"]) for s in self.servers), 10)

    def test_plain_lines(self):
        raw = self.raw()
        raw.send(b"PING\r\n\r\nset  a\t1\nget a\r\n*0\r\nQUIT\r\n")
        self.assertEqual(raw.until_closed(), b"+PONG\r\n+OK\r\n$1\r\n1\r\n+OK\r\n")

    def test_a_protocol_error_is_told_and_closes(self):
        for data in (b"*1\r\n+PING\r\n", b"*x\r\n", b"*1\r\n$x\r\n", b"*2000000\r\n", b"*1\r\n$600000000\r\n"):
            raw = self.raw()
            raw.send(encode(["SET", "a", "1"]) + data)
            got = raw.until_closed()
            self.assertTrue(got.startswith(b"+OK\r\n-ERR Protocol error"), got)

    def test_a_name_that_goes_on_behind_a_nul_is_another(self):
        conn = self.connect()
        for name in (b"PING\0", b"GET\0" * 20, b"\0", b"mget\0x"):
            self.assertIn("unknown command", self.error(conn, name))
        self.assertEqual(conn.call("PING"), b"PONG")

    def test_who_speaks_http_is_closed_alone(self):
        other = self.connect()
        other.call("SET", "a", "1")
        eof = lambda: sum(self.proxy.show_stats()["alpha"][f"s{i}"]["server_eof"] for i in range(3))  # noqa: E731
        before = eof()
        for data in (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nDEL a\r\n"):
            raw = self.raw()
            raw.send(data)
            self.assertTrue(raw.until_closed().endswith(b"-ERR this is no HTTP server\r\n"))
        self.assertEqual((other.call("GET", "a"), eof()), (b"1", before))

    def test_the_common_calls_of_a_library(self):
        try:
            import redis
        except ImportError:
            self.skipTest("python3-redis is not there (scripts/install-deps check)")
        r = redis.Redis(HOST, self.port, client_name="lib")
        self.assertTrue(r.ping())
        self.assertTrue(r.set("a", "1", ex=100))
        self.assertEqual(r.get("a"), b"1")
        self.assertEqual(r.incr("n", 5), 5)
        self.assertTrue(r.mset({f"m{i}": i for i in range(50)}))
        self.assertEqual(r.mget([f"m{i}" for i in range(50)]), [b"%d" % i for i in range(50)])
        self.assertEqual(r.delete(*[f"m{i}" for i in range(50)]), 50)
        r.hset("h", mapping={"f": "v", "g": "w"})
        self.assertEqual(r.hgetall("h"), {b"f": b"v", b"g": b"w"})
        self.assertEqual(r.zadd("z", {"a": 1, "b": 2}), 2)
        self.assertEqual(r.zrange("z", 0, -1, withscores=True), [(b"a", 1.0), (b"b", 2.0)])
        pipe = r.pipeline(transaction=False)
        for i in range(100):
            pipe.set(f"p{i}", i)
        self.assertEqual(pipe.execute(), [True] * 100)
        pipe = r.pipeline(transaction=True)
        pipe.set("{t}a", 1).incr("{t}a")
        self.assertEqual(pipe.execute(), [True, 2])
        self.assertEqual(set(r.scan_iter("p*")), {b"p%d" % i for i in range(100)})
        self.assertEqual(r.eval("return KEYS[1]", 1, "k"), b"k")
        script = r.register_script("return redis.call('incr', KEYS[1])")
        self.assertEqual([script(keys=["s1"]), script(keys=["s1"])], [1, 2])
        self.assertIsNone(r.blpop("none", timeout=1))
        r.close()


class Bytes(PoolCase):
    def test_ten_thousand_deep_in_order(self):
        raw = self.raw()
        wanted = b"".join(b"+OK\r\n$%d\r\n%d\r\n:%d\r\n" % (len(str(i)), i, i + 1) for i in range(3400))
        data = b"".join(encode(["SET", f"k{i}", i]) + encode(["GET", f"k{i}"]) + encode(["INCR", f"k{i}"]) for i in range(3400))
        threading.Thread(target=raw.send, args=(data,), daemon=True).start()
        got = b""
        while len(got) < len(wanted):
            part = raw.sock.recv(1 << 20)
            self.assertTrue(part)
            got += part
        self.assertEqual(got, wanted)

    def test_requests_split_at_every_byte(self):
        data = encode(["SET", "key", "v" * 20]) + encode(["MGET", "key", "no"]) + b"PING\r\n" + encode(["PING"])
        wanted = b"+OK\r\n*2\r\n$20\r\n" + b"v" * 20 + b"\r\n$-1\r\n+PONG\r\n+PONG\r\n"
        raw = self.raw()
        for cut in range(1, len(data)):
            raw.send(data[:cut])
            time.sleep(0.0005)
            raw.send(data[cut:])
            self.assertEqual(raw.take(len(wanted)), wanted, cut)
        for byte in data:
            raw.send(bytes([byte]))
        self.assertEqual(raw.take(len(wanted)), wanted)

    def test_a_value_of_64_mb(self):
        conn = self.connect()
        value = random.Random(1).randbytes(64 << 20)
        before = self.proxy.memory()
        self.assertEqual(conn.call("SET", "big", value), b"OK")
        self.assertEqual(conn.call("GET", "big"), value)
        self.assertEqual(conn.call("MGET", "big", "no"), [value, None])
        self.assertEqual(conn.call("PING"), b"PONG")
        if not sanitized(program("rproxy")):
            wait_until(lambda: self.proxy.memory() < before + 20000, 10, "memory is given back")

    def test_a_request_of_many_words(self):
        conn = self.connect()
        words = [w for i in range(50000) for w in (f"k{i}", i)]
        self.assertEqual(conn.call("MSET", *words), b"OK")
        self.assertEqual(conn.call("MGET", *words[::2]), [b"%d" % i for i in range(50000)])
        self.assertEqual(conn.call("DEL", *words[::2]), 50000)

    def test_a_half_closed_client_gets_all_its_answers(self):
        raw = self.raw()
        raw.send(b"".join(encode(["SET", f"k{i}", i]) for i in range(5000)))
        raw.sock.shutdown(socket.SHUT_WR)
        self.assertEqual(raw.until_closed(), b"+OK\r\n" * 5000)

    def test_who_never_reads_is_held_back(self):
        self.connect().call("SET", "a", "x" * 100000)
        before = self.proxy.memory()
        raw = self.raw()
        raw.sock.settimeout(0.5)
        sent = 0
        request = encode(["GET", "a"]) * 100
        try:
            while sent < 200 << 20:
                sent += raw.sock.send(request)
        except TimeoutError:
            pass
        self.assertLess(sent, 100 << 20, "it was never held back")
        self.assertLess(self.proxy.memory() - before, 120000)
        self.assertEqual(self.connect().call("GET", "a"), b"x" * 100000)
        # And when it reads after all, it goes on.
        raw.sock.settimeout(DEADLINE)
        one = b"$100000\r\n" + b"x" * 100000 + b"\r\n"
        self.assertEqual(raw.take(len(one) * 300), one * 300)

    def test_two_thousand_clients(self):
        raws = []
        try:
            for _ in range(2000):
                raws.append(Raw(self.port))
            for i, raw in enumerate(raws):
                raw.send(encode(["SET", f"c{i}", i]))
            for raw in raws:
                self.assertEqual(raw.take(5), b"+OK\r\n")
            self.assertEqual(self.proxy.show_stats()["alpha"]["client_connections"], 2000)
        finally:
            for raw in raws:
                raw.close()
        wait_until(lambda: self.proxy.show_stats()["alpha"]["client_connections"] == 0, 10)

    def test_clients_that_go_away_in_the_middle(self):
        rng = random.Random(2)
        for _ in range(300):
            with Raw(self.port) as raw:
                data = b"".join(encode(["SET", f"g{i}", "x" * rng.randrange(3000)]) for i in range(rng.randrange(1, 30)))
                raw.send(data[: rng.randrange(1, len(data))])
        self.assertEqual(self.connect().call("PING"), b"PONG")
        wait_until(lambda: self.proxy.show_stats()["alpha"]["client_connections"] <= 1, 10)


class Failures(unittest.TestCase):
    def setUp(self):
        self.servers = [Server() for _ in range(2)]
        self.addCleanup(lambda: [s.close() for s in self.servers])
        self.port = free_port()

    def start(self, *options, **directives):
        proxy = Proxy(pool_text(self.port, self.servers, **directives), *options, ready=self.port)
        self.addCleanup(proxy.close)
        conn = Conn(self.port, timeout=DEADLINE)
        self.addCleanup(conn.close)
        return proxy, conn

    def keys(self, conn):
        """A key of each server."""
        conn.pipeline(("SET", f"k{i}", i) for i in range(50))
        return [server.call("RANDOMKEY") for server in self.servers]

    def test_a_server_killed_and_returned(self):
        _, conn = self.start()
        keys = self.keys(conn)
        self.servers[0].kill()
        with self.assertRaisesRegex(Reply, "^ERR Connection refused"):
            conn.call("GET", keys[0])
        self.assertTrue(conn.call("GET", keys[1]))
        whole = conn.call("MGET", *keys)
        self.assertIsInstance(whole[0], Reply)
        self.assertTrue(whole[1])
        self.servers[0].start()
        wait_until(lambda: conn.call("SET", keys[0], "1") == b"OK", 10, "it is asked again")

    def test_a_silent_server(self):
        proxy, conn = self.start(timeout=500)
        keys = self.keys(conn)
        self.servers[0].pause()
        try:
            with self.assertRaisesRegex(Reply, "^ERR Connection timed out"):
                conn.call("GET", keys[0])
            self.assertTrue(conn.call("GET", keys[1]))
        finally:
            self.servers[0].resume()
        wait_until(lambda: conn.call("GET", keys[0]), 10, "it answers again")
        wait_until(lambda: proxy.show_stats()["alpha"]["s0"]["server_timedout"], 10, "the connection was closed")

    def test_ejection(self):
        proxy, conn = self.start(auto_eject_hosts="true", server_retry_timeout=1000, server_failure_limit=1)
        keys = self.keys(conn)
        self.servers[0].kill()
        wait_until(lambda: conn.call("SET", keys[0], "moved") == b"OK", 10, "its keys move")
        self.assertEqual(self.servers[1].call("GET", keys[0]), b"moved")
        stats = proxy.show_stats()["alpha"]
        self.assertEqual(stats["server_ejects"], 1)
        self.assertGreater(stats["s0"]["server_ejected_at"], 1e15)
        self.servers[0].start()
        wait_until(lambda: conn.call("GET", keys[0]) is None, 10, "it is back")

    def test_client_connections_limits(self):
        proxy, conn = self.start(client_connections=2)
        wait_until(lambda: proxy.show_stats()["alpha"]["client_connections"] == 1, 10)
        with Conn(self.port) as second:
            self.assertEqual(second.call("PING"), b"PONG")
            with Raw(self.port) as third:
                self.assertEqual(third.until_closed(), b"-ERR max number of clients reached\r\n")
        wait_until(lambda: self.one_more(), 10, "there is room again")
        self.assertEqual(conn.call("PING"), b"PONG")

    def one_more(self):
        with Conn(self.port) as conn:
            return conn.call("PING") == b"PONG"

    def test_no_increment_is_done_twice(self):
        _, conn = self.start()
        done = 0
        key = self.keys(conn)[0]
        conn.call("SET", key, "0")
        for _ in range(5):
            for _ in range(200):
                try:
                    conn.call("INCR", key)
                    done += 1
                except Reply:
                    pass
            self.servers[0].call("CLIENT", "KILL", "TYPE", "normal")
            self.servers[0].forget()
        value = int(self.servers[0].call("GET", key))
        self.assertGreaterEqual(value, done)
        self.assertLessEqual(value, 1000)


class Process(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        self.addCleanup(self.server.close)
        self.port = free_port()
        self.temp = TempDir("shard-proxy-")
        self.addCleanup(self.temp.close)

    def path(self, name):
        return os.path.join(self.temp.path, name)

    def run_proxy(self, *args):
        return subprocess.run([program("rproxy"), *args], capture_output=True, text=True, timeout=DEADLINE, check=False)

    def write(self, text):
        with open(self.path("n.yml"), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path("n.yml")

    def test_the_file_is_tested_with_reasons(self):
        good = self.run_proxy("-t", "-c", self.write(pool_text(self.port, [self.server])))
        self.assertEqual((good.returncode, "syntax is ok" in good.stderr), (0, True), good.stderr)
        bad = self.run_proxy("-t", "-c", self.write(pool_text(self.port, [self.server], hash="nosuch", timeut=1)))
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stderr, r"n.yml:\d+: pool 'alpha': directive \"hash\" is not a valid hash")
        self.assertRegex(bad.stderr, r"n.yml:\d+: pool 'alpha': directive \"timeut\" is unknown")
        self.assertEqual(self.run_proxy("-t", "-c", self.path("none")).returncode, 1)

    def test_usage(self):
        for args, text in ((["-x"], "invalid option"), (["-v", "12"], "from 0 to 11"), (["-m", "1"], "from 512"),
                           (["word"], "no argument"), (["-c", "x", "-l", "1"], "-u and -l are for"),
                           (["-t"], "-c FILE is wanted"), (["-l", "host:x"], "HOST:PORT"), (["-u", "x:y"], "scheme")):
            result = self.run_proxy(*args)
            self.assertEqual(result.returncode, 2, args)
            self.assertIn(text, result.stderr)
        self.assertIn("0.1.0", self.run_proxy("-V").stdout)
        self.assertIn("--strict", self.run_proxy("-h").stdout)
        self.assertIn("server_ejected_at", self.run_proxy("-D").stdout)

    def test_an_address_in_use(self):
        with socket.create_server((HOST, self.port)):
            result = self.run_proxy("-c", self.write(pool_text(self.port, [self.server])), "-s", str(free_port()))
        self.assertEqual(result.returncode, 2)
        self.assertIn("cannot be listened on: Address already in use", result.stderr)

    def test_threads_share_their_port_with_nobody_else(self):
        file = self.write(pool_text(self.port, [self.server]))
        with Proxy(pool_text(self.port, [self.server]), "--threads", "2", ready=self.port):
            result = self.run_proxy("-c", file, "-s", str(free_port()), "--threads", "2")
        self.assertEqual(result.returncode, 2)
        self.assertIn("cannot be listened on: Address already in use", result.stderr)

    def test_a_pid_file_that_cannot_be_written_leaves_no_socket(self):
        sock, pid_file = self.path("sock"), self.path("no/pid")
        result = self.run_proxy("-l", sock, "-u", self.server.uri, "-p", pid_file)
        self.assertEqual((result.returncode, len(result.stderr.splitlines())), (2, 1), result.stderr)
        self.assertIn(f"{pid_file}: the pid file cannot be written", result.stderr)
        self.assertFalse(os.path.exists(sock))

    def test_the_background(self):
        pid_file, log = self.path("pid"), self.path("log")
        file = self.write(pool_text(self.port, [self.server]))
        result = self.run_proxy("-d", "-c", file, "-p", pid_file, "-o", log, "-s", str(free_port()))
        self.assertEqual(result.returncode, 0, result.stderr)
        with open(pid_file, encoding="ascii") as opened:
            pid = int(opened.read())
        try:
            with Conn(self.port) as conn:
                self.assertEqual(conn.call("SET", "a", "1"), b"OK")
            os.rename(log, log + ".1")
            os.kill(pid, signal.SIGHUP)
            wait_until(lambda: os.path.exists(log), 10, "the log is opened anew")
            os.kill(pid, signal.SIGTTIN)
            wait_until(lambda: "verbosity is 6" in open(log, encoding="utf-8").read(), 10)
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not os.path.exists(f"/proc/{pid}"), 10, "it ends")
        self.assertFalse(os.path.exists(pid_file))

    def test_the_init_script(self):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/rproxy/rproxy.init")
        file = self.write(pool_text(self.port, [self.server]))
        with open(script, encoding="utf-8") as original:
            text = original.read().replace("/etc/default/rproxy", self.path("default"))
        with open(self.path("init"), "w", encoding="utf-8") as copy:
            copy.write(text)
        with open(self.path("default"), "w", encoding="utf-8") as default:
            default.write(f"RPROXY={program('rproxy')}\nCONF={file}\nPIDFILE={self.path('pid')}\nLOG={self.path('log')}\n"
                          f"OPTIONS='-s {free_port()}'\n")

        def init(verb):
            return subprocess.run(["sh", self.path("init"), verb], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=DEADLINE, check=False).returncode

        self.assertEqual(init("status"), 3)
        self.assertEqual(init("start"), 0)
        try:
            self.assertEqual((init("start"), init("status"), init("reload"), init("restart")), (0, 0, 0, 0))
            self.assertEqual(self.one_call(), b"PONG")
            self.write("wrong")
            self.assertNotEqual(init("reload"), 0)
            self.assertEqual(self.one_call(), b"PONG")
        finally:
            self.assertEqual(init("stop"), 0)
        self.assertEqual((init("status"), init("stop"), init("x")), (3, 0, 2))

    def one_call(self):
        with Conn(self.port) as conn:
            return conn.call("PING")

    def test_pools_of_every_kind(self):
        second = free_port()
        path = self.path("sock")
        text = (pool_text(self.port, [self.server], distribution="modula")
                + pool_text(second, [self.server], name="beta", distribution="random", hash_tag='"{}"')
                + f"gamma:\n  listen: {path} 0600\n  redis: true\n  redis_db: 3\n  servers:\n   - {self.server.addr}:1\n")
        with Proxy(text, ready=self.port):
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            for number, conn in enumerate((Conn(self.port), Conn(second), Conn(0, path=path))):
                with conn:
                    self.assertEqual(conn.call("SET", "a", number), b"OK")
                    self.assertEqual(conn.pipeline([["GET", "a"]] * 500), [b"%d" % number] * 500)
        self.assertFalse(os.path.exists(path))
        self.assertEqual(self.server.call("GET", "a"), b"1")
        self.assertIn("db3", self.server.info("keyspace"))

    def test_a_pool_of_memcached_servers_is_refused(self):
        text = pool_text(self.port, [self.server]).replace("redis: true", "redis: false")
        result = self.run_proxy("-c", self.write(text), "-s", str(free_port()))
        self.assertEqual(result.returncode, 2)
        self.assertIn("memcached", result.stderr)

    def test_reload(self):
        other = Server()
        self.addCleanup(other.close)
        with Proxy(pool_text(self.port, [self.server]), ready=self.port) as proxy, Conn(self.port) as conn:
            conn.call("SET", "a", "old")
            errors, stop = [], threading.Event()

            def load():
                with Conn(self.port) as mine:
                    while not stop.is_set():
                        try:
                            mine.call("SET", "b", "1")
                        except (Reply, OSError) as error:
                            errors.append(error)

            thread = threading.Thread(target=load)
            thread.start()
            proxy.write("alpha: wrong\n")
            proxy.signal(signal.SIGUSR1)
            wait_until(lambda: "not taken" in proxy.log_text(), 10)
            self.assertEqual(conn.call("GET", "a"), b"old")
            second = free_port()
            proxy.write(pool_text(self.port, [other]) + pool_text(second, [self.server], name="beta"))
            proxy.signal(signal.SIGUSR1)
            wait_until(lambda: "read again" in proxy.log_text(), 10)
            self.assertIsNone(conn.call("GET", "a"))
            with Conn(second) as more:
                self.assertEqual(more.call("GET", "a"), b"old")
            proxy.write(pool_text(self.port, [self.server]))
            proxy.signal(signal.SIGUSR1)
            wait_until(lambda: conn.call("GET", "a") == b"old", 10)
            with self.assertRaises(OSError):
                Conn(second).call("PING")
            stop.set()
            thread.join()
            self.assertEqual(errors, [])

    def test_threads(self):
        with Proxy(pool_text(self.port, [self.server]), "--threads", "3", ready=self.port) as proxy:
            conns = [Conn(self.port) for _ in range(60)]
            for i, conn in enumerate(conns):
                self.assertEqual(conn.call("INCR", "n"), i + 1)
            self.assertEqual(proxy.show_stats()["alpha"]["client_connections"], 60)
            self.assertGreater(len([c for c in self.server.call("CLIENT", "LIST").splitlines() if b"cmd=incr" in c]), 1)
            for conn in conns:
                conn.close()

    def test_users(self):
        self.server.call("ACL", "SETUSER", "app", "on", ">secret", "allkeys", "+@all")
        text = pool_text(self.port, [self.server], redis_auth="secret", redis_user="app")
        with Proxy(text, ready=self.port), Conn(self.port) as conn:
            for words, code in ((["GET", "a"], "NOAUTH"), (["AUTH", "x", "secret"], "WRONGPASS"),
                                (["AUTH", "app", "x"], "WRONGPASS"), (["HELLO", "2"], "NOAUTH")):
                with self.assertRaisesRegex(Reply, code):
                    conn.call(*words)
            self.assertEqual(conn.call("AUTH", "app", "secret"), b"OK")
            self.assertEqual(conn.call("SET", "a", "1"), b"OK")
            with Conn(self.port) as second:
                self.assertTrue(second.call("HELLO", "2", "AUTH", "app", "secret"))
                self.assertEqual(second.call("GET", "a"), b"1")
            large = encode(["SET", "a", "x" * 200000])
            with Raw(self.port) as raw:
                raw.send(large[:200])
                self.assertEqual(raw.until_closed(), b"-ERR Protocol error: too large a request before AUTH\r\n")
            with Raw(self.port) as raw:
                raw.send(encode(["AUTH", "app", "secret"]) + large)
                self.assertEqual(raw.take(10), b"+OK\r\n+OK\r\n")

    def test_statistics(self):
        metrics = free_port()
        with Proxy(pool_text(self.port, [self.server]), "--metrics", f"{HOST}:{metrics}", "--slow", "50") as proxy, \
                Conn(self.port) as conn:
            conn.pipeline([["SET", "a", "1"], ["GET", "a"], ["MGET", "a", "b"], ["GET", "a", "b"]])
            conn.call("BLPOP", "none", "0.1")
            stats = proxy.show_stats()
            self.assertEqual(stats["service"], "nutcracker")
            self.assertEqual(stats["alpha"]["client_connections"], 1)
            server = stats["alpha"]["s0"]
            self.assertEqual((server["requests"], server["server_connections"], server["out_queue"]), (5, 2, 0))
            with urllib.request.urlopen(f"http://{HOST}:{metrics}/metrics", timeout=10) as answer:
                text = answer.read().decode()
            self.assertIn('rproxy_command_seconds_count{pool="alpha",command="set"} 1\n', text)
            self.assertIn('rproxy_command_seconds_bucket{pool="alpha",command="set",le="+Inf"} 1\n', text)
            self.assertIn('rproxy_server_seconds_count{pool="alpha",server="s0"}', text)
            self.assertIn('rproxy_client_connections{pool="alpha"} 1\n', text)
            with self.assertRaises(urllib.error.HTTPError):
                urllib.request.urlopen(f"http://{HOST}:{metrics}/", timeout=10)
            self.assertRegex(proxy.log_text(), "slow: pool alpha: other took")


if __name__ == "__main__":
    unittest.main(verbosity=2)
