/* SPDX-License-Identifier: MIT */
/*
 * Files that are written from one end: a list's %push, where all that is
 * written up to a close() is one new element, and a stream's %log, where each
 * line is a new entry. A %log is read, too (log.h).
 */
#ifndef FUSEFS_FEED_H
#define FUSEFS_FEED_H

#include "fs.h"

struct feed;

/* The kernel has let go of it: what was not stored is sent. */
void feed_close(struct feed *feed);

#endif
