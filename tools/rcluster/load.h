/* SPDX-License-Identifier: MIT */
/*
 * What a slot weighs: by one, by its keys, its bytes or its traffic.
 */
#ifndef RCLUSTER_LOAD_H
#define RCLUSTER_LOAD_H

#include <stdbool.h>

#include "admin.h"

enum load_kind { LOAD_SLOTS, LOAD_KEYS, LOAD_BYTES, LOAD_TRAFFIC, LOAD_KINDS };

extern const char *const load_names[LOAD_KINDS];

/*
 * The load of every slot, as its owner tells it: CLUSTER SLOT-STATS where the
 * server has it. Else keys are counted; bytes are those of a few keys of the slot (MEMORY
 * USAGE) times their number; traffic is how lately a few keys of the slot were
 * used (OBJECT FREQ, else IDLETIME) times their number. LOAD has room for
 * SHARD_SLOTS. *SAMPLED: whether it is an estimate. False: an error was reported.
 */
bool load_look(const struct admin *admin, enum load_kind kind, double load[], bool *sampled);

#endif
