/* SPDX-License-Identifier: MIT */
/* What twemproxy has, but for ketama's points: see test_ketama.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <shard/ring.h>

#include "ring_help.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const shard_ring_server four[] = {
	{"server1", 1, false}, {"server2", 1, false}, {"server3", 1, false}, {"server4", 1, false}};

static void names_of_distributions_both_ways(void **state)
{
	static const char *const names[] = {"ketama", "modula", "random", "jump", "rendezvous"};

	for (int i = 0; i < SHARD_DISTRIBUTION_COUNT; i++) {
		assert_string_equal(shard_distribution_name(i), names[i]);
		assert_int_equal(shard_distribution_find(names[i]), i);
	}
	assert_null(shard_distribution_name(-1));
	assert_null(shard_distribution_name(SHARD_DISTRIBUTION_COUNT));
	assert_int_equal(shard_distribution_find("Ketama"), -1);
	assert_int_equal(shard_distribution_find(""), -1);
}

static void order_is_length_first_then_bytes(void **state)
{
	const shard_ring_server servers[] = {
		{"alpha-long", 1, false}, {"cc", 1, false}, {"b\xff", 1, false}, {"b", 1, false}, {"bz", 1, false}};
	static const int order[] = {3, 4, 2, 1, 0};
	shard_ring *ring = ring_of(SHARD_MODULA, SHARD_HASH_CRC32A, servers, COUNT(servers));

	for (uint32_t hash = 0; hash < 50; hash++)
		assert_int_equal(shard_ring_route_hash(ring, hash), order[hash % 5]);
	shard_ring_free(ring);
}

/* ---- the key ---- */

static void check_tag(const char *tag, const char *key, const char *hashed)
{
	shard_ring_options options = {.hash = SHARD_HASH_FNV1A_64, .hash_tag = {tag[0], tag[1]}};
	shard_ring *ring;
	uint64_t expected = shard_hash(SHARD_HASH_FNV1A_64, hashed, strlen(hashed));

	assert_int_equal(shard_ring_create(&ring, &options, four, 4), SHARD_OK);
	assert_int_equal(shard_ring_hash(ring, key, strlen(key)), expected);
	assert_int_equal(ring_route_text(ring, key), shard_ring_route_hash(ring, expected));
	shard_ring_free(ring);
}

static void hash_tags(void **state)
{
	check_tag("{}", "{user1000}.following", "user1000");
	check_tag("{}", "foo{}{bar}", "foo{}{bar}");
	check_tag("{}", "foo{{bar}}zap", "{bar");
	check_tag("{}", "foo{bar}{zap}", "bar");
	check_tag("{}", "foo{bar", "foo{bar");
	check_tag("{}", "foo}bar{", "foo}bar{");
	check_tag("{}", "}{x}", "x");
	check_tag("{}", "{", "{");
	check_tag("{}", "{}", "{}");
	check_tag("$$", "a$b$c", "b");
	check_tag("$$", "$$b$", "$$b$");
	check_tag("$$", "a$", "a$");
	check_tag("$$", "a$b", "a$b");
	check_tag("ab", "xaYbz", "Y");
	check_tag("\xff\xfe", "k\xff\x80\xfe!", "\x80");
	check_tag("\0", "a{b}c", "a{b}c");
}

static void a_tag_of_any_two_bytes(void **state)
{
	shard_ring_options options = {.hash = SHARD_HASH_MURMUR, .hash_tag = {0, '}'}};
	shard_ring *ring;

	assert_int_equal(shard_ring_create(&ring, &options, four, 4), SHARD_OK);
	assert_int_equal(shard_ring_hash(ring, "k\0tag}x", 7), shard_hash(SHARD_HASH_MURMUR, "tag", 3));
	shard_ring_free(ring);
	options.hash_tag[0] = '{', options.hash_tag[1] = 0;
	assert_int_equal(shard_ring_create(&ring, &options, four, 4), SHARD_OK);
	assert_int_equal(shard_ring_hash(ring, "k{tag\0x", 7), shard_hash(SHARD_HASH_MURMUR, "tag", 3));
	shard_ring_free(ring);
}

