/* SPDX-License-Identifier: MIT */
/*
 * Rings: keys to the servers of a pool, as twemproxy 0.5.0 distributes them
 * (ketama, modula, random), and two ways of our own.
 *
 * A ring is made once and never changes: any number of threads may use it.
 */
#ifndef SHARD_RING_H
#define SHARD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>
#include <shard/hash.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shard_distribution {
	SHARD_KETAMA, /* 160 points a server where all weigh the same; twemproxy's default */
	SHARD_MODULA, /* the hash, modulo the sum of weights */
	SHARD_RANDOM, /* any server, whatever the key and the weights */
	/*
	 * Ours, both over XXH3_64bits() of the key whatever the hash is:
	 *
	 * jump: jump consistent hash (Lamping, Veach 2014) of the sum of weights;
	 * the buckets belong to the servers in the order in which they are given.
	 * One more server at the end takes only what it needs; to take one out
	 * elsewhere moves more.
	 *
	 * rendezvous: the highest of weight / -ln(u) wins (where all weights are
	 * the same: of u); u is the middle of the 2^-52 wide step in (0, 1) that
	 * the high 52 bits of mix(XXH3_64bits(key) ^ XXH3_64bits(name)) name, mix
	 * being MurmurHash3's 64-bit finalizer. A server that leaves moves its own
	 * keys only, whatever its place.
	 *
	 * Hash tags count for both.
	 */
	SHARD_JUMP,
	SHARD_RENDEZVOUS,
	SHARD_DISTRIBUTION_COUNT
};

/* As nutcracker.yml writes it. NULL: there is none; -1: none of this name (whose case matters). */
SHARD_API const char *shard_distribution_name(int distribution);
SHARD_API int shard_distribution_find(const char *name);

typedef struct shard_ring_server {
	const char *name; /* what its points are made from */
	unsigned weight;  /* at least 1 */
	bool ejected;     /* it is there, and gets no keys */
} shard_ring_server;

typedef struct shard_ring_options {
	int distribution; /* enum shard_distribution */
	int hash;         /* enum shard_hash_kind */
	char hash_tag[2]; /* the bytes around what is hashed; both NUL: the whole key is */
} shard_ring_options;

typedef struct shard_ring shard_ring;

/*
 * Makes a ring of COUNT servers; names need not outlive the call. Ties and
 * modula's order come from the order of names, length first (twemproxy's),
 * not from that of SERVERS.
 * Returns SHARD_OK, SHARD_EINVAL (a kind that is none, a weight of 0, more than 65535
 * servers, a sum of weights above 2^31 - 1), SHARD_ENOMEM. The caller frees it.
 */
SHARD_API SHARD_MUST_CHECK int shard_ring_create(shard_ring **ring, const shard_ring_options *options,
						 const shard_ring_server *servers, size_t count);
SHARD_API void shard_ring_free(shard_ring *ring); /* NULL is fine */

/* The server of a key: its index in SERVERS; -1: none is left. Does not block or allocate. */
SHARD_API int shard_ring_route(const shard_ring *ring, const void *key, size_t len);

/* The server of a key's hash, as shard_ring_hash() has it. -1: none is left. */
SHARD_API int shard_ring_route_hash(const shard_ring *ring, uint64_t hash);

/*
 * The hash of a key by the ring's hash and hash tag, 32 bits of it; the empty
 * key's is 0. For jump and rendezvous: XXH3_64bits().
 */
SHARD_API uint64_t shard_ring_hash(const shard_ring *ring, const void *key, size_t len);

/* ketama: how many points there are, and the I-th of them by value. */
SHARD_API size_t shard_ring_point_count(const shard_ring *ring);
SHARD_API uint32_t shard_ring_point(const shard_ring *ring, size_t i, int *server);

/*
 * The share of all hashes that a server gets, 0 to 1: exact for ketama and modula,
 * expected for the others.
 */
SHARD_API double shard_ring_share(const shard_ring *ring, int server);

#ifdef __cplusplus
}
#endif
#endif
