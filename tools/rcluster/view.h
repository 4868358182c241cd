/* SPDX-License-Identifier: MIT */
/*
 * A view of any cluster: every node that any node knows, what it says of
 * itself and of the others.
 */
#ifndef RCLUSTER_VIEW_H
#define RCLUSTER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>
#include <shard/topology.h>

#define VIEW_ID_SIZE 41
#define VIEW_WHY_SIZE 320
#define VIEW_NOBODY (-1)

struct view_node {
	char id[VIEW_ID_SIZE];
	char *addr; /* "host:port", as it is dialled and named by its id in errors; "" where none is known */
	char *host;
	uint16_t port;
	unsigned flags; /* SHARD_NODE_*: its own word on its role where it answers; FAIL and PFAIL as others say */
	int master;     /* index of a replica's master, or -1 */
	uint64_t epoch; /* config epoch */
	unsigned slots; /* that it owns in VIEW's owner[] */
	char error[200]; /* why it does not answer; "": it does, and the rest is set */
	shard_topology *map; /* its own CLUSTER NODES */
	bool ok;             /* cluster_state */
	bool link_up;        /* a replica's, to its master */
	uint64_t current_epoch;
	long long keys;      /* DBSIZE */
};

/* A slot that a node has open. */
struct view_open {
	unsigned node; /* who says so */
	unsigned slot;
	bool importing;
	int peer; /* index, -1: not known */
	char peer_id[VIEW_ID_SIZE];
};

struct view {
	size_t count;
	struct view_node *node; /* masters by their first slot, then masters without slots, then replicas */
	int16_t owner[SHARD_SLOTS]; /* who owns a slot, by its own word, by the greatest epoch where several say so;
	                               by others' word where it does not answer; VIEW_NOBODY */
	size_t open_count;
	struct view_open *open; /* by slot */
};

/*
 * Asks the node at ADDR, then all that it and others know of. Blocks about TIMEOUT_MS a round, of which there are
 * three at most. Returns true; or false and WHY, where that first node does not answer as a node of a cluster.
 * Free with view_finish().
 */
bool view_look(struct view *view, shard_client *client, const char *addr, unsigned timeout_ms,
	       char why[VIEW_WHY_SIZE]);
void view_finish(struct view *view);

/* Whether a node answers; is a master that answers. */
bool view_answers(const struct view_node *node);
bool view_is_master(const struct view_node *node);

/* The index of the node with this whole id, or -1. */
int view_find_id(const struct view *view, const char *id);

/* As admin_node(): -1 and WHY. */
int view_find(const struct view *view, const char *word, char why[VIEW_WHY_SIZE]);

/*
 * Whether all nodes that answer know the same nodes in the same roles and agree who owns which slot; a node that
 * does not answer and is not known as failed to all is no agreement. Else WHY.
 */
bool view_agree(const struct view *view, char why[VIEW_WHY_SIZE]);

/* Whether A's map, the map of another node, says the same as B's: nodes, roles, owners. Else WHY (which begins with B). */
bool view_same(const struct view *view, unsigned a, unsigned b, char why[VIEW_WHY_SIZE]);

/* How many slots have an owner. */
unsigned view_covered(const struct view *view);

/* The slots of NODE as "0-99,200", malloc'ed. NODE VIEW_NOBODY: the slots without an owner. */
char *view_slots_text(const struct view *view, int node);

#endif
