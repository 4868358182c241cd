/* SPDX-License-Identifier: MIT */
#include "ring_slow.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <md5.h>

size_t slow_points_of(unsigned weight, unsigned total, size_t live)
{
	/* Doubles hold any product of two floats: this rounds once a step, as floats alone do. */
	double share = (float)((double)(float)weight / (double)(float)total);
	double points = (float)((float)((float)(share * 160) / 4.0) * (double)live);

	return (size_t)(float)(points + 0.0000000001) * 4;
}

/* Word K of the MD5 of "NAME-NUMBER". */
static uint32_t point_value(const char *name, size_t number, size_t k)
{
	size_t room = strlen(name) + 24;
	char *text = malloc(room), hex[MD5_DIGEST_STRING_LENGTH];
	uint32_t value = 0;

	MD5Data((const unsigned char *)text, (size_t)snprintf(text, room, "%s-%zu", name, number), hex);
	free(text);
	for (size_t byte = 4; byte-- > 0;) {
		char digits[3] = {hex[8 * k + 2 * byte], hex[8 * k + 2 * byte + 1], 0};

		value = value * 256 + (uint32_t)strtoul(digits, NULL, 16);
	}
	return value;
}

static int by_value(const void *a, const void *b)
{
	const struct slow_point *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

/* How many servers come before the one at I. */
static size_t place_of(const shard_ring_server *servers, size_t count, size_t i)
{
	size_t before = 0, len = strlen(servers[i].name);

	for (size_t j = 0; j < count; j++) {
		size_t other = strlen(servers[j].name);
		int order = strcmp(servers[j].name, servers[i].name);

		before += other != len ? other < len : order ? order < 0 : j < i;
	}
	return before;
}

struct slow_ring slow_ring_create(const shard_ring_server *servers, size_t count)
{
	struct slow_ring ring = {0};
	unsigned total = 0;
	size_t live = 0;

	for (size_t i = 0; i < count; i++) {
		live += !servers[i].ejected;
		total += servers[i].ejected ? 0 : servers[i].weight;
	}
	for (size_t i = 0; i < count; i++) {
		size_t points = servers[i].ejected ? 0 : slow_points_of(servers[i].weight, total, live);
		size_t place = points ? place_of(servers, count, i) : 0;

		ring.point = realloc(ring.point, (ring.count + points + 1) * sizeof(*ring.point));
		for (size_t p = 0; p < points; p++)
			ring.point[ring.count++] = (struct slow_point){
				.value = point_value(servers[i].name, p / 4, p % 4),
				.place = place,
				.server = (int)i,
			};
	}
	if (ring.count)
		qsort(ring.point, ring.count, sizeof(*ring.point), by_value);
	return ring;
}

void slow_ring_free(struct slow_ring *ring)
{
	free(ring->point);
}

int slow_ring_route(const struct slow_ring *ring, uint32_t hash)
{
	size_t low = 0, high = ring->count;

	if (!ring->count)
		return -1;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ring->point[middle].value < hash)
			low = middle + 1;
		else
			high = middle;
	}
	return ring->point[low == ring->count ? 0 : low].server;
}

uint64_t slow_ring_width(const struct slow_ring *ring, int server)
{
	uint64_t width = 0;

	for (size_t i = 0; i < ring->count; i++) {
		if (ring->point[i].server != server)
			continue;
		if (i)
			width += ring->point[i].value - ring->point[i - 1].value;
		else
			width += ring->point[0].value + ((1ull << 32) - ring->point[ring->count - 1].value);
	}
	return width;
}
