/* SPDX-License-Identifier: MIT */
/*
 * Tracking: hearing of every change, so that what was read may be kept.
 *
 * Redis tells who asks (CLIENT TRACKING, broadcasting mode, Redis 6 and later)
 * which keys have changed. A tracking has one connection of its own to each
 * node that serves keys; RESP2 suffices. It keeps no values: a caller marks
 * the moment before it reads, keeps what came under that mark, and drops it
 * when it hears that the key changed, or when the mark holds no more.
 *
 *	shard_mark mark;
 *	bool may = shard_tracking_mark(tracking, key, len, &mark);
 *	... submit a read of KEY; its reply comes with no change told of in
 *	between: keep it with the mark if MAY ...
 *	if (kept && shard_tracking_holds(tracking, &mark)) ... serve it ...
 *
 * What is promised: a change that a server has made is told of within about
 * one round trip; where it cannot be told of (a connection is lost or silent,
 * a slot has moved, a node failed over, FLUSHALL, the map was not confirmed
 * for the lease), marks hold no more. So staleness is bounded, by the lease at
 * worst; it is not linearizability. A read by ASK, or on a replica, is not
 * what its mark says: do not keep it (compare shard_result.node).
 *
 * Threads: as the client that it belongs to. Nothing here blocks.
 */
#ifndef SHARD_TRACKING_H
#define SHARD_TRACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>
#include <shard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shard_tracking shard_tracking;

/* A moment in which a key was watched. Copy it freely; it is for shard_tracking_holds() alone. */
typedef struct shard_mark {
	uint32_t slot, slot_epoch;
	uint32_t node_epoch;
} shard_mark;

typedef struct shard_tracking_options {
	unsigned lease_ms; /* how long the map of a cluster holds unconfirmed; default 5000; at least 100 */
	unsigned ping_ms;  /* how long a node may be silent before it is asked, and then to answer; default 1000 */
	/* KEY has changed, or is gone. From within a tick. */
	void (*changed)(void *ctx, const char *key, size_t len);
	/* Some marks hold no more: look through what is kept. From within a tick. */
	void (*lost)(void *ctx);
	/* A node cannot be tracked (it is too old, or does not permit it): told once a node. WHY is "node: reason". Or NULL. */
	void (*refused)(void *ctx, const char *why);
	void *ctx;
} shard_tracking_options;

SHARD_API void shard_tracking_options_init(shard_tracking_options *options); /* then set the callbacks */

/*
 * Begins to track all keys of CLIENT's cluster, server or pool, one tracking a
 * client. It is destroyed before the client. Returns SHARD_OK, SHARD_EINVAL
 * (there is one; an option is out of range; no callbacks), SHARD_ENOMEM or SHARD_EFORK.
 */
SHARD_API SHARD_MUST_CHECK int shard_tracking_create(shard_client *client, const shard_tracking_options *options,
						     shard_tracking **tracking);
SHARD_API void shard_tracking_destroy(shard_tracking *tracking); /* NULL is fine; not from its callbacks */

/* Marks this moment. False: the key is not watched now, and what is read may not be kept. */
SHARD_API bool shard_tracking_mark(const shard_tracking *tracking, const void *key, size_t len, shard_mark *mark);

/* Whether everything that changed under this mark since then was told of. A few loads: for every hit. */
SHARD_API bool shard_tracking_holds(const shard_tracking *tracking, const shard_mark *mark);

/* Nodes that serve keys, and those of them that are tracked now. */
SHARD_API void shard_tracking_count(const shard_tracking *tracking, unsigned *nodes, unsigned *tracked);

#ifdef __cplusplus
}
#endif
#endif
