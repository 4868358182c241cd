/* SPDX-License-Identifier: MIT */
#include "view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/uri.h>

#include "ask.h"
#include "cli.h"
#include "text.h"

#define HOST_SIZE 256

enum question { ASK_NODES, ASK_INFO, ASK_REPLICATION, ASK_KEYS, QUESTIONS };

static const struct ask questions[QUESTIONS] = {
	[ASK_NODES] = {.argc = 2, .argv = {"CLUSTER", "NODES"}},
	[ASK_INFO] = {.argc = 2, .argv = {"CLUSTER", "INFO"}},
	[ASK_REPLICATION] = {.argc = 2, .argv = {"INFO", "replication"}},
	[ASK_KEYS] = {.argc = 1, .argv = {"DBSIZE"}},
};

bool view_answers(const struct view_node *node)
{
	return node->map;
}

bool view_is_master(const struct view_node *node)
{
	return node->map && node->flags & SHARD_NODE_MASTER;
}

int view_find_id(const struct view *view, const char *id)
{
	for (size_t i = 0; i < view->count; i++)
		if (!strcmp(view->node[i].id, id))
			return (int)i;
	return -1;
}

/* ---- looking ---- */

static void add_node(struct view *view, const shard_node *from)
{
	struct view_node *node;

	view->node = cli_realloc(view->node, (view->count + 1) * sizeof(*view->node));
	node = &view->node[view->count++];
	*node = (struct view_node){
		.addr = text("%s", from->flags & SHARD_NODE_NOADDR ? "" : from->addr),
		.host = text("%s", from->host),
		.port = from->port,
		.flags = from->flags & ~(unsigned)SHARD_NODE_MYSELF,
		.epoch = from->epoch,
		.master = -1,
	};
	snprintf(node->id, sizeof(node->id), "%s", from->id);
}

/* A node in handshake has no id that lasts. */
static bool counts(const shard_node *node)
{
	return *node->id && !(node->flags & SHARD_NODE_HANDSHAKE);
}

static void add_unknown(struct view *view, const shard_topology *map)
{
	for (size_t i = 0; i < shard_topology_node_count(map); i++) {
		const shard_node *node = shard_topology_node(map, i);

		if (counts(node) && view_find_id(view, node->id) < 0)
			add_node(view, node);
	}
}

