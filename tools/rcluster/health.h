/* SPDX-License-Identifier: MIT */
/*
 * How every node is: its process, and what it says of itself and the others.
 */
#ifndef RCLUSTER_HEALTH_H
#define RCLUSTER_HEALTH_H

#include <shard/client.h>

#include "layout.h"
#include "server.h"

#define WHY_SIZE 256

struct node_view {
	enum server_state process;
	pid_t pid;
	char error[160]; /* why there are no answers; "": the rest is set */
	bool loading;    /* that is why */
	bool cluster_ok; /* cluster_state */
	bool replica;
	bool link_up;          /* a replica's, to its master */
	shard_topology *map;   /* CLUSTER NODES */
	shard_topology *slots; /* CLUSTER SLOTS: what clients are told */
};

struct health {
	unsigned count;
	struct node_view *node;
};

/* Asks every node that runs. Blocks at most TIMEOUT_MS. Free with health_finish(). */
void health_look(struct health *health, shard_client *client, const struct layout *layout, unsigned timeout_ms);
void health_finish(struct health *health);

/* Whether something is wrong with NODE, and WHY, in words for people. */
bool health_problem(const struct health *health, const struct layout *layout, unsigned node, char why[WHY_SIZE]);

/* A node that something is wrong with, one that does not run before others; -1: all is well. */
int health_first_problem(const struct health *health, const struct layout *layout, char why[WHY_SIZE]);

/* A map to show NODE in: its own, else another's; NULL: nobody answered. *INDEX: the node in it, -1 if not there. */
shard_topology *health_map_of(const struct health *health, const struct layout *layout, unsigned node, int *index);

/* NODE's index in MAP, or -1. */
int health_index_of(const struct layout *layout, const shard_topology *map, unsigned node);

/* The node of the layout that MAP's node INDEX is, or -1. */
int health_node_of(const struct layout *layout, const shard_topology *map, int index);

/* Whether MAP's node INDEX (-1: none) owns any slot. */
bool health_owns_slots(const shard_topology *map, int index);

/*
 * Waits until all is well, or END (now_ms()) or an interrupt has come, or a
 * process does not run. Returns -1, or the node that something is wrong with, and WHY.
 */
int health_wait(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE]);

#endif
