/* SPDX-License-Identifier: MIT */
#include "inode.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fs.h"
#include "probe.h"

#define FIRST_BUCKETS 1024
#define PAST_WAYS 8
#define FRESH_COST 128 /* bytes that a value which is kept costs besides its own */

int inode_table_init(struct inode_table *table, size_t fresh_limit)
{
	*table = (struct inode_table){.bucket_count = FIRST_BUCKETS, .fresh_limit = fresh_limit};
	table->past = calloc(INODE_PAST, sizeof(*table->past)); /* without it there is none */
	table->bucket = calloc(FIRST_BUCKETS, sizeof(*table->bucket));
	return table->bucket ? 0 : ENOMEM;
}

static struct inode **bucket_of(const struct inode_table *table, uint64_t hash)
{
	return &table->bucket[hash & (table->bucket_count - 1)];
}

static void take_out(struct inode_table *table, struct inode *inode)
{
	struct inode **at = bucket_of(table, inode->hash);

	while (*at != inode)
		at = &(*at)->next;
	*at = inode->next;
	table->count--;
}

static void unlink_sibling(struct inode *inode)
{
	struct inode *older = inode->older_sibling, *newer = inode->newer_sibling;

	*(older ? &older->newer_sibling : &inode->parent->last_child) = newer;
	*(newer ? &newer->older_sibling : &inode->parent->children) = older;
}

static void join_parent(struct inode *inode, struct inode *parent)
{
	inode->parent = inode_hold(parent);
	inode->key = parent->key;
	inode->key_len = parent->key_len;
	inode->newer_sibling = parent->last_child;
	*(parent->last_child ? &parent->last_child->older_sibling : &parent->children) = inode;
	parent->last_child = inode;
}

static void leave_parent(struct inode *inode)
{
	unlink_sibling(inode);
	inode_drop(inode->parent);
}

/* Where all who are active come first, they are found without a look at the others. */
void inode_set_active(struct inode *inode)
{
	struct inode *parent = inode->parent;

	if (!parent || inode->active)
		return;
	inode->active = true;
	if (parent->children == inode)
		return;
	unlink_sibling(inode);
	inode->newer_sibling = NULL;
	inode->older_sibling = parent->children;
	parent->children->newer_sibling = inode;
	parent->children = inode;
}

void inode_set_late(struct inode *inode, uint64_t until)
{
	struct inode_table *table = inode->table;

	inode_unset_late(inode);
	inode->prev_late = table->last_late;
	inode->next_late = NULL;
	*(table->last_late ? &table->last_late->next_late : &table->late) = inode;
	table->last_late = inode;
	inode->late_until = until;
}

void inode_unset_late(struct inode *inode)
{
	struct inode_table *table = inode->table;

	if (!inode->late_until)
		return;
	*(inode->prev_late ? &inode->prev_late->next_late : &table->late) = inode->next_late;
	*(inode->next_late ? &inode->next_late->prev_late : &table->last_late) = inode->prev_late;
	inode->late_until = 0;
}

/* ---- what the kernel keeps ---- */

int inode_grant(struct inode *inode, const shard_mark *mark)
{
	struct inode_table *table = inode->table;

	inode_ungrant(inode);
	if (!table->granted)
		table->granted = calloc(SHARD_SLOTS, sizeof(*table->granted));
	if (!table->granted)
		return ENOMEM;
	struct inode **head = &table->granted[mark->slot];
	inode->prev_granted = NULL;
	inode->next_granted = *head;
	if (*head)
		(*head)->prev_granted = inode;
	*head = inode;
	inode->granted = true;
	inode->grant = *mark;
	return 0;
}

void inode_ungrant(struct inode *inode)
{
	struct inode *next = inode->next_granted, *prev = inode->prev_granted;

	if (!inode->granted)
		return;
	*(prev ? &prev->next_granted : &inode->table->granted[inode->grant.slot]) = next;
	if (next)
		next->prev_granted = prev;
	inode->granted = false;
}

