/* SPDX-License-Identifier: MIT */
#ifndef FUZZ_TOPOLOGY_CHECK_H
#define FUZZ_TOPOLOGY_CHECK_H

#include "know/topology.h"

/* Ends the program where it is not so. */
#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

/* The result of a parser: a map without contradictions that reads back from its text, or a refusal with a reason. */
void check_topology(int error, shard_topology *topology, const char *why);

/* An address map that changes, keeps and forbids addresses. */
void check_map(void *ctx, char *host, size_t host_size, uint16_t *port);

#endif
