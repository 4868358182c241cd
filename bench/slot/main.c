/* SPDX-License-Identifier: MIT */
/*
 * Times the slot of a key: libshard's against a byte-wise table.
 *
 * Reads lines "SIDE MODE LENGTH ROUNDS" (SIDE: shard, bytewise), answers each
 * with "KEYS CPU-NS". MODE chained: a call waits for the result of the one
 * before, as a request waits for its slot; apart: the processor may overlap
 * them. The keys are the same for both sides, in cache, without a hash tag.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <shard/slot.h>

#include "bytewise.h"

enum { KEYS = 64, LENGTH_MAX = 1024 };

/* The keys of a length lie close together: all of them fit into the first cache. */
static char bytes[KEYS * (LENGTH_MAX + 3)];

static const char *key_at(size_t i, size_t len)
{
	return bytes + i * (len + 3);
}

static unsigned shard_side(const char *key, size_t len)
{
	return shard_slot(key, len);
}

static const struct side {
	const char *name;
	unsigned (*slot)(const char *key, size_t len);
} sides[] = {
	{"shard", shard_side},
	{"bytewise", bytewise_slot},
};

static void make_keys(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz:0123456789";

	srand(1);
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = letters[(size_t)rand() % (sizeof(letters) - 1)];
}

/* The two must agree, or their times mean nothing. */
static int compare(void)
{
	for (size_t len = 0; len <= 300; len++)
		for (size_t i = 0; i < KEYS; i++)
			if (shard_slot(key_at(i, len), len) != bytewise_slot(key_at(i, len), len)) {
				fprintf(stderr, "bench-slot: the two sides differ on a key of %zu bytes\n", len);
				return -1;
			}
	return 0;
}

static long long cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* A slot is below 16384: the shift gives 0, but the processor has to wait for it. */
static unsigned run_chained(const struct side *side, size_t len)
{
	unsigned last = 0;

	for (size_t i = 0; i < KEYS; i++)
		last = side->slot(key_at(i, len) + (last >> 14), len);
	return last;
}

static unsigned run_apart(const struct side *side, size_t len)
{
	unsigned sum = 0;

	for (size_t i = 0; i < KEYS; i++)
		sum += side->slot(key_at(i, len), len);
	return sum;
}

static long long run(const struct side *side, bool chained, size_t len, unsigned long rounds)
{
	unsigned (*once)(const struct side *side, size_t len) = chained ? run_chained : run_apart;
	volatile unsigned sink;
	long long start = cpu_ns();

	for (unsigned long round = 0; round < rounds; round++)
		sink = once(side, len);
	(void)sink;
	return cpu_ns() - start;
}

static const struct side *find(const char *name)
{
	for (size_t i = 0; i < sizeof(sides) / sizeof(*sides); i++)
		if (strcmp(sides[i].name, name) == 0)
			return &sides[i];
	return NULL;
}

int main(void)
{
	char name[32], mode[32];
	size_t len;
	unsigned long rounds;

	bytewise_init();
	make_keys();
	if (compare())
		return 2;
	while (scanf("%31s %31s %zu %lu", name, mode, &len, &rounds) == 4) {
		const struct side *side = find(name);
		bool chained = strcmp(mode, "chained") == 0;

		if (!side || (!chained && strcmp(mode, "apart") != 0) || len > LENGTH_MAX) {
			fprintf(stderr, "bench-slot: %s %s %zu: no such side, mode or length\n", name, mode, len);
			return 2;
		}
		printf("%lu %lld\n", rounds * KEYS, run(side, chained, len, rounds));
		fflush(stdout);
	}
	return 0;
}
