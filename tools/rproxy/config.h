/* SPDX-License-Identifier: MIT */
/* What is to be served: pools of a file, or one that the command line names. */
#ifndef RPROXY_CONFIG_H
#define RPROXY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <shard/pool.h>
#include <shard/uri.h>

struct options;

struct pool_config {
	struct config *of;
	const char *name;
	const shard_pool *pool; /* NULL: of a URI */
	const shard_uri *uri;
	const char *listen_host; /* or the path where listen_port is 0 */
	uint16_t listen_port;
	unsigned listen_mode; /* of a unix socket; 0: as umask has it */
	int backlog;
	const char *password, *user; /* that clients give; NULL: none */
	unsigned client_connections; /* 0: no limit */
	unsigned timeout_ms; /* 0: the pool's */
	bool strict;
	bool cluster;
	int *listen_fd; /* one for each thread */
};

struct config {
	shard_pool_file *file; /* or NULL */
	shard_pool own;        /* what the command line says, where there is no file */
	shard_uri *uri;
	struct pool_config *pool;
	size_t pool_count;
	unsigned threads;
	int users; /* who reads it, in whatever thread */
};

/* Reads what OPTIONS name. NULL: the errors have been reported. */
struct config *config_load(const struct options *options);
/* Opens what is listened on; what OLD (or NULL) has open is taken over. False: an error was reported. */
bool config_listen(struct config *config, struct config *old);
/* Gives back what was taken over, for CONFIG will not be used. */
void config_return(struct config *config, struct config *old);
/* The last one to go frees it. config_load() counts as the first. */
void config_use(struct config *config);
void config_unuse(struct config *config); /* NULL is fine */

#endif
