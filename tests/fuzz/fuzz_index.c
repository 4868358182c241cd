/* SPDX-License-Identifier: MIT */
/* The index against a plain list: after any changes both have the same keys, and the counts are right. */
#include "../../fusefs/index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

#define KEYS 512

static const struct tree tree = {"/", 1, false};

struct line {
	const char *key;
	size_t len;
	enum index_state state;
};

struct list {
	struct line line[KEYS];
	size_t count;
	size_t seen;
};

static struct line *find(struct list *list, const char *key, size_t len)
{
	for (size_t i = 0; i < list->count; i++)
		if (list->line[i].len == len && !memcmp(list->line[i].key, key, len))
			return &list->line[i];
	return NULL;
}

static bool check_key(void *ctx, const char *key, size_t len)
{
	struct list *list = ctx;
	const struct line *line = find(list, key, len);

	MUST(line && line->state);
	list->seen++;
	return true;
}

static void check_dir(const struct index *index, const struct list *list, const char *prefix, size_t len)
{
	const struct index_dir *dir = index_dir(index, prefix, len);
	size_t sure = 0, unsure = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (list->line[i].len < len || memcmp(list->line[i].key, prefix, len) != 0)
			continue;
		sure += list->line[i].state == INDEX_SURE;
		unsure += list->line[i].state == INDEX_UNSURE;
	}
	MUST((dir ? index_sure(dir) : 0) == sure && (dir ? index_unsure(dir) : 0) == unsure);
}

static void check_all(const struct index *index, struct list *list)
{
	size_t there = 0;

	for (size_t i = 0; i < list->count; i++) {
		const struct line *line = &list->line[i];
		MUST(index_get(index, line->key, line->len) == line->state);
		there += line->state != INDEX_NONE;
		check_dir(index, list, line->key, tree_parent(&tree, line->key, line->len));
	}
	MUST(!index_each_key(index, index_dir(index, "", 0), "", 0, INDEX_NONE, check_key, list));
	MUST(list->seen == there);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Each change is a byte for the state and a key up to a newline. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct index *index = index_create(&tree);
	struct list *list = calloc(1, sizeof(*list));
	const char *at = (const char *)data, *end = at + size;

	MUST(index && list);
	while (end - at > 1) {
		enum index_state state = (enum index_state)((unsigned char)*at++ % 3);
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((stop ? stop : end) - at);
		struct line *line = find(list, at, len);
		if (!line && list->count == KEYS)
			break;
		line = line ? line : &list->line[list->count++];
		*line = (struct line){at, len, state};
		MUST(!index_set(index, at, len, state, NULL));
		at += len + (stop ? 1 : 0);
	}
	check_all(index, list);
	index_destroy(index);
	free(list);
	return 0;
}
