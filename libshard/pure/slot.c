/* SPDX-License-Identifier: MIT */
#include <shard/slot.h>

#include <stdbool.h>
#include <string.h>

#include "pure/crc16_table.h"

static inline uint16_t crc16_sliced(const unsigned char *p, size_t len)
{
	uint16_t crc = 0;

	for (; len >= 8; p += 8, len -= 8)
		crc = crc16_table[7][p[0] ^ (crc >> 8)] ^ crc16_table[6][p[1] ^ (crc & 0xff)] ^ crc16_table[5][p[2]] ^
		      crc16_table[4][p[3]] ^ crc16_table[3][p[4]] ^ crc16_table[2][p[5]] ^ crc16_table[1][p[6]] ^
		      crc16_table[0][p[7]];
	for (; len; p++, len--)
		crc = (uint16_t)(crc << 8) ^ crc16_table[0][(crc >> 8) ^ *p];
	return crc;
}

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/platform/x86.h>

#define CLMUL __attribute__((target("pclmul,ssse3,sse4.1")))

CLMUL static inline __m128i load_block(const unsigned char *p)
{
	const __m128i swap = _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);

	return _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)p), swap);
}

/* Up to 15 bytes as a number: zeros in front do not change a CRC that starts with 0. */
CLMUL static inline __m128i load_head(const unsigned char *p, size_t len)
{
	uint64_t a, b;

	if (len >= 8) {
		memcpy(&a, p, 8);
		memcpy(&b, p + len - 8, 8);
		a = __builtin_bswap64(a);
		b = __builtin_bswap64(b);
		return _mm_set_epi64x((long long)(len == 8 ? 0 : a >> (8 * (16 - len))), (long long)b);
	}
	if (len >= 4) {
		uint32_t c, d;

		memcpy(&c, p, 4);
		memcpy(&d, p + len - 4, 4);
		a = (uint64_t)__builtin_bswap32(c) << (8 * (len - 4)) | __builtin_bswap32(d);
		return _mm_cvtsi64_si128((long long)a);
	}
	a = 0;
	for (size_t i = 0; i < len; i++)
		a = a << 8 | p[i];
	return _mm_cvtsi64_si128((long long)a);
}

/* a * x^(distance) + b, where K holds x^(distance + 64) and x^distance mod P. */
CLMUL static inline __m128i fold(__m128i a, __m128i k, __m128i b)
{
	return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(a, k, 0x11), _mm_clmulepi64_si128(a, k, 0x00)), b);
}

/* a * x^16 mod P, Barrett's way. */
CLMUL static inline uint16_t reduce(__m128i a)
{
	const __m128i k = _mm_set_epi64x(CRC16_X80, CRC16_X64);
	const __m128i mu = _mm_set_epi64x(0x11021, CRC16_MU);
	__m128i t, q;

	/* 128 -> 80 bits: high * x^80, low * x^16 */
	t = _mm_xor_si128(_mm_clmulepi64_si128(a, k, 0x11), _mm_srli_si128(_mm_slli_si128(a, 8), 6));
	/* 80 -> 64 bits */
	t = _mm_xor_si128(_mm_clmulepi64_si128(t, k, 0x01), t);
	/* the quotient's 48 bits, then the remainder */
	q = _mm_clmulepi64_si128(_mm_srli_epi64(t, 16), mu, 0x00);
	q = _mm_srli_si128(q, 6);
	q = _mm_clmulepi64_si128(q, mu, 0x10);
	return (uint16_t)_mm_cvtsi128_si64(_mm_xor_si128(q, t));
}

