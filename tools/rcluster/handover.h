/* SPDX-License-Identifier: MIT */
/*
 * A manual failover: a master hands its slots over to a replica, losing nothing.
 */
#ifndef RCLUSTER_HANDOVER_H
#define RCLUSTER_HANDOVER_H

#include <shard/client.h>

#include "health.h"

/* The replica that can take over from NODE; -1: NODE is no master, or has none, or no slots to hand over. */
int handover_find(const struct health *health, const struct layout *layout, unsigned node);

/*
 * Makes REPLICA the master in place of NODE and waits, up to END (now_ms()),
 * until all nodes know it. Returns -1, or the node that is in the way, and WHY.
 */
int handover_to(shard_client *client, const struct layout *layout, unsigned node, unsigned replica, int64_t end,
		char why[WHY_SIZE]);

#endif
