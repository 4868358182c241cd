/* SPDX-License-Identifier: MIT */
/* A thread of rproxy: the services that it runs, and their loop. */
#ifndef RPROXY_WORKER_H
#define RPROXY_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "config.h"
#include "proxy.h"

#define SERVERS_MAX 4096 /* that are counted apart from each other */

struct service {
	struct worker *worker;
	const struct pool_config *config;
	shard_client *client;
	shard_watch *listener, *wake;
	shard_timer *accept_again;
	struct session *sessions;
	size_t session_count;
	bool leaving; /* no longer in the configuration */
	struct pool_stats stats;
	struct histogram *latency; /* one for each command */
	struct server_stats **server;
	size_t server_count, server_room;
	struct { const char *node; struct server_stats *stats; } last[16];
};

struct worker {
	pthread_t thread;
	unsigned number;
	struct config *config; /* of now */
	struct service **service;
	size_t service_count;
	int epoll_fd; /* over the services, where there are several */
	int wake_fd;
	struct config *next_config; /* told by the main thread; with TOLD set last */
	int told;                   /* enum worker_told */
	char *buffer;               /* READ_SIZE bytes for whoever reads */
	struct words words;
	struct bytes scratch;
	struct session *dirty;
	struct query *store;
	size_t stored;
	struct chunk *chunks; /* to be used again */
	size_t chunk_count;
	uint64_t now; /* us; 0: to be looked up */
	uint64_t next_id;
	const struct command *recent[64];
	size_t burst; /* bytes that were in use at once, since memory was given back */
};

enum worker_told { TOLD_NOTHING, TOLD_RELOAD, TOLD_STOP };

/* Makes it, with its services; the thread is not started. NULL: the error has been reported. */
struct worker *worker_create(unsigned number, struct config *config);
bool worker_start(struct worker *worker);
void worker_tell(struct worker *worker, int told, struct config *config);
void worker_join(struct worker *worker);

/* ---- service.c ---- */
struct service *service_create(struct worker *worker, const struct pool_config *config);
void service_destroy(struct service *service);
struct server_stats *service_server(struct service *service, const char *node);

#endif
