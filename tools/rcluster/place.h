/* SPDX-License-Identifier: MIT */
/*
 * Where clusters live, and which one is the user's: the record of the last
 * `up`, the file local-cluster in the runtime directory. Its first line is
 * the URI (read by every program that is given none), its second the directory.
 */
#ifndef RCLUSTER_PLACE_H
#define RCLUSTER_PLACE_H

#include <stdbool.h>

#include "layout.h"

/* All return malloc'ed absolute paths. NULL: an error was printed. */

/* For `up`: GIVEN, else the default. Made where it is missing. */
char *place_make(const char *given);

/* For the others: GIVEN, else the one that is recorded, else the default. Need not exist. */
char *place_choose(const char *given);

bool place_record(const struct layout *layout); /* false: an error was printed */

/* Removes what `up` made, but for what others put there: node files, layout, lock, record, and empty directories. */
bool place_wipe(const struct layout *layout); /* false: an error was printed */

/* Removes DIR and the lock in it where nothing else is there. */
void place_discard(const char *dir);

/* Removes the directory of a node, or those of all. false: an error was printed. */
bool place_wipe_node(const struct layout *layout, unsigned node);
bool place_wipe_nodes(const struct layout *layout);

#endif
