/* SPDX-License-Identifier: MIT */
/*
 * Open files in .shardfs.
 */
#ifndef FUSEFS_CONTROL_FILE_H
#define FUSEFS_CONTROL_FILE_H

#include "control_place.h"

struct control_reading;

struct control_file {
	struct control_file *prev, *next; /* of all open ones */
	struct fs *fs;
	struct inode *inode; /* held */
	unsigned holds;
	struct buffer *text;
	/* The keys of a node: the text grows while it is read. */
	bool grows;
	char *node;
	char cursor[24];                 /* of SCAN */
	bool asking;                     /* a SCAN is under way */
	struct control_reading *waiting; /* READs, the first one first */
};

#endif
