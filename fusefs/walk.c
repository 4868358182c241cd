/* SPDX-License-Identifier: MIT */
#include "walk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "prefix.h"

#define BATCH 2048

/* Pieces of keys, one behind the other. */
struct pieces {
	char *bytes;
	size_t used, room;
	size_t count;
};

struct walk {
	struct fs *fs;
	unsigned holds; /* whoever has it, and a question under way */
	bool ended;
	char *prefix;
	size_t len;
	bool begun, value;
	int error;
	struct pieces keys, dirs;
	size_t at; /* where the next batch begins in the keys */
	shard_scan_callback callback;
	void *ctx;
	shard_timer *timer;
};

static bool add_piece(struct pieces *pieces, const char *piece, size_t len)
{
	size_t need = pieces->used + sizeof(len) + len;

	if (need > pieces->room) {
		char *bytes = realloc(pieces->bytes, need * 2);
		if (!bytes)
			return false;
		pieces->bytes = bytes;
		pieces->room = need * 2;
	}
	memcpy(pieces->bytes + pieces->used, &len, sizeof(len));
	memcpy(pieces->bytes + pieces->used + sizeof(len), piece, len);
	pieces->used = need;
	pieces->count++;
	return true;
}

/* The piece at *AT, which goes on to the next one. */
static const char *next_piece(const struct pieces *pieces, size_t *at, size_t *len)
{
	const char *piece = pieces->bytes + *at + sizeof(*len);

	memcpy(len, pieces->bytes + *at, sizeof(*len));
	*at += sizeof(*len) + *len;
	return piece;
}

static void drop(struct walk *walk)
{
	if (--walk->holds)
		return;
	free(walk->keys.bytes);
	free(walk->dirs.bytes);
	free(walk->prefix);
	free(walk);
}

struct walk *walk_create(struct fs *fs, const struct inode *dir)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	const char *prefix;

	if (!walk)
		return NULL;
	prefix = prefix_of(dir, &walk->len);
	walk->prefix = malloc(walk->len + 1);
	if (!walk->prefix) {
		free(walk);
		return NULL;
	}
	memcpy(walk->prefix, prefix, walk->len);
	walk->fs = fs;
	walk->holds = 1;
	return walk;
}

void walk_destroy(struct walk *walk)
{
	if (!walk)
		return;
	walk->ended = true;
	shard_timer_cancel(walk->timer);
	walk->timer = NULL;
	drop(walk);
}

/* ---- batches ---- */

static void end_with(struct walk *walk, int error)
{
	const shard_scan_batch batch = {.error = error, .done = !error, .node = ""};

	walk->callback(walk->ctx, &batch);
}

/* Copies the pieces up to END behind the prefix, into BYTES, and tells where in KEYS. Returns how many. */
static size_t fill(struct walk *walk, char *bytes, shard_reply *keys, size_t end)
{
	size_t count = 0;

	if (walk->value)
		keys[count++] = (shard_reply){.type = SHARD_REPLY_STRING,
					      .str = walk->prefix,
					      .len = walk->len - walk->fs->tree.sep_len};
	walk->value = false;
	for (size_t len; walk->at < end; count++) {
		const char *piece = next_piece(&walk->keys, &walk->at, &len);

		keys[count] = (shard_reply){.type = SHARD_REPLY_STRING, .str = bytes, .len = walk->len + len};
		memcpy(bytes, walk->prefix, walk->len);
		memcpy(bytes + walk->len, piece, len);
		bytes += walk->len + len;
	}
	return count;
}

static void give_batch(struct walk *walk)
{
	size_t end = walk->at, count = 0, len;

	for (; end < walk->keys.used && count < BATCH; count++)
		next_piece(&walk->keys, &end, &len);
	if (!count && !walk->value) {
		end_with(walk, SHARD_OK);
		return;
	}
	char *bytes = malloc(end - walk->at + BATCH * walk->len + 1);
	shard_reply *keys = calloc(BATCH + 1, sizeof(*keys));
	if (bytes && keys) {
		const shard_scan_batch batch = {
			.count = fill(walk, bytes, keys, end),
			.done = end == walk->keys.used,
			.node = "",
			.keys = keys};
		walk->callback(walk->ctx, &batch);
	} else {
		walk->error = ENOMEM;
		end_with(walk, SHARD_ENOMEM);
	}
	free(bytes);
	free(keys);
}

static void due(void *ctx)
{
	struct walk *walk = ctx;

	walk->timer = NULL;
	give_batch(walk);
}

static void take_entry(void *ctx, const struct index_entry *entry)
{
	struct walk *walk = ctx;
	bool dir = entry->dir && index_sure(entry->dir);
	bool key = entry->state == INDEX_SURE && (!dir || walk->fs->tree.shown);

	if (dir && !add_piece(&walk->dirs, entry->piece, entry->len))
		walk->error = ENOMEM;
	if (key && !add_piece(&walk->keys, entry->piece, entry->len))
		walk->error = ENOMEM;
}

static void names_came(void *ctx, const struct survey_view *view, int error)
{
	struct walk *walk = ctx;

	walk->begun = true;
	if (!error && view->dir)
		index_each(view->dir, take_entry, walk);
	walk->value = !error && view->value;
	walk->error = error ? error : walk->error;
	if (!walk->ended && walk->error)
		end_with(walk, SHARD_ESERVER);
	else if (!walk->ended)
		give_batch(walk);
	drop(walk);
}

size_t walk_start(const struct walk *walk)
{
	return walk->len;
}

int walk_error(const struct walk *walk)
{
	return walk->error;
}

int walk_next(struct walk *walk, shard_scan_callback callback, void *ctx)
{
	walk->callback = callback;
	walk->ctx = ctx;
	if (walk->begun) {
		walk->timer = shard_timer_add(fs_client(walk->fs), 0, due, walk);
		return walk->timer ? SHARD_OK : SHARD_ENOMEM;
	}
	walk->holds++;
	survey_ask(&walk->fs->survey, walk->prefix, walk->len, SURVEY_NAMES, names_came, walk);
	return SHARD_OK;
}

/* ---- the directories ---- */

size_t walk_dirs(const struct walk *walk)
{
	return walk->dirs.count;
}

static void tell_dir(const struct walk *walk, char *prefix, const char *piece, size_t len, walk_each each, void *ctx)
{
	const struct tree *tree = &walk->fs->tree;
	size_t end = walk->len + len + tree->sep_len;
	char name[NAME_LISTED_MAX + 1];

	memcpy(prefix + walk->len, piece, len);
	memcpy(prefix + walk->len + len, tree->sep, tree->sep_len);
	tree_listed_dir(tree, prefix, end, walk->len, name);
	each(ctx, name, fs_number(inode_member_hash(walk->fs->prefixes, prefix, end)));
}

void walk_each_dir(const struct walk *walk, walk_each each, void *ctx)
{
	char *prefix = malloc(walk->len + walk->dirs.used + walk->fs->tree.sep_len + 1);
	size_t at = 0, len;

	if (!prefix)
		return;
	memcpy(prefix, walk->prefix, walk->len);
	while (at < walk->dirs.used) {
		const char *piece = next_piece(&walk->dirs, &at, &len);
		tell_dir(walk, prefix, piece, len, each, ctx);
	}
	free(prefix);
}
