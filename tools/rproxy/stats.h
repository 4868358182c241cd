/* SPDX-License-Identifier: MIT */
/*
 * What is counted. A counter has one writer, its worker; the main thread reads.
 */
#ifndef RPROXY_STATS_H
#define RPROXY_STATS_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t counter;

static inline void count(counter *c, uint64_t n)
{
	__atomic_store_n(c, *c + n, __ATOMIC_RELAXED);
}

static inline void count_down(counter *c)
{
	__atomic_store_n(c, *c - 1, __ATOMIC_RELAXED);
}

static inline uint64_t counted(const counter *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

/* Latencies: a bucket for each power of two microseconds and its half. */
#define HISTOGRAM_BUCKETS 48

struct histogram {
	counter count, sum; /* us */
	counter bucket[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t us);
/* The largest value that bucket I takes, in us. */
uint64_t histogram_limit(size_t i);

/* Of a session's pool, in one worker. */
struct pool_stats {
	counter client_eof, client_err, client_connections, client_accepted, client_refused;
	counter server_ejects, forward_error, fragments;
	counter requests, errors, held;
	counter in_bytes, out_bytes;
};

/* Of a server, in one worker. */
struct server_stats {
	char addr[272];
	counter requests, request_bytes, responses, response_bytes;
	struct histogram latency;
};

#endif
