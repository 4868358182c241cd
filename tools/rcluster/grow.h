/* SPDX-License-Identifier: MIT */
/*
 * Brings nodes of a layout that stand outside into the cluster that the others are.
 */
#ifndef RCLUSTER_GROW_H
#define RCLUSTER_GROW_H

#include <shard/client.h>

#include "health.h"

/*
 * MEETs those nodes; while there are more masters than the layout has, empty
 * ones become replicas of the masters that have the fewest. Where nobody is
 * outside it does nothing. Blocks up to END (now_ms()). Returns -1, or the
 * node where it failed, and WHY.
 */
int grow_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE]);

#endif
