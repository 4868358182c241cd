/* SPDX-License-Identifier: MIT */
/* What programs that use files are told for each error of a server and of the library. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "../../fusefs/errors.h"

static int of_reply(const char *text)
{
	shard_reply reply = {.type = SHARD_REPLY_ERROR, .len = strlen(text), .str = text};
	shard_result result = {.error = SHARD_ESERVER, .reply = &reply, .message = text, .node = "", .slot = -1};

	return errors_of_result(&result);
}

static void replies(void **state)
{
	assert_int_equal(of_reply("OOM command not allowed when used memory > 'maxmemory'."), ENOSPC);
	assert_int_equal(of_reply("ERR string exceeds maximum allowed size (proto-max-bulk-len)"), EFBIG);
	assert_int_equal(of_reply("ERR string exceeds maximum allowed size (512MB)"), EFBIG);
	assert_int_equal(of_reply("READONLY You can't write against a read only replica."), EROFS);
	assert_int_equal(of_reply("NOAUTH Authentication required."), EACCES);
	assert_int_equal(of_reply("WRONGPASS invalid username-password pair or user is disabled."), EACCES);
	assert_int_equal(of_reply("NOPERM this user has no permissions to run the 'set' command"), EACCES);
	assert_int_equal(of_reply("MISCONF Redis is configured to save RDB snapshots"), EIO);
	assert_int_equal(of_reply("LOADING Redis is loading the dataset in memory"), ETIMEDOUT);
	assert_int_equal(of_reply("TRYAGAIN Multiple keys request during rehashing of slot"), ETIMEDOUT);
	assert_int_equal(of_reply("CLUSTERDOWN The cluster is down"), EHOSTUNREACH);
	assert_int_equal(of_reply("WRONGTYPE Operation against a key holding the wrong kind of value"), ESTALE);
	assert_int_equal(of_reply("ERR no such key"), ENOENT);
	assert_int_equal(of_reply("BUSYKEY Target key name already exists."), EEXIST);
}

static void what_is_not_known_is_an_input_output_error(void **state)
{
	assert_int_equal(of_reply("ERR unknown command 'SETRANGE'"), EIO);
	assert_int_equal(of_reply("OOMPH"), EIO);
	assert_int_equal(of_reply(""), EIO);
	assert_int_equal(errors_of_code(-1), EIO);
	assert_int_equal(errors_of_code(SHARD_ERROR_COUNT), EIO);
}

static void codes(void **state)
{
	shard_result late = {.error = SHARD_ETIMEDOUT, .message = "", .node = "", .slot = -1};

	assert_int_equal(errors_of_result(&late), ETIMEDOUT);
	assert_int_equal(errors_of_code(SHARD_OK), 0);
	assert_int_equal(errors_of_code(SHARD_EUNKNOWN), ETIMEDOUT);
	assert_int_equal(errors_of_code(SHARD_ENOROUTE), EHOSTUNREACH);
	assert_int_equal(errors_of_code(SHARD_ECONNECT), EHOSTUNREACH);
	assert_int_equal(errors_of_code(SHARD_EAUTH), EACCES);
	assert_int_equal(errors_of_code(SHARD_ECANCELED), EINTR);
}

static void only_success_is_no_error_and_only_a_missing_key_is_enoent(void **state)
{
	for (int code = SHARD_OK + 1; code < SHARD_ERROR_COUNT; code++) {
		assert_int_not_equal(errors_of_code(code), 0);
		assert_int_not_equal(errors_of_code(code), ENOENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(what_is_not_known_is_an_input_output_error),
		cmocka_unit_test(codes),
		cmocka_unit_test(only_success_is_no_error_and_only_a_missing_key_is_enoent),
	};
	return cmocka_run_group_tests_name("fs_errors", tests, NULL, NULL);
}
