/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP, FORGET, GETATTR.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "longname.h"
#include "pages.h"
#include "members.h"
#include "prefix.h"
#include "type.h"

void lookup_entry(const struct fs *fs, const struct inode *inode, size_t size, struct fuse_entry_param *entry)
{
	*entry = (struct fuse_entry_param){.ino = fs_ino(fs, inode)};
	fs_stat(fs, inode, size, &entry->attr);
}

/* TOLD: what has shown that; or NULL. */
static void reply_entry(struct op *op, struct inode *inode, size_t size, const struct sight *told)
{
	fuse_req_t req = op_answer(op);
	struct fuse_entry_param entry;

	if (!req)
		return;
	lookup_entry(op->fs, inode, size, &entry);
	/*
	 * The name alone: its attributes cannot be taken back at once before the
	 * kernel has made the inode, anew perhaps. Those that GETATTR is told can.
	 * A member's name would take all others with it when the key changes.
	 */
	double seconds = cache_grant(op->fs, inode, told);
	if (!inode->parent)
		entry.entry_timeout = cache_grant_name(op->fs, inode, seconds);
	pages_tell(inode, told);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
}

static void reply_pending_entry(struct op *op, struct inode *inode)
{
	reply_entry(op, inode, buffer_size(inode->pending->t.buffer), NULL);
}

static struct fs_failure *failure_of(struct fs *fs, uint64_t hash)
{
	return &fs->failure[hash % FS_FAILURES];
}

static void remember_failure(struct op *op, int error)
{
	uint64_t hash = name_hash(op->key, op->key_len);

	if (error == ETIMEDOUT || error == EHOSTUNREACH)
		*failure_of(op->fs, hash) = (struct fs_failure){hash, fs_now_ms(), error};
}

static int failed_just_now(struct op *op)
{
	uint64_t hash = name_hash(op->key, op->key_len);
	const struct fs_failure *failure = failure_of(op->fs, hash);

	return failure->hash == hash && fs_now_ms() - failure->at <= FS_FAILED_MS ? failure->error : 0;
}

static struct inode *find(struct op *op)
{
	return op->member ? inode_find_member(op->inode, op->member, op->member_len)
			  : inode_find(&op->fs->inodes, op->key, op->key_len);
}

static struct inode *get(struct op *op, enum kind kind)
{
	return op->member ? inode_get_member(op->inode, kind, op->member, op->member_len, op->fs->mounted)
			  : inode_get(&op->fs->inodes, kind, op->key, op->key_len, op->fs->mounted);
}

static void miss(struct op *op, int error)
{
	remember_failure(op, error);
	struct inode *inode = error ? NULL : find(op);

	if (inode && pending_visible(inode)) {
		reply_pending_entry(op, inode);
		return;
	}
	if (inode && inode->kept) {
		reply_entry(op, inode, 0, NULL);
		return;
	}
	if (inode)
		inode_missed(inode, fs_now());
	else if (!error)
		inode_no_past(&op->fs->inodes, op->key, op->key_len);
	op_error(op, error ? error : ENOENT);
}

/* What stands for an empty directory is no file. */
static bool is_marker(const struct op *op)
{
	const struct sight *sight = &op->probe.sight;

	return sight->kind == KIND_STRING && !sight->size && !op->member &&
	       prefix_is_marker(op->fs, op->key, op->key_len);
}

static void looked(struct op *op, int error)
{
	const struct sight *sight = &op->probe.sight;

	if (error || sight->kind == KIND_NONE || is_marker(op)) {
		miss(op, error);
		return;
	}
	struct inode *inode = find(op);
	if (inode && pending_visible(inode)) {
		reply_pending_entry(op, inode);
		return;
	}
	inode = get(op, sight->kind);
	if (!inode) {
		op_error(op, ENOMEM);
		return;
	}
	inode_set_kept(inode, false);
	inode_saw(inode, sight, fs_now());
	cache_keep(op, inode);
	reply_entry(op, inode, sight->size, &inode->fresh);
	inode_drop(inode);
}

static void look_up(struct op *op, struct inode *inode)
{
	bool pending = inode && pending_visible(inode);
	const struct sight *hit = inode && !pending ? cache_hit(op->fs, inode) : NULL;
	int error = failed_just_now(op);

	probe_expect(&op->probe, inode);
	if (pending)
		reply_pending_entry(op, inode);
	else if (hit)
		reply_entry(op, inode, hit->size, hit);
	else if (error)
		op_error(op, error);
	else
		probe_start(op, looked);
	op_drop(op);
}

void lookup_key(fuse_req_t req, const char *key, size_t key_len)
{
	struct inode *inode = inode_find(&fs_of(req)->inodes, key, key_len);
	struct op *op = op_create(req, sizeof(*op), NULL, key, key_len);

	if (op)
		look_up(op, inode);
}

