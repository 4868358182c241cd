/* SPDX-License-Identifier: MIT */
#include "snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "worker.h"

static struct pool_view *find_pool(struct snapshot *snapshot, const char *name)
{
	struct pool_view *grown;

	for (size_t i = 0; i < snapshot->pool_count; i++)
		if (!strcmp(snapshot->pool[i].name, name))
			return &snapshot->pool[i];
	grown = realloc(snapshot->pool, (snapshot->pool_count + 1) * sizeof(*grown));
	if (!grown)
		return NULL;
	snapshot->pool = grown;
	grown += snapshot->pool_count;
	*grown = (struct pool_view){
		.name = strdup(name), .latency = calloc(command_count(), sizeof(struct histogram))};
	if (grown->name && grown->latency) {
		snapshot->pool_count++;
		return grown;
	}
	free(grown->name);
	free(grown->latency);
	return NULL;
}

static struct server_view *add_server(struct pool_view *pool, const char *name, const char *addr)
{
	struct server_view *grown = realloc(pool->server, (pool->server_count + 1) * sizeof(*grown));

	if (!grown)
		return NULL;
	pool->server = grown;
	grown += pool->server_count;
	*grown = (struct server_view){.name = strdup(name), .addr = strdup(addr)};
	if (grown->name && grown->addr) {
		pool->server_count++;
		return grown;
	}
	free(grown->name);
	free(grown->addr);
	return NULL;
}

static struct server_view *find_server(struct pool_view *pool, const char *addr)
{
	for (size_t i = 0; i < pool->server_count; i++)
		if (!strcmp(pool->server[i].addr, addr))
			return &pool->server[i];
	return NULL;
}

static void add_node(void *ctx, const shard_node_state *state)
{
	struct pool_view *pool = ctx;
	struct server_view *server = find_server(pool, state->addr);
	shard_node_state *sum;

	if (!server)
		server = add_server(pool, state->addr, state->addr);
	if (!server)
		return;
	sum = &server->state;
	sum->connections += state->connections;
	sum->ejected |= state->ejected;
	sum->ejected_at = state->ejected_at > sum->ejected_at ? state->ejected_at : sum->ejected_at;
	sum->ejections += state->ejections;
	sum->closed += state->closed;
	sum->errors += state->errors;
	sum->late += state->late;
	sum->requests += state->requests;
	sum->request_bytes += state->request_bytes;
	sum->queued += state->queued;
	sum->queued_bytes += state->queued_bytes;
	sum->sent += state->sent;
	sum->sent_bytes += state->sent_bytes;
}

static void add_pool_stats(struct pool_stats *sum, const struct pool_stats *stats)
{
	counter *to = (counter *)sum;
	const counter *from = (const counter *)stats;

	/* It has counters and nothing else. */
	for (size_t i = 0; i < sizeof(*sum) / sizeof(counter); i++)
		to[i] += from[i];
}

/* The servers of a pool have names, and are there before anybody has asked them. */
static void name_servers(struct pool_view *view, const struct service *service)
{
	const shard_pool *pool = service->config->pool;

	for (size_t i = 0; pool && !service->config->cluster && i < pool->server_count; i++)
		if (!find_server(view, pool->server[i].addr))
			add_server(view, pool->server[i].name, pool->server[i].addr);
}

void snapshot_add(struct snapshot *snapshot, struct service *service)
{
	struct pool_view *pool = find_pool(snapshot, service->config->name);

	if (!pool)
		return;
	pool->clients += service->session_count;
	add_pool_stats(&pool->stats, &service->stats);
	for (size_t i = 0; i < command_count(); i++)
		histogram_merge(&pool->latency[i], &service->latency[i]);
	name_servers(pool, service);
	shard_client_each_node(service->client, add_node, pool);
	for (size_t i = 0; i < service->server_count; i++) {
		const struct server_stats *stats = service->server[i];
		struct server_view *server = find_server(pool, stats->addr);

		if (!server)
			continue;
		server->stats.responses += stats->responses;
		server->stats.response_bytes += stats->response_bytes;
		histogram_merge(&server->stats.latency, &stats->latency);
	}
}

void snapshot_finish(struct snapshot *snapshot)
{
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		struct pool_view *pool = &snapshot->pool[i];

		for (size_t k = 0; k < pool->server_count; k++) {
			free(pool->server[k].name);
			free(pool->server[k].addr);
		}
		free(pool->server);
		free(pool->latency);
		free(pool->name);
	}
	free(snapshot->pool);
}
