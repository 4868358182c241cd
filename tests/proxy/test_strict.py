# SPDX-License-Identifier: MIT
"""rproxy --strict and nutcracker, command by command: the same bytes in, the same bytes out, the same server asked."""

import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from proxylib import HOST, Conn, Proxy, Raw, Server, exchange, free_port, pool_text  # noqa: E402
from nutcracker import Nutcracker  # noqa: E402
from shardtest import Reply, encode, wait_until  # noqa: E402

END = (encode(["GET", "the-end"]), b"$7\r\nthe-end\r\n")

COMMANDS = """append auth bitcount bitfield bitop bitpos blpop client command config copy dbsize decr decrby del discard
dump echo eval evalsha exec exists expire expireat expiretime flushall flushdb geoadd geodist geohash geopos georadius
georadiusbymember geosearch geosearchstore get getbit getdel getex getrange getset hdel hello hexists hget hgetall hincrby
hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset hsetnx hstrlen hvals incr incrby incrbyfloat info keys lcs lindex
linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim mget move mset msetnx multi nosuch object persist
pexpire pexpireat pfadd pfcount pfmerge ping psetex psubscribe pttl publish quit randomkey rename renamenx restore
restore-asking rpop rpoplpush rpush rpushx sadd scan scard script sdiff sdiffstore select set setbit setex setnx setrange
sinter sintercard sinterstore sismember smembers smismember smove sort sort_ro spop srandmember srem sscan strlen substr
subscribe sunion sunionstore time touch ttl type unlink unsubscribe unwatch wait watch xadd xlen xrange zadd zcard zcount
zdiff zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin zrandmember zrange
zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex zremrangebyrank zremrangebyscore zrevrange zrevrangebylex
zrevrangebyscore zrevrank zscan zscore zunion zunionstore""".split()

# Where ours differs from nutcracker on purpose.
DIFFERS = {
    ("zdiff", "zinter", "zunion"): "nutcracker hashes numkeys instead of a key",
}
RANDOM = ("hrandfield", "srandmember", "spop", "zrandmember")  # not the same twice


