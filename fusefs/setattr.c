/* SPDX-License-Identifier: MIT */
/*
 * SETATTR: truncate goes to the server or into a transaction; modes and
 * times are kept here; owners stay.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>

#include "errors.h"
#include "pages.h"
#include "type.h"

/* Cuts or grows in one step, so that nobody sees half of it; 1, or nil without the key. STRLEN refuses other types. */
static const char truncate_script[] =
	"if redis.call('EXISTS', KEYS[1]) == 0 then return false end\n"
	"local size, want = redis.call('STRLEN', KEYS[1]), tonumber(ARGV[1])\n"
	"if want == 0 then\n"
	"  redis.call('SET', KEYS[1], '', 'KEEPTTL')\n"
	"elseif want < size then\n"
	"  redis.call('SET', KEYS[1], redis.call('GETRANGE', KEYS[1], 0, want - 1), 'KEEPTTL')\n"
	"elseif want > size then\n"
	"  redis.call('SETRANGE', KEYS[1], want - 1, '\\0')\n"
	"end\n"
	"return 1\n";

struct setattr {
	struct op op;
	bool path; /* not through a handle */
	size_t size;
};

/* TOLD: what has shown that; or NULL. */
static void reply_attr(struct op *op, size_t size, const struct sight *told)
{
	fuse_req_t req = op_answer(op);
	struct stat st;

	if (!req)
		return;
	fs_stat(op->fs, op->inode, size, &st);
	pages_tell(op->inode, told);
	fuse_reply_attr(req, &st, 0);
}

/* ---- the size ---- */

static void resized(struct op *op, int error)
{
	if (error)
		op_error(op, error);
	else
		reply_attr(op, ((struct setattr *)op)->size, NULL);
}

static void truncated(struct op *op, const shard_result *result)
{
	struct setattr *set = (struct setattr *)op;
	int error = errors_of_result(result);

	if (error) {
		op_error(op, error);
		return;
	}
	if (result->reply->type == SHARD_REPLY_NIL) {
		op_error(op, set->path ? ENOENT : ESTALE);
		return;
	}
	inode_wrote(op->inode, fs_now());
	cache_wrote(op->fs, op->key, op->key_len);
	if (op->inode->pending)
		transaction_mirror_resize(&op->inode->pending->t, set->size);
	reply_attr(op, set->size, NULL);
}

static void submit_truncate(struct setattr *set)
{
	shard_call how = {.flags = SHARD_IDEMPOTENT};
	struct words words = {0};
	char size[24];

	snprintf(size, sizeof(size), "%zu", set->size);
	if (set->op.member) {
		type_words_of_op(&words, TYPE_CUT, &set->op);
	} else {
		words_text(&words, "EVAL");
		words_text(&words, truncate_script);
		words_text(&words, "1");
		words_key(&words, &set->op);
	}
	words_text(&words, size);
	op_submit(&set->op, &words, &how, truncated);
}

static void published(struct op *op, int error)
{
	if (error || op->inode->gone)
		op_error(op, error ? error : ESTALE);
	else
		submit_truncate((struct setattr *)op);
}

/* vim's ftruncate(0) is the start of a new value. */
static int resize_pending(struct handle *handle, size_t size, enum transaction_step *step)
{
	*step = TRANSACTION_NOTHING;
	if (!handle->pending)
		return handle_begin(handle, TRANSACTION_TRUNCATED);
	if (size == 0)
		return pending_truncate(handle->pending, false);
	return transaction_resize(&handle->pending->t, size, step);
}

static void resize_through(struct setattr *set, struct handle *handle)
{
	enum transaction_step step;
	int error = resize_pending(handle, set->size, &step);

	if (error) {
		op_error(&set->op, error);
		return;
	}
	pending_changed(handle->pending, step == TRANSACTION_LATER);
	if (step == TRANSACTION_COMMIT)
		pending_commit(handle->pending, &set->op, resized);
	else
		resized(&set->op, 0);
}

static void resize_removed(struct setattr *set)
{
	enum transaction_step step;
	resized(&set->op, transaction_resize(&set->op.inode->pending->t, set->size, &step));
}

static void resize(struct setattr *set, struct handle *handle)
{
	struct inode *inode = set->op.inode;
	bool begins = handle && handle->writes && !handle->appends && (handle->pending || set->size == 0);

	set->op.keeps_on = true;
	if (!kind_has_value(inode->kind) && set->size)
		op_error(&set->op, EPERM);
	else if (!kind_has_value(inode->kind))
		resized(&set->op, 0);
	else if (set->size > TRANSACTION_VALUE_MAX)
		op_error(&set->op, EFBIG);
	else if (inode_in_memory(inode) && inode->pending)
		resize_removed(set);
	else if (begins)
		resize_through(set, handle);
	else
		pending_publish(inode, &set->op, published);
}

/* ---- the rest ---- */

static struct timespec chosen(struct timespec given, bool now)
{
	return now ? fs_now() : given;
}

static void set_local(struct inode *inode, const struct stat *attr, int to_set)
{
	if (to_set & FUSE_SET_ATTR_MODE) {
		inode->mode = attr->st_mode & 07777;
		inode->has_mode = true;
	}
	if (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW))
		inode->atime = chosen(attr->st_atim, to_set & FUSE_SET_ATTR_ATIME_NOW);
	if (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW))
		inode->mtime = chosen(attr->st_mtim, to_set & FUSE_SET_ATTR_MTIME_NOW);
	inode->ctime = fs_now();
}

static bool changes_owner(const struct fs *fs, const struct stat *attr, int to_set)
{
	return ((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->options->uid) ||
	       ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->options->gid);
}

static void looked(struct op *op, int error)
{
	const struct sight *sight = &op->probe.sight;

	if (!error && sight->kind == KIND_NONE && op->inode->kept) {
		reply_attr(op, 0, NULL);
		return;
	}
	if (!error && sight->kind == KIND_NONE)
		error = ((struct setattr *)op)->path ? ENOENT : ESTALE;
	else if (!error && sight->kind != op->inode->kind)
		error = ESTALE;
	if (error)
		op_error(op, error);
	else
		reply_attr(op, sight->size, sight);
}

static void answer(struct setattr *set)
{
	struct inode *inode = set->op.inode;

	if (inode == set->op.fs->root || inode->kind == KIND_PREFIX)
		reply_attr(&set->op, 0, NULL);
	else if (inode->pending && (pending_visible(inode) || inode->gone))
		reply_attr(&set->op, buffer_size(inode->pending->t.buffer), NULL);
	else if (inode->gone)
		op_error(&set->op, ESTALE);
	else
		probe_start(&set->op, looked);
}

void setattr_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = fs_inode(fs, ino);
	struct setattr *set = op_create(req, sizeof(*set), inode, NULL, 0);

	if (!set)
		return;
	set->path = !fi;
	if (changes_owner(fs, attr, to_set)) {
		op_error(&set->op, EPERM);
	} else {
		set_local(inode, attr, to_set);
		if (to_set & FUSE_SET_ATTR_SIZE) {
			set->size = (size_t)attr->st_size;
			resize(set, handle_of(fi));
		} else {
			answer(set);
		}
	}
	op_drop(&set->op);
}
