/* SPDX-License-Identifier: MIT */
/*
 * What moves between two pools: of all keys that there can be.
 */
#ifndef RSLOTS_COMPARE_H
#define RSLOTS_COMPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "rslots_layout.h"
#include "rslots_moves.h"

struct compare {
	const struct layout *from, *to;
	/* Which machine each server is: the same number in both where the address is the same. */
	unsigned *from_machine, *to_machine;
	struct moves moves;
	uint64_t total; /* the moves' counts are of so many */
	bool sampled;   /* they are keys that were tried, else all hashes */
};

/* Both layouts are borrowed. */
void compare_init(struct compare *compare, const struct layout *from, const struct layout *to);
void compare_finish(struct compare *compare);

/* Whether a key of these servers is asked for at another machine. */
static inline bool compare_moves(const struct compare *compare, int from, int to)
{
	return compare->from_machine[from] != compare->to_machine[to];
}

/* One key more. */
void compare_key(struct compare *compare, const void *key, size_t len);

/*
 * All keys without a hash tag: exact where both layouts have stretches for the
 * same hash (or a server alone) and the work is bounded, else sampled.
 */
void compare_all(struct compare *compare);

/* Random keys with a tag between these two bytes, after which counts are of keys that were tried. */
void compare_tagged(struct compare *compare, const char tag[2]);

/* By how much a sampled share is off, at most, 19 times of 20. */
double compare_error(const struct compare *compare);

#endif
