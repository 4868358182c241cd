/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <shard/slot.h>

/* CRC16-XMODEM as its definition has it, bit by bit. */
static uint16_t by_bits(const unsigned char *p, size_t len)
{
	uint16_t crc = 0;

	for (; len; len--) {
		crc ^= (uint16_t)(*p++ << 8);
		for (int i = 0; i < 8; i++)
			crc = (uint16_t)(crc & 0x8000 ? crc << 1 ^ 0x1021 : crc << 1);
	}
	return crc;
}

static void the_check_value_of_the_standard(void **state)
{
	assert_int_equal(shard_crc16("123456789", 9), 0x31c3);
	assert_int_equal(shard_crc16(NULL, 0), 0);
}

static void every_length_at_every_alignment(void **state)
{
	unsigned char *data = malloc(2048);

	srand(1);
	for (size_t i = 0; i < 2048; i++)
		data[i] = (unsigned char)rand();
	for (size_t len = 0; len < 1200; len++) {
		for (size_t at = 0; at < 17; at++) {
			/* A block of its own, so that a sanitizer sees a read past the end. */
			unsigned char *copy = malloc(len + 1);

			memcpy(copy, data + at, len);
			copy = realloc(copy, len ? len : 1);
			assert_int_equal(shard_crc16(copy, len), by_bits(data + at, len));
			free(copy);
		}
	}
	free(data);
}

static void check_tag(const char *key, const char *tag)
{
	size_t len;
	const char *found = shard_hash_tag(key, strlen(key), &len);

	assert_int_equal(len, strlen(tag));
	assert_memory_equal(found, tag, len);
	assert_int_equal(shard_slot(key, strlen(key)), by_bits((const unsigned char *)tag, len) % SHARD_SLOTS);
}

static void hash_tags(void **state)
{
	check_tag("{user1000}.following", "user1000");
	check_tag("foo{}{bar}", "foo{}{bar}");
	check_tag("foo{{bar}}zap", "{bar");
	check_tag("foo{bar}{zap}", "bar");
	check_tag("foo{bar", "foo{bar");
	check_tag("foo}bar{", "foo}bar{");
	check_tag("}{x}", "x");
	check_tag("", "");
	check_tag("{}", "{}");
	check_tag("{a}", "a");
	check_tag("1234567{a}", "a");
	check_tag("12345678{a}", "a");
	check_tag("123456789012{a}", "a");
	check_tag("1234567890123{a}", "a");
	check_tag("12345678901234{a}", "a");
}

/* A tag of one byte at each place of keys of each short length. */
static void tags_are_found_wherever_they_stand(void **state)
{
	char key[40];

	for (size_t len = 3; len < sizeof(key); len++) {
		for (size_t at = 0; at + 3 <= len; at++) {
			memset(key, 'x', len);
			memcpy(key + at, "{t}", 3);
			assert_int_equal(shard_slot(key, len), by_bits((const unsigned char *)"t", 1) % SHARD_SLOTS);
		}
	}
}

static void keys_are_bytes(void **state)
{
	assert_int_equal(shard_slot("a\0b", 3), by_bits((const unsigned char *)"a\0b", 3) % SHARD_SLOTS);
	assert_int_equal(shard_slot("\0{\0}", 4), by_bits((const unsigned char *)"\0", 1) % SHARD_SLOTS);
	assert_int_equal(shard_slot("", 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_check_value_of_the_standard),
		cmocka_unit_test(every_length_at_every_alignment),
		cmocka_unit_test(hash_tags),
		cmocka_unit_test(tags_are_found_wherever_they_stand),
		cmocka_unit_test(keys_are_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
