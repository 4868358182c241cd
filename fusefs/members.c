/* SPDX-License-Identifier: MIT */
/*
 * OPENDIR, READDIR, RELEASEDIR of keys that are directories.
 *
 * An offset is a number of the handle's own: how many members were listed
 * before. They come by HSCAN and its kin; each once, for those that came are
 * remembered by a hash. The names of the last MEMBERS_KEPT are kept, for the
 * kernel comes back to them. A list's need not be fetched: they are its
 * numbers, the last first, so that they can be removed in this order. What its
 * elements hold is fetched where attributes are wanted: a piece at a time, of
 * which the last one is kept.
 */
#include "members.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dir_plus.h"
#include "members_kept.h"
#include "ops.h"
#include "type.h"

#define BEHIND_DOTS 2

struct reading {
	struct listing listing;
	struct members *members; /* held */
	uint64_t offset;
	uint64_t turn;
};

/* ---- answering ---- */

static bool add(struct reading *reading, const char *name, uint64_t number, enum kind kind)
{
	if (!listing_add(&reading->listing, name, number, kind, reading->offset + 1))
		return false;
	reading->offset++;
	return true;
}

/* What is kept of the directory says when both end. */
static const struct sight *keep(const struct members *members, const struct entry *entry, struct inode *inode)
{
	struct inode *dir = members->dir;
	struct sight sight = {.kind = inode->kind, .size = entry->size, .start = entry->value, .whole = entry->value};

	sight.at = fs_now_ms();
	if (!cache_peek(members->fs, dir))
		return NULL;
	inode_used(dir);
	return cache_keep_listed(members->fs, inode, &entry->look, &sight, dir->expires);
}

static bool tell(struct reading *reading, const struct entry *entry, struct inode *inode)
{
	const struct sight *kept = keep(reading->members, entry, inode);

	if (!listing_tell(&reading->listing, entry->name, inode, kept, entry->size, reading->offset + 1))
		return false;
	reading->offset++;
	return true;
}

/* Of an entry whose attributes are known and as new as they have to be; with a hold. What is open has its own. */
static struct inode *inode_to_tell(const struct members *members, const struct entry *entry)
{
	char member[NAME_LISTED_MAX];
	struct inode *dir = members->dir;

	bool holds = cache_look_holds(members->fs, &entry->look);

	if (!entry->at || dir->gone || (!holds && (entry->look.good || fs_now_ms() > entry->at + FS_FRESH_MS)))
		return NULL;
	struct name decoded = name_decode(entry->name, strlen(entry->name), member);
	if (decoded.kind != NAME_KEY)
		return NULL;
	struct inode *inode =
		inode_get_member(dir, type_of(dir->kind)->member, member, decoded.key_len, members->fs->mounted);
	if (!inode || (!inode->handles && !inode->pending))
		return inode;
	inode_drop(inode);
	return NULL;
}

/* The numbers of a list without attributes. */
static void fill_numbers(struct reading *reading)
{
	const struct members *members = reading->members;
	uint64_t at;
	char name[24];

	while ((at = reading->offset - BEHIND_DOTS) < members->length) {
		uint64_t number = members_list_name(members, at, name);
		if (!add(reading, name, number, KIND_MEMBER))
			return;
	}
}

static bool is_list(const struct members *members)
{
	return type_of(members->dir->kind)->numbered;
}

static void fill(struct reading *reading)
{
	const struct members *members = reading->members;
	bool room = true;

	while (room && reading->offset < BEHIND_DOTS)
		room = reading->offset ? add(reading, "..", FUSE_ROOT_ID, KIND_ROOT)
				       : add(reading, ".", fs_number(members->dir->hash), members->dir->kind);
	if (room && is_list(members) && !reading->listing.plus) {
		fill_numbers(reading);
		return;
	}
	while (room && reading->offset - BEHIND_DOTS - members->first < members->count) {
		const struct entry *entry = &members->entry[reading->offset - BEHIND_DOTS - members->first];
		struct inode *inode = reading->listing.plus ? inode_to_tell(members, entry) : NULL;
		room = inode ? tell(reading, entry, inode) : add(reading, entry->name, entry->number, KIND_MEMBER);
		inode_drop(inode);
	}
}

/* Whether there is more to come from the servers, when what is there has been told. */
static bool lacks(const struct reading *reading)
{
	const struct members *members = reading->members;

	if (members->begun && is_list(members))
		return reading->offset - BEHIND_DOTS < members->length;
	return !members->done;
}

static void go_on(struct reading *reading);

/* ---- scores that a scan does not tell as files have them ---- */

static bool is_refused(const shard_result *result)
{
	return result->error == SHARD_ESERVER && result->reply;
}

/* Where they do not come, each is looked up. */
static void scores_came(struct op *op, const shard_result *result)
{
	struct reading *reading = (struct reading *)op;
	struct members *members = reading->members;
	struct look_mark look = members->look;

	if (!is_refused(result) && op_failed(op, result))
		return;
	if (reading->turn != members->turn) {
		op_error(op, EINTR);
		return;
	}
	members->turn++;
	cache_look_came(members->fs, &look, op->key, op->key_len, result->node);
	if (look.good == members->look.good && result->reply->type == SHARD_REPLY_ARRAY)
		members_take_scores(members, result->reply);
	if (op->req)
		go_on(reading);
}

