/* SPDX-License-Identifier: MIT */
/*
 * CREATE, MKNOD, UNLINK, RENAME in a key that is a directory.
 */
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "type.h"

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#endif

/* What a name stands for in a directory. */
struct place {
	struct inode *dir;
	enum kind kind;
	char *member; /* malloc'ed */
	size_t member_len;
};

static const struct inode *find_hashed(const struct inode *dir, const struct name *name)
{
	const struct inode *child = dir->children;

	while (child && (child->gone || !name_matches(name, child->member, child->member_len)))
		child = child->older_sibling;
	return child;
}

static int copy_member(struct place *place, const char *member, size_t len)
{
	free(place->member);
	place->member = malloc(len + 1);
	if (!place->member)
		return ENOMEM;
	memcpy(place->member, member, len);
	place->member_len = len;
	return 0;
}

/* 0 or an errno; then there is nothing to free. */
static int find_place(struct place *place, fuse_req_t req, fuse_ino_t parent, const char *name, bool make)
{
	size_t len = strlen(name);

	*place = (struct place){.dir = fs_inode(fs_of(req), parent), .member = malloc(len + 1)};
	if (!place->member)
		return ENOMEM;
	struct name decoded = name_decode(name, len, place->member);
	place->member_len = decoded.key_len;
	place->kind = type_kind_of(type_of(place->dir->kind), name, &decoded, place->member);
	/* The kernel has just looked it up, so the inode is there. */
	const struct inode *long_one = decoded.kind == NAME_HASHED ? find_hashed(place->dir, &decoded) : NULL;
	int error = 0;
	if (place->dir->gone)
		error = ENOENT;
	else if (long_one && !(error = copy_member(place, long_one->member, long_one->member_len)))
		place->kind = long_one->kind;
	else if (place->kind == KIND_PUSH || place->kind == KIND_LOG)
		error = copy_member(place, name, len);
	else if (place->kind == KIND_NONE)
		error = make ? EINVAL : ENOENT;
	if (error) {
		free(place->member);
		place->member = NULL;
	}
	return error;
}

static void touch(struct inode *dir)
{
	dir->mtime = dir->ctime = fs_now();
}

/* ---- CREATE, MKNOD ---- */

struct create {
	struct op op; /* its inode is the directory */
	enum kind kind;
	bool exclusive;
	bool open; /* else MKNOD */
	struct fuse_file_info fi;
};

static void reply_entry(struct op *op, struct inode *inode)
{
	fuse_req_t req = op_answer(op);
	struct fuse_entry_param entry;

	if (!req)
		return;
	touch(inode->parent);
	lookup_entry(op->fs, inode, 0, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
}

static void made(struct op *op, const shard_result *result)
{
	struct create *create = (struct create *)op;

	if (op_failed(op, result))
		return;
	if (create->exclusive && result->reply->type == SHARD_REPLY_INTEGER && !result->reply->integer) {
		op_error(op, EEXIST);
		return;
	}
	struct inode *inode = inode_get_member(op->inode, create->kind, op->member, op->member_len, fs_now());
	if (!inode) {
		op_error(op, ENOMEM);
		return;
	}
	inode_wrote(inode, fs_now());
	cache_wrote(op->fs, op->key, op->key_len);
	if (!create->open)
		reply_entry(op, inode);
	else if (op->req)
		open_created(op_answer(op), inode, TRANSACTION_STORED, &create->fi);
	inode_drop(inode);
}

static void make_at_once(fuse_req_t req, const struct place *place, const struct fuse_file_info *fi)
{
	struct create *create = op_create_in(req, sizeof(*create), place->dir, place->member, place->member_len);
	struct words words = {0};

	if (!create)
		return;
	create->kind = place->kind;
	create->exclusive = !fi || fi->flags & O_EXCL;
	create->open = fi != NULL;
	if (fi)
		create->fi = *fi;
	create->op.keeps_on = true;
	type_words_of_op(&words, TYPE_MAKE, &create->op);
	words_text(&words, "");
	op_submit(&create->op, &words, NULL, made);
	op_drop(&create->op);
}

/* The first commit makes it. */
static void make_later(fuse_req_t req, const struct place *place, struct fuse_file_info *fi)
{
	struct inode *inode = inode_get_member(place->dir, place->kind, place->member, place->member_len, fs_now());
	bool truncates = (fi->flags & O_TRUNC) && !(fi->flags & O_EXCL);

	if (!inode) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	open_created(req, inode, truncates ? TRANSACTION_OPENED : TRANSACTION_CREATED, fi);
	inode_drop(inode);
}

/* An element of a list is seen by those who wait for one: it must not be there before its value is. */
static bool waits_for_value(const struct place *place, const struct fuse_file_info *fi)
{
	if (place->kind == KIND_TOKEN || (fi->flags & O_ACCMODE) == O_RDONLY)
		return false;
	return type_of(place->dir->kind)->numbered || !(fi->flags & O_EXCL);
}

void member_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct place place;
	int error = find_place(&place, req, parent, name, true);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	if (place.kind == KIND_PUSH || place.kind == KIND_LOG)
		fuse_reply_err(req, EEXIST);
	else if (waits_for_value(&place, fi))
		make_later(req, &place, fi);
	else
		make_at_once(req, &place, fi);
	free(place.member);
}

