/* SPDX-License-Identifier: MIT */
/*
 * JSON on standard output.
 */
#ifndef RCLUSTER_SHOW_H
#define RCLUSTER_SHOW_H

#include <jansson.h>

/* Prints VALUE and a newline (indented on a terminal), and frees it. */
void show_json(json_t *value);

#endif