/* FOUND is what the scan told. False: nothing is to be asked. */
static bool ask_scores(struct reading *reading, const shard_reply *found)
{
	struct members *members = reading->members;
	size_t at = (size_t)(members->scanned - members->first), room = members->count - at + 2, count = 2;
	const char **word = malloc(room * sizeof(*word));
	size_t *len = malloc(room * sizeof(*len));
	const struct entry *entry;

	while (word && len && (entry = members_next_unscored(members, &at))) {
		word[count] = found->element[entry->place].str;
		len[count++] = found->element[entry->place].len;
	}
	if (count > 2) {
		word[0] = "ZMSCORE";
		len[0] = strlen(word[0]);
		word[1] = members->dir->key;
		len[1] = members->dir->key_len;
		reading->turn = members->turn;
		op_submit_many(&reading->listing.op, (int)count, word, len, scores_came);
	}
	free(word);
	free(len);
	return count > 2;
}

/* ---- what is asked for while it is answered ---- */

static void answer_came(struct op *op, const shard_result *result)
{
	struct reading *reading = (struct reading *)op;
	struct members *members = reading->members;
	bool late = reading->turn != members->turn; /* another READDIR has taken its place */
	int error;

	/* Who may not read elements has their numbers. */
	bool refused = members->begun && is_list(members) && is_refused(result);
	if (!refused && op_failed(op, result))
		return;
	if (late) {
		op_error(op, EINTR);
		return;
	}
	members->turn++;
	cache_look_came(members->fs, &members->look, members->dir->key, members->dir->key_len, result->node);
	if (!is_list(members))
		error = members_take_scan(members, result->reply, reading->listing.plus);
	else if (members->begun)
		error = members_take_piece(members, reading->offset - BEHIND_DOTS, result->reply);
	else
		error = members_take_length(members, result->reply);
	members->begun = true;
	bool scores = members->dir->kind == KIND_ZSET && reading->listing.plus;
	if (error)
		op_error(op, error);
	else if (op->req && (!scores || !ask_scores(reading, &result->reply->element[1])))
		go_on(reading);
}

static void ask(struct reading *reading)
{
	struct members *members = reading->members;
	struct op *op = &reading->listing.op;

	reading->turn = members->turn;
	cache_look_begins(members->fs, &members->look, members->dir->key, members->dir->key_len);
	if (!is_list(members))
		members_submit_scan(op, members->dir, members->cursor, answer_came);
	else if (members->begun)
		members_submit_piece(op, members, reading->offset - BEHIND_DOTS, answer_came);
	else
		op_submit_key(op, "LLEN", answer_came);
}

/* Answers as soon as the buffer is full, for each answer costs a way through the kernel. */
static void go_on(struct reading *reading)
{
	struct members *members = reading->members;

	if (members->begun)
		fill(reading);
	if (!reading->listing.full && lacks(reading)) {
		ask(reading);
		return;
	}
	if (members->done && !reading->listing.full && reading->listing.plus)
		cache_members_listed(members->fs, members->dir);
	op_hold(&reading->listing.op);
	listing_answer(&reading->listing);
}

/* ---- the operations ---- */

static struct members *members_of(const struct fuse_file_info *fi)
{
	return (struct members *)(uintptr_t)fi->fh;
}

static void finish_reading(struct op *op)
{
	struct reading *reading = (struct reading *)op;

	members_drop(reading->members);
	listing_finish(op);
}

/* What has one file alone: it is there always. */
static int begin(struct members *members)
{
	const struct type *type = type_of(members->dir->kind);

	members_begin_anew(members);
	if (type->scan || type->numbered)
		return 0;
	members->begun = members->done = true;
	return members_add_entry(members, type->special,
			 fs_number(inode_member_hash(members->dir, type->special, strlen(type->special))), 0, 0);
}

static void read_members(fuse_req_t req, size_t size, uint64_t offset, struct members *members, bool plus)
{
	struct reading *reading = op_create(req, sizeof(*reading), members->dir, NULL, 0);
	int error = 0;

	if (!reading)
		return;
	reading->listing.op.finish = finish_reading;
	reading->listing.bytes = malloc(size);
	reading->listing.size = size;
	reading->listing.plus = plus;
	reading->offset = offset;
	reading->members = members;
	members->holds++;
	if (!reading->listing.bytes)
		error = ENOMEM;
	else if (!offset || !members->begun)
		error = begin(members); /* rewinddir() wants to see what is new */
	if (!error && !is_list(members) && offset > BEHIND_DOTS && offset - BEHIND_DOTS < members->first)
		error = EINVAL;
	if (error)
		op_error(&reading->listing.op, error);
	else
		go_on(reading);
	op_drop(&reading->listing.op);
}

void members_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_members(req, size, (uint64_t)offset, members_of(fi), false);
}

void members_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_members(req, size, (uint64_t)offset, members_of(fi), true);
}

void members_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct members *members = calloc(1, sizeof(*members));

	if (!members) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	members->fs = fs;
	members->dir = inode_hold(fs_inode(fs, ino));
	members->holds = 1;
	members->next = fs->members;
	if (members->next)
		members->next->prev = members;
	fs->members = members;
	fi->fh = (uintptr_t)members;
	cache_members_open(fs, members->dir, fi);
	if (fuse_reply_open(req, fi))
		members_close(members);
}

void members_close(struct members *members)
{
	if (members->next)
		members->next->prev = members->prev;
	*(members->prev ? &members->prev->next : &members->fs->members) = members->next;
	members_drop(members);
}

void members_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	members_close(members_of(fi));
	fuse_reply_err(req, 0);
}
