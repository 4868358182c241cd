/* SPDX-License-Identifier: MIT */
/* Ketama's points, and who has a hash. */
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
#include "ring_slow.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const shard_ring_server four[] = {
	{"server1", 1, false}, {"server2", 1, false}, {"server3", 1, false}, {"server4", 1, false}};
static const shard_ring_server weighted[] = {
	{"10.0.0.1:6379", 1, false}, {"10.0.0.2:6379", 2, false}, {"10.0.0.10:6379", 7, false}};

static size_t points_of(const shard_ring *ring, int server)
{
	size_t found = 0;

	for (size_t i = 0; i < shard_ring_point_count(ring); i++) {
		int owner;

		shard_ring_point(ring, i, &owner);
		found += owner == server;
	}
	return found;
}

/* ---- the vectors ---- */

static void four_servers(void **state)
{
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_FNV1A_64, four, 4);
	int server;

	assert_int_equal(shard_ring_point_count(ring), 640);
	assert_int_equal(shard_ring_point(ring, 0, &server), 9796559);
	assert_int_equal(server, 2);
	assert_int_equal(shard_ring_point(ring, 639, &server), 4290847573);
	assert_int_equal(server, 3);
	assert_int_equal(ring_route_text(ring, "apple"), 0);
	assert_int_equal(ring_route_text(ring, "foo"), 0);
	assert_int_equal(ring_route_text(ring, "user:1000"), 0);
	assert_int_equal(ring_route_text(ring, "h\xc3\xa9llo"), 2);
	assert_int_equal(ring_route_text(ring, "\xff\xfe"), 2);
	shard_ring_free(ring);
	ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, four, 4);
	assert_int_equal(ring_route_text(ring, "apple"), 0);
	assert_int_equal(ring_route_text(ring, "foo"), 1);
	assert_int_equal(ring_route_text(ring, "user:1000"), 1);
	shard_ring_free(ring);
}

static void weights_make_points(void **state)
{
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_FNV1A_64, weighted, 3);

	assert_int_equal(points_of(ring, 0), 48);
	assert_int_equal(points_of(ring, 1), 96);
	assert_int_equal(points_of(ring, 2), 336);
	assert_int_equal(ring_route_text(ring, "apple"), 2);
	assert_int_equal(ring_route_text(ring, "foo"), 2);
	assert_int_equal(ring_route_text(ring, "user:1000"), 0);
	shard_ring_free(ring);
}

/* How often a ring has a point of this value of this server. */
static size_t times(const shard_ring *ring, uint32_t value, int server)
{
	size_t found = 0;

	for (size_t i = 0; i < shard_ring_point_count(ring); i++) {
		int owner;

		found += shard_ring_point(ring, i, &owner) == value && owner == server;
	}
	return found;
}

static void four_points_of_each_digest(void **state)
{
	static const uint32_t words[] = {3853726576, 1491449930, 639619849, 2667054752}; /* of "server1-8" */
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_FNV1A_64, four, 4);

	for (size_t i = 0; i < COUNT(words); i++)
		assert_int_equal(times(ring, words[i], 0), 1);
	shard_ring_free(ring);
}

static void equal_weights_round_as_floats_do(void **state)
{
	static const size_t fewer[] = {25, 47, 50, 55, 61, 71, 94, 100};
	size_t next = 0;

	for (size_t n = 1; n <= 100; n++) {
		shard_ring_server *servers = ring_servers(n);
		shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, servers, n);
		bool is_fewer = next < COUNT(fewer) && fewer[next] == n;

		next += is_fewer;
		assert_int_equal(shard_ring_point_count(ring), n * (is_fewer ? 156 : 160));
		assert_int_equal(slow_points_of(1, (unsigned)n, n), is_fewer ? 156 : 160);
		shard_ring_free(ring);
		free(servers);
	}
}

/* ---- against the slow one ---- */

static void check_points(const shard_ring *ring, const struct slow_ring *slow)
{
	assert_int_equal(shard_ring_point_count(ring), slow->count);
	for (size_t i = 0; i < slow->count; i++) {
		int server;

		assert_int_equal(shard_ring_point(ring, i, &server), slow->point[i].value);
		assert_int_equal(server, slow->point[i].server);
	}
}

