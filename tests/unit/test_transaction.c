/* SPDX-License-Identifier: MIT */
/* When a value that is written through the mount is stored, and who hears of an error. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../fusefs/transaction.h"

static char block[1 << 20];

static struct transaction begin(enum transaction_mode mode, enum transaction_origin origin)
{
	struct transaction t;

	transaction_init(&t, buffer_create(NULL, 0), mode, origin);
	return t;
}

static enum transaction_step write_at(struct transaction *t, size_t offset, size_t len)
{
	enum transaction_step step;

	assert_int_equal(transaction_write(t, offset, block, len, &step), 0);
	return step;
}

static void store(struct transaction *t, int error, bool told)
{
	transaction_begin(t);
	transaction_end(t, error, told);
}

static enum transaction_step flush(struct transaction *t, int expected)
{
	int error = -1;
	enum transaction_step step = transaction_flush(t, true, &error);

	if (step == TRANSACTION_NOTHING)
		assert_int_equal(error, expected);
	return step;
}

static void the_shells_first_flush_publishes_nothing(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	assert_true(transaction_dirty(&t));
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	store(&t, 0, true);
	assert_false(transaction_dirty(&t));
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(transaction_release(&t), TRANSACTION_NOTHING);
	transaction_finish(&t);
}

static void a_child_that_writes_nothing_publishes_nothing(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	int error = -1;

	assert_int_equal(transaction_flush(&t, false, &error), TRANSACTION_NOTHING);
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(transaction_flush(&t, false, &error), TRANSACTION_NOTHING);
	assert_int_equal(error, 0);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void release_and_fsync_publish_an_empty_value(void **state)
{
	struct transaction t = begin(TRANSACTION_CLOSE, TRANSACTION_CREATED);
	int error;

	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(transaction_release(&t), TRANSACTION_COMMIT);
	transaction_finish(&t);
	t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	assert_int_equal(transaction_sync(&t, &error), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void after_ftruncate_no_dup_is_awaited(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_TRUNCATED);

	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void an_exclusive_create_is_stored_already(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_STORED);

	assert_false(transaction_dirty(&t));
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(write_at(&t, 0, 2), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void only_what_looks_like_the_last_write_commits(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	assert_int_equal(write_at(&t, 0, 4096), TRANSACTION_LATER);
	assert_int_equal(write_at(&t, 4096, 8192), TRANSACTION_LATER);
	assert_int_equal(write_at(&t, 12288, 1), TRANSACTION_COMMIT);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

/* What is sent in all for SIZE bytes in pieces of CHUNK. */
static size_t sent_for(size_t size, size_t chunk)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	size_t at = 0, sent = 0;

	while (at < size) {
		bool commits = write_at(&t, at, chunk) == TRANSACTION_COMMIT;

		at += chunk;
		if (commits) {
			store(&t, 0, true);
			sent += at;
		}
	}
	if (transaction_release(&t) == TRANSACTION_COMMIT)
		sent += at;
	transaction_finish(&t);
	return sent;
}

static void no_way_of_writing_costs_more_than_three_times_the_value(void **state)
{
	/* 10240: as tar does. */
	static const size_t chunks[] = {1, 7, 100, 1000, 4095, 4097, 10240, 65535, 100001};

	for (size_t size = 40000; size < ((size_t)20 << 20); size += size / 3) {
		for (size_t i = 0; i < sizeof(chunks) / sizeof(*chunks); i++) {
			if (size / chunks[i] < 200000)
				assert_true(sent_for(size, chunks[i]) <= 3 * (size + chunks[i]));
		}
	}
}

static void a_few_short_lines_are_each_stored_at_once(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	for (size_t i = 0; i < 20; i++) {
		assert_int_equal(write_at(&t, i * 50, 50), TRANSACTION_COMMIT);
		store(&t, 0, true);
	}
	transaction_finish(&t);
}

