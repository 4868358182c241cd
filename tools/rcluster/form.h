/* SPDX-License-Identifier: MIT */
/*
 * Makes a cluster of empty nodes.
 */
#ifndef RCLUSTER_FORM_H
#define RCLUSTER_FORM_H

#include <shard/client.h>

#include "health.h"

/*
 * Epochs, slots, MEET, REPLICATE; returns when every replica was told its
 * master. Blocks up to END (now_ms()). Returns -1, or the node where it failed, and WHY.
 */
int form_cluster(shard_client *client, const struct layout *layout, int64_t end, char why[WHY_SIZE]);

#endif
