/* SPDX-License-Identifier: MIT */
/* What tests of rings share. */
#ifndef TESTS_RING_HELP_H
#define TESTS_RING_HELP_H

#include <stddef.h>

#include <shard/ring.h>

/* A ring without a hash tag; the test fails where there is none. */
shard_ring *ring_of(int distribution, int hash, const shard_ring_server *servers, size_t count);

/* COUNT servers "server1", "server2", ... of weight 1; the caller frees them, names and all. */
shard_ring_server *ring_servers(size_t count);

int ring_route_text(const shard_ring *ring, const char *key);

#endif
