/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>

#include "pure/resp.h"

/* Words of each length around where the code changes its ways, against hiredis's own formatter. */
static void commands_are_what_hiredis_writes(void **state)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 99, 100, 101, 999, 1000, 65535, 100000};
	char *word = malloc(100000);

	for (size_t i = 0; i < 100000; i++)
		word[i] = (char)(i * 31 + 7);
	for (int argc = 1; argc <= 12; argc++) {
		for (size_t k = 0; k < sizeof(lengths) / sizeof(*lengths); k++) {
			const char *argv[12];
			size_t argvlen[12];
			char *expected, *written;
			long long len;

			for (int i = 0; i < argc; i++) {
				argv[i] = word + i;
				argvlen[i] = i % 2 ? lengths[k] : (size_t)i;
				if (argvlen[i] > 99990)
					argvlen[i] = 99980;
			}
			len = redisFormatCommandArgv(&expected, argc, argv, argvlen);
			assert_int_equal(resp_command_size(argc, argv, argvlen), len);
			assert_true(resp_command_bound(argc, argvlen) >= (size_t)len);
			written = malloc((size_t)len);
			assert_ptr_equal(resp_command_write(written, argc, argv, argvlen), written + len);
			assert_memory_equal(written, expected, (size_t)len);
			free(written);
			free(expected);
		}
	}
	free(word);
}

/* The reply at the start of TEXT by the reader; NULL: not whole. */
static const shard_reply *by_reader(struct arena *arena, redisReader *reader, const char *text, size_t len)
{
	void *reply = NULL;

	assert_int_equal(redisReaderFeed(reader, text, len), REDIS_OK);
	assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
	return reply;
}

static void check_quick(const char *text, size_t len, size_t taken)
{
	char *data = malloc(len ? len : 1);
	shard_reply quick;
	struct arena arena;
	redisReader *reader;
	const shard_reply *slow;

	arena_init(&arena);
	reader = resp_reader_create(&arena);
	memcpy(data, text, len);
	assert_int_equal(resp_quick(data, len, &quick), taken);
	if (taken) {
		slow = by_reader(&arena, reader, text, taken);
		assert_non_null(slow);
		assert_int_equal(quick.type, slow->type);
		assert_int_equal(quick.len, slow->len);
		if (quick.type == SHARD_REPLY_INTEGER)
			assert_true(quick.integer == slow->integer);
		else if (quick.type != SHARD_REPLY_NIL)
			assert_memory_equal(quick.str, slow->str, quick.len + 1);
	}
	redisReaderFree(reader);
	arena_finish(&arena);
	free(data);
}

#define QUICK(text, taken) check_quick(text, sizeof(text) - 1, taken)

static void quick_replies_are_the_readers(void **state)
{
	QUICK("$5\r\nhello\r\n", 11);
	QUICK("$5\r\nhello\r\n+OK\r\n", 11);
	QUICK("$10\r\nhellohello\r\n", 17);
	QUICK("$12\r\n\r\nhello\r\nabc\r\n:7\r\n", 19);
	QUICK("$0\r\n\r\n", 6);
	QUICK("$-1\r\n", 5);
	QUICK("$3\r\n\r\n\0\r\n", 9);
	QUICK("+OK\r\n", 5);
	QUICK(":0\r\n", 4);
	QUICK(":999999999\r\n", 12);
}

static void what_is_not_whole_or_not_simple_is_left_to_the_reader(void **state)
{
	static const char whole[] = "$5\r\nhello\r\n", longer[] = "$12\r\nhello, hello\r\n";

	for (size_t len = 1; len < sizeof(whole) - 1; len++)
		check_quick(whole, len, 0);
	for (size_t len = 1; len < sizeof(longer) - 1; len++)
		check_quick(longer, len, 0);
	for (size_t len = 1; len < 5; len++)
		check_quick("$-1\r\n", len, 0);
	QUICK(":-1\r\n", 0);
	QUICK(":1234567890\r\n", 0);
	QUICK("$1234567890\r\n", 0);
	QUICK("$5\nhello\r\n", 0);
	QUICK("$5\r\nhelloXX", 0);
	QUICK("$10\r\nhellohelloXX", 0);
	QUICK("$10\r\nhellohello\rX", 0);
	QUICK("$1x\r\nhellohello\r\n", 0);
	QUICK("$05\r\nhello\r\n", 0);
	QUICK("$\r\n\r\n", 0);
	QUICK("$-2\r\n", 0);
	QUICK("+PONG\r\n", 0);
	QUICK("-ERR x\r\n", 0);
	QUICK("*0\r\n", 0);
	QUICK("x\r\n", 0);
	QUICK("$007\r\n1234567\r\n", 0);
	QUICK(":00\r\n", 0);
}

static void copies_are_deep(void **state)
{
	static const char text[] = "*4\r\n$3\r\na\0b\r\n*2\r\n:7\r\n$-1\r\n-ERR no\r\n*0\r\n";
	struct arena arena;
	redisReader *reader;
	shard_reply *copy;

	arena_init(&arena);
	reader = resp_reader_create(&arena);
	copy = shard_reply_copy(by_reader(&arena, reader, text, sizeof(text) - 1));
	redisReaderFree(reader);
	arena_finish(&arena);
	assert_int_equal(copy->type, SHARD_REPLY_ARRAY);
	assert_int_equal(copy->len, 4);
	assert_int_equal(copy->element[0].len, 3);
	assert_memory_equal(copy->element[0].str, "a\0b", 4);
	assert_true(copy->element[1].element[0].integer == 7);
	assert_int_equal(copy->element[1].element[1].type, SHARD_REPLY_NIL);
	assert_true(shard_reply_is_error(&copy->element[2], "ERR"));
	assert_false(shard_reply_is_error(&copy->element[2], "ER"));
	assert_int_equal(copy->element[3].len, 0);
	shard_reply_free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(commands_are_what_hiredis_writes),
		cmocka_unit_test(quick_replies_are_the_readers),
		cmocka_unit_test(what_is_not_whole_or_not_simple_is_left_to_the_reader),
		cmocka_unit_test(copies_are_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
