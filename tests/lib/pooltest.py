# SPDX-License-Identifier: MIT
"""Pools of real plain servers, and their nutcracker.yml."""

import os

from shardtest import Server, TempDir


class Pool:
    """SERVERS redis-servers under the names s0, s1, ... in a file of one pool, "alpha"."""

    def __init__(self, servers=3, unix=False, password=None, db=0, **directives):
        self.servers, self.weights = [], [1] * servers
        self.dir = TempDir("shard-pool-")
        self.path = os.path.join(self.dir.path, "nutcracker.yml")
        self.unix = unix
        self.directives = {"listen": "127.0.0.1:22121", "redis": "true", "hash": "murmur", **directives}
        if password:
            self.directives["redis_auth"] = password
        if db:
            self.directives["redis_db"] = db
        try:
            for _ in range(servers):
                self.servers.append(Server(password=password, unix=unix))
            self.write()
        except BaseException:
            self.close()
            raise

    @property
    def uri(self):
        return "twemproxy:" + self.path

    def text(self):
        lines = ["alpha:"] + [f"  {key}: {value}" for key, value in self.directives.items()] + ["  servers:"]
        for i, (server, weight) in enumerate(zip(self.servers, self.weights)):
            address = server.path if self.unix else f"127.0.0.1:{server.port}"
            lines.append(f"   - {address}:{weight} s{i}")
        return "\n".join(lines) + "\n"

    def write(self):
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(self.text())

    def holders(self, key):
        """Which servers have the key."""
        return [i for i, server in enumerate(self.servers) if server.call("EXISTS", key)]

    def flush(self):
        for server in self.servers:
            server.call("FLUSHALL")

    def close(self):
        for server in self.servers:
            server.close()
        self.dir.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
