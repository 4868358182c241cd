/* SPDX-License-Identifier: MIT */
/*
 * The nodes as a table: PORT PID ROLE MASTER SLOTS STATE LINK.
 */
#ifndef RCLUSTER_TABLE_H
#define RCLUSTER_TABLE_H

#include <stdio.h>

#include "health.h"

enum table_style {
	TABLE_RECORDS, /* a record a node, fields split by a TAB */
	TABLE_COLUMNS  /* for people: a heading, and columns */
};

/* EOL ends each line of TABLE_COLUMNS. */
void table_print(FILE *out, enum table_style style, const char *eol, const struct health *health,
		 const struct layout *layout);

#endif
