/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP and GETATTR where keys are cut into paths.
 */
#include "prefix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ops.h"

/* ---- a directory ---- */

static void reply_dir(fuse_req_t req, const char *prefix, size_t len)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = prefix_get(fs, prefix, len);
	struct fuse_entry_param entry;

	if (!inode) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	lookup_entry(fs, inode, 0, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
	inode_drop(inode);
}

/* The request goes on as another one. */
static fuse_req_t take_request(struct op *op)
{
	fuse_req_t req = op_answer(op);

	if (req)
		fuse_req_interrupt_func(req, NULL, NULL);
	return req;
}

/* ---- a directory, or a key ---- */

struct looking {
	struct op op; /* its key is the directory's prefix */
	size_t key_len;
};

static void exists_came(void *ctx, const struct survey_view *view, int error)
{
	struct looking *looking = ctx;
	struct op *op = &looking->op;
	fuse_req_t req = error ? NULL : take_request(op);

	if (error)
		op_error(op, error);
	else if (req && view->dir)
		reply_dir(req, op->key, op->key_len);
	else if (req)
		lookup_key(req, op->key, looking->key_len);
	op_drop(op);
}

static void look_up_either(fuse_req_t req, const char *path, const struct tree_place *place)
{
	struct fs *fs = fs_of(req);
	struct looking *looking;
	bool there;

	if (survey_knows(&fs->survey, path, place->dir_len, &there)) {
		if (there)
			reply_dir(req, path, place->dir_len);
		else
			lookup_key(req, path, place->key_len);
		return;
	}
	looking = op_create(req, sizeof(*looking), NULL, path, place->dir_len);
	if (!looking)
		return;
	looking->key_len = place->key_len;
	looking->op.asked = true;
	survey_ask(&fs->survey, path, place->dir_len, SURVEY_EXISTS, exists_came, looking);
}

/* ---- what is listed under a hash ---- */

struct search {
	struct op op; /* its key is the prefix of the directory that is searched */
	struct name name;
	char *found; /* or NULL */
	size_t found_len;
	bool dir;
};

static void finish_search(struct op *op)
{
	free(((struct search *)op)->found);
}

static void try_entry(struct search *search, const struct index_entry *entry, bool dir)
{
	const struct op *op = &search->op;
	const struct tree *tree = &op->fs->tree;
	size_t end = op->key_len + entry->len, len = end + (dir ? tree->sep_len : 0);
	char listed[NAME_LISTED_MAX + 1];
	char *key = malloc(len + 1);

	if (!key)
		return;
	memcpy(key, op->key, op->key_len);
	memcpy(key + op->key_len, entry->piece, entry->len);
	memcpy(key + end, tree->sep, len - end);
	if (dir)
		tree_listed_dir(tree, key, len, op->key_len, listed);
	else
		tree_listed(key, len, op->key_len, listed);
	struct name name = name_decode(listed, strlen(listed), listed);
	if (name.kind != NAME_HASHED || name.slot != search->name.slot || name.hash != search->name.hash) {
		free(key);
		return;
	}
	free(search->found);
	search->found = key;
	search->found_len = len;
	search->dir = dir;
}

static void search_entry(void *ctx, const struct index_entry *entry)
{
	if (entry->state == INDEX_SURE)
		try_entry(ctx, entry, false);
	if (entry->dir && index_sure(entry->dir))
		try_entry(ctx, entry, true);
}

static void names_came(void *ctx, const struct survey_view *view, int error)
{
	struct search *search = ctx;
	struct op *op = &search->op;

	if (!error && view->dir)
		index_each(view->dir, search_entry, search);
	if (!search->found)
		op_error(op, error ? error : ENOENT);
	fuse_req_t req = take_request(op);
	if (req && search->dir)
		reply_dir(req, search->found, search->found_len);
	else if (req)
		lookup_key(req, search->found, search->found_len);
	op_drop(op);
}

static void look_up_hashed(fuse_req_t req, const struct inode *dir, const struct name *name)
{
	size_t len;
	const char *prefix = prefix_of(dir, &len);
	struct search *search = op_create(req, sizeof(*search), NULL, prefix, len);

	if (!search)
		return;
	search->op.finish = finish_search;
	search->op.asked = true;
	search->name = *name;
	survey_ask(&search->op.fs->survey, prefix, len, SURVEY_NAMES, names_came, search);
}

/* ---- */

void prefix_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	const struct inode *dir = fs_inode(fs, parent);
	struct tree_place place;
	char *path;

	if (prefix_decode(fs, dir, name, &place, &path)) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	switch (place.kind) {
	case PLACE_NONE:
		fuse_reply_err(req, ENOENT);
		break;
	case PLACE_KEY:
		lookup_key(req, path, place.key_len);
		break;
	case PLACE_DIR:
		reply_dir(req, path, place.dir_len);
		break;
	case PLACE_EITHER:
		look_up_either(req, path, &place);
		break;
	case PLACE_HASHED:
		look_up_hashed(req, dir, &place.hashed);
		break;
	}
	free(path);
}

/* ---- GETATTR ---- */

static void reply_attr(fuse_req_t req, const struct inode *inode)
{
	struct stat st;

	fs_stat(fs_of(req), inode, 0, &st);
	fuse_reply_attr(req, &st, 0);
}

static void attr_came(void *ctx, const struct survey_view *view, int error)
{
	struct op *op = ctx;

	if (error || !view->dir)
		op_error(op, error ? error : ENOENT);
	else if (op->req)
		reply_attr(op_answer(op), op->inode);
	op_drop(op);
}

void prefix_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = fs_inode(fs, ino);
	size_t len;
	const char *prefix = prefix_of(inode, &len);
	bool there = true;

	if (inode->gone || !prefix_needs_keys(fs) || (survey_knows(&fs->survey, prefix, len, &there) && there)) {
		reply_attr(req, inode);
		return;
	}
	struct op *op = op_create(req, sizeof(*op), inode, "", 0);
	if (op)
		survey_ask(&fs->survey, prefix, len, SURVEY_EXISTS, attr_came, op);
}
