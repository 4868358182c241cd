/* SPDX-License-Identifier: MIT */
/*
 * How many hashes or keys go from which server to which one.
 */
#ifndef RSLOTS_MOVES_H
#define RSLOTS_MOVES_H

#include <stddef.h>
#include <stdint.h>

struct move {
	int from, to;   /* indices of servers */
	uint64_t count; /* 0: the place is free */
};

struct moves {
	struct move *move; /* open addressing, linear probing; at most half full */
	size_t size, used; /* size: a power of two, or 0 */
	uint64_t moved;    /* the sum of all counts */
};

void moves_add(struct moves *moves, int from, int to, uint64_t count);
void moves_finish(struct moves *moves);

/* The largest first, then in the order of servers: move[0..used-1]. Nothing can be added any more. */
void moves_sort(struct moves *moves);

#endif
