/* SPDX-License-Identifier: MIT */
/*
 * RENAME: one command within a slot. Across slots the value is copied, then
 * the source removed if it is still what was copied; both exist for a moment.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>

#include "errors.h"
#include "scratch.h"

#define COPIES 4
#define COPY_MAX "67108864"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* The serialized value, its expiry and its digest; nil: no such key; 0: too large. */
static const char dump_script[] = "local value = redis.call('DUMP', KEYS[1])\n"
				  "if not value then return false end\n"
				  "if #value > tonumber(ARGV[1]) then return 0 end\n"
				  "return {value, redis.call('PTTL', KEYS[1]), redis.sha1hex(value)}\n";

/* Removes what still has this digest. 1: it is gone; 0: it has changed. */
static const char remove_script[] = "local value = redis.call('DUMP', KEYS[1])\n"
				    "if not value then return 1 end\n"
				    "if redis.sha1hex(value) ~= ARGV[1] then return 0 end\n"
				    "return redis.call('UNLINK', KEYS[1])\n";

struct renaming {
	struct op op;         /* its key is the source, its inode the source's */
	struct inode *target; /* held; or NULL */
	bool target_kept;
	char *to;
	size_t to_len;
	bool replace;
	bool noreplace; /* the caller says so */
	bool dir;       /* the source is one: it replaces nothing but an empty one, which is no key */
	bool done;
	unsigned copies;
	unsigned unpublished; /* members of the source whose values are being stored */
	int error;            /* of one of these */
	char digest[41];
	struct buffer *sent; /* a scratch file's value; or NULL */
};

static void finish(struct op *op)
{
	struct renaming *renaming = (struct renaming *)op;

	if (renaming->target && !renaming->done) {
		inode_return(renaming->target);
		inode_set_kept(renaming->target, renaming->target_kept);
	}
	inode_drop(renaming->target);
	buffer_unref(renaming->sent);
	free(renaming->to);
}

static void fail(struct renaming *renaming, int error)
{
	op_error(&renaming->op, error == EEXIST && renaming->dir && !renaming->noreplace ? ENOTEMPTY : error);
}

static void succeed(struct renaming *renaming)
{
	struct op *op = &renaming->op;
	struct fs *fs = op->fs;

	renaming->done = true;
	fs->root->mtime = fs->root->ctime = fs_now();
	cache_wrote(fs, op->key, op->key_len);
	cache_wrote(fs, renaming->to, renaming->to_len);
	if (op->inode) {
		inode_stale(op->inode);
		cache_revoke(fs, op->inode);
		op->inode->ctime = fs_now();
		if (inode_rename(op->inode, renaming->to, renaming->to_len))
			inode_leave(op->inode);
	}
	op_error(op, 0);
}

/* ---- an empty directory: there is no key to be renamed ---- */

static bool is_kept(const struct op *op)
{
	return op->inode && op->inode->kept;
}

static void target_looked(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer)
		fail(renaming, EEXIST);
	else
		succeed(renaming);
}

static void rename_kept(struct renaming *renaming)
{
	struct words words = {0};

	words_text(&words, "EXISTS");
	words_add(&words, renaming->to, renaming->to_len);
	op_submit(&renaming->op, &words, NULL, target_looked);
}

/* ---- within a slot ---- */

static void renamed(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;

	if (is_kept(op) && errors_of_result(result) == ENOENT) {
		rename_kept(renaming);
		return;
	}
	if (op_failed(op, result))
		return;
	if (result->reply->type == SHARD_REPLY_INTEGER && !result->reply->integer)
		fail(renaming, EEXIST);
	else
		succeed(renaming);
}

static void rename_in_slot(struct renaming *renaming)
{
	struct words words = {0};

	words_text(&words, renaming->replace ? "RENAME" : "RENAMENX");
	words_key(&words, &renaming->op);
	words_add(&words, renaming->to, renaming->to_len);
	op_submit(&renaming->op, &words, NULL, renamed);
}

/* ---- across slots ---- */

static void copy(struct renaming *renaming);

