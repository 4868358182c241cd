/* SPDX-License-Identifier: MIT */
/* The nodes of a topology: their memory, and finding them by id or address. */
#include "know/topology.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *take_string(shard_topology *t, struct shard__text text)
{
	char *copy = arena_alloc(&t->arena, text.len + 1);
	if (!copy)
		return NULL;
	if (text.len)
		memcpy(copy, text.at, text.len);
	copy[text.len] = '\0';
	return copy;
}

static struct shard__text text_of(const char *string)
{
	return (struct shard__text){string, strlen(string)};
}

/* FNV-1a */
static size_t hash(struct shard__text text, uint16_t port)
{
	uint64_t h = 14695981039346656037u ^ port;
	for (size_t i = 0; i < text.len; i++)
		h = (h ^ (unsigned char)text.at[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

static bool has_id(const shard_node *node, struct shard__text id, uint16_t port)
{
	return shard__text_is(id, node->id);
}

static bool has_addr(const shard_node *node, struct shard__text host, uint16_t port)
{
	return node->port == port && shard__text_is(host, node->host);
}

typedef bool (*index_match)(const shard_node *node, struct shard__text text, uint16_t port);

/* The cell of what is sought, or the empty one where it would stand. The index is not empty of cells. */
static uint16_t *index_cell(const shard_topology *t, const struct shard__index *index, index_match match,
			    struct shard__text text, uint16_t port)
{
	size_t i = hash(text, port) & (index->size - 1);
	while (index->cell[i] != SHARD__NOBODY && !match(t->node[index->cell[i]], text, port))
		i = (i + 1) & (index->size - 1);
	return &index->cell[i];
}

static int index_find(const shard_topology *t, const struct shard__index *index, index_match match,
		      struct shard__text text, uint16_t port)
{
	if (!index->size)
		return -1;
	uint16_t found = *index_cell(t, index, match, text, port);
	return found == SHARD__NOBODY ? -1 : found;
}

static struct shard__text key_of(const shard_node *node, index_match match, uint16_t *port)
{
	*port = match == has_addr ? node->port : 0;
	return text_of(match == has_addr ? node->host : node->id);
}

static bool index_grow(const shard_topology *t, struct shard__index *index, index_match match)
{
	if (index->used * 2 < index->size)
		return true;
	struct shard__index grown = {.size = index->size ? index->size * 2 : 16, .used = index->used};
	grown.cell = malloc(grown.size * sizeof(*grown.cell));
	if (!grown.cell)
		return false;
	memset(grown.cell, 0xff, grown.size * sizeof(*grown.cell));
	for (size_t i = 0; i < index->size; i++) {
		uint16_t port, node = index->cell[i];
		if (node == SHARD__NOBODY)
			continue;
		struct shard__text key = key_of(t->node[node], match, &port);
		*index_cell(t, &grown, match, key, port) = node;
	}
	free(index->cell);
	*index = grown;
	return true;
}

static bool gone(const shard_node *node)
{
	return node->flags & SHARD_NODE_FAIL;
}

/* A node that took over the address of a failed one is the one that is meant by it. */
static void index_put(shard_topology *t, struct shard__index *index, index_match match, size_t node)
{
	uint16_t port;
	struct shard__text key = key_of(t->node[node], match, &port);
	uint16_t *cell = index_cell(t, index, match, key, port);
	if (*cell == SHARD__NOBODY)
		index->used++;
	else if (!gone(t->node[*cell]) || gone(t->node[node]))
		return;
	*cell = (uint16_t)node;
}

static char *format_addr(shard_topology *t, const char *host, uint16_t port)
{
	char text[SHARD__HOST_SIZE + sizeof(":65535")];
	if (*host == '/')
		return take_string(t, text_of(host));
	int len = snprintf(text, sizeof(text), port ? "%s:%u" : "%s", *host ? host : "?", (unsigned)port);
	return len < (int)sizeof(text) ? take_string(t, text_of(text)) : NULL;
}

static bool grow_nodes(shard_topology *t)
{
	if (t->node_count < t->node_room)
		return true;
	size_t room = t->node_room ? t->node_room * 2 : 16;
	shard_node **grown = realloc(t->node, room * sizeof(*grown));
	if (!grown)
		return false;
	t->node = grown;
	t->node_room = room;
	return true;
}

bool shard__to_dial(const char *host, uint16_t port)
{
	return *host == '/' || (*host && port);
}

shard_node *shard__topology_add(shard_topology *t, struct shard__text id, const char *host, uint16_t port,
				struct shard__text hostname, unsigned flags)
{
	if (!shard__to_dial(host, port)) {
		flags |= SHARD_NODE_NOADDR;
		host = "";
	}
	if (t->node_count == SHARD__NOBODY || !grow_nodes(t) || !index_grow(t, &t->by_id, has_id) ||
	    !index_grow(t, &t->by_addr, has_addr))
		return NULL;
	shard_node *node = arena_alloc(&t->arena, sizeof(*node));
	if (!node)
		return NULL;
	*node = (shard_node){.id = take_string(t, id),
			     .host = take_string(t, text_of(host)),
			     .addr = format_addr(t, host, port),
			     .hostname = take_string(t, hostname),
			     .port = port,
			     .flags = flags,
			     .master = -1};
	if (!node->id || !node->host || !node->addr || !node->hostname)
		return NULL;

	size_t at = t->node_count++;
	t->node[at] = node;
	if (id.len)
		index_put(t, &t->by_id, has_id, at);
	if (!(flags & SHARD_NODE_NOADDR))
		index_put(t, &t->by_addr, has_addr, at);
	return node;
}

bool shard__topology_set_id(shard_topology *t, size_t index, struct shard__text id)
{
	char *copy = take_string(t, id);
	if (!copy || !index_grow(t, &t->by_id, has_id))
		return false;
	t->node[index]->id = copy;
	index_put(t, &t->by_id, has_id, index);
	return true;
}

bool shard__topology_add_open(shard_topology *t, uint16_t slot, bool importing, struct shard__text peer)
{
	if (t->open_count == t->open_room) {
		size_t room = t->open_room ? t->open_room * 2 : 16;
		shard_open_slot *grown = realloc(t->open, room * sizeof(*grown));
		if (!grown)
			return false;
		t->open = grown;
		t->open_room = room;
	}
	char *copy = take_string(t, peer);
	if (!copy)
		return false;
	t->open[t->open_count++] = (shard_open_slot){.slot = slot, .importing = importing, .peer = copy};
	return true;
}

int shard__topology_find_id(const shard_topology *t, struct shard__text id)
{
	return id.len ? index_find(t, &t->by_id, has_id, id, 0) : -1;
}

int shard_topology_find_id(const shard_topology *t, const char *id)
{
	return id ? shard__topology_find_id(t, text_of(id)) : -1;
}

int shard_topology_find_addr(const shard_topology *t, const char *host, uint16_t port)
{
	return host ? index_find(t, &t->by_addr, has_addr, text_of(host), port) : -1;
}
