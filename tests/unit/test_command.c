/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <shard/command.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 64

/* A command line, each word in memory of just its size: what reads beyond it is seen by sanitizers. */
struct line {
	int argc;
	char *argv[WORDS_MAX];
	size_t argvlen[WORDS_MAX];
};

static void add_word(struct line *line, const char *text, size_t len)
{
	char *word = malloc(len ? len : 1);
	assert_non_null(word);
	assert_true(line->argc < WORDS_MAX);
	memcpy(word, text, len);
	line->argv[line->argc] = word;
	line->argvlen[line->argc++] = len;
}

/* Words between spaces; "" is the empty word. */
static struct line split(const char *text)
{
	struct line line = {0};
	while (*text) {
		size_t len = strcspn(text, " ");
		add_word(&line, text, strncmp(text, "\"\"", 2) == 0 ? 0 : len);
		text += len + strspn(text + len, " ");
	}
	return line;
}

static void drop(struct line *line)
{
	while (line->argc > 0)
		free(line->argv[--line->argc]);
}

#define ARGS(line) (line)->argc, (const char *const *)(line)->argv, (line)->argvlen

static const shard_command *find(const char *text)
{
	struct line line = split(text);
	const shard_command *command = shard_command_find(ARGS(&line));
	drop(&line);
	return command;
}

static const char *name_of(const char *text)
{
	const shard_command *command = find(text);
	return command ? command->name : "";
}

static const shard_command *find_word(const char *word, size_t len)
{
	struct line line = {0};
	add_word(&line, word, len);
	const shard_command *command = shard_command_find(ARGS(&line));
	drop(&line);
	return command;
}

/* ---- names ---- */

static void names_are_found_in_any_case(void **state)
{
	assert_string_equal(name_of("get"), "get");
	assert_string_equal(name_of("GET k"), "get");
	assert_string_equal(name_of("gEt k"), "get");
	assert_string_equal(name_of("GeoRadiusByMember_RO k m 1 km"), "georadiusbymember_ro");
	assert_string_equal(name_of("restore-ASKING k 0 v"), "restore-asking");
	assert_string_equal(name_of("Config SET maxmemory 1"), "config|set");
	assert_string_equal(name_of("CLUSTER count-Failure-Reports x"), "cluster|count-failure-reports");
}

static const shard_command *find_named(const char *name, int (*change)(int))
{
	char text[64];
	size_t len = strlen(name);
	assert_true(len < sizeof(text));
	for (size_t i = 0; i <= len; i++)
		text[i] = name[i] == '|' ? ' ' : (char)change((unsigned char)name[i]);
	return find(text);
}

static void every_entry_is_found_by_its_name(void **state)
{
	assert_true(shard_command_count() > 390);
	for (size_t i = 0; i < shard_command_count(); i++) {
		const shard_command *command = shard_command_at(i);
		assert_ptr_equal(find_named(command->name, tolower), command);
		assert_ptr_equal(find_named(command->name, toupper), command);
	}
	assert_null(shard_command_at(shard_command_count()));
}

static void a_name_with_a_byte_changed_is_another(void **state)
{
	for (size_t i = 0; i < shard_command_count(); i++) {
		const char *name = shard_command_at(i)->name;
		size_t len = strlen(name);
		if (strchr(name, '|'))
			continue;
		for (size_t at = 0; at < len; at++) {
			for (unsigned byte = 0; byte < 256; byte++) {
				char changed[64];
				memcpy(changed, name, len);
				changed[at] = (char)byte;
				const shard_command *command = find_word(changed, len);
				if (tolower((int)byte) == name[at])
					assert_string_equal(command->name, name);
				else
					assert_true(!command || strcmp(command->name, name) != 0);
			}
		}
	}
}

