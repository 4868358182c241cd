/* SPDX-License-Identifier: MIT */
/*
 * Makes a cluster of empty nodes.
 */
#ifndef RCLUSTER_FORM_H
#define RCLUSTER_FORM_H

#include <shard/client.h>

#include "ask.h"
#include "health.h"

#define FORM_MEET_AGAIN_MS 2500 /* a handshake is given up after node-timeout */

struct form_pair {
	unsigned node, peer;
};

/*
 * Epochs, slots, MEET, REPLICATE; returns when every replica was told its
 * master. Blocks up to END (now_ms()). Returns -1, or the node where it failed, and WHY.
 */
int form_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE]);

/* CLUSTER MEET, each NODE its PEER. Returns as form_cluster() does. */
int form_meet(shard_client *client, const struct layout *layout, const struct form_pair pair[], size_t count,
	      char why[WHY_SIZE]);

/* The first node that does not know all others, and WHY; -1: there is none. */
int form_find_ignorant(const struct health *health, const struct layout *layout, char why[WHY_SIZE]);

/* Blames the first question that failed ("WHAT: why"); -1: none did. Frees the replies. */
int form_finish(struct ask ask[], size_t count, const char *what, char why[WHY_SIZE]);

#endif
