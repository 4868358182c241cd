/* SPDX-License-Identifier: MIT */
/* Many replies to one: what response_policy of Redis 7 says. Pure functions over what came of each key or node. */
#ifndef SHARD_CLIENT_AGGREGATE_H
#define SHARD_CLIENT_AGGREGATE_H

#include <stdint.h>

#include <shard/command.h>
#include <shard/reply.h>

#include "base/arena.h"
#include "client/internal.h"

/* What came of one key, or of one node. */
struct part {
	int error;
	struct place place;
	shard_reply raw; /* or, in a raw group: str is what came, in the group's memory */
	shard_reply *reply;
	char *message; /* NULL: "" */
	char *node;    /* NULL: "" */
};

/*
 * The whole of COUNT (at least 1) replies, none of which is missing, by the
 * command's response_policy. It points into the parts and ARENA. RANDOM
 * chooses where any one would do. NULL: they do not fit together, or no memory.
 */
const shard_reply *aggregate_replies(const shard_command *command, const struct part *part, size_t count,
				     uint32_t random, struct arena *arena);

/* An array of the parts' replies, in their order. NULL: no memory. */
const shard_reply *aggregate_array(const struct part *part, size_t count, struct arena *arena);

/* A + B, or the greatest or least number where that is none. */
long long aggregate_sum(long long a, long long b);

#endif
