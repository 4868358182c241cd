/* SPDX-License-Identifier: MIT */
/*
 * What is in one directory (-o sep, -o tree), as a listing gets it: first the
 * keys, in batches, then the directories. It is what was there when the walk
 * began, in no order. The key that is %val is one of the keys.
 */
#ifndef FUSEFS_WALK_H
#define FUSEFS_WALK_H

#include "fs.h"

struct walk;

/* NULL when out of memory. */
struct walk *walk_create(struct fs *fs, const struct inode *dir);

/* Asks for the next batch, as shard_scan_next() does; CALLBACK may be called at once. Returns an enum shard_error. */
int walk_next(struct walk *walk, shard_scan_callback callback, void *ctx);

/* The length of the prefix that the keys begin with. */
size_t walk_start(const struct walk *walk);

/* What a batch's error is, as an errno. */
int walk_error(const struct walk *walk);

/* Ends it at any time, in its callback too; no callback comes after it. NULL is fine. */
void walk_destroy(struct walk *walk);

/* After the last batch: the directories. */
size_t walk_dirs(const struct walk *walk);
typedef void (*walk_each)(void *ctx, const char *name, uint64_t number);
void walk_each_dir(const struct walk *walk, walk_each each, void *ctx);

#endif
