/* SPDX-License-Identifier: MIT */
/* For tests of topologies: from literals, and from the samples in tests/data/topology. */
#ifndef TESTS_TOPOLOGY_HELP_H
#define TESTS_TOPOLOGY_HELP_H

#include "know/topology.h"

#define ASKED_HOST "127.0.0.1"
#define ASKED_PORT 30001

typedef int (*from_reply)(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
			  shard_topology **topology, const char **why);

/* The contents of a sample, malloc'ed; the test ends where there is none. */
char *sample(const char *name);

/* The error of a parser with a literal; *TOPOLOGY and *WHY as it left them (NULL before). */
int try_reply(from_reply parser, const char *literal, shard_topology **topology, const char **why);
int try_nodes(const char *text, shard_topology **topology, const char **why);

/* The same where it must succeed. */
shard_topology *slots(const char *literal);
shard_topology *shards(const char *literal);
shard_topology *nodes(const char *text);

/* The node that owns a slot, or NULL. */
const shard_node *owner(const shard_topology *topology, unsigned slot);

/* Every field, owner, open slot and the epoch are the same. */
void assert_same(const shard_topology *a, const shard_topology *b);

#endif
