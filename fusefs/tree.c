/* SPDX-License-Identifier: MIT */
#include "tree.h"

#include <string.h>

size_t tree_next(const struct tree *tree, const char *key, size_t len, size_t start)
{
	const char *at = tree->sep_len ? memmem(key + start, len - start, tree->sep, tree->sep_len) : NULL;

	return at ? (size_t)(at - key) + tree->sep_len : 0;
}

size_t tree_parent(const struct tree *tree, const char *key, size_t len)
{
	size_t start = 0, next;

	while ((next = tree_next(tree, key, len, start)))
		start = next;
	return start;
}

size_t tree_parent_of_dir(const struct tree *tree, const char *prefix, size_t len)
{
	size_t start = 0, next;

	while ((next = tree_next(tree, prefix, len, start)) && next < len)
		start = next;
	return start;
}

/* The piece behind START, LEN bytes, is in PATH. */
static struct tree_place place_of_piece(const struct tree *tree, char *path, size_t start, size_t len)
{
	size_t end = start + len, next = tree_next(tree, path, end, start);

	if (!tree->sep_len)
		return (struct tree_place){.kind = PLACE_KEY, .key_len = end};
	if (next && (next != end || !tree->shown))
		return (struct tree_place){.kind = PLACE_NONE};
	if (next)
		return (struct tree_place){.kind = PLACE_DIR, .dir_len = end};
	if (tree->shown)
		return (struct tree_place){.kind = PLACE_KEY, .key_len = end};
	memcpy(path + end, tree->sep, tree->sep_len);
	return (struct tree_place){.kind = PLACE_EITHER, .key_len = end, .dir_len = end + tree->sep_len};
}

static bool is_value(const struct tree *tree, size_t prefix_len, const char *name, size_t len)
{
	return tree->sep_len && !tree->shown && prefix_len && len == strlen(TREE_VALUE) &&
	       memcmp(name, TREE_VALUE, len) == 0;
}

struct tree_place tree_decode(const struct tree *tree, const char *prefix, size_t prefix_len, const char *name,
			      size_t len, char *path)
{
	if (prefix_len)
		memcpy(path, prefix, prefix_len);
	if (is_value(tree, prefix_len, name, len))
		return (struct tree_place){.kind = PLACE_KEY, .key_len = prefix_len - tree->sep_len};
	struct name decoded = name_decode(name, len, path + prefix_len);
	if (decoded.kind == NAME_KEY)
		return place_of_piece(tree, path, prefix_len, decoded.key_len);
	return (struct tree_place){.kind = decoded.kind == NAME_HASHED ? PLACE_HASHED : PLACE_NONE, .hashed = decoded};
}

size_t tree_listed(const char *key, size_t len, size_t start, char name[NAME_LISTED_MAX + 1])
{
	return name_listed_part(key + start, len - start, key, len, name);
}

size_t tree_listed_dir(const struct tree *tree, const char *prefix, size_t len, size_t start,
		       char name[NAME_LISTED_MAX + 1])
{
	size_t hidden = tree->shown ? 0 : tree->sep_len;

	return name_listed_part(prefix + start, len - start - hidden, prefix, len, name);
}