static uint64_t number_behind(const shard_reply *reply, const char *name)
{
	const char *at = reply && reply->type == SHARD_REPLY_STRING ? strstr(reply->str, name) : NULL;

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static shard_topology *parse(const shard_reply *reply, const char *host, uint16_t port, char *error, size_t size)
{
	shard_topology *map = NULL;
	const char *why = "not a string";

	if (reply->type != SHARD_REPLY_STRING ||
	    shard_topology_from_nodes(reply->str, reply->len, host, port, &map, &why))
		snprintf(error, size, "CLUSTER NODES: %s", why ? why : shard_strerror(SHARD_ENOMEM));
	return map;
}

static int myself(const shard_topology *map)
{
	for (size_t i = 0; i < shard_topology_node_count(map); i++)
		if (shard_topology_node(map, i)->flags & SHARD_NODE_MYSELF)
			return (int)i;
	return -1;
}

static void take_own_word(struct view_node *node)
{
	const unsigned roles = SHARD_NODE_MASTER | SHARD_NODE_REPLICA;
	int index = myself(node->map);
	const shard_node *self = index < 0 ? NULL : shard_topology_node(node->map, (size_t)index);

	if (!self || strcmp(self->id, node->id)) {
		snprintf(node->error, sizeof(node->error), "another node answers there (%s)", self ? self->id : "?");
		shard_topology_unref(node->map);
		node->map = NULL;
		return;
	}
	node->flags = (node->flags & ~roles) | (self->flags & roles);
	node->epoch = self->epoch;
}

static void take_answers(struct view_node *node, const struct ask ask[QUESTIONS])
{
	if (!ask[ASK_NODES].reply || !ask[ASK_INFO].reply) {
		snprintf(node->error, sizeof(node->error), "%s",
			 ask[ASK_NODES].reply ? ask[ASK_INFO].error : ask[ASK_NODES].error);
		return;
	}
	node->map = parse(ask[ASK_NODES].reply, node->host, node->port, node->error, sizeof(node->error));
	if (!node->map)
		return;
	take_own_word(node);
	node->ok = ask_says(ask[ASK_INFO].reply, "cluster_state:ok");
	node->current_epoch = number_behind(ask[ASK_INFO].reply, "cluster_current_epoch:");
	node->link_up = ask[ASK_REPLICATION].reply && ask_says(ask[ASK_REPLICATION].reply, "master_link_status:up");
	if (ask[ASK_KEYS].reply && ask[ASK_KEYS].reply->type == SHARD_REPLY_INTEGER)
		node->keys = ask[ASK_KEYS].reply->integer;
}

/* Asks the nodes from FROM on. */
static void look_round(struct view *view, size_t from, shard_client *client, unsigned timeout_ms)
{
	size_t count = view->count - from, asked = 0, next = 0;
	struct ask *ask = allocate(count * QUESTIONS, sizeof(*ask));

	for (size_t i = from; i < view->count; i++) {
		for (unsigned q = 0; q < QUESTIONS && *view->node[i].addr; q++) {
			ask[asked] = questions[q];
			ask[asked].node = (unsigned)i;
			ask[asked++].to = view->node[i].addr;
		}
	}
	ask_all(client, NULL, ask, asked, timeout_ms);
	for (size_t i = from; i < view->count; i++) {
		if (!*view->node[i].addr) {
			snprintf(view->node[i].error, sizeof(view->node[i].error), "its address is not known");
			continue;
		}
		take_answers(&view->node[i], ask + next);
		next += QUESTIONS;
	}
	ask_finish(ask, asked);
	free(ask);
}

/* ---- what follows from the answers ---- */

static void set_master(struct view *view, struct view_node *node, const shard_topology *map)
{
	int index = shard_topology_find_id(map, node->id);
	int master = index < 0 ? -1 : shard_topology_node(map, (size_t)index)->master;

	if (master >= 0)
		node->master = view_find_id(view, shard_topology_node(map, (size_t)master)->id);
}

static void mark_failed(struct view *view, const shard_topology *map)
{
	for (size_t i = 0; i < shard_topology_node_count(map); i++) {
		const shard_node *seen = shard_topology_node(map, i);
		int node = view_find_id(view, seen->id);

		if (node >= 0)
			view->node[node].flags |= seen->flags & (SHARD_NODE_FAIL | SHARD_NODE_PFAIL);
	}
}

static void set_relations(struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		struct view_node *node = &view->node[i];

		if (node->map)
			mark_failed(view, node->map);
		for (size_t j = 0; node->flags & SHARD_NODE_REPLICA && node->master < 0 && j <= view->count; j++) {
			const shard_topology *map = j ? view->node[j - 1].map : node->map;

			if (map)
				set_master(view, node, map);
		}
	}
}

/* The owner in MAP by its index in the view; only SELF's own slots where SELF >= 0. */
static void claim(struct view *view, const shard_topology *map, int self)
{
	unsigned last;
	int owner;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot = last + 1) {
		int node;

		shard_topology_range(map, slot, &last, &owner);
		node = owner < 0 ? -1 : view_find_id(view, shard_topology_node(map, (size_t)owner)->id);
		if (node < 0 || (self >= 0 ? node != self : view_answers(&view->node[node])))
			continue;
		for (unsigned s = slot; s <= last; s++)
			if (view->owner[s] < 0 || view->node[view->owner[s]].epoch < view->node[node].epoch)
				view->owner[s] = (int16_t)node;
	}
}

/* First what masters say of themselves; what others say counts for nodes that do not answer. */
static void set_owners(struct view *view)
{
	memset(view->owner, 0xff, sizeof(view->owner));
	for (size_t i = 0; i < view->count; i++)
		if (view_is_master(&view->node[i]))
			claim(view, view->node[i].map, (int)i);
	for (size_t i = 0; i < view->count; i++)
		if (view->node[i].map)
			claim(view, view->node[i].map, -1);
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (view->owner[slot] >= 0)
			view->node[view->owner[slot]].slots++;
}

