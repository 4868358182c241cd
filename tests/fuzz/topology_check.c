/* SPDX-License-Identifier: MIT */
#include "topology_check.h"

#include <stdlib.h>
#include <string.h>

static void check_node(const shard_topology *t, const shard_node *node)
{
	int count = (int)shard_topology_node_count(t);
	MUST(node->master >= -1 && node->master < count);
	MUST(node->master < 0 || node->flags & SHARD_NODE_REPLICA);
	MUST(!(node->flags & SHARD_NODE_MASTER && node->flags & SHARD_NODE_REPLICA));
	MUST(strlen(node->host) < SHARD__HOST_SIZE && *node->addr);
	MUST(!*node->host == !!(node->flags & SHARD_NODE_NOADDR));
	MUST(!*node->id || shard_topology_find_id(t, node->id) >= 0);
	MUST(!*node->host || shard_topology_find_addr(t, node->host, node->port) >= 0);
}

static void check_owners(const shard_topology *t)
{
	unsigned covered = 0, last;
	int owner;
	for (unsigned first = 0; first < SHARD_SLOTS; first = last + 1) {
		shard_topology_range(t, first, &last, &owner);
		MUST(last >= first && last < SHARD_SLOTS);
		MUST(owner >= -1 && owner < (int)shard_topology_node_count(t));
		MUST(owner == shard_topology_owner(t, last));
		covered += owner < 0 ? 0 : last - first + 1;
	}
	MUST(covered == shard_topology_covered(t));
}

static void check_text(const shard_topology *t)
{
	shard_topology *again;
	const char *why;
	char *text = shard_topology_format(t);
	if (!text)
		return;
	MUST(shard_topology_from_nodes(text, strlen(text), "elsewhere", 1, &again, &why) == SHARD_OK);
	char *twice = shard_topology_format(again);
	MUST(twice && strcmp(text, twice) == 0);
	free(text);
	free(twice);
	shard_topology_unref(again);
}

static void check_patch(shard_topology **t)
{
	size_t count = shard_topology_node_count(*t);
	if (!count)
		return;
	const shard_node *node = shard_topology_node(*t, count - 1);
	if (node->flags & SHARD_NODE_NOADDR)
		return;
	MUST(shard__topology_patch_own(t, 7, node->host, node->port) == SHARD_OK);
	MUST(shard_topology_owner(*t, 7) == shard_topology_find_addr(*t, node->host, node->port));
}

void check_topology(int error, shard_topology *t, const char *why)
{
	if (error) {
		MUST(error == SHARD_EPROTOCOL && why);
		return;
	}
	for (int patched = 0; patched < 2; patched++) {
		for (size_t i = 0; i < shard_topology_node_count(t); i++)
			check_node(t, shard_topology_node(t, i));
		check_owners(t);
		check_text(t);
		check_patch(&t);
	}
	shard_topology_unref(t);
}

void check_map(void *ctx, char *host, size_t host_size, uint16_t *port)
{
	switch (*port % 4) {
	case 0:
		*host = '\0';
		break;
	case 1:
		memset(host, 'h', host_size);
		break;
	case 2:
		*port = 1;
		break;
	}
}