void inode_each_lost(struct inode_table *table, const shard_tracking *tracking,
		     void (*each)(void *ctx, struct inode *inode), void *ctx)
{
	for (unsigned slot = 0; slot < SHARD_SLOTS && table->granted; slot++) {
		struct inode *inode = table->granted[slot], *next;

		if (!inode || shard_tracking_holds(tracking, &inode->grant))
			continue;
		for (; inode; inode = next) {
			next = inode->next_granted;
			each(ctx, inode);
		}
	}
}

/* ---- what the kernel has forgotten ---- */

static struct past *past_at(const struct inode_table *table, uint64_t hash, size_t i)
{
	return &table->past[(hash + i) % INODE_PAST];
}

/* NULL: there is none. */
static struct past *past_of(const struct inode_table *table, uint64_t hash)
{
	for (size_t i = 0; i < PAST_WAYS && table->past; i++)
		if (past_at(table, hash, i)->hash == hash)
			return past_at(table, hash, i);
	return NULL;
}

/* Its own, a free one, or that of another inode. */
static struct past *past_for(const struct inode_table *table, uint64_t hash)
{
	struct past *past = past_of(table, hash);

	for (size_t i = 0; i < PAST_WAYS && !past; i++)
		past = past_at(table, hash, i)->hash ? NULL : past_at(table, hash, i);
	return past ? past : past_at(table, hash, hash / INODE_PAST % PAST_WAYS);
}

/* Keys, and directories of keys: their times need no value that they belong to. */
static bool has_past(struct inode *inode)
{
	inode->has_print |= inode->kind == KIND_PREFIX;
	return !inode->parent || inode->kind == KIND_PREFIX;
}

static void remember(struct inode *inode)
{
	struct past *past = inode->table && inode->table->past ? past_for(inode->table, inode->hash) : NULL;

	if (past && !inode->gone && has_past(inode) && (inode->has_print || inode->has_mode))
		*past = (struct past){inode->hash,     inode->print, inode->has_print, inode->has_mode,
				      inode->mode,     inode->atime, inode->mtime,     inode->ctime};
}

static void recall(struct inode *inode)
{
	const struct past *past = past_of(inode->table, inode->hash);

	if (!past)
		return;
	inode->mode = past->mode;
	inode->has_mode = past->has_mode;
	if (!past->has_print)
		return;
	inode->print = past->print;
	inode->has_print = true;
	inode->atime = past->atime;
	inode->mtime = past->mtime;
	inode->ctime = past->ctime;
}

void inode_no_past(struct inode_table *table, const char *key, size_t key_len)
{
	uint64_t hash = name_hash(key, key_len);
	struct past *past = past_of(table, hash);

	if (past)
		past->hash = 0;
}

static void inode_destroy(struct inode *inode)
{
	remember(inode);
	inode_stale(inode);
	inode_unset_late(inode);
	inode_ungrant(inode);
	buffer_unref(inode->told);
	if (inode->kept) /* all end */
		inode->table->kept_count--;
	if (inode->table)
		take_out(inode->table, inode);
	if (inode->parent)
		leave_parent(inode);
	else
		free(inode->key);
	free(inode->member);
	free(inode->listed);
	free(inode);
}

static struct inode *first_member(struct inode *inode)
{
	while (inode && !inode->parent)
		inode = inode->next;
	return inode;
}

void inode_table_finish(struct inode_table *table)
{
	struct inode *member;

	for (size_t i = 0; i < table->bucket_count && table->bucket; i++)
		while ((member = first_member(table->bucket[i])))
			inode_destroy(member);
	for (size_t i = 0; i < table->bucket_count && table->bucket; i++)
		while (table->bucket[i])
			inode_destroy(table->bucket[i]);
	free(table->bucket);
	free(table->granted);
	free(table->past);
	table->granted = NULL;
	table->bucket = NULL;
	table->past = NULL;
}

