/* SPDX-License-Identifier: MIT */
#include "know/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

void pool_reader_finish(struct pool_reader *reader)
{
	for (size_t i = 0; i < reader->count; i++)
		free(reader->draft[i].server);
	free(reader->draft);
	for (size_t i = 0; i < reader->mistake_count; i++)
		free(reader->mistake[i].text);
	free(reader->mistake);
	arena_finish(&reader->arena);
}

bool pool_reader_no_memory(const struct pool_reader *reader)
{
	return reader->no_memory || reader->arena.exhausted;
}

void *pool_reader_grow(struct pool_reader *reader, void *array, size_t count, size_t *room, size_t size)
{
	void *grown;

	if (count < *room)
		return array;
	grown = reallocarray(array, *room ? *room * 2 : 8, size);
	if (!grown) {
		reader->no_memory = true;
		return NULL;
	}
	*room = *room ? *room * 2 : 8;
	return grown;
}

char *pool_reader_copy(struct pool_reader *reader, struct shard__text text)
{
	char *copy = arena_alloc(&reader->arena, text.len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, text.at, text.len);
	copy[text.len] = 0;
	return copy;
}

static const shard_pool defaults = {
	.hash = SHARD_HASH_FNV1A_64,
	.distribution = SHARD_KETAMA,
	.timeout_ms = 5000,
	.backlog = 512,
	.server_connections = 1,
	.server_retry_timeout = 30000,
	.server_failure_limit = 2,
};

struct pool_draft *pool_reader_add(struct pool_reader *reader, struct shard__text name, unsigned line)
{
	struct pool_draft *grown =
		pool_reader_grow(reader, reader->draft, reader->count, &reader->room, sizeof(*reader->draft));
	struct pool_draft *draft;

	if (!grown)
		return NULL;
	reader->draft = grown;
	draft = &grown[reader->count];
	*draft = (struct pool_draft){.pool = defaults};
	draft->pool.line = line;
	draft->pool.name = pool_reader_copy(reader, name);
	if (!draft->pool.name)
		return NULL;
	reader->count++;
	return draft;
}
