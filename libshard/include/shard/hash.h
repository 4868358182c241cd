/* SPDX-License-Identifier: MIT */
/*
 * The key hashes of twemproxy 0.5.0, bit for bit, on every architecture as on
 * x86 (bytes are signed where its C says "char"); and xxh3 as one more of our
 * own. Pure functions: no allocation, no I/O, safe from any thread.
 */
#ifndef SHARD_HASH_H
#define SHARD_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shard_hash_kind {
	SHARD_HASH_ONE_AT_A_TIME, /* Jenkins */
	SHARD_HASH_MD5,           /* the first four bytes of the digest, little-endian */
	SHARD_HASH_CRC16,         /* XMODEM's, whose accumulator twemproxy leaves 32 bits wide */
	SHARD_HASH_CRC32,         /* 15 bits of CRC32A: under ketama nearly all keys fall on one server */
	SHARD_HASH_CRC32A,        /* zlib's CRC-32 */
	SHARD_HASH_FNV1_64,       /* both: the low 32 bits */
	SHARD_HASH_FNV1A_64,      /* twemproxy's default */
	SHARD_HASH_FNV1_32,
	SHARD_HASH_FNV1A_32,
	SHARD_HASH_HSIEH,
	SHARD_HASH_MURMUR,  /* MurmurHash2 */
	SHARD_HASH_JENKINS, /* lookup3 */
	SHARD_HASH_XXH3,    /* ours: the high 32 bits of XXH3_64bits() */
	SHARD_HASH_COUNT
};

/* As nutcracker.yml writes it: "fnv1a_64". NULL: KIND is none. */
SHARD_API const char *shard_hash_name(int kind);

/* The kind by its name, whose case matters; -1: there is none of this name. */
SHARD_API int shard_hash_find(const char *name);

/* KEY is any LEN bytes; LEN may be 0 (then KEY is not read). 0 where KIND is none. */
SHARD_API uint32_t shard_hash(int kind, const void *key, size_t len);

#ifdef __cplusplus
}
#endif
#endif
