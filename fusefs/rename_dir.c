/* SPDX-License-Identifier: MIT */
#include "rename_dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "move.h"
#include "ops.h"
#include "prefix.h"

#define AT_ONCE 64
#define RECORD "shardfs: moving to "

/* Stores the record (ARGV[1]) where there is none of the key's own: 1. With ARGV[2] an empty string is a marker. */
static const char record_script[] =
	"local value = redis.pcall('GET', KEYS[1])\n"
	"if type(value) == 'table' then return 0 end\n"
	"local ours = value and string.sub(value, 1, #ARGV[3]) == ARGV[3]\n"
	"if value and not ours and (value ~= '' or ARGV[2] == '0') then return 0 end\n"
	"redis.call('SET', KEYS[1], ARGV[1])\n"
	"return 1\n";

/* Removes the record. */
static const char erase_script[] = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('UNLINK', KEYS[1]) end\n"
				   "return 1\n";

/* Removes a marker; -1: it has a value. */
static const char unmark_script[] = "local value = redis.call('GET', KEYS[1])\n"
				    "if value and value ~= '' then return -1 end\n"
				    "return redis.call('UNLINK', KEYS[1])\n";

struct moved_key {
	char *key;
	size_t len;
};

struct dir_move {
	struct op op; /* its key is the old prefix */
	char *to;
	size_t to_len;
	char *record;
	size_t record_len;
	bool noreplace;
	bool resumes;  /* some keys are there already, by an earlier attempt */
	bool recorded;
	struct moved_key *key;
	size_t count, room, next, under_way;
	unsigned unpublished;
	int error;
};

struct one_move {
	struct dir_move *move; /* held */
	const struct moved_key *key;
};

static void finish(struct op *op)
{
	struct dir_move *move = (struct dir_move *)op;

	for (size_t i = 0; i < move->count; i++)
		free(move->key[i].key);
	free(move->key);
	free(move->to);
	free(move->record);
}

static bool submit_script(struct dir_move *move, const char *script, const char *key, size_t len, op_step step)
{
	shard_call how = {.flags = SHARD_IDEMPOTENT};
	struct words words = {0};

	words_text(&words, "EVAL");
	words_text(&words, script);
	words_text(&words, "1");
	words_add(&words, key, len);
	words_add(&words, move->record, move->record_len);
	words_text(&words, prefix_needs_keys(move->op.fs) ? "1" : "0");
	words_text(&words, RECORD);
	return op_submit(&move->op, &words, &how, step);
}

static void touch(struct dir_move *move)
{
	struct fs *fs = move->op.fs;

	cache_wrote(fs, move->op.key, move->op.key_len);
	cache_wrote(fs, move->to, move->to_len);
	prefix_touch_dir(fs, move->op.key, move->op.key_len);
	prefix_touch_dir(fs, move->to, move->to_len);
}

/* ---- the end ---- */

/* NULL when out of memory. */
static char *new_name(const struct dir_move *move, const char *key, size_t len, size_t *new_len)
{
	size_t hidden = move->op.fs->tree.sep_len;
	/* With -o tree the key that is called as the directory is moves along. */
	bool value = len + hidden == move->op.key_len;
	char *to = malloc(move->to_len + len + 1);

	if (!to)
		return NULL;
	*new_len = value ? move->to_len - hidden : move->to_len + len - move->op.key_len;
	memcpy(to, move->to, value ? *new_len : move->to_len);
	if (!value)
		memcpy(to + move->to_len, key + move->op.key_len, len - move->op.key_len);
	return to;
}

/* The directories that the kernel knows go on under their new names. */
static void rename_inodes(struct dir_move *move)
{
	const struct op *op = &move->op;
	struct inode *old = prefix_find(op->fs, move->to, move->to_len);

	if (old)
		inode_leave(old);
	for (struct inode *dir = op->fs->prefixes->children; dir; dir = dir->older_sibling) {
		size_t len;
		if (dir->gone || dir->member_len < op->key_len || memcmp(dir->member, op->key, op->key_len) != 0)
			continue;
		char *name = new_name(move, dir->member, dir->member_len, &len);
		if (!name || inode_rename_member(dir, name, len))
			inode_leave(dir);
		free(name);
	}
}

static void record_erased(struct op *op, const shard_result *result)
{
	struct dir_move *move = (struct dir_move *)op;

	if (op_failed(op, result))
		return;
	touch(move);
	rename_inodes(move);
	op_error(op, 0);
}

