/* SPDX-License-Identifier: MIT */
#include "pure/ketama.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <md5.h>

#include <shard/error.h>

#define POINTS_A_SERVER 160
#define POINTS_A_HASH 4
/* Small tables afford more buckets a point; big ones miss a cache instead. */
#define BITS_SMALL 16
#define BITS_MAX 22

/* ---- points ---- */

/* Every step rounded to a float, as twemproxy's compiler does it on x86-64. */
static size_t hashes_of(unsigned weight, uint64_t total, size_t servers)
{
	volatile float share = (float)weight / (float)total;
	volatile float points = share * POINTS_A_SERVER;

	points = points / POINTS_A_HASH;
	points = points * (float)servers;
	points = (float)((double)points + 0.0000000001);
	return (size_t)points;
}

/* Texts that begin alike: what of it fills whole blocks is hashed once. */
struct prefix {
	MD5_CTX ctx;
	uint64_t len;
	size_t left; /* bytes of `block` */
	unsigned char block[2 * MD5_BLOCK_LENGTH];
};

static void prefix_init(struct prefix *prefix, const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	MD5Init(&prefix->ctx);
	prefix->len = len;
	for (; len >= MD5_BLOCK_LENGTH; p += MD5_BLOCK_LENGTH, len -= MD5_BLOCK_LENGTH)
		MD5Transform(prefix->ctx.state, p);
	memcpy(prefix->block, p, len);
	prefix->left = len;
}

/* "-N". Returns its length. */
static size_t put_number(unsigned char *at, size_t n)
{
	unsigned char digits[20];
	size_t count = 0;

	do
		digits[count++] = (unsigned char)('0' + n % 10);
	while (n /= 10);
	*at++ = '-';
	for (size_t i = count; i-- > 0;)
		*at++ = digits[i];
	return count + 1;
}

/* The four words of the MD5 of the text and "-N". */
static void prefix_hash(struct prefix *prefix, size_t n, uint32_t words[4])
{
	size_t added = put_number(prefix->block + prefix->left, n), used = prefix->left + added;
	size_t end = used + 9 <= MD5_BLOCK_LENGTH ? MD5_BLOCK_LENGTH : 2 * MD5_BLOCK_LENGTH;
	uint64_t bits = (prefix->len + added) * 8;

	prefix->block[used++] = 0x80;
	memset(prefix->block + used, 0, end - 8 - used);
	for (unsigned i = 0; i < 8; i++)
		prefix->block[end - 8 + i] = (unsigned char)(bits >> 8 * i);
	memcpy(words, prefix->ctx.state, sizeof(prefix->ctx.state));
	for (size_t done = 0; done < end; done += MD5_BLOCK_LENGTH)
		MD5Transform(words, prefix->block + done);
}

/* "name-0", "name-1", ...: each digest gives four points, of the server in this PLACE. Returns the end. */
static uint64_t *add_points(uint64_t *at, const struct ketama_server *server, size_t place, size_t hashes)
{
	struct prefix prefix;
	uint32_t words[POINTS_A_HASH];

	prefix_init(&prefix, server->name, server->name_len);
	for (size_t i = 0; i < hashes; i++) {
		prefix_hash(&prefix, i, words);
		for (unsigned k = 0; k < POINTS_A_HASH; k++)
			*at++ = (uint64_t)words[k] << 16 | place;
	}
	return at;
}

#define DIGIT 11
#define DIGITS (1u << DIGIT)

/* By value, three digits of it; stable, so equal values stay in the order of servers. The result is in SPARE. */
static void sort_points(uint64_t *point, uint64_t *spare, size_t count)
{
	for (unsigned pass = 0; pass < 3; pass++) {
		unsigned down = 16 + pass * DIGIT;
		size_t start[DIGITS + 1] = {0};
		uint64_t *swap = point;

		for (size_t i = 0; i < count; i++)
			start[(point[i] >> down & (DIGITS - 1)) + 1]++;
		for (unsigned d = 0; d < DIGITS; d++)
			start[d + 1] += start[d];
		for (size_t i = 0; i < count; i++)
			spare[start[point[i] >> down & (DIGITS - 1)]++] = point[i];
		point = spare;
		spare = swap;
	}
}

