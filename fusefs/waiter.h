/* SPDX-License-Identifier: MIT */
/*
 * Who reads a %log and is told by poll() when there is more.
 *
 * A change of the stream that the servers tell of wakes whoever sleeps in
 * poll(): the kernel asks again, and the look that follows (log.h) says
 * whether there is anything new. Where changes are not told of, it asks again
 * every second, as long as somebody sleeps.
 */
#ifndef FUSEFS_WAITER_H
#define FUSEFS_WAITER_H

#include "fs.h"

/* One open file. */
struct waiter {
	struct waiter *prev, *next; /* of those with `handle` */
	struct fs *fs;
	struct inode *inode; /* the %log, held */
	unsigned holds;
	struct fuse_pollhandle *handle; /* what the kernel is told by that sleepers are to look again; or NULL */
	size_t at;                      /* up to here it has been read */
};

struct waiter *waiter_create(struct fs *fs, struct inode *inode); /* with a hold; or NULL */
struct waiter *waiter_hold(struct waiter *waiter);
void waiter_drop(struct waiter *waiter);

/* Takes HANDLE, or NULL: nobody sleeps. */
void waiter_expect(struct waiter *waiter, struct fuse_pollhandle *handle);

/* Nobody will tell of a change of what this one waits for. */
void waiter_look_later(struct waiter *waiter);

/* The key has changed; some may have. */
void waiter_changed(struct fs *fs, const char *key, size_t key_len);
void waiter_unsure(struct fs *fs);

#endif
