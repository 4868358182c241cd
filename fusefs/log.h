/* SPDX-License-Identifier: MIT */
/*
 * The text of a stream: a line an entry, ID TAB FIELD TAB VALUE..., with the
 * escapes that the tools' records have. It exists while somebody reads it, and
 * only grows: entries that are removed from the stream meanwhile stay.
 */
#ifndef FUSEFS_LOG_H
#define FUSEFS_LOG_H

#include "fs.h"

struct log;

/* The text of INODE, a %log; NULL when out of memory. Left as often as joined. */
struct log *log_join(struct inode *inode);
void log_leave(struct log *log);

/* What is known of its size. */
size_t log_size(const struct inode *inode);

/* Answers after a look at what is new. INODE has a log. */
void log_getattr(fuse_req_t req, struct inode *inode);
void log_read(fuse_req_t req, struct inode *inode, struct log *log, size_t size, size_t offset);

#endif
