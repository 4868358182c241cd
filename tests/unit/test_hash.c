/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <cmocka.h>
#include <md5.h>

#include <shard/hash.h>
#include <shard/slot.h>

enum { LENGTH_MAX = 300 };

/* ---- the same hashes, written as slowly and as differently as they can be ---- */

typedef signed char byte_s;

static uint32_t slow_one_at_a_time(const unsigned char *p, size_t len)
{
	uint64_t h = 0;

	for (size_t i = 0; i < len; i++) {
		h = (h + (uint64_t)(int64_t)(byte_s)p[i]) % (1ull << 32);
		h = (h * 1025) % (1ull << 32);
		h ^= h / 64;
	}
	h = (h * 9) % (1ull << 32);
	h ^= h / 2048;
	return (uint32_t)(h * 32769);
}

static uint32_t slow_md5(const unsigned char *p, size_t len)
{
	char hex[MD5_DIGEST_STRING_LENGTH], first[9] = {0};

	MD5Data(p, len, hex);
	/* The first four bytes, last to first. */
	for (int i = 0; i < 4; i++)
		memcpy(first + 2 * i, hex + 6 - 2 * i, 2);
	return (uint32_t)strtoul(first, NULL, 16);
}

static uint32_t slow_crc16(const unsigned char *p, size_t len)
{
	uint32_t c = 0;

	for (size_t i = 0; i < len; i++) {
		uint32_t entry = ((c >> 8 ^ p[i]) & 255) << 8;

		for (int bit = 0; bit < 8; bit++)
			entry = (entry << 1 ^ (entry & 0x8000 ? 0x1021u : 0)) & 0xffff;
		c = c * 256 ^ entry;
	}
	return c;
}

static uint32_t slow_crc32a(const unsigned char *p, size_t len)
{
	uint32_t c = UINT32_MAX;

	for (size_t bit = 0; bit < 8 * len; bit++) {
		uint32_t low = (c ^ (uint32_t)p[bit / 8] >> bit % 8) & 1;

		c = c >> 1 ^ (low ? 0xedb88320 : 0);
	}
	return ~c;
}

static uint32_t slow_crc32(const unsigned char *p, size_t len)
{
	return slow_crc32a(p, len) % (1u << 31) / (1u << 16);
}

/* With all 64 bits, which the real ones throw away. */
static uint32_t slow_fnv1_64(const unsigned char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = h * 0x100000001b3 ^ (uint64_t)(int64_t)(byte_s)p[i];
	return (uint32_t)h;
}

static uint32_t slow_fnv1a_64(const unsigned char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint64_t)(int64_t)(byte_s)p[i]) * 0x100000001b3;
	return (uint32_t)h;
}

static uint32_t slow_fnv1_32(const unsigned char *p, size_t len)
{
	uint64_t h = 0x811c9dc5;

	for (size_t i = 0; i < len; i++)
		h = (h * 0x01000193 ^ (uint64_t)(int64_t)(byte_s)p[i]) & UINT32_MAX;
	return (uint32_t)h;
}

static uint32_t slow_fnv1a_32(const unsigned char *p, size_t len)
{
	uint64_t h = 0x811c9dc5;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint64_t)(int64_t)(byte_s)p[i]) * 0x01000193 & UINT32_MAX;
	return (uint32_t)h;
}

/* LE16 at I, and the little-endian word of four. */
static uint32_t two(const unsigned char *p, size_t i)
{
	return p[i] + 256u * p[i + 1];
}

static uint32_t four(const unsigned char *p, size_t i)
{
	return two(p, i) + 65536 * two(p, i + 2);
}

