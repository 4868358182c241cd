/* SPDX-License-Identifier: MIT */
/*
 * Questions to named nodes, all at once: those of a local layout by their
 * number, any others by their address.
 */
#ifndef RCLUSTER_ASK_H
#define RCLUSTER_ASK_H

#include <stdbool.h>

#include <shard/client.h>
#include <shard/reply.h>

#include "layout.h"

#define ASK_WORDS 8

struct ask {
	unsigned node;  /* in a layout or a view; the caller's own where TO is set */
	const char *to; /* "host:port", borrowed; NULL: NODE of the layout */
	int argc;
	const char *argv[ASK_WORDS];
	const char *const *words; /* in place of argv where those are not enough */
	const size_t *lens;       /* of argv or words; NULL: they are strings */
	unsigned flags;           /* SHARD_ASKING, or 0 */
	shard_reply *reply;       /* NULL where ERROR says why */
	int code;                 /* enum shard_error */
	char error[160];
};

/* A client for the nodes of LAYOUT. NULL: an error was printed. */
shard_client *ask_client(const struct layout *layout);

/*
 * Sends COUNT questions, waits for all answers; each has its reply or its
 * error afterwards. Blocks at most TIMEOUT_MS. Returns whether all went well.
 * LAYOUT may be NULL where each question has its TO. Questions to one node are
 * answered in their order.
 */
bool ask_all(shard_client *client, const struct layout *layout, struct ask ask[], size_t count, unsigned timeout_ms);

/* Whether REPLY is a text that holds LINE. */
bool ask_says(const shard_reply *reply, const char *line);

/* Frees the replies. */
void ask_finish(struct ask ask[], size_t count);

#endif