void member_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct place place;
	int error = S_ISREG(mode) ? find_place(&place, req, parent, name, true) : EPERM;

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	if (place.kind == KIND_PUSH || place.kind == KIND_LOG)
		fuse_reply_err(req, EEXIST);
	else
		make_at_once(req, &place, NULL);
	free(place.member);
}

/* ---- UNLINK ---- */

struct removal {
	struct op op;        /* its inode is the directory */
	struct inode *inode; /* the member's, held; or NULL */
	bool unborn;         /* created here, and not on any server yet */
	bool done;
};

static void finish_removal(struct op *op)
{
	struct removal *removal = (struct removal *)op;

	if (removal->inode && !removal->done)
		inode_return(removal->inode);
	inode_drop(removal->inode);
}

/* The numbers of all others may mean other elements now. */
static void forget_values(struct inode *dir)
{
	for (struct inode *child = dir->children; child; child = child->older_sibling)
		inode_stale(child);
}

static void removed(struct op *op, const shard_result *result)
{
	struct removal *removal = (struct removal *)op;
	const shard_reply *reply = result->reply;

	if (op_failed(op, result))
		return;
	cache_wrote(op->fs, op->key, op->key_len);
	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 2 || reply->element[0].type != SHARD_REPLY_INTEGER ||
	    reply->element[1].type != SHARD_REPLY_INTEGER) {
		op_error(op, EIO);
		return;
	}
	long long count = reply->element[0].integer;
	if (count < 0) {
		op_error(op, EPERM);
		return;
	}
	removal->done = true;
	touch(op->inode);
	forget_values(op->inode);
	/* There is no empty key: what is left is a directory in memory. */
	if (!reply->element[1].integer && !op->inode->gone)
		inode_set_kept(op->inode, true);
	op_error(op, count || removal->unborn ? 0 : ENOENT);
}

/* No commit of it is under way. From here on there will be none: its handles write into memory. */
static void settled(struct op *op, int error)
{
	struct removal *removal = (struct removal *)op;
	struct words words = {0};

	if (error) {
		op_error(op, error);
		return;
	}
	if (removal->inode) {
		removal->unborn |= pending_visible(removal->inode);
		inode_stale(removal->inode);
		inode_leave(removal->inode);
	}
	type_words_of_op(&words, TYPE_REMOVE, op);
	op_submit(op, &words, NULL, removed);
}

static void unlink_place(fuse_req_t req, const struct place *place)
{
	struct inode *inode = inode_find_member(place->dir, place->member, place->member_len);
	struct removal *removal = op_create_in(req, sizeof(*removal), place->dir, place->member, place->member_len);

	if (!removal)
		return;
	removal->op.finish = finish_removal;
	removal->op.keeps_on = true;
	removal->unborn = place->kind == KIND_LOG; /* of a stream that has no entry yet */
	removal->inode = inode ? inode_hold(inode) : NULL;
	if (inode)
		pending_settle(inode, &removal->op, settled);
	else
		settled(&removal->op, 0);
	op_drop(&removal->op);
}