static void a_name_is_as_long_as_it_is(void **state)
{
	assert_string_equal(find_word("GETX", 3)->name, "get");
	assert_null(find_word("get\0", 4));
	assert_null(find_word("", 0));
	assert_null(find_word("g", 1));
	assert_null(find_word("georadiusbymember_ro_and_more", 29));
	assert_null(find_word("abcdefghijklmnopqrstuvwx", 24));
	assert_null(find_word("config|set", 10));
	for (size_t i = 0; i < shard_command_count(); i++) {
		char name[64];
		size_t len = strlen(shard_command_at(i)->name);
		memcpy(name, shard_command_at(i)->name, len);
		name[len] = '\0';
		const shard_command *longer = find_word(name, len + 1), *shorter = find_word(name, len - 1);
		assert_true(!longer || strlen(longer->name) == len + 1);
		assert_true(!shorter || strlen(shorter->name) == len - 1);
	}
}

static void a_subcommand_has_an_entry_of_its_own(void **state)
{
	const shard_command *container = find("CONFIG");
	assert_string_equal(container->name, "config");
	assert_true(container->flags & SHARD_CMD_CONTAINER);
	assert_ptr_equal(find("CONFIG nonesuch"), container);
	assert_ptr_equal(find("config \"\""), container);
	assert_ptr_equal(find("CONFIG usage"), container);
	assert_string_equal(name_of("memory usage k"), "memory|usage");
	assert_string_equal(name_of("set help"), "set");
	assert_string_equal(name_of("object help"), "object|help");
	assert_string_equal(name_of("xinfo help"), "xinfo|help");
	assert_string_equal(name_of("command"), "command");
}

static void what_is_not_in_the_table_is_null(void **state)
{
	assert_null(find("nonesuch a b"));
	assert_null(find("FT.SEARCH i q"));
	assert_null(shard_command_find(0, NULL, NULL));
}

static void words_may_be_strings(void **state)
{
	static const char *const get[] = {"GET", "k"}, *const usage[] = {"memory", "USAGE", "k"};
	static const char *const eval[] = {"eval", "x", "2", "a", "b"}, *const blpop[] = {"blpop", "k", "1.5"};
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	long long timeout;
	assert_string_equal(shard_command_find(2, get, NULL)->name, "get");
	assert_string_equal(shard_command_find(3, usage, NULL)->name, "memory|usage");
	assert_string_equal(shard_command_find(1, usage, NULL)->name, "memory");
	assert_int_equal(shard_command_keys(shard_command_find(5, eval, NULL), 5, eval, NULL, ranges), 1);
	assert_int_equal(ranges[0].last, 4);
	assert_true(shard_command_idempotent(shard_command_find(2, get, NULL), 2, get, NULL));
	assert_true(shard_command_blocks(shard_command_find(3, blpop, NULL), 3, blpop, NULL, &timeout));
	assert_int_equal(timeout, 1500);
}

/* ---- keys ---- */

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
		struct line line = split(key_cases[i].line);
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
		drop(&line);
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

/* ---- flags and policies ---- */

