/* SPDX-License-Identifier: MIT */
#include "dir_plus.h"

#include <stdlib.h>
#include <string.h>

#include "handle.h"
#include "ops.h"
#include "prefix.h"

/* A key that is slow to tell is looked up later. */
#define LOOK_MS 1000

struct look {
	struct listing *listing; /* held while it waits for the answer */
	size_t at;               /* where its entry begins */
	uint64_t next;
	char *key;
	size_t key_len;
	size_t start; /* of the name in it */
	enum kind kind; /* what the listing says that it is */
	bool known;
	unsigned left; /* answers */
	struct listed listed;
	struct inode *inode; /* that the kernel was told of; or NULL */
};

void listing_finish(struct op *op)
{
	struct listing *listing = (struct listing *)op;

	for (size_t i = 0; i < listing->look_count; i++) {
		if (!listing->sent && listing->look[i].inode)
			inode_forget(listing->look[i].inode, 1);
		free(listing->look[i].key);
	}
	free(listing->look);
	free(listing->bytes);
}

static struct look *add_look(struct listing *listing, uint64_t next)
{
	if (listing->look_count == listing->look_room) {
		size_t room = listing->look_room ? listing->look_room * 2 : 256;
		struct look *look = realloc(listing->look, room * sizeof(*look));
		if (!look)
			return NULL;
		listing->look = look;
		listing->look_room = room;
	}
	struct look *look = &listing->look[listing->look_count++];
	*look = (struct look){.at = listing->used, .next = next};
	return look;
}

/* Failing only means that there are no attributes. */
static void note_look(struct listing *listing, const char *name, enum kind kind, uint64_t next)
{
	struct tree_place place = {.kind = PLACE_NONE};
	char *key = NULL;
	size_t start;

	prefix_of(listing->op.inode, &start);
	prefix_decode(listing->op.fs, listing->op.inode, name, &place, &key);
	bool named = place.kind == PLACE_KEY || place.kind == PLACE_EITHER;
	struct look *look = named && place.key_len >= start ? add_look(listing, next) : NULL;
	if (!look) {
		free(key);
		return;
	}
	look->key = key;
	look->key_len = place.key_len;
	look->start = start;
	look->kind = kind;
}

static mode_t type_of_kind(enum kind kind)
{
	return kind == KIND_NONE ? 0 : kind_is_dir(kind) ? S_IFDIR : S_IFREG;
}

bool listing_add(struct listing *listing, const char *name, uint64_t number, enum kind kind, uint64_t next)
{
	struct fuse_entry_param entry = {.attr = {.st_ino = number, .st_mode = type_of_kind(kind)}};
	size_t room = listing->size - listing->used;
	char *at = listing->bytes + listing->used;
	size_t need = listing->plus ? fuse_add_direntry_plus(listing->op.req, at, room, name, &entry, (off_t)next)
				    : fuse_add_direntry(listing->op.req, at, room, name, &entry.attr, (off_t)next);

	listing->full = need > room;
	if (listing->full)
		return false;
	if (kind < KIND_ROOT && (listing->looks || (listing->bait && !listing->look_count)))
		note_look(listing, name, kind, next);
	listing->used += need;
	return true;
}

void listing_know(struct listing *listing, const struct listed *known, uint64_t next)
{
	struct look *look = listing->look_count ? &listing->look[listing->look_count - 1] : NULL;

	/* Of the one that is the bait nothing is told where the listing is short. */
	if (!look || look->next != next || !listing->looks || (listing->op.fs->cache.tracking && !known->expires))
		return;
	look->known = true;
	look->listed = *known;
}

/* KEPT is what can be granted, or NULL. */
static void fill_entry(struct fs *fs, struct inode *inode, size_t size, const struct sight *kept,
		       struct fuse_entry_param *entry)
{
	double seconds = kept ? cache_grant(fs, inode, kept) : 0;
	double name = cache_grant_name(fs, inode, seconds);

	lookup_entry(fs, inode, kept ? kept->size : size, entry);
	entry->attr_timeout = seconds ? seconds : FS_FRESH_MS / 1000.0;
	entry->entry_timeout = name ? name : FS_FRESH_MS / 1000.0;
}

bool listing_tell(struct listing *listing, const char *name, struct inode *inode, const struct sight *kept,
		  size_t size, uint64_t next)
{
	struct fuse_entry_param entry;
	size_t room = listing->size - listing->used;
	char *at = listing->bytes + listing->used;

	fill_entry(listing->op.fs, inode, size, kept, &entry);
	size_t need = fuse_add_direntry_plus(listing->op.req, at, room, name, &entry, (off_t)next);
	listing->full = need > room;
	if (listing->full)
		return false;
	struct look *look = add_look(listing, next);
	if (!look)
		return listing_add(listing, name, entry.attr.st_ino, inode->kind, next);
	inode->lookups++;
	look->inode = inode;
	listing->used += need;
	return true;
}