/* Failing only makes the chains longer. */
static void grow(struct inode_table *table)
{
	size_t old_count = table->bucket_count;
	struct inode **old = table->bucket;
	struct inode **bucket = calloc(old_count * 2, sizeof(*bucket));

	if (!bucket)
		return;
	table->bucket = bucket;
	table->bucket_count = old_count * 2;
	for (size_t i = 0; i < old_count; i++) {
		for (struct inode *inode = old[i], *next; inode; inode = next) {
			struct inode **to = bucket_of(table, inode->hash);
			next = inode->next;
			inode->next = *to;
			*to = inode;
		}
	}
	free(old);
}

static void insert(struct inode_table *table, struct inode *inode)
{
	if (table->count >= table->bucket_count)
		grow(table);
	struct inode **bucket = bucket_of(table, inode->hash);
	inode->next = *bucket;
	*bucket = inode;
	table->count++;
}

struct inode *inode_find(const struct inode_table *table, const char *key, size_t key_len)
{
	uint64_t hash = name_hash(key, key_len);
	struct inode *inode = *bucket_of(table, hash);

	while (inode && (inode->gone || inode->parent || inode->hash != hash || inode->key_len != key_len ||
			 memcmp(inode->key, key, key_len) != 0))
		inode = inode->next;
	return inode;
}

struct inode *inode_find_hashed(const struct inode_table *table, const struct name *name)
{
	struct inode *inode = *bucket_of(table, name->hash);

	while (inode && (inode->gone || inode->parent || inode->hash != name->hash ||
			 !name_matches(name, inode->key, inode->key_len)))
		inode = inode->next;
	return inode;
}

/* Some programs remove files in the order of their numbers: the last element of a list has to go first. */
uint64_t inode_member_hash(const struct inode *parent, const char *member, size_t member_len)
{
	const uint64_t last = (UINT64_C(1) << 40) - 1;

	if (parent->kind == KIND_LIST && member[0] != '%')
		return (parent->hash | last) - strtoull(member, NULL, 10);
	return name_hash_member(parent->hash, member, member_len);
}

struct inode *inode_find_member(const struct inode *parent, const char *member, size_t member_len)
{
	uint64_t hash = inode_member_hash(parent, member, member_len);
	struct inode *inode = *bucket_of(parent->table, hash);

	while (inode && (inode->gone || inode->parent != parent || inode->hash != hash ||
			 inode->member_len != member_len || memcmp(inode->member, member, member_len) != 0))
		inode = inode->next;
	return inode;
}

static char *copy_key(const char *key, size_t key_len)
{
	char *copy = malloc(key_len + 1);

	if (!copy)
		return NULL;
	memcpy(copy, key, key_len);
	copy[key_len] = '\0';
	return copy;
}

struct inode *inode_alone(enum kind kind, struct timespec born)
{
	struct inode *inode = calloc(1, sizeof(*inode));

	if (!inode)
		return NULL;
	inode->kind = kind;
	inode->atime = inode->mtime = inode->ctime = born;
	inode->holds = 1;
	return inode;
}

struct inode *inode_get(struct inode_table *table, enum kind kind, const char *key, size_t key_len,
			struct timespec born)
{
	struct inode *inode = inode_find(table, key, key_len);

	if (inode && inode->kind == kind)
		return inode_hold(inode);
	if (inode)
		inode_leave(inode);
	inode = inode_alone(kind, born);
	if (!inode)
		return NULL;
	inode->key = copy_key(key, key_len);
	if (!inode->key) {
		free(inode);
		return NULL;
	}
	inode->key_len = key_len;
	inode->hash = name_hash(key, key_len);
	inode->table = table;
	insert(table, inode);
	recall(inode);
	return inode;
}

struct inode *inode_get_member(struct inode *parent, enum kind kind, const char *member, size_t member_len,
			       struct timespec born)
{
	struct inode *inode = inode_find_member(parent, member, member_len);