static void modes_are_obeyed(void **state)
{
	struct transaction t = begin(TRANSACTION_CLOSE, TRANSACTION_OPENED);

	assert_int_equal(write_at(&t, 0, 1), TRANSACTION_NOTHING);
	assert_int_equal(transaction_quiet(&t), TRANSACTION_NOTHING);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
	t = begin(TRANSACTION_WRITE, TRANSACTION_OPENED);
	assert_int_equal(write_at(&t, 0, 4096), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void quiet_stores_data_but_no_truncation(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	assert_int_equal(transaction_quiet(&t), TRANSACTION_NOTHING);
	assert_int_equal(write_at(&t, 0, 4096), TRANSACTION_LATER);
	assert_int_equal(transaction_quiet(&t), TRANSACTION_COMMIT);
	transaction_begin(&t);
	assert_int_equal(transaction_quiet(&t), TRANSACTION_NOTHING);
	transaction_end(&t, 0, false);
	assert_int_equal(transaction_quiet(&t), TRANSACTION_NOTHING);
	transaction_finish(&t);
}

static void a_slow_writer_does_not_send_the_square(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	size_t size = 0, sent = 0;

	for (; size < ((size_t)8 << 20); size += 65536) {
		write_at(&t, size, 65536);
		if (transaction_quiet(&t) == TRANSACTION_COMMIT) {
			store(&t, 0, false);
			sent += size + 65536;
		}
	}
	assert_true(sent < 3 * size);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void who_inherited_it_does_not_store_it_again_and_again(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	size_t sent = 0, commits = 0;
	int error = -1;

	for (size_t size = 0; size < 1000000; size += 10000) {
		write_at(&t, size, 10000);
		if (transaction_dirty(&t) && transaction_flush(&t, false, &error) == TRANSACTION_COMMIT) {
			store(&t, 0, true);
			commits++;
		}
		sent = t.sent;
	}
	assert_in_range(commits, 1, 20);
	assert_true(sent < 2500000);
	write_at(&t, 1000000, 1);
	assert_int_equal(transaction_flush(&t, false, &error), TRANSACTION_LATER);
	assert_int_equal(error, 0);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void what_is_sent_out_of_a_file_stays_as_it_is(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	enum transaction_step step;
	struct buffer *sent;
	size_t size = 0;
	char byte;

	memset(block, 'a', sizeof(block));
	for (; size <= BUFFER_MEMORY_MAX; size += 65536)
		write_at(&t, size, 65536);
	assert_true(buffer_fd(t.buffer) >= 0);
	transaction_begin(&t);
	sent = buffer_ref(t.buffer);
	assert_int_equal(transaction_write(&t, 5, "b", 1, &step), 0);
	assert_int_equal(transaction_resize(&t, 10, &step), 0);
	assert_int_equal(buffer_size(sent), size);
	assert_int_equal(buffer_read(sent, 5, &byte, 1), 1);
	assert_int_equal(byte, 'a');
	assert_int_equal(buffer_read(t.buffer, 5, &byte, 1), 1);
	assert_int_equal(byte, 'b');
	assert_int_equal(buffer_size(t.buffer), 10);
	buffer_unref(sent);
	transaction_finish(&t);
}

static void a_change_during_a_set_stays_dirty(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	write_at(&t, 0, 1);
	transaction_begin(&t);
	write_at(&t, 1, 1);
	transaction_end(&t, 0, true);
	assert_true(transaction_dirty(&t));
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	store(&t, 0, true);
	assert_false(transaction_dirty(&t));
	transaction_finish(&t);
}

static void a_late_error_is_told_by_the_next_write(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	enum transaction_step step;

	write_at(&t, 0, 4096);
	store(&t, ENOSPC, false);
	assert_int_equal(transaction_write(&t, 4096, block, 4096, &step), ENOSPC);
	assert_int_equal(buffer_size(t.buffer), 4096);
	/* Who was told and gives up is not made to wait again. */
	assert_int_equal(flush(&t, ENOSPC), TRANSACTION_NOTHING);
	assert_int_equal(transaction_release(&t), TRANSACTION_NOTHING);
	/* Who goes on gets another try. */
	assert_int_equal(write_at(&t, 4096, 4096), TRANSACTION_LATER);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void a_late_error_can_heal_at_flush(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);

	write_at(&t, 0, 4096);
	store(&t, ETIMEDOUT, false);
	assert_int_equal(flush(&t, 0), TRANSACTION_COMMIT);
	store(&t, 0, true);
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	transaction_finish(&t);
}

static void fsync_tries_again_what_was_refused(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	int error;

	write_at(&t, 0, 10);
	store(&t, EROFS, true);
	assert_int_equal(flush(&t, EROFS), TRANSACTION_NOTHING);
	assert_int_equal(transaction_sync(&t, &error), TRANSACTION_COMMIT);
	transaction_finish(&t);
}

static void too_large_is_told_at_once(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	enum transaction_step step;

	assert_int_equal(transaction_write(&t, TRANSACTION_VALUE_MAX, block, 1, &step), EFBIG);
	assert_int_equal(transaction_write(&t, SIZE_MAX - 5, block, 1, &step), EFBIG);
	assert_int_equal(transaction_resize(&t, TRANSACTION_VALUE_MAX + 1, &step), EFBIG);
	assert_int_equal(transaction_write(&t, TRANSACTION_VALUE_MAX - 1, block, 1, &step), 0);
	assert_int_equal(buffer_size(t.buffer), TRANSACTION_VALUE_MAX);
	transaction_finish(&t);
}

static void a_reader_keeps_the_value_from_before_a_truncate(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	char bytes[8];

	write_at(&t, 0, 8);
	struct buffer *reader = buffer_ref(t.buffer);
	assert_int_equal(transaction_truncate(&t, true), 0);
	assert_int_equal(buffer_size(reader), 8);
	assert_int_equal(buffer_size(t.buffer), 0);
	assert_int_equal(flush(&t, 0), TRANSACTION_NOTHING);
	assert_int_equal(buffer_read(reader, 4, bytes, 8), 4);
	buffer_unref(reader);
	transaction_finish(&t);
}

static void an_append_may_make_a_key_that_was_only_created(void **state)
{
	struct transaction t = begin(TRANSACTION_AUTO, TRANSACTION_CREATED);

	assert_true(transaction_unborn(&t));
	transaction_born(&t);
	transaction_mirror(&t, 0, "abc", 3);
	assert_false(transaction_dirty(&t));
	assert_int_equal(buffer_size(t.buffer), 3);
	transaction_finish(&t);
	t = begin(TRANSACTION_AUTO, TRANSACTION_OPENED);
	assert_false(transaction_unborn(&t));
	transaction_finish(&t);
}

/* In memory and in a file alike. */
static void check_buffer(size_t base)
{
	struct buffer *buffer = buffer_create(NULL, 0);
	char bytes[16];

	assert_int_equal(buffer_write(buffer, base + 4, "tail", 4), 0);
	assert_int_equal(buffer_size(buffer), base + 8);
	assert_int_equal(buffer_read(buffer, base + 2, bytes, sizeof(bytes)), 6);
	assert_memory_equal(bytes, "\0\0tail", 6);
	assert_int_equal(buffer_resize(buffer, base + 6), 0);
	assert_int_equal(buffer_resize(buffer, base + 8), 0);
	assert_int_equal(buffer_read(buffer, base + 4, bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "ta\0\0", 4);
	const char *map = buffer_map(buffer, base + 8);
	assert_non_null(map);
	assert_memory_equal(map + base + 4, "ta\0\0", 4);
	assert_int_equal(buffer_read(buffer, base + 8, bytes, 1), 0);
	buffer_unref(buffer);
}

static void buffers_in_memory_and_in_files_are_alike(void **state)
{
	check_buffer(0);
	check_buffer(100000);
	check_buffer(BUFFER_MEMORY_MAX);
	check_buffer(5 * BUFFER_MEMORY_MAX);
}

static void a_buffer_moves_to_a_file_when_it_grows(void **state)
{
	struct buffer *buffer = buffer_create(NULL, 0);

	for (size_t at = 0; at < 2 * BUFFER_MEMORY_MAX; at += sizeof(block)) {
		memset(block, (int)(at >> 20), sizeof(block));
		assert_int_equal(buffer_write(buffer, at, block, sizeof(block)), 0);
	}
	const char *map = buffer_map(buffer, 2 * BUFFER_MEMORY_MAX);
	assert_non_null(map);
	for (size_t at = 0; at < 2 * BUFFER_MEMORY_MAX; at += sizeof(block) / 2)
		assert_int_equal(map[at], (int)(at >> 20));
	buffer_unref(buffer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_shells_first_flush_publishes_nothing),
		cmocka_unit_test(a_child_that_writes_nothing_publishes_nothing),
		cmocka_unit_test(release_and_fsync_publish_an_empty_value),
		cmocka_unit_test(after_ftruncate_no_dup_is_awaited),
		cmocka_unit_test(an_exclusive_create_is_stored_already),
		cmocka_unit_test(only_what_looks_like_the_last_write_commits),
		cmocka_unit_test(no_way_of_writing_costs_more_than_three_times_the_value),
		cmocka_unit_test(a_few_short_lines_are_each_stored_at_once),
		cmocka_unit_test(modes_are_obeyed),
		cmocka_unit_test(quiet_stores_data_but_no_truncation),
		cmocka_unit_test(a_slow_writer_does_not_send_the_square),
		cmocka_unit_test(who_inherited_it_does_not_store_it_again_and_again),
		cmocka_unit_test(what_is_sent_out_of_a_file_stays_as_it_is),
		cmocka_unit_test(a_change_during_a_set_stays_dirty),
		cmocka_unit_test(a_late_error_is_told_by_the_next_write),
		cmocka_unit_test(a_late_error_can_heal_at_flush),
		cmocka_unit_test(fsync_tries_again_what_was_refused),
		cmocka_unit_test(too_large_is_told_at_once),
		cmocka_unit_test(a_reader_keeps_the_value_from_before_a_truncate),
		cmocka_unit_test(an_append_may_make_a_key_that_was_only_created),
		cmocka_unit_test(buffers_in_memory_and_in_files_are_alike),
		cmocka_unit_test(a_buffer_moves_to_a_file_when_it_grows),
	};
	return cmocka_run_group_tests_name("transaction", tests, NULL, NULL);
}
