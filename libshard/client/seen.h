/* SPDX-License-Identifier: MIT */
/* Keys that a listing has had already, by their 64-bit hashes. */
#ifndef SHARD_CLIENT_SEEN_H
#define SHARD_CLIENT_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/reply.h>

/* All zeros: empty. Open addressing; 0 stands for an empty cell. */
struct seen {
	uint64_t *cell;
	size_t size, used;
};

/* Takes what was seen before out of the array KEYS, and notes the rest. False: out of memory. */
bool seen_filter(struct seen *seen, shard_reply *keys);
void seen_finish(struct seen *seen);

#endif