static void erase_record(struct dir_move *move)
{
	submit_script(move, erase_script, move->op.key, move->op.key_len, record_erased);
}

static void target_marked(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		erase_record((struct dir_move *)op);
}

static void all_moved(struct dir_move *move)
{
	if (move->error || !move->op.req)
		op_error(&move->op, move->error);
	else if (prefix_needs_keys(move->op.fs))
		prefix_mark(&move->op, move->to, move->to_len, target_marked);
	else
		erase_record(move);
}

/* ---- the keys ---- */

static void go_on(struct dir_move *move);

static void rename_inode(struct dir_move *move, const struct moved_key *key)
{
	struct fs *fs = move->op.fs;
	struct inode *inode = inode_find(&fs->inodes, key->key, key->len);
	size_t len;
	char *to = new_name(move, key->key, key->len, &len);

	cache_wrote(fs, key->key, key->len);
	if (to)
		cache_wrote(fs, to, len);
	if (inode) {
		inode_stale(inode);
		cache_revoke(fs, inode);
		inode->ctime = fs_now();
		if (!to || inode_rename(inode, to, len))
			inode_leave(inode);
	}
	free(to);
}

static void one_moved(void *ctx, int error)
{
	struct one_move *one = ctx;
	struct dir_move *move = one->move;

	if (!error)
		rename_inode(move, one->key);
	else if (error != ENOENT) /* else it has left by itself */
		move->error = error == E2BIG ? EFBIG : error;
	free(one);
	move->under_way--;
	go_on(move);
	op_drop(&move->op);
}

static void begin_one(struct dir_move *move, const struct moved_key *key)
{
	struct one_move *one = malloc(sizeof(*one));
	struct move_options how = {
		.from = key->key,
		.from_len = key->len,
		.again = move->resumes,
		.began_us = move->op.began_us,
	};
	char *to = new_name(move, key->key, key->len, &how.to_len);

	if (one && to) {
		*one = (struct one_move){move, key};
		op_hold(&move->op);
		move->under_way++;
		how.to = to;
		move_start(move->op.fs, &how, one_moved, one);
	} else {
		move->error = ENOMEM;
		free(one);
	}
	free(to);
}

static void go_on(struct dir_move *move)
{
	while (move->next < move->count && move->under_way < AT_ONCE && !move->error && move->op.req)
		begin_one(move, &move->key[move->next++]);
	if (!move->under_way)
		all_moved(move);
}

static bool add_key(void *ctx, const char *key, size_t len)
{
	struct dir_move *move = ctx;

	if (move->count == move->room) {
		size_t room = move->room ? move->room * 2 : 64;
		struct moved_key *grown = realloc(move->key, room * sizeof(*grown));
		move->error = grown ? 0 : ENOMEM;
		if (!grown)
			return false;
		move->key = grown;
		move->room = room;
	}
	char *copy = malloc(len + 1);
	move->error = !copy ? ENOMEM : move->count == RENAME_DIR_MAX ? EXDEV : 0;
	if (move->error) {
		free(copy);
		return false;
	}
	memcpy(copy, key, len);
	move->key[move->count++] = (struct moved_key){copy, len};
	return true;
}

/* ---- before it ---- */

static void recorded(struct op *op, const shard_result *result)
{
	struct dir_move *move = (struct dir_move *)op;

	if (op_failed(op, result))
		return;
	/* What is no record is moved as any other key. */
	if (result->reply->type != SHARD_REPLY_INTEGER || !result->reply->integer)
		add_key(move, op->key, op->key_len);
	go_on(move);
}

static void record(struct dir_move *move)
{
	submit_script(move, record_script, move->op.key, move->op.key_len, recorded);
}

static void parent_kept(struct op *op, const shard_result *result)
{
	if (!op_failed(op, result))
		record((struct dir_move *)op);
}

static void published(struct op *op, int error)
{
	struct dir_move *move = (struct dir_move *)op;
	const struct tree *tree = &op->fs->tree;

	move->error = error ? error : move->error;
	if (--move->unpublished)
		return;
	size_t parent = tree_parent_of_dir(tree, op->key, op->key_len);
	bool same = parent == tree_parent_of_dir(tree, move->to, move->to_len) && !memcmp(op->key, move->to, parent);
	if (move->error)
		op_error(op, move->error);
	else if (same || !prefix_keep(op, op->key, op->key_len, true, parent_kept))
		record(move);
}

