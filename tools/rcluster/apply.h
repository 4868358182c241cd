/* SPDX-License-Identifier: MIT */
/*
 * What the verbs that move slots have in common: their options, and the way
 * from a plan to a cluster that is so: show, ask, move, verify.
 */
#ifndef RCLUSTER_APPLY_H
#define RCLUSTER_APPLY_H

#include <argp.h>
#include <stdbool.h>

#include "admin.h"
#include "move.h"
#include "plan.h"
#include "unfinished.h"

struct apply {
	struct admin admin;
	struct move_options move;
	const char *plan; /* --plan, or NULL */
	bool dry_run, json;
	struct unfinished *unfinished; /* where the plan is kept while it is done; NULL: nowhere */
};

/* The options of all movers as a child parser, admin.h's included; its input is a struct apply *. */
extern const struct argp apply_argp;

/*
 * Has the moves that were cut off go on, after a question; with --dry-run only says which there are. Then nothing may
 * be wrong that keeps slots from being moved. False: why not was reported.
 */
bool apply_begin(struct apply *apply);

/* Prints the plan, asks, moves, verifies, prints what was done. Returns the exit status. */
int apply_plan(struct apply *apply, const struct plan *plan);

/* The plan of --plan, done likewise. */
int apply_file(struct apply *apply);

/* Asked for on the terminal as the options want it: admin.yes, and time-outs. */
void apply_options(struct apply *apply);

#endif
