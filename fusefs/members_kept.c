/* SPDX-License-Identifier: MIT */
#include "members_kept.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "type.h"

#define MEMBERS_KEPT 100000
#define SCAN_COUNT "1000"
/* Values up to this size are kept beside the names, up to so many bytes. */
#define VALUE_KEPT ((size_t)4096)
#define VALUES_KEPT ((size_t)8 << 20)
/* Elements of a list that are fetched at once: at first, and at most; and what they are to be in bytes. */
#define PIECE_FIRST 16
#define PIECE_MAX 1000
#define PIECE_BYTES ((size_t)1 << 20)
/* The digits and decimals up to which all servers write a score in the same way everywhere. */
#define SCORE_DIGITS 15
#define SCORE_DECIMALS 6

/* ---- what is kept ---- */

static void drop_entries(struct members *members, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct buffer *value = members->entry[i].value;
		members->bytes -= value ? buffer_size(value) : 0;
		buffer_unref(value);
		free(members->entry[i].name);
	}
	members->count -= count;
	members->first += count;
	if (members->count)
		memmove(members->entry, members->entry + count, members->count * sizeof(*members->entry));
}

void members_begin_anew(struct members *members)
{
	drop_entries(members, members->count);
	free(members->seen);
	members->seen = NULL;
	members->seen_count = members->seen_room = 0;
	members->first = 0;
	members->begun = members->done = false;
	members->turn++;
	strcpy(members->cursor, "0");
}

void members_drop(struct members *members)
{
	if (--members->holds)
		return;
	members_begin_anew(members);
	free(members->entry);
	inode_drop(members->dir);
	free(members);
}

static uint64_t *seen_at(uint64_t *seen, size_t room, uint64_t hash)
{
	size_t i = hash & (room - 1);

	while (seen[i] && seen[i] != hash)
		i = (i + 1) & (room - 1);
	return &seen[i];
}

static int grow_seen(struct members *members)
{
	size_t room = members->seen_room ? members->seen_room * 2 : 1024;
	uint64_t *seen = calloc(room, sizeof(*seen));

	if (!seen)
		return ENOMEM;
	for (size_t i = 0; i < members->seen_room; i++)
		if (members->seen[i])
			*seen_at(seen, room, members->seen[i]) = members->seen[i];
	free(members->seen);
	members->seen = seen;
	members->seen_room = room;
	return 0;
}

/* Out: *NEW, whether it did not come before. */
static int note_seen(struct members *members, uint64_t hash, bool *new)
{
	hash += !hash;
	if (members->seen_count * 2 >= members->seen_room && grow_seen(members))
		return ENOMEM;
	uint64_t *at = seen_at(members->seen, members->seen_room, hash);
	*new = !*at;
	*at = hash;
	members->seen_count += *new;
	return 0;
}

int members_add_entry(struct members *members, const char *name, uint64_t number, size_t size, uint64_t at)
{
	if (members->count == members->room) {
		size_t room = members->room ? members->room * 2 : 256;
		struct entry *entry = realloc(members->entry, room * sizeof(*entry));
		if (!entry)
			return ENOMEM;
		members->entry = entry;
		members->room = room;
	}
	char *copy = strdup(name);
	if (!copy)
		return ENOMEM;
	members->entry[members->count++] =
		(struct entry){.number = number, .name = copy, .size = size, .at = at, .look = members->look};
	return 0;
}

/* The value of an entry, as a file has it. Failing only means that it is not known. */
static void add_value(struct members *members, struct entry *entry, const shard_reply *value)
{
	if (entry->size > VALUE_KEPT || members->bytes + entry->size > VALUES_KEPT)
		return;
	entry->value = type_value(type_of(members->dir->kind), value);
	members->bytes += entry->value ? entry->size : 0;
}

/*
 * Whether ZSCAN writes a score as ZSCORE does. It has 17 digits where that may have the fewest that
 * make the number, and an exponent for others; a plain number of few digits is the same in both.
 * The others are asked for by ZMSCORE (Redis 6.2), all of a reply at once.
 */
static bool is_plain_score(const shard_reply *score)
{
	size_t at = score->len && score->str[0] == '-';
	size_t whole = strspn(score->str + at, "0123456789");
	size_t decimals = 0;

	if (!whole || (at && score->str[at] == '0' && whole == score->len - at))
		return false;
	at += whole;
	if (score->str[at] == '.') {
		decimals = strspn(score->str + at + 1, "0123456789");
		at += 1 + decimals;
	}
	return at == score->len && decimals <= SCORE_DECIMALS && whole + decimals <= SCORE_DIGITS;
}

/* MEMBER is followed by what else the scan says of it. */
static int add_member(struct members *members, const shard_reply *member, bool values, uint64_t now)
{
	enum kind kind = members->dir->kind;
	uint64_t hash = inode_member_hash(members->dir, member->str, member->len);
	char name[NAME_LISTED_MAX + 1];
	bool new;
	int error = note_seen(members, hash, &new);

	if (error || !new)
		return error;
	bool valued = kind == KIND_HASH || (kind == KIND_ZSET && is_plain_score(&member[1]));
	name_listed(member->str, member->len, name);
	error = members_add_entry(members, name, fs_number(hash), valued ? member[1].len + type_of(kind)->score : 0,
			  kind == KIND_ZSET && !valued ? 0 : now);
	if (!error && values && valued)
		add_value(members, &members->entry[members->count - 1], &member[1]);
	return error;
}