CLMUL static uint16_t crc16_clmul(const unsigned char *p, size_t len)
{
	const __m128i k1 = _mm_set_epi64x(CRC16_X192, CRC16_X128);
	size_t head = len & 15;
	__m128i a;

	if (head) {
		a = load_head(p, head);
		p += head;
		len -= head;
	} else {
		a = load_block(p);
		p += 16;
		len -= 16;
	}
	/* Four blocks a step: only the fold of A waits for the step before. */
	for (; len >= 64; p += 64, len -= 64) {
		const __m128i k2 = _mm_set_epi64x(CRC16_X320, CRC16_X256);
		const __m128i k3 = _mm_set_epi64x(CRC16_X448, CRC16_X384);
		const __m128i k4 = _mm_set_epi64x(CRC16_X576, CRC16_X512);
		__m128i b = fold(load_block(p), k3, fold(load_block(p + 16), k2, load_block(p + 48)));

		a = fold(a, k4, fold(load_block(p + 32), k1, b));
	}
	if (len == 48) {
		const __m128i k2 = _mm_set_epi64x(CRC16_X320, CRC16_X256);
		const __m128i k3 = _mm_set_epi64x(CRC16_X448, CRC16_X384);

		return reduce(fold(a, k3, fold(load_block(p), k2, fold(load_block(p + 16), k1, load_block(p + 32)))));
	}
	for (; len; p += 16, len -= 16)
		a = fold(a, k1, load_block(p));
	return reduce(a);
}

static uint16_t crc16_resolve(const unsigned char *p, size_t len);
static uint16_t (*crc16_best)(const unsigned char *p, size_t len) = crc16_resolve;

/* Two threads may both come here: they store the same pointer. */
static uint16_t crc16_resolve(const unsigned char *p, size_t len)
{
	/* Asking libc costs nothing; __builtin_cpu_supports() would have each process ask the CPU as it starts. */
	bool clmul = CPU_FEATURE_ACTIVE(PCLMULQDQ) && CPU_FEATURE_ACTIVE(SSSE3) && CPU_FEATURE_ACTIVE(SSE4_1);

	__atomic_store_n(&crc16_best, clmul ? crc16_clmul : crc16_sliced, __ATOMIC_RELAXED);
	return crc16_best(p, len);
}

uint16_t shard_crc16(const void *data, size_t len)
{
	/* The reduction at the end costs more than two steps by table. */
	if (len <= 16)
		return crc16_sliced(data, len);
	return __atomic_load_n(&crc16_best, __ATOMIC_RELAXED)(data, len);
}

#else

uint16_t shard_crc16(const void *data, size_t len)
{
	return crc16_sliced(data, len);
}

#endif

#define EACH(byte) (0x0101010101010101ULL * (byte))

/* Whether one of eight bytes is BYTE (the classic test for a zero byte). */
static inline bool has_byte(uint64_t word, unsigned char byte)
{
	word ^= EACH(byte);
	return (word - EACH(1)) & ~word & EACH(0x80);
}

/* Most keys have no tag, and most are short (LEN: 8 to 16): told without a call. */
static inline bool may_have_tag(const char *key, size_t len)
{
	uint64_t head, tail;

	memcpy(&head, key, 8);
	memcpy(&tail, key + len - 8, 8);
	return has_byte(head, '{') || has_byte(tail, '{');
}

const char *shard_hash_tag(const char *key, size_t len, size_t *tag_len)
{
	const char *open, *close;

	*tag_len = len;
	if (!len || !(open = memchr(key, '{', len)))
		return key;
	open++;
	close = memchr(open, '}', (size_t)(key + len - open));
	if (!close || close == open)
		return key;
	*tag_len = (size_t)(close - open);
	return open;
}

static __attribute__((noinline)) unsigned slot_of_tag(const char *key, size_t len)
{
	size_t tag_len;
	const char *tag = shard_hash_tag(key, len, &tag_len);

	return shard_crc16(tag, tag_len) & (SHARD_SLOTS - 1);
}

unsigned shard_slot(const void *key, size_t len)
{
	if (len < 8 || len > 16 || may_have_tag(key, len))
		return slot_of_tag(key, len);
	return crc16_sliced(key, len) & (SHARD_SLOTS - 1);
}