static void flags_say_what_a_command_does(void **state)
{
	static const struct {
		const char *line;
		unsigned flags;
	} cases[] = {
		{"GET", SHARD_CMD_READONLY},
		{"SET", SHARD_CMD_WRITE},
		{"SETEX", SHARD_CMD_WRITE | SHARD_CMD_IDEMPOTENT},
		{"INCR", SHARD_CMD_WRITE},
		{"PING", SHARD_CMD_IDEMPOTENT},
		{"MGET", SHARD_CMD_READONLY | SHARD_CMD_SPLIT},
		{"EXISTS", SHARD_CMD_READONLY | SHARD_CMD_SPLIT},
		{"TOUCH", SHARD_CMD_READONLY | SHARD_CMD_SPLIT},
		{"DEL", SHARD_CMD_WRITE | SHARD_CMD_SPLIT},
		{"UNLINK", SHARD_CMD_WRITE | SHARD_CMD_SPLIT},
		{"MSET", SHARD_CMD_WRITE | SHARD_CMD_SPLIT | SHARD_CMD_IDEMPOTENT},
		{"MSETNX", SHARD_CMD_WRITE},
		{"BLPOP", SHARD_CMD_WRITE | SHARD_CMD_BLOCKING},
		{"XREAD", SHARD_CMD_READONLY | SHARD_CMD_BLOCKING | SHARD_CMD_MOVABLE},
		{"WAIT", SHARD_CMD_BLOCKING},
		{"WAITAOF", SHARD_CMD_BLOCKING},
		{"EVAL", SHARD_CMD_MOVABLE},
		{"EVAL_RO", SHARD_CMD_MOVABLE | SHARD_CMD_READONLY},
		{"SELECT", SHARD_CMD_STATE},
		{"AUTH", SHARD_CMD_STATE},
		{"HELLO", SHARD_CMD_STATE},
		{"SUBSCRIBE", SHARD_CMD_STATE},
		{"SSUBSCRIBE", SHARD_CMD_STATE},
		{"MONITOR", SHARD_CMD_STATE},
		{"MULTI", SHARD_CMD_STATE},
		{"EXEC", SHARD_CMD_STATE},
		{"WATCH", SHARD_CMD_STATE},
		{"READONLY", SHARD_CMD_STATE},
		{"CLIENT REPLY OFF", SHARD_CMD_STATE},
		{"CLIENT TRACKING ON", SHARD_CMD_STATE},
		{"CLIENT SETINFO LIB-NAME x", SHARD_CMD_STATE},
		{"CLIENT LIST", SHARD_CMD_IDEMPOTENT},
		{"CLIENT", SHARD_CMD_CONTAINER},
	};
	for (size_t i = 0; i < COUNT(cases); i++)
		if (find(cases[i].line)->flags != cases[i].flags)
			fail_msg("%s: %x, not %x", cases[i].line, find(cases[i].line)->flags, cases[i].flags);
}

static void policies_are_those_of_redis(void **state)
{
	static const struct {
		const char *line;
		enum shard_request_policy request;
		enum shard_response_policy response;
	} cases[] = {
		{"GET", SHARD_TO_DEFAULT, SHARD_AGG_DEFAULT},
		{"PING", SHARD_TO_ALL_SHARDS, SHARD_AGG_ALL_SUCCEEDED},
		{"DBSIZE", SHARD_TO_ALL_SHARDS, SHARD_AGG_SUM},
		{"KEYS *", SHARD_TO_ALL_SHARDS, SHARD_AGG_DEFAULT},
		{"RANDOMKEY", SHARD_TO_ALL_SHARDS, SHARD_AGG_SPECIAL},
		{"FLUSHALL", SHARD_TO_ALL_SHARDS, SHARD_AGG_ALL_SUCCEEDED},
		{"CONFIG SET a b", SHARD_TO_ALL_NODES, SHARD_AGG_ALL_SUCCEEDED},
		{"SCRIPT EXISTS x", SHARD_TO_ALL_SHARDS, SHARD_AGG_LOGICAL_AND},
		{"SCRIPT KILL", SHARD_TO_ALL_SHARDS, SHARD_AGG_ONE_SUCCEEDED},
		{"WAIT 1 1", SHARD_TO_ALL_SHARDS, SHARD_AGG_MIN},
		{"SCAN 0", SHARD_TO_SPECIAL, SHARD_AGG_SPECIAL},
		{"INFO", SHARD_TO_ALL_SHARDS, SHARD_AGG_SPECIAL},
		{"MGET a", SHARD_TO_MULTI_SHARD, SHARD_AGG_DEFAULT},
		{"DEL a", SHARD_TO_MULTI_SHARD, SHARD_AGG_SUM},
		{"MSETNX a 1", SHARD_TO_DEFAULT, SHARD_AGG_DEFAULT},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(find(cases[i].line)->request_policy, cases[i].request);
		assert_int_equal(find(cases[i].line)->response_policy, cases[i].response);
	}
}

/* ---- twice ---- */

