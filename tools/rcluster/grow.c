/* SPDX-License-Identifier: MIT */
#include "grow.h"

#include <stdio.h>
#include <stdlib.h>

#include <shard/topology.h>

#include "form.h"
#include "local_form.h"
#include "text.h"
#include "wait.h"

#define ANSWER_MS 5000
#define POLL_MS 5
#define NOT_YET (-2)

struct grow {
	const struct layout *layout;
	struct form form; /* no masters in it but those that are to be set */
	struct health health;
	const shard_topology *map; /* of the node that knows of most slots: the cluster, as those outside are not */
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

/* Those whom somebody does not know are told of everybody. */
static int join(struct grow *grow)
{
	bool *outside = allocate(grow->health.count, sizeof(*outside));
	int failed;

	for (unsigned i = 0; i < grow->health.count; i++)
		for (unsigned j = 0; j < grow->health.count && !outside[i]; j++)
			outside[i] = health_index_of(grow->layout, grow->health.node[j].map, i) < 0;
	failed = form_identify(&grow->form, grow->why);
	if (failed < 0)
		failed = form_join(&grow->form, outside, grow->why);
	free(outside);
	return failed;
}

static unsigned replicas_of(const struct grow *grow, unsigned master)
{
	unsigned count = 0;

	for (unsigned i = 0; i < grow->health.count; i++) {
		const shard_topology *map = grow->health.node[i].map;
		int self = health_index_of(grow->layout, map, i);
		int its = self < 0 ? -1 : shard_topology_node(map, (size_t)self)->master;

		count += grow->form.node[i].master == (int)master ||
			 health_node_of(grow->layout, map, its) == (int)master;
	}
	return count;
}

/* The master with the fewest replicas. */
static int neediest(const struct grow *grow, const bool surplus[])
{
	unsigned fewest = 0;
	int best = -1;

	for (unsigned i = 0; i < grow->health.count; i++) {
		unsigned its;

		if (grow->health.node[i].replica || surplus[i])
			continue;
		its = replicas_of(grow, i);
		if (best < 0 || its < fewest) {
			best = (int)i;
			fewest = its;
		}
	}
	return best;
}

/* Out: the nodes that are to be replicas and are masters yet: empty, the last ones. */
static void find_surplus(const struct grow *grow, bool surplus[])
{
	unsigned masters = 0;

	for (unsigned i = 0; i < grow->health.count; i++)
		masters += !grow->health.node[i].replica;
	for (unsigned i = grow->health.count; i > 0 && masters > grow->layout->masters; i--) {
		if (grow->health.node[i - 1].replica || health_owns_slots(grow->map, health_index_of(grow->layout, grow->map, i - 1)) || replicas_of(grow, i - 1))
			continue;
		surplus[i - 1] = true;
		masters--;
	}
}

static int assign(struct grow *grow)
{
	bool *surplus = allocate(grow->health.count, sizeof(*surplus));

	find_surplus(grow, surplus);
	for (unsigned i = 0; i < grow->health.count; i++)
		if (surplus[i])
			grow->form.node[i].master = neediest(grow, surplus);
	free(surplus);
	return form_replicate(&grow->form, grow->why);
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
		failed = join(grow);
	return failed < 0 ? assign(grow) : failed;
}

int grow_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE])
{
	struct grow grow = {.layout = layout, .why = why};
	int failed, blame;

	local_form_init(&grow.form, client, layout, end);
	for (size_t i = 0; i < grow.form.count; i++)
		grow.form.node[i].master = -1;
	do {
		health_look(&grow.health, client, layout, ANSWER_MS);
		failed = step(&grow, &blame);
		health_finish(&grow.health);
	} while (failed == NOT_YET && now_ms() < end && pause_ms(POLL_MS));
	local_form_finish(&grow.form);
	return failed == NOT_YET ? blame : failed;
}
