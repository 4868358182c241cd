/* SPDX-License-Identifier: MIT */
/*
 * A server of our own that has loaded an RDB file: in a private directory, on
 * a unix socket alone. It dies with us.
 */
#ifndef RCLUSTER_LOADER_H
#define RCLUSTER_LOADER_H

#include <stdbool.h>
#include <sys/types.h>

#include <shard/client.h>

struct loader {
	char *dir;
	pid_t pid;
	int process; /* a descriptor of it, -1: none */
	shard_client *client;
};

/* Starts it with the file at RDB (absolute) and waits until it has loaded all. False: an error was reported. */
bool loader_start(struct loader *loader, const char *rdb, unsigned timeout_ms);

/* Ends it and removes its directory. */
void loader_stop(struct loader *loader);

#endif
