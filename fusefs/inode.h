/* SPDX-License-Identifier: MIT */
/*
 * Inodes: the keys that the kernel, an open file or a request knows of.
 *
 * An inode lives as long as the kernel's look-ups and our holds are not zero.
 * It is found by its key until the key is removed or replaced through this
 * mount; then it is `gone`: its handles go on, its name is someone else's.
 */
#ifndef FUSEFS_INODE_H
#define FUSEFS_INODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include <shard/tracking.h>

#include "kind.h"
#include "name.h"
#include "sight.h"

struct cache_listed;
struct handle;
struct log;
struct pending;
struct inode_table;

struct inode {
	struct inode *next; /* in the table's bucket */
	struct inode_table *table;
	enum kind kind; /* for ever: a key that becomes one of another type gets another inode */
	uint64_t hash;  /* name_hash() of the key; of a member, of both */
	char *key;      /* of a member: its directory's */
	size_t key_len;
	struct inode *parent; /* the directory that it is a member of, held; or NULL */
	char *member;         /* what it is in there */
	size_t member_len;
	struct inode *children, *last_child; /* of a directory: those of its members that have inodes */
	struct inode *older_sibling, *newer_sibling;
	struct cache_listed *listed; /* of a directory, or NULL: see cache.h */
	struct log *log;  /* of a stream's entries, while they are open for reading; or NULL */
	bool kept;        /* inode_set_kept(): an empty directory: no key, it is in the memory of this mount alone */
	uint64_t lookups; /* what the kernel will FORGET */
	unsigned holds;
	bool gone;
	bool scratch; /* its value is in the memory of this mount alone */
	mode_t mode;  /* set by chmod; 0 with has_mode false: the default */
	bool has_mode;
	struct timespec atime, mtime, ctime;
	uint64_t print; /* fingerprint of the value last seen */
	bool has_print;
	uint32_t seen, noted; /* how often another value was seen; and when that was told to inotify */
	bool odd;                /* the value last seen was none, empty, or large */
	struct handle *handles;  /* that have it open */
	struct pending *pending; /* the transaction, or NULL */
	uint64_t changes;        /* direct writes through this mount */
	/* What a LOOKUP has fetched, for what follows it at once. */
	struct sight fresh;
	bool has_fresh;
	bool attr_served;      /* a GETATTR was answered from it */
	/* With it, where changes are told of (cache.h): it is true while the mark holds, up to `expires`. */
	bool watched;
	shard_mark mark;
	uint64_t expires; /* ms */
	unsigned paged;      /* open handles that share the kernel's pages (pages.h), ... */
	struct buffer *told; /* ... and what those are filled with; or NULL */
	/* What the kernel has of it: inode_grant(), cache.c. */
	bool granted;     /* attributes, under `grant` */
	bool looked;      /* since it was last told to have changed */
	bool checking;    /* what it is is being asked ... */
	bool recheck;     /* ... and is to be asked again */
	bool changed;     /* since a value was last seen */
	bool active;      /* of a member: it is `watched` or `granted`; then it is among the first of `children` */
	bool unmade;      /* it did not have the inode when it was to be told that it changed */
	shard_mark grant;
	struct inode *prev_granted, *next_granted; /* of its slot */
	size_t granted_size;
	uint64_t named_at;   /* when it was given a name for it, in ms; 0: never */
	uint64_t late_until; /* ms; while it is in the list of those that the kernel is still to be told of */
	struct inode *prev_late, *next_late;
	struct inode *older, *newer; /* in the list of those that have one */
};

/* What is remembered of an inode that the kernel has forgotten: its mode, its times, and what these belong to. */
struct past {
	uint64_t hash, print;
	bool has_print, has_mode;
	mode_t mode;
	struct timespec atime, mtime, ctime;
};

#define INODE_PAST 4096

struct inode_table {
	struct inode **bucket;
	size_t bucket_count; /* a power of two */
	size_t count;
	struct inode *oldest, *newest; /* with `fresh` */
	size_t fresh_bytes, fresh_limit;
	struct past *past; /* INODE_PAST of them, by hash; or NULL */
	size_t kept_count; /* how many are `kept` */
	struct inode *late, *last_late; /* see there */
	struct inode **granted; /* by slot; NULL: none ever was */
};

