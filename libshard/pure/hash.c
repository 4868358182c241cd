/* SPDX-License-Identifier: MIT */
#include <shard/hash.h>

#include <string.h>
#include <sys/types.h>

#include <md5.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "pure/crc16_table.h"

/* What x86's C makes of a char. */
static inline uint32_t sign_extended(unsigned char byte)
{
	return (uint32_t)(int32_t)(int8_t)byte;
}

static inline uint32_t le16(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static inline uint32_t le32(const unsigned char *p)
{
	return le16(p) | le16(p + 2) << 16;
}

static uint32_t one_at_a_time(const unsigned char *p, size_t len)
{
	uint32_t h = 0;

	for (size_t i = 0; i < len; i++) {
		h += sign_extended(p[i]);
		h += h << 10;
		h ^= h >> 6;
	}
	h += h << 3;
	h ^= h >> 11;
	return h + (h << 15);
}

static uint32_t md5(const unsigned char *p, size_t len)
{
	unsigned char digest[MD5_DIGEST_LENGTH];
	MD5_CTX ctx;

	MD5Init(&ctx);
	MD5Update(&ctx, p, len);
	MD5Final(digest, &ctx);
	return le32(digest);
}

static uint32_t crc16(const unsigned char *p, size_t len)
{
	uint32_t c = 0;

	for (size_t i = 0; i < len; i++)
		c = c << 8 ^ crc16_table[0][(c >> 8 ^ p[i]) & 0xff];
	return c;
}

static uint32_t crc32a(const unsigned char *p, size_t len)
{
	/* The remainders of a byte's lower four bits and of its upper ones, polynomial 0xedb88320. */
	static const uint32_t lower[16] = {
		0x00000000, 0x77073096, 0xee0e612c, 0x990951ba, 0x076dc419, 0x706af48f, 0xe963a535, 0x9e6495a3,
		0x0edb8832, 0x79dcb8a4, 0xe0d5e91e, 0x97d2d988, 0x09b64c2b, 0x7eb17cbd, 0xe7b82d07, 0x90bf1d91,
	};
	static const uint32_t upper[16] = {
		0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
		0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
	};
	uint32_t c = 0xffffffff;

	for (size_t i = 0; i < len; i++) {
		uint32_t byte = (c ^ p[i]) & 0xff;

		c = c >> 8 ^ lower[byte & 15] ^ upper[byte >> 4];
	}
	return ~c;
}

static uint32_t fnv1(const unsigned char *p, size_t len, uint32_t h, uint32_t prime)
{
	for (size_t i = 0; i < len; i++) {
		h *= prime;
		h ^= sign_extended(p[i]);
	}
	return h;
}

static uint32_t fnv1a(const unsigned char *p, size_t len, uint32_t h, uint32_t prime)
{
	for (size_t i = 0; i < len; i++) {
		h ^= sign_extended(p[i]);
		h *= prime;
	}
	return h;
}

/* The low halves of FNV's 64-bit constants: nothing of the high ones ever reaches the low 32 bits. */
#define FNV64_START 0x84222325
#define FNV64_PRIME 0x1b3
#define FNV32_START 2166136261
#define FNV32_PRIME 16777619

static uint32_t hsieh_tail(uint32_t h, const unsigned char *p, size_t left)
{
	switch (left) {
	case 3:
		h += le16(p);
		h ^= h << 16;
		h ^= sign_extended(p[2]) << 18;
		return h + (h >> 11);
	case 2:
		h += le16(p);
		h ^= h << 11;
		return h + (h >> 17);
	case 1:
		h += p[0];
		h ^= h << 10;
		return h + (h >> 1);
	}
	return h;
}

static uint32_t hsieh(const unsigned char *p, size_t len)
{
	uint32_t h = 0;

	for (; len >= 4; p += 4, len -= 4) {
		h += le16(p);
		h = h << 16 ^ (le16(p + 2) << 11 ^ h);
		h += h >> 11;
	}
	h = hsieh_tail(h, p, len);
	h ^= h << 3;
	h += h >> 5;
	h ^= h << 4;
	h += h >> 17;
	h ^= h << 25;
	return h + (h >> 6);
}

static uint32_t murmur(const unsigned char *p, size_t len)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t h = (0xdeadbeef * (uint32_t)len) ^ (uint32_t)len;

	for (; len >= 4; p += 4, len -= 4) {
		uint32_t k = le32(p) * m;

		k ^= k >> 24;
		h = h * m ^ k * m;
	}
	if (len) {
		for (size_t i = len; i-- > 0;)
			h ^= (uint32_t)p[i] << 8 * i;
		h *= m;
	}
	h ^= h >> 13;
	h *= m;
	return h ^ h >> 15;
}