/* ---- answering ---- */

/* What is open or being written here has attributes of its own. */
static bool is_quiet(const struct inode *inode)
{
	return !inode || (!inode->handles && !inode->pending);
}

/* Puts the entry with its attributes where it is without them. */
static void tell(struct listing *listing, struct look *look)
{
	struct fs *fs = listing->op.fs;
	struct fuse_entry_param entry;
	struct sight sight = {.kind = look->kind, .size = look->listed.size, .at = look->listed.at};
	char name[NAME_LISTED_MAX + 1];

	if (!look->key || !look->known || !is_quiet(inode_find(&fs->inodes, look->key, look->key_len)))
		return;
	struct inode *inode = inode_get(&fs->inodes, look->kind, look->key, look->key_len, fs->mounted);
	if (!inode)
		return;
	const struct sight *kept = cache_keep_listed(fs, inode, &look->listed.look, &sight, look->listed.expires);
	/* One that has changed meanwhile is looked up. */
	if (!kept && fs->cache.tracking && look->listed.expires) {
		inode_drop(inode);
		return;
	}
	fill_entry(fs, inode, sight.size, kept, &entry);
	tree_listed(look->key, look->key_len, look->start, name);
	fuse_add_direntry_plus(listing->op.req, listing->bytes + look->at, listing->used - look->at, name, &entry,
			       (off_t)look->next);
	inode->lookups++;
	look->inode = inode;
	inode_drop(inode);
}

static void reply(struct listing *listing)
{
	for (size_t i = 0; i < listing->look_count && listing->op.req; i++)
		tell(listing, &listing->look[i]);
	listing->sent = listing->op.req && !fuse_reply_buf(op_answer(&listing->op), listing->bytes, listing->used);
}

static void listing_done(struct listing *listing)
{
	if (--listing->looks_left == 0)
		reply(listing);
	op_drop(&listing->op);
}

static void look_done(struct look *look)
{
	if (--look->left == 0)
		listing_done(look->listing);
}

static void look_came(struct look *look, const shard_result *result)
{
	cache_look_came(look->listing->op.fs, &look->listed.look, look->key, look->key_len, result->node);
}

/* 0 is also what a key that is not there has. What is no string is looked up: it has a type. */
static void looked(void *ctx, const shard_result *result)
{
	struct look *look = ctx;

	look_came(look, result);
	look->listed.at = fs_now_ms();
	if (!result->error && result->reply->type == SHARD_REPLY_STATUS) {
		look->known = kind_of_type(result->reply->str) == look->kind;
	} else if (!result->error && result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer > 0) {
		look->known = true;
		look->kind = KIND_STRING;
		look->listed.size = (size_t)result->reply->integer;
	}
	look_done(look);
}

static void pttl_came(void *ctx, const shard_result *result)
{
	struct look *look = ctx;

	look_came(look, result);
	if (!result->error && result->reply->type == SHARD_REPLY_INTEGER)
		look->listed.expires = cache_expires(result->reply->integer, fs_now_ms());
	look_done(look);
}

static bool ask(struct look *look, const char *command, shard_callback callback)
{
	const char *const argv[] = {command, look->key};
	const size_t argvlen[] = {strlen(command), look->key_len};
	static const shard_call how = {.timeout_ms = LOOK_MS};

	return shard_submit(fs_client(look->listing->op.fs), 2, argv, argvlen, &how, callback, look, NULL) == SHARD_OK;
}

/* Whether it is kept. */
static bool find_kept(struct fs *fs, struct look *look)
{
	const struct inode *inode = inode_find(&fs->inodes, look->key, look->key_len);
	const struct sight *kept = inode ? cache_peek(fs, inode) : NULL;

	if (!kept)
		return false;
	look->kind = kept->kind;
	look->listed.size = kept->size;
	look->known = true;
	return true;
}

static void start_look(struct listing *listing, struct look *look)
{
	struct fs *fs = listing->op.fs;

	if (find_kept(fs, look))
		return;
	look->listing = listing;
	look->listed = (struct listed){0};
	op_hold(&listing->op);
	listing->looks_left++;
	look->left = 1; /* this function */
	bool keep = cache_look_begins(fs, &look->listed.look, look->key, look->key_len);
	look->left += ask(look, kind_is_typed(look->kind) ? "TYPE" : "STRLEN", looked);
	if (keep)
		look->left += ask(look, "PTTL", pttl_came);
	look_done(look);
}

void listing_answer(struct listing *listing)
{
	op_hold(&listing->op);
	listing->looks_left = 1; /* this function */
	for (size_t i = 0; i < listing->look_count && (listing->looks || listing->full); i++)
		if (listing->look[i].key && !listing->look[i].known)
			start_look(listing, &listing->look[i]);
	listing_done(listing);
	op_drop(&listing->op);
}
