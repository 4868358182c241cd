/* SPDX-License-Identifier: MIT */
#include "continuum.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <md5.h>

enum { POINTS_A_SERVER = 160, POINTS_A_HASH = 4, HOST_MAX = 86 };

static uint32_t point_of(const char *text, size_t len, unsigned word)
{
	unsigned char digest[MD5_DIGEST_LENGTH];
	MD5_CTX ctx;

	MD5Init(&ctx);
	MD5Update(&ctx, (const unsigned char *)text, len);
	MD5Final(digest, &ctx);
	return (uint32_t)digest[3 + word * 4] << 24 | (uint32_t)digest[2 + word * 4] << 16 |
	       (uint32_t)digest[1 + word * 4] << 8 | digest[word * 4];
}

static int by_value(const void *a, const void *b)
{
	const struct continuum *x = a, *y = b;

	if (x->value == y->value)
		return 0;
	return x->value > y->value ? 1 : -1;
}

struct continuum *continuum_build(const char *const *names, size_t count, size_t *points)
{
	float share = 1.0f / (float)count;
	size_t each = (size_t)floorf((float)(share * POINTS_A_SERVER / 4 * (float)count + 0.0000000001));
	struct continuum *continuum = malloc(count * each * POINTS_A_HASH * sizeof(*continuum)), *at = continuum;

	if (!continuum)
		return NULL;
	for (size_t server = 0; server < count; server++) {
		for (size_t i = 0; i < each; i++) {
			char host[HOST_MAX] = "";
			int len = snprintf(host, sizeof(host), "%s-%zu", names[server], i);

			for (unsigned word = 0; word < POINTS_A_HASH; word++)
				*at++ = (struct continuum){(uint32_t)server, point_of(host, (size_t)len, word)};
		}
	}
	*points = (size_t)(at - continuum);
	qsort(continuum, *points, sizeof(*continuum), by_value);
	return continuum;
}

uint32_t continuum_find(const struct continuum *continuum, size_t points, uint32_t hash)
{
	const struct continuum *left = continuum, *right = continuum + points, *end = right;

	while (left < right) {
		const struct continuum *middle = left + (right - left) / 2;

		if (middle->value < hash)
			left = middle + 1;
		else
			right = middle;
	}
	return right == end ? continuum->index : right->index;
}

uint32_t continuum_fnv1a_64(const char *key, size_t len)
{
	uint32_t hash = 0x84222325;

	for (size_t i = 0; i < len; i++) {
		hash ^= (uint32_t)(int32_t)(signed char)key[i];
		hash *= 0x1b3;
	}
	return hash;
}
