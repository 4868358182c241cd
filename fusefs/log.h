/* SPDX-License-Identifier: MIT */
/*
 * The text of a stream: a line an entry, ID TAB FIELD TAB VALUE..., with the
 * escapes that the tools' records have. It exists while somebody reads it, and
 * only grows: entries that are removed from the stream meanwhile stay.
 */
#ifndef FUSEFS_LOG_H
#define FUSEFS_LOG_H

#include "fs.h"
#include "waiter.h"

struct log;

/* The text of INODE, a %log; NULL when out of memory. Left as often as joined. */
struct log *log_join(struct inode *inode);
void log_leave(struct log *log);

/* What is known of its size. */
size_t log_size(const struct inode *inode);

/*
 * Answers after a look at what is new, where that is not known (cache.h). INODE has a log. WAITER is
 * told how far it was read; a POLL is answered by whether there is more.
 */
void log_getattr(fuse_req_t req, struct inode *inode);
void log_read(fuse_req_t req, struct waiter *waiter, struct log *log, size_t size, size_t offset);
void log_poll(fuse_req_t req, struct waiter *waiter, struct log *log);

#endif
