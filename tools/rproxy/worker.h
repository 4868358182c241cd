/* SPDX-License-Identifier: MIT */
/* A thread of rproxy: the services that it runs, and their loop. */
#ifndef RPROXY_WORKER_H
#define RPROXY_WORKER_H

#include <pthread.h>
#include <stdbool.h>

#include "config.h"
#include "proxy.h"
#include "snapshot.h"

#define SERVERS_MAX 4096 /* that are counted apart from each other */

struct service {
	struct worker *worker;
	const struct pool_config *config;
	shard_client *client;
	shard_watch *listener, *wake;
	int listen_fd;
	shard_timer *accept_again;
	struct session *sessions;
	size_t session_count;
	bool leaving;         /* of an older configuration: its sessions go to ... */
	struct service *heir; /* ... this one when they wait for nothing; NULL: they are closed */
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
	pthread_mutex_t lock;       /* of the four below */
	pthread_cond_t done;        /* one of them is NULL again */
	struct config *next_config; /* to be served from now on */
	struct snapshot *asked;     /* to add what has been counted to */
	bool over;
	bool told; /* somebody has woken it; its own */
	char *buffer;               /* READ_SIZE bytes for whoever reads */
	struct words words;
	struct bytes scratch;
	struct session *dirty;
	bool soon; /* something is to be sent within a millisecond */
	struct query *store;
	size_t stored;
	struct chunk *chunks; /* to be used again */
	size_t chunk_count;
	uint64_t now; /* us; 0: to be looked up */
	uint64_t next_id;
	const struct command *recent[64];
	size_t burst; /* bytes that were in use at once, since memory was given back */
};

/* Makes it, with its services; the thread is not started. NULL: the error has been reported. */
struct worker *worker_create(unsigned number, struct config *config);
bool worker_start(struct worker *worker);
/* For other threads: wait until the worker has done it (a second at most, for a snapshot). */
void worker_reload(struct worker *worker, struct config *config);
void worker_report(struct worker *worker, struct snapshot *snapshot);
void worker_stop(struct worker *worker);
void worker_join(struct worker *worker);

/* ---- service.c ---- */
struct service *service_create(struct worker *worker, const struct pool_config *config);
void service_stop_listening(struct service *service);
void service_destroy(struct service *service);
struct server_stats *service_server(struct service *service, const char *node);

#endif
