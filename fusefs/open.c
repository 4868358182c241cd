/* SPDX-License-Identifier: MIT */
/*
 * OPEN, CREATE, MKNOD, RELEASE.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "pages.h"
#include "prefix.h"
#include "scratch.h"

static bool writes(int flags)
{
	return (flags & O_ACCMODE) != O_RDONLY;
}

/*
 * A handle that reads one version must not share the kernel's pages with one
 * that reads another; and O_APPEND must arrive as one WRITE. Only what is
 * written whole and can be mapped goes through the page cache; no mmap() takes
 * a file that cannot be read, and each of its WRITEs would bring a GETXATTR.
 */
static void set_modes(struct fuse_file_info *fi, struct handle *handle)
{
	fi->fh = (uintptr_t)handle;
	fi->direct_io = handle->inode->parent || handle->appends || !handle->pending || !handle->reads;
	fi->noflush = !handle->writes;
	pages_open(handle, fi);
}

static void reply_open(fuse_req_t req, struct handle *handle, struct fuse_file_info *fi)
{
	set_modes(fi, handle);
	if (fuse_reply_open(req, fi))
		handle_abandon(handle);
}

static struct handle *make_handle(fuse_req_t req, struct inode *inode, int flags)
{
	struct handle *handle = handle_create(fs_of(req), inode, flags);

	if (handle)
		handle->opener = fuse_req_ctx(req)->pid;
	return handle;
}

/* ---- OPEN ---- */

struct open {
	struct op op;
	struct fuse_file_info fi;
};

static void open_known(fuse_req_t req, struct inode *inode, const struct sight *sight, struct fuse_file_info *fi)
{
	struct handle *handle = make_handle(req, inode, fi->flags);
	int error = handle ? 0 : ENOMEM;

	if (!error && writes(fi->flags) && (fi->flags & O_TRUNC) && kind_has_value(inode->kind))
		error = handle_begin(handle, TRANSACTION_OPENED);
	else if (!error && sight)
		handle_saw(handle, sight);
	if (!error) {
		reply_open(req, handle, fi);
		return;
	}
	if (handle)
		handle_abandon(handle);
	fuse_reply_err(req, error);
}

/* Where it is gone, or another file by now, the kernel looks the name up again, and creates it where that is wanted. */
static int why_not(const struct inode *inode, const struct sight *sight)
{
	if (sight->kind == KIND_NONE || sight->kind != inode->kind)
		return ESTALE;
	return sight->kind == KIND_OTHER ? EACCES : 0;
}

static void looked(struct op *op, int error)
{
	struct open *open = (struct open *)op;
	const struct sight *sight = &op->probe.sight;

	if (!error)
		error = why_not(op->inode, sight);
	if (error == ESTALE && sight->kind == KIND_NONE)
		inode_missed(op->inode, fs_now());
	if (!error) {
		cache_saw(op->fs, op->inode, sight); /* the handle shows what the kernel may not have been told */
		cache_keep(op, op->inode);
	}
	if (error)
		op_error(op, error);
	else if (op->req)
		open_known(op_answer(op), op->inode, sight, &open->fi);
}

static void look_first(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi)
{
	struct open *open = op_create(req, sizeof(*open), inode, NULL, 0);

	if (!open)
		return;
	open->fi = *fi;
	if (inode->gone)
		op_error(&open->op, ESTALE);
	else
		probe_start(&open->op, looked);
	op_drop(&open->op);
}

void open_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = fs_inode(fs_of(req), ino);
	cache_settle(fs_of(req), inode);
	const struct sight *hit = cache_hit(fs_of(req), inode);
	const struct sight *fresh = hit ? hit : inode_fresh(inode, fs_now_ms());

	/* A listing has shown its size alone: its value comes as soon by a look, which can be kept. */
	if (hit && !hit->start && hit->size && hit->size <= PROBE_BYTES)
		fresh = NULL;

	if (pending_visible(inode))
		open_known(req, inode, NULL, fi);
	else if (!fresh)
		look_first(req, inode, fi);
	else if (why_not(inode, fresh))
		fuse_reply_err(req, why_not(inode, fresh));
	else
		open_known(req, inode, fresh, fi);
}

/* ---- CREATE ---- */

void open_created(fuse_req_t req, struct inode *inode, enum transaction_origin origin, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct handle *handle = make_handle(req, inode, fi->flags);
	struct fuse_entry_param entry;
	int error = handle ? 0 : ENOMEM;

	if (!error && writes(fi->flags) && kind_has_value(inode->kind))
		error = handle_begin(handle, origin);
	if (error) {
		if (handle)
			handle_abandon(handle);
		fuse_reply_err(req, error);
		return;
	}
	if (inode->parent)
		inode->parent->mtime = inode->parent->ctime = fs_now();
	else
		prefix_touch(fs, inode->key, inode->key_len);
	set_modes(fi, handle);
	lookup_entry(fs, inode, 0, &entry);
	inode->lookups++;
	if (fuse_reply_create(req, &entry, fi)) {
		handle_abandon(handle);
		inode_forget(inode, 1);
	}
}

