/* SPDX-License-Identifier: MIT */
/*
 * A FUSE request that waits: for replies of the servers, or for a commit.
 *
 * It is answered at most once, with op_error() or with the request that
 * op_answer() hands out; an interrupt answers it with EINTR at once. It lives
 * until its last hold is gone; each command under way holds it, so steps are
 * called also when nobody waits for the answer any more.
 */
#ifndef FUSEFS_OP_H
#define FUSEFS_OP_H

#include "fs.h"
#include "probe.h"

#define OP_CALLS 4
#define OP_WORDS 8

struct op;
typedef void (*op_step)(struct op *op, const shard_result *result);

struct op_call {
	struct op *op;
	shard_request *request;
	op_step step;
};

struct op {
	struct fs *fs;
	fuse_req_t req; /* NULL once answered */
	unsigned holds;
	uint64_t began_us;
	bool asked;     /* a server */
	bool keeps_on;  /* an interrupt does not cancel its commands: they change something */
	struct op_call call[OP_CALLS];
	struct inode *inode; /* held; or NULL */
	char *key;           /* of its own */
	size_t key_len;
	char *member; /* of the key, of its own; or NULL */
	size_t member_len;
	struct probe probe;
	void (*finish)(struct op *op); /* frees what a larger struct holds; or NULL */
};

/*
 * SIZE bytes of zeros that begin with a struct op, with one hold. KEY is
 * copied; with INODE and KEY NULL, its key. NULL: REQ has been answered.
 */
void *op_create(fuse_req_t req, size_t size, struct inode *inode, const char *key, size_t key_len);

/* The same for a member of the directory DIR that need not have an inode: the op's inode is DIR. */
void *op_create_in(fuse_req_t req, size_t size, struct inode *dir, const char *member, size_t member_len);

/* The same of the key, for ourselves: no request is answered. NULL when out of memory. */
void *op_create_own(struct fs *fs, size_t size, struct inode *inode, const char *key, size_t key_len);
struct op *op_hold(struct op *op);
void op_drop(struct op *op);

/* The request, to be answered by the caller; NULL where that was done. */
fuse_req_t op_answer(struct op *op);
void op_error(struct op *op, int error);

/* The words of a command. */
struct words {
	int count;
	const char *word[OP_WORDS];
	size_t len[OP_WORDS];
};
void words_add(struct words *words, const char *word, size_t len);
void words_text(struct words *words, const char *text);
void words_key(struct words *words, const struct op *op);
void words_member(struct words *words, const struct op *op);

/*
 * Submits; STEP is called in a later tick. Returns false where that is
 * impossible: then the op was answered with an error. HOW may be NULL. All
 * commands of an op share one deadline, unless HOW has one.
 */
bool op_submit(struct op *op, const struct words *words, const shard_call *how, op_step step);
bool op_submit_many(struct op *op, int count, const char *const word[], const size_t len[], op_step step);
bool op_submit_multi(struct op *op, size_t count, const struct words *words, op_step step);

/* The same for a command of two words, the name and the op's key. */
bool op_submit_key(struct op *op, const char *name, op_step step);

/* Whether RESULT is an error; then the op was answered with it. */
bool op_failed(struct op *op, const shard_result *result);

#endif
