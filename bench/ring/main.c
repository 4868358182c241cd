/* SPDX-License-Identifier: MIT */
/*
 * Times a ring: libshard's against one as twemproxy has it.
 *
 * Reads lines "SIDE WHAT SERVERS TIMES" (SIDE: shard, twemproxy), answers each
 * with "TIMES CPU-NS". WHAT hash: the server of a random hash; key: the server
 * of a key of 16 bytes by fnv1a_64; either may be followed by -chained: a call
 * waits for the result of the one before, else the processor may overlap them,
 * as it may those of all requests that came at once. build: a ring is made and
 * freed.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <shard/ring.h>

#include "continuum.h"

enum { SERVERS_MAX = 1000, NAME_MAX_LEN = 32, KEYS = 16384, KEY_LEN = 16 };

static char names[SERVERS_MAX][NAME_MAX_LEN];
static const char *in_order[SERVERS_MAX];
static shard_ring_server servers[SERVERS_MAX];
static char keys[KEYS][KEY_LEN];

/* Both rings of one number of servers. */
static struct {
	size_t count;
	shard_ring *ring;
	struct continuum *continuum;
	size_t points;
} now;

static void die(const char *what)
{
	fprintf(stderr, "bench-ring: %s\n", what);
	exit(2);
}

/* Names sort as their numbers do, so that both sides number servers alike. */
static void make_names(void)
{
	for (unsigned i = 0; i < SERVERS_MAX; i++) {
		snprintf(names[i], sizeof(names[i]), "10.0.%u.%u:6379", 100 + i / 100, 100 + i % 100);
		in_order[i] = names[i];
		servers[i] = (shard_ring_server){.name = names[i], .weight = 1};
	}
}

static void make_keys(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz:0123456789";

	srand(1);
	for (size_t i = 0; i < KEYS; i++)
		for (size_t k = 0; k < KEY_LEN; k++)
			keys[i][k] = letters[(size_t)rand() % (sizeof(letters) - 1)];
}

static shard_ring *build(size_t count)
{
	shard_ring_options options = {.distribution = SHARD_KETAMA, .hash = SHARD_HASH_FNV1A_64};
	shard_ring *ring;

	if (shard_ring_create(&ring, &options, servers, count))
		die("the ring cannot be made");
	return ring;
}

/* Every hash is another: what it is made of leaves nothing for a branch predictor to learn. */
static inline uint32_t next_hash(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

/* ---- the sides ---- */

static unsigned shard_hash_side(uint32_t hash)
{
	return (unsigned)shard_ring_route_hash(now.ring, hash);
}

static unsigned twemproxy_hash_side(uint32_t hash)
{
	return continuum_find(now.continuum, now.points, hash);
}

static unsigned shard_key_side(const char *key)
{
	return (unsigned)shard_ring_route(now.ring, key, KEY_LEN);
}

static unsigned twemproxy_key_side(const char *key)
{
	return continuum_find(now.continuum, now.points, continuum_fnv1a_64(key, KEY_LEN));
}

static void shard_build_side(size_t count)
{
	shard_ring_free(build(count));
}

static void twemproxy_build_side(size_t count)
{
	size_t points;

	free(continuum_build(in_order, count, &points));
}

static const struct side {
	const char *name;
	unsigned (*hash)(uint32_t hash);
	unsigned (*key)(const char *key);
	void (*build)(size_t count);
} sides[] = {
	{"shard", shard_hash_side, shard_key_side, shard_build_side},
	{"twemproxy", twemproxy_hash_side, twemproxy_key_side, twemproxy_build_side},
};

/* The two must agree, or their times mean nothing. */
static void compare(void)
{
	uint64_t state = 1;

	if (shard_ring_point_count(now.ring) != now.points)
		die("the two sides differ in the number of points");
	for (size_t i = 0; i < now.points; i++) {
		int server;

		if (shard_ring_point(now.ring, i, &server) != now.continuum[i].value ||
		    server != (int)now.continuum[i].index)
			die("the two sides differ in a point");
	}
	for (size_t i = 0; i < 100000; i++) {
		uint32_t hash = next_hash(&state);

		if (shard_hash_side(hash) != twemproxy_hash_side(hash))
			die("the two sides differ on a hash");
	}
	for (size_t i = 0; i < KEYS; i++)
		if (shard_key_side(keys[i]) != twemproxy_key_side(keys[i]))
			die("the two sides differ on a key");
}

static void prepare(size_t count)
{
	if (now.count == count)
		return;
	shard_ring_free(now.ring);
	free(now.continuum);
	now.count = count;
	now.ring = build(count);
	now.continuum = continuum_build(in_order, count, &now.points);
	if (!now.continuum)
		die("out of memory");
	compare();
}

/* ---- the work ---- */

static volatile unsigned sink;

static void run_hash(const struct side *side, unsigned long times)
{
	uint64_t state = 1;
	unsigned sum = 0;

	for (unsigned long i = 0; i < times; i++)
		sum += side->hash(next_hash(&state));
	sink = sum;
}

static void run_key(const struct side *side, unsigned long times)
{
	unsigned sum = 0;

	for (unsigned long i = 0; i < times; i++)
		sum += side->key(keys[i % KEYS]);
	sink = sum;
}

/* A server's index is below 65536: the shift gives 0, but the processor has to wait for it. */
static void run_hash_chained(const struct side *side, unsigned long times)
{
	uint64_t state = 1;
	unsigned last = 0;

	for (unsigned long i = 0; i < times; i++)
		last = side->hash(next_hash(&state) + (last >> 16));
	sink = last;
}

static void run_key_chained(const struct side *side, unsigned long times)
{
	unsigned last = 0;

	for (unsigned long i = 0; i < times; i++)
		last = side->key(keys[i % KEYS] + (last >> 16));
	sink = last;
}

static void run_build(const struct side *side, unsigned long times)
{
	for (unsigned long i = 0; i < times; i++)
		side->build(now.count);
}

static const struct work {
	const char *name;
	void (*run)(const struct side *side, unsigned long times);
} works[] = {
	{"hash", run_hash},   {"key", run_key}, {"hash-chained", run_hash_chained}, {"key-chained", run_key_chained},
	{"build", run_build},
};

static long long cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static const struct side *find_side(const char *name)
{
	for (size_t i = 0; i < sizeof(sides) / sizeof(*sides); i++)
		if (strcmp(sides[i].name, name) == 0)
			return &sides[i];
	return NULL;
}

static const struct work *find_work(const char *name)
{
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		if (strcmp(works[i].name, name) == 0)
			return &works[i];
	return NULL;
}

int main(void)
{
	char name[32], what[32];
	size_t count;
	unsigned long times;

	make_names();
	make_keys();
	while (scanf("%31s %31s %zu %lu", name, what, &count, &times) == 4) {
		const struct side *side = find_side(name);
		const struct work *work = find_work(what);
		long long start;

		if (!side || !work || count < 2 || count > SERVERS_MAX)
			die("no such side, work or number of servers");
		prepare(count);
		start = cpu_ns();
		work->run(side, times);
		printf("%lu %lld\n", times, cpu_ns() - start);
		fflush(stdout);
	}
	shard_ring_free(now.ring);
	free(now.continuum);
	return 0;
}
