/* SPDX-License-Identifier: MIT */
/*
 * A plan: which slots move from which node to which. As text a line
 * `FIRST-LAST SOURCE TARGET` for each run of slots.
 */
#ifndef RCLUSTER_PLAN_H
#define RCLUSTER_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "admin.h"
#include "move.h"

struct plan {
	int16_t target[SHARD_SLOTS]; /* of the view; VIEW_NOBODY: stays; else the owner of the view is the source */
};

void plan_init(struct plan *plan);
size_t plan_count(const struct plan *plan); /* slots that move */
void plan_print(const struct plan *plan, const struct view *view);
char *plan_text(const struct plan *plan, const struct view *view); /* malloc'ed; nodes by their ids */
json_t *plan_json(const struct plan *plan, const struct view *view);

/*
 * Reads one from the file at PATH, "-": standard input. Empty lines and what
 * follows a '#' are passed over. Slots that are at their target already are no
 * part of it; a slot that neither its source nor its target owns is an error.
 * False: the mistake was reported, with its line.
 */
bool plan_read(struct plan *plan, const struct view *view, const char *path);

/* COUNT slots to TARGET from SOURCES, each giving in proportion to its slots, its lowest first. */
void plan_share(struct plan *plan, const struct view *view, const int sources[], size_t source_count, int target,
		unsigned count);

/* The tasks of a plan, malloc'ed; *COUNT of them. */
struct move_task *plan_tasks(const struct plan *plan, const struct view *view, size_t *count);

#endif