static void the_empty_key_hashes_to_0(void **state)
{
	for (int hash = 0; hash < SHARD_HASH_COUNT; hash++) {
		shard_ring *ring = ring_of(SHARD_KETAMA, hash, four, 4);

		assert_int_equal(shard_ring_hash(ring, NULL, 0), 0);
		assert_int_equal(shard_ring_route(ring, NULL, 0), 2);
		assert_int_equal(shard_ring_hash(ring, "apple", 5), shard_hash(hash, "apple", 5));
		shard_ring_free(ring);
	}
}

/* ---- few, or none ---- */

static void a_single_server_gets_all(void **state)
{
	const shard_ring_server alone = {"alone", 7, false}, ejected = {"alone", 7, true};

	for (int distribution = 0; distribution < SHARD_DISTRIBUTION_COUNT; distribution++) {
		shard_ring *ring = ring_of(distribution, SHARD_HASH_MD5, &alone, 1);

		assert_int_equal(ring_route_text(ring, "a"), 0);
		assert_int_equal(ring_route_text(ring, ""), 0);
		assert_int_equal(shard_ring_route_hash(ring, UINT32_MAX), 0);
		assert_true(shard_ring_share(ring, 0) == 1);
		assert_true(shard_ring_share(ring, 1) == 0);
		assert_true(shard_ring_share(ring, -1) == 0);
		shard_ring_free(ring);
		ring = ring_of(distribution, SHARD_HASH_MD5, &ejected, 1);
		assert_int_equal(ring_route_text(ring, "a"), -1);
		shard_ring_free(ring);
	}
}

static void nobody_left(void **state)
{
	const shard_ring_server gone[] = {{"a", 1, true}, {"b", 2, true}};

	for (int distribution = 0; distribution < SHARD_DISTRIBUTION_COUNT; distribution++) {
		for (size_t count = 0; count <= COUNT(gone); count += COUNT(gone)) {
			shard_ring *ring = ring_of(distribution, SHARD_HASH_MD5, gone, count);

			assert_int_equal(ring_route_text(ring, "a"), -1);
			assert_int_equal(shard_ring_route_hash(ring, 0), -1);
			assert_int_equal(shard_ring_route_hash(ring, UINT64_MAX), -1);
			assert_int_equal(shard_ring_point_count(ring), 0);
			assert_true(shard_ring_share(ring, 0) == 0);
			shard_ring_free(ring);
		}
	}
	shard_ring_free(NULL);
}

/* The same answers as from a ring that never knew them, but for the numbers. */
static void ejected_ones_are_as_if_not_there(void **state)
{
	const shard_ring_server all[] = {
		{"a", 3, false}, {"gone", 5, true}, {"b", 1, false}, {"also", 2, true}, {"c", 9, false}};
	const shard_ring_server rest[] = {{"a", 3, false}, {"b", 1, false}, {"c", 9, false}};
	static const int number[] = {0, 2, 4};

	for (int distribution = 0; distribution < SHARD_DISTRIBUTION_COUNT; distribution++) {
		shard_ring *one = ring_of(distribution, SHARD_HASH_FNV1A_64, all, COUNT(all));
		shard_ring *other = ring_of(distribution, SHARD_HASH_FNV1A_64, rest, COUNT(rest));

		for (size_t i = 0; i < COUNT(rest); i++)
			assert_true(shard_ring_share(one, number[i]) == shard_ring_share(other, (int)i));
		assert_true(shard_ring_share(one, 1) == 0);
		for (int i = 0; i < 10000 && distribution != SHARD_RANDOM; i++) {
			char key[24];

			snprintf(key, sizeof(key), "key:%d", i);
			assert_int_equal(ring_route_text(one, key), number[ring_route_text(other, key)]);
		}
		shard_ring_free(one);
		shard_ring_free(other);
	}
}

/* ---- modula, random ---- */

