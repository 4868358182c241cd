/* SPDX-License-Identifier: MIT */
/*
 * A move by the servers themselves, from the inside: what move_atomic.c and atomic_pairs.c share.
 */
#ifndef RCLUSTER_ATOMIC_H
#define RCLUSTER_ATOMIC_H

#include "move_job.h"

enum family { BY_NONE, BY_SOURCE, BY_TARGET };

enum pair_stage { PAIR_WAITS, PAIR_RUNS, PAIR_ENDED };

struct pair {
	int source, target;
	enum family family;
	enum pair_stage stage;
	size_t first, last; /* of the move's tasks, those that are the pair's; some of them may be open */
	size_t slots;
	long long keys;
	bool mine[SHARD_SLOTS];
	char *id;            /* by the target: the task's */
	shard_reply *before; /* by the source: the migrations that were there */
	int64_t silent_ms, failed_ms; /* since when; 0: not */
};

struct atomic {
	struct move *move;
	enum family *family; /* of each node */
	bool *open;          /* slots that were begun the other way */
	struct pair *pair;
	size_t count;
	int64_t cancelled_ms; /* 0: not */
};

/*
 * Fills in the pairs whose nodes can, with their slots. Blocks. Where one of these nodes has a migration under way
 * already, that was reported, and the move has failed.
 */
void atomic_find_pairs(struct atomic *atomic);

#endif
