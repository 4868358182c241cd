/* SPDX-License-Identifier: MIT */
/*
 * Hash slots (Redis Cluster specification, "Key distribution model").
 * Pure functions: no allocation, no I/O, safe from any thread.
 */
#ifndef SHARD_SLOT_H
#define SHARD_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHARD_SLOTS 16384

/*
 * The slot of a key: CRC16-XMODEM of its hash tag, modulo 16384; equal to
 * CLUSTER KEYSLOT. A key is any LEN bytes, NULs included; LEN may be 0 (then
 * KEY is not read).
 * Returns 0..16383.
 */
SHARD_API unsigned shard_slot(const void *key, size_t len);

/*
 * The part of a key that is hashed: what stands between the first '{' and the
 * first '}' after it where that is not empty, else the whole key.
 * Out: *TAG_LEN. Returns a pointer into KEY.
 */
SHARD_API const char *shard_hash_tag(const char *key, size_t len, size_t *tag_len);

/* CRC16-XMODEM (polynomial 0x1021, initial value 0): "123456789" gives 0x31C3. */
SHARD_API uint16_t shard_crc16(const void *data, size_t len);

#ifdef __cplusplus
}
#endif
#endif
