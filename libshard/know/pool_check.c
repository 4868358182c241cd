/* SPDX-License-Identifier: MIT */
#include "know/pool.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define SERVERS_MAX 65535

/* ---- a pool alone ---- */

static void check_directives(struct pool_reader *reader, const struct pool_draft *draft)
{
	const shard_pool *pool = &draft->pool;
	const unsigned *seen = draft->seen;

	if (!seen[POOL_LISTEN])
		pool_mistake(
			reader, draft, pool->line,
			"directive \"listen:\" is missing; allowed: HOST:PORT, or /PATH or \"/PATH MODE\" of a unix "
			"socket");
	if (!pool->server_connections)
		pool_mistake(reader, draft, seen[POOL_SERVER_CONNECTIONS],
			     "directive \"server_connections:\" cannot be 0; allowed: 1 to 2147483647");
	if (seen[POOL_REDIS_AUTH] && !pool->redis && !pool->cluster && !draft->bad[POOL_REDIS])
		pool_mistake(reader, draft, seen[POOL_REDIS_AUTH],
			     "directive \"redis_auth:\" is only valid for a redis pool: write \"redis: true\" too");
	if (pool->redis_user && !seen[POOL_REDIS_AUTH])
		pool_mistake(reader, draft, seen[POOL_REDIS_USER],
			     "directive \"redis_user:\" needs a password: write \"redis_auth:\" too");
	if (pool->cluster && pool->redis_db)
		pool_mistake(reader, draft, seen[POOL_REDIS_DB],
			     "directive \"redis_db:\" is not for a cluster, which has one database: leave it out");
	if (pool->cluster && seen[POOL_REDIS] && !pool->redis && !draft->bad[POOL_REDIS])
		pool_mistake(reader, draft, seen[POOL_REDIS],
			     "directive \"redis:\" is false, and a cluster is of redis servers: write \"redis: true\"");
}

static void check_list(struct pool_reader *reader, const struct pool_draft *draft)
{
	const char *name = draft->pool.name;

	if (!draft->seen[POOL_SERVERS])
		pool_mistake(reader, NULL, draft->pool.line,
			     "pool '%s' has no servers; below \"servers:\" stands a list of them, \"- "
			     "HOST:PORT:WEIGHT [NAME]\" each",
			     pool_quote_string(name).text);
	else if (!draft->list && !draft->bad[POOL_SERVERS])
		pool_mistake(reader, draft, draft->seen[POOL_SERVERS],
			     "missing sequence directive: directive \"servers\" must be a list, \"- "
			     "HOST:PORT:WEIGHT [NAME]\" each");
}

/* ---- servers ---- */

static int by_name(const void *a, const void *b)
{
	const shard_pool_server *x = *(const shard_pool_server *const *)a, *y = *(const shard_pool_server *const *)b;
	int order = strcmp(x->name, y->name);

	return order ? order : x < y ? -1 : x > y;
}

static void check_names(struct pool_reader *reader, const struct pool_draft *draft)
{
	size_t count = draft->pool.server_count;
	const shard_pool_server **sorted = reallocarray(NULL, count + 1, sizeof(*sorted));

	if (!sorted) {
		reader->no_memory = true;
		return;
	}
	for (size_t i = 0; i < count; i++)
		sorted[i] = &draft->server[i];
	qsort(sorted, count, sizeof(*sorted), by_name);
	for (size_t i = 1; i < count; i++)
		if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0)
			pool_mistake(reader, NULL, sorted[i]->line,
				     "pool '%s' has servers with same name '%s'; the other is on line %u",
				     pool_quote_string(draft->pool.name).text, pool_quote_string(sorted[i]->name).text,
				     sorted[i - 1]->line);
	free(sorted);
}

static uint64_t sum_of_weights(const struct pool_draft *draft)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < draft->pool.server_count; i++)
		sum += draft->server[i].weight;
	return sum;
}

/* nutcracker's sum is 32 bits wide and wraps: keys would go by shares that nobody wrote. */
static bool check_sums(struct pool_reader *reader, const struct pool_draft *draft)
{
	uint64_t sum = sum_of_weights(draft);

	if (draft->pool.server_count > SERVERS_MAX)
		pool_mistake(reader, draft, draft->seen[POOL_SERVERS],
			     "directive \"servers\" has an invalid value: %zu servers; allowed: up to %d",
			     draft->pool.server_count, SERVERS_MAX);
	if (sum > INT_MAX)
		pool_mistake(reader, draft, draft->seen[POOL_SERVERS],
			     "directive \"servers\" has an invalid value: the weights add up to %" PRIu64
			     "; allowed: up to 2147483647",
			     sum);
	return draft->pool.server_count <= SERVERS_MAX && sum <= INT_MAX;
}

