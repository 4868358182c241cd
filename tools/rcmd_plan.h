/* SPDX-License-Identifier: MIT */
/* How a command of rcmd is sent. */
#ifndef RCMD_PLAN_H
#define RCMD_PLAN_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>
#include <shard/command.h>

struct plan {
	const shard_command *command; /* NULL: not in the table */
	shard_key_range range[SHARD_KEY_RANGES_MAX];
	int ranges; /* 0: no keys; -1: malformed, the server says how */
	shard_call how;
	bool per_node; /* each node's reply stands for itself */
};

/* Looks COMMAND up. how is ready but for a command that is not in the table: see plan_submit(). */
void plan_make(struct plan *plan, const shard_args *command);

/*
 * Submits COMMAND as PLAN says. A command that is not in the table is asked
 * about first: without keys it goes to every master, as its like do.
 * Returns SHARD_OK or an error, as shard_submit().
 */
int plan_submit(shard_client *client, const struct plan *plan, const shard_args *command, shard_callback callback,
		void *ctx);

#endif
