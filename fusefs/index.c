/* SPDX-License-Identifier: MIT */
#include "index.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4
#define MALLOC_BYTES 8 /* what malloc() adds, and rounds to 16 */

struct index_node {
	struct index_node *next; /* in the directory's bucket */
	struct index_dir *dir;
	uint32_t len;
	uint8_t state; /* enum index_state */
	char piece[];
};

struct index_dir {
	struct index_dir *up; /* NULL: the root */
	struct index_node *node; /* its own, in there */
	struct index_node **bucket;
	size_t room, count; /* a power of two; nodes */
	size_t sure, unsure; /* keys below */
};

struct index {
	struct tree tree;
	struct index_dir root;
	size_t bytes;
};

static size_t cost(size_t bytes)
{
	return (bytes + MALLOC_BYTES + 15) & ~(size_t)15;
}

static size_t node_bytes(size_t len)
{
	return offsetof(struct index_node, piece) + len;
}

struct index *index_create(const struct tree *tree)
{
	struct index *index = calloc(1, sizeof(*index));

	if (index)
		index->tree = *tree;
	return index;
}

/* By loops: a key may have as many directories as it has bytes. */
void index_destroy(struct index *index)
{
	struct index_dir *dir = index ? &index->root : NULL;

	while (dir) {
		while (dir->room && !dir->bucket[dir->room - 1])
			dir->room--;
		struct index_node *node = dir->room ? dir->bucket[dir->room - 1] : NULL;
		if (node && node->dir) {
			dir = node->dir;
		} else if (node) {
			dir->bucket[dir->room - 1] = node->next;
			free(node);
		} else {
			struct index_dir *up = dir->up;
			free(dir->bucket);
			if (up) {
				dir->node->dir = NULL;
				free(dir);
			}
			dir = up;
		}
	}
	free(index);
}

size_t index_bytes(const struct index *index)
{
	return index->bytes;
}

/* ---- the nodes of a directory ---- */

static struct index_node **bucket_of(const struct index_dir *dir, const char *piece, size_t len)
{
	return &dir->bucket[name_hash(piece, len) & (dir->room - 1)];
}

static struct index_node *find(const struct index_dir *dir, const char *piece, size_t len)
{
	struct index_node *node = dir->room ? *bucket_of(dir, piece, len) : NULL;

	while (node && (node->len != len || memcmp(node->piece, piece, len) != 0))
		node = node->next;
	return node;
}

/* Failing only makes the chains longer, but for the first time. */
static void grow(struct index *index, struct index_dir *dir)
{
	size_t old_room = dir->room, room = old_room ? old_room * 2 : FIRST_ROOM;
	struct index_node **old = dir->bucket, **bucket = calloc(room, sizeof(*bucket));

	if (!bucket)
		return;
	dir->bucket = bucket;
	dir->room = room;
	for (size_t i = 0; i < old_room; i++) {
		for (struct index_node *node = old[i], *next; node; node = next) {
			struct index_node **to = bucket_of(dir, node->piece, node->len);
			next = node->next;
			node->next = *to;
			*to = node;
		}
	}
	free(old);
	index->bytes += cost(room * sizeof(*bucket)) - (old_room ? cost(old_room * sizeof(*bucket)) : 0);
}

static struct index_node *add(struct index *index, struct index_dir *dir, const char *piece, size_t len)
{
	if (dir->count >= dir->room)
		grow(index, dir);
	struct index_node *node = dir->room ? malloc(node_bytes(len)) : NULL;
	if (!node)
		return NULL;
	struct index_node **bucket = bucket_of(dir, piece, len);
	/* One by one: a whole struct may be longer than where its piece begins. */
	node->next = *bucket;
	node->dir = NULL;
	node->len = (uint32_t)len;
	node->state = INDEX_NONE;
	memcpy(node->piece, piece, len);
	*bucket = node;
	dir->count++;
	index->bytes += cost(node_bytes(len));
	return node;
}

static void take_out(struct index *index, struct index_dir *dir, struct index_node *node)
{
	struct index_node **at = bucket_of(dir, node->piece, node->len);

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	dir->count--;
	index->bytes -= cost(node_bytes(node->len));
	free(node);
}

/* Takes out NODE where nothing is left of it, and so on upwards. */
static void prune(struct index *index, struct index_dir *dir, struct index_node *node)
{
	while (node && !node->state && !node->dir) {
		take_out(index, dir, node);
		if (dir->count || !dir->up)
			return;
		struct index_dir *empty = dir;
		node = dir->node;
		dir = dir->up;
		node->dir = NULL;
		index->bytes -= cost(sizeof(*empty)) + (empty->room ? cost(empty->room * sizeof(*empty->bucket)) : 0);
		free(empty->bucket);
		free(empty);
	}
}

static struct index_dir *make_dir(struct index *index, struct index_dir *up, struct index_node *node)
{
	struct index_dir *dir = node->dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	dir->up = up;
	dir->node = node;
	index->bytes += cost(sizeof(*dir));
	return dir;
}

/* ---- keys ---- */

static void count(struct index_dir *dir, enum index_state old, enum index_state state)
{
	for (; dir; dir = dir->up) {
		dir->sure += (state == INDEX_SURE) - (size_t)(old == INDEX_SURE);
		dir->unsure += (state == INDEX_UNSURE) - (size_t)(old == INDEX_UNSURE);
	}
}

