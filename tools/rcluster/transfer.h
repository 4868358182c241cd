/* SPDX-License-Identifier: MIT */
/*
 * All keys of one place into another: DUMP and RESTORE, pipelined over all
 * nodes of both, in memory that is bounded by a few large values.
 */
#ifndef RCLUSTER_TRANSFER_H
#define RCLUSTER_TRANSFER_H

#include <stdbool.h>
#include <stdint.h>

#include <shard/client.h>

#define TRANSFER_TIMEOUT_MS 60000 /* of one command, where nothing else is asked for */

struct transfer {
	shard_client *from, *to;
	unsigned timeout_ms;
	bool copy;    /* the keys stay where they were */
	bool replace; /* keys that are there with another value are overwritten */
	/* Out. */
	uint64_t done;      /* keys that are there now; with those of SAME */
	uint64_t same;      /* that were there with this value already */
	uint64_t conflicts; /* that were there with another value, and are as they were on both sides */
	uint64_t failures;
	bool interrupted;
};

/*
 * Runs to the end, or until going on is pointless. Keys keep their time to
 * live. Without COPY a key is removed from its old place once it is in its new
 * one, unless it was changed meanwhile: then it goes again. Each key that
 * fails or is in conflict is reported (the first ones; then how many more).
 * Blocks. Returns whether all keys are there.
 */
bool transfer_run(struct transfer *transfer);

/* Whether one server is behind both clients: then nothing must be moved. *OK: whether that could be found out. */
bool transfer_is_same_place(shard_client *from, shard_client *to, bool *ok);

#endif