static bool submit_script(struct renaming *renaming, const char *script, const char *arg, op_step step)
{
	shard_call how = {.flags = SHARD_IDEMPOTENT};
	struct words words = {0};

	words_text(&words, "EVAL");
	words_text(&words, script);
	words_text(&words, "1");
	words_key(&words, &renaming->op);
	words_text(&words, arg);
	return op_submit(&renaming->op, &words, &how, step);
}

static void source_removed(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer) {
		succeed(renaming);
	} else if (++renaming->copies < COPIES) {
		renaming->replace = true; /* it is our copy by now */
		copy(renaming);
	} else {
		op_error(op, EBUSY);
	}
}

static void restored(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;

	cache_wrote(op->fs, renaming->to, renaming->to_len);
	if (result->error == SHARD_ESERVER && errors_of_result(result) == EEXIST)
		fail(renaming, EEXIST);
	else if (!op_failed(op, result))
		submit_script(renaming, remove_script, renaming->digest, source_removed);
}

static void restore(struct renaming *renaming, const shard_reply *value, long long pttl)
{
	struct words words = {0};
	char expiry[24];

	/* For RESTORE 0 is "never". */
	snprintf(expiry, sizeof(expiry), "%lld", pttl < 0 ? 0 : pttl ? pttl : 1);
	words_text(&words, "RESTORE");
	words_add(&words, renaming->to, renaming->to_len);
	words_text(&words, expiry);
	words_add(&words, value->str, value->len);
	if (renaming->replace)
		words_text(&words, "REPLACE");
	op_submit(&renaming->op, &words, NULL, restored);
}

static void dumped(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;

	if (op_failed(op, result))
		return;
	const shard_reply *reply = result->reply;
	if (reply->type == SHARD_REPLY_NIL && is_kept(op)) {
		rename_kept(renaming);
	} else if (reply->type == SHARD_REPLY_NIL) {
		op_error(op, ENOENT);
	} else if (reply->type == SHARD_REPLY_INTEGER) {
		/* What mv makes to copy into is a hash. */
		op_error(op, !renaming->dir || op->inode->kind == KIND_HASH ? EXDEV : EFBIG);
	} else if (reply->type != SHARD_REPLY_ARRAY || reply->len != 3 ||
		   reply->element[0].type != SHARD_REPLY_STRING || reply->element[1].type != SHARD_REPLY_INTEGER ||
		   reply->element[2].type != SHARD_REPLY_STRING || reply->element[2].len != 40) {
		op_error(op, EIO);
	} else {
		memcpy(renaming->digest, reply->element[2].str, 40);
		restore(renaming, &reply->element[0], reply->element[1].integer);
	}
}

static void copy(struct renaming *renaming)
{
	submit_script(renaming, dump_script, COPY_MAX, dumped);
}

/* ---- a scratch file becomes a key ---- */

static void scratch_stored(struct op *op, const shard_result *result)
{
	struct renaming *renaming = (struct renaming *)op;
	struct pending *pending = op->inode->pending;
	bool nil = !result->error && result->reply->type == SHARD_REPLY_NIL;

	/* Where it failed the file stays what it was, in memory, and has no error of its own to tell. */
	if (nil || result->error)
		transaction_forget(&pending->t);
	else
		transaction_end(&pending->t, 0, true);
	if (op_failed(op, result))
		return;
	if (nil) {
		op_error(op, EEXIST);
		return;
	}
	succeed(renaming);
	if (op->inode->scratch)
		scratch_let_go(op->fs, op->inode);
	inode_wrote(op->inode, op->inode->mtime);
}

static void store_scratch(struct renaming *renaming)
{
	struct op *op = &renaming->op;
	struct transaction *t = &op->inode->pending->t;
	struct words words = {0};
	struct pending_value value;
	char seconds[24];

	transaction_begin(t);
	renaming->sent = buffer_ref(t->buffer);
	words_text(&words, "SET");
	words_add(&words, renaming->to, renaming->to_len);
	words_text(&words, "");
	pending_add_value(&value, &words, 2, renaming->sent, t->sending_size);
	if (!renaming->replace)
		words_text(&words, "NX");
	pending_add_ttl(op->fs->options, &words, seconds);
	if (!op_submit(op, &words, &value.how, scratch_stored))
		transaction_forget(t);
}

