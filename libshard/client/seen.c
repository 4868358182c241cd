/* SPDX-License-Identifier: MIT */
#include "client/seen.h"

#include <stdlib.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define FIRST_SIZE 4096
#define HASH_RUN 16

static bool grow(struct seen *seen)
{
	size_t size = seen->size ? seen->size * 2 : FIRST_SIZE;
	uint64_t *cell = calloc(size, sizeof(*cell));

	if (!cell)
		return false;
	for (size_t i = 0; i < seen->size; i++) {
		size_t at = seen->cell[i] & (size - 1);

		if (!seen->cell[i])
			continue;
		while (cell[at])
			at = (at + 1) & (size - 1);
		cell[at] = seen->cell[i];
	}
	free(seen->cell);
	seen->cell = cell;
	seen->size = size;
	return true;
}

/* 1: new; 0: seen before; -1: no memory. */
static int add(struct seen *seen, uint64_t hash)
{
	size_t at;

	if (seen->used * 4 >= seen->size * 3 && !grow(seen))
		return -1;
	for (at = hash & (seen->size - 1); seen->cell[at]; at = (at + 1) & (seen->size - 1))
		if (seen->cell[at] == hash)
			return 0;
	seen->cell[at] = hash;
	seen->used++;
	return 1;
}

bool seen_filter(struct seen *seen, shard_reply *keys)
{
	shard_reply *key = (shard_reply *)keys->element;
	size_t kept = 0;

	for (size_t from = 0; from < keys->len; from += HASH_RUN) {
		size_t run = keys->len - from < HASH_RUN ? keys->len - from : HASH_RUN;
		uint64_t hash[HASH_RUN];

		/* A cell is a miss of the caches: many at once cost hardly more than one. */
		for (size_t i = 0; i < run; i++) {
			hash[i] = XXH3_64bits(key[from + i].str, key[from + i].len);
			hash[i] += !hash[i];
			if (seen->cell)
				__builtin_prefetch(&seen->cell[hash[i] & (seen->size - 1)], 1);
		}
		for (size_t i = 0; i < run; i++) {
			int fresh = add(seen, hash[i]);

			if (fresh < 0)
				return false;
			if (fresh)
				key[kept++] = key[from + i];
		}
	}
	keys->len = kept;
	return true;
}

void seen_finish(struct seen *seen)
{
	free(seen->cell);
	*seen = (struct seen){0};
}