/* ---- a list ---- */

uint64_t members_list_name(const struct members *members, uint64_t at, char name[24])
{
	snprintf(name, 24, "%llu", (unsigned long long)(members->length - 1 - at));
	return fs_number(inode_member_hash(members->dir, name, strlen(name)));
}

/* The piece that begins with number AT of the listing, up to a list's beginning. */
static size_t piece_at(const struct members *members, uint64_t at)
{
	return members->length - at < members->piece ? (size_t)(members->length - at) : members->piece;
}

/* So many elements of so many bytes were fetched: how many are next. */
static size_t next_piece(size_t count, size_t bytes)
{
	size_t fit = bytes ? PIECE_BYTES / (bytes / count + 1) : PIECE_MAX;
	size_t most = count * 4 < PIECE_MAX ? count * 4 : PIECE_MAX;

	return fit > most ? most : fit ? fit : 1;
}

/* What LRANGE has said of the piece at AT; what it does not tell is looked up. */
int members_take_piece(struct members *members, uint64_t at, const shard_reply *reply)
{
	size_t count = piece_at(members, at), bytes = 0;
	size_t known = reply->type == SHARD_REPLY_ARRAY ? reply->len : 0;
	uint64_t now = fs_now_ms();
	char name[24];
	int error = 0;

	drop_entries(members, members->count);
	members->first = at;
	for (size_t i = 0; !error && i < count; i++) {
		const shard_reply *value = count - 1 - i < known ? &reply->element[count - 1 - i] : NULL;
		uint64_t number = members_list_name(members, at + i, name);
		error = members_add_entry(members, name, number, value ? value->len : 0, value ? now : 0);
		if (!error && value)
			add_value(members, &members->entry[members->count - 1], value);
		bytes += value ? value->len : 0;
	}
	members->piece = next_piece(count, bytes);
	return error;
}

int members_take_length(struct members *members, const shard_reply *reply)
{
	members->length = reply->type == SHARD_REPLY_INTEGER ? (uint64_t)reply->integer : 0;
	members->piece = PIECE_FIRST;
	members->done = true;
	return 0;
}

bool members_submit_piece(struct op *op, const struct members *members, uint64_t at, op_step step)
{
	uint64_t last = members->length - 1 - at;
	struct words words = {0};
	char from[24], to[24];

	snprintf(from, sizeof(from), "%llu", (unsigned long long)(last - (piece_at(members, at) - 1)));
	snprintf(to, sizeof(to), "%llu", (unsigned long long)last);
	words_text(&words, "LRANGE");
	words_add(&words, members->dir->key, members->dir->key_len);
	words_text(&words, from);
	words_text(&words, to);
	return op_submit(op, &words, NULL, step);
}

/* ---- what the servers say ---- */

/* Of HSCAN and its kin: the members, and where to go on. NULL: it is something else. */
const shard_reply *members_scanned(const shard_reply *reply, char cursor[24])
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 2 || reply->element[0].type != SHARD_REPLY_STRING ||
	    reply->element[1].type != SHARD_REPLY_ARRAY || reply->element[0].len >= 24)
		return NULL;
	strcpy(cursor, reply->element[0].str);
	return &reply->element[1];
}

/* VALUES: those are wanted, too. */
int members_take_scan(struct members *members, const shard_reply *reply, bool values)
{
	const shard_reply *found = members_scanned(reply, members->cursor);
	unsigned step = type_of(members->dir->kind)->scan_step;
	int error = found ? 0 : EIO;

	if (members->count > MEMBERS_KEPT)
		drop_entries(members, members->count / 2);
	members->scanned = members->first + members->count;
	for (size_t i = 0; !error && i + step <= found->len; i += step) {
		size_t count = members->count;
		error = add_member(members, &found->element[i], values, fs_now_ms());
		if (members->count > count)
			members->entry[count].place = i;
	}
	members->done = !strcmp(members->cursor, "0");
	return error;
}

bool members_submit_scan(struct op *op, const struct inode *dir, const char *cursor, op_step step)
{
	struct words words = {0};

	words_text(&words, type_of(dir->kind)->scan);
	words_add(&words, dir->key, dir->key_len);
	words_text(&words, cursor);
	words_text(&words, "COUNT");
	words_text(&words, SCAN_COUNT);
	return op_submit(op, &words, NULL, step);
}

/* ---- scores ---- */
/* The next one from *AT on; NULL: there is none. */
struct entry *members_next_unscored(struct members *members, size_t *at)
{
	while (*at < members->count && members->entry[*at].at)
		++*at;
	return *at < members->count ? &members->entry[(*at)++] : NULL;
}

void members_take_scores(struct members *members, const shard_reply *scores)
{
	size_t at = (size_t)(members->scanned - members->first);
	struct entry *entry;

	for (size_t i = 0; i < scores->len && (entry = members_next_unscored(members, &at)); i++) {
		if (scores->element[i].type != SHARD_REPLY_STRING)
			continue;
		entry->at = fs_now_ms();
		entry->size = scores->element[i].len + 1;
		add_value(members, entry, &scores->element[i]);
	}
}
