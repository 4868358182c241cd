/* SPDX-License-Identifier: MIT */
#include "candidate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/topology.h>

#include "ask.h"
#include "cli.h"
#include "steps.h"
#include "text.h"

enum question { ASK_CLUSTER, ASK_NODES, ASK_KEYS, QUESTIONS };

static const struct ask questions[QUESTIONS] = {
	[ASK_CLUSTER] = {.argc = 2, .argv = {"INFO", "cluster"}},
	[ASK_NODES] = {.argc = 2, .argv = {"CLUSTER", "NODES"}},
	[ASK_KEYS] = {.argc = 1, .argv = {"DBSIZE"}},
};

bool candidate_init(struct candidate *candidate, const char *address)
{
	*candidate = (struct candidate){0};
	if (!steps_resolve(address, candidate->ip, sizeof(candidate->ip), &candidate->port))
		return false;
	candidate->addr = steps_addr(candidate->ip, candidate->port);
	return true;
}

void candidate_finish(struct candidate *candidate)
{
	free(candidate->addr);
	*candidate = (struct candidate){0};
}

static void take_map(struct candidate *candidate, const shard_reply *nodes)
{
	shard_topology *map = NULL;

	if (nodes->type != SHARD_REPLY_STRING ||
	    shard_topology_from_nodes(nodes->str, nodes->len, candidate->ip, (uint16_t)candidate->port, &map, NULL)) {
		snprintf(candidate->error, sizeof(candidate->error), "CLUSTER NODES is not understood");
		return;
	}
	candidate->known = shard_topology_node_count(map);
	candidate->slots = shard_topology_covered(map);
	for (size_t i = 0; i < candidate->known; i++)
		if (shard_topology_node(map, i)->flags & SHARD_NODE_MYSELF)
			snprintf(candidate->id, sizeof(candidate->id), "%s", shard_topology_node(map, i)->id);
	shard_topology_unref(map);
}

static void take(struct candidate *candidate, const struct ask ask[QUESTIONS])
{
	candidate->is_cluster = ask[ASK_CLUSTER].reply && ask_says(ask[ASK_CLUSTER].reply, "cluster_enabled:1");
	if (!ask[ASK_CLUSTER].reply)
		snprintf(candidate->error, sizeof(candidate->error), "%s", ask[ASK_CLUSTER].error);
	if (!candidate->is_cluster)
		return;
	if (!ask[ASK_NODES].reply || !ask[ASK_KEYS].reply) {
		snprintf(candidate->error, sizeof(candidate->error), "%s",
			 ask[ASK_NODES].reply ? ask[ASK_KEYS].error : ask[ASK_NODES].error);
		return;
	}
	candidate->keys = ask[ASK_KEYS].reply->type == SHARD_REPLY_INTEGER ? ask[ASK_KEYS].reply->integer : 0;
	take_map(candidate, ask[ASK_NODES].reply);
}

void candidate_look_all(const struct admin *admin, struct candidate candidate[], size_t count)
{
	struct ask *ask = allocate(count * QUESTIONS, sizeof(*ask));

	for (size_t i = 0; i < count * QUESTIONS; i++) {
		ask[i] = questions[i % QUESTIONS];
		ask[i].to = candidate[i / QUESTIONS].addr;
	}
	ask_all(admin->client, NULL, ask, count * QUESTIONS, admin->timeout_ms);
	for (size_t i = 0; i < count; i++)
		take(&candidate[i], ask + i * QUESTIONS);
	ask_finish(ask, count * QUESTIONS);
	free(ask);
}

static bool answers(const struct candidate *candidate)
{
	if (*candidate->error)
		cli_error("%s: does not answer: %s", candidate->addr, candidate->error);
	else if (!candidate->is_cluster)
		cli_error("%s: is no node of a cluster: it needs `cluster-enabled yes` in its configuration",
			  candidate->addr);
	else
		return true;
	return false;
}

bool candidate_look(const struct admin *admin, struct candidate *candidate)
{
	candidate_look_all(admin, candidate, 1);
	return answers(candidate);
}

bool candidate_is_empty(const struct candidate *candidate)
{
	if (!answers(candidate))
		return false;
	if (candidate->known > 1)
		cli_error("%s: knows %zu other nodes: it is in a cluster; CLUSTER RESET takes it out", candidate->addr,
			  candidate->known - 1);
	else if (candidate->keys > 0)
		cli_error("%s: holds %lld keys: FLUSHALL empties it", candidate->addr, candidate->keys);
	else if (candidate->slots)
		cli_error("%s: owns %u slots: CLUSTER RESET takes them away", candidate->addr, candidate->slots);
	else
		return true;
	return false;
}
