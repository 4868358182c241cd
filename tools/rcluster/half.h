/* SPDX-License-Identifier: MIT */
/*
 * Half-moved slots: where each of them is to go on, by what the nodes say of
 * it (never by who has more keys).
 */
#ifndef RCLUSTER_HALF_H
#define RCLUSTER_HALF_H

#include <stdbool.h>
#include <stddef.h>

#include "admin.h"
#include "move.h"

/*
 * A task that completes or takes back each slot that is open or claimed twice;
 * with STRAYS also of those whose keys a master holds that does not own them.
 * - The owner is migrating it to T, or one T is importing it from the owner: owner to T, from the beginning.
 * - T owns it, and S has it open or claims it: what S holds goes to T, S is made stable.
 * A slot of which several nodes hold something has a task for each, the owner's own last; run them in
 * rounds (half_run()). Slots that have no owner are no business of this. False: why was reported.
 */
bool half_plan(const struct admin *admin, bool strays, struct move_task **task, size_t *count);

/* For people: "SLOT SOURCE TARGET: ..." a line on stdout. */
void half_print(const struct view *view, const struct move_task task[], size_t count);

/* move_run() of tasks that may name a slot more than once. */
bool half_run(struct admin *admin, const struct move_task task[], size_t count, const struct move_options *options);

#endif
