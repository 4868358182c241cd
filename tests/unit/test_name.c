/* SPDX-License-Identifier: MIT */
/* The names of keys as files: the special cases, the bijection, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <shard/slot.h>

#include "../../fusefs/name.h"

static void assert_name(const char *key, size_t key_len, const char *expected)
{
	char name[NAME_LISTED_MAX + 1], back[NAME_LISTED_MAX + 1];

	assert_int_equal(name_length(key, key_len), strlen(expected));
	assert_int_equal(name_listed(key, key_len, name), strlen(expected));
	assert_string_equal(name, expected);
	struct name decoded = name_decode(name, strlen(name), back);
	assert_int_equal(decoded.kind, NAME_KEY);
	assert_int_equal(decoded.key_len, key_len);
	assert_memory_equal(back, key, key_len);
}

#define ASSERT_NAME(key, expected) assert_name(key, sizeof(key) - 1, expected)

static enum name_kind kind_of(const char *name)
{
	char key[5000];
	return name_decode(name, strlen(name), key).kind;
}

static void plain_keys_are_their_names(void **state)
{
	ASSERT_NAME("foo0", "foo0");
	ASSERT_NAME("user:1000", "user:1000");
	ASSERT_NAME("{tag}a b\nc\t\x01\xff", "{tag}a b\nc\t\x01\xff");
	ASSERT_NAME(".hidden", ".hidden");
	ASSERT_NAME("...", "...");
	ASSERT_NAME("~", "~");
}

static void special_keys_have_names(void **state)
{
	ASSERT_NAME("", "%");
	ASSERT_NAME(".", "%2E");
	ASSERT_NAME("..", "%2E%2E");
	ASSERT_NAME(".shardfs", "%2Eshardfs");
	ASSERT_NAME("%", "%25");
	ASSERT_NAME("%41", "%2541");
	ASSERT_NAME("/", "%2F");
	ASSERT_NAME("a/b", "a%2Fb");
	ASSERT_NAME("../etc", "..%2Fetc");
	ASSERT_NAME("\0", "%00");
	ASSERT_NAME("a\0b", "a%00b");
	ASSERT_NAME("%~0000-0000000000000000", "%25~0000-0000000000000000");
}

static void only_the_canonical_name_is_a_key(void **state)
{
	static const char *const bad[] = {"%41",  "a%41",      "%2Ehidden",  "%2E.",         ".%2E",
					  "a%2E", "%2E%2E%2E", ".shard%66s", "%2Eshardfs%2E"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(kind_of(bad[i]), NAME_BAD);
}

static void other_percent_names_are_reserved(void **state)
{
	static const char *const reserved[] = {".",
					       "..",
					       ".shardfs",
					       "%val",
					       "%log",
					       "a%",
					       "a%2",
					       "%2f",
					       "%2g",
					       "%%",
					       "%~",
					       "%~0000",
					       "%~4000-0000000000000000",
					       "%~0000-000000000000000",
					       "%~0000-000000000000000g",
					       "%~0000-00000000000000000",
					       "%~0000+0000000000000000",
					       ""};

	for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
		assert_int_equal(kind_of(reserved[i]), NAME_RESERVED);
}

static void long_names_are_listed_by_slot_and_hash(void **state)
{
	char key[400], name[NAME_LISTED_MAX + 1], back[NAME_LISTED_MAX + 1];

	memset(key, 'k', sizeof(key));
	assert_int_equal(name_listed(key, NAME_LISTED_MAX, name), NAME_LISTED_MAX);
	assert_int_equal(name[0], 'k');
	assert_int_equal(name_listed(key, NAME_LISTED_MAX + 1, name), 23);
	struct name hashed = name_decode(name, strlen(name), back);
	assert_int_equal(hashed.kind, NAME_HASHED);
	assert_int_equal(hashed.slot, shard_slot(key, NAME_LISTED_MAX + 1));
	assert_true(hashed.hash == name_hash(key, NAME_LISTED_MAX + 1));
	assert_true(name_matches(&hashed, key, NAME_LISTED_MAX + 1));
	assert_false(name_matches(&hashed, key, NAME_LISTED_MAX + 2));
	/* A short key has a name of its own, whatever its hash. */
	hashed.hash = name_hash(key, 10);
	hashed.slot = shard_slot(key, 10);
	assert_false(name_matches(&hashed, key, 10));
}

static void escapes_count_towards_the_length(void **state)
{
	char key[86], name[NAME_LISTED_MAX + 1];

	memset(key, '/', sizeof(key));
	assert_int_equal(name_listed(key, 85, name), 255);
	assert_int_equal(name_listed(key, 86, name), 23);
}

static void long_names_are_keys_too(void **state)
{
	char name[4096], key[4096];

	memset(name, 'n', sizeof(name));
	struct name decoded = name_decode(name, sizeof(name) - 1, key);
	assert_int_equal(decoded.kind, NAME_KEY);
	assert_int_equal(decoded.key_len, sizeof(name) - 1);
}

static void random_keys_come_back(void **state)
{
	/* Few different bytes, so that all that is special comes often. */
	static const char bytes[] = "%%%//..~025EFAabshrd-\0\0";
	char key[64], name[3 * sizeof(key)], back[sizeof(name)];

	srandom(1);
	for (int i = 0; i < 300000; i++) {
		size_t len = (size_t)random() % 12;
		for (size_t k = 0; k < len; k++)
			key[k] = i % 3 ? bytes[(size_t)random() % sizeof(bytes)] : (char)random();
		size_t name_len = name_length(key, len);
		name_encode(key, len, name);
		assert_null(memchr(name, '/', name_len));
		assert_null(memchr(name, '\0', name_len));
		struct name decoded = name_decode(name, name_len, back);
		assert_int_equal(decoded.kind, NAME_KEY);
		assert_int_equal(decoded.key_len, len);
		assert_memory_equal(back, key, len);
	}
}

static void decoding_in_place_works(void **state)
{
	char name[] = "a%2Fb%00%25";

	struct name decoded = name_decode(name, strlen(name), name);
	assert_int_equal(decoded.kind, NAME_KEY);
	assert_int_equal(decoded.key_len, 5);
	assert_memory_equal(name, "a/b\0%", 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_keys_are_their_names),
		cmocka_unit_test(special_keys_have_names),
		cmocka_unit_test(only_the_canonical_name_is_a_key),
		cmocka_unit_test(other_percent_names_are_reserved),
		cmocka_unit_test(long_names_are_listed_by_slot_and_hash),
		cmocka_unit_test(escapes_count_towards_the_length),
		cmocka_unit_test(long_names_are_keys_too),
		cmocka_unit_test(random_keys_come_back),
		cmocka_unit_test(decoding_in_place_works),
	};
	return cmocka_run_group_tests_name("name", tests, NULL, NULL);
}
