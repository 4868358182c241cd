/* SPDX-License-Identifier: MIT */
/*
 * MKDIR and RMDIR of directories that are the starts of keys.
 *
 * With -o tree such a directory is there where keys are. One without others
 * has a marker, an empty string under its own prefix: made by MKDIR, and
 * before the last key leaves by way of this mount.
 */
#include "prefix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* What is no marker stays: -1. */
static const char remove_script[] = "local value = redis.call('GET', KEYS[1])\n"
				    "if not value then return 0 end\n"
				    "if value ~= '' then return -1 end\n"
				    "return redis.call('UNLINK', KEYS[1])\n";

bool prefix_is_marker(const struct fs *fs, const char *key, size_t len)
{
	return prefix_needs_keys(fs) && len && tree_parent(&fs->tree, key, len) == len;
}

bool prefix_keep(struct op *op, const char *key, size_t len, bool dir, op_step step)
{
	struct fs *fs = op->fs;
	size_t parent = dir ? tree_parent_of_dir(&fs->tree, key, len) : tree_parent(&fs->tree, key, len);

	if (!prefix_needs_keys(fs) || !parent || (!dir && parent == len) ||
	    survey_has_other(&fs->survey, key, parent, key, len, dir))
		return false;
	prefix_mark(op, key, parent, step);
	return true;
}

bool prefix_mark(struct op *op, const char *prefix, size_t len, op_step step)
{
	struct words words = {0};

	cache_wrote(op->fs, prefix, len);
	words_text(&words, "SET");
	words_add(&words, prefix, len);
	words_text(&words, "");
	words_text(&words, "NX");
	return op_submit(op, &words, NULL, step);
}

/* ---- MKDIR ---- */

static void marked(struct op *op, const shard_result *result)
{
	struct fuse_entry_param entry;
	struct fs *fs = op->fs;

	if (op_failed(op, result))
		return;
	cache_wrote(fs, op->key, op->key_len);
	if (result->reply->type == SHARD_REPLY_NIL) {
		op_error(op, EEXIST);
		return;
	}
	struct inode *inode = prefix_get(fs, op->key, op->key_len);
	fuse_req_t req = op_answer(op);
	if (inode && req) {
		inode->atime = inode->mtime = inode->ctime = fs_now();
		inode->has_mode = false;
		prefix_touch_dir(fs, op->key, op->key_len);
		lookup_entry(fs, inode, 0, &entry);
		inode->lookups++;
		if (fuse_reply_entry(req, &entry))
			inode_forget(inode, 1);
	} else if (req) {
		fuse_reply_err(req, ENOMEM);
	}
	inode_drop(inode);
}

void prefix_mkdir(fuse_req_t req, const char *prefix, size_t len)
{
	struct op *op = op_create(req, sizeof(*op), NULL, prefix, len);

	if (!op)
		return;
	op->keeps_on = true;
	prefix_mark(op, op->key, op->key_len, marked);
	op_drop(op);
}

/* ---- RMDIR ---- */

static void unmarked(struct op *op, const shard_result *result)
{
	struct fs *fs = op->fs;

	if (result->error == SHARD_ESERVER && shard_reply_is_error(result->reply, "WRONGTYPE")) {
		op_error(op, ENOTEMPTY);
		return;
	}
	if (op_failed(op, result))
		return;
	cache_wrote(fs, op->key, op->key_len);
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer < 0) {
		op_error(op, ENOTEMPTY);
		return;
	}
	struct inode *inode = prefix_find(fs, op->key, op->key_len);
	if (inode)
		inode_leave(inode);
	prefix_touch_dir(fs, op->key, op->key_len);
	op_error(op, 0);
}

static void unmark(struct op *op)
{
	shard_call how = {.flags = SHARD_IDEMPOTENT};
	struct words words = {0};

	words_text(&words, "EVAL");
	words_text(&words, remove_script);
	words_text(&words, "1");
	words_key(&words, op);
	op_submit(op, &words, &how, unmarked);
}

static void parent_kept(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		unmark(op);
}

/* What is in the memory of this mount alone is in it, too. */
struct kept_below {
	const struct op *op;
	bool any;
};

static void note_kept(void *ctx, const struct inode *inode)
{
	struct kept_below *below = ctx;
	const struct op *op = below->op;

	below->any |= inode->key_len > op->key_len && !memcmp(inode->key, op->key, op->key_len);
}

static bool is_empty(const struct op *op, const struct survey_view *view)
{
	struct kept_below below = {.op = op};
	bool marker = view->dir && prefix_needs_keys(op->fs) &&
		      index_get(view->index, op->key, op->key_len) == INDEX_SURE;

	inode_each_kept(&op->fs->inodes, note_kept, &below);
	return !below.any && (!view->dir || index_sure(view->dir) == marker);
}

static void names_came(void *ctx, const struct survey_view *view, int error)
{
	struct op *op = ctx;

	if (!error && !is_empty(op, view))
		error = ENOTEMPTY;
	else if (!error && !view->dir && prefix_needs_keys(op->fs))
		error = ENOENT;
	if (error || !prefix_needs_keys(op->fs))
		op_error(op, error);
	else if (op->req && !prefix_keep(op, op->key, op->key_len, true, parent_kept))
		unmark(op);
	op_drop(op);
}

void prefix_rmdir(fuse_req_t req, const char *prefix, size_t len)
{
	struct op *op = op_create(req, sizeof(*op), NULL, prefix, len);

	if (!op)
		return;
	op->keeps_on = true;
	survey_ask(&op->fs->survey, prefix, len, SURVEY_NAMES, names_came, op);
}
