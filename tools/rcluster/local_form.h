/* SPDX-License-Identifier: MIT */
/*
 * The nodes of a local layout, as form.h takes them.
 */
#ifndef RCLUSTER_LOCAL_FORM_H
#define RCLUSTER_LOCAL_FORM_H

#include "form.h"
#include "layout.h"

/* All nodes of LAYOUT, in their first roles. Free with local_form_finish(). */
void local_form_init(struct form *form, shard_client *client, const struct layout *layout, int64_t end);
void local_form_finish(struct form *form);

#endif
