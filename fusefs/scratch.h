/* SPDX-License-Identifier: MIT */
/*
 * -o scratch=memory: the files that editors make and remove again are kept in
 * the memory of this mount, if they were created with O_EXCL and no key has
 * their name. Renamed, such a file becomes a key. No key ever becomes one.
 */
#ifndef FUSEFS_SCRATCH_H
#define FUSEFS_SCRATCH_H

#include "fs.h"
#include "op.h"

/* Whether a file that is created by this name is one of those. */
bool scratch_wanted(const struct fs *fs, const char *key, size_t key_len);

/* INODE, which has a transaction, is kept in memory. */
void scratch_keep(struct fs *fs, struct inode *inode);

/* It is not any more: its transaction goes on by itself. */
void scratch_let_go(struct fs *fs, struct inode *inode);

/* At the end: lets all go. */
void scratch_finish(struct fs *fs);

#endif