#define KETAMA_TEXT_MAX 272

/*
 * Where a name with "-" and the number of the point is longer, nutcracker hashes bytes that it has not written: which
 * keys such a server gets is an accident.
 */
static void check_lengths(struct pool_reader *reader, const struct pool_draft *draft)
{
	uint64_t sum = sum_of_weights(draft);

	for (size_t i = 0; i < draft->pool.server_count; i++) {
		const shard_pool_server *server = &draft->server[i];
		uint64_t hashes = 40 * draft->pool.server_count * (uint64_t)server->weight / sum;
		size_t suffix = 2;

		for (uint64_t last = hashes ? hashes - 1 : 0; last >= 10; last /= 10)
			suffix++;
		if (strlen(server->name) + suffix > KETAMA_TEXT_MAX)
			pool_mistake(
				reader, draft, server->line,
				"directive \"servers\" has an invalid value: the name '%s' has %zu bytes; allowed: up "
				"to %zu",
				pool_quote_string(server->name).text, strlen(server->name), KETAMA_TEXT_MAX - suffix);
	}
}

static void check_servers(struct pool_reader *reader, const struct pool_draft *draft)
{
	check_names(reader, draft);
	if (check_sums(reader, draft) && draft->pool.distribution == SHARD_KETAMA)
		check_lengths(reader, draft);
}

/* ---- pools beside each other ---- */

typedef int (*comparison)(const struct pool_draft *a, const struct pool_draft *b);

static int compare_names(const struct pool_draft *a, const struct pool_draft *b)
{
	return strcmp(a->pool.name, b->pool.name);
}

/*
 * nutcracker compares the text. But /a and "/a 0777" are one socket, which the second pool takes from the first, and
 * ports 1 and 01 are one port.
 */
static int compare_listen(const struct pool_draft *a, const struct pool_draft *b)
{
	const char *x = a->pool.listen_host, *y = b->pool.listen_host;

	if (a->pool.listen_port != b->pool.listen_port)
		return a->pool.listen_port < b->pool.listen_port ? -1 : 1;
	if (x && y)
		return strcmp(x, y);
	/* Where it is missing or wrong, it is like no other. */
	if (!x != !y)
		return x ? 1 : -1;
	return a < b ? -1 : 1;
}

static int compare_with_place(const void *a, const void *b, void *compare)
{
	const struct pool_draft *x = *(const struct pool_draft *const *)a, *y = *(const struct pool_draft *const *)b;
	int order = (*(comparison *)compare)(x, y);

	return order ? order : x < y ? -1 : x > y;
}

static void check_pairs(struct pool_reader *reader, const struct pool_draft **sorted, comparison compare,
			void (*tell)(struct pool_reader *, const struct pool_draft *, const struct pool_draft *))
{
	qsort_r(sorted, reader->count, sizeof(*sorted), compare_with_place, &compare);
	for (size_t i = 1; i < reader->count; i++)
		if (compare(sorted[i - 1], sorted[i]) == 0)
			tell(reader, sorted[i - 1], sorted[i]);
}

static void tell_same_name(struct pool_reader *reader, const struct pool_draft *a, const struct pool_draft *b)
{
	pool_mistake(reader, NULL, b->pool.line, "has pools with same name '%s'; the other is on line %u",
		     pool_quote_string(b->pool.name).text, a->pool.line);
}

static void tell_same_listen(struct pool_reader *reader, const struct pool_draft *a, const struct pool_draft *b)
{
	pool_mistake(reader, NULL, b->seen[POOL_LISTEN],
		     "pools '%s' and '%s' have the same listen address '%s'; the first is on line %u",
		     pool_quote_string(a->pool.name).text, pool_quote_string(b->pool.name).text,
		     pool_quote_string(b->pool.listen).text, a->seen[POOL_LISTEN]);
}

static void check_pools(struct pool_reader *reader)
{
	const struct pool_draft **sorted = reallocarray(NULL, reader->count + 1, sizeof(*sorted));

	if (!sorted) {
		reader->no_memory = true;
		return;
	}
	for (size_t i = 0; i < reader->count; i++)
		sorted[i] = &reader->draft[i];
	check_pairs(reader, sorted, compare_names, tell_same_name);
	check_pairs(reader, sorted, compare_listen, tell_same_listen);
	free(sorted);
}

void pool_check(struct pool_reader *reader)
{
	for (size_t i = 0; i < reader->count; i++) {
		struct pool_draft *draft = &reader->draft[i];
		bool whole = !draft->broken && !(reader->cut && i == reader->count - 1);

		if (whole) {
			check_directives(reader, draft);
			check_list(reader, draft);
		}
		check_servers(reader, draft);
	}
	check_pools(reader);
}
