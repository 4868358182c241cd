/* SPDX-License-Identifier: MIT */
/*
 * RENAME of a directory that is the start of keys: all of them are moved.
 *
 * Meanwhile the key that is called like the old directory says where they go,
 * unless it has a value; so the same rename, called again after this one was
 * interrupted, goes on with what is left.
 */
#ifndef FUSEFS_RENAME_DIR_H
#define FUSEFS_RENAME_DIR_H

#include "fs.h"

/* Above so many keys it is EXDEV: who wants it copies, and may be interrupted at any time. */
#define RENAME_DIR_MAX 10000

/* FROM and TO are prefixes. */
void rename_dir(fuse_req_t req, const char *from, size_t from_len, const char *to, size_t to_len, bool noreplace);

#endif