static uint32_t slow_hsieh(const unsigned char *p, size_t len)
{
	size_t i = 0;
	uint32_t h = 0, t;

	for (; i + 4 <= len; i += 4) {
		h += two(p, i);
		t = two(p, i + 2) * 2048 ^ h;
		h = h * 65536 ^ t;
		h += h / 2048;
	}
	if (len % 4 == 3) {
		h += two(p, i);
		h ^= h * 65536;
		h ^= (uint32_t)((int32_t)(byte_s)p[i + 2] * 262144);
		h += h / 2048;
	} else if (len % 4 == 2) {
		h += two(p, i);
		h ^= h * 2048;
		h += h / 131072;
	} else if (len % 4 == 1) {
		h += p[i];
		h ^= h * 1024;
		h += h / 2;
	}
	h ^= h * 8;
	h += h / 32;
	h ^= h * 16;
	h += h / 131072;
	h ^= h * 33554432;
	h += h / 64;
	return h;
}

static uint32_t slow_murmur(const unsigned char *p, size_t len)
{
	uint32_t h = 0xdeadbeefu * (uint32_t)len ^ (uint32_t)len;
	size_t i = 0;

	for (; i + 4 <= len; i += 4) {
		uint32_t k = four(p, i) * 0x5bd1e995u;

		h = h * 0x5bd1e995u ^ (k ^ k / 16777216) * 0x5bd1e995u;
	}
	if (len % 4 > 2)
		h ^= p[i + 2] * 65536u;
	if (len % 4 > 1)
		h ^= p[i + 1] * 256u;
	if (len % 4 > 0)
		h = (h ^ p[i]) * 0x5bd1e995u;
	h = (h ^ h / 8192) * 0x5bd1e995u;
	return h ^ h / 32768;
}

static uint32_t turned(uint32_t x, int n)
{
	for (; n; n--)
		x = x << 1 | x >> 31;
	return x;
}

static uint32_t slow_jenkins(const unsigned char *key, size_t len)
{
	uint32_t a = 0xdeadbeef + (uint32_t)len + 13, b = a, c = a;
	/* Zeros behind the key count for nothing. */
	unsigned char *p = calloc(len + 12, 1);
	size_t i = 0;

	memcpy(p, key, len);
	for (; len - i > 12; i += 12) {
		a += four(p, i), b += four(p, i + 4), c += four(p, i + 8);
		a -= c, a ^= turned(c, 4), c += b;
		b -= a, b ^= turned(a, 6), a += c;
		c -= b, c ^= turned(b, 8), b += a;
		a -= c, a ^= turned(c, 16), c += b;
		b -= a, b ^= turned(a, 19), a += c;
		c -= b, c ^= turned(b, 4), b += a;
	}
	if (len) {
		a += four(p, i), b += four(p, i + 4), c += four(p, i + 8);
		c ^= b, c -= turned(b, 14);
		a ^= c, a -= turned(c, 11);
		b ^= a, b -= turned(a, 25);
		c ^= b, c -= turned(b, 16);
		a ^= c, a -= turned(c, 4);
		b ^= a, b -= turned(a, 14);
		c ^= b, c -= turned(b, 24);
	}
	free(p);
	return c;
}

