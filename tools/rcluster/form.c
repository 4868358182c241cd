/* SPDX-License-Identifier: MIT */
#include "form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>
#include <shard/topology.h>

#include "ask.h"
#include "text.h"
#include "wait.h"

#define ANSWER_MS 5000
#define POLL_MS 5

int form_finish(struct ask ask[], size_t count, const char *what, char why[WHY_SIZE])
{
	int failed = -1;

	for (size_t i = 0; i < count && failed < 0; i++) {
		if (ask[i].reply)
			continue;
		snprintf(why, WHY_SIZE, "%s: %s", what, ask[i].error);
		failed = (int)ask[i].node;
	}
	ask_finish(ask, count);
	return failed;
}

static int set_epochs(shard_client *client, const struct layout *layout, char why[WHY_SIZE])
{
	unsigned count = layout_count(layout);
	struct ask *ask = allocate(count, sizeof(*ask));
	char(*epoch)[12] = allocate(count, sizeof(*epoch));
	int failed;

	for (unsigned i = 0; i < count; i++) {
		snprintf(epoch[i], sizeof(epoch[i]), "%u", i + 1);
		ask[i] = (struct ask){.node = i, .argc = 3, .argv = {"CLUSTER", "SET-CONFIG-EPOCH", epoch[i]}};
	}
	ask_all(client, layout, ask, count, ANSWER_MS);
	failed = form_finish(ask, count, "CLUSTER SET-CONFIG-EPOCH", why);
	free(epoch);
	free(ask);
	return failed;
}

/* Where the slots of MASTER begin, rounded as redis-cli does. */
static unsigned first_slot(const struct layout *layout, unsigned master)
{
	return (2 * master * SHARD_SLOTS + layout->masters) / (2 * layout->masters);
}

/* For servers older than ADDSLOTSRANGE. */
static int add_slots_singly(shard_client *client, const struct layout *layout, unsigned master, char why[WHY_SIZE])
{
	unsigned first = first_slot(layout, master), count = first_slot(layout, master + 1) - first;
	const char **words = allocate(count + 2, sizeof(*words));
	char(*slot)[8] = allocate(count, sizeof(*slot));
	struct ask ask = {.node = master, .argc = (int)count + 2, .words = words};
	int failed;

	words[0] = "CLUSTER";
	words[1] = "ADDSLOTS";
	for (unsigned i = 0; i < count; i++) {
		snprintf(slot[i], sizeof(slot[i]), "%u", first + i);
		words[i + 2] = slot[i];
	}
	ask_all(client, layout, &ask, 1, ANSWER_MS);
	failed = form_finish(&ask, 1, "CLUSTER ADDSLOTS", why);
	free(slot);
	free(words);
	return failed;
}

static bool is_too_old(const struct ask *ask)
{
	return strcasestr(ask->error, "unknown subcommand") || strcasestr(ask->error, "wrong number of arguments");
}

static int add_slots(shard_client *client, const struct layout *layout, char why[WHY_SIZE])
{
	struct ask *ask = allocate(layout->masters, sizeof(*ask));
	char(*range)[2][12] = allocate(layout->masters, sizeof(*range));
	int failed = -1;

	for (unsigned i = 0; i < layout->masters; i++) {
		snprintf(range[i][0], sizeof(range[i][0]), "%u", first_slot(layout, i));
		snprintf(range[i][1], sizeof(range[i][1]), "%u", first_slot(layout, i + 1) - 1);
		ask[i] = (struct ask){
			.node = i, .argc = 4, .argv = {"CLUSTER", "ADDSLOTSRANGE", range[i][0], range[i][1]}};
	}
	if (!ask_all(client, layout, ask, layout->masters, ANSWER_MS) && is_too_old(&ask[0])) {
		for (unsigned i = 0; i < layout->masters && failed < 0; i++)
			failed = add_slots_singly(client, layout, i, why);
		ask_finish(ask, layout->masters);
	} else {
		failed = form_finish(ask, layout->masters, "CLUSTER ADDSLOTSRANGE", why);
	}
	free(range);
	free(ask);
	return failed;
}

