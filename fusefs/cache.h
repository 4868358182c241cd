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
struct fuse_file_info;
struct inode;
struct op;
struct sight;

#define CACHE_RECENT 8192

struct cache {
	shard_tracking *tracking; /* NULL: off */
	uint64_t turn;            /* how often something was told, of any key */
	uint64_t recent[CACHE_RECENT]; /* by hash: the turn in which such a key was told of last */
	bool told;                /* that some node cannot be tracked */
	/* Whether the kernel forgets names without waiting. */
	enum { EPOCHS_UNKNOWN, EPOCHS_NONE, EPOCHS_THERE } epochs;
	uint64_t forgot_at;       /* when it was told to last, in ms */
	shard_timer *late;        /* while some inodes are still to be told of */
	size_t prune_at;          /* with more inodes than that the kernel is to let go of some; SIZE_MAX: it cannot */
	uint64_t pruned_turn;     /* when it last was: names that it has may be without inodes since then */
	uint64_t root_turn;       /* what the root's time belongs to */
	uint64_t listed_turn, listed_until; /* when the kernel's listing began; how long its attributes last, in ms */
	uint64_t hits, misses, changes;
};

/* The moment in which a look at a key began. Copy it freely. */
struct look_mark {
	uint64_t hash, turn;
	shard_mark mark;
	bool good; /* nothing speaks against keeping it */
};

/* Of a directory of members: the listing that the kernel keeps. */
struct cache_listed {
	struct look_mark look;
	uint64_t until; /* ms; 0: it has no attributes, so those who want them had to look up each name */
};

/* Begins to track, where the options want it. 0 or an errno. */
int cache_start(struct fs *fs);
void cache_stop(struct fs *fs);

/* A look at KEY begins: returns whether its outcome may be kept. */
bool cache_look_begins(struct fs *fs, struct look_mark *look, const char *key, size_t key_len);
/* A part of the answer came from NODE. */
void cache_look_came(const struct fs *fs, struct look_mark *look, const char *key, size_t key_len, const char *node);
/* Whether what it has shown is still true. */
bool cache_look_holds(const struct fs *fs, const struct look_mark *look);

/* Keeps what OP's look has shown of INODE as long as it is true, where that will be known. Returns whether it does. */
bool cache_keep_true(struct op *op, struct inode *inode);

/*
 * The same for what a listing has shown under LOOK; EXPIRES as in the inode. What is kept
 * already may be more, and stays. Returns what is kept now; or NULL.
 */
const struct sight *cache_keep_listed(struct fs *fs, struct inode *inode, const struct look_mark *look,
				      const struct sight *sight, uint64_t expires);

/* The same, and else for what follows a LOOKUP or an OPEN at once. */
void cache_keep(struct op *op, struct inode *inode);

/* What is known to be true of INODE now; or NULL. */
const struct sight *cache_hit(struct fs *fs, struct inode *inode);
/* The same without counting it. */
const struct sight *cache_peek(const struct fs *fs, const struct inode *inode);

/*
 * Whether KEY has changed since TURN: who asked then may not take what came for what is true now. (By one connection
 * to a node the answers to our own writes and looks come in order; by those of several threads they do not.)
 */
bool cache_is_late(const struct fs *fs, const char *key, size_t key_len, uint64_t turn);

/* When what is shown under a PTTL that came AT ends, for inode->expires. */
uint64_t cache_expires(long long pttl, uint64_t at);

/* This mount has changed the key: looks that began before are void, and those at its members. */
void cache_wrote(struct fs *fs, const char *key, size_t key_len);

/* The kernel is to ask again about INODE. */
void cache_revoke(struct fs *fs, struct inode *inode);

/*
 * The kernel asks about INODE, so it has it: now it can be told of changes that
 * came before. What it gets from a handle then belongs to its attributes.
 */
void cache_settle(struct fs *fs, struct inode *inode);

/* inode_saw(), and where that is not what the kernel has, it is to ask again. */
void cache_saw(struct fs *fs, struct inode *inode, const struct sight *sight);

/*
 * For how long the kernel may keep the attributes of INODE that TOLD (or NULL)
 * has shown, in seconds; it is remembered that it may.
 */
double cache_grant(struct fs *fs, struct inode *inode, const struct sight *told);

/* For how long it may keep the name of one whose attributes it may keep for SECONDS. */
double cache_grant_name(struct fs *fs, struct inode *inode, double seconds);

/*
 * The kernel keeps the names of a listing of all keys, as long as no change of
 * any key was told: it asks for the root's time when one begins.
 */
void cache_list_opens(struct fs *fs, struct fuse_file_info *fi);
void cache_root_time(struct fs *fs);

/* A listing, which began in TURN, has come to its end, with attributes. */
void cache_listed(struct fs *fs, uint64_t turn);

/* The same of a listing of members. */
void cache_members_open(struct fs *fs, struct inode *dir, struct fuse_file_info *fi);
void cache_members_listed(struct fs *fs, struct inode *dir);

#endif
