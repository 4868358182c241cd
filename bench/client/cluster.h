/* SPDX-License-Identifier: MIT */
/* The map of a cluster for the peers, which have none of their own. */
#ifndef BENCH_CLUSTER_H
#define BENCH_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

#define CLUSTER_NODES_MAX 64

struct cluster_node {
	char host[64];
	int port;
};

struct cluster {
	struct cluster_node node[CLUSTER_NODES_MAX]; /* masters */
	size_t count;
	uint8_t owner[16384]; /* index of a node */
};

/* Asks HOST:PORT for CLUSTER SLOTS. Returns 0, or -1 with a line on stderr. */
int cluster_load(struct cluster *cluster, const char *host, int port);

#endif
