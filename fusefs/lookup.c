/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP, FORGET, GETATTR.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "longname.h"

void lookup_entry(const struct fs *fs, const struct inode *inode, size_t size, bool readable,
		  struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){.ino = fs_ino(fs, inode)};
	fs_stat(fs, inode, size, readable, &entry->attr);
}

static void reply_entry(struct op *op, struct inode *inode, size_t size, bool readable)
{
	fuse_req_t req = op_answer(op);
	struct fuse_entry_param entry;

	if (!req)
		return;
	lookup_entry(op->fs, inode, size, readable, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
}

static void reply_pending_entry(struct op *op, struct inode *inode)
{
	reply_entry(op, inode, buffer_size(inode->pending->t.buffer), true);
}

static void looked(struct op *op, int error)
{
	const struct sight *sight = &op->probe.sight;

	if (error || sight->type == SIGHT_NONE) {
		op_error(op, error ? error : ENOENT);
		return;
	}
	struct inode *inode = inode_get(&op->fs->inodes, op->key, op->key_len, op->fs->mounted);
	if (!inode) {
		op_error(op, ENOMEM);
		return;
	}
	if (pending_visible(inode)) {
		reply_pending_entry(op, inode);
	} else {
		inode_saw(inode, sight, fs_now());
		inode_keep(inode, sight);
		reply_entry(op, inode, sight->size, sight->type == SIGHT_STRING);
	}
	inode_drop(inode);
}

static void look_up_key(fuse_req_t req, const char *key, size_t key_len)
{
	struct inode *inode = inode_find(&fs_of(req)->inodes, key, key_len);
	struct op *op = op_create(req, sizeof(*op), NULL, key, key_len);

	if (!op)
		return;
	if (inode && pending_visible(inode))
		reply_pending_entry(op, inode);
	else
		probe_start(op, looked);
	op_drop(op);
}

void lookup_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	size_t len = strlen(name);
	char *key = parent == FUSE_ROOT_ID ? malloc(len + 1) : NULL;

	if (!key) {
		fuse_reply_err(req, parent == FUSE_ROOT_ID ? ENOMEM : ENOTDIR);
		return;
	}
	struct name decoded = name_decode(name, len, key);
	if (decoded.kind == NAME_KEY)
		look_up_key(req, key, decoded.key_len);
	else if (decoded.kind == NAME_HASHED)
		longname_look_up(req, &decoded, look_up_key);
	else
		fuse_reply_err(req, ENOENT);
	free(key);
}

void lookup_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	if (ino != FUSE_ROOT_ID)
		inode_forget(fs_inode(fs_of(req), ino), lookups);
	fuse_reply_none(req);
}

void lookup_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		if (forgets[i].ino != FUSE_ROOT_ID)
			inode_forget(fs_inode(fs_of(req), forgets[i].ino), forgets[i].nlookup);
	fuse_reply_none(req);
}

/* ---- GETATTR ---- */

struct getattr {
	struct op op;
	struct handle *handle; /* held; or NULL */
};

static void finish(struct op *op)
{
	handle_drop(((struct getattr *)op)->handle);
}

static void reply_attr(fuse_req_t req, const struct inode *inode, size_t size, bool readable)
{
	struct stat st;

	fs_stat(fs_of(req), inode, size, readable, &st);
	fuse_reply_attr(req, &st, 0);
}

/* The key is gone: an open file shows what it has, a path shows nothing. */
static void attr_of_missing(struct op *op, struct handle *handle)
{
	if (!handle)
		op_error(op, ENOENT);
	else if (!handle->now.value)
		op_error(op, ESTALE);
	else if (op->req)
		reply_attr(op_answer(op), op->inode, handle->now.size, true);
}

static void attr_came(struct op *op, int error)
{
	struct handle *handle = ((struct getattr *)op)->handle;
	const struct sight *sight = &op->probe.sight;

	if (error) {
		op_error(op, error);
	} else if (sight->type == SIGHT_NONE) {
		attr_of_missing(op, handle);
	} else {
		inode_saw(op->inode, sight, fs_now());
		if (handle && sight->type == SIGHT_STRING) {
			handle_saw(handle, sight);
			handle->told = true;
		}
		if (op->req)
			reply_attr(op_answer(op), op->inode, sight->size, sight->type == SIGHT_STRING);
	}
}

static void get_from_server(fuse_req_t req, struct inode *inode, struct handle *handle)
{
	struct getattr *getattr = op_create(req, sizeof(*getattr), inode, NULL, 0);

	if (!getattr)
		return;
	getattr->handle = handle ? handle_hold(handle) : NULL;
	getattr->op.finish = finish;
	if (inode->gone)
		attr_of_missing(&getattr->op, handle);
	else
		probe_start(&getattr->op, attr_came);
	op_drop(&getattr->op);
}

/* What open() or LOOKUP has fetched answers the first question after it. */
static bool answer_from_fresh(fuse_req_t req, struct inode *inode, struct handle *handle)
{
	if (handle) {
		const struct version *now = &handle->now;
		if (handle->told || !now->known || now->changes != inode->changes ||
		    fs_now_ms() > now->at + FS_FRESH_MS)
			return false;
		handle->told = true;
		reply_attr(req, inode, now->size, true);
		return true;
	}
	const struct sight *fresh = inode_fresh(inode, fs_now_ms());
	if (!fresh || inode->attr_served)
		return false;
	inode->attr_served = true;
	reply_attr(req, inode, fresh->size, fresh->type == SIGHT_STRING);
	return true;
}

void lookup_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = fs_inode(fs_of(req), ino);
	struct handle *handle = ino == FUSE_ROOT_ID ? NULL : handle_of(fi);

	if (ino == FUSE_ROOT_ID)
		reply_attr(req, inode, 0, true);
	else if (pending_visible(inode) || (handle && handle->pending))
		reply_attr(req, inode, buffer_size(inode->pending->t.buffer), true);
	else if (!answer_from_fresh(req, inode, handle))
		get_from_server(req, inode, handle);
}
