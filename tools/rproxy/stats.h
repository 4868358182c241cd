/* SPDX-License-Identifier: MIT */
/*
 * What is counted: by a worker, for itself. Others see a snapshot.
 */
#ifndef RPROXY_STATS_H
#define RPROXY_STATS_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t counter;

static inline void count(counter *c, uint64_t n)
{
	*c += n;
}

/* Latencies: a bucket for each power of two microseconds and its half. */
#define HISTOGRAM_BUCKETS 48

struct histogram {
	counter count, sum; /* us */
	counter bucket[HISTOGRAM_BUCKETS];
};

void histogram_merge(struct histogram *into, const struct histogram *from);
void histogram_add(struct histogram *histogram, uint64_t us);
/* The largest value that bucket I takes, in us. */
uint64_t histogram_limit(size_t i);

/* Of a session's pool, in one worker. */
struct pool_stats {
	counter client_eof, client_err, client_accepted, client_refused;
	counter forward_error, fragments;
	counter requests, errors;
	counter in_bytes, out_bytes;
};

/* Of a server, in one worker. */
struct server_stats {
	char addr[272];
	counter responses, response_bytes;
	struct histogram latency;
};

#endif
