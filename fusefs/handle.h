/* SPDX-License-Identifier: MIT */
/*
 * Open files, and the version of the value that each of them reads.
 *
 * A reader goes on with the version that it has begun. It gets a newer one
 * when it begins anew (at offset 0), or where the newer one only continues
 * its own (tail -f).
 */
#ifndef FUSEFS_HANDLE_H
#define FUSEFS_HANDLE_H

#include "fs.h"
#include "pending.h"

/* How much of the end of a version that is not loaded whole is remembered. */
#define HANDLE_EDGE 4096

struct version {
	struct buffer *value; /* all of it; or NULL */
	size_t size;
	uint64_t at;          /* when it came, in ms */
	uint64_t changes;     /* inode->changes at that time */
	bool known;
	bool ranges;          /* it is read piece by piece, whatever its size */
};

struct load;

struct handle {
	struct handle *prev, *next; /* of all open files */
	struct handle *prev_same, *next_same; /* of this inode's */
	struct fs *fs;
	struct inode *inode; /* held */
	unsigned holds;
	bool reads, writes, appends;
	pid_t opener; /* the thread */
	struct pending *pending; /* the transaction that it writes through, or NULL */
	struct version now, newer;
	bool paged;   /* it shares the kernel's pages, see pages.h */
	bool started; /* a READ was answered from `now` */
	bool ended;   /* the reader has seen the end of `now`, before `newer` came */
	/* Of a version that is not loaded whole: what was fetched, ahead too, and so what the reader has; or NULL. */
	struct buffer *chunk;
	size_t chunk_at;
	struct load *load;    /* of such a version, under way; or NULL */
	size_t next_read;     /* where a sequential reader goes on */
	char *edge;           /* the last bytes of such a version, once they were read; or NULL */
	size_t edge_len;
};

/* FLAGS are open()'s. With a hold; NULL when out of memory. */
struct handle *handle_create(struct fs *fs, struct inode *inode, int flags);
struct handle *handle_hold(struct handle *handle);
void handle_drop(struct handle *handle); /* NULL is fine */

/* The kernel has let go of it: ends its transaction, and drops it. */
void handle_close(struct handle *handle);

/* The same for one that nobody has got: the open() failed, so it must not truncate. */
void handle_abandon(struct handle *handle);

/* Takes part in the inode's transaction. 0 or an errno. */
int handle_begin(struct handle *handle, enum transaction_origin origin);

/* Whether a READ at OFFSET needs a look at the key first. */
bool handle_needs_look(struct handle *handle, size_t offset);

/* A look at the key has shown a string: takes it up, or remembers it for when it may. */
void handle_saw(struct handle *handle, const struct sight *sight);

/* The same for all handles of an inode. */
void handle_all_saw(struct inode *inode, const struct sight *sight);

/* What an open file still shows of INODE, whose key is gone; NULL where nobody has loaded it. */
const struct version *handle_any_version(const struct inode *inode);

/* Bytes of a version that is not loaded whole were read. */
void handle_read(struct handle *handle, size_t offset, const char *bytes, size_t len);

/* The reader was told that its version is at its end. */
void handle_ended(struct handle *handle);

/* The version goes on: LEN bytes at OFFSET were read. It is read piece by piece from here on; SIZE is known of. */
void handle_grew(struct handle *handle, size_t offset, const char *bytes, size_t len, size_t size);

/* All of the version has come: it is VALUE (a reference is taken). */
void handle_loaded(struct handle *handle, struct buffer *value);

/* Takes up VALUE (a reference is taken) as a version of its own. */
void handle_take(struct handle *handle, struct buffer *value);

static inline struct handle *handle_of(const struct fuse_file_info *fi)
{
	return fi ? (struct handle *)(uintptr_t)fi->fh : NULL;
}

#endif