static bool is_idempotent(const char *text)
{
	struct line line = split(text);
	const shard_command *command = shard_command_find(ARGS(&line));
	assert_non_null(command);
	bool result = shard_command_idempotent(command, ARGS(&line));
	drop(&line);
	return result;
}

static void these_may_be_sent_twice(void **state)
{
	static const char *const lines[] = {
		"GET k",
		"XREAD BLOCK 0 STREAMS k 0",
		"EVAL_RO x 0",
		"PING",
		"INFO",
		"CONFIG GET *",
		"CONFIG SET a b",
		"SET k v",
		"SET k v EX 10",
		"set k v px 10 keepttl",
		"SET k v EXAT 1",
		"SET k nx",
		"SETEX k 1 v",
		"PSETEX k 1 v",
		"MSET a 1",
		"HMSET h f v",
		"LSET l 0 v",
		"SETRANGE k 1 v",
		"EXPIRE k 10",
		"PEXPIREAT k 9999999999999",
		"GETEX k",
		"GETEX k PERSIST",
		"GETEX k EX 10",
		"RESTORE k 0 x REPLACE",
		"RESTORE k 0 x ABSTTL replace",
		"COPY a b REPLACE",
		"FUNCTION LOAD REPLACE x",
		"FLUSHALL",
		"SCRIPT LOAD x",
		"SORT k",
		"GEORADIUS k 0 0 1 km",
		"BITFIELD k GET u8 0",
		"SUNIONSTORE d a b",
		"ZINTERSTORE d 2 a b",
		"BITOP OR d a",
		"ZRANGESTORE d s 0 1",
		"PFMERGE d a",
		"CLUSTER SETSLOT 1 STABLE",
		"COMMAND",
	};
	for (size_t i = 0; i < COUNT(lines); i++)
		if (!is_idempotent(lines[i]))
			fail_msg("%s: not idempotent", lines[i]);
}

static void these_may_not(void **state)
{
	static const char *const lines[] = {
		"INCR k",
		"INCRBY k 1",
		"DECR k",
		"INCRBYFLOAT k 1",
		"HINCRBY h f 1",
		"ZINCRBY z 1 m",
		"APPEND k v",
		"LPUSH l v",
		"RPUSH l v",
		"LPOP l",
		"RPOP l",
		"SPOP s",
		"BLPOP l 0",
		"LMOVE a b LEFT LEFT",
		"DEL k",
		"UNLINK k",
		"RENAME a b",
		"GETSET k v",
		"GETDEL k",
		"SADD s m",
		"SREM s m",
		"HSET h f v",
		"HDEL h f",
		"ZADD z 1 m",
		"XADD x * f v",
		"SETNX k v",
		"MSETNX k v",
		"SET k v NX",
		"SET k v xx",
		"SET k v GET",
		"SET k v EX 10 NX",
		"SET k v IFEQ w",
		"SET k v nonesuch",
		"EXPIRE k -1",
		"EXPIRE k 0",
		"EXPIRE k 10 NX",
		"EXPIRE k \"\"",
		"GETEX k EXAT 1",
		"GETEX k PXAT 1",
		"PERSIST k",
		"RESTORE k 0 replace",
		"COPY replace b",
		"COPY a replace",
		"FUNCTION LOAD replace",
		"SORT k STORE d",
		"GEORADIUS k 0 0 1 km STORE d",
		"BITFIELD k INCRBY u8 0 1",
		"BITFIELD k get u8 0 set u8 0 1",
		"SETBIT k 0 1",
		"SUNIONSTORE d a d",
		"ZUNIONSTORE d 2 a d",
		"ZUNIONSTORE d x a",
		"BITOP NOT d d",
		"EVAL x 0",
		"FCALL f 0",
		"PUBLISH c m",
		"SPUBLISH c m",
		"SWAPDB 0 1",
		"LTRIM l 1 2",
		"LREM l 0 v",
		"LINSERT l BEFORE a b",
		"CLUSTER ADDSLOTS 1",
		"CLUSTER FAILOVER",
		"CLUSTER",
		"CONFIG nonesuch",
		"SHUTDOWN",
		"DELIFEQ k v",
		"MIGRATE h 1 k 0 5",
	};
	for (size_t i = 0; i < COUNT(lines); i++)
		if (is_idempotent(lines[i]))
			fail_msg("%s: idempotent", lines[i]);
}

