/* SPDX-License-Identifier: MIT */
/*
 * What a server says of migrations of slots that it does by itself: the answers to CLUSTER GETSLOTMIGRATIONS and
 * CLUSTER MIGRATION STATUS, an array of maps. A map may be flat (field, value, field, value), or an array of pairs.
 */
#ifndef RCLUSTER_MIGRATION_H
#define RCLUSTER_MIGRATION_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/reply.h>

enum migration_state { MIGRATION_RUNS, MIGRATION_DONE, MIGRATION_FAILED, MIGRATION_CANCELLED };

/* Borrowed from the reply; texts are "" where it does not tell. */
struct migration {
	const char *id, *target, *state_name, *why;
	const shard_reply *slots; /* NULL: not told */
	enum migration_state state;
	bool imports; /* told by its target */
};

/* How many migrations REPLY tells of; MIGRATION_AT reads one of them. */
size_t migration_count(const shard_reply *reply);
struct migration migration_at(const shard_reply *reply, size_t index);

/* Whether all slots at the ends of its ranges are set in SLOTS (of SHARD_SLOTS); true where no slots are told. */
bool migration_within(const struct migration *migration, const bool slots[]);

/* Whether REPLY tells of a migration with this id. */
bool migration_known(const shard_reply *reply, const char *id);

#endif
