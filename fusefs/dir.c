/* SPDX-License-Identifier: MIT */
/*
 * OPENDIR, READDIR, READDIRPLUS, RELEASEDIR.
 *
 * An offset tells where to go on. Behind a key of a cluster it is the key's
 * place (shard_place()), the same for every handle, mount and time. A key that
 * has none, or shares it with the key that comes next, is followed by a number
 * of this handle's own. What was listed lately is kept, for the kernel comes
 * back to it; to places that lie further back the listing itself goes back.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dir_plus.h"
#include "errors.h"
#include "prefix.h"
#include "walk.h"

/* Above all numbers of handles. */
#define PLACED ((uint64_t)1 << 62)
/* The offsets behind "." and "..". */
#define BEHIND_DOT 1
#define BEHIND_DOTS 2
/* How much is kept; without places, what is not is lost. */
#define KEPT_BYTES ((size_t)512 << 10)
#define KEPT_BYTES_UNPLACED ((size_t)8 << 20)
/* Entries to have before they are asked for. */
#define AHEAD 4096
/* A key that is slow to tell what it is is listed without. */
#define TYPES_MS 1000

struct entry {
	uint64_t next;   /* the offset behind it */
	uint64_t number; /* of its inode */
	enum kind kind;  /* KIND_NONE: not known */
	struct listed known;
	size_t name;     /* where its name begins in the names */
	bool marker;     /* of an empty directory: not listed, unless it has a value */
};

/* A key that is followed by one of the same place: what its offset means. They are sorted. */
struct tie {
	uint64_t number;
	uint64_t place;
	char *key;
	size_t key_len;
};

/*
 * Keys of a batch that are asked for what they are: who walks through the
 * listing would look each of them up, else. STRLEN tells of strings, which are
 * most; the others are asked for their TYPE.
 */
struct typing {
	struct typing *next;
	struct dir *dir; /* NULL: it does not wait any more */
	size_t left;
	size_t first; /* the entry of the first */
	size_t count;
	char *bytes;  /* of all keys */
	struct typed {
		struct typing *typing;
		const char *key;
		size_t key_len;
		enum kind kind;
		struct listed known;
	} key[];
};

struct dir {
	struct dir *prev, *next; /* of all open listings */
	struct fs *fs;
	struct inode *inode; /* held */
	shard_scan *scan; /* or, where keys are cut into paths, ... */
	struct walk *walk;
	bool asked;    /* it owes a batch */
	bool done;     /* it has no more */
	bool unplaced; /* its keys have no places any more */
	int error;
	uint64_t before; /* the offset of the first entry */
	struct entry *entry;
	size_t count, room;
	char *names;
	size_t names_len, names_room;
	uint64_t numbers; /* the last one given away */
	struct tie *tie;
	size_t tie_count;
	uint64_t skip;                       /* keys up to the tie of this number are not wanted; 0: none */
	struct typing *typing, *last_typing; /* in the order of the entries; those from the first one on wait */
	struct listing *waiting;             /* held */
	bool plus;                           /* attributes were asked for */
	uint64_t turn;                       /* cache_listed() */
	unsigned dots;                       /* how many of "." and ".." it has got */
	size_t at;                           /* the entry that it wants next */
};

/* ---- what is kept ---- */

static void forget_entries(struct dir *dir, size_t count)
{
	if (!count)
		return;
	size_t bytes = count < dir->count ? dir->entry[count].name : dir->names_len;
	dir->before = dir->entry[count - 1].next;
	dir->count -= count;
	dir->at -= count < dir->at ? count : dir->at;
	dir->names_len -= bytes;
	memmove(dir->entry, dir->entry + count, dir->count * sizeof(*dir->entry));
	memmove(dir->names, dir->names + bytes, dir->names_len);
	for (size_t i = 0; i < dir->count; i++)
		dir->entry[i].name -= bytes;
	for (struct typing *typing = dir->typing; typing; typing = typing->next)
		typing->first -= count;
}

static void forget_old(struct dir *dir)
{
	size_t limit = dir->unplaced ? KEPT_BYTES_UNPLACED : KEPT_BYTES;

	if (dir->names_len + dir->count * sizeof(*dir->entry) > limit)
		forget_entries(dir, dir->at / 2);
}

