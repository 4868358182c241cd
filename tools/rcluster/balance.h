/* SPDX-License-Identifier: MIT */
/*
 * A plan that gives every master its share of the load.
 */
#ifndef RCLUSTER_BALANCE_H
#define RCLUSTER_BALANCE_H

#include <stdbool.h>

#include "plan.h"

/*
 * WEIGHT: of each node of the view; negative: the node takes no part. Nothing is to be moved where
 * no node is more than THRESHOLD percent above or below its share. Where every
 * slot has the load 1 shares are exact, to one slot; else each move makes the greatest difference smaller.
 * Returns whether there is anything to move.
 */
bool balance_plan(struct plan *plan, const struct view *view, const double weight[], const double load[],
		  double threshold);

#endif