static void check_hash(const shard_ring *ring, const struct slow_ring *slow, uint32_t hash)
{
	if (shard_ring_route_hash(ring, hash) != slow_ring_route(slow, hash))
		fail_msg("hash %u goes to %d, not %d", hash, shard_ring_route_hash(ring, hash),
			 slow_ring_route(slow, hash));
}

static uint32_t random_word(void)
{
	return (uint32_t)rand() << 17 ^ (uint32_t)rand();
}

static void check_hashes(const shard_ring *ring, const struct slow_ring *slow, size_t random)
{
	for (size_t i = 0; i < slow->count; i++)
		for (uint32_t around = 0; around < 3; around++)
			check_hash(ring, slow, slow->point[i].value + around - 1);
	check_hash(ring, slow, 0);
	check_hash(ring, slow, 1);
	check_hash(ring, slow, UINT32_MAX - 1);
	check_hash(ring, slow, UINT32_MAX);
	for (unsigned bit = 0; bit < 32; bit++) {
		check_hash(ring, slow, 1u << bit);
		check_hash(ring, slow, (1u << bit) - 1);
	}
	for (size_t i = 0; i < random; i++)
		check_hash(ring, slow, random_word());
}

static void check_shares(const shard_ring *ring, const struct slow_ring *slow, size_t servers)
{
	double sum = 0;

	for (size_t i = 0; i < servers; i++) {
		double share = shard_ring_share(ring, (int)i);

		assert_true(share == (double)slow_ring_width(slow, (int)i) / 0x1p32);
		sum += share;
	}
	assert_true(sum == 1);
}

static void check_ketama(const shard_ring_server *servers, size_t count, size_t random)
{
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, servers, count);
	struct slow_ring slow = slow_ring_create(servers, count);

	check_points(ring, &slow);
	/* A pool of one server does not look. */
	if (count > 1)
		check_hashes(ring, &slow, random);
	if (count < 100)
		check_shares(ring, &slow, count);
	slow_ring_free(&slow);
	shard_ring_free(ring);
}

static void rings_of_1_to_1000_servers(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 10, 16, 25, 33, 60, 100, 257, 1000};

	srand(3);
	for (size_t i = 0; i < COUNT(sizes); i++) {
		shard_ring_server *servers = ring_servers(sizes[i]);

		check_ketama(servers, sizes[i], 100000);
		free(servers);
	}
}

/* Random weights, some servers ejected, names of every length: of one MD5 block, of two, of many. */
static void rings_of_all_sorts(void **state)
{
	enum { MOST = 40, LONGEST = 200 };
	static char names[MOST][LONGEST + 1];

	srand(4);
	for (int round = 0; round < 100; round++) {
		shard_ring_server servers[MOST];
		size_t count = 1 + (size_t)rand() % MOST;

		for (size_t i = 0; i < count; i++) {
			size_t len = 1 + (size_t)rand() % (round % 2 ? 20 : LONGEST);

			for (size_t k = 0; k < len; k++)
				names[i][k] = (char)(1 + rand() % 255);
			names[i][len] = 0;
			servers[i] = (shard_ring_server){
				.name = names[i],
				.weight = 1 + (unsigned)rand() % (round % 3 ? 3 : 1000),
				.ejected = rand() % 8 == 0,
			};
		}
		check_ketama(servers, count, 1000);
	}
}

/* Around each number of bits that an index may need: the last servers alone are live. */
static void few_of_many(void **state)
{
	srand(5);
	for (size_t bits = 1; bits <= 16; bits++) {
		for (size_t around = 0; around < 3; around++) {
			size_t count = ((size_t)1 << bits) + around - 1, live = 3 + (size_t)rand() % 20;
			shard_ring_server *servers = ring_servers(count);

			for (size_t i = 0; i < count; i++)
				servers[i].ejected = i + live < count;
			if (count <= 65535)
				check_ketama(servers, count, 10000);
			free(servers);
		}
	}
}