static int make_room(struct dir *dir, size_t count)
{
	size_t names = dir->names_len + count * (NAME_LISTED_MAX + 1);

	if (dir->count + count > dir->room) {
		size_t room = (dir->count + count) * 2;
		struct entry *entry = realloc(dir->entry, room * sizeof(*entry));
		if (!entry)
			return ENOMEM;
		dir->entry = entry;
		dir->room = room;
	}
	if (names > dir->names_room) {
		char *bytes = realloc(dir->names, names + names / 2);
		if (!bytes)
			return ENOMEM;
		dir->names = bytes;
		dir->names_room = names + names / 2;
	}
	return 0;
}

static void forget_ties(struct dir *dir)
{
	for (size_t i = 0; i < dir->tie_count; i++)
		free(dir->tie[i].key);
	free(dir->tie);
	dir->tie = NULL;
	dir->tie_count = 0;
	dir->skip = 0;
}

/* Below 0: KEY comes before the tie; 0: it is the tie's. */
static int compare_tie(const struct tie *tie, uint64_t place, const shard_reply *key)
{
	size_t len = key->len < tie->key_len ? key->len : tie->key_len;
	int order;

	if (place != tie->place)
		return place < tie->place ? -1 : 1;
	order = memcmp(key->str, tie->key, len);
	return order ? order : (key->len > tie->key_len) - (key->len < tie->key_len);
}