	if (inode)
		return inode_hold(inode);
	inode = inode_alone(kind, born);
	if (!inode)
		return NULL;
	inode->member = copy_key(member, member_len);
	if (!inode->member) {
		free(inode);
		return NULL;
	}
	inode->member_len = member_len;
	join_parent(inode, parent);
	inode->hash = inode_member_hash(parent, member, member_len);
	inode->gone = parent->gone;
	inode->table = parent->table;
	insert(parent->table, inode);
	if (kind == KIND_PREFIX)
		recall(inode);
	return inode;
}

struct inode *inode_hold(struct inode *inode)
{
	inode->holds++;
	return inode;
}

void inode_drop(struct inode *inode)
{
	if (inode && --inode->holds == 0 && inode->lookups == 0)
		inode_destroy(inode);
}

void inode_forget(struct inode *inode, uint64_t lookups)
{
	inode->lookups -= lookups < inode->lookups ? lookups : inode->lookups;
	if (!inode->lookups && !inode->holds)
		inode_destroy(inode);
}

void inode_set_kept(struct inode *inode, bool kept)
{
	if (inode->kept == kept)
		return;
	inode->kept = kept;
	inode->table->kept_count += kept ? 1 : -(size_t)1;
	if (kept)
		inode_hold(inode);
	else
		inode_drop(inode);
}

void inode_each_kept(const struct inode_table *table, void (*callback)(void *ctx, const struct inode *inode), void *ctx)
{
	size_t left = table->kept_count;

	for (size_t i = 0; i < table->bucket_count && left; i++) {
		for (const struct inode *inode = table->bucket[i]; inode; inode = inode->next) {
			if (!inode->kept)
				continue;
			left--;
			callback(ctx, inode);
		}
	}
}

void inode_leave(struct inode *inode)
{
	inode->gone = true;
	for (struct inode *child = inode->children; child; child = child->older_sibling)
		child->gone = true;
	inode_set_kept(inode, false);
}

void inode_return(struct inode *inode)
{
	const struct inode *parent = inode->parent;
	const struct inode *there = parent ? inode_find_member(parent, inode->member, inode->member_len)
					   : inode_find(inode->table, inode->key, inode->key_len);

	if (inode->gone && !there && !(parent && parent->gone))
		inode->gone = false;
}

static void rehash(struct inode *inode, uint64_t hash)
{
	take_out(inode->table, inode);
	inode->hash = hash;
	insert(inode->table, inode);
}

int inode_rename(struct inode *inode, const char *key, size_t key_len)
{
	char *copy = copy_key(key, key_len);
	struct inode *there = inode_find(inode->table, key, key_len);

	if (!copy)
		return ENOMEM;
	if (there)
		inode_leave(there);
	free(inode->key);
	inode->key = copy;
	inode->key_len = key_len;
	inode->gone = false;
	rehash(inode, name_hash(key, key_len));
	for (struct inode *child = inode->children; child; child = child->older_sibling) {
		child->key = copy;
		child->key_len = key_len;
		rehash(child, inode_member_hash(inode, child->member, child->member_len));
	}
	return 0;
}

int inode_rename_member(struct inode *inode, const char *member, size_t member_len)
{
	char *copy = copy_key(member, member_len);
	struct inode *there = inode_find_member(inode->parent, member, member_len);

	if (!copy)
		return ENOMEM;
	if (there)
		inode_leave(there);
	free(inode->member);
	inode->member = copy;
	inode->member_len = member_len;
	inode->gone = false;
	rehash(inode, inode_member_hash(inode->parent, member, member_len));
	return 0;
}

/* ---- what was seen ---- */

/* Odd: of the bytes; even: of the size alone. */
uint64_t inode_fingerprint(const struct sight *sight)
{
	if (!sight->start)
		return (sight->kind ^ (sight->size * 0x9E3779B97F4A7C15u)) & ~UINT64_C(1);
	size_t len = buffer_size(sight->start);
	return (name_hash(buffer_map(sight->start, len), len) ^ (sight->size * 0x9E3779B97F4A7C15u)) | 1;
}