static int make_points(struct ketama *ketama, const struct ketama_server *servers, size_t count, uint64_t weight)
{
	uint64_t *at, *spare;

	for (size_t i = 0; i < count; i++)
		ketama->count += hashes_of(servers[i].weight, weight, count) * POINTS_A_HASH;
	ketama->point = malloc((ketama->count + 1) * sizeof(*ketama->point));
	spare = malloc((ketama->count + 1) * sizeof(*spare));
	if (!ketama->point || !spare) {
		free(spare);
		return SHARD_ENOMEM;
	}
	at = spare;
	for (size_t i = 0; i < count; i++)
		at = add_points(at, &servers[i], i, hashes_of(servers[i].weight, weight, count));
	sort_points(spare, ketama->point, ketama->count);
	free(spare);
	for (size_t i = 0; i < ketama->count; i++)
		ketama->point[i] =
			(uint64_t)ketama_value(ketama->point[i]) << 16 | servers[ketama_index(ketama->point[i])].index;
	ketama->point[ketama->count] = UINT64_MAX << 16 | (ketama->count ? ketama_index(ketama->point[0]) : 0);
	return SHARD_OK;
}

/* ---- buckets ---- */

/* Enough for every index, if there is room for them; else no bucket can say who. */
static void share_bits(struct ketama *ketama)
{
	unsigned most = 0, bits = 1;

	for (size_t i = 0; i < ketama->count; i++)
		most = ketama_index(ketama->point[i]) > most ? ketama_index(ketama->point[i]) : most;
	while (most >> bits)
		bits++;
	ketama->place_bits = bits < 15 ? 15 - bits : 0;
}

/* What is to be known of a bucket: from *I on it has the points below END, *I goes behind them. */
static uint16_t describe(const struct ketama *ketama, size_t *i, uint64_t end)
{
	const uint64_t *point = ketama->point + *i;
	uint32_t place = (1u << ketama->place_bits) - 1;
	size_t first = *i;

	while (*i < ketama->count && ketama_value(ketama->point[*i]) < end)
		++*i;
	if (!ketama->place_bits)
		return KETAMA_MANY;
	if (*i > first)
		place = ketama_place(ketama, ketama_value(*point));
	return (uint16_t)((*i > first + 1 ? KETAMA_MANY : 0) | ketama_index(*point) << ketama->place_bits | place);
}

static int make_buckets(struct ketama *ketama)
{
	size_t buckets = 2, i = 0;

	share_bits(ketama);
	ketama->bits = 1;
	while (buckets * (ketama->bits < BITS_SMALL ? 2 : 4) < 6 * ketama->count && ketama->bits < BITS_MAX) {
		buckets *= 2;
		ketama->bits++;
	}
	ketama->bucket = malloc((buckets + 1) * sizeof(*ketama->bucket));
	ketama->group = malloc((buckets / KETAMA_GROUP + 1) * sizeof(*ketama->group));
	if (!ketama->bucket || !ketama->group)
		return SHARD_ENOMEM;
	for (size_t b = 0; b < buckets; b++) {
		if (b % KETAMA_GROUP == 0)
			ketama->group[b / KETAMA_GROUP] = (uint32_t)i;
		ketama->bucket[b] = describe(ketama, &i, (uint64_t)(b + 1) << (32 - ketama->bits));
	}
	ketama->bucket[buckets] = (uint16_t)(ketama_index(ketama->point[ketama->count]) << ketama->place_bits);
	return SHARD_OK;
}

/* ---- all of it ---- */

int ketama_init(struct ketama *ketama, const struct ketama_server *servers, size_t count, uint64_t weight)
{
	int error;

	*ketama = (struct ketama){0};
	error = make_points(ketama, servers, count, weight);
	return error ? error : make_buckets(ketama);
}

void ketama_finish(struct ketama *ketama)
{
	free(ketama->point);
	free(ketama->bucket);
	free(ketama->group);
}

unsigned ketama_search(const struct ketama *ketama, uint32_t hash)
{
	const uint64_t *point = ketama->point + ketama->group[(hash >> (32 - ketama->bits)) / KETAMA_GROUP];
	uint64_t wanted = (uint64_t)hash << 16;

	while (*point < wanted)
		point++;
	return ketama_index(*point);
}

void ketama_widths(const struct ketama *ketama, uint64_t *width)
{
	/* From behind the point before it, round the ring for the first. */
	uint64_t before = ketama->count ? ketama_value(ketama->point[ketama->count - 1]) : 0;

	before -= 1ull << 32;
	for (size_t i = 0; i < ketama->count; i++) {
		uint64_t value = ketama_value(ketama->point[i]);

		width[ketama_index(ketama->point[i])] += value - before;
		before = value;
	}
}
