/* SPDX-License-Identifier: MIT */
/*
 * RENAME of a key: what the kernel knows of both names, and what has no key,
 * comes along.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "move.h"
#include "prefix.h"
#include "rename_dir.h"
#include "scratch.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

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
	unsigned unpublished; /* members of the source whose values are being stored */
	int error;            /* of one of these */
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
	prefix_touch(fs, op->key, op->key_len);
	prefix_touch(fs, renaming->to, renaming->to_len);
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

/* ---- a key ---- */

/* What had a marker's name has left one. */
static void marked(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		succeed((struct renaming *)op);
}

static void moved(void *ctx, int error)
{
	struct renaming *renaming = ctx;
	struct op *op = &renaming->op;

	if (error == ENOENT && is_kept(op))
		rename_kept(renaming);
	else if (error == E2BIG) /* What mv makes to copy into is a hash. */
		op_error(op, !renaming->dir || op->inode->kind == KIND_HASH ? EXDEV : EFBIG);
	else if (error)
		fail(renaming, error);
	else if (!prefix_is_marker(op->fs, op->key, op->key_len))
		succeed(renaming);
	else
		prefix_mark(op, op->key, op->key_len, marked);
	op_drop(op);
}

static void move(struct renaming *renaming)
{
	struct op *op = op_hold(&renaming->op);
	const struct move_options how = {
		.from = op->key,
		.from_len = op->key_len,
		.to = renaming->to,
		.to_len = renaming->to_len,
		.most = MOVE_MAX,
		.replace = renaming->replace,
		.began_us = op->began_us,
	};

	op->asked = true;
	move_start(op->fs, &how, moved, renaming);
}

static void parent_kept(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		move((struct renaming *)op);
}

/* The directory that it leaves must stay. */
static void keep_parent(struct renaming *renaming)
{
	struct op *op = &renaming->op;
	const struct tree *tree = &op->fs->tree;
	size_t parent = tree_parent(tree, op->key, op->key_len);
	bool same = parent == tree_parent(tree, renaming->to, renaming->to_len) &&
		    !memcmp(op->key, renaming->to, parent);

	if (same || !prefix_keep(op, op->key, op->key_len, false, parent_kept))
		move(renaming);
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
	else
		keep_parent(renaming);
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

/* ---- a key, or (-o tree) a directory ---- */

struct choosing {
	struct op op; /* its key is what the directory's prefix would be */
	size_t key_len;
	char *to;
	struct tree_place place; /* of the new name */
	unsigned flags;
};

static void finish_choosing(struct op *op)
{
	free(((struct choosing *)op)->to);
}

/* TO becomes the renaming's. */
static void rename_place(fuse_req_t req, const char *path, const struct tree_place *from, char *to,
			 const struct tree_place *place, bool dir, unsigned flags)
{
	bool fits = dir ? place->dir_len : place->key_len || place->kind != PLACE_DIR;

	if (!fits)
		fuse_reply_err(req, EINVAL);
	else if (dir)
		rename_dir(req, path, from->dir_len, to, place->dir_len, flags & RENAME_NOREPLACE);
	else
		start(req, path, from->key_len, to, place->key_len, flags);
	if (dir || !fits)
		free(to);
}

static void exists_came(void *ctx, const struct survey_view *view, int error)
{
	struct choosing *choosing = ctx;
	struct op *op = &choosing->op;
	const struct tree_place from = {PLACE_EITHER, choosing->key_len, op->key_len, {0}};
	char *to = choosing->to;

	if (error)
		op_error(op, error);
	fuse_req_t req = op_answer(op);
	if (req) {
		fuse_req_interrupt_func(req, NULL, NULL);
		choosing->to = NULL;
		rename_place(req, op->key, &from, to, &choosing->place, view->dir, choosing->flags);
	}
	op_drop(op);
}

/* Takes TO. */
static void choose(fuse_req_t req, const char *path, const struct tree_place *from, char *to,
		   const struct tree_place *place, unsigned flags)
{
	struct fs *fs = fs_of(req);
	struct choosing *choosing;
	bool dir = from->kind == PLACE_DIR;

	if (from->kind != PLACE_EITHER || survey_knows(&fs->survey, path, from->dir_len, &dir)) {
		rename_place(req, path, from, to, place, dir, flags);
		return;
	}
	choosing = op_create(req, sizeof(*choosing), NULL, path, from->dir_len);
	if (!choosing) {
		free(to);
		return;
	}
	choosing->op.finish = finish_choosing;
	choosing->key_len = from->key_len;
	choosing->to = to;
	choosing->place = *place;
	choosing->flags = flags;
	survey_ask(&fs->survey, path, from->dir_len, SURVEY_EXISTS, exists_came, choosing);
}

static int check(struct fs *fs, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		 unsigned flags)
{
	enum kind kind = fs_inode(fs, new_parent)->kind;

	if (flags & ~(unsigned)RENAME_NOREPLACE)
		return EINVAL;
	if (control_is_in(fs, new_parent) || (parent == FUSE_ROOT_ID && !strcmp(name, CONTROL_NAME)) ||
	    (new_parent == FUSE_ROOT_ID && !strcmp(new_name, CONTROL_NAME)))
		return EPERM;
	return kind == KIND_ROOT || kind == KIND_PREFIX ? 0 : EXDEV;
}

void rename_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		   unsigned flags)
{
	struct fs *fs = fs_of(req);
	struct tree_place from = {.kind = PLACE_NONE}, place = {.kind = PLACE_NONE};
	char *path = NULL, *to = NULL;
	int error = check(fs, parent, name, new_parent, new_name, flags);

	if (!error)
		error = prefix_decode(fs, fs_inode(fs, parent), name, &from, &path);
	if (!error && (from.kind == PLACE_NONE || from.kind == PLACE_HASHED))
		error = ENOENT;
	if (!error)
		error = prefix_decode(fs, fs_inode(fs, new_parent), new_name, &place, &to);
	if (!error && (place.kind == PLACE_NONE || place.kind == PLACE_HASHED))
		error = EINVAL;
	if (error) {
		fuse_reply_err(req, error);
		free(to);
	} else {
		choose(req, path, &from, to, &place, flags);
	}
	free(path);
}
