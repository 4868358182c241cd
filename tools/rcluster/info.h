/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a view, for people and as JSON.
 */
#ifndef RCLUSTER_INFO_H
#define RCLUSTER_INFO_H

#include <jansson.h>

#include "view.h"

/*
 * A record a node: HOST:PORT ID ROLE MASTER KEYS SLOTS REPLICAS STATE, split by TABs, in columns with a heading on a
 * terminal.
 */
void info_print(const struct view *view);

/* {"nodes":[...],"masters":N,"keys":N,"covered":N}, for the caller. */
json_t *info_json(const struct view *view);

#endif
