/* SPDX-License-Identifier: MIT */
#include "op.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define STEP_MS 10 /* so little spent makes no difference */

static void interrupted(fuse_req_t req, void *data)
{
	struct op *op = data;

	op_hold(op);
	op_error(op, EINTR);
	for (int i = 0; i < OP_CALLS && !op->keeps_on; i++)
		if (op->call[i].request)
			shard_cancel(op->call[i].client, op->call[i].request);
	op_drop(op);
}

static char *place(char *at, const char *bytes, size_t len)
{
	if (len)
		memcpy(at, bytes, len);
	return at;
}

static struct op *make(struct fs *fs, size_t size, struct inode *inode, const char *key, size_t key_len,
		       const char *member, size_t member_len)
{
	struct op *op = calloc(1, size + key_len + 1 + member_len + 1);

	if (!op)
		return NULL;
	op->fs = fs;
	op->holds = 1;
	op->began_us = stats_now_us();
	op->inode = inode ? inode_hold(inode) : NULL;
	op->key = place((char *)op + size, key, key_len);
	op->key_len = key_len;
	if (member)
		op->member = place(op->key + key_len + 1, member, member_len);
	op->member_len = member_len;
	return op;
}

static void *create(fuse_req_t req, size_t size, struct inode *inode, const char *key, size_t key_len,
		    const char *member, size_t member_len)
{
	/* libfuse must not call interrupted() from within fuse_req_interrupt_func(): the answer frees the request. */
	bool late = fuse_req_interrupted(req);
	struct op *op = late ? NULL : make(fs_of(req), size, inode, key, key_len, member, member_len);

	if (!op) {
		fuse_reply_err(req, late ? EINTR : ENOMEM);
		return NULL;
	}
	op->req = req;
	fuse_req_interrupt_func(req, interrupted, op);
	return op;
}

void *op_create_own(struct fs *fs, size_t size, struct inode *inode, const char *key, size_t key_len)
{
	return make(fs, size, inode, key, key_len, NULL, 0);
}

void *op_create(fuse_req_t req, size_t size, struct inode *inode, const char *key, size_t key_len)
{
	if (!inode || key)
		return create(req, size, inode, key, key_len, NULL, 0);
	return create(req, size, inode, inode->key, inode->key_len, inode->member, inode->member_len);
}

void *op_create_in(fuse_req_t req, size_t size, struct inode *dir, const char *member, size_t member_len)
{
	return create(req, size, dir, dir->key, dir->key_len, member, member_len);
}

struct op *op_hold(struct op *op)
{
	op->holds++;
	return op;
}

void op_drop(struct op *op)
{
	if (--op->holds)
		return;
	op_error(op, EIO);
	probe_finish(op);
	if (op->finish)
		op->finish(op);
	inode_drop(op->inode);
	free(op);
}

fuse_req_t op_answer(struct op *op)
{
	fuse_req_t req = op->req;

	op->req = NULL;
	if (req && op->asked)
		stats_took(&op->fs->stats, stats_now_us() - op->began_us);
	return req;
}

void op_error(struct op *op, int error)
{
	fuse_req_t req = op_answer(op);

	if (req)
		fuse_reply_err(req, error);
}

void words_add(struct words *words, const char *word, size_t len)
{
	words->word[words->count] = word;
	words->len[words->count++] = len;
}

void words_text(struct words *words, const char *text)
{
	words_add(words, text, strlen(text));
}

void words_key(struct words *words, const struct op *op)
{
	words_add(words, op->key, op->key_len);
}

void words_member(struct words *words, const struct op *op)
{
	words_add(words, op->member, op->member_len);
}

static void called_back(void *ctx, const shard_result *result)
{
	struct op_call *call = ctx;
	struct op *op = call->op;

	call->request = NULL;
	call->op = NULL;
	call->step(op, result);
	op_drop(op);
}

static struct op_call *free_call(struct op *op, op_step step)
{
	struct op_call *call = op->call;

	while (call->op)
		call++;
	call->op = op_hold(op);
	call->client = fs_client(op->fs);
	call->step = step;
	return call;
}

static bool submitted(struct op_call *call, int error)
{
	struct op *op = call->op;

	if (!error) {
		op->asked = true;
		op->fs->stats.commands++;
		return true;
	}
	call->op = NULL;
	op_error(op, errors_of_code(error));
	op_drop(op);
	return false;
}

/* What is left of the deadline; 0: all of the client's. */
static unsigned left(const struct op *op)
{
	unsigned timeout = fs_timeout_ms(op->fs);
	uint64_t spent = (stats_now_us() - op->began_us) / 1000;

	if (spent < STEP_MS)
		return op->fs->options->connect.timeout_ms;
	return spent < timeout ? timeout - (unsigned)spent : 1;
}

bool op_submit(struct op *op, const struct words *words, const shard_call *how, op_step step)
{
	struct op_call *call = free_call(op, step);
	unsigned timeout = how && (how->timeout_ms || how->body) ? 0 : left(op);
	shard_call shorter = {0};

	if (timeout) {
		shorter = how ? *how : shorter;
		shorter.timeout_ms = timeout;
		how = &shorter;
	}
	return submitted(call, shard_submit(fs_client(op->fs), words->count, words->word, words->len, how, called_back,
					    call, &call->request));
}

bool op_submit_many(struct op *op, int count, const char *const word[], const size_t len[], op_step step)
{
	struct op_call *call = free_call(op, step);
	shard_call how = {.timeout_ms = left(op)};

	return submitted(call, shard_submit(fs_client(op->fs), count, word, len, &how, called_back, call,
					    &call->request));
}

bool op_submit_multi(struct op *op, size_t count, const struct words *words, op_step step)
{
	struct op_call *call = free_call(op, step);
	shard_args args[OP_CALLS];

	shard_call how = {.timeout_ms = left(op)};

	for (size_t i = 0; i < count; i++)
		args[i] = (shard_args){words[i].count, words[i].word, words[i].len};
	return submitted(call,
			 shard_submit_multi(fs_client(op->fs), count, args, &how, called_back, call, &call->request));
}

bool op_submit_key(struct op *op, const char *name, op_step step)
{
	struct words words = {0};

	words_text(&words, name);
	words_key(&words, op);
	return op_submit(op, &words, NULL, step);
}

bool op_failed(struct op *op, const shard_result *result)
{
	int error = errors_of_result(result);

	if (error)
		op_error(op, error);
	return error != 0;
}
