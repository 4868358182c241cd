/* SPDX-License-Identifier: MIT */
/*
 * The plan of a reshard, kept in the runtime directory while it is done: the same command goes on with it after an
 * interrupt or a crash. A file for each target, whose first line is a title that says what was asked for; the rest
 * is a plan as plan_read() takes it.
 */
#ifndef RCLUSTER_UNFINISHED_H
#define RCLUSTER_UNFINISHED_H

#include <stdbool.h>

#include "plan.h"

struct unfinished {
	char *path; /* NULL: there is no runtime directory */
	char *title;
};

/* TITLE, a line that begins with '#' and is malloc'ed, is taken over. Free with unfinished_finish(). */
void unfinished_init(struct unfinished *unfinished, const char *target_id, char *title);
void unfinished_finish(struct unfinished *unfinished);

/* Whether there is one with this title. */
bool unfinished_found(const struct unfinished *unfinished);

/* Keeps PLAN, in place of any other of this target. Where that cannot be it is told, and is no more than that. */
void unfinished_keep(const struct unfinished *unfinished, const struct plan *plan, const struct view *view);
void unfinished_drop(const struct unfinished *unfinished);

#endif