/* The first tie that does not come before the key. */
static size_t tie_at(const struct dir *dir, uint64_t place, const shard_reply *key)
{
	size_t low = 0, high = dir->tie_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare_tie(&dir->tie[middle], place, key) > 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* A number for the offset between KEY and the next one of its place. 0: out of memory. */
static uint64_t number_tie(struct dir *dir, uint64_t place, const shard_reply *key)
{
	size_t at = tie_at(dir, place, key);

	if (at < dir->tie_count && compare_tie(&dir->tie[at], place, key) == 0)
		return dir->tie[at].number;
	struct tie *tie = realloc(dir->tie, (dir->tie_count + 1) * sizeof(*tie));
	char *copy = malloc(key->len + 1);
	dir->tie = tie ? tie : dir->tie;
	if (!tie || !copy) {
		free(copy);
		return 0;
	}
	memcpy(copy, key->str, key->len);
	memmove(tie + at + 1, tie + at, (dir->tie_count++ - at) * sizeof(*tie));
	tie[at] = (struct tie){.number = ++dir->numbers, .place = place, .key = copy, .key_len = key->len};
	return tie[at].number;
}

/* 0: out of memory. */
static uint64_t offset_behind(struct dir *dir, const shard_scan_batch *batch, size_t i)
{
	if (!batch->place)
		return ++dir->numbers;
	if (i + 1 < batch->count && batch->place[i + 1] == batch->place[i])
		return number_tie(dir, batch->place[i], &batch->keys[i]);
	return PLACED | batch->place[i];
}

static const struct tie *find_tie(const struct dir *dir, uint64_t number)
{
	for (size_t i = 0; i < dir->tie_count; i++)
		if (dir->tie[i].number == number)
			return &dir->tie[i];
	return NULL;
}

/* How many of the batch were listed before the listing went back to a tie. */
static size_t count_skipped(const struct dir *dir, const shard_scan_batch *batch)
{
	const struct tie *tie = dir->skip ? find_tie(dir, dir->skip) : NULL;
	size_t i = 0;

	while (tie && batch->place && i < batch->count && compare_tie(tie, batch->place[i], &batch->keys[i]) <= 0)
		i++;
	return i;
}

/* A directory that was empty is a key by now. */
static void note_key(struct fs *fs, const shard_reply *key)
{
	struct inode *inode = fs->inodes.kept_count ? inode_find(&fs->inodes, key->str, key->len) : NULL;

	if (inode)
		inode_set_kept(inode, false);
}

static void add_kept(void *ctx, const struct inode *inode)
{
	struct dir *dir = ctx;
	size_t start;
	const char *prefix = prefix_of(dir->inode, &start);

	if (tree_parent(&dir->fs->tree, inode->key, inode->key_len) != start || memcmp(inode->key, prefix, start) != 0)
		return;
	struct entry *entry = &dir->entry[dir->count++];
	*entry = (struct entry){
		.next = ++dir->numbers, .number = fs_number(inode->hash), .kind = inode->kind, .name = dir->names_len};
	dir->names_len += tree_listed(inode->key, inode->key_len, start, dir->names + dir->names_len) + 1;
}

/* Empty directories come last: no server has them. */
static int add_all_kept(struct dir *dir)
{
	const struct inode_table *inodes = &dir->fs->inodes;

	if (inodes->kept_count && make_room(dir, inodes->kept_count))
		return ENOMEM;
	inode_each_kept(inodes, add_kept, dir);
	return 0;
}

static void add_dir(void *ctx, const char *name, uint64_t number)
{
	struct dir *dir = ctx;
	struct entry *entry = &dir->entry[dir->count++];

	*entry = (struct entry){.next = ++dir->numbers, .number = number, .kind = KIND_PREFIX, .name = dir->names_len};
	dir->names_len += (size_t)(stpcpy(dir->names + dir->names_len, name) - (dir->names + dir->names_len)) + 1;
}

static int add_all_dirs(struct dir *dir)
{
	if (!dir->walk)
		return 0;
	if (make_room(dir, walk_dirs(dir->walk)))
		return ENOMEM;
	walk_each_dir(dir->walk, add_dir, dir);
	return 0;
}

static size_t name_in_dir(const shard_reply *key, size_t start, char name[NAME_LISTED_MAX + 1])
{
	/* The key that is called as the directory is. */
	if (key->len < start)
		return (size_t)(stpcpy(name, TREE_VALUE) - name);
	return tree_listed(key->str, key->len, start, name);
}

static void ask_types(struct dir *dir, const shard_scan_batch *batch, size_t count);

static int add_batch(struct dir *dir, const shard_scan_batch *batch)
{
	forget_old(dir);
	size_t before = dir->count, start = dir->walk ? walk_start(dir->walk) : 0;
	if (make_room(dir, batch->count))
		return ENOMEM;
	dir->unplaced |= batch->count && !batch->place;
	for (size_t i = count_skipped(dir, batch); i < batch->count; i++) {
		const shard_reply *key = &batch->keys[i];
		note_key(dir->fs, key);
		struct entry *entry = &dir->entry[dir->count];

		entry->next = offset_behind(dir, batch, i);
		if (!entry->next)
			return ENOMEM;
		entry->number = fs_number(name_hash(key->str, key->len));
		entry->kind = KIND_NONE;
		entry->known = (struct listed){.at = 0};
		entry->name = dir->names_len;
		entry->marker = prefix_is_marker(dir->fs, key->str, key->len);
		dir->names_len += name_in_dir(key, start, dir->names + dir->names_len) + 1;
		dir->count++;
	}
	if (batch->count)
		dir->skip = 0;
	if (dir->count > before)
		ask_types(dir, batch, dir->count - before);
	return 0;
}

/* ---- answering ---- */

static uint64_t number_of_dot(const struct dir *dir)
{
	return dir->dots || dir->inode == dir->fs->root ? FUSE_ROOT_ID : fs_number(dir->inode->hash);
}

static bool is_hidden(const struct entry *entry)
{
	return entry->marker && entry->kind == KIND_STRING && !entry->known.size;
}

static void fill(struct dir *dir, struct listing *listing)
{
	static const char *const dots[] = {".", ".."};
	uint64_t now = fs_now_ms();

	while (dir->dots < BEHIND_DOTS &&
	       listing_add(listing, dots[dir->dots], number_of_dot(dir), KIND_ROOT, dir->dots + 1))
		dir->dots++;
	while (!listing->full && dir->at < (dir->typing ? dir->typing->first : dir->count)) {
		const struct entry *entry = &dir->entry[dir->at];
		if (is_hidden(entry)) {
			dir->at++;
			continue;
		}
		if (!listing_add(listing, dir->names + entry->name, entry->number, entry->kind, entry->next))
			break;
		if (entry->known.at && now <= entry->known.at + FS_FRESH_MS)
			listing_know(listing, &entry->known, entry->next);
		dir->at++;
	}
}

static void stop_waiting(struct dir *dir)
{
	struct listing *listing = dir->waiting;

	dir->waiting = NULL;
	if (listing)
		op_drop(&listing->op);
}

static void batch_came(void *ctx, const shard_scan_batch *batch);

static void ask(struct dir *dir)
{
	int error;

	dir->asked = true; /* a walk may answer at once */
	error = dir->walk ? walk_next(dir->walk, batch_came, dir) : shard_scan_next(dir->scan, batch_came, dir);
	if (!error)
		return;
	dir->asked = false;
	dir->error = errors_of_code(error);
}

/* Answers who waits as soon as the buffer is full, for each answer costs a way through the kernel. */
static void serve(struct dir *dir)
{
	struct listing *listing = dir->waiting;

	if (!listing || !listing->op.req) {
		stop_waiting(dir);
		return;
	}
	fill(dir, listing);
	if (!listing->full && (dir->typing || (!dir->done && !dir->error)))
		return;
	if (!listing->full && dir->done && listing->looks)
		cache_listed(dir->fs, dir->turn);
	dir->waiting = NULL;
	if (!listing->used && dir->error)
		op_error(&listing->op, dir->error);
	listing_answer(listing);
}

static void go_on(struct dir *dir)
{
	serve(dir);
	if (!dir->asked && !dir->done && !dir->error && (dir->waiting || dir->count - dir->at < AHEAD)) {
		ask(dir);
		if (dir->error)
			serve(dir);
	}
}

static void free_typing(struct typing *typing)
{
	free(typing->bytes);
	free(typing);
}

static void take_types(struct dir *dir, const struct typing *typing)
{
	for (size_t i = 0; i < typing->count; i++) {
		struct entry *entry = &dir->entry[typing->first + i];

		entry->kind = typing->key[i].kind;
		entry->known = typing->key[i].known;
	}
}

static void type_done(struct typing *typing)
{
	struct dir *dir = typing->dir;

	if (--typing->left || (dir && dir->typing != typing))
		return;
	if (!dir) {
		free_typing(typing);
		return;
	}
	while (dir->typing && !dir->typing->left) {
		typing = dir->typing;
		take_types(dir, typing);
		dir->typing = typing->next;
		free_typing(typing);
	}
	go_on(dir);
}

/* Also of one that nobody waits for any more. */
static void came(struct typed *typed, const shard_result *result)
{
	const struct dir *dir = typed->typing->dir;

	typed->known.look.good = typed->known.look.good && dir;
	if (dir)
		cache_look_came(dir->fs, &typed->known.look, typed->key, typed->key_len, result->node);
}

static void pttl_came(void *ctx, const shard_result *result)
{
	struct typed *typed = ctx;

	came(typed, result);
	if (!result->error && result->reply->type == SHARD_REPLY_INTEGER)
		typed->known.expires = cache_expires(result->reply->integer, fs_now_ms());
	type_done(typed->typing);
}

static void type_came(void *ctx, const shard_result *result)
{
	struct typed *typed = ctx;

	came(typed, result);
	if (!result->error && result->reply->type == SHARD_REPLY_STATUS)
		typed->kind = kind_of_type(result->reply->str);
	if (kind_is_typed(typed->kind))
		typed->known.at = fs_now_ms();
	type_done(typed->typing);
}

static bool ask_about(struct fs *fs, struct typed *typed, const char *command, shard_callback callback)
{
	static const shard_call how = {.timeout_ms = TYPES_MS};
	const char *const argv[] = {command, typed->key};
	const size_t argvlen[] = {strlen(command), typed->key_len};

	return shard_submit(fs_client(fs), 2, argv, argvlen, &how, callback, typed, NULL) == SHARD_OK;
}

/* 0 is also what a key that is not there has: it is looked up. */
static void length_came(void *ctx, const shard_result *result)
{
	struct typed *typed = ctx;
	struct dir *dir = typed->typing->dir;
	bool other = result->error == SHARD_ESERVER && shard_reply_is_error(result->reply, "WRONGTYPE");

	came(typed, result);
	if (other && dir && ask_about(dir->fs, typed, "TYPE", type_came))
		return;
	if (!result->error && result->reply->type == SHARD_REPLY_INTEGER) {
		typed->kind = KIND_STRING;
		typed->known.size = (size_t)result->reply->integer;
		typed->known.at = typed->known.size ? fs_now_ms() : 0;
	}
	type_done(typed->typing);
}

/* What is kept of a key need not be asked for. Returns how many answers are to come. */
static unsigned ask_type(const struct dir *dir, struct typed *typed)
{
	const struct inode *inode = inode_find(&dir->fs->inodes, typed->key, typed->key_len);
	const struct sight *kept = inode ? cache_peek(dir->fs, inode) : NULL;
	struct listed *known = &typed->known;

	if (kept) {
		typed->kind = kept->kind;
		*known = (struct listed){.size = kept->size, .at = fs_now_ms(), .expires = inode->expires};
		return 0;
	}
	bool keep = cache_look_begins(dir->fs, &known->look, typed->key, typed->key_len) && dir->plus;
	unsigned asked = ask_about(dir->fs, typed, "STRLEN", length_came);
	return asked + (keep && ask_about(dir->fs, typed, "PTTL", pttl_came));
}

/* Of the last COUNT keys of the batch, which are entries now. Failing only means that they are not known. */
static void ask_types(struct dir *dir, const shard_scan_batch *batch, size_t count)
{
	const shard_reply *keys = batch->keys + (batch->count - count);
	struct typing *typing = calloc(1, sizeof(*typing) + count * sizeof(typing->key[0]));
	size_t len = 0;

	if (!typing)
		return;
	for (size_t i = 0; i < count; i++)
		len += keys[i].len;
	*typing = (struct typing){.dir = dir, .left = 1, .first = dir->count - count, .count = count};
	char *at = typing->bytes = malloc(len + 1);
	for (size_t i = 0; i < count && at; i++) {
		memcpy(at, keys[i].str, keys[i].len);
		typing->key[i] = (struct typed){.typing = typing, .key = at, .key_len = keys[i].len};
		at += keys[i].len;
		typing->left += ask_type(dir, &typing->key[i]);
	}
	if (!--typing->left && !dir->typing) {
		take_types(dir, typing);
		free_typing(typing);
		return;
	}
	*(dir->typing ? &dir->last_typing->next : &dir->typing) = typing;
	dir->last_typing = typing;
}

static void forget_typing(struct dir *dir)
{
	for (struct typing *typing = dir->typing, *next; typing; typing = next) {
		next = typing->next;
		typing->dir = NULL;
		if (!typing->left)
			free_typing(typing);
	}
	dir->typing = NULL;
}

static void batch_came(void *ctx, const shard_scan_batch *batch)
{
	struct dir *dir = ctx;

	dir->asked = false;
	if (batch->error && dir->walk)
		dir->error = walk_error(dir->walk);
	else if (batch->error == SHARD_ESERVER)
		dir->error = errors_of_words(batch->message);
	else
		dir->error = batch->error ? errors_of_code(batch->error) : add_batch(dir, batch);
	if (batch->done && !dir->error)
		dir->error = add_all_dirs(dir);
	if (batch->done && !dir->error)
		dir->error = add_all_kept(dir);
	dir->done = batch->done && !dir->error;
	go_on(dir);
}

/* ---- where to go on ---- */

static void end_scan(struct dir *dir)
{
	shard_scan_destroy(dir->scan);
	walk_destroy(dir->walk);
	dir->scan = NULL;
	dir->walk = NULL;
	dir->asked = false;
}

static bool begin_scan(struct dir *dir)
{
	static const shard_scan_options how = {.ordered = true};

	if (!dir->scan && !dir->walk && prefix_used(dir->fs))
		dir->walk = walk_create(dir->fs, dir->inode);
	else if (!dir->scan && !dir->walk)
		dir->scan = shard_scan_create(fs_client(dir->fs), &how);
	return dir->scan || dir->walk;
}

/* Lists from PLACE on, which is what OFFSET means. */
static int go_back(struct dir *dir, uint64_t place, uint64_t offset)
{
	stop_waiting(dir);
	forget_typing(dir);
	if (dir->asked || dir->error || !place)
		end_scan(dir);
	if (!begin_scan(dir))
		return ENOMEM;
	dir->count = dir->names_len = dir->at = 0;
	dir->before = offset;
	dir->done = dir->unplaced = false;
	dir->error = 0;
	dir->skip = 0;
	return place ? errors_of_code(shard_scan_seek(dir->scan, place)) : 0;
}

/* Whether OFFSET is one of what is kept; then dir->at is what comes behind it. */
static bool find_kept(struct dir *dir, uint64_t offset)
{
	if (dir->at && dir->entry[dir->at - 1].next == offset)
		return true;
	for (size_t i = dir->count; i > 0; i--) {
		if (dir->entry[i - 1].next == offset) {
			dir->at = i;
			return true;
		}
	}
	if (dir->before == offset)
		dir->at = 0;
	return dir->before == offset;
}

static int go_to_key(struct dir *dir, uint64_t offset)
{
	shard_topology *map = shard_client_topology(fs_client(dir->fs));
	const struct tie *tie = find_tie(dir, offset);
	int error = EINVAL;

	if (find_kept(dir, offset))
		return 0;
	if (tie) {
		error = go_back(dir, tie->place, offset);
		dir->skip = offset;
	} else if ((offset & PLACED) && !dir->walk && (!map || shard_topology_has_slots(map))) {
		error = go_back(dir, (offset & ~PLACED) + 1, offset);
	}
	return error;
}

static int go_to(struct dir *dir, uint64_t offset)
{
	int error = 0;

	dir->dots = offset < BEHIND_DOTS ? (unsigned)offset : BEHIND_DOTS;
	if (offset > BEHIND_DOTS)
		return go_to_key(dir, offset);
	/* rewinddir() wants to see what is new. */
	if (!offset) {
		forget_ties(dir);
		dir->turn = dir->fs->cache.turn;
	}
	if (!offset || dir->before != BEHIND_DOTS)
		error = go_back(dir, 0, BEHIND_DOTS);
	dir->at = 0;
	return error;
}

/* ---- the operations ---- */

static struct dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct dir *)(uintptr_t)fi->fh;
}

