/* SPDX-License-Identifier: MIT */
/* The index of keys by directories: what it counts, what it lists, and that nothing stays of what has left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fusefs/index.h"

static const struct tree slash = {"/", 1, false};

static void set(struct index *index, const char *key, enum index_state state)
{
	assert_int_equal(index_set(index, key, strlen(key), state, NULL), 0);
	assert_int_equal(index_get(index, key, strlen(key)), state);
}

static void assert_counts(const struct index *index, const char *prefix, size_t sure, size_t unsure)
{
	const struct index_dir *dir = index_dir(index, prefix, strlen(prefix));

	assert_int_equal(dir ? index_sure(dir) : 0, sure);
	assert_int_equal(dir ? index_unsure(dir) : 0, unsure);
}

static void directories_count_what_is_below(void **state)
{
	struct index *index = index_create(&slash);

	set(index, "a/b/c", INDEX_SURE);
	set(index, "a/b/d", INDEX_UNSURE);
	set(index, "a/", INDEX_SURE);
	set(index, "x", INDEX_SURE);
	assert_counts(index, "", 3, 1);
	assert_counts(index, "a/", 2, 1);
	assert_counts(index, "a/b/", 1, 1);
	set(index, "a/b/d", INDEX_SURE);
	set(index, "a/b/c", INDEX_NONE);
	assert_counts(index, "a/b/", 1, 0);
	set(index, "a/b/d", INDEX_NONE);
	assert_null(index_dir(index, "a/b/", 4));
	assert_counts(index, "a/", 1, 0);
	set(index, "a/", INDEX_NONE);
	assert_null(index_dir(index, "a/", 2));
	assert_null(index_dir(index, "x/", 2));
	index_destroy(index);
}

static void a_key_may_be_a_directory_too(void **state)
{
	struct index *index = index_create(&slash);
	bool new;

	set(index, "a", INDEX_SURE);
	assert_int_equal(index_set(index, "a/b", 3, INDEX_SURE, &new), 0);
	assert_true(new);
	assert_int_equal(index_set(index, "a/c", 3, INDEX_SURE, &new), 0);
	assert_false(new);
	set(index, "a", INDEX_NONE);
	assert_counts(index, "a/", 2, 0);
	set(index, "a", INDEX_SURE);
	set(index, "a/b", INDEX_NONE);
	set(index, "a/c", INDEX_NONE);
	assert_null(index_dir(index, "a/", 2));
	assert_int_equal(index_get(index, "a", 1), INDEX_SURE);
	index_destroy(index);
}

static void nothing_stays(void **state)
{
	struct index *index = index_create(&slash);
	size_t empty = index_bytes(index);
	char key[64];

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 1000; i++) {
			snprintf(key, sizeof(key), "%d/%d/%d", i % 7, i % 31, i);
			set(index, key, INDEX_SURE);
		}
		size_t full = index_bytes(index);
		for (int i = 0; i < 1000; i++) {
			snprintf(key, sizeof(key), "%d/%d/%d", i % 7, i % 31, i);
			set(index, key, INDEX_NONE);
		}
		assert_counts(index, "", 0, 0);
		assert_true(full > 1000 * 40);
		assert_true(index_bytes(index) < empty + 1000); /* the root keeps its room */
	}
	index_destroy(index);
}

static bool note_key(void *ctx, const char *key, size_t len)
{
	char *text = ctx;

	snprintf(text + strlen(text), 200 - strlen(text), "%.*s ", (int)len, key);
	return true;
}

static bool count_key(void *ctx, const char *key, size_t len)
{
	return ++*(size_t *)ctx < 3;
}

static void note_entry(void *ctx, const struct index_entry *entry)
{
	snprintf((char *)ctx + strlen(ctx), 200 - strlen(ctx), "%.*s%s%s ", (int)entry->len, entry->piece,
		 entry->state ? "" : "-", entry->dir ? "/" : "");
}

static void keys_are_walked_through(void **state)
{
	struct index *index = index_create(&slash);
	char text[200] = "";
	size_t count = 0;

	set(index, "a", INDEX_SURE);
	set(index, "a/b/c", INDEX_SURE);
	set(index, "a/b/d", INDEX_UNSURE);
	set(index, "z/1", INDEX_UNSURE);
	index_each_key(index, index_dir(index, "a/", 2), "a/", 2, INDEX_UNSURE, note_key, text);
	assert_string_equal(text, "a/b/d ");
	text[0] = '\0';
	index_each(index_dir(index, "a/", 2), note_entry, text);
	assert_string_equal(text, "b-/ ");
	index_each_key(index, index_dir(index, "", 0), "", 0, INDEX_NONE, count_key, &count);
	assert_int_equal(count, 3);
	index_destroy(index);
}

static void a_key_may_be_all_separators(void **state)
{
	struct index *index = index_create(&slash);
	size_t len = 100000, count = 0;
	char *key = malloc(len);

	memset(key, '/', len);
	assert_int_equal(index_set(index, key, len, INDEX_SURE, NULL), 0);
	assert_int_equal(index_each_key(index, index_dir(index, "", 0), "", 0, INDEX_SURE, count_key, &count), 0);
	assert_int_equal(count, 1);
	index_destroy(index);
	free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(directories_count_what_is_below),
		cmocka_unit_test(a_key_may_be_a_directory_too),
		cmocka_unit_test(nothing_stays),
		cmocka_unit_test(keys_are_walked_through),
		cmocka_unit_test(a_key_may_be_all_separators),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
