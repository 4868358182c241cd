/* SPDX-License-Identifier: MIT */
/*
 * What was seen of keys, kept for as long as it is true.
 *
 * The servers tell which keys change (shard/tracking.h). While a key is
 * watched, what one look at it has shown answers LOOKUP, GETATTR, OPEN and
 * READ here, and the kernel may keep its attributes; when it changes, or
 * cannot be watched any more, it is dropped here and there.
 *
 * A look is kept only where nothing was told of its key between the question
 * and the answer, which came from the node that is watched, and where this
 * mount has not written the key meanwhile. It lives no longer than the key.
 */
#ifndef FUSEFS_CACHE_H
#define FUSEFS_CACHE_H

#include <stdbool.h>
#include <stdint.h>

#include <shard/tracking.h>

struct fs;
struct fuse_entry_param;
struct inode;
struct op;
struct sight;

#define CACHE_LOOKS 256 /* buckets of looks under way */

struct cache {
	shard_tracking *tracking; /* NULL: off */
	struct look_mark *looks[CACHE_LOOKS];
	bool told;                /* that some node cannot be tracked */
	enum { EPOCHS_UNKNOWN, EPOCHS_NONE, EPOCHS_THERE } epochs; /* whether the kernel forgets names without waiting */
	uint64_t hits, misses, changes;
	uint64_t writes;             /* of this mount, that have ended; ... */
	uint64_t wrote[CACHE_LOOKS]; /* ... and the number of the last one, by the key's hash */
};

/* Of a look under way, in its probe. */
struct look_mark {
	struct look_mark *prev, *next;
	struct look_mark **head; /* NULL: not under way */
	uint64_t hash;
	shard_mark mark;
	bool good; /* nothing speaks against keeping it */
};

/* Begins to track, where the options want it. 0 or an errno. */
int cache_start(struct fs *fs);
void cache_stop(struct fs *fs);

/* A look at the op's key begins: returns whether its outcome may be kept. */
bool cache_look_begins(struct op *op);
/* A part of the answer came from NODE. */
void cache_look_came(struct op *op, const char *node);
void cache_look_ends(struct op *op);

/* Keeps what OP's look has shown of INODE as long as it is true, where that will be known. Returns whether it does. */
bool cache_keep_true(struct op *op, struct inode *inode);

/* The same, and else for what follows a LOOKUP or an OPEN at once. */
void cache_keep(struct op *op, struct inode *inode);

/* What is known to be true of INODE now; or NULL. */
const struct sight *cache_hit(struct fs *fs, struct inode *inode);

/*
 * Whether a write of KEY has ended since there had been BEGAN of them: who asked before may not take what came for
 * what is true now. (By one connection to a node the answers come in order; by those of several threads they do not.)
 */
bool cache_is_late(const struct fs *fs, const char *key, size_t key_len, uint64_t began);

/* This mount has changed the key: looks that began before are void. */
void cache_wrote(struct fs *fs, const char *key, size_t key_len);

/* The kernel is to ask again about INODE. */
void cache_revoke(struct fs *fs, struct inode *inode);

/*
 * For how long the kernel may keep the attributes of INODE that TOLD (or NULL)
 * has shown, in seconds; it is remembered that it may.
 */
double cache_grant(struct fs *fs, struct inode *inode, const struct sight *told);

/* For how long it may keep the name of one whose attributes it may keep for SECONDS. */
double cache_grant_name(struct fs *fs, double seconds);

#endif
