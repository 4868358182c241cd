/* SPDX-License-Identifier: MIT */
/* Whether the nodes tell the same. */
#include <stdio.h>
#include <string.h>

#include "view.h"

static const shard_node *find(const shard_topology *map, const char *id)
{
	int index = shard_topology_find_id(map, id);
	const shard_node *node = index < 0 ? NULL : shard_topology_node(map, (size_t)index);

	return node && !(node->flags & SHARD_NODE_HANDSHAKE) ? node : NULL;
}

static const char *id_at(const shard_topology *map, int index)
{
	return index < 0 ? "" : shard_topology_node(map, (size_t)index)->id;
}

static bool same_role(const struct view *view, unsigned a, unsigned b, size_t of, char why[VIEW_WHY_SIZE])
{
	const unsigned roles = SHARD_NODE_MASTER | SHARD_NODE_REPLICA;
	const shard_topology *map_a = view->node[a].map, *map_b = view->node[b].map;
	const shard_node *in_a = find(map_a, view->node[of].id), *in_b = find(map_b, view->node[of].id);

	if (!in_a && !in_b)
		return true;
	if (!in_a || !in_b)
		snprintf(why, VIEW_WHY_SIZE, "%s does not know %s, which %s knows", view->node[in_a ? b : a].addr,
			 view->node[of].addr, view->node[in_a ? a : b].addr);
	else if ((in_a->flags & roles) != (in_b->flags & roles) ||
		 strcmp(id_at(map_a, in_a->master), id_at(map_b, in_b->master)))
		snprintf(why, VIEW_WHY_SIZE, "%s and %s do not agree what %s is: a master, or whose replica",
			 view->node[b].addr, view->node[a].addr, view->node[of].addr);
	else
		return true;
	return false;
}

bool view_same(const struct view *view, unsigned a, unsigned b, char why[VIEW_WHY_SIZE])
{
	const shard_topology *map_a = view->node[a].map, *map_b = view->node[b].map;
	unsigned last_a, last_b;
	int owner_a, owner_b;

	for (size_t i = 0; i < view->count; i++)
		if (!same_role(view, a, b, i, why))
			return false;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot = (last_a < last_b ? last_a : last_b) + 1) {
		shard_topology_range(map_a, slot, &last_a, &owner_a);
		shard_topology_range(map_b, slot, &last_b, &owner_b);
		if (!strcmp(id_at(map_a, owner_a), id_at(map_b, owner_b)))
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s and %s do not agree who owns slot %u", view->node[b].addr,
			 view->node[a].addr, slot);
		return false;
	}
	return true;
}

static bool is_known_failed(const struct view *view, size_t node)
{
	for (size_t i = 0; i < view->count; i++) {
		const shard_node *seen = view->node[i].map ? find(view->node[i].map, view->node[node].id) : NULL;

		if (seen && !(seen->flags & (SHARD_NODE_FAIL | SHARD_NODE_NOADDR)))
			return false;
	}
	return true;
}

bool view_agree(const struct view *view, char why[VIEW_WHY_SIZE])
{
	int first = -1;

	for (size_t i = 0; i < view->count; i++) {
		if (!view->node[i].map) {
			if (is_known_failed(view, i))
				continue;
			snprintf(why, VIEW_WHY_SIZE, "%s does not answer: %s", view->node[i].addr, view->node[i].error);
			return false;
		}
		if (first < 0)
			first = (int)i;
		else if (!view_same(view, (unsigned)first, (unsigned)i, why))
			return false;
	}
	return true;
}
