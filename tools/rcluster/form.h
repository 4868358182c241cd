/* SPDX-License-Identifier: MIT */
/*
 * Makes a cluster of empty nodes: of a local layout, or of any.
 */
#ifndef RCLUSTER_FORM_H
#define RCLUSTER_FORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>

#define FORM_WHY_SIZE 256
#define FORM_ID_SIZE 41

struct form_node {
	const char *addr; /* "host:port", to dial */
	const char *host; /* the IP address for CLUSTER MEET */
	unsigned port;
	int master;           /* the index of a replica's master, or -1 */
	unsigned first, last; /* a master's slots */
	char id[FORM_ID_SIZE]; /* found out by form_identify() */
};

struct form {
	shard_client *client;
	size_t count;
	struct form_node *node;
	int64_t end; /* now_ms() */
	/* Whether waiting for NODE is pointless, and WHY; or NULL. */
	bool (*gone)(void *ctx, size_t node, char why[FORM_WHY_SIZE]);
	void *ctx;
};

/* All of these return -1, or the node where it failed, and WHY. */

/*
 * Epochs, slots, MEET, REPLICATE; returns when every replica was told its
 * master. Blocks up to form->end.
 */
int form_cluster(struct form *form, char why[FORM_WHY_SIZE]);

/* Asks all nodes their ids. */
int form_identify(struct form *form, char why[FORM_WHY_SIZE]);

/*
 * Tells every two of them, of which OUTSIDE (NULL: all) names one at least, of
 * each other, and waits until everybody knows everybody. Everybody, for that
 * is quicker than gossip.
 */
int form_join(struct form *form, const bool outside[], char why[FORM_WHY_SIZE]);

/* REPLICATE for all that have a master. */
int form_replicate(struct form *form, char why[FORM_WHY_SIZE]);

/* Where the slots of the master INDEX of MASTERS begin, rounded as redis-cli does. */
unsigned form_first_slot(unsigned index, unsigned masters);

#endif
