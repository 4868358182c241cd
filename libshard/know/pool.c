/* SPDX-License-Identifier: MIT */
#include <shard/pool.h>

#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "know/pool.h"

#define NAMES_MAX 20

static const shard_pool *by_name(const shard_pool_file *file, const char *name)
{
	for (size_t i = 0; i < file->pool_count; i++)
		if (strcmp(file->pool[i].name, name) == 0)
			return &file->pool[i];
	return NULL;
}

/* "alpha, beta, gamma" */
static void list_names(struct strbuf *out, const shard_pool_file *file)
{
	for (size_t i = 0; i < file->pool_count && i < NAMES_MAX; i++) {
		strbuf_string(out, i ? ", " : "");
		strbuf_string(out, pool_quote_string(file->pool[i].name).text);
	}
	if (file->pool_count > NAMES_MAX) {
		strbuf_string(out, " and ");
		strbuf_number(out, file->pool_count - NAMES_MAX);
		strbuf_string(out, " more");
	}
}

static char *why_not(const shard_pool_file *file, const char *name)
{
	struct strbuf out = {0};

	pool_quote_all(&out, file->path);
	if (name) {
		strbuf_string(&out, ": has no pool '");
		strbuf_string(&out, pool_quote_string(name).text);
		strbuf_string(&out, "'; it has ");
	} else {
		strbuf_string(&out, ": has several pools, name one of them: ");
	}
	list_names(&out, file);
	return strbuf_take(&out);
}

const shard_pool *shard_pool_find(const shard_pool_file *file, const char *name, char **why)
{
	const shard_pool *found;

	if (name)
		found = by_name(file, name);
	else
		found = file->pool_count == 1 ? &file->pool[0] : NULL;
	if (why)
		*why = found ? NULL : why_not(file, name);
	return found;
}

int shard_pool_ring(const shard_pool *pool, const bool *ejected, shard_ring **ring)
{
	shard_ring_options options = {
		.distribution = pool->distribution,
		.hash = pool->hash,
		.hash_tag = {pool->hash_tag[0], pool->hash_tag[1]},
	};
	shard_ring_server *servers = reallocarray(NULL, pool->server_count + 1, sizeof(*servers));
	int error;

	*ring = NULL;
	if (!servers)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < pool->server_count; i++)
		servers[i] = (shard_ring_server){
			.name = pool->server[i].name,
			.weight = pool->server[i].weight,
			.ejected = ejected && ejected[i],
		};
	error = shard_ring_create(ring, &options, servers, pool->server_count);
	free(servers);
	return error;
}
