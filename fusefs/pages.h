/* SPDX-License-Identifier: MIT */
/*
 * Small values in the kernel's page cache (-o cache=pages).
 *
 * A handle that only reads shares the kernel's pages where the value fits in
 * one: then no read() gets parts of two versions. But a reader that needs two
 * may, as with any file that is written in place: the kernel asks nobody at the
 * second, so nobody can hold it to the version that it has begun. The kernel drops its
 * pages when it is told another size or mtime; so what it fills them with is
 * the very value whose size and mtime it was told last, kept here for as long
 * as such a handle is open, even where a newer one is known by now.
 */
#ifndef FUSEFS_PAGES_H
#define FUSEFS_PAGES_H

#include "handle.h"

/* A handle is about to be told of: decides whether it goes through the page cache, and sets FI's flags for it. */
void pages_open(struct handle *handle, struct fuse_file_info *fi);
void pages_close(struct handle *handle);

/* The kernel is being told what TOLD has shown of INODE; NULL: something else. */
void pages_tell(struct inode *inode, const struct sight *told);

/* Answers a READ of such a handle. False: it is to be answered in another way. */
bool pages_read(fuse_req_t req, const struct handle *handle, size_t size, size_t offset);

#endif