static int by_slot(const void *a, const void *b)
{
	const struct view_open *x = a, *y = b;

	return x->slot != y->slot ? (int)x->slot - (int)y->slot : (int)x->node - (int)y->node;
}

static void set_open(struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		const shard_open_slot *open = NULL;
		size_t count = view->node[i].map ? shard_topology_open_slots(view->node[i].map, &open) : 0;

		if (count)
			view->open = cli_realloc(view->open, (view->open_count + count) * sizeof(*view->open));
		for (size_t j = 0; j < count; j++) {
			struct view_open *to = &view->open[view->open_count++];

			*to = (struct view_open){.node = (unsigned)i, .slot = open[j].slot, .importing = open[j].importing};
			snprintf(to->peer_id, sizeof(to->peer_id), "%s", open[j].peer);
			to->peer = view_find_id(view, to->peer_id);
		}
	}
	if (view->open_count)
		qsort(view->open, view->open_count, sizeof(*view->open), by_slot);
}

/* First slot, as its own map or that of another shows it; nodes without any come behind, replicas last. */
static unsigned sort_key(const struct view *view, const struct view_node *node)
{
	if (!(node->flags & SHARD_NODE_MASTER))
		return SHARD_SLOTS + 1;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (view->owner[slot] == node - view->node)
			return slot;
	return SHARD_SLOTS;
}

struct place {
	unsigned key;
	struct view_node node;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->key != y->key ? (int)x->key - (int)y->key : strcmp(x->node.addr, y->node.addr);
}

static void sort_nodes(struct view *view)
{
	struct place *place = allocate(view->count, sizeof(*place));

	for (size_t i = 0; i < view->count; i++)
		place[i] = (struct place){sort_key(view, &view->node[i]), view->node[i]};
	qsort(place, view->count, sizeof(*place), by_place);
	for (size_t i = 0; i < view->count; i++) {
		view->node[i] = place[i].node;
		view->node[i].slots = 0;
	}
	free(place);
}

/* The map of the first node, which is where the others are known from. */
static shard_topology *look_first(shard_client *client, const char *addr, unsigned timeout_ms, char why[VIEW_WHY_SIZE])
{
	struct ask ask = questions[ASK_NODES];
	char host[HOST_SIZE], error[160] = "";
	shard_topology *map = NULL;
	uint16_t port = 0;

	ask.to = addr;
	shard_split_addr(addr, strlen(addr), 0, host, sizeof(host), &port);
	if (ask_all(client, NULL, &ask, 1, timeout_ms))
		map = parse(ask.reply, host, port, error, sizeof(error));
	if (!map && strstr(ask.error, "cluster support disabled"))
		snprintf(why, VIEW_WHY_SIZE, "%s: a single server, not a node of a cluster", addr);
	else if (!map)
		snprintf(why, VIEW_WHY_SIZE, "%s: %s", addr, *error ? error : ask.error);
	ask_finish(&ask, 1);
	return map;
}

bool view_look(struct view *view, shard_client *client, const char *addr, unsigned timeout_ms,
	       char why[VIEW_WHY_SIZE])
{
	shard_topology *map = look_first(client, addr, timeout_ms, why);
	size_t known = 0;

	*view = (struct view){0};
	if (!map)
		return false;
	add_unknown(view, map);
	shard_topology_unref(map);
	for (unsigned round = 0; round < 2 && known < view->count; round++) {
		size_t count = view->count;

		look_round(view, known, client, timeout_ms);
		for (size_t i = known; i < count; i++)
			if (view->node[i].map)
				add_unknown(view, view->node[i].map);
		known = count;
	}
	set_owners(view);
	sort_nodes(view);
	set_owners(view);
	set_relations(view);
	set_open(view);
	return true;
}

void view_finish(struct view *view)
{
	for (size_t i = 0; i < view->count; i++) {
		shard_topology_unref(view->node[i].map);
		free(view->node[i].addr);
		free(view->node[i].host);
	}
	free(view->node);
	free(view->open);
	*view = (struct view){0};
}
