/* SPDX-License-Identifier: MIT */
#include "health.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/topology.h>

#include "ask.h"
#include "text.h"
#include "wait.h"

#define POLL_MS 10
#define ANSWER_MS 1000

enum question { ASK_NODES, ASK_SLOTS, ASK_INFO, ASK_REPLICATION, QUESTIONS };

static const struct ask questions[QUESTIONS] = {
	[ASK_NODES] = {.argc = 2, .argv = {"CLUSTER", "NODES"}},
	[ASK_SLOTS] = {.argc = 2, .argv = {"CLUSTER", "SLOTS"}},
	[ASK_INFO] = {.argc = 2, .argv = {"CLUSTER", "INFO"}},
	[ASK_REPLICATION] = {.argc = 2, .argv = {"INFO", "replication"}},
};

static void understand(struct node_view *view, const struct layout *layout, unsigned node, const struct ask ask[])
{
	const shard_reply *nodes = ask[ASK_NODES].reply;
	uint16_t port = (uint16_t)layout_port(layout, node);
	const char *why = "not a string";
	int error = SHARD_EPROTOCOL;

	if (nodes->type == SHARD_REPLY_STRING)
		error = shard_topology_from_nodes(nodes->str, nodes->len, layout->bind, port, &view->map, &why);
	if (!error)
		error = shard_topology_from_slots(ask[ASK_SLOTS].reply, layout->bind, port, &view->slots, &why);
	if (error)
		snprintf(view->error, sizeof(view->error), "CLUSTER %s: %s", view->map ? "SLOTS" : "NODES",
			 error == SHARD_EPROTOCOL ? why : shard_strerror(error));
	view->cluster_ok = ask_says(ask[ASK_INFO].reply, "cluster_state:ok");
	view->replica = ask_says(ask[ASK_REPLICATION].reply, "role:slave");
	view->link_up = ask_says(ask[ASK_REPLICATION].reply, "master_link_status:up");
}

static void take_answers(struct node_view *view, const struct layout *layout, unsigned node, const struct ask ask[])
{
	for (unsigned i = 0; i < QUESTIONS; i++) {
		if (!ask[i].reply && !*view->error)
			snprintf(view->error, sizeof(view->error), "%s", ask[i].error);
		view->loading = view->loading || strstr(ask[i].error, "LOADING");
	}
	if (!*view->error)
		understand(view, layout, node, ask);
	else
		view->process = server_look(layout, node, &view->pid); /* it may have ended meanwhile */
}

void health_look(struct health *health, shard_client *client, const struct layout *layout, unsigned timeout_ms)
{
	unsigned count = layout_count(layout);
	struct ask *ask = allocate((size_t)count * QUESTIONS, sizeof(*ask));
	size_t asked = 0, next = 0;

	*health = (struct health){.count = count, .node = allocate(count, sizeof(*health->node))};
	for (unsigned i = 0; i < count; i++) {
		struct node_view *view = &health->node[i];

		view->process = server_look(layout, i, &view->pid);
		for (unsigned q = 0; q < QUESTIONS && view->process == SERVER_RUNNING; q++) {
			ask[asked] = questions[q];
			ask[asked++].node = i;
		}
	}
	ask_all(client, layout, ask, asked, timeout_ms);
	for (unsigned i = 0; i < count; i++) {
		if (health->node[i].process != SERVER_RUNNING)
			continue;
		take_answers(&health->node[i], layout, i, ask + next);
		next += QUESTIONS;
	}
	ask_finish(ask, asked);
	free(ask);
}

void health_finish(struct health *health)
{
	for (unsigned i = 0; i < health->count; i++) {
		shard_topology_unref(health->node[i].map);
		shard_topology_unref(health->node[i].slots);
	}
	free(health->node);
	*health = (struct health){0};
}

int health_index_of(const struct layout *layout, const shard_topology *map, unsigned node)
{
	return shard_topology_find_addr(map, layout->bind, (uint16_t)layout_port(layout, node));
}

shard_topology *health_map_of(const struct health *health, const struct layout *layout, unsigned node, int *index)
{
	shard_topology *map = health->node[node].map;

	for (unsigned i = 0; !map && i < health->count; i++)
		map = health->node[i].map;
	*index = map ? health_index_of(layout, map, node) : -1;
	return map;
}

int health_node_of(const struct layout *layout, const shard_topology *map, int index)
{
	return index < 0 ? -1 : layout_find(layout, shard_topology_node(map, (size_t)index)->port);
}

/* What makes asking NODE pointless; the others' view of it is then no news. */
static bool is_away(const struct node_view *view, char why[WHY_SIZE])
{
	if (view->process == SERVER_STOPPED)
		snprintf(why, WHY_SIZE, "not running");
	else if (view->process == SERVER_PAUSED)
		snprintf(why, WHY_SIZE, "paused (pid %ld)", (long)view->pid);
	else if (view->loading)
		snprintf(why, WHY_SIZE, "loading its data");
	else if (*view->error)
		snprintf(why, WHY_SIZE, "no answer: %s", view->error);
	else
		return false;
	return true;
}

static bool sees_badly(const struct node_view *view, const struct layout *layout, unsigned peer, char why[WHY_SIZE])
{
	static const struct {
		unsigned flag;
		const char *text;
	} bad[] = {
		{SHARD_NODE_FAIL, "as failed"},
		{SHARD_NODE_PFAIL, "as possibly failed"},
		{SHARD_NODE_HANDSHAKE, "only in handshake"},
		{SHARD_NODE_NOADDR, "without an address"},
		{SHARD_NODE_LINK_DOWN, "as disconnected"},
	};
	int index = health_index_of(layout, view->map, peer);

	if (index < 0) {
		snprintf(why, WHY_SIZE, "does not know %u", layout_port(layout, peer));
		return true;
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (shard_topology_node(view->map, (size_t)index)->flags & bad[i].flag) {
			snprintf(why, WHY_SIZE, "sees %u %s", layout_port(layout, peer), bad[i].text);
			return true;
		}
	}
	return false;
}

