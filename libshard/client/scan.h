/* SPDX-License-Identifier: MIT */
/*
 * What the files of a listing share:
 *
 *   scan.c       the iterator: its phases, its callers, its end
 *   scan_slot.c  the first phase, in a cluster: slot by slot
 *   scan_key.c   of it, the keys of one slot
 *   scan_node.c  the other one: SCAN of whole nodes, for what slots cannot tell
 */
#ifndef SHARD_CLIENT_SCAN_H
#define SHARD_CLIENT_SCAN_H

#include "client/internal.h"
#include "client/seen.h"

#define SCAN_RETRY_MS 100

enum scan_phase { SCAN_NEW, SCAN_SLOTS, SCAN_NODES };

/* A set of slots. */
struct slot_set {
	uint64_t word[SHARD_SLOTS / 64];
};

static inline bool slot_in(const struct slot_set *set, unsigned slot)
{
	return set->word[slot / 64] >> (slot % 64) & 1;
}

static inline void slot_add(struct slot_set *set, unsigned slot)
{
	set->word[slot / 64] |= (uint64_t)1 << (slot % 64);
}

/* The walk over the slots. What it needs of a slot is a job; jobs are asked for ahead of the caller. */
struct slot_walk {
	struct list jobs;       /* in the order in which they are handed out */
	size_t count, idle;     /* how many jobs; of them, how many have to be asked */
	int only;               /* the one slot where the pattern's keys can be, or -1 */
	unsigned next;          /* the turn of the slot to ask next */
	uint64_t from;          /* no key before this place is wanted */
	unsigned counted;       /* the turn of the slot before `from` to count next */
	unsigned usual;         /* keys a slot, as seen lately; in sixteenths */
	struct slot_set listed; /* they are small enough, and stay with this phase */
	struct slot_set left;   /* for the other phase */
	size_t left_count;
	bool refused;           /* a node does not list slots: all others are for the other phase */
	bool large;             /* one answer that may be large is under way */
	bool looked;            /* the map was fetched since the walk began */
	shard_timer *timer;     /* a pause, then the map is fetched and what failed is asked again */
	struct slot_item *item; /* to sort one slot's keys */
	size_t item_room;
	shard_reply *key;
	uint64_t *place;
};

struct shard_scan {
	struct list grave; /* first: loop_bury() */
	struct list link;  /* in client->scans */
	shard_client *client;
	char *match;
	size_t match_len;
	unsigned count;
	bool duplicates, ordered;
	shard_scan_callback callback; /* NULL: nobody asks */
	void *ctx;
	enum scan_phase phase;
	shard_timer *timer;
	bool ended, destroyed;
	bool busy;       /* the map is being fetched */
	bool delivering; /* in scan_advance(): shard_scan_next() need not start it */
	int error;
	char *message;

	struct slot_walk walk;

	/* SCAN of nodes */
	struct list sources;
	shard_timer *retry;
	shard_topology *start; /* the map at the beginning */
	struct seen seen;
	uint64_t give_up; /* ms: when failures without any progress end the scan; 0: there are none */
	unsigned ring_turn; /* of a pool: the ring at the beginning */
	bool verified;
	size_t checks; /* answers that the verification still waits for */
};

enum scan_step {
	STEP_AGAIN, /* something was handed out, or has changed */
	STEP_WAIT,
	STEP_DONE
};

/* ---- scan.c ---- */
void scan_advance(struct shard_scan *scan);
void scan_fail(struct shard_scan *scan, int error, const char *message);
void scan_no_memory(struct shard_scan *scan);
void scan_deliver(struct shard_scan *scan, const shard_scan_batch *batch);
/* Frees a scan that was destroyed, unless an answer is still to come. */
void scan_free(struct shard_scan *scan);
/* Whether RESULT is a failure that may pass. */
bool scan_may_pass(const shard_result *result);

/* ---- scan_slot.c ---- */
void slot_walk_init(struct shard_scan *scan);
void slot_walk_from(struct shard_scan *scan, uint64_t place);
enum scan_step slot_walk_step(struct shard_scan *scan);
void slot_walk_drop(struct shard_scan *scan); /* gives up what is under way */

/* ---- scan_key.c ---- */
#define PLACE_HASH_BITS 48
/* The turn of a slot among all, and the other way round: its bits reversed. */
unsigned slot_turn(unsigned slot);
/* A key of SLOT that is surely not there: the owner's answer to it tells whether it owns the slot, and all of it. */
#define SLOT_PROBE_LEN 8
void slot_probe_key(unsigned slot, char key[SLOT_PROBE_LEN]);
/* Room for COUNT keys in walk->key and walk->place. False: out of memory. */
bool slot_keys_room(struct slot_walk *walk, size_t count);
/* Puts there the keys of both parts by their places, each once, from walk->from on; returns how many they are. */
size_t slot_keys_sort(struct shard_scan *scan, unsigned turn, shard_reply *const part[2]);
/* The same as they come, without places; KEYS may be NULL. */
size_t slot_keys_pick(struct shard_scan *scan, const shard_reply *keys);
void slot_keys_finish(struct slot_walk *walk);

/* ---- scan_node.c ---- */
void node_scan_start(struct shard_scan *scan);
enum scan_step node_scan_step(struct shard_scan *scan);
void node_scan_drop(struct shard_scan *scan);

#endif
