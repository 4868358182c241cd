/* SPDX-License-Identifier: MIT */
/*
 * Moves slots with their keys: many at once, in rounds. A round sends what
 * every slot under way needs next, to all nodes, pipelined, and waits for all
 * answers. The order within a slot is what no key is lost by: its keys are
 * looked at; IMPORTING on the target; MIGRATING on the source; MIGRATE until the
 * source says that it has none; NODE on the target, on the source, on every other master.
 * Servers that move slots by themselves are left to do so (move_atomic.c), but for slots that are open.
 */
#ifndef RCLUSTER_MOVE_H
#define RCLUSTER_MOVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin.h"

enum move_kind {
	MOVE_OWNED,    /* the source owns the slot */
	MOVE_LEFTOVER, /* the target owns it, the source only holds keys of it, or has it open */
	MOVE_CLAIMED   /* the same, but the source says that it is the owner, too */
};

struct move_task {
	uint16_t slot;
	int16_t source, target; /* of the view */
	enum move_kind kind;
};

struct move_options {
	bool yes;                /* big keys are moved without a question */
	bool replace;            /* keys on both sides that differ: the owner's copy is taken */
	bool quiet;              /* no progress bar */
	bool no_atomic;          /* never by the servers themselves */
	unsigned pipeline;       /* keys a MIGRATE takes at most; 0: by bytes and time alone */
	unsigned migrate_ms;     /* time-out of MIGRATE's I/O; 0: 60000 */
	unsigned latency_ms;     /* how long a node may be blocked by one round; 0: 20 */
	long long big_bytes;     /* keys above are big: asked about, and moved by themselves; 0: 16 MB */
	double keys_per_s, bytes_per_s; /* 0: no limit */
};

struct move_totals {
	size_t slots; /* done */
	size_t left;  /* not done */
	unsigned long long keys, bytes;
};

/*
 * Does the tasks, which each name another slot, for the view of now; then waits until all nodes that
 * answer, replicas too, agree that the targets own the slots. A node is never source and target at the same time.
 * A signal (catch_interrupts()) ends it with the slots under way left open, in a state that half.h goes on from.
 * Returns whether all is done; else why was reported. The view is a new one afterwards.
 */
bool move_run(struct admin *admin, const struct move_task task[], size_t count, const struct move_options *options,
	      struct move_totals *totals);

#endif
