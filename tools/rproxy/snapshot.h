/* SPDX-License-Identifier: MIT */
/* What all workers have counted, put together for one look. */
#ifndef RPROXY_SNAPSHOT_H
#define RPROXY_SNAPSHOT_H

#include <shard/client.h>

#include "stats.h"

struct service;
struct worker;

struct server_view {
	char *name;
	char *addr;
	shard_node_state state; /* its addr is not used */
	struct server_stats stats;
};

struct pool_view {
	char *name;
	size_t clients;
	struct pool_stats stats;
	struct histogram *latency; /* one for each command */
	struct server_view *server;
	size_t server_count;
};

struct snapshot {
	struct pool_view *pool;
	size_t pool_count;
};

/* In the worker's thread. Without memory something is missing. */
void snapshot_add(struct snapshot *snapshot, struct service *service);
void snapshot_finish(struct snapshot *snapshot);

#endif
