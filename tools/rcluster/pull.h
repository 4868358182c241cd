/* SPDX-License-Identifier: MIT */
/*
 * Snapshots of servers over the replication protocol: each server is asked as
 * a replica asks, and what it sends is kept in a file, an RDB file.
 */
#ifndef RCLUSTER_PULL_H
#define RCLUSTER_PULL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/uri.h>

#define PULL_SHA256_SIZE 65

struct pull {
	const char *host; /* an IP address */
	unsigned port;
	const char *addr; /* "host:port", for errors */
	const char *path; /* of the file to write; must not be there */
	/* Out. */
	uint64_t bytes;
	char sha256[PULL_SHA256_SIZE];
	char error[200]; /* why it failed, or "" */
};

/*
 * Takes COUNT snapshots at once, with the user and password of URI. A server
 * that sends nothing for IDLE_MS (it says "\n" while it prepares) is given up.
 * Returns whether all are there, complete and on the disk; the files of those
 * that failed are removed. Ends early when interrupted.
 */
bool pull_all(struct pull pull[], size_t count, const shard_uri *uri, unsigned idle_ms);

#endif
