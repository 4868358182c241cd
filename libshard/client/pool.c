/* SPDX-License-Identifier: MIT */
/*
 * Pools: which server a key is sent to, which servers are ejected, and when
 * they come back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/internal.h"

struct pool {
	shard_client *client;
	shard_ring *ring;
	unsigned turn; /* counts rings */
	shard_ring_options options;
	struct member {
		struct client_node *node; /* servers at one address share it */
		char *name;
		unsigned weight;
	} * member;
	size_t count;
	bool eject, keeps_ring;
	unsigned failure_limit, retry_ms;
	struct timer preconnect;
};

/* ---- keys to servers ---- */

struct place pool_place(const struct pool *pool, const char *key, size_t len)
{
	uint64_t hash = shard_ring_hash(pool->ring, key, len);
	int index = shard_ring_route_hash(pool->ring, hash);

	/* Where all are ejected pool_node() will say so. */
	return (struct place){.slot = index < 0 ? 0 : index, .hash = hash};
}

int pool_index(const struct pool *pool, uint64_t hash)
{
	return shard_ring_route_hash(pool->ring, hash);
}

struct client_node *pool_node(const struct pool *pool, int index)
{
	return index < 0 ? NULL : pool->member[index].node;
}

/* ---- the ring of now ---- */

static int make_ring(const struct pool *pool, shard_ring **ring)
{
	shard_ring_server *server = calloc(pool->count, sizeof(*server));
	int error;

	if (!server)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < pool->count; i++) {
		const struct member *member = &pool->member[i];

		server[i] = (shard_ring_server){
			.name = member->name,
			.weight = member->weight,
			.ejected = member->node->ejected && !pool->keeps_ring,
		};
	}
	error = shard_ring_create(ring, &pool->options, server, pool->count);
	free(server);
	return error;
}

/* Without memory for another the ring stays as it is. */
static bool remake_ring(struct pool *pool)
{
	shard_ring *ring;

	if (make_ring(pool, &ring) != SHARD_OK)
		return false;
	shard_ring_free(pool->ring);
	pool->ring = ring;
	pool->turn++;
	tracking_ring_changed(pool->client);
	request_wake_moved(pool->client);
	return true;
}

/* ---- ejection ---- */

static void look_again(struct client_node *node)
{
	const struct pool *pool = node->client->pool;

	timer_start(&node->client->loop.wheel, &node->probe, node->client->loop.now + pool->retry_ms);
}

static void note_ejection(struct client_node *node)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	node->ejected_at = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
	node->ejections++;
}

static void eject(struct client_node *node)
{
	struct pool *pool = node->client->pool;

	node->ejected = true;
	node->sick = true;
	if (!remake_ring(pool)) {
		node->ejected = false;
		return;
	}
	note_ejection(node);
	look_again(node);
}

void pool_failed(struct client_node *node)
{
	const struct pool *pool = node->client->pool;

	if (!pool->eject || node->ejected || node->client->destroying || ++node->failed_in_row < pool->failure_limit)
		return;
	node->failed_in_row = 0;
	eject(node);
}

static void come_back(struct client_node *node)
{
	node->ejected = false;
	if (remake_ring(node->client->pool)) {
		node->sick = false;
		return;
	}
	node->ejected = true;
	look_again(node);
}

static void pinged(void *ctx, const shard_result *result)
{
	struct client_node *node = ctx;

	if (!node->client->destroying && node->ejected) {
		if (result->error == SHARD_OK)
			come_back(node);
		else
			look_again(node);
	}
	node_unref(node);
}

void pool_probe(struct client_node *node)
{
	static const char *const ping[] = {"PING"};
	shard_client *client = node->client;

	if (!node->ejected)
		return;
	node_ref(node);
	if (submit_internal(client, node, client->connect_timeout_ms, pinged, node, 1, ping, NULL) == SHARD_OK)
		return;
	node_unref(node);
	look_again(node);
}

unsigned pool_turn(const struct pool *pool)
{
	return pool->turn;
}

bool pool_will_move(const struct client_node *node)
{
	const struct pool *pool = node->client->pool;

	return pool->eject && !pool->keeps_ring;
}

/* ---- making ---- */

static void preconnect_due(struct timer *timer)
{
	struct pool *pool = list_entry(timer, struct pool, preconnect);

	for (size_t i = 0; i < pool->count; i++)
		node_dial(pool->member[i].node);
}

static bool add_member(struct pool *pool, const shard_pool_server *server)
{
	struct member *member = &pool->member[pool->count];

	member->node = node_get(pool->client, server->host, server->port);
	member->name = strdup(server->name);
	member->weight = server->weight;
	pool->count++;
	if (!member->node || !member->name)
		return false;
	member->node->seed = true; /* never forgotten */
	return true;
}

static int fill(struct pool *pool, const shard_pool *from)
{
	shard_client *client = pool->client;
	shard_topology *topology;
	int error;

	pool->member = calloc(from->server_count, sizeof(*pool->member));
	if (!pool->member)
		return SHARD_ENOMEM;
	for (size_t i = 0; i < from->server_count; i++)
		if (!add_member(pool, &from->server[i]))
			return SHARD_ENOMEM;
	error = shard__topology_pool(from, &topology);
	if (!error && !map_install(client, topology, 0))
		error = SHARD_ENOMEM;
	return error ? error : make_ring(pool, &pool->ring);
}

int pool_create(shard_client *client, const shard_pool *from)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return SHARD_ENOMEM;
	client->pool = pool;
	pool->client = client;
	pool->options = (shard_ring_options){
		.distribution = from->distribution,
		.hash = from->hash,
		.hash_tag = {from->hash_tag[0], from->hash_tag[1]},
	};
	pool->eject = from->auto_eject_hosts;
	pool->keeps_ring = from->eject_keeps_ring;
	pool->failure_limit = from->server_failure_limit;
	pool->retry_ms = from->server_retry_timeout;
	timer_init(&pool->preconnect, preconnect_due);
	if (from->preconnect)
		timer_start(&client->loop.wheel, &pool->preconnect, client->loop.now);
	return fill(pool, from);
}

void pool_free(struct pool *pool)
{
	if (!pool)
		return;
	timer_stop(&pool->preconnect);
	shard_ring_free(pool->ring);
	for (size_t i = 0; i < pool->count; i++)
		free(pool->member[i].name);
	free(pool->member);
	free(pool);
}
