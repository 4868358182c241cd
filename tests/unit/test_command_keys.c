/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "command_line.h"

/* The places of the keys, as text: ranges between "; ". NULL: malformed. */
static const struct {
	const char *line, *keys;
} key_cases[] = {
	/* an index */
	{"GET k", "1"},
	{"GET", NULL},
	{"SET k v NX GET", "1"},
	{"SET k", NULL},
	{"MEMORY USAGE k", "2"},
	{"MEMORY USAGE", NULL},
	{"XGROUP CREATE k g $", "2"},
	{"OBJECT ENCODING k", "2"},
	{"OBJECT HELP", ""},
	{"OBJECT nonesuch k", ""},
	{"BITFIELD k GET u8 0", "1"},
	{"SORT_RO k BY x", "1"},
	{"GEORADIUS_RO k 0 0 1 km STORE d", "1"},
	{"VADD k VALUES 1 1 e", "1"},
	{"VADD", NULL},
	{"PFDEBUG ENCODING k", "2"},
	/* one too many is the server's business */
	{"GET k x", "1"},
	{"ZRANK k m WITHSCORE", "1"},
	/* ranges to the end, to before the end, with steps */
	{"DEL a", "1"},
	{"DEL a b c", "1 2 3"},
	{"MSET a 1 b 2", "1 3"},
	{"MSET a 1 b", "1 3"},
	{"MSETNX a 1", "1"},
	{"BLPOP a b 0", "1 2"},
	{"BLPOP a", NULL},
	{"BZPOPMIN a 0", "1"},
	{"LCS a b LEN", "1 2"},
	{"RENAME a b", "1; 2"},
	{"COPY a b REPLACE", "1; 2"},
	{"SMOVE a b m", "1; 2"},
	{"GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 km", "1; 2"},
	{"SDIFFSTORE d a b", "1; 2 3"},
	{"BITOP AND d a b", "2; 3 4"},
	{"BITOP NOT d", NULL},
	{"PFMERGE d a b", "1; 2 3"},
	{"PFMERGE d", "1"},
	{"PFMERGE", NULL},
	{"WATCH a b", "1 2"},
	{"PFCOUNT a b", "1 2"},
	/* a number of keys */
	{"EVAL x 2 a b c", "3 4"},
	{"EVAL x 0", ""},
	{"EVAL x 0 a", ""},
	{"EVAL x 3 a", ""},
	{"EVAL x -1 a", ""},
	{"EVAL x abc a", ""},
	{"EVAL x", NULL},
	{"EVALSHA_RO x 1 a", "3"},
	{"FCALL f 1 k arg", "3"},
	{"ZUNION 2 a b WITHSCORES", "2 3"},
	{"ZUNION 3 a b", NULL},
	{"ZUNION 0 a b", NULL},
	{"ZUNION -1 a b", NULL},
	{"ZUNION abc a b", NULL},
	{"ZUNION \"\" a b", NULL},
	{"ZUNION 2x a b", "2 3"},
	{"ZUNION +2 a b", "2 3"},
	{"ZUNION 2147483647 a b", NULL},
	{"ZUNION 2147483648 a b", NULL},
	{"ZUNION 4294967298 a b", NULL},
	{"ZUNION 99999999999999999999999 a b", NULL},
	{"ZUNION 2", NULL},
	{"ZUNIONSTORE d 2 a b WEIGHTS 1 2", "1; 3 4"},
	{"ZUNIONSTORE d 3 a b", NULL},
	{"ZDIFFSTORE d 1 a", "1; 3"},
	{"SINTERCARD 1 a LIMIT 2", "2"},
	{"LMPOP 2 a b LEFT", "2 3"},
	{"BLMPOP 0.5 2 a b LEFT", "3 4"},
	{"BZMPOP 0 1 a MIN", "3"},
	{"MSETEX 2 a 1 b 2 EX 1", "2 4"},
	{"MSETEX 2 a 1 b", NULL},
	/* words that say it */
	{"XREAD STREAMS a 0", "2"},
	{"XREAD COUNT 1 BLOCK 0 streams a b 0 0", "6 7"},
	{"XREAD STREAMS a b 0", "2"},
	{"XREAD STREAMS a", NULL},
	{"XREAD COUNT 1 a 0", NULL},
	{"XREAD COUNT 1 STREAMS", NULL},
	{"XREADGROUP GROUP g c STREAMS a >", "5"},
	{"XREADGROUP GROUP streams c NOACK STREAMS a >", "6"},
	{"XREADGROUP COUNT 1 GROUP streams streams STREAMS a >", "7"},
	{"XREADGROUP GROUP g c CLAIM 1 STREAMS streams >", "7"},
	{"SORT k", "1"},
	{"SORT k STORE d", "1; 3"},
	{"SORT k BY STORE STORE d", "1; 5"},
	{"SORT k LIMIT 0 STORE GET STORE", "1"},
	{"SORT k STORE a STORE b", "1; 5"},
	{"SORT k STORE", "1"},
	{"GEORADIUS k 0 0 1 km", "1"},
	{"GEORADIUS k 0 0 1 km STORE d", "1; 7"},
	{"GEORADIUS k 0 0 1 km STORE a storedist b", "1; 9"},
	{"GEORADIUSBYMEMBER k m 1 km STOREDIST d", "1; 6"},
	{"GEORADIUS k 0 0 1 km STORE", "1"},
	{"MIGRATE h 1 k 0 5", "3"},
	{"MIGRATE h 1 \"\" 0 5 KEYS a b", "7 8"},
	{"MIGRATE h 1 \"\" 0 5 COPY AUTH KEYS keys a", "10"},
	{"MIGRATE h 1 \"\" 0 5 AUTH2 KEYS KEYS KEYS a", "10"},
	{"MIGRATE h 1 k 0 5 KEYS a", NULL},
	/* channels that live in slots */
	{"SPUBLISH ch m", "1"},
	{"SSUBSCRIBE a b", "1 2"},
	{"SUNSUBSCRIBE", ""},
	/* none */
	{"PING", ""},
	{"PUBLISH ch m", ""},
	{"SCAN 0", ""},
	{"CONFIG", ""},
};