bool health_owns_slots(const shard_topology *map, int index)
{
	unsigned last;
	int owner;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot = last + 1) {
		shard_topology_range(map, slot, &last, &owner);
		if (owner == index && index >= 0)
			return true;
	}
	return false;
}

/* A replica shows in CLUSTER SLOTS once it has got something from its master, and that has slots. */
static bool hides(const struct node_view *view, const struct layout *layout, unsigned peer, char why[WHY_SIZE])
{
	const shard_node *node = shard_topology_node(view->map, (size_t)health_index_of(layout, view->map, peer));

	if (!(node->flags & SHARD_NODE_REPLICA) || !health_owns_slots(view->map, node->master) ||
	    health_index_of(layout, view->slots, peer) >= 0)
		return false;
	snprintf(why, WHY_SIZE, "does not show the replica %u to clients", layout_port(layout, peer));
	return true;
}

static const char *master_id(const shard_topology *map, int index)
{
	int master = shard_topology_node(map, (size_t)index)->master;

	return master < 0 ? "" : shard_topology_node(map, (size_t)master)->id;
}

static bool same_role(const shard_topology *a, const shard_topology *b, int in_a)
{
	const shard_node *node = shard_topology_node(a, (size_t)in_a);
	int in_b = shard_topology_find_id(b, node->id);
	const unsigned roles = SHARD_NODE_MASTER | SHARD_NODE_REPLICA;

	return in_b >= 0 && (node->flags & roles) == (shard_topology_node(b, (size_t)in_b)->flags & roles) &&
	       !strcmp(master_id(a, in_a), master_id(b, in_b));
}

static const char *owner_id(const shard_topology *map, unsigned slot)
{
	int owner = shard_topology_owner(map, slot);

	return owner < 0 ? "" : shard_topology_node(map, (size_t)owner)->id;
}

static bool same_map(const struct layout *layout, const shard_topology *a, const shard_topology *b)
{
	unsigned last;
	int owner;

	for (unsigned i = 0; i < layout_count(layout); i++) {
		int index = health_index_of(layout, a, i);

		if (index >= 0 && !same_role(a, b, index))
			return false;
	}
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot = last + 1) {
		unsigned last_in_b;

		shard_topology_range(a, slot, &last, &owner);
		shard_topology_range(b, slot, &last_in_b, &owner);
		if (last != last_in_b || strcmp(owner_id(a, slot), owner_id(b, slot)))
			return false;
	}
	return true;
}

static bool disagrees(const struct health *health, const struct layout *layout, unsigned node, char why[WHY_SIZE])
{
	for (unsigned i = 0; i < node; i++) {
		if (!health->node[i].map)
			continue;
		if (same_map(layout, health->node[i].map, health->node[node].map))
			return false;
		snprintf(why, WHY_SIZE, "does not agree with %u who serves which slots", layout_port(layout, i));
		return true;
	}
	return false;
}

static bool sees_peers_badly(const struct health *health, const struct layout *layout, unsigned node,
			     char why[WHY_SIZE])
{
	const struct node_view *view = &health->node[node];
	char ignored[WHY_SIZE];

	for (unsigned i = 0; i < health->count; i++) {
		if (is_away(&health->node[i], ignored))
			continue;
		if (sees_badly(view, layout, i, why) || hides(view, layout, i, why))
			return true;
	}
	return false;
}

bool health_problem(const struct health *health, const struct layout *layout, unsigned node, char why[WHY_SIZE])
{
	const struct node_view *view = &health->node[node];
	unsigned covered;

	if (is_away(view, why))
		return true;
	covered = shard_topology_covered(view->map);
	if (covered < SHARD_SLOTS)
		snprintf(why, WHY_SIZE, "knows an owner of %u slots only, of %d", covered, SHARD_SLOTS);
	else if (!view->cluster_ok)
		snprintf(why, WHY_SIZE, "cluster_state is not ok");
	else if (view->replica && !view->link_up)
		snprintf(why, WHY_SIZE, "the link to its master is down");
	else
		return sees_peers_badly(health, layout, node, why) || disagrees(health, layout, node, why);
	return true;
}

int health_first_problem(const struct health *health, const struct layout *layout, char why[WHY_SIZE])
{
	/* First what is likely to be the cause of the others. */
	for (unsigned i = 0; i < health->count; i++)
		if (health->node[i].process != SERVER_RUNNING && health_problem(health, layout, i, why))
			return (int)i;
	for (unsigned i = 0; i < health->count; i++)
		if (health_problem(health, layout, i, why))
			return (int)i;
	return -1;
}

int health_wait(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE])
{
	for (;;) {
		int64_t start = now_ms();
		struct health health;
		bool hopeless;
		int problem;

		health_look(&health, client, layout, ANSWER_MS);
		problem = health_first_problem(&health, layout, why);
		hopeless = problem >= 0 && health.node[problem].process != SERVER_RUNNING;
		health_finish(&health);
		if (problem < 0 || hopeless || now_ms() >= end)
			return problem;
		/* The looks of a big cluster take long: they shall not be most of what its nodes do. */
		if (!pause_ms(POLL_MS + (unsigned)(now_ms() - start)))
			return problem;
	}
}
