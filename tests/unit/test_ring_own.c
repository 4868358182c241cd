/* SPDX-License-Identifier: MIT */
/* The distributions of our own: jump, rendezvous. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <shard/ring.h>

enum { KEYS = 200000, MOST = 12 };
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const int kinds[] = {SHARD_JUMP, SHARD_RENDEZVOUS};
static const shard_ring_server same[] = {
	{"server1", 1, false}, {"server2", 1, false}, {"server3", 1, false}, {"server4", 1, false}};
static const shard_ring_server weighted[] = {
	{"alpha", 1, false}, {"beta", 2, false}, {"gamma", 7, false}, {"10.0.0.10:6379", 5, false}};

static shard_ring *ring_of(int distribution, const shard_ring_server *servers, size_t count)
{
	shard_ring_options options = {.distribution = distribution, .hash = SHARD_HASH_MD5};
	shard_ring *ring;

	assert_int_equal(shard_ring_create(&ring, &options, servers, count), SHARD_OK);
	return ring;
}

static int route(const shard_ring *ring, int number)
{
	char key[24];

	return shard_ring_route(ring, key, (size_t)snprintf(key, sizeof(key), "key:%d", number));
}

/* ---- the same everywhere, for ever ---- */

/* Written down from another implementation, in another language. */
static const struct {
	const char *key;
	size_t len;
	uint64_t hash;
	int rendezvous_same, rendezvous_weighted, jump_same, jump_weighted;
} vectors[] = {
	{"", 0, 0x2d06800538d394c2, 1, 3, 0, 0},
	{"apple", 5, 0x517a430dcf1f8a00, 3, 2, 2, 3},
	{"foo", 3, 0, 1, 3, 2, 1},
	{"user:1000", 9, 0xfb6841b2068c0c9f, 0, 3, 2, 2},
	{"h\xc3\xa9llo", 6, 0x6a45b79a7b549b1f, 1, 3, 3, 3},
	{"\xff\xfe", 2, 0, 2, 2, 3, 3},
	{"{tag}x", 6, 0, 0, 3, 1, 1},
	{"0123456789abcdefg", 17, 0xd2e63ed5466f5c32, 2, 2, 1, 1},
};

static void check_vectors(int distribution, const shard_ring_server *servers, size_t offset)
{
	shard_ring *ring = ring_of(distribution, servers, 4);

	for (size_t i = 0; i < COUNT(vectors); i++) {
		int expected = *(const int *)((const char *)&vectors[i] + offset);

		assert_int_equal(shard_ring_route(ring, vectors[i].key, vectors[i].len), expected);
		if (vectors[i].hash)
			assert_true(shard_ring_hash(ring, vectors[i].key, vectors[i].len) == vectors[i].hash);
	}
	shard_ring_free(ring);
}

static void fixed_vectors(void **state)
{
	check_vectors(SHARD_RENDEZVOUS, same, offsetof(__typeof__(*vectors), rendezvous_same));
	check_vectors(SHARD_RENDEZVOUS, weighted, offsetof(__typeof__(*vectors), rendezvous_weighted));
	check_vectors(SHARD_JUMP, same, offsetof(__typeof__(*vectors), jump_same));
	check_vectors(SHARD_JUMP, weighted, offsetof(__typeof__(*vectors), jump_weighted));
}

static void check_sum(int distribution, const shard_ring_server *servers, long expected)
{
	shard_ring *ring = ring_of(distribution, servers, 4);
	long sum = 0;

	for (int i = 0; i < 20000; i++)
		sum += route(ring, i) * (i % 97 + 1);
	assert_int_equal(sum, expected);
	shard_ring_free(ring);
}

static void twenty_thousand_keys_at_once(void **state)
{
	check_sum(SHARD_RENDEZVOUS, same, 1460819);
	check_sum(SHARD_RENDEZVOUS, weighted, 2025454);
	check_sum(SHARD_JUMP, same, 1465580);
	check_sum(SHARD_JUMP, weighted, 2022577);
}

static void the_hash_is_of_the_tag(void **state)
{
	for (size_t k = 0; k < COUNT(kinds); k++) {
		shard_ring_options options = {.distribution = kinds[k], .hash_tag = {'{', '}'}};
		shard_ring *tagged, *plain = ring_of(kinds[k], same, 4);

		assert_int_equal(shard_ring_create(&tagged, &options, same, 4), SHARD_OK);
		assert_true(shard_ring_hash(tagged, "a{user:1000}b", 13) == 0xfb6841b2068c0c9f);
		assert_true(shard_ring_hash(plain, "a{user:1000}b", 13) != 0xfb6841b2068c0c9f);
		assert_true(shard_ring_hash(tagged, "", 0) == 0x2d06800538d394c2);
		shard_ring_free(tagged);
		shard_ring_free(plain);
	}
}

/* ---- balance ---- */

static void check_balance(int distribution, const shard_ring_server *servers, size_t count, double limit)
{
	shard_ring *ring = ring_of(distribution, servers, count);
	unsigned found[MOST] = {0};
	double chi = 0, sum = 0;

	for (int i = 0; i < KEYS; i++)
		found[route(ring, i)]++;
	for (size_t i = 0; i < count; i++) {
		double expected = shard_ring_share(ring, (int)i) * KEYS;
		double off = found[i] - expected;

		sum += shard_ring_share(ring, (int)i);
		chi += off * off / expected;
		/* Three in a hundred. */
		assert_true(off < expected * 0.03 && off > -expected * 0.03);
	}
	assert_true(sum > 0.999999999 && sum < 1.000000001);
	if (chi > limit)
		fail_msg("%s: chi square is %g", shard_distribution_name(distribution), chi);
	shard_ring_free(ring);
}

