/* SPDX-License-Identifier: MIT */
/*
 * UNLINK.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>

#include "prefix.h"
#include "scratch.h"

struct removal {
	struct op op;
	bool unborn; /* created here, and not on any server yet */
	bool done;
};

static void finish(struct op *op)
{
	if (op->inode && !((struct removal *)op)->done)
		inode_return(op->inode);
}

static void removed(struct op *op, const shard_result *result)
{
	struct removal *removal = (struct removal *)op;
	bool missing = !result->error && result->reply->type == SHARD_REPLY_INTEGER && !result->reply->integer;

	if (op_failed(op, result))
		return;
	removal->done = true;
	cache_wrote(op->fs, op->key, op->key_len);
	prefix_touch(op->fs, op->key, op->key_len);
	op_error(op, missing && !removal->unborn ? ENOENT : 0);
}

/* A value under a marker's name leaves the marker. */
static void empty(struct op *op)
{
	struct words words = {0};

	words_text(&words, "SET");
	words_key(&words, op);
	words_text(&words, "");
	op_submit(op, &words, NULL, removed);
}

static void parent_kept(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		op_submit_key(op, "UNLINK", removed);
}

/* No SET of it is under way. From here on there will be none: its handles write into memory. */
static void settled(struct op *op, int error)
{
	struct removal *removal = (struct removal *)op;

	if (error) {
		op_error(op, error);
		return;
	}
	if (op->inode && op->inode->scratch) {
		inode_leave(op->inode);
		scratch_let_go(op->fs, op->inode);
		removal->done = true;
		op_error(op, 0);
		return;
	}
	if (op->inode) {
		removal->unborn = pending_visible(op->inode);
		inode_stale(op->inode);
		inode_leave(op->inode);
	}
	if (prefix_is_marker(op->fs, op->key, op->key_len))
		empty(op);
	else if (!prefix_keep(op, op->key, op->key_len, false, parent_kept))
		op_submit_key(op, "UNLINK", removed);
}

void remove_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	char *key;
	size_t key_len;
	int error = fs_key_of_name(fs, parent, name, false, &key, &key_len);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	struct removal *removal = op_create(req, sizeof(*removal), inode_find(&fs->inodes, key, key_len), key, key_len);
	free(key);
	if (!removal)
		return;
	removal->op.finish = finish;
	removal->op.keeps_on = true;
	if (removal->op.inode)
		pending_settle(removal->op.inode, &removal->op, settled);
	else
		settled(&removal->op, 0);
	op_drop(&removal->op);
}
