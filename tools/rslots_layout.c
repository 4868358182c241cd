/* SPDX-License-Identifier: MIT */
#include "rslots_layout.h"

#include <stdlib.h>

#include "cli.h"

#define HASHES (UINT64_C(1) << 32)
#define HASHES_CRC32 (UINT64_C(1) << 15)

/* ---- stretches ---- */

static void add(struct layout *layout, uint64_t end, int server)
{
	uint64_t start = layout->period;

	if (end > layout->hashes)
		end = layout->hashes;
	if (end <= start) /* a point that another one hides, or one behind the last hash */
		return;
	layout->period = end;
	if (layout->count && layout->stretch[layout->count - 1].server == server)
		layout->stretch[layout->count - 1].end = end;
	else
		layout->stretch[layout->count++] = (struct stretch){end, server};
}

static void reserve(struct layout *layout, size_t count)
{
	layout->stretch = cli_alloc(count * sizeof(*layout->stretch));
}

static void lay_one(struct layout *layout)
{
	reserve(layout, 1);
	add(layout, layout->hashes, 0);
}

/* A hash belongs to the first point that is not below it; behind the last one the ring closes. */
static void lay_ketama(struct layout *layout)
{
	size_t count = shard_ring_point_count(layout->ring);
	int server, first;

	reserve(layout, count + 1);
	for (size_t i = 0; i < count; i++) {
		uint64_t value = shard_ring_point(layout->ring, i, &server);

		add(layout, value + 1, server);
	}
	if (!count)
		return;
	shard_ring_point(layout->ring, 0, &first);
	add(layout, layout->hashes, first);
}

/* As many neighbouring residues as a server weighs are its own. */
static void lay_modula(struct layout *layout)
{
	uint64_t end = 0;

	reserve(layout, layout->pool->server_count);
	for (size_t i = 0; i < layout->pool->server_count; i++) {
		int server = shard_ring_route_hash(layout->ring, end);

		end += layout->pool->server[server].weight;
		add(layout, end, server);
	}
}

static void lay(struct layout *layout)
{
	layout->hashes = layout->pool->hash == SHARD_HASH_CRC32 ? HASHES_CRC32 : HASHES;
	if (layout->pool->server_count == 1)
		lay_one(layout);
	else if (layout->pool->distribution == SHARD_KETAMA)
		lay_ketama(layout);
	else if (layout->pool->distribution == SHARD_MODULA)
		lay_modula(layout);
}

/* ---- shares ---- */

uint64_t layout_times(uint64_t start, uint64_t end, uint64_t period, uint64_t limit)
{
	uint64_t rest = limit % period;
	uint64_t more = rest <= start ? 0 : rest < end ? rest - start : end - start;

	return limit / period * (end - start) + more;
}

void layout_shares(const struct layout *layout, double *share)
{
	uint64_t start = 0;

	for (size_t i = 0; i < layout->pool->server_count; i++)
		share[i] = layout->count ? 0 : shard_ring_share(layout->ring, (int)i);
	for (size_t i = 0; i < layout->count; i++) {
		const struct stretch *stretch = &layout->stretch[i];
		uint64_t times = layout_times(start, stretch->end, layout->period, layout->hashes);

		share[stretch->server] += (double)times / (double)layout->hashes;
		start = stretch->end;
	}
}

/* ---- all ---- */

/* crc32 has 15 bits: nearly all points lie behind its last value. */
static void warn(const struct layout *layout)
{
	const shard_pool *pool = layout->pool;
	double *share;
	size_t largest = 0;

	if (pool->hash != SHARD_HASH_CRC32 || pool->distribution != SHARD_KETAMA || pool->server_count == 1)
		return;
	share = cli_alloc(pool->server_count * sizeof(*share));
	layout_shares(layout, share);
	for (size_t i = 1; i < pool->server_count; i++)
		if (share[i] > share[largest])
			largest = i;
	cli_error("%s:%u: pool '%s': hash: crc32 has 15 bits, so with ketama nearly all keys are on one server "
		  "(%s: %.6f of them); crc32a has 32",
		  layout->path, pool->line, pool->name, pool->server[largest].name, share[largest]);
	free(share);
}

bool layout_init(struct layout *layout, const char *path, const shard_pool *pool)
{
	int error;

	*layout = (struct layout){.path = path, .pool = pool};
	error = shard_pool_ring(pool, NULL, &layout->ring);
	if (error) {
		cli_error("%s:%u: pool '%s': its ring cannot be made: %s", path, pool->line, pool->name,
			  shard_strerror(error));
		return false;
	}
	lay(layout);
	warn(layout);
	return true;
}

void layout_finish(struct layout *layout)
{
	shard_ring_free(layout->ring);
	free(layout->stretch);
	*layout = (struct layout){0};
}

bool layout_has_places(const struct layout *layout)
{
	if (layout->pool->distribution != SHARD_RANDOM)
		return true;
	cli_error("%s:%u: pool '%s': distribution: random asks any server for a key: none is the key's", layout->path,
		  layout->pool->line, layout->pool->name);
	return false;
}
