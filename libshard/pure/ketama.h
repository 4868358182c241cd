/* SPDX-License-Identifier: MIT */
/*
 * Ketama's points as twemproxy has them, and who has the first point at or
 * behind a hash.
 *
 * A table cuts all hashes into buckets, two or three for each point. What is
 * known of a bucket fits into 32 bits: who has the first point from its start
 * on, and where in it that point lies. Behind that point begins what the next
 * bucket says, unless there are several. So nearly every hash is found by two
 * words side by side and a comparison that no branch depends on.
 */
#ifndef PURE_KETAMA_H
#define PURE_KETAMA_H

#include <stddef.h>
#include <stdint.h>

#define KETAMA_NOBODY 0xffff

struct ketama_server {
	const char *name;
	size_t name_len;
	unsigned weight;
	unsigned index; /* what it is called; below KETAMA_NOBODY */
};

struct ketama {
	uint32_t *bucket; /* KETAMA_MANY, 15 bits of where its first point lies, 16 of who has it; one more behind */
	unsigned bits;    /* how many of a hash choose the bucket: at least 1 */
	uint64_t *point;  /* value << 16 | index, sorted; one behind them stands for the first: the ring closes */
	size_t count;     /* of points */
	uint32_t *group;  /* for every KETAMA_GROUP buckets: the first point from there on */
};

#define KETAMA_GROUP 16
#define KETAMA_MANY 0x80000000
/* How much of the way through a bucket its entry can tell. */
#define KETAMA_PLACE_BITS 15

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

static inline uint32_t ketama_place(const struct ketama *ketama, uint32_t hash)
{
	return hash << ketama->bits >> (32 - KETAMA_PLACE_BITS);
}

/* By the points themselves. */
unsigned ketama_search(const struct ketama *ketama, uint32_t hash);

/* Who has HASH; KETAMA_NOBODY: there are no points. */
static inline unsigned ketama_find(const struct ketama *ketama, uint32_t hash)
{
	const uint32_t *bucket = ketama->bucket + (hash >> (32 - ketama->bits));
	uint32_t first = bucket[0], next = bucket[1];
	uint32_t place = ketama_place(ketama, hash), of_first = first >> 16 & 0x7fff;
	/* Places that the entry cannot judge: from the first point on where there are more, else that one's. */
	uint32_t unclear = first & KETAMA_MANY ? 0x8000 : 1;

	if (__builtin_expect(place - of_first < unclear, 0))
		return ketama_search(ketama, hash);
	return (place < of_first ? first : next) & 0xffff;
}

#endif