static void format_ranges(const shard_key_range *ranges, int count, char *text, size_t size)
{
	size_t used = 0;
	*text = '\0';
	for (int n = 0; n < count; n++)
		for (int i = ranges[n].first; i <= ranges[n].last; i += ranges[n].step)
			used += (size_t)snprintf(text + used, size - used, "%s%d",
						 i > ranges[n].first ? " "
						 : n                 ? "; "
								     : "",
						 i);
}

static void keys_are_where_they_are(void **state)
{
	for (size_t i = 0; i < COUNT(key_cases); i++) {
		struct line line = line_split(key_cases[i].line);
		const shard_command *command = shard_command_find(ARGS(&line));
		assert_non_null(command);
		shard_key_range ranges[SHARD_KEY_RANGES_MAX];
		int count = shard_command_keys(command, ARGS(&line), ranges);
		char text[256];
		format_ranges(ranges, count, text, sizeof(text));
		if (count < 0 ? key_cases[i].keys != NULL
			      : key_cases[i].keys == NULL || strcmp(text, key_cases[i].keys) != 0)
			fail_msg("%s: %s, not %s", key_cases[i].line, count < 0 ? "malformed" : text,
				 key_cases[i].keys ? key_cases[i].keys : "malformed");
		line_drop(&line);
	}
}

static void the_last_key_is_one(void **state)
{
	static const char *const mset[] = {"mset", "a", "1", "b", "2"};
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	assert_int_equal(shard_command_keys(find("mset"), 5, mset, NULL, ranges), 1);
	assert_int_equal(ranges[0].first, 1);
	assert_int_equal(ranges[0].last, 3);
	assert_int_equal(ranges[0].step, 2);
}

/* Servers compare options up to a NUL. */
static void an_option_ends_at_a_nul(void **state)
{
	static const char *const sort[] = {"SORT", "k", "store\0x", "d"};
	const size_t lens[] = {4, 1, 7, 1}, short_lens[] = {4, 1, 4, 1};
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	assert_int_equal(shard_command_keys(find("sort"), 4, sort, lens, ranges), 2);
	assert_int_equal(shard_command_keys(find("sort"), 4, sort, short_lens, ranges), 1);
}

static void a_million_keys_are_one_range(void **state)
{
	const int argc = 1000001;
	const char **argv = malloc((size_t)argc * sizeof(*argv));
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	assert_non_null(argv);
	argv[0] = "MGET";
	for (int i = 1; i < argc; i++)
		argv[i] = "k";
	assert_int_equal(shard_command_keys(find("mget"), argc, argv, NULL, ranges), 1);
	assert_int_equal(ranges[0].last, argc - 1);
	argv[1] = "999999";
	assert_int_equal(shard_command_keys(find("zunion"), argc, argv, NULL, ranges), 1);
	assert_int_equal(ranges[0].last, argc - 1);
	argv[1] = "1000000";
	assert_int_equal(shard_command_keys(find("zunion"), argc, argv, NULL, ranges), -1);
	free(argv);
}

/* Whatever the words are, keys are among them. */
static void keys_stay_within_the_line(void **state)
{
	static const char *const words[] = {"1", "2",       "-1",    "STORE", "KEYS",
					    "",  "STREAMS", "GROUP", "AUTH2", "9999999999"};
	const char *argv[WORDS_MAX];
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	unsigned seed = 1;
	for (size_t n = 0; n < shard_command_count() * 200; n++) {
		const shard_command *command = shard_command_at(n / 200);
		int argc = (int)(n % 13);
		for (int i = 0; i < argc; i++)
			argv[i] = words[(seed = seed * 1103515245 + 12345) / 65536 % COUNT(words)];
		int count = shard_command_keys(command, argc, argv, NULL, ranges);
		assert_in_range(count + 1, 0, SHARD_KEY_RANGES_MAX + 1);
		for (int i = 0; i < count; i++) {
			assert_in_range(ranges[i].first, 1, argc - 1);
			assert_in_range(ranges[i].last, ranges[i].first, argc - 1);
			assert_true(ranges[i].step > 0);
			assert_int_equal((ranges[i].last - ranges[i].first) % ranges[i].step, 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_where_they_are),   cmocka_unit_test(the_last_key_is_one),
		cmocka_unit_test(an_option_ends_at_a_nul),   cmocka_unit_test(a_million_keys_are_one_range),
		cmocka_unit_test(keys_stay_within_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