/* The limits are chi square's 99.9 %, for 9, 3 and 11 degrees of freedom. */
static void keys_are_spread_by_weight(void **state)
{
	static const shard_ring_server ten[] = {{"a", 9, false}, {"b", 9, false}, {"c", 9, false}, {"d", 9, false},
						{"e", 9, false}, {"f", 9, false}, {"g", 9, false}, {"h", 9, false},
						{"i", 9, false}, {"j", 9, false}};
	static const shard_ring_server twelve[MOST] = {{"n1", 10, false},   {"n2", 20, false},   {"n3", 30, false},
						       {"n4", 40, false},   {"n5", 50, false},   {"n6", 60, false},
						       {"n7", 70, false},   {"n8", 80, false},   {"n9", 90, false},
						       {"n10", 100, false}, {"n11", 110, false}, {"n12", 17, false}};

	for (size_t k = 0; k < COUNT(kinds); k++) {
		check_balance(kinds[k], ten, 10, 27.88);
		check_balance(kinds[k], weighted, 4, 16.27);
		check_balance(kinds[k], twelve, 12, 31.26);
	}
}

/* ---- what moves ---- */

/* From ONE to OTHER keys go to SERVER alone; NUMBER: what ONE's servers are called in OTHER. */
static int moved_to(const shard_ring *one, const shard_ring *other, const int *number, int server)
{
	int moved = 0;

	for (int i = 0; i < KEYS; i++) {
		int before = route(one, i), after = route(other, i);

		if (after == number[before])
			continue;
		assert_int_equal(after, server);
		moved++;
	}
	return moved;
}

static void one_more_at_the_end_takes_only_its_share(void **state)
{
	static const int number[] = {0, 1, 2, 3};

	for (size_t k = 0; k < COUNT(kinds); k++) {
		for (unsigned weight = 1; weight < 20; weight += 9) {
			shard_ring_server more[5];
			shard_ring *one = ring_of(kinds[k], weighted, 4), *other;
			double expected = KEYS * (weight / (15.0 + weight));
			int moved;

			memcpy(more, weighted, sizeof(weighted));
			more[4] = (shard_ring_server){.name = "the new one", .weight = weight};
			other = ring_of(kinds[k], more, 5);
			moved = moved_to(one, other, number, 4);
			assert_true(moved > expected * 0.97 && moved < expected * 1.03);
			shard_ring_free(one);
			shard_ring_free(other);
		}
	}
}

/* To take one out is to put it in, seen from the other end. */
static void who_leaves_a_rendezvous_moves_its_own_keys_only(void **state)
{
	for (int leaves = 0; leaves < 4; leaves++) {
		for (int weights = 0; weights < 2; weights++) {
			const shard_ring_server *all = weights ? weighted : same;
			shard_ring *with = ring_of(SHARD_RENDEZVOUS, all, 4), *without, *ejected;
			shard_ring_server rest[3], marked[4];
			int number[3];

			memcpy(marked, all, sizeof(marked));
			marked[leaves].ejected = true;
			for (int i = 0; i < 3; i++) {
				number[i] = i + (i >= leaves);
				rest[i] = all[number[i]];
			}
			without = ring_of(SHARD_RENDEZVOUS, rest, 3);
			ejected = ring_of(SHARD_RENDEZVOUS, marked, 4);
			assert_true(moved_to(without, with, number, leaves) > 0);
			assert_int_equal(moved_to(without, ejected, number, -1), 0);
			shard_ring_free(with);
			shard_ring_free(without);
			shard_ring_free(ejected);
		}
	}
}

/* Jump: the last may leave as quietly. */
static void the_last_leaves_a_jump_with_its_own_keys_only(void **state)
{
	static const int number[] = {0, 1, 2};
	shard_ring *with = ring_of(SHARD_JUMP, weighted, 4), *without = ring_of(SHARD_JUMP, weighted, 3);

	assert_true(moved_to(without, with, number, 3) > 0);
	shard_ring_free(with);
	shard_ring_free(without);
}

static void more_weight_only_draws_keys(void **state)
{
	static const int number[] = {0, 1, 2, 3};
	shard_ring_server heavier[4];
	shard_ring *one = ring_of(SHARD_RENDEZVOUS, weighted, 4), *other;

	memcpy(heavier, weighted, sizeof(heavier));
	heavier[1].weight *= 3;
	other = ring_of(SHARD_RENDEZVOUS, heavier, 4);
	assert_true(moved_to(one, other, number, 1) > 0);
	shard_ring_free(one);
	shard_ring_free(other);
}

static void the_order_of_servers_is_nothing_to_a_rendezvous(void **state)
{
	static const int number[] = {3, 2, 1, 0};
	shard_ring_server turned[4];
	shard_ring *one = ring_of(SHARD_RENDEZVOUS, weighted, 4), *other;

	for (int i = 0; i < 4; i++)
		turned[number[i]] = weighted[i];
	other = ring_of(SHARD_RENDEZVOUS, turned, 4);
	assert_int_equal(moved_to(one, other, number, -1), 0);
	shard_ring_free(one);
	shard_ring_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fixed_vectors),
		cmocka_unit_test(twenty_thousand_keys_at_once),
		cmocka_unit_test(the_hash_is_of_the_tag),
		cmocka_unit_test(keys_are_spread_by_weight),
		cmocka_unit_test(one_more_at_the_end_takes_only_its_share),
		cmocka_unit_test(who_leaves_a_rendezvous_moves_its_own_keys_only),
		cmocka_unit_test(the_last_leaves_a_jump_with_its_own_keys_only),
		cmocka_unit_test(more_weight_only_draws_keys),
		cmocka_unit_test(the_order_of_servers_is_nothing_to_a_rendezvous),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
