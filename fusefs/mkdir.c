/* SPDX-License-Identifier: MIT */
/*
 * MKDIR, RMDIR: of keys. No server has an empty key, so an empty directory is
 * kept in the memory of this mount, until its first member makes the key.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "type.h"

/* The type that NAME ends with ("k%set"), and what is left of its length; without an ending it is a hash. */
static enum kind kind_of_ending(const char *name, size_t *len)
{
	*len = strlen(name);
	for (enum kind kind = KIND_HASH; kind_is_typed(kind); kind++) {
		const char *type = type_of(kind)->name;
		size_t type_len = strlen(type);
		size_t at = *len - type_len;

		if (*len <= type_len || name[at - 1] != '%' || strcmp(name + at, type) != 0)
			continue;
		/* The empty key's name is "%". */
		*len = at > 1 ? at - 1 : 1;
		return kind;
	}
	return KIND_HASH;
}

struct making {
	struct op op;
	enum kind kind;
};

static void reply_dir(struct op *op, struct inode *inode)
{
	fuse_req_t req = op_answer(op);
	struct fuse_entry_param entry;

	if (!req)
		return;
	inode_set_kept(inode, true);
	inode->mtime = inode->ctime = fs_now();
	op->fs->root->mtime = op->fs->root->ctime = fs_now();
	lookup_entry(op->fs, inode, 0, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
}

static void existence_came(struct op *op, const shard_result *result)
{
	struct inode *there = inode_find(&op->fs->inodes, op->key, op->key_len);

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer ||
	    (there && (there->kept || pending_visible(there)))) {
		op_error(op, EEXIST);
		return;
	}
	struct inode *inode = inode_get(&op->fs->inodes, ((struct making *)op)->kind, op->key, op->key_len, fs_now());
	if (inode)
		reply_dir(op, inode);
	else
		op_error(op, ENOMEM);
	inode_drop(inode);
}

void mkdir_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	size_t len;
	enum kind kind = kind_of_ending(name, &len);
	char *key = malloc(len + 1);

	if (!key) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	struct name decoded = name_decode(name, len, key);
	struct making *making = NULL;
	if (decoded.kind == NAME_KEY)
		making = op_create(req, sizeof(*making), NULL, key, decoded.key_len);
	else
		fuse_reply_err(req, EINVAL);
	free(key);
	if (!making)
		return;
	making->kind = kind;
	op_submit_key(&making->op, "EXISTS", existence_came);
	op_drop(&making->op);
}

/* ---- RMDIR ---- */

static void type_came(struct op *op, const shard_result *result)
{
	if (op_failed(op, result))
		return;
	enum kind kind = result->reply->type == SHARD_REPLY_STATUS ? kind_of_type(result->reply->str) : KIND_OTHER;
	if (kind != KIND_NONE) {
		op_error(op, kind_is_typed(kind) ? ENOTEMPTY : ENOTDIR);
		return;
	}
	bool kept = op->inode && op->inode->kept;
	if (op->inode)
		inode_leave(op->inode);
	op->fs->root->mtime = op->fs->root->ctime = fs_now();
	op_error(op, kept ? 0 : ENOENT);
}

void mkdir_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	char *key;
	size_t key_len;
	int error = fs_key_of_name(fs, name, false, &key, &key_len);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	struct op *op = op_create(req, sizeof(*op), inode_find(&fs->inodes, key, key_len), key, key_len);
	free(key);
	if (!op)
		return;
	op->keeps_on = true;
	op_submit_key(op, "TYPE", type_came);
	op_drop(op);
}