void lookup_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	size_t len = strlen(name);
	char *key = NULL;

	if (parent == FUSE_ROOT_ID && strcmp(name, CONTROL_NAME) == 0) {
		control_lookup_top(req);
		return;
	}
	if (prefix_used(fs_of(req))) {
		prefix_lookup(req, parent, name);
		return;
	}
	key = malloc(len + 1);
	if (!key) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	struct name decoded = name_decode(name, len, key);
	if (decoded.kind == NAME_KEY)
		lookup_key(req, key, decoded.key_len);
	else if (decoded.kind == NAME_HASHED)
		longname_look_up(req, &decoded, lookup_key);
	else
		fuse_reply_err(req, ENOENT);
	free(key);
}

/* ---- in a directory of members ---- */

/* What is always there. */
static void reply_special(fuse_req_t req, struct inode *dir, enum kind kind, const char *name)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = inode_get_member(dir, kind, name, strlen(name), fs->mounted);
	struct op *op = inode ? op_create(req, sizeof(*op), inode, NULL, 0) : NULL;

	if (!inode)
		fuse_reply_err(req, ENOMEM);
	if (op) {
		reply_entry(op, inode, log_size(inode), NULL);
		op_drop(op);
	}
	inode_drop(inode);
}

static void look_up_member(fuse_req_t req, struct inode *dir, const char *member, size_t len)
{
	struct inode *inode = inode_find_member(dir, member, len);
	struct op *op = op_create_in(req, sizeof(*op), dir, member, len);

	if (op)
		look_up(op, inode);
}

void lookup_member(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct inode *dir = fs_inode(fs_of(req), parent);
	size_t len = strlen(name);
	char *member = malloc(len + 1);

	if (!member) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	struct name decoded = name_decode(name, len, member);
	enum kind kind = type_kind_of(type_of(dir->kind), name, &decoded, member);
	if (dir->gone)
		fuse_reply_err(req, ENOENT);
	else if (decoded.kind == NAME_HASHED && type_of(dir->kind)->scan)
		members_find_hashed(req, dir, &decoded, look_up_member);
	else if (kind == KIND_PUSH || kind == KIND_LOG)
		reply_special(req, dir, kind, name);
	else if (kind == KIND_NONE)
		fuse_reply_err(req, ENOENT);
	else
		look_up_member(req, dir, member, decoded.key_len);
	free(member);
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

/* ---- GETATTR: fstat() comes without its handle ---- */

static void reply_attr(struct op *op, size_t size, const struct sight *told)
{
	fuse_req_t req = op_answer(op);
	struct stat st;

	if (!req)
		return;
	fs_stat(op->fs, op->inode, size, &st);
	pages_tell(op->inode, told);
	fuse_reply_attr(req, &st, cache_grant(op->fs, op->inode, told));
}

/* The key is gone: an open file shows what it has, a path shows nothing. */
static void attr_of_missing(struct op *op)
{
	const struct version *version = handle_any_version(op->inode);

	if (version)
		reply_attr(op, version->size, NULL);
	else
		op_error(op, op->inode->handles || op->inode->gone ? ESTALE : ENOENT);
}

static void attr_came(struct op *op, int error)
{
	const struct sight *sight = &op->probe.sight;

	if (error) {
		op_error(op, error);
	} else if (sight->kind == KIND_NONE && op->inode->kept) {
		reply_attr(op, 0, NULL);
	} else if (sight->kind == KIND_NONE || op->inode->gone) {
		if (!op->inode->gone)
			inode_missed(op->inode, fs_now());
		attr_of_missing(op);
	} else if (sight->kind != op->inode->kind) {
		inode_leave(op->inode);
		op_error(op, ESTALE);
	} else {
		inode_set_kept(op->inode, false);
		inode_saw(op->inode, sight, fs_now());
		bool kept = cache_keep_true(op, op->inode);
		if (sight->kind == KIND_STRING)
			handle_all_saw(op->inode, sight);
		reply_attr(op, sight->size, kept ? &op->inode->fresh : sight);
	}
}

static void get_attr(struct op *op, const struct handle *handle)
{
	struct inode *inode = op->inode;
	const struct sight *fresh = inode_fresh(inode, fs_now_ms());
	const struct sight *hit = inode == op->fs->root ? NULL : cache_hit(op->fs, inode);

	if (inode == op->fs->root) {
		cache_root_time(op->fs);
		reply_attr(op, 0, NULL);
	} else if (pending_visible(inode) || (handle && handle->pending)) {
		reply_attr(op, buffer_size(inode->pending->t.buffer), NULL);
	} else if (inode->gone) {
		attr_of_missing(op);
	} else if (hit) {
		handle_all_saw(inode, hit);
		reply_attr(op, hit->size, hit);
	} else if (fresh && !inode->attr_served) {
		inode->attr_served = true;
		reply_attr(op, fresh->size, fresh);
	} else {
		probe_start(op, attr_came);
	}
}

void lookup_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct op *op = op_create(req, sizeof(*op), fs_inode(fs_of(req), ino), NULL, 0);

	if (!op)
		return;
	get_attr(op, kind_is_dir(op->inode->kind) ? NULL : handle_of(fi));
	op_drop(op);
}
