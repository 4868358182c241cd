/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>

#define CHUNK 16384

void arena_init(struct arena *arena)
{
	arena->at = arena->end = NULL;
	arena->chunk = NULL;
	arena->exhausted = false;
}

static void free_chunks(struct arena_chunk *chunk)
{
	while (chunk) {
		struct arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void arena_finish(struct arena *arena)
{
	free_chunks(arena->chunk);
	arena_init(arena);
}

void *arena_grow(struct arena *arena, size_t size)
{
	size_t room = CHUNK;
	struct arena_chunk *chunk;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + 15) & ~(size_t)15;
	/* An array of thousands of small parts wants ever larger chunks. */
	if (arena->chunk && arena->chunk->size >= CHUNK && arena->chunk->size < 1 << 20)
		room = arena->chunk->size * 2;
	if (room < size)
		room = size;
	chunk = malloc(sizeof(*chunk) + room);
	if (!chunk) {
		arena->exhausted = true;
		return NULL;
	}
	chunk->size = room;
	chunk->next = arena->chunk;
	arena->chunk = chunk;
	arena->at = chunk->data + size;
	arena->end = chunk->data + room;
	return chunk->data;
}

void arena_reset_slow(struct arena *arena)
{
	struct arena_chunk *keep = NULL;

	for (struct arena_chunk *chunk = arena->chunk, *next; chunk; chunk = next) {
		next = chunk->next;
		if (!next && chunk->size <= 65536)
			keep = chunk;
		else
			free(chunk);
	}
	arena->chunk = keep;
	arena->at = keep ? keep->data : NULL;
	arena->end = keep ? keep->data + keep->size : NULL;
}
