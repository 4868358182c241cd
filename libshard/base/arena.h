/* SPDX-License-Identifier: MIT */
/* Memory that is given back all at once: a reply lives in the arena of its connection until its callback returns. */
#ifndef SHARD_BASE_ARENA_H
#define SHARD_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

struct arena_chunk;

struct arena {
	char *at, *end;
	struct arena_chunk *chunk; /* the newest first; the oldest is kept over a reset */
	bool exhausted;            /* there was no memory once */
};

void arena_init(struct arena *arena);
void arena_finish(struct arena *arena);
void *arena_grow(struct arena *arena, size_t size); /* private to arena_alloc() */
void arena_reset_slow(struct arena *arena);         /* private to arena_reset() */

/* SIZE bytes, aligned for any type; NULL when out of memory. */
static inline void *arena_alloc(struct arena *arena, size_t size)
{
	char *p = arena->at;

	if (size > (size_t)(arena->end - p))
		return arena_grow(arena, size);
	arena->at = p + ((size + 15) & ~(size_t)15);
	if (arena->at > arena->end)
		arena->at = arena->end;
	return p;
}

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	_Alignas(16) char data[];
};

static inline void arena_reset(struct arena *arena)
{
	if (!arena->chunk)
		return;
	if (arena->chunk->next || arena->chunk->size > 65536)
		arena_reset_slow(arena);
	else
		arena->at = arena->chunk->data;
}

#endif
