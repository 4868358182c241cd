/* SPDX-License-Identifier: MIT */
/* Keys as paths: any key comes back from its path; any name that is a place's is the one that the place has. */
#include "../../fusefs/tree.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static const struct tree trees[] = {{"/", 1, false}, {":", 1, true}, {"::", 2, true}, {".", 1, true}, {NULL, 0, false}};

static char *copy(const char *bytes, size_t len)
{
	char *block = malloc(len + !len);

	MUST(block);
	memcpy(block, bytes, len);
	return block;
}

/* From the root downwards each name leads to the next directory, the last one to the key. */
static void check_key(const struct tree *tree, const char *key, size_t len)
{
	char name[NAME_LISTED_MAX + 1], *path;
	size_t start = 0, next, size;

	while ((next = tree_next(tree, key, len, start))) {
		size = tree_listed_dir(tree, key, next, start, name);
		path = malloc(start + size + tree->sep_len + 1);
		MUST(path && !memchr(name, '/', size));
		struct tree_place place = tree_decode(tree, key, start, name, size, path);
		MUST(place.kind == PLACE_HASHED || (place.dir_len == next && !memcmp(path, key, next)));
		MUST(tree_parent_of_dir(tree, key, next) == start);
		free(path);
		start = next;
	}
	size = tree_listed(key, len, start, name);
	path = malloc(start + size + tree->sep_len + 1);
	MUST(path && start == tree_parent(tree, key, len));
	struct tree_place place = tree_decode(tree, key, start, name, size, path);
	MUST(place.kind == PLACE_HASHED || (place.key_len == len && !memcmp(path, key, len)));
	free(path);
}

/* NAME in a directory. */
static void check_name(const struct tree *tree, const char *prefix, size_t prefix_len, const char *name, size_t len)
{
	char *path = malloc(prefix_len + len + tree->sep_len + 1);
	char again[NAME_LISTED_MAX + 1];
	size_t size;

	MUST(path);
	struct tree_place place = tree_decode(tree, prefix, prefix_len, name, len, path);
	bool key = place.kind == PLACE_KEY || place.kind == PLACE_EITHER;
	if (len <= NAME_LISTED_MAX && key && place.key_len >= prefix_len) {
		size = tree_listed(path, place.key_len, prefix_len, again);
		MUST(size == len && !memcmp(again, name, len));
	}
	if (len <= NAME_LISTED_MAX && place.dir_len) {
		size = tree_listed_dir(tree, path, place.dir_len, prefix_len, again);
		MUST(size == len && !memcmp(again, name, len));
	}
	free(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Never out of bounds, in blocks of exactly these sizes. */
	for (size_t i = 0; i < sizeof(trees) / sizeof(*trees); i++) {
		char *key = copy((const char *)data, size);
		size_t start = tree_parent(&trees[i], key, size);
		char *name = copy(key + start, size - start);

		check_key(&trees[i], key, size);
		check_name(&trees[i], key, start, name, size - start);
		check_name(&trees[i], "", 0, key, size);
		free(name);
		free(key);
	}
	return 0;
}