static inline uint32_t rotated(uint32_t x, unsigned n)
{
	return x << n | x >> (32 - n);
}

static inline void jenkins_step(uint32_t *x, const uint32_t *y, uint32_t *z, unsigned turn)
{
	*x -= *z;
	*x ^= rotated(*z, turn);
	*z += *y;
}

static inline void jenkins_mix(uint32_t *a, uint32_t *b, uint32_t *c)
{
	jenkins_step(a, b, c, 4);
	jenkins_step(b, c, a, 6);
	jenkins_step(c, a, b, 8);
	jenkins_step(a, b, c, 16);
	jenkins_step(b, c, a, 19);
	jenkins_step(c, a, b, 4);
}

static uint32_t jenkins_final(uint32_t a, uint32_t b, uint32_t c)
{
	c ^= b;
	c -= rotated(b, 14);
	a ^= c;
	a -= rotated(c, 11);
	b ^= a;
	b -= rotated(a, 25);
	c ^= b;
	c -= rotated(b, 16);
	a ^= c;
	a -= rotated(c, 4);
	b ^= a;
	b -= rotated(a, 14);
	c ^= b;
	return c - rotated(b, 24);
}

static uint32_t jenkins(const unsigned char *p, size_t len)
{
	uint32_t a = 0xdeadbeef + (uint32_t)len + 13, b = a, c = a;
	unsigned char last[12] = {0};

	for (; len > 12; p += 12, len -= 12) {
		a += le32(p);
		b += le32(p + 4);
		c += le32(p + 8);
		jenkins_mix(&a, &b, &c);
	}
	if (!len)
		return c;
	memcpy(last, p, len);
	return jenkins_final(a + le32(last), b + le32(last + 4), c + le32(last + 8));
}

/* ---- by kind ---- */

static const char *const names[SHARD_HASH_COUNT] = {
	"one_at_a_time", "md5",      "crc16", "crc32",  "crc32a",  "fnv1_64", "fnv1a_64",
	"fnv1_32",       "fnv1a_32", "hsieh", "murmur", "jenkins", "xxh3",
};

const char *shard_hash_name(int kind)
{
	return kind >= 0 && kind < SHARD_HASH_COUNT ? names[kind] : NULL;
}

int shard_hash_find(const char *name)
{
	for (int kind = 0; kind < SHARD_HASH_COUNT; kind++)
		if (!strcmp(names[kind], name))
			return kind;
	return -1;
}

uint32_t shard_hash(int kind, const void *key, size_t len)
{
	const unsigned char *p = len ? key : (const unsigned char *)"";

	switch (kind) {
	case SHARD_HASH_ONE_AT_A_TIME:
		return one_at_a_time(p, len);
	case SHARD_HASH_MD5:
		return md5(p, len);
	case SHARD_HASH_CRC16:
		return crc16(p, len);
	case SHARD_HASH_CRC32:
		return crc32a(p, len) >> 16 & 0x7fff;
	case SHARD_HASH_CRC32A:
		return crc32a(p, len);
	case SHARD_HASH_FNV1_64:
		return fnv1(p, len, FNV64_START, FNV64_PRIME);
	case SHARD_HASH_FNV1A_64:
		return fnv1a(p, len, FNV64_START, FNV64_PRIME);
	case SHARD_HASH_FNV1_32:
		return fnv1(p, len, FNV32_START, FNV32_PRIME);
	case SHARD_HASH_FNV1A_32:
		return fnv1a(p, len, FNV32_START, FNV32_PRIME);
	case SHARD_HASH_HSIEH:
		return hsieh(p, len);
	case SHARD_HASH_MURMUR:
		return murmur(p, len);
	case SHARD_HASH_JENKINS:
		return jenkins(p, len);
	case SHARD_HASH_XXH3:
		return (uint32_t)(XXH3_64bits(p, len) >> 32);
	}
	return 0;
}
