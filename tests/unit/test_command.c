/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "command_line.h"

static const char *name_of(const char *text)
{
	const shard_command *command = find(text);
	return command ? command->name : "";
}

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
		cmocka_unit_test(flags_say_what_a_command_does),
		cmocka_unit_test(policies_are_those_of_redis),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