/* ---- */

static void replace_target(struct renaming *renaming)
{
	struct inode *target = renaming->target;

	renaming->target_kept = target->kept;
	inode_leave(target);
	if (!target->scratch)
		return;
	/* No key has the name; should the renaming fail, it is gone all the same. */
	scratch_let_go(renaming->op.fs, target);
	inode_drop(target);
	renaming->target = NULL;
}

static void target_settled(struct op *op, int error)
{
	struct renaming *renaming = (struct renaming *)op;

	if (!error && renaming->target && !renaming->replace && pending_visible(renaming->target))
		error = EEXIST;
	if (error) {
		op_error(op, error);
		return;
	}
	if (renaming->target)
		replace_target(renaming);
	if (op->inode && op->inode->scratch)
		store_scratch(renaming);
	else if (shard_client_together(fs_client(op->fs), op->key, op->key_len, renaming->to, renaming->to_len))
		rename_in_slot(renaming);
	else
		copy(renaming);
}

static void source_published(struct op *op, int error)
{
	struct renaming *renaming = (struct renaming *)op;

	if (error)
		op_error(op, error);
	else if (renaming->target)
		pending_settle(renaming->target, op, target_settled);
	else
		target_settled(op, 0);
}

static void member_published(struct op *op, int error)
{
	struct renaming *renaming = (struct renaming *)op;

	renaming->error = error ? error : renaming->error;
	if (--renaming->unpublished == 0)
		source_published(op, renaming->error);
}

/* What is written to a member must not make the key again under its old name. */
static void publish_members(struct renaming *renaming)
{
	struct inode *dir = renaming->op.inode;

	renaming->unpublished = 1; /* this function */
	for (struct inode *child = dir->children, *older; child; child = older) {
		older = child->older_sibling;
		if (!child->pending)
			continue;
		renaming->unpublished++;
		pending_commit(child->pending, &renaming->op, member_published);
	}
	member_published(&renaming->op, 0);
}

static void start(fuse_req_t req, const char *key, size_t key_len, char *to, size_t to_len, unsigned flags)
{
	struct fs *fs = fs_of(req);
	struct inode *source = inode_find(&fs->inodes, key, key_len);
	struct inode *target = inode_find(&fs->inodes, to, to_len);
	struct renaming *renaming = op_create(req, sizeof(*renaming), source, key, key_len);

	if (!renaming) {
		free(to);
		return;
	}
	renaming->op.finish = finish;
	renaming->op.keeps_on = true;
	renaming->target = target && target != source ? inode_hold(target) : NULL;
	renaming->to = to;
	renaming->to_len = to_len;
	renaming->dir = source && kind_is_dir(source->kind);
	renaming->noreplace = flags & RENAME_NOREPLACE;
	renaming->replace = !renaming->noreplace && !renaming->dir;
	if (target && target == source)
		op_error(&renaming->op, 0);
	else if (renaming->dir)
		publish_members(renaming);
	else if (source)
		pending_publish(source, &renaming->op, source_published);
	else
		source_published(&renaming->op, 0);
	op_drop(&renaming->op);
}

void rename_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		   unsigned flags)
{
	struct fs *fs = fs_of(req);
	char *key = NULL, *to = NULL;
	size_t key_len, to_len;
	int error = flags & ~(unsigned)RENAME_NOREPLACE ? EINVAL : new_parent != FUSE_ROOT_ID ? EXDEV : 0;

	if (error == EXDEV && control_is_in(fs, new_parent))
		error = EPERM;
	if (!error)
		error = fs_key_of_name(fs, name, false, &key, &key_len);
	if (!error)
		error = fs_key_of_name(fs, new_name, true, &to, &to_len);
	if (error)
		fuse_reply_err(req, error);
	else
		start(req, key, key_len, to, to_len, flags);
	free(key);
}