class Strict(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.servers = [Server() for _ in range(3)]
        cls.ports = free_port(), free_port()
        cls.addClassCleanup(lambda: [s.close() for s in cls.servers])
        more = {"hash": "fnv1a_64", "timeout": 5000}
        cls.ours = Proxy(pool_text(cls.ports[0], cls.servers, **more), "--strict")
        cls.addClassCleanup(cls.ours.close)
        cls.theirs = Nutcracker(pool_text(cls.ports[1], cls.servers, **more))
        cls.addClassCleanup(cls.theirs.close)
        wait_until(lambda: Raw(cls.ports[1]).close() or True, 10, "nutcracker listens")

    def setUp(self):
        self.flush()

    def flush(self):
        for server in self.servers:
            server.call("FLUSHALL")
            server.call("SCRIPT", "FLUSH")
        for port in self.ports:
            with Conn(port) as conn:
                conn.call("SET", "the-end", "the-end")

    def content(self):
        """What is on which server."""
        found = []
        for server in self.servers:
            keys = sorted(server.call("KEYS", "*"))
            found.append([(key, server.call("TYPE", key), server.call("DUMP", key)) for key in keys])
        return found

    def asked(self):
        """How often each server was asked for a command by others than us."""
        counts = []
        for server in self.servers:
            stats = server.info("commandstats")
            counts.append({k: v.split(",")[0] for k, v in stats.items()
                           if k[len("cmdstat_"):] not in ("info", "keys", "flushall", "dump", "type", "config|resetstat",
                                                          "script|flush", "ping", "time")})
            server.call("CONFIG", "RESETSTAT")
        return counts

    def both(self, data):
        """(what came back, what is on the servers, who was asked) by ours and by theirs."""
        results = []
        for port in self.ports:
            self.flush()
            for server in self.servers:
                server.call("CONFIG", "RESETSTAT")
            reply = exchange(port, data, END)
            results.append((reply, self.asked(), self.content()))
        return results

    def same(self, name, data):
        ours, theirs = self.both(data)
        if name in RANDOM:
            ours, theirs = (ours[0] is None, ours[1:]), (theirs[0] is None, theirs[1:])
        self.assertEqual(ours, theirs, f"{data!r}")

    def test_every_command_with_one_to_six_words(self):
        skipped = {name for names in DIFFERS for name in names}
        for name in COMMANDS:
            if name in skipped:
                continue
            with self.subTest(name):
                for words in range(1, 7):
                    line = [name.upper() if words % 2 else name, "1", "2", "3", "4", "5"][:words]
                    self.same(name, encode(line))

    def test_real_values(self):
        for lines in (
            [["SET", "a", "1"], ["GET", "a"], ["GETSET", "a", "2"], ["STRLEN", "a"], ["APPEND", "a", "xyz"]],
            [["MSET", "a", "1", "b", "2", "c", "3", "d", "4"], ["MGET", "d", "c", "b", "a", "no", "a"]],
            [["MSET", "a", "1", "b", "2", "c", "3"], ["DEL", "a", "b", "no", "a"], ["TOUCH", "c", "no"], ["UNLINK", "c", "c"]],
            [["MSET", "a", "1", "a"]], [["MSET", "a"]], [["MGET"]],
            [["LPUSH", "l", "a", "b", ""], ["LRANGE", "l", "0", "-1"], ["LPOP", "l", "9"], ["LPOP", "l", "9"], ["LPOP", "l"]],
            [["ZADD", "z", "1", "a", "2", "b"], ["ZRANGE", "z", "0", "-1", "WITHSCORES"], ["ZADD", "z", "x", "a"]],
            [["GEOADD", "g", "13", "38", "p"], ["GEOPOS", "g", "p", "q"], ["GEOHASH", "g", "p", "q"]],
            [["EVAL", "return {KEYS[1],ARGV[1],{1,{2}},false}", "1", "k", "v"], ["EVAL", "return 1", "0"]],
            [["EVAL", "return redis.call('set',KEYS[1],'x')", "1", "k"], ["EVALSHA", "x" * 40, "1", "k"]],
            [["SET", "k\0\r\n", "v\0\r\n"], ["GET", "k\0\r\n"]], [["SET", "", ""], ["GET", ""]],
            [["SADD", "s1", "a"], ["SADD", "s2", "b"], ["SUNION", "s1", "s2"], ["SUNIONSTORE", "s3", "s1", "s2"]],
            [["HSET", "h", "f", "v"], ["HGETALL", "h"], ["INCR", "h"], ["TYPE", "h"], ["HSCAN", "h", "0"]],
            [["SORT", "a", "BY", "x", "LIMIT", "0", "1"], ["RPOPLPUSH", "a", "b"], ["PFADD", "p", "1"], ["PFCOUNT", "p"]],
            [["PING"], ["SET", "a", "x" * 100000], ["GET", "a"], ["PING"]],
        ):
            with self.subTest(lines[0]):
                self.same(lines[0][0], b"".join(encode(line) for line in lines))

    def test_bytes_that_are_no_request(self):
        for data in (b"PING\r\n", b"*0\r\n", b"*-1\r\n", b"*x\r\n", b"*1\r\n+PING\r\n", b"*1\r\n$x\r\n", b"\r\n", b"\0",
                     b"*1\r\n$4\r\nPINGxx", b"*1\n$4\nPING\n", b"$4\r\nPING\r\n", b"*2\r\n$3\r\nGET\r\n$-1\r\n"):
            with self.subTest(data):
                # Without a request behind it, for that may become part of it.
                ends = []
                for port in self.ports:
                    with Raw(port) as raw:
                        raw.send(data)
                        ends.append(raw.until_closed())
                self.assertEqual(ends[0], ends[1])

    def test_quit_closes_behind_what_is_due(self):
        for port in self.ports:
            with Raw(port) as raw:
                raw.send(encode(["GET", "the-end"]) + encode(["QUIT"]) + encode(["GET", "the-end"]))
                self.assertEqual(raw.until_closed(), END[1], port)

    def test_passwords(self):
        servers = [Server(password="secret") for _ in range(2)]
        self.addCleanup(lambda: [s.close() for s in servers])
        ports = free_port(), free_port()
        lines = [["GET", "a"], ["PING"], ["AUTH", "wrong"], ["GET", "a"], ["AUTH", "secret"], ["SET", "a", "1"], ["GET", "a"],
                 ["AUTH", "wrong"], ["GET", "a"], ["AUTH", "secret"], ["AUTH", "secret"], ["PING"]]
        with Proxy(pool_text(ports[0], servers, redis_auth="secret"), "--strict"), \
                Nutcracker(pool_text(ports[1], servers, redis_auth="secret")):
            replies = []
            for port in ports:
                wait_until(lambda: Raw(port).close() or True, 10)  # noqa: B023
                with Conn(port) as conn:
                    replies.append([str(r) if isinstance(r, Reply) else r for r in map(self.ask(conn), lines)])
        self.assertEqual(replies[0], replies[1])

    @staticmethod
    def ask(conn):
        def call(line):
            conn.send(*line)
            return conn.read()

        return call

    def test_auth_without_a_password(self):
        self.same("auth", encode(["AUTH", "x"]))

    def test_a_server_that_is_not_there(self):
        gone = free_port()
        ports = free_port(), free_port()
        more = {"auto_eject_hosts": "false"}
        with Proxy(pool_text(ports[0], [f"{HOST}:{gone}"], **more), "--strict"), \
                Nutcracker(pool_text(ports[1], [f"{HOST}:{gone}"], **more)):
            for line in (["GET", "a"], ["MGET", "a", "b"], ["DEL", "a", "b"], ["MSET", "a", "1", "b", "2"], ["INCR", "a"]):
                replies = []
                for port in ports:
                    wait_until(lambda: Raw(port).close() or True, 10)  # noqa: B023
                    with Conn(port) as conn:
                        conn.send(*line)
                        replies.append(str(conn.read()))
                self.assertEqual(replies[0], replies[1], line)


if __name__ == "__main__":
    unittest.main(verbosity=2)
