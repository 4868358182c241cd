/* SPDX-License-Identifier: MIT */
#include "know/topology.h"

#include <stdlib.h>
#include <string.h>

shard_topology *shard__topology_new(void)
{
	shard_topology *t = malloc(sizeof(*t));
	if (!t)
		return NULL;
	/* Each page is touched once. */
	memset(t->owner, 0xff, sizeof(t->owner));
	memset((char *)t + sizeof(t->owner), 0, sizeof(*t) - sizeof(t->owner));
	arena_init(&t->arena);
	atomic_init(&t->refs, 1);
	return t;
}

static void topology_free(shard_topology *t)
{
	arena_finish(&t->arena);
	free(t->by_id.cell);
	free(t->by_addr.cell);
	free(t->node);
	free(t->open);
	free(t);
}

shard_topology *shard_topology_ref(shard_topology *t)
{
	if (t)
		atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void shard_topology_unref(shard_topology *t)
{
	if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
		topology_free(t);
}

int shard_topology_single(const char *host, uint16_t port, shard_topology **topology)
{
	struct shard__text none = {"", 0};
	if (!host || !shard__to_dial(host, port) || strlen(host) >= SHARD__HOST_SIZE)
		return SHARD_EINVAL;
	shard_topology *t = shard__topology_new();
	if (!t || !shard__topology_add(t, none, host, port, none, SHARD_NODE_MASTER | SHARD_NODE_MYSELF)) {
		shard_topology_unref(t);
		return SHARD_ENOMEM;
	}
	memset(t->owner, 0, sizeof(t->owner));
	t->single = true;
	*topology = t;
	return SHARD_OK;
}

int shard__topology_pool(const shard_pool *pool, shard_topology **topology)
{
	struct shard__text none = {"", 0};
	shard_topology *t = pool->server_count <= SHARD_SLOTS ? shard__topology_new() : NULL;
	if (!t)
		return pool->server_count <= SHARD_SLOTS ? SHARD_ENOMEM : SHARD_EINVAL;
	for (size_t i = 0; i < pool->server_count; i++) {
		const shard_pool_server *server = &pool->server[i];
		int at = shard_topology_find_addr(t, server->host, server->port);
		if (at < 0) {
			at = (int)t->node_count;
			if (!shard__topology_add(t, none, server->host, server->port, none, SHARD_NODE_MASTER)) {
				shard_topology_unref(t);
				return SHARD_ENOMEM;
			}
		}
		t->owner[i] = (uint16_t)at;
	}
	t->pool = true;
	*topology = t;
	return SHARD_OK;
}

/* ---- patches ---- */

static struct shard__text text_of(const char *string)
{
	return (struct shard__text){string, strlen(string)};
}

static shard_topology *topology_copy(const shard_topology *old)
{
	shard_topology *t = shard__topology_new();
	if (!t || !old)
		return t;
	memcpy(t->owner, old->owner, sizeof(t->owner));
	t->epoch = old->epoch;
	t->single = old->single;
	for (size_t i = 0; i < old->node_count; i++) {
		const shard_node *from = old->node[i];
		shard_node *node = shard__topology_add(t, text_of(from->id), from->host, from->port,
						       text_of(from->hostname), from->flags);
		if (!node)
			goto fail;
		node->master = from->master;
		node->epoch = from->epoch;
	}
	for (size_t i = 0; i < old->open_count; i++) {
		const shard_open_slot *open = &old->open[i];
		if (!shard__topology_add_open(t, open->slot, open->importing, text_of(open->peer)))
			goto fail;
	}
	return t;
fail:
	shard_topology_unref(t);
	return NULL;
}

/* The node at HOST:PORT in the state that a MOVED to it proves. */
static int find_or_add(shard_topology *t, const char *host, uint16_t port)
{
	int at = shard_topology_find_addr(t, host, port);
	if (at >= 0) {
		shard_node *node = t->node[at];
		node->flags &= ~(SHARD_NODE_REPLICA | SHARD_NODE_PFAIL | SHARD_NODE_FAIL | SHARD_NODE_HANDSHAKE);
		node->flags |= SHARD_NODE_MASTER;
		node->master = -1;
		return at;
	}
	struct shard__text none = {"", 0};
	return shard__topology_add(t, none, host, port, none, SHARD_NODE_MASTER) ? (int)t->node_count - 1 : -1;
}

static bool patch_ok(const shard_topology *t, unsigned slot, const char *host, uint16_t port)
{
	if (slot >= SHARD_SLOTS || !host || !shard__to_dial(host, port) || strlen(host) >= SHARD__HOST_SIZE)
		return false;
	return !t || t->node_count < SHARD__NOBODY || shard_topology_find_addr(t, host, port) >= 0;
}

static int patch(shard_topology *t, unsigned slot, const char *host, uint16_t port)
{
	int at = find_or_add(t, host, port);
	if (at < 0)
		return SHARD_ENOMEM;
	t->owner[slot] = (uint16_t)at;
	t->single = false;
	return SHARD_OK;
}

int shard__topology_patch(const shard_topology *old, unsigned slot, const char *host, uint16_t port,
			  shard_topology **out)
{
	if (!patch_ok(old, slot, host, port))
		return SHARD_EINVAL;
	shard_topology *t = topology_copy(old);
	if (!t)
		return SHARD_ENOMEM;
	int error = patch(t, slot, host, port);
	if (error)
		shard_topology_unref(t);
	else
		*out = t;
	return error;
}

int shard__topology_patch_own(shard_topology **topology, unsigned slot, const char *host, uint16_t port)
{
	shard_topology *old = *topology;
	if (!patch_ok(old, slot, host, port))
		return SHARD_EINVAL;
	if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
		return patch(old, slot, host, port);
	int error = shard__topology_patch(old, slot, host, port, topology);
	if (!error)
		shard_topology_unref(old);
	return error;
}

/* ---- accessors ---- */

bool shard_topology_is_single(const shard_topology *t)
{
	return t->single;
}

bool shard_topology_has_slots(const shard_topology *t)
{
	return !t->single && !t->pool;
}

bool shard_topology_is_pool(const shard_topology *t)
{
	return t->pool;
}

size_t shard_topology_node_count(const shard_topology *t)
{
	return t->node_count;
}

const shard_node *shard_topology_node(const shard_topology *t, size_t index)
{
	return index < t->node_count ? t->node[index] : NULL;
}

const uint16_t *shard__topology_owners(const shard_topology *t)
{
	return t->owner;
}

static int owner_of(const shard_topology *t, unsigned slot)
{
	return t->owner[slot] == SHARD__NOBODY ? -1 : t->owner[slot];
}

int shard_topology_owner(const shard_topology *t, unsigned slot)
{
	return slot < SHARD_SLOTS ? owner_of(t, slot) : -1;
}

void shard_topology_range(const shard_topology *t, unsigned first, unsigned *last, int *owner)
{
	*last = SHARD_SLOTS - 1;
	*owner = -1;
	if (first >= SHARD_SLOTS)
		return;
	*owner = owner_of(t, first);
	for (unsigned slot = first + 1; slot < SHARD_SLOTS; slot++) {
		if (t->owner[slot] != t->owner[first]) {
			*last = slot - 1;
			return;
		}
	}
}

unsigned shard_topology_covered(const shard_topology *t)
{
	unsigned covered = 0;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		covered += t->owner[slot] != SHARD__NOBODY;
	return covered;
}

size_t shard_topology_open_slots(const shard_topology *t, const shard_open_slot **open)
{
	*open = t->open;
	return t->open_count;
}

uint64_t shard_topology_epoch(const shard_topology *t)
{
	return t->epoch;
}
