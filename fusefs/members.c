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
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dir_plus.h"
#include "ops.h"
#include "type.h"

#define MEMBERS_KEPT 100000
#define BEHIND_DOTS 2
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

struct entry {
	uint64_t number; /* of its inode */
	char *name;
	size_t size; /* of the value, ... */
	uint64_t at; /* ... in ms; 0: it is not known */
	struct buffer *value; /* or NULL */
	size_t place; /* in the reply that told of it */
	struct look_mark look;
};

struct members {
	struct members *prev, *next; /* of all open ones */
	struct fs *fs;
	struct inode *dir; /* held */
	unsigned holds;
	bool begun, done;
	uint64_t turn; /* how many answers were taken */
	char cursor[24];
	struct look_mark look; /* under which the answer that is to come was asked for */
	size_t bytes;    /* of the values */
	struct entry *entry; /* from number `first` on */
	uint64_t first;
	uint64_t scanned; /* so many came before the last reply */
	size_t count, room;
	uint64_t length; /* of a list */
	size_t piece;    /* how many of its elements are asked for next, or were last */
	uint64_t *seen;  /* hashes, open addressing; 0: free */
	size_t seen_count, seen_room;
};

/* A READDIR. */
struct reading {
	struct listing listing;
	struct members *members; /* held */
	uint64_t offset;
	uint64_t turn;
};

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

static void begin_anew(struct members *members)
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

static void members_drop(struct members *members)
{
	if (--members->holds)
		return;
	begin_anew(members);
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

static int add_entry(struct members *members, const char *name, uint64_t number, size_t size, uint64_t at)
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
	error = add_entry(members, name, fs_number(hash), valued ? member[1].len + type_of(kind)->score : 0,
			  kind == KIND_ZSET && !valued ? 0 : now);
	if (!error && values && valued)
		add_value(members, &members->entry[members->count - 1], &member[1]);
	return error;
}

/* ---- a list ---- */

static uint64_t list_name(const struct members *members, uint64_t at, char name[24])
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
static int take_piece(struct members *members, uint64_t at, const shard_reply *reply)
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
		uint64_t number = list_name(members, at + i, name);
		error = add_entry(members, name, number, value ? value->len : 0, value ? now : 0);
		if (!error && value)
			add_value(members, &members->entry[members->count - 1], value);
		bytes += value ? value->len : 0;
	}
	members->piece = next_piece(count, bytes);
	return error;
}

static int take_length(struct members *members, const shard_reply *reply)
{
	members->length = reply->type == SHARD_REPLY_INTEGER ? (uint64_t)reply->integer : 0;
	members->piece = PIECE_FIRST;
	members->done = true;
	return 0;
}

static bool submit_piece(struct op *op, const struct members *members, uint64_t at, op_step step)
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
static const shard_reply *scanned(const shard_reply *reply, char cursor[24])
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 2 || reply->element[0].type != SHARD_REPLY_STRING ||
	    reply->element[1].type != SHARD_REPLY_ARRAY || reply->element[0].len >= 24)
		return NULL;
	strcpy(cursor, reply->element[0].str);
	return &reply->element[1];
}

/* VALUES: those are wanted, too. */
static int take_members(struct members *members, const shard_reply *reply, bool values)
{
	const shard_reply *found = scanned(reply, members->cursor);
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

static bool submit_scan(struct op *op, const struct inode *dir, const char *cursor, op_step step)
{
	struct words words = {0};

	words_text(&words, type_of(dir->kind)->scan);
	words_add(&words, dir->key, dir->key_len);
	words_text(&words, cursor);
	words_text(&words, "COUNT");
	words_text(&words, SCAN_COUNT);
	return op_submit(op, &words, NULL, step);
}

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
		uint64_t number = list_name(members, at, name);
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

/* The next one from *AT on; NULL: there is none. */
static struct entry *next_unscored(struct members *members, size_t *at)
{
	while (*at < members->count && members->entry[*at].at)
		++*at;
	return *at < members->count ? &members->entry[(*at)++] : NULL;
}

static void take_scores(struct members *members, const shard_reply *scores)
{
	size_t at = (size_t)(members->scanned - members->first);
	struct entry *entry;

	for (size_t i = 0; i < scores->len && (entry = next_unscored(members, &at)); i++) {
		if (scores->element[i].type != SHARD_REPLY_STRING)
			continue;
		entry->at = fs_now_ms();
		entry->size = scores->element[i].len + 1;
		add_value(members, entry, &scores->element[i]);
	}
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
		take_scores(members, result->reply);
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

	while (word && len && (entry = next_unscored(members, &at))) {
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
		error = take_members(members, result->reply, reading->listing.plus);
	else if (members->begun)
		error = take_piece(members, reading->offset - BEHIND_DOTS, result->reply);
	else
		error = take_length(members, result->reply);
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
		submit_scan(op, members->dir, members->cursor, answer_came);
	else if (members->begun)
		submit_piece(op, members, reading->offset - BEHIND_DOTS, answer_came);
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

	begin_anew(members);
	if (type->scan || type->numbered)
		return 0;
	members->begun = members->done = true;
	return add_entry(members, type->special,
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

/* ---- a long name ---- */

struct search {
	struct op op;
	struct name name;
	void (*then)(fuse_req_t req, struct inode *dir, const char *member, size_t len);
};

static bool found_among(struct search *search, const shard_reply *members)
{
	unsigned step = type_of_op(&search->op)->scan_step;

	for (size_t i = 0; i + step <= members->len; i += step) {
		const shard_reply *member = &members->element[i];
		if (!name_matches(&search->name, member->str, member->len))
			continue;
		fuse_req_t req = op_answer(&search->op);
		if (req) {
			fuse_req_interrupt_func(req, NULL, NULL);
			search->then(req, search->op.inode, member->str, member->len);
		}
		return true;
	}
	return false;
}

static void candidates_came(struct op *op, const shard_result *result)
{
	struct search *search = (struct search *)op;
	char cursor[24];

	if (op_failed(op, result))
		return;
	const shard_reply *members = scanned(result->reply, cursor);
	if (!members)
		op_error(op, EIO);
	else if (found_among(search, members))
		return;
	else if (!strcmp(cursor, "0"))
		op_error(op, ENOENT);
	else if (op->req)
		submit_scan(op, op->inode, cursor, candidates_came);
}

void members_find_hashed(fuse_req_t req, struct inode *dir, const struct name *name,
			 void (*then)(fuse_req_t req, struct inode *dir, const char *member, size_t len))
{
	const struct inode *child = dir->children;

	while (child && (child->gone || !name_matches(name, child->member, child->member_len)))
		child = child->older_sibling;
	if (child) {
		then(req, dir, child->member, child->member_len);
		return;
	}
	struct search *search = op_create(req, sizeof(*search), dir, NULL, 0);
	if (!search)
		return;
	search->name = *name;
	search->then = then;
	submit_scan(&search->op, dir, "0", candidates_came);
	op_drop(&search->op);
}
