/* SPDX-License-Identifier: MIT */
/*
 * Ketama's points as twemproxy has them, and who has the first point at or
 * behind a hash.
 *
 * A table cuts all hashes into buckets, two to six for each point. What is
 * known of a bucket fits into 16 bits: who has the first point from its start
 * on, and where in it that point lies, as exactly as the bits that are left can
 * tell. Behind that point begins what the next bucket says, unless there are
 * several. So nearly every hash is found by two words side by side and a
 * comparison that no branch depends on; for the rest there are the points.
 */
#ifndef PURE_KETAMA_H
#define PURE_KETAMA_H

#include <stddef.h>
#include <stdint.h>

struct ketama_server {
	const char *name;
	size_t name_len;
	unsigned weight;
	unsigned index; /* what it is called; below 65535 */
};

struct ketama {
	uint16_t *bucket;    /* KETAMA_MANY, who has its first point, where it lies; one more behind them all */
	unsigned bits;       /* how many of a hash choose the bucket: at least 1 */
	unsigned place_bits; /* how many of a bucket say where */
	uint64_t *point;     /* value << 16 | index, sorted; one behind them stands for the first: the ring closes */
	size_t count;        /* of points */
	uint32_t *group;     /* for every KETAMA_GROUP buckets: the first point from there on */
};

#define KETAMA_MANY 0x8000
#define KETAMA_GROUP 16

/*
 * Points of equal value go in the order of SERVERS. WEIGHT: the sum of theirs.
 * Returns SHARD_OK or SHARD_ENOMEM; either way ketama_finish() is due.
 */
int ketama_init(struct ketama *ketama, const struct ketama_server *servers, size_t count, uint64_t weight);
void ketama_finish(struct ketama *ketama);

/* Adds to WIDTH, by index, how many of all 2^32 hashes each server has. */
void ketama_widths(const struct ketama *ketama, uint64_t *width);

static inline uint32_t ketama_value(uint64_t point)
{
	return (uint32_t)(point >> 16);
}

static inline unsigned ketama_index(uint64_t point)
{
	return point & 0xffff;
}

/* Where in its bucket a hash lies. */
static inline uint32_t ketama_place(const struct ketama *ketama, uint32_t hash)
{
	return (uint32_t)((uint64_t)(hash << ketama->bits) >> (32 - ketama->place_bits));
}

/* By the points themselves. There is at least one. */
unsigned ketama_search(const struct ketama *ketama, uint32_t hash);

/* Who has HASH. There is at least one point. */
static inline unsigned ketama_find(const struct ketama *ketama, uint32_t hash)
{
	const uint16_t *bucket = ketama->bucket + (hash >> (32 - ketama->bits));
	unsigned first = bucket[0], next = bucket[1], bits = ketama->place_bits;
	uint32_t place = ketama_place(ketama, hash), of_first = first & ((1u << bits) - 1);

	/* What the word cannot judge: a hash in the place of the point, or behind it where there are more. */
	if (__builtin_expect(place - of_first < ((first & KETAMA_MANY) | 1), 0))
		return ketama_search(ketama, hash);
	return ((place < of_first ? first : next) & (KETAMA_MANY - 1)) >> bits;
}

#endif