/* What is written below it must not make a key again under its old name. */
static void publish_below(void *ctx, struct inode *inode)
{
	struct dir_move *move = ctx;
	const struct op *op = &move->op;

	if (!inode->pending || inode->key_len < op->key_len || memcmp(inode->key, op->key, op->key_len) != 0)
		return;
	move->unpublished++;
	pending_commit(inode->pending, &move->op, published);
}

static void publish_all(struct dir_move *move)
{
	move->unpublished = 1; /* this function */
	inode_each(&move->op.fs->inodes, publish_below, move);
	published(&move->op, 0);
}

static void target_unmarked(struct op *op, const shard_result *result)
{
	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer < 0)
		op_error(op, ENOTEMPTY);
	else
		publish_all((struct dir_move *)op);
}

static void record_came(struct op *op, const shard_result *result)
{
	struct dir_move *move = (struct dir_move *)op;
	const shard_reply *reply = result->reply;

	move->resumes = !result->error && reply->type == SHARD_REPLY_STRING && reply->len == move->record_len &&
			!memcmp(reply->str, move->record, reply->len);
	if (result->error && result->error != SHARD_ESERVER)
		op_failed(op, result);
	else if (move->resumes)
		publish_all(move);
	else
		op_error(op, move->noreplace ? EEXIST : ENOTEMPTY);
}

static void target_came(void *ctx, const struct survey_view *view, int error)
{
	struct dir_move *move = ctx;
	struct op *op = &move->op;
	bool marks = prefix_needs_keys(op->fs);
	bool marked = !error && view->dir && marks &&
		      index_get(view->index, move->to, move->to_len) == INDEX_SURE;
	bool empty = !error && (!view->dir || index_sure(view->dir) == marked);

	if (error)
		op_error(op, error);
	else if (!empty)
		op_submit_key(op, "GET", record_came);
	else if (marked && move->noreplace)
		op_error(op, EEXIST);
	else if (marked)
		submit_script(move, unmark_script, move->to, move->to_len, target_unmarked);
	else
		publish_all(move);
	op_drop(op);
}

static bool take_key(void *ctx, const char *key, size_t len)
{
	const struct dir_move *move = ctx;

	/* The directory's own key has the record. */
	return len == move->op.key_len || add_key(ctx, key, len);
}

static void source_came(void *ctx, const struct survey_view *view, int error)
{
	struct dir_move *move = ctx;
	struct op *op = &move->op;
	size_t value_len = op->key_len - op->fs->tree.sep_len;

	if (!error && view->dir &&
	    index_each_key(view->index, view->dir, op->key, op->key_len, INDEX_SURE, take_key, move))
		error = ENOMEM;
	if (!error && view->value && !move->error)
		add_key(move, op->key, value_len);
	error = error ? error : move->error;
	if (!error && !view->dir)
		op_error(op, prefix_needs_keys(op->fs) ? ENOENT : 0);
	else if (error)
		op_error(op, error);
	else if (op->req)
		survey_ask(&op->fs->survey, move->to, move->to_len, SURVEY_NAMES, target_came, op_hold(op));
	op_drop(op);
}

static bool set_names(struct dir_move *move, const char *to, size_t to_len)
{
	move->to = malloc(to_len + 1);
	move->record = malloc(strlen(RECORD) + to_len + 1);
	if (!move->to || !move->record)
		return false;
	memcpy(move->to, to, to_len);
	move->to_len = to_len;
	move->record_len = (size_t)(stpcpy(move->record, RECORD) - move->record) + to_len;
	memcpy(move->record + strlen(RECORD), to, to_len);
	return true;
}

void rename_dir(fuse_req_t req, const char *from, size_t from_len, const char *to, size_t to_len, bool noreplace)
{
	struct dir_move *move = op_create(req, sizeof(*move), NULL, from, from_len);

	if (!move)
		return;
	move->op.finish = finish;
	move->op.keeps_on = true;
	move->noreplace = noreplace;
	if (from_len == to_len && !memcmp(from, to, to_len))
		op_error(&move->op, 0);
	else if (set_names(move, to, to_len))
		survey_ask(&move->op.fs->survey, from, from_len, SURVEY_KEYS, source_came, op_hold(&move->op));
	else
		op_error(&move->op, ENOMEM);
	op_drop(&move->op);
}
