/* SPDX-License-Identifier: MIT */
/* Patterns of keys. tests/tools/test_keys.py compares them with the servers' own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <shard/shard.h>

#include "client/scan.h"
#include "pure/glob.h"

static void want(const char *pattern, const char *text, bool match)
{
	if (glob_match(pattern, strlen(pattern), text, strlen(text)) != match)
		fail_msg("'%s' and '%s'", pattern, text);
}

static void patterns_match_what_the_servers_match(void **state)
{
	want("", "", true);
	want("", "a", false);
	want("a", "", false);
	want("*", "", true);
	want("*", "anything", true);
	want("a*c", "abcbc", true);
	want("a*c", "abcb", false);
	want("*a*b*c*", "xxaxxbxxcxx", true);
	want("*a*b*c*", "xxaxxcxxbxx", false);
	want("?", "a", true);
	want("?", "", false);
	want("??", "a", false);
	want("[abc]", "b", true);
	want("[abc]", "d", false);
	want("[^abc]", "d", true);
	want("[^abc]", "a", false);
	want("[a-c]x", "bx", true);
	want("[c-a]x", "bx", true);
	want("[\\]]", "]", true);
	want("[a", "a", true);
	want("[]", "a", false);
	want("\\*", "*", true);
	want("\\*", "a", false);
	want("a\\", "a\\", true);
	want("*[0-9]", "key7", true);
	want("*[0-9]", "key", false);
}

static void bytes_are_bytes(void **state)
{
	assert_true(glob_match("a\0*", 3, "a\0b", 3));
	assert_false(glob_match("a\0c", 3, "a\0b", 3));
}

static void a_hard_pattern_is_quick(void **state)
{
	char pattern[200], text[10000];

	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 2);
	pattern[sizeof(pattern) - 1] = 'b';
	assert_false(glob_match(pattern, sizeof(pattern), text, sizeof(text)));
}

static void want_slot(const char *pattern, int slot)
{
	assert_int_equal(glob_slot(pattern, strlen(pattern)), slot);
}

static void the_start_of_a_pattern_may_tell_the_slot(void **state)
{
	want_slot("foo", 12182);
	want_slot("{foo}*", 12182);
	want_slot("x{foo}*", 12182);
	want_slot("{foo}", 12182);
	want_slot("foo*", -1);
	want_slot("*{foo}", -1);
	want_slot("{fo?}*", -1);
	want_slot("{}foo*", -1);
	want_slot("{foo*}", -1);
	want_slot("\\{foo}*", -1);
	want_slot("*", -1);
}

static void there_is_a_key_for_each_slot(void **state)
{
	char key[SLOT_PROBE_LEN];

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		slot_probe_key(slot, key);
		assert_int_equal(shard_slot(key, sizeof(key)), slot);
	}
}

static void a_place_is_a_slot_and_a_hash(void **state)
{
	/* Slot 12182 is 10111110010110; its bits reversed are 01101001111101. */
	assert_int_equal(shard_place("foo", 3) >> 48, 6781);
	assert_true(shard_place("foo", 3) < (uint64_t)1 << 62);
	assert_int_equal(shard_place("{t}11798249", 11), shard_place("{t}23597384", 11));
	assert_int_equal(shard_place("{t}11798249", 11) & 0xFFFFFFFFFFFF, 0x86f178571a36);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_match_what_the_servers_match),
		cmocka_unit_test(bytes_are_bytes),
		cmocka_unit_test(a_hard_pattern_is_quick),
		cmocka_unit_test(the_start_of_a_pattern_may_tell_the_slot),
		cmocka_unit_test(there_is_a_key_for_each_slot),
		cmocka_unit_test(a_place_is_a_slot_and_a_hash),
	};
	return cmocka_run_group_tests_name("glob", tests, NULL, NULL);
}
