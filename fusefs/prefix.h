/* SPDX-License-Identifier: MIT */
/*
 * Directories that are the starts of keys (-o sep, -o tree): their inodes, and
 * what the names in them stand for. The root is one of them; without these
 * options it is the only one.
 *
 * The inodes are members of one that no table has, by their prefixes.
 */
#ifndef FUSEFS_PREFIX_H
#define FUSEFS_PREFIX_H

#include "fs.h"
#include "op.h"

/* 0 or ENOMEM. After the table of inodes is there. */
int prefix_start(struct fs *fs);
void prefix_finish(struct fs *fs); /* after the table of inodes is finished */

/* Whether there are such directories. */
static inline bool prefix_used(const struct fs *fs)
{
	return fs->tree.sep_len;
}

/* Whether one is there only where keys are (-o tree). */
static inline bool prefix_needs_keys(const struct fs *fs)
{
	return fs->tree.sep_len && !fs->tree.shown;
}

/* The prefix of DIR; of the root it is empty. */
const char *prefix_of(const struct inode *dir, size_t *len);

/*
 * The inode of PREFIX: with a hold, NULL when out of memory; or borrowed, NULL where there is none. The
 * root's is not.
 */
struct inode *prefix_get(struct fs *fs, const char *prefix, size_t len);
struct inode *prefix_find(const struct fs *fs, const char *prefix, size_t len);

/* What is listed in the directory of KEY, or of the directory PREFIX, has changed now. */
void prefix_touch(struct fs *fs, const char *key, size_t len);
void prefix_touch_dir(struct fs *fs, const char *prefix, size_t len);

/* What a name in a directory stands for. PATH is malloc'ed where the kind is not PLACE_NONE. 0 or ENOMEM. */
int prefix_decode(const struct fs *fs, const struct inode *dir, const char *name, struct tree_place *place,
		  char **path);

/* prefix_lookup.c */
void prefix_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void prefix_getattr(fuse_req_t req, fuse_ino_t ino);

/* prefix_dir.c */
void prefix_mkdir(fuse_req_t req, const char *prefix, size_t len);
void prefix_rmdir(fuse_req_t req, const char *prefix, size_t len);

/* Stores a marker in a directory, if there is no such key. False: the op was answered with an error. */
bool prefix_mark(struct op *op, const char *prefix, size_t len, op_step step);

/* Whether KEY has the name of a marker, the one of the directory that it is in. */
bool prefix_is_marker(const struct fs *fs, const char *key, size_t len);

/*
 * KEY, or with DIR all that is below it, is about to leave its directory: where that would be gone without it, it gets
 * a marker; STEP is called with the outcome. Returns false where there is nothing to do. A key that has the marker's own
 * name must leave one behind.
 */
bool prefix_keep(struct op *op, const char *key, size_t len, bool dir, op_step step);

#endif