/* ---- waiting ---- */

static void a_time_out_is_read_from_the_line(void **state)
{
	static const struct {
		const char *line;
		long long ms; /* -1: does not wait */
	} cases[] = {
		{"GET k", -1},
		{"CONFIG", -1},
		{"BLPOP a b 2", 2000},
		{"BLPOP a 0", 0},
		{"BRPOP a 0.5", 500},
		{"BRPOP a .5", 500},
		{"BRPOP a 1.", 1000},
		{"BZPOPMIN a 0.0001", 1},
		{"BZPOPMAX a 1.00000001", 1001},
		{"BZPOPMAX a 1.2340", 1234},
		{"BLMOVE a b LEFT RIGHT 3", 3000},
		{"BRPOPLPUSH a b 4", 4000},
		{"BLMPOP 1.5 1 a LEFT", 1500},
		{"BZMPOP 0 1 a MIN", 0},
		{"XREAD STREAMS a 0", -1},
		{"XREAD COUNT 1 STREAMS block 0", -1},
		{"XREAD BLOCK 0 STREAMS a 0", 0},
		{"XREAD COUNT 1 block 250 STREAMS a 0", 250},
		{"XREADGROUP GROUP BLOCK c STREAMS a >", -1},
		{"XREADGROUP GROUP g c BLOCK 10 STREAMS a >", 10},
		{"WAIT 1 100", 100},
		{"WAIT 1 0", 0},
		{"WAITAOF 1 1 100", 100},
		/* what cannot be read */
		{"BLPOP a", 0},
		{"BLPOP", 0},
		{"BLPOP a -1", 0},
		{"BLPOP a 1e3", 0},
		{"BLPOP a abc", 0},
		{"BLPOP a 1.2.3", 0},
		{"BLPOP a \"\"", 0},
		{"XREAD BLOCK", -1},
		/* no overflow */
		{"BLPOP a 99999999999999999999999999999999", 1ll << 53},
		{"BLPOP a 9007199254740992", 1ll << 53},
		{"BLPOP a 0.99999999999999999999999999999999", 1000},
		{"WAIT 1 9223372036854775808", 1ll << 53},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct line line = split(cases[i].line);
		const shard_command *command = shard_command_find(ARGS(&line));
		long long ms = 99;
		bool blocks = shard_command_blocks(command, ARGS(&line), &ms);
		if (blocks != (cases[i].ms >= 0) || ms != (cases[i].ms < 0 ? 0 : cases[i].ms))
			fail_msg("%s: %d, %lld ms", cases[i].line, blocks, ms);
		assert_int_equal(shard_command_blocks(command, ARGS(&line), NULL), blocks);
		drop(&line);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found_in_any_case),
		cmocka_unit_test(every_entry_is_found_by_its_name),
		cmocka_unit_test(a_name_with_a_byte_changed_is_another),
		cmocka_unit_test(a_name_is_as_long_as_it_is),
		cmocka_unit_test(a_subcommand_has_an_entry_of_its_own),
		cmocka_unit_test(what_is_not_in_the_table_is_null),
		cmocka_unit_test(words_may_be_strings),
		cmocka_unit_test(keys_are_where_they_are),
		cmocka_unit_test(the_last_key_is_one),
		cmocka_unit_test(an_option_ends_at_a_nul),
		cmocka_unit_test(a_million_keys_are_one_range),
		cmocka_unit_test(keys_stay_within_the_line),
		cmocka_unit_test(flags_say_what_a_command_does),
		cmocka_unit_test(policies_are_those_of_redis),
		cmocka_unit_test(these_may_be_sent_twice),
		cmocka_unit_test(these_may_not),
		cmocka_unit_test(a_time_out_is_read_from_the_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
