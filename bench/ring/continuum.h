/* SPDX-License-Identifier: MIT */
/*
 * Ketama as twemproxy has it: each point of a server is an MD5 of the whole
 * string of its own, the points are sorted by qsort(), and a hash is found by
 * a binary search over pairs of a server's index and a value.
 */
#ifndef BENCH_CONTINUUM_H
#define BENCH_CONTINUUM_H

#include <stddef.h>
#include <stdint.h>

struct continuum {
	uint32_t index; /* of the server */
	uint32_t value;
};

/* Of COUNT servers of equal weight, in the order of twemproxy; their number in *POINTS. NULL: out of memory. */
struct continuum *continuum_build(const char *const *names, size_t count, size_t *points);

uint32_t continuum_find(const struct continuum *continuum, size_t points, uint32_t hash);

/* The low 32 bits of FNV-1a-64. */
uint32_t continuum_fnv1a_64(const char *key, size_t len);

#endif
