/* SPDX-License-Identifier: MIT */
/* Replies as redis-cli --raw prints them. */
#ifndef RCMD_PRINT_H
#define RCMD_PRINT_H

#include <stdbool.h>

#include <shard/client.h>
#include <shard/topology.h>

#include "out.h"

/* A reply and a newline: an array has an element a line, nested ones flattened; nil is an empty line. */
void print_reply(struct out *out, const shard_reply *reply);

/*
 * A result: its reply; or, where PER_NODE, "# HOST:PORT" and a reply for each
 * node (without that line where there is but a single server, MAP says so).
 * Errors are reported, about NAME.
 * Returns whether there were none.
 */
bool print_result(struct out *out, const char *name, const shard_result *result, bool per_node,
		  const shard_topology *map);

#endif