int inode_table_init(struct inode_table *table, size_t fresh_limit); /* 0 or ENOMEM */
void inode_table_finish(struct inode_table *table); /* frees all inodes, held or not */

/* Borrowed; NULL where nobody knows the key. */
struct inode *inode_find(const struct inode_table *table, const char *key, size_t key_len);
struct inode *inode_find_hashed(const struct inode_table *table, const struct name *name);

/* Its hash in its directory: what inode numbers are made of. */
uint64_t inode_member_hash(const struct inode *parent, const char *member, size_t member_len);
struct inode *inode_find_member(const struct inode *parent, const char *member, size_t member_len);

/*
 * With a hold for the caller; NULL when out of memory. The key's inode of
 * another kind leaves.
 */
struct inode *inode_get(struct inode_table *table, enum kind kind, const char *key, size_t key_len,
			struct timespec born);
struct inode *inode_get_member(struct inode *parent, enum kind kind, const char *member, size_t member_len,
			       struct timespec born);

/* An inode that is in no table (the root), with a hold. */
struct inode *inode_alone(enum kind kind, struct timespec born);

struct inode *inode_hold(struct inode *inode);
void inode_drop(struct inode *inode); /* NULL is fine */
void inode_forget(struct inode *inode, uint64_t lookups);

/* Whether its value is no key's (any more): then it is in its transaction, if anywhere. */
static inline bool inode_in_memory(const struct inode *inode)
{
	return inode->gone || inode->scratch;
}

/* One that is kept lives on when the kernel has forgotten it. One that is not any more may be freed. */
void inode_set_kept(struct inode *inode, bool kept);

/* Calls back for all that are kept. */
void inode_each_kept(const struct inode_table *table, void (*callback)(void *ctx, const struct inode *inode),
		     void *ctx);

/* Its name is someone else's from now on, and those of its members. Back again: only while nobody has taken it. */
void inode_leave(struct inode *inode);
void inode_return(struct inode *inode);

/* Gives a key's inode another key, and so to its members; the one that has it leaves. 0 or ENOMEM. */
int inode_rename(struct inode *inode, const char *key, size_t key_len);

/* The same within a directory, for a member. */
int inode_rename_member(struct inode *inode, const char *member, size_t member_len);

/* What one value has in common with no other; what is too large has but its size. */
uint64_t inode_fingerprint(const struct sight *sight);

/* A value was seen: bumps mtime and ctime where it is another one than before. */
void inode_saw(struct inode *inode, const struct sight *sight, struct timespec now);

/* A value was written through this mount: the times are NOW, what is seen next is no further change. */
void inode_wrote(struct inode *inode, struct timespec now);

/* Nobody has the key: nothing is remembered of it. */
void inode_no_past(struct inode_table *table, const char *key, size_t key_len);

/* The key was not there: what was known of it is void. */
void inode_missed(struct inode *inode, struct timespec now);

/* Keeps SIGHT for FS_FRESH_MS, or, made `watched`, for as long as there is room; a reference to its bytes is taken. */
void inode_keep(struct inode *inode, const struct sight *sight);
void inode_used(struct inode *inode); /* it is to be kept rather than others */
void inode_stale(struct inode *inode);
const struct sight *inode_fresh(struct inode *inode, uint64_t now_ms); /* or NULL */
void inode_expire(struct inode_table *table, uint64_t now_ms);

/* A look at a member is kept, or its attributes granted: see cache.c. */
void inode_set_active(struct inode *inode);

/* The kernel keeps its attributes, true under MARK, or does not any more. 0 or ENOMEM. */
int inode_grant(struct inode *inode, const shard_mark *mark);
void inode_ungrant(struct inode *inode);

/* Calls EACH for all granted ones of slots where the first one's mark does not hold; it may ungrant them. */
void inode_each_lost(struct inode_table *table, const shard_tracking *tracking,
		     void (*each)(void *ctx, struct inode *inode), void *ctx);

/* The last in the list of those that the kernel is to be told of, up to UNTIL; or not any more. */
void inode_set_late(struct inode *inode, uint64_t until);
void inode_unset_late(struct inode *inode);

/* Calls EACH for all; it may not free any. */
void inode_each(struct inode_table *table, void (*each)(void *ctx, struct inode *inode), void *ctx);

#endif
