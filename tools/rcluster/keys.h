/* SPDX-License-Identifier: MIT */
/*
 * How many keys a node holds in each slot.
 */
#ifndef RCLUSTER_KEYS_H
#define RCLUSTER_KEYS_H

#include <stdbool.h>

#include "admin.h"

/* CLUSTER COUNTKEYSINSLOT of all slots, pipelined. KEYS has room for SHARD_SLOTS. False: an error was reported. */
bool keys_count(const struct admin *admin, unsigned node, long long keys[]);

/* The same of the slots that are set in WANTED; the KEYS of others are left as they are. */
bool keys_count_of(const struct admin *admin, unsigned node, const bool wanted[], long long keys[]);

#endif
