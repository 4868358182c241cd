/* SPDX-License-Identifier: MIT */
/*
 * The keys that requests under way read and write, as 64-bit hashes. Requests
 * of a stream go out together, and one that is tried again may be overtaken:
 * so a second request for a key waits until the first one is done, and a
 * stream has the effect that its records have one after the other.
 */
#ifndef BUSY_H
#define BUSY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct busy_entry {
	uint64_t hash;
	uint32_t readers, writers; /* both 0: the place is free */
};

struct busy {
	struct busy_entry *entry; /* open addressing, linear probing; at most half full */
	size_t size, count;       /* size: a power of two, or 0 */
};

void busy_finish(struct busy *busy);

uint64_t busy_hash(const void *key, size_t len);

/* Whether a request for this key has to wait. Readers do not wait for readers. */
bool busy_blocks(const struct busy *busy, uint64_t hash, bool writes);

void busy_add(struct busy *busy, uint64_t hash, bool writes);
void busy_remove(struct busy *busy, uint64_t hash, bool writes);

#endif