static void names_of_each_length(void **state)
{
	char names[2][140];

	for (size_t len = 0; len < 139; len++) {
		const shard_ring_server servers[] = {{names[0], 3, false}, {names[1], 100, false}};

		memset(names, 'n', sizeof(names));
		names[0][len] = names[1][len + 1] = 0;
		check_ketama(servers, 2, 10);
	}
}

static void a_tiny_weight_has_no_points(void **state)
{
	const shard_ring_server servers[] = {{"dwarf", 1, false}, {"giant", 1000000, false}};
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, servers, 2);

	assert_int_equal(points_of(ring, 0), 0);
	assert_int_equal(points_of(ring, 1), shard_ring_point_count(ring));
	assert_true(shard_ring_share(ring, 0) == 0);
	assert_true(shard_ring_share(ring, 1) == 1);
	shard_ring_free(ring);
	check_ketama(servers, 2, 1000);
}

/* ---- ties, the end ---- */

/* 1000 servers have several points of one value; the same name twice has nothing else. */
static void equal_points_go_by_the_order_of_names(void **state)
{
	const shard_ring_server same[] = {{"other", 1, false}, {"twin", 1, false}, {"twin", 1, false}};
	shard_ring_server *servers = ring_servers(1000);
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, servers, 1000);
	size_t ties = 0;

	for (size_t i = 1; i < shard_ring_point_count(ring); i++) {
		int first, second;

		if (shard_ring_point(ring, i - 1, &first) != shard_ring_point(ring, i, &second))
			continue;
		ties++;
		/* "server9" before "server10": as their numbers. */
		assert_true(first < second);
		assert_int_equal(shard_ring_route_hash(ring, shard_ring_point(ring, i, &second)), first);
	}
	assert_true(ties > 0);
	shard_ring_free(ring);
	free(servers);
	check_ketama(same, 3, 1000);
	ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, same, 3);
	assert_int_equal(points_of(ring, 2), 160);
	assert_true(shard_ring_share(ring, 2) == 0);
	shard_ring_free(ring);
}

static void behind_the_last_point_comes_the_first(void **state)
{
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, four, 4);

	assert_int_equal(shard_ring_route_hash(ring, 4290847573), 3);
	assert_int_equal(shard_ring_route_hash(ring, 4290847574), 2);
	assert_int_equal(shard_ring_route_hash(ring, UINT32_MAX), 2);
	assert_int_equal(shard_ring_route_hash(ring, 0), 2);
	assert_int_equal(shard_ring_route_hash(ring, 9796559), 2);
	shard_ring_free(ring);
}

/* All points: ten million of them. */
static void as_many_servers_as_there_may_be(void **state)
{
	enum { MOST = 65535 };
	shard_ring_server *servers = ring_servers(MOST);
	shard_ring *ring = ring_of(SHARD_KETAMA, SHARD_HASH_MD5, servers, MOST);
	size_t count = shard_ring_point_count(ring);
	uint32_t before = 0;
	int server;

	assert_in_range(count, MOST * 156, MOST * 160);
	for (size_t i = 0; i < count; i++) {
		uint32_t value = shard_ring_point(ring, i, &server);

		assert_true(value >= before && server >= 0 && server < MOST);
		if (i % 64 == 0 && value > before)
			assert_int_equal(shard_ring_route_hash(ring, before + 1 + (value - before) / 2), server);
		before = value;
	}
	shard_ring_free(ring);
	free(servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(four_servers),
		cmocka_unit_test(weights_make_points),
		cmocka_unit_test(four_points_of_each_digest),
		cmocka_unit_test(equal_weights_round_as_floats_do),
		cmocka_unit_test(rings_of_1_to_1000_servers),
		cmocka_unit_test(rings_of_all_sorts),
		cmocka_unit_test(few_of_many),
		cmocka_unit_test(names_of_each_length),
		cmocka_unit_test(a_tiny_weight_has_no_points),
		cmocka_unit_test(equal_points_go_by_the_order_of_names),
		cmocka_unit_test(behind_the_last_point_comes_the_first),
		cmocka_unit_test(as_many_servers_as_there_may_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
