/* SPDX-License-Identifier: MIT */
/* twemproxy's ketama, written as slowly and plainly as it can be, for comparison. */
#ifndef TESTS_RING_SLOW_H
#define TESTS_RING_SLOW_H

#include <stddef.h>
#include <stdint.h>

#include <shard/ring.h>

struct slow_point {
	uint32_t value;
	size_t place; /* of its server among the names, length first */
	int server;
};

struct slow_ring {
	struct slow_point *point; /* sorted */
	size_t count;
};

/* How many points a server has. LIVE: how many servers are not ejected; TOTAL: their weights. */
size_t slow_points_of(unsigned weight, unsigned total, size_t live);

struct slow_ring slow_ring_create(const shard_ring_server *servers, size_t count);
void slow_ring_free(struct slow_ring *ring);

/* By a plain binary search. -1: there is no point. */
int slow_ring_route(const struct slow_ring *ring, uint32_t hash);

/* How many of all 2^32 hashes are SERVER's. */
uint64_t slow_ring_width(const struct slow_ring *ring, int server);

#endif
