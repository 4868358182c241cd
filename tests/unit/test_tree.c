/* SPDX-License-Identifier: MIT */
/* Keys as paths: where they are cut, what the pieces are called, and which names are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fusefs/tree.h"

static const struct tree slash = {"/", 1, false};
static const struct tree colon = {":", 1, true};
static const struct tree twice = {"::", 2, true};
static const struct tree flat = {NULL, 0, false};

/* The path of a key: its directories' names and its own, with / between them. */
static char *path_of(const struct tree *tree, const char *key, size_t len)
{
	char *path = calloc(1, 300 * (len + 2)), *to = path;
	size_t start = 0, next;

	while ((next = tree_next(tree, key, len, start))) {
		to += tree_listed_dir(tree, key, next, start, to);
		*to++ = '/';
		start = next;
	}
	assert_int_equal(start, tree_parent(tree, key, len));
	tree_listed(key, len, start, to);
	return path;
}

static void assert_path(const struct tree *tree, const char *key, const char *expected)
{
	char *path = path_of(tree, key, strlen(key));

	assert_string_equal(path, expected);
	free(path);
}

static struct tree_place decode(const struct tree *tree, const char *prefix, const char *name, char path[64])
{
	return tree_decode(tree, prefix, strlen(prefix), name, strlen(name), path);
}

static void assert_place(const struct tree *tree, const char *prefix, const char *name, enum place_kind kind,
			 const char *key, const char *dir)
{
	char path[64];
	struct tree_place place = decode(tree, prefix, name, path);

	assert_int_equal(place.kind, kind);
	if (kind == PLACE_KEY || kind == PLACE_EITHER) {
		assert_int_equal(place.key_len, strlen(key));
		assert_memory_equal(path, key, place.key_len);
	}
	if (kind == PLACE_DIR || kind == PLACE_EITHER) {
		assert_int_equal(place.dir_len, strlen(dir));
		assert_memory_equal(path, dir, place.dir_len);
	}
}

static void keys_have_paths(void **state)
{
	assert_path(&slash, "a/b/c", "a/b/c");
	assert_path(&slash, "a//b", "a/%/b");
	assert_path(&slash, "/a", "%/a");
	assert_path(&slash, "a/", "a/%");
	assert_path(&slash, "../.", "%2E%2E/%2E");
	assert_path(&slash, "a:b", "a:b");
	assert_path(&colon, "user:1000", "user:/1000");
	assert_path(&colon, "a::b", "a:/:/b");
	assert_path(&colon, ":x", ":/x");
	assert_path(&colon, "x:", "x:/%");
	assert_path(&colon, "a/b:c", "a%2Fb:/c");
	assert_path(&twice, "a:::b", "a::/:b");
	assert_path(&twice, "a::::", "a::/::/%");
	assert_path(&flat, "a/b:c", "a%2Fb:c");
}

static void names_are_places(void **state)
{
	assert_place(&slash, "", "a", PLACE_EITHER, "a", "a/");
	assert_place(&slash, "a/", "b", PLACE_EITHER, "a/b", "a/b/");
	assert_place(&slash, "a/", "%", PLACE_EITHER, "a/", "a//");
	assert_place(&slash, "a/", "%val", PLACE_KEY, "a", NULL);
	assert_place(&slash, "", "%2E%2E", PLACE_EITHER, "..", "../");
	assert_place(&colon, "", "a:", PLACE_DIR, NULL, "a:");
	assert_place(&colon, "a:", "b", PLACE_KEY, "a:b", NULL);
	assert_place(&colon, "a:", ":", PLACE_DIR, NULL, "a::");
	assert_place(&colon, "a:", "%", PLACE_KEY, "a:", NULL);
	assert_place(&twice, "a::", ":b", PLACE_KEY, "a:::b", NULL);
	assert_place(&twice, "", "a:", PLACE_KEY, "a:", NULL);
	assert_place(&flat, "", "a%2Fb", PLACE_KEY, "a/b", NULL);
	assert_place(&slash, "", "%~0001-0123456789ABCDEF", PLACE_HASHED, NULL, NULL);
}

static void other_names_are_none(void **state)
{
	static const char *const of_slash[] = {"a%2Fb", "%2F", "%41", "a%", ".", "..", ".shardfs", "%2f", "%VAL", ""};
	static const char *const of_colon[] = {"a:b", ":a", "a::", "::", "%3A", "a%3A", "%val", "a/b"};

	for (size_t i = 0; i < sizeof(of_slash) / sizeof(*of_slash); i++)
		assert_place(&slash, "p/", of_slash[i], PLACE_NONE, NULL, NULL);
	for (size_t i = 0; i < sizeof(of_colon) / sizeof(*of_colon); i++)
		assert_place(&colon, "p:", of_colon[i], PLACE_NONE, NULL, NULL);
	assert_place(&slash, "", "%val", PLACE_NONE, NULL, NULL);
	assert_place(&twice, "", "a:::", PLACE_NONE, NULL, NULL);
}

static void prefixes_have_parents(void **state)
{
	assert_int_equal(tree_parent(&slash, "a/b/c", 5), 4);
	assert_int_equal(tree_parent(&slash, "a/b/", 4), 4);
	assert_int_equal(tree_parent(&slash, "abc", 3), 0);
	assert_int_equal(tree_parent_of_dir(&slash, "a/b/", 4), 2);
	assert_int_equal(tree_parent_of_dir(&slash, "a/", 2), 0);
	assert_int_equal(tree_parent_of_dir(&slash, "a//", 3), 2);
	assert_int_equal(tree_parent_of_dir(&twice, "a::::", 5), 3);
	assert_int_equal(tree_parent(&flat, "a/b", 3), 0);
}

static void long_pieces_are_told_by_the_whole(void **state)
{
	char key[600], name[NAME_LISTED_MAX + 1], other[NAME_LISTED_MAX + 1];

	memset(key, 'x', sizeof(key));
	key[100] = '/';
	assert_int_equal(tree_listed(key, 300, 101, name), 199);
	assert_int_equal(tree_listed(key, sizeof(key), 101, name), 23);
	assert_memory_equal(name, "%~", 2);
	key[0] = 'y';
	tree_listed(key, sizeof(key), 101, other);
	assert_string_not_equal(name, other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_paths),
		cmocka_unit_test(names_are_places),
		cmocka_unit_test(other_names_are_none),
		cmocka_unit_test(prefixes_have_parents),
		cmocka_unit_test(long_pieces_are_told_by_the_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
