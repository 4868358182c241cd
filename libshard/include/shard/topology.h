/* SPDX-License-Identifier: MIT */
/*
 * The map of a cluster: which node owns which slot.
 *
 * A topology is immutable and reference-counted; the count is atomic, so one
 * snapshot may be shared by clients of several threads. Everything that an
 * accessor returns lives as long as the topology.
 */
#ifndef SHARD_TOPOLOGY_H
#define SHARD_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>
#include <shard/reply.h>
#include <shard/slot.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shard_topology shard_topology;

enum shard_node_flag {
	SHARD_NODE_MASTER = 1 << 0,
	SHARD_NODE_REPLICA = 1 << 1,
	SHARD_NODE_MYSELF = 1 << 2,   /* the node that was asked (CLUSTER NODES) */
	SHARD_NODE_PFAIL = 1 << 3,    /* "fail?" */
	SHARD_NODE_FAIL = 1 << 4,
	SHARD_NODE_HANDSHAKE = 1 << 5,
	SHARD_NODE_NOADDR = 1 << 6,   /* no address is known, or it is "?": not to be dialled */
	SHARD_NODE_LOADING = 1 << 7,  /* CLUSTER SHARDS: health loading */
	SHARD_NODE_LINK_DOWN = 1 << 8 /* CLUSTER NODES: disconnected */
};

typedef struct shard_node {
	const char *id;       /* 40 hex digits, or "" where not known (Redis 3.0, a redirect's target) */
	const char *host;     /* to dial: an IP address or a name; IPv6 without brackets; a path for a unix socket */
	const char *addr;     /* "host:port", as errors and tools show it (a path: the path) */
	const char *hostname; /* announced host name, or "" */
	uint16_t port;        /* 0 for a unix socket */
	unsigned flags;       /* enum shard_node_flag */
	int master;           /* index of a replica's master; -1 for a master or where it is not known */
	uint64_t epoch;       /* its config epoch (CLUSTER NODES), else 0 */
} shard_node;

/* A slot that is being moved (CLUSTER NODES, on the node that was asked). */
typedef struct shard_open_slot {
	uint16_t slot;
	bool importing; /* true: [slot-<-peer], false: [slot->-peer] */
	const char *peer; /* the other node's id */
} shard_open_slot;

/*
 * Parsers. SLOTS and SHARDS take the reply of CLUSTER SLOTS (Redis 3.0 and
 * later, Valkey) and CLUSTER SHARDS (7.0 and later), NODES takes the text of
 * CLUSTER NODES (with or without @cport and hostnames). ASKED_HOST and
 * ASKED_PORT are where the reply came from: nodes that announce no address
 * are there. Partial maps, overlapping and repeated ranges are accepted (the
 * range that comes last wins); fields that are new are passed over.
 *
 * Out: *TOPOLOGY with one reference. On failure *WHY (where WHY is not NULL)
 * points to a static phrase.
 * Returns SHARD_OK, SHARD_EPROTOCOL (not such a reply) or SHARD_ENOMEM.
 */
SHARD_API SHARD_MUST_CHECK int shard_topology_from_slots(const shard_reply *reply, const char *asked_host,
							 uint16_t asked_port, shard_topology **topology,
							 const char **why);
SHARD_API SHARD_MUST_CHECK int shard_topology_from_shards(const shard_reply *reply, const char *asked_host,
							  uint16_t asked_port, shard_topology **topology,
							  const char **why);
SHARD_API SHARD_MUST_CHECK int shard_topology_from_nodes(const char *text, size_t len, const char *asked_host,
							 uint16_t asked_port, shard_topology **topology,
							 const char **why);

/* A map of a single server: it owns all slots, its id is "". */
SHARD_API SHARD_MUST_CHECK int shard_topology_single(const char *host, uint16_t port, shard_topology **topology);

/*
 * Whether it is a pool's: its nodes are the addresses of the pool's servers,
 * its "slots" their numbers in the pool.
 */
SHARD_API bool shard_topology_is_pool(const shard_topology *topology);

/* Whether it is a cluster's, whose servers know of slots. */
SHARD_API bool shard_topology_has_slots(const shard_topology *topology);

/* Whether a topology was made by shard_topology_single(). */
SHARD_API bool shard_topology_is_single(const shard_topology *topology);

/*
 * The topology as text that shard_topology_from_nodes() reads again (the
 * format of CLUSTER NODES). Returns malloc'ed text for the caller to free, or NULL.
 */
SHARD_API SHARD_MUST_CHECK char *shard_topology_format(const shard_topology *topology);

SHARD_API shard_topology *shard_topology_ref(shard_topology *topology); /* returns its argument */
SHARD_API void shard_topology_unref(shard_topology *topology);          /* NULL is fine */

/* Nodes are indexed 0..count-1. */
SHARD_API size_t shard_topology_node_count(const shard_topology *topology);
SHARD_API const shard_node *shard_topology_node(const shard_topology *topology, size_t index);

/* The index of the node with this id, or of host:port; -1 where there is none. */
SHARD_API int shard_topology_find_id(const shard_topology *topology, const char *id);
SHARD_API int shard_topology_find_addr(const shard_topology *topology, const char *host, uint16_t port);

/* The index of the node that owns SLOT (0..16383), or -1 where nobody does. */
SHARD_API int shard_topology_owner(const shard_topology *topology, unsigned slot);

/*
 * The range of neighbouring slots with one owner that starts at FIRST.
 * Out: *LAST, *OWNER (-1: nobody). To walk: first = last + 1 up to 16383.
 */
SHARD_API void shard_topology_range(const shard_topology *topology, unsigned first, unsigned *last, int *owner);

/* How many slots have an owner. */
SHARD_API unsigned shard_topology_covered(const shard_topology *topology);

/* Slots that the node which was asked has open (CLUSTER NODES only). */
SHARD_API size_t shard_topology_open_slots(const shard_topology *topology, const shard_open_slot **open);

/* The greatest config epoch seen (CLUSTER NODES), else 0. */
SHARD_API uint64_t shard_topology_epoch(const shard_topology *topology);

#ifdef __cplusplus
}
#endif
#endif
