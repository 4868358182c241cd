/* SPDX-License-Identifier: MIT */
#include "grow.h"

#include <stdio.h>
#include <stdlib.h>

#include <shard/topology.h>

#include "ask.h"
#include "form.h"
#include "text.h"
#include "wait.h"

#define ANSWER_MS 5000
#define POLL_MS 5
#define NOT_YET (-2)

struct grow {
	shard_client *client;
	const struct layout *layout;
	struct health health;
	const shard_topology *map; /* of the node that knows of most slots: the cluster, as those outside are not */
	int64_t met;               /* when they were last told of each other; 0: never */
	char *why;
};

/* The first node that gave no map; -1: all did. */
static int find_silent(struct grow *grow)
{
	for (unsigned i = 0; i < grow->health.count; i++) {
		if (grow->health.node[i].map)
			continue;
		health_problem(&grow->health, grow->layout, i, grow->why);
		return (int)i;
	}
	return -1;
}

static const shard_topology *best_map(const struct health *health)
{
	const shard_topology *best = health->node[0].map;

	for (unsigned i = 1; i < health->count; i++)
		if (shard_topology_covered(health->node[i].map) > shard_topology_covered(best))
			best = health->node[i].map;
	return best;
}

static bool is_outside(const struct grow *grow, unsigned node)
{
	return health_index_of(grow->layout, grow->map, node) < 0;
}

static bool knows_inside(const struct grow *grow, const shard_topology *map)
{
	for (unsigned i = 0; i < grow->health.count; i++)
		if (!is_outside(grow, i) && health_index_of(grow->layout, map, i) >= 0)
			return true;
	return false;
}

/* A node outside that knows of slots, but of no node inside, is another cluster. -1: there is none. */
static int find_foreign(struct grow *grow)
{
	for (unsigned i = 0; i < grow->health.count; i++) {
		unsigned covered = shard_topology_covered(grow->health.node[i].map);

		if (!is_outside(grow, i) || !covered || knows_inside(grow, grow->health.node[i].map))
			continue;
		snprintf(grow->why, WHY_SIZE, "is in another cluster, in which %u slots have an owner", covered);
		return (int)i;
	}
	return -1;
}

/* Every node and everyone outside are told of each other. */
static int meet(struct grow *grow)
{
	unsigned count = grow->health.count;
	struct form_pair *pair = allocate((size_t)count * count, sizeof(*pair));
	size_t pairs = 0;
	int failed = -1;

	for (unsigned i = 0; i < count; i++)
		for (unsigned j = i + 1; j < count; j++)
			if (is_outside(grow, i) || is_outside(grow, j))
				pair[pairs++] = (struct form_pair){i, j};
	if (pairs && now_ms() - grow->met > FORM_MEET_AGAIN_MS) {
		failed = form_meet(grow->client, grow->layout, pair, pairs, grow->why);
		grow->met = now_ms();
	}
	free(pair);
	return failed >= 0 || !pairs ? failed : NOT_YET;
}

static unsigned replicas_of(const struct grow *grow, unsigned master, const int chosen[])
{
	unsigned count = 0;

	for (unsigned i = 0; i < grow->health.count; i++) {
		const shard_topology *map = grow->health.node[i].map;
		int self = health_index_of(grow->layout, map, i);
		int its = chosen[i] >= 0 || self < 0 ? -1 : shard_topology_node(map, (size_t)self)->master;

		count += chosen[i] == (int)master || health_node_of(grow->layout, map, its) == (int)master;
	}
	return count;
}

/* The master with the fewest replicas. */
static int neediest(const struct grow *grow, const int chosen[], const bool surplus[])
{
	unsigned fewest = 0;
	int best = -1;

	for (unsigned i = 0; i < grow->health.count; i++) {
		unsigned its;

		if (grow->health.node[i].replica || surplus[i])
			continue;
		its = replicas_of(grow, i, chosen);
		if (best < 0 || its < fewest) {
			best = (int)i;
			fewest = its;
		}
	}
	return best;
}

/* Out: the nodes that are to be replicas and are masters yet: empty, the last ones. */
static void find_surplus(const struct grow *grow, bool surplus[], const int chosen[])
{
	unsigned masters = 0;

	for (unsigned i = 0; i < grow->health.count; i++)
		masters += !grow->health.node[i].replica;
	for (unsigned i = grow->health.count; i > 0 && masters > grow->layout->masters; i--) {
		if (grow->health.node[i - 1].replica || health_owns_slots(grow->map, health_index_of(grow->layout, grow->map, i - 1)) || replicas_of(grow, i - 1, chosen))
			continue;
		surplus[i - 1] = true;
		masters--;
	}
}

static int assign(struct grow *grow)
{
	unsigned count = grow->health.count, asked = 0;
	struct ask *ask = allocate(count, sizeof(*ask));
	int *chosen = allocate(count, sizeof(*chosen));
	bool *surplus = allocate(count, sizeof(*surplus));
	int failed = -1;

	for (unsigned i = 0; i < count; i++)
		chosen[i] = -1;
	find_surplus(grow, surplus, chosen);
	for (unsigned i = 0; i < count; i++) {
		int master = surplus[i] ? neediest(grow, chosen, surplus) : -1;
		int index = master < 0 ? -1 : health_index_of(grow->layout, grow->map, (unsigned)master);

		if (index < 0)
			continue;
		chosen[i] = master;
		ask[asked++] = (struct ask){
			.node = i,
			.argc = 3,
			.argv = {"CLUSTER", "REPLICATE", shard_topology_node(grow->map, (size_t)index)->id},
		};
	}
	ask_all(grow->client, grow->layout, ask, asked, ANSWER_MS);
	failed = form_finish(ask, asked, "CLUSTER REPLICATE", grow->why);
	free(surplus);
	free(chosen);
	free(ask);
	return failed;
}

/* Returns -1 where all is done, NOT_YET, or the node where it failed. *BLAME: the one that is waited for. */
static int step(struct grow *grow, int *blame)
{
	int failed;

	*blame = find_silent(grow);
	if (*blame >= 0)
		return grow->health.node[*blame].process == SERVER_RUNNING ? NOT_YET : *blame;
	grow->map = best_map(&grow->health);
	failed = find_foreign(grow);
	if (failed < 0)
		failed = meet(grow);
	if (failed >= 0)
		return failed;
	*blame = form_find_ignorant(&grow->health, grow->layout, grow->why);
	return *blame >= 0 || failed == NOT_YET ? NOT_YET : assign(grow);
}

int grow_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE])
{
	struct grow grow = {.client = client, .layout = layout, .why = why};
	int failed, blame;

	for (;;) {
		health_look(&grow.health, client, layout, ANSWER_MS);
		failed = step(&grow, &blame);
		health_finish(&grow.health);
		if (failed != NOT_YET)
			return failed;
		if (now_ms() >= end || !pause_ms(POLL_MS))
			return blame < 0 ? 0 : blame;
	}
}