void inode_saw(struct inode *inode, const struct sight *sight, struct timespec now)
{
	uint64_t print = inode_fingerprint(sight);

	/* One of each sort cannot be compared. What happened to a directory's members shows in nothing else. */
	bool alike = !((inode->print ^ print) & 1) && !kind_is_typed(inode->kind);
	if (inode->has_print && (alike ? inode->print != print : inode->changed)) {
		inode->mtime = inode->ctime = now;
		inode->seen++;
	}
	inode->changed = false;
	inode->print = print;
	inode->has_print = true;
	inode->odd = inode->parent ? sight->size > PROBE_BYTES : !sight->whole || !sight->size;
}

void inode_missed(struct inode *inode, struct timespec now)
{
	inode->has_mode = inode->has_print = false;
	inode->odd = true;
	inode->atime = inode->mtime = inode->ctime = now;
	inode_stale(inode);
}

void inode_wrote(struct inode *inode, struct timespec now)
{
	inode->mtime = inode->ctime = now;
	inode->has_print = false;
	inode->changes++;
	inode_stale(inode);
}

static void unlink_fresh(struct inode *inode)
{
	struct inode_table *table = inode->table;

	*(inode->older ? &inode->older->newer : &table->oldest) = inode->newer;
	*(inode->newer ? &inode->newer->older : &table->newest) = inode->older;
	inode->older = inode->newer = NULL;
}

static void link_fresh(struct inode *inode)
{
	struct inode_table *table = inode->table;

	inode->older = table->newest;
	*(table->newest ? &table->newest->newer : &table->oldest) = inode;
	table->newest = inode;
}

static size_t fresh_cost(const struct inode *inode)
{
	return inode->fresh.start ? FRESH_COST + buffer_size(inode->fresh.start) : 0;
}

void inode_used(struct inode *inode)
{
	if (inode->table->newest == inode)
		return;
	unlink_fresh(inode);
	link_fresh(inode);
}

void inode_stale(struct inode *inode)
{
	if (!inode->has_fresh)
		return;
	unlink_fresh(inode);
	inode->table->fresh_bytes -= fresh_cost(inode);
	buffer_unref(inode->fresh.start);
	inode->fresh.start = NULL;
	inode->has_fresh = inode->watched = false;
}

void inode_keep(struct inode *inode, const struct sight *sight)
{
	struct inode_table *table = inode->table;

	inode_stale(inode);
	inode->fresh = *sight;
	buffer_ref(sight->start);
	inode->has_fresh = true;
	inode->attr_served = false;
	link_fresh(inode);
	table->fresh_bytes += fresh_cost(inode);
	inode_expire(table, sight->at);
}

const struct sight *inode_fresh(struct inode *inode, uint64_t now_ms)
{
	/* A watched one may have been true for long: cache_hit() tells whether it is. */
	if (inode->has_fresh && !inode->watched && now_ms > inode->fresh.at + FS_FRESH_MS)
		inode_stale(inode);
	return inode->has_fresh && now_ms <= inode->fresh.at + FS_FRESH_MS ? &inode->fresh : NULL;
}

void inode_expire(struct inode_table *table, uint64_t now_ms)
{
	for (struct inode *oldest = table->oldest; oldest; oldest = table->oldest) {
		bool over = table->fresh_bytes > table->fresh_limit && oldest != table->newest;

		if (!over && (oldest->watched || now_ms <= oldest->fresh.at + FS_FRESH_MS))
			break;
		inode_stale(oldest);
	}
}

void inode_each(struct inode_table *table, void (*each)(void *ctx, struct inode *inode), void *ctx)
{
	for (size_t i = 0; i < table->bucket_count; i++)
		for (struct inode *inode = table->bucket[i]; inode; inode = inode->next)
			each(ctx, inode);
}