void member_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct place place;
	int error = find_place(&place, req, parent, name, false);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	if (place.kind == KIND_PUSH)
		fuse_reply_err(req, EPERM);
	else
		unlink_place(req, &place);
	free(place.member);
}

/* ---- RENAME ---- */

struct move {
	struct op op;         /* its inode is the directory, its member the source */
	struct inode *source; /* held; or NULL, as the target */
	struct inode *target;
	char *to;
	size_t to_len;
	bool replace;
	bool done;
};

static void finish_move(struct op *op)
{
	struct move *move = (struct move *)op;

	if (move->target && !move->done)
		inode_return(move->target);
	inode_drop(move->target);
	inode_drop(move->source);
	free(move->to);
}

static void moved(struct op *op, const shard_result *result)
{
	struct move *move = (struct move *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer != 1) {
		op_error(op,
			 result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer < 0 ? EEXIST : ENOENT);
		return;
	}
	move->done = true;
	cache_wrote(op->fs, op->key, op->key_len);
	touch(op->inode);
	if (move->source) {
		inode_stale(move->source);
		move->source->ctime = fs_now();
		if (inode_rename_member(move->source, move->to, move->to_len))
			inode_leave(move->source);
	}
	op_error(op, 0);
}

static void target_settled(struct op *op, int error)
{
	struct move *move = (struct move *)op;
	struct words words = {0};

	if (!error && move->target && !move->replace && pending_visible(move->target))
		error = EEXIST;
	if (error) {
		op_error(op, error);
		return;
	}
	if (move->target)
		inode_leave(move->target);
	type_words_of_op(&words, TYPE_MOVE, op);
	words_add(&words, move->to, move->to_len);
	words_text(&words, move->replace ? "0" : "1");
	op_submit(op, &words, NULL, moved);
}

static void source_published(struct op *op, int error)
{
	struct move *move = (struct move *)op;

	if (error)
		op_error(op, error);
	else if (move->target)
		pending_settle(move->target, op, target_settled);
	else
		target_settled(op, 0);
}

/* TO's member becomes the move's. */
static void start_move(fuse_req_t req, const struct place *from, struct place *to, bool replace)
{
	struct inode *source = inode_find_member(from->dir, from->member, from->member_len);
	struct inode *target = inode_find_member(from->dir, to->member, to->member_len);
	struct move *move = op_create_in(req, sizeof(*move), from->dir, from->member, from->member_len);

	if (!move)
		return;
	move->op.finish = finish_move;
	move->op.keeps_on = true;
	move->source = source ? inode_hold(source) : NULL;
	move->target = target && target != source ? inode_hold(target) : NULL;
	move->to = to->member;
	move->to_len = to->member_len;
	move->replace = replace;
	to->member = NULL;
	if (target && target == source)
		op_error(&move->op, 0);
	else if (source)
		pending_publish(source, &move->op, source_published);
	else
		source_published(&move->op, 0);
	op_drop(&move->op);
}

static bool can_move(const struct place *place)
{
	return place->kind != KIND_PUSH && place->kind != KIND_LOG && !type_of(place->dir->kind)->numbered;
}

void member_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		   unsigned flags)
{
	struct place from = {0}, to = {0};
	int error = flags & ~(unsigned)RENAME_NOREPLACE ? EINVAL : parent != new_parent ? EXDEV : 0;

	if (error == EXDEV && control_is_in(fs_of(req), new_parent))
		error = EPERM;

	if (!error)
		error = find_place(&from, req, parent, name, false);
	if (!error)
		error = find_place(&to, req, parent, new_name, true);
	if (!error && (!can_move(&from) || !can_move(&to)))
		error = EPERM;
	if (error)
		fuse_reply_err(req, error);
	else
		start_move(req, &from, &to, !(flags & RENAME_NOREPLACE));
	free(from.member);
	free(to.member);
}