static const struct {
	int kind;
	const char *name;
	uint32_t apple, signed_bytes; /* of "apple", "h\xc3\xa9llo": what nutcracker has */
	uint32_t (*slow)(const unsigned char *p, size_t len);
} hashes[] = {
	{SHARD_HASH_ONE_AT_A_TIME, "one_at_a_time", 2297466611, 1540699185, slow_one_at_a_time},
	{SHARD_HASH_MD5, "md5", 3195025439, 1206407358, slow_md5},
	{SHARD_HASH_CRC16, "crc16", 3662830516, 2851318581, slow_crc16},
	{SHARD_HASH_CRC32, "crc32", 10542, 7739, slow_crc32},
	{SHARD_HASH_CRC32A, "crc32a", 2838417488, 2654700086, slow_crc32a},
	{SHARD_HASH_FNV1_64, "fnv1_64", 473199127, 4139542302, slow_fnv1_64},
	{SHARD_HASH_FNV1A_64, "fnv1a_64", 1488911807, 3574771936, slow_fnv1a_64},
	{SHARD_HASH_FNV1_32, "fnv1_32", 67176023, 1671187102, slow_fnv1_32},
	{SHARD_HASH_FNV1A_32, "fnv1a_32", 280767167, 3948832576, slow_fnv1a_32},
	{SHARD_HASH_HSIEH, "hsieh", 3738850110, 3573354347, slow_hsieh},
	{SHARD_HASH_MURMUR, "murmur", 4142305122, 3090904040, slow_murmur},
	{SHARD_HASH_JENKINS, "jenkins", 1442444624, 1775288643, slow_jenkins},
	{SHARD_HASH_XXH3, "xxh3", 1366967053, 1782953882, NULL},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static void vectors_of_nutcracker(void **state)
{
	assert_int_equal(COUNT(hashes), SHARD_HASH_COUNT);
	for (size_t i = 0; i < COUNT(hashes); i++) {
		assert_int_equal(shard_hash(hashes[i].kind, "apple", 5), hashes[i].apple);
		assert_int_equal(shard_hash(hashes[i].kind, "h\xc3\xa9llo", 6), hashes[i].signed_bytes);
	}
}

static void names_both_ways(void **state)
{
	for (size_t i = 0; i < COUNT(hashes); i++) {
		assert_string_equal(shard_hash_name(hashes[i].kind), hashes[i].name);
		assert_int_equal(shard_hash_find(hashes[i].name), hashes[i].kind);
	}
	assert_null(shard_hash_name(-1));
	assert_null(shard_hash_name(SHARD_HASH_COUNT));
	assert_int_equal(shard_hash_find("FNV1A_64"), -1);
	assert_int_equal(shard_hash_find("fnv1a_6"), -1);
	assert_int_equal(shard_hash_find("fnv1a_644"), -1);
	assert_int_equal(shard_hash_find(" md5"), -1);
	assert_int_equal(shard_hash_find(""), -1);
}

static void the_slow_ones_have_the_vectors_too(void **state)
{
	for (size_t i = 0; i < COUNT(hashes); i++) {
		if (!hashes[i].slow)
			continue;
		assert_int_equal(hashes[i].slow((const unsigned char *)"apple", 5), hashes[i].apple);
		assert_int_equal(hashes[i].slow((const unsigned char *)"h\xc3\xa9llo", 6), hashes[i].signed_bytes);
	}
}

/* In a block of its own, so that a sanitizer sees a read past the end; at an odd address where ODD. */
static uint32_t hash_of_copy(int kind, const unsigned char *key, size_t len, size_t odd)
{
	unsigned char *block = malloc(len + odd ? len + odd : 1);
	uint32_t hash;

	memcpy(block + odd, key, len);
	hash = shard_hash(kind, block + odd, len);
	free(block);
	return hash;
}

static void check_key(const unsigned char *key, size_t len)
{
	for (size_t i = 0; i < COUNT(hashes); i++) {
		uint32_t expected = hashes[i].slow ? hashes[i].slow(key, len) : shard_hash(hashes[i].kind, key, len);

		for (size_t odd = 0; odd < 4; odd++)
			if (hash_of_copy(hashes[i].kind, key, len, odd) != expected)
				fail_msg("%s of %zu bytes at %zu", hashes[i].name, len, odd);
	}
}

static void every_length_and_alignment(void **state)
{
	unsigned char key[LENGTH_MAX];

	srand(1);
	for (size_t len = 0; len <= LENGTH_MAX; len++) {
		for (int round = 0; round < 4; round++) {
			for (size_t i = 0; i < len; i++)
				key[i] = (unsigned char)(rand() >> 7);
			check_key(key, len);
		}
	}
}

/* Each byte at each place of short keys: tails, and what is signed. */
static void every_byte_at_every_place(void **state)
{
	unsigned char key[13] = "abcdefghijkl";

	for (size_t len = 1; len < sizeof(key); len++) {
		for (size_t at = 0; at < len; at++) {
			unsigned char before = key[at];

			for (unsigned byte = 0; byte < 256; byte++) {
				key[at] = (unsigned char)byte;
				for (size_t i = 0; i < COUNT(hashes); i++)
					if (hashes[i].slow)
						assert_int_equal(shard_hash(hashes[i].kind, key, len),
								 hashes[i].slow(key, len));
			}
			key[at] = before;
		}
	}
}

/* zlib.crc32(bytes((i * 167 + 13) & 255 for i in range(n))) */
static void crc32a_is_zlibs(void **state)
{
	static const struct {
		size_t len;
		uint32_t crc;
	} known[] = {
		{0, 0},           {1, 2897449776},  {2, 947591975},   {3, 2341054849},
		{4, 2788734142},  {5, 1366774526},  {7, 3621881224},  {8, 637647705},
		{15, 1832589393}, {16, 2712912406}, {17, 147055775},  {31, 1257243423},
		{32, 3238000350}, {33, 1829925229}, {63, 3676551878}, {64, 1926442575},
	};
	unsigned char key[256];

	for (unsigned i = 0; i < 64; i++)
		key[i] = (unsigned char)(i * 167 + 13);
	for (size_t i = 0; i < COUNT(known); i++) {
		assert_int_equal(shard_hash(SHARD_HASH_CRC32A, key, known[i].len), known[i].crc);
		assert_int_equal(shard_hash(SHARD_HASH_CRC32, key, known[i].len), known[i].crc >> 16 & 0x7fff);
	}
	for (unsigned i = 0; i < 256; i++)
		key[i] = (unsigned char)i;
	assert_int_equal(shard_hash(SHARD_HASH_CRC32A, key, 256), 0x29058c73);
	assert_int_equal(shard_hash(SHARD_HASH_CRC32A, "123456789", 9), 0xcbf43926);
}

/* XXH3's own definition, computed elsewhere. */
static void xxh3_is_the_high_half(void **state)
{
	char key[100];

	memset(key, 'x', sizeof(key));
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, "", 0), 0x2d068005);
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, "a", 1), 0xe6c632b6);
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, "user:1000", 9), 0xfb6841b2);
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, "0123456789abcdef", 16), 0x64439946);
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, "0123456789abcdefg", 17), 0xd2e63ed5);
	assert_int_equal(shard_hash(SHARD_HASH_XXH3, key, sizeof(key)), 0xc90984ff);
}

