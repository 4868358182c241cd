/* SPDX-License-Identifier: MIT */
/*
 * MKDIR, RMDIR: of keys. No server has an empty key, so an empty directory is
 * kept in the memory of this mount, until its first member makes the key.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"
#include "type.h"

/* The type that NAME ends with ("k%set"), and what is left of its length; KIND_NONE: it has no such ending. */
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
	return KIND_NONE;
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
	prefix_touch(op->fs, op->key, op->key_len);
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

static void make_typed(fuse_req_t req, enum kind kind, const char *key, size_t key_len)
{
	struct making *making = op_create(req, sizeof(*making), NULL, key, key_len);

	if (!making)
		return;
	making->kind = kind;
	op_submit_key(&making->op, "EXISTS", existence_came);
	op_drop(&making->op);
}

void mkdir_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct fs *fs = fs_of(req);
	size_t len;
	enum kind kind = kind_of_ending(name, &len);
	char *start = strndup(name, len), *path = NULL;
	struct tree_place place;

	if (!start || prefix_decode(fs, fs_inode(fs, parent), start, &place, &path))
		fuse_reply_err(req, ENOMEM);
	else if (place.kind == PLACE_EITHER && kind == KIND_NONE)
		prefix_mkdir(req, path, place.dir_len);
	else if (place.kind == PLACE_DIR)
		fuse_reply_err(req, EEXIST);
	else if (place.kind == PLACE_KEY || place.kind == PLACE_EITHER)
		make_typed(req, kind == KIND_NONE ? KIND_HASH : kind, path, place.key_len);
	else
		fuse_reply_err(req, EINVAL);
	free(path);
	free(start);
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
	prefix_touch(op->fs, op->key, op->key_len);
	op_error(op, kept ? 0 : ENOENT);
}

static void remove_typed(fuse_req_t req, const char *key, size_t key_len)
{
	struct op *op = op_create(req, sizeof(*op), inode_find(&fs_of(req)->inodes, key, key_len), key, key_len);

	if (!op)
		return;
	op->keeps_on = true;
	op_submit_key(op, "TYPE", type_came);
	op_drop(op);
}

/* With -o tree a name may be that of both: what the kernel knows as a directory of members is a key. */
static bool is_key(const struct fs *fs, const struct tree_place *place, const char *path)
{
	const struct inode *inode;

	if (place->kind == PLACE_KEY)
		return true;
	inode = place->kind == PLACE_EITHER ? inode_find(&fs->inodes, path, place->key_len) : NULL;
	return inode && kind_is_typed(inode->kind) && !prefix_find(fs, path, place->dir_len);
}

void mkdir_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct tree_place place = {.kind = PLACE_NONE};
	char *path = NULL;

	if (parent == FUSE_ROOT_ID && strcmp(name, CONTROL_NAME) == 0)
		fuse_reply_err(req, EPERM);
	else if (prefix_decode(fs, fs_inode(fs, parent), name, &place, &path))
		fuse_reply_err(req, ENOMEM);
	else if (place.kind == PLACE_NONE || place.kind == PLACE_HASHED)
		fuse_reply_err(req, ENOENT);
	else if (is_key(fs, &place, path))
		remove_typed(req, path, place.key_len);
	else
		prefix_rmdir(req, path, place.dir_len);
	free(path);
}