static void read_dir(fuse_req_t req, size_t size, uint64_t offset, struct dir *dir, bool plus)
{
	struct listing *listing = op_create(req, sizeof(*listing), dir->inode, "", 0);

	if (!listing)
		return;
	listing->op.finish = listing_finish;
	listing->bytes = malloc(size);
	listing->size = size;
	listing->plus = plus;
	int error = listing->bytes ? go_to(dir, offset) : ENOMEM;
	stop_waiting(dir); /* one that was interrupted */
	if (error) {
		op_error(&listing->op, error);
		op_drop(&listing->op);
		return;
	}
	/* At the start it comes always, also where nobody wants to know; later by reason of look-ups. */
	listing->looks = plus && offset;
	listing->bait = plus && !offset;
	dir->plus = listing->looks;
	dir->waiting = listing;
	go_on(dir);
}

void dir_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_dir(req, size, (uint64_t)offset, dir_of(fi), false);
}

void dir_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_dir(req, size, (uint64_t)offset, dir_of(fi), true);
}

void dir_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dir *dir = calloc(1, sizeof(*dir));

	if (!dir) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	dir->fs = fs_of(req);
	dir->inode = inode_hold(fs_inode(dir->fs, ino));
	dir->numbers = BEHIND_DOTS;
	dir->next = dir->fs->dirs;
	if (dir->next)
		dir->next->prev = dir;
	dir->fs->dirs = dir;
	fi->fh = (uintptr_t)dir;
	/* What directories there are depends on more than the keys that changed. */
	if (ino == FUSE_ROOT_ID && !dir->fs->tree.sep_len)
		cache_list_opens(dir->fs, fi);
	if (fuse_reply_open(req, fi))
		dir_close(dir);
}

void dir_close(struct dir *dir)
{
	end_scan(dir);
	forget_typing(dir);
	stop_waiting(dir);
	forget_ties(dir);
	free(dir->entry);
	free(dir->names);
	inode_drop(dir->inode);
	if (dir->next)
		dir->next->prev = dir->prev;
	*(dir->prev ? &dir->prev->next : &dir->fs->dirs) = dir->next;
	free(dir);
}

void dir_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	dir_close(dir_of(fi));
	fuse_reply_err(req, 0);
}