int form_meet(shard_client *client, const struct layout *layout, const struct form_pair pair[], size_t count,
	      char why[WHY_SIZE])
{
	struct ask *ask = allocate(count, sizeof(*ask));
	char(*port)[8] = allocate(count, sizeof(*port));
	int failed;

	for (size_t i = 0; i < count; i++) {
		snprintf(port[i], sizeof(port[i]), "%u", layout_port(layout, pair[i].peer));
		ask[i] = (struct ask){
			.node = pair[i].node, .argc = 4, .argv = {"CLUSTER", "MEET", layout->bind, port[i]}};
	}
	ask_all(client, layout, ask, count, ANSWER_MS);
	failed = form_finish(ask, count, "CLUSTER MEET", why);
	free(port);
	free(ask);
	return failed;
}

/* Everybody meets everybody: quicker than gossip. */
static int meet_all(shard_client *client, const struct layout *layout, char why[WHY_SIZE])
{
	unsigned count = layout_count(layout);
	struct form_pair *pair = allocate(count, sizeof(*pair));
	int failed = -1;

	for (unsigned i = 0; i + 1 < count && failed < 0; i++) {
		for (unsigned j = i + 1; j < count; j++)
			pair[j - i - 1] = (struct form_pair){i, j};
		failed = form_meet(client, layout, pair, count - i - 1, why);
	}
	free(pair);
	return failed;
}

/* Whether NODE's map holds every node, none of them in handshake. */
static bool knows_all(const struct layout *layout, const shard_topology *map)
{
	for (unsigned i = 0; i < layout_count(layout); i++) {
		int index = health_index_of(layout, map, i);

		if (index < 0 ||
		    shard_topology_node(map, (size_t)index)->flags & (SHARD_NODE_HANDSHAKE | SHARD_NODE_NOADDR))
			return false;
	}
	return true;
}

int form_find_ignorant(const struct health *health, const struct layout *layout, char why[WHY_SIZE])
{
	for (unsigned i = 0; i < health->count; i++) {
		const struct node_view *view = &health->node[i];

		if (view->map && knows_all(layout, view->map))
			continue;
		if (view->process != SERVER_RUNNING || *view->error)
			health_problem(health, layout, i, why);
		else
			snprintf(why, WHY_SIZE, "does not know all other nodes yet");
		return (int)i;
	}
	return -1;
}

static int replicate(shard_client *client, const struct layout *layout, const shard_topology *map, char why[WHY_SIZE])
{
	unsigned count = layout_count(layout) - layout->masters;
	struct ask *ask = allocate(count, sizeof(*ask));
	int failed;

	for (unsigned i = 0; i < count; i++) {
		int master = health_index_of(layout, map, i % layout->masters);

		ask[i] = (struct ask){
			.node = layout->masters + i,
			.argc = 3,
			.argv = {"CLUSTER", "REPLICATE", shard_topology_node(map, (size_t)master)->id},
		};
	}
	ask_all(client, layout, ask, count, ANSWER_MS);
	failed = form_finish(ask, count, "CLUSTER REPLICATE", why);
	free(ask);
	return failed;
}

/* MEET, and REPLICATE as soon as everybody knows everybody. */
static int join(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE])
{
	int64_t met = 0;

	for (;;) {
		struct health health;
		int failed = -1, ignorant;

		if (!met || now_ms() - met > FORM_MEET_AGAIN_MS) {
			failed = meet_all(client, layout, why);
			met = now_ms();
		}
		if (failed >= 0)
			return failed;
		health_look(&health, client, layout, ANSWER_MS);
		ignorant = form_find_ignorant(&health, layout, why);
		if (ignorant < 0)
			failed = replicate(client, layout, health.node[0].map, why);
		health_finish(&health);
		if (ignorant < 0)
			return failed;
		if (now_ms() >= end || !pause_ms(POLL_MS))
			return ignorant;
	}
}

int form_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE])
{
	int failed = set_epochs(client, layout, why);

	if (failed < 0)
		failed = add_slots(client, layout, why);
	if (failed < 0)
		failed = join(client, layout, end, why);
	return failed;
}
