/* SPDX-License-Identifier: MIT */
/*
 * Which hashes belong to which server of a pool.
 */
#ifndef RSLOTS_LAYOUT_H
#define RSLOTS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/pool.h>

/* Hashes from the end of the stretch before it up to END, which is not in it. */
struct stretch {
	uint64_t end;
	int server;
};

struct layout {
	const char *path; /* of the pool's file */
	const shard_pool *pool;
	shard_ring *ring;
	uint64_t hashes; /* so many values the hash has: 0 to hashes - 1 */
	/*
	 * ketama, modula, and a server alone: the hash space in stretches, of
	 * which no two neighbours have the same server. They come again from
	 * `period` (the end of the last) on. Others have none (count 0).
	 */
	struct stretch *stretch;
	size_t count;
	uint64_t period;
};

/*
 * The layout of a pool (borrowed) of the file at PATH. Warns about a hash that does not go with its distribution.
 * Returns whether it could be made; else that was reported. layout_finish() is for both cases.
 */
bool layout_init(struct layout *layout, const char *path, const shard_pool *pool);
void layout_finish(struct layout *layout);

/* Whether a key has a place there: not with `distribution: random`. Else that is reported. */
bool layout_has_places(const struct layout *layout);

/* How many hashes below LIMIT are, modulo PERIOD, from START up to END (excluded). */
uint64_t layout_times(uint64_t start, uint64_t end, uint64_t period, uint64_t limit);

/* The share of all keys of each server, 0 to 1: SHARE has room for all. Exact where there are stretches. */
void layout_shares(const struct layout *layout, double *share);

#endif
