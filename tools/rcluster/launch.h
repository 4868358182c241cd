/* SPDX-License-Identifier: MIT */
/*
 * Starting nodes, and saying what went wrong with one.
 */
#ifndef RCLUSTER_LAUNCH_H
#define RCLUSTER_LAUNCH_H

#include <stdbool.h>
#include <stdint.h>

#include "layout.h"

/*
 * Starts the nodes that WHICH names and waits, up to END (now_ms()), until they
 * listen. false: an error was printed; those that did start run on.
 */
bool launch(const struct layout *layout, const bool which[], const char *program, int64_t end);

/* Prints "node PORT: WHY" and the end of its log; after an interrupt just that. */
void launch_explain(const struct layout *layout, unsigned node, const char *why);

#endif