static int set_in(struct index *index, struct index_dir *dir, const char *piece, size_t len, enum index_state state)
{
	struct index_node *node = find(dir, piece, len);

	if (!node && !state)
		return 0;
	if (!node && !(node = add(index, dir, piece, len)))
		return ENOMEM;
	count(dir, (enum index_state)node->state, state);
	node->state = (uint8_t)state;
	prune(index, dir, node);
	return 0;
}

/* The directory of the next piece of a key. NULL: there is none; MAKE: out of memory. */
static struct index_dir *step(struct index *index, struct index_dir *dir, const char *piece, size_t len, bool make,
			      bool *new)
{
	struct index_node *node = find(dir, piece, len);

	if (!node && make)
		node = add(index, dir, piece, len);
	if (!node || node->dir || !make)
		return node ? node->dir : NULL;
	*new = true;
	struct index_dir *made = make_dir(index, dir, node);
	if (!made)
		prune(index, dir, node);
	return made;
}

int index_set(struct index *index, const char *key, size_t len, enum index_state state, bool *new)
{
	struct index_dir *dir = &index->root, *last = dir;
	size_t start = 0, next;
	bool ignored;

	new = new ? new : &ignored;
	*new = false;
	while ((next = tree_next(&index->tree, key, len, start))) {
		dir = step(index, last, key + start, next - start - index->tree.sep_len, state != INDEX_NONE, new);
		if (!dir)
			break;
		last = dir;
		start = next;
	}
	if (dir)
		return set_in(index, dir, key + start, len - start, state);
	return state ? ENOMEM : 0;
}

static const struct index_dir *find_dir(const struct index *index, const char *key, size_t len, size_t *start)
{
	const struct index_dir *dir = &index->root;
	size_t next;

	*start = 0;
	while (dir && (next = tree_next(&index->tree, key, len, *start))) {
		const struct index_node *node = find(dir, key + *start, next - *start - index->tree.sep_len);
		dir = node ? node->dir : NULL;
		*start = next;
	}
	return dir;
}

enum index_state index_get(const struct index *index, const char *key, size_t len)
{
	size_t start;
	const struct index_dir *dir = find_dir(index, key, len, &start);
	const struct index_node *node = dir ? find(dir, key + start, len - start) : NULL;

	return node ? (enum index_state)node->state : INDEX_NONE;
}

const struct index_dir *index_dir(const struct index *index, const char *prefix, size_t len)
{
	size_t start;

	return find_dir(index, prefix, len, &start);
}

size_t index_sure(const struct index_dir *dir)
{
	return dir->sure;
}

size_t index_unsure(const struct index_dir *dir)
{
	return dir->unsure;
}

/* ---- going through them ---- */

static const struct index_node *first_from(const struct index_dir *dir, size_t i)
{
	while (i < dir->room && !dir->bucket[i])
		i++;
	return i < dir->room ? dir->bucket[i] : NULL;
}

static const struct index_node *next_of(const struct index_dir *dir, const struct index_node *node)
{
	if (node->next)
		return node->next;
	return first_from(dir, (name_hash(node->piece, node->len) & (dir->room - 1)) + 1);
}

void index_each(const struct index_dir *dir, index_visit visit, void *ctx)
{
	for (size_t i = 0; i < dir->room; i++) {
		for (const struct index_node *node = dir->bucket[i]; node; node = node->next) {
			const struct index_entry entry = {node->piece, node->len, (enum index_state)node->state,
							  node->dir};
			visit(ctx, &entry);
		}
	}
}

struct walk {
	enum index_state state;
	char *key; /* of where it is */
	size_t room;
};

static bool make_room(struct walk *walk, size_t len)
{
	if (len <= walk->room)
		return true;
	char *key = realloc(walk->key, len * 2);
	if (!key)
		return false;
	walk->key = key;
	walk->room = len * 2;
	return true;
}

static bool has_any(const struct walk *walk, const struct index_dir *dir)
{
	return walk->state == INDEX_SURE ? dir->sure : walk->state == INDEX_UNSURE ? dir->unsure : true;
}

static bool is_wanted(const struct walk *walk, const struct index_node *node)
{
	return node->state && (!walk->state || node->state == walk->state);
}

static int walk_all(struct walk *walk, const struct tree *tree, const struct index_dir *top, size_t len,
		    index_visit_key visit, void *ctx)
{
	const struct index_dir *dir = top;
	const struct index_node *node = has_any(walk, dir) ? first_from(dir, 0) : NULL;

	while (node || dir != top) {
		if (!node) {
			node = dir->node;
			dir = dir->up;
			len -= node->len + tree->sep_len;
			node = next_of(dir, node);
			continue;
		}
		size_t end = len + node->len;
		if (!make_room(walk, end + tree->sep_len + 1))
			return ENOMEM;
		memcpy(walk->key + len, node->piece, node->len);
		if (is_wanted(walk, node) && !visit(ctx, walk->key, end))
			return 0;
		if (node->dir && has_any(walk, node->dir)) {
			memcpy(walk->key + end, tree->sep, tree->sep_len);
			len = end + tree->sep_len;
			dir = node->dir;
			node = first_from(dir, 0);
		} else {
			node = next_of(dir, node);
		}
	}
	return 0;
}

int index_each_key(const struct index *index, const struct index_dir *dir, const char *prefix, size_t prefix_len,
		   enum index_state state, index_visit_key visit, void *ctx)
{
	struct walk walk = {.state = state};
	int error = make_room(&walk, prefix_len + 1) ? 0 : ENOMEM;

	if (!error) {
		memcpy(walk.key, prefix, prefix_len);
		error = walk_all(&walk, &index->tree, dir, prefix_len, visit, ctx);
	}
	free(walk.key);
	return error;
}
