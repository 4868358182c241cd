/* SPDX-License-Identifier: MIT */
/*
 * A transaction with its inode: opened by handles that truncate or create,
 * stored by SETs of the whole value, waited for by operations.
 */
#ifndef FUSEFS_PENDING_H
#define FUSEFS_PENDING_H

#include "fs.h"
#include "op.h"
#include "transaction.h"

typedef void (*pending_done)(struct op *op, int error);

struct pending_waiter {
	struct pending_waiter *next;
	struct op *op; /* held */
	pending_done done;
	uint64_t serial; /* of the change that it wants to see stored */
};

struct pending {
	struct fs *fs;
	struct inode *inode; /* held */
	struct transaction t;
	unsigned handles;    /* that write through it */
	unsigned holds;      /* the handles, the SET under way, scratch_keep() */
	bool storing;
	bool foreign;        /* the key that it was to create was made by someone else */
	struct pending_waiter *waiters;  /* for their change to be stored */
	struct pending_waiter *settlers; /* until nothing is under way */
	struct buffer *sent; /* what a SET is sending; or NULL */
	struct pending *next_scratch; /* in fs->scratch */
	shard_timer *quiet;
	uint64_t changed_at, stored_at; /* ms */
	uint64_t patience; /* ms, until what costs much is stored at a pause */
};

/*
 * Joins the inode's transaction, truncating it, or begins one. Returns 0 or
 * ENOMEM. Each handle that did this calls pending_close() when it ends.
 */
int pending_open(struct fs *fs, struct inode *inode, enum transaction_origin origin);
void pending_close(struct pending *pending);

void pending_drop(struct pending *pending); /* one hold */

/* A command's value: the first LEN bytes of BUFFER as its word PLACE. What belongs to it is in `body` and `how`. */
struct pending_value {
	shard_body body;
	shard_call how;
};
void pending_add_value(struct pending_value *value, struct words *words, int place, struct buffer *buffer, size_t len);

/* What SET says of the expiry of a value that is written anew. */
void pending_add_ttl(const struct options *options, struct words *words, char seconds[24]);

/* Truncates it to nothing. 0 or ENOMEM. */
int pending_truncate(struct pending *pending, bool by_open);

/* An APPEND went past it: where nobody else writes through it, its handles see the key again. It may be gone then. */
void pending_appended(struct pending *pending);

/* Takes back a truncation that nobody has followed up. */
void pending_abandon(struct pending *pending);

/* Whether the value of the inode is what its transaction holds, not what the server does. */
bool pending_visible(const struct inode *inode);

/* To be called after each change: bumps the times, and stores it when no other follows for a while where LATER. */
void pending_changed(struct pending *pending, bool later);

/* Stores it when no change follows for a while. */
void pending_wait(struct pending *pending);

/* Stores all that there is; DONE is called when that ended: at once where there is nothing to store. */
void pending_commit(struct pending *pending, struct op *op, pending_done done);

/* The same for an inode that need not have a transaction. */
void pending_publish(struct inode *inode, struct op *op, pending_done done);

/* Calls DONE when no SET of INODE is under way: at once where that is so. */
void pending_settle(struct inode *inode, struct op *op, pending_done done);

#endif