static void modula_repeats_a_server_by_its_weight(void **state)
{
	const shard_ring_server servers[] = {{"bb", 3, false}, {"c", 2, false}, {"a", 1, false}, {"ddd", 4, true}};
	static const int order[] = {2, 1, 1, 0, 0, 0};
	shard_ring *ring = ring_of(SHARD_MODULA, SHARD_HASH_MURMUR, servers, COUNT(servers));

	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(shard_ring_route_hash(ring, i), order[i % 6]);
		assert_int_equal(shard_ring_route_hash(ring, UINT32_MAX - i), order[(UINT32_MAX - i) % 6]);
	}
	assert_true(shard_ring_share(ring, 0) == 3 / 6.0);
	assert_true(shard_ring_share(ring, 1) == 2 / 6.0);
	assert_true(shard_ring_share(ring, 2) == 1 / 6.0);
	assert_true(shard_ring_share(ring, 3) == 0);
	shard_ring_free(ring);
}

static void random_is_any_live_server_whatever_its_weight(void **state)
{
	const shard_ring_server servers[] = {{"a", 1, false}, {"b", 50, true}, {"c", 50, false}, {"d", 7, false}};
	shard_ring *ring = ring_of(SHARD_RANDOM, SHARD_HASH_MURMUR, servers, COUNT(servers));
	unsigned found[COUNT(servers)] = {0};

	for (int i = 0; i < 30000; i++)
		found[ring_route_text(ring, "the same")]++;
	assert_int_equal(found[1], 0);
	for (size_t i = 0; i < COUNT(servers); i++) {
		if (servers[i].ejected)
			continue;
		assert_in_range(found[i], 9400, 10600);
		assert_true(shard_ring_share(ring, (int)i) == 1 / 3.0);
	}
	shard_ring_free(ring);
}

/* ---- refusals ---- */

static int refused(int distribution, int hash, const shard_ring_server *servers, size_t count)
{
	shard_ring_options options = {.distribution = distribution, .hash = hash};
	shard_ring *ring = (shard_ring *)&options;
	int error = shard_ring_create(&ring, &options, servers, count);

	if (error)
		assert_null(ring);
	shard_ring_free(ring);
	return error;
}

static void what_is_refused(void **state)
{
	const shard_ring_server none[] = {{"a", 1, false}, {"b", 0, false}}, none_ejected[] = {{"a", 0, true}};
	const shard_ring_server most[] = {{"a", INT32_MAX - 1, false}, {"b", 1, false}};
	const shard_ring_server more[] = {{"a", INT32_MAX, false}, {"b", 1, false}};
	const shard_ring_server wraps[] = {{"a", UINT32_MAX, false}, {"b", 2, false}};
	shard_ring_server *many = ring_servers(65536);

	for (int distribution = 0; distribution < SHARD_DISTRIBUTION_COUNT; distribution++) {
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, none, 2), SHARD_EINVAL);
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, none_ejected, 1), SHARD_EINVAL);
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, most, 2), SHARD_OK);
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, more, 2), SHARD_EINVAL);
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, wraps, 2), SHARD_EINVAL);
		assert_int_equal(refused(distribution, SHARD_HASH_MD5, many, 65536), SHARD_EINVAL);
		assert_int_equal(refused(distribution, -1, four, 4), SHARD_EINVAL);
		assert_int_equal(refused(distribution, SHARD_HASH_COUNT, four, 4), SHARD_EINVAL);
	}
	assert_int_equal(refused(-1, SHARD_HASH_MD5, four, 4), SHARD_EINVAL);
	assert_int_equal(refused(SHARD_DISTRIBUTION_COUNT, SHARD_HASH_MD5, four, 4), SHARD_EINVAL);
	assert_int_equal(refused(SHARD_MODULA, SHARD_HASH_MD5, many, 65535), SHARD_OK);
	free(many);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_distributions_both_ways),
		cmocka_unit_test(order_is_length_first_then_bytes),
		cmocka_unit_test(hash_tags),
		cmocka_unit_test(a_tag_of_any_two_bytes),
		cmocka_unit_test(the_empty_key_hashes_to_0),
		cmocka_unit_test(a_single_server_gets_all),
		cmocka_unit_test(nobody_left),
		cmocka_unit_test(ejected_ones_are_as_if_not_there),
		cmocka_unit_test(modula_repeats_a_server_by_its_weight),
		cmocka_unit_test(random_is_any_live_server_whatever_its_weight),
		cmocka_unit_test(what_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