struct create {
	struct op op;
	struct fuse_file_info fi;
	bool open; /* else MKNOD */
	mode_t mode;
};

/* Files of trees are looked at by programs that know them: git wants to see which can be run. */
static void take_mode(const struct fs *fs, struct inode *inode, mode_t mode)
{
	if (!prefix_needs_keys(fs) || !(mode & 0111))
		return;
	inode->mode = mode & 07777 & ~fs->options->umask;
	inode->has_mode = true;
}

/* The empty value is there: made by us. */
static void exclusive_came(struct op *op, const shard_result *result)
{
	struct create *create = (struct create *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type == SHARD_REPLY_NIL) {
		op_error(op, EEXIST);
		return;
	}
	struct inode *inode = inode_get(&op->fs->inodes, KIND_STRING, op->key, op->key_len, fs_now());
	if (!inode) {
		op_error(op, ENOMEM);
		return;
	}
	take_mode(op->fs, inode, create->mode);
	inode_wrote(inode, fs_now());
	cache_wrote(op->fs, op->key, op->key_len);
	if (op->req && create->open) {
		open_created(op_answer(op), inode, TRANSACTION_STORED, &create->fi);
	} else if (op->req) {
		struct fuse_entry_param entry;
		lookup_entry(op->fs, inode, 0, &entry);
		inode->lookups++;
		if (fuse_reply_entry(op_answer(op), &entry))
			inode_forget(inode, 1);
	}
	inode_drop(inode);
}

/* Whether a key has the name. */
static void scratch_came(struct op *op, const shard_result *result)
{
	struct create *create = (struct create *)op;
	struct fs *fs = op->fs;

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer) {
		op_error(op, EEXIST);
		return;
	}
	struct inode *inode = op->req ? inode_get(&fs->inodes, KIND_STRING, op->key, op->key_len, fs_now()) : NULL;
	if (op->req && !inode)
		op_error(op, ENOMEM);
	if (!inode || !op->req)
		return;
	open_created(op_answer(op), inode, TRANSACTION_STORED, &create->fi);
	if (inode->pending && !inode->scratch)
		scratch_keep(fs, inode);
	inode_drop(inode);
}

static void create_scratch(fuse_req_t req, const char *key, size_t key_len, const struct fuse_file_info *fi)
{
	struct create *create = op_create(req, sizeof(*create), NULL, key, key_len);

	if (!create)
		return;
	create->open = true;
	create->fi = *fi;
	op_submit_key(&create->op, "EXISTS", scratch_came);
	op_drop(&create->op);
}

static void create_exclusive(fuse_req_t req, const char *key, size_t key_len, mode_t mode,
			     const struct fuse_file_info *fi)
{
	struct create *create = op_create(req, sizeof(*create), NULL, key, key_len);
	struct words words = {0};

	if (!create)
		return;
	create->open = fi != NULL;
	create->mode = mode;
	if (fi)
		create->fi = *fi;
	create->op.keeps_on = true;
	words_text(&words, "SET");
	words_key(&words, &create->op);
	words_text(&words, "");
	words_text(&words, "NX");
	op_submit(&create->op, &words, NULL, exclusive_came);
	op_drop(&create->op);
}

/* Without O_EXCL nothing is sent: the first commit makes the key. */
static void create_later(fuse_req_t req, const char *key, size_t key_len, mode_t mode, struct fuse_file_info *fi)
{
	struct inode *inode = inode_get(&fs_of(req)->inodes, KIND_STRING, key, key_len, fs_now());
	bool truncates = fi->flags & O_TRUNC;

	if (!inode) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	take_mode(fs_of(req), inode, mode);
	open_created(req, inode, truncates ? TRANSACTION_OPENED : TRANSACTION_CREATED, fi);
	inode_drop(inode);
}

void open_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	char *key;
	size_t key_len;
	int error = fs_key_of_name(fs_of(req), parent, name, true, &key, &key_len);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	/* Who cannot write will never commit: the file is made at once. */
	if ((fi->flags & O_EXCL) && writes(fi->flags) && scratch_wanted(fs_of(req), key, key_len))
		create_scratch(req, key, key_len, fi);
	else if ((fi->flags & O_EXCL) || !writes(fi->flags))
		create_exclusive(req, key, key_len, mode, fi);
	else
		create_later(req, key, key_len, mode, fi);
	free(key);
}

void open_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	char *key;
	size_t key_len;
	int error = S_ISREG(mode) ? fs_key_of_name(fs_of(req), parent, name, true, &key, &key_len) : EPERM;

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	create_exclusive(req, key, key_len, mode, NULL);
	free(key);
}

void open_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (fi->fh) /* not of notice.h's */
		handle_close(handle_of(fi));
	fuse_reply_err(req, 0);
}