static void the_low_half_of_crc16_is_the_slots(void **state)
{
	unsigned char key[64];

	srand(2);
	for (int round = 0; round < 1000; round++) {
		size_t len = (size_t)rand() % sizeof(key);

		for (size_t i = 0; i < len; i++)
			key[i] = (unsigned char)(rand() >> 7);
		assert_int_equal(shard_hash(SHARD_HASH_CRC16, key, len) & 0xffff, shard_crc16(key, len));
	}
}

static void nothing_is_read_of_an_empty_key(void **state)
{
	for (size_t i = 0; i < COUNT(hashes); i++)
		assert_int_equal(shard_hash(hashes[i].kind, NULL, 0), shard_hash(hashes[i].kind, "", 0));
}

static void a_kind_that_is_none_hashes_to_0(void **state)
{
	assert_int_equal(shard_hash(-1, "apple", 5), 0);
	assert_int_equal(shard_hash(SHARD_HASH_COUNT, "apple", 5), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vectors_of_nutcracker),
		cmocka_unit_test(names_both_ways),
		cmocka_unit_test(the_slow_ones_have_the_vectors_too),
		cmocka_unit_test(every_length_and_alignment),
		cmocka_unit_test(every_byte_at_every_place),
		cmocka_unit_test(crc32a_is_zlibs),
		cmocka_unit_test(xxh3_is_the_high_half),
		cmocka_unit_test(the_low_half_of_crc16_is_the_slots),
		cmocka_unit_test(nothing_is_read_of_an_empty_key),
		cmocka_unit_test(a_kind_that_is_none_hashes_to_0),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
