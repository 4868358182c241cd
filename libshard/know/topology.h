/* SPDX-License-Identifier: MIT */
/*
 * Topologies from the inside: their layout (for the topology*.c files alone),
 * how one is built, and what the client does with one beyond the public calls.
 */
#ifndef SHARD_KNOW_TOPOLOGY_H
#define SHARD_KNOW_TOPOLOGY_H

#include <stdatomic.h>

#include <shard/pool.h>
#include <shard/topology.h>

#include "base/arena.h"
#include "pure/addr.h"

/* ---- for the client ---- */

/* In the owner table: nobody. */
#define SHARD__NOBODY 0xffff

/* The type shard_address_map of client.h, which is of a higher layer. */
typedef void (*shard__address_fn)(void *ctx, char *host, size_t host_size, uint16_t *port);

/* A map of a pool, see shard_topology_is_pool(). SHARD_EINVAL: more servers than there are slots. */
int shard__topology_pool(const shard_pool *pool, shard_topology **topology);

/* The owner of each slot: an index of a node, or SHARD__NOBODY. SHARD_SLOTS entries, never moved. */
const uint16_t *shard__topology_owners(const shard_topology *topology);

/*
 * A copy of OLD (NULL: of an empty map) in which SLOT belongs to the node at
 * HOST:PORT. That node is added (id "", master) where it is unknown, and is a
 * master in good health from now on where it was something else.
 * Out: *OUT with one reference. Returns SHARD_OK, SHARD_EINVAL (the slot, the
 * host, too many nodes) or SHARD_ENOMEM.
 */
int shard__topology_patch(const shard_topology *old, unsigned slot, const char *host, uint16_t port,
			  shard_topology **out);

/*
 * The same to a reference of one's own: in place where nobody else holds one,
 * else *TOPOLOGY is replaced by a copy. Nodes and their strings stay where
 * they are when patched in place. Unchanged on failure.
 */
int shard__topology_patch_own(shard_topology **topology, unsigned slot, const char *host, uint16_t port);

/*
 * The parsers of topology.h with an address map (or NULL), which sees every
 * address as announced; where none was announced, the address that was asked.
 * A map that empties the host makes the node SHARD_NODE_NOADDR.
 */
int shard__topology_from_slots(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
			       shard__address_fn map, void *ctx, shard_topology **topology, const char **why);
int shard__topology_from_shards(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
				shard__address_fn map, void *ctx, shard_topology **topology, const char **why);
int shard__topology_from_nodes(const char *text, size_t len, const char *asked_host, uint16_t asked_port,
			       shard__address_fn map, void *ctx, shard_topology **topology, const char **why);

/* ---- the layout ---- */

/* Nodes by a string (and a port): open addressing, at most half full. */
struct shard__index {
	uint16_t *cell;
	size_t size; /* a power of two, or 0 */
	size_t used;
};

struct shard_topology {
	uint16_t owner[SHARD_SLOTS];
	atomic_uint refs;
	bool single, pool;
	uint64_t epoch;
	shard_node **node;
	size_t node_count, node_room;
	struct shard__index by_id, by_addr; /* nodes with an id; nodes with an address */
	shard_open_slot *open;
	size_t open_count, open_room;
	struct arena arena; /* nodes and strings, which never move */
};

shard_topology *shard__topology_new(void);

/* Takes a node in. HOST "" or PORT 0 (but of a path) make it NOADDR. NULL: out of memory, or of indices. */
shard_node *shard__topology_add(shard_topology *topology, struct shard__text id, const char *host, uint16_t port,
				struct shard__text hostname, unsigned flags);

/* Whether an address can be dialled: a host and a port, or a path. */
bool shard__to_dial(const char *host, uint16_t port);

/* Gives a node that has none an id. */
bool shard__topology_set_id(shard_topology *topology, size_t index, struct shard__text id);

bool shard__topology_add_open(shard_topology *topology, uint16_t slot, bool importing, struct shard__text peer);

/* As shard_topology_find_id() with a length. */
int shard__topology_find_id(const shard_topology *topology, struct shard__text id);

/* ---- the builder: what servers say, checked ---- */

struct shard__builder {
	shard_topology *topology;
	const char *asked_host;
	uint16_t asked_port;
	shard__address_fn map;
	void *ctx;
	unsigned ranges;
	const char *why;
};

/* A node as a reply tells of it. */
struct shard__announced {
	struct shard__text id, host, hostname; /* host: empty: the one that was asked; "?": unknown */
	long long port;                        /* 0: none */
	unsigned flags;
};

int shard__builder_init(struct shard__builder *builder, const char *asked_host, uint16_t asked_port,
			shard__address_fn map, void *ctx);

/* Sets why, returns SHARD_EPROTOCOL. */
int shard__builder_refuse(struct shard__builder *builder, const char *why);

/* The node that is meant, taken in where it is new: by its id, else by its address. */
int shard__builder_node(struct shard__builder *builder, const struct shard__announced *announced, uint16_t *index);
void shard__builder_replica(struct shard__builder *builder, uint16_t replica, int master);
int shard__builder_range(struct shard__builder *builder, long long first, long long last, uint16_t owner);
int shard__builder_open(struct shard__builder *builder, long long slot, bool importing, struct shard__text peer);

/* Hands the topology out where ERROR is SHARD_OK, else frees it and tells why. Returns ERROR. */
int shard__builder_finish(struct shard__builder *builder, int error, shard_topology **topology, const char **why);

#endif
