/* SPDX-License-Identifier: MIT */
#include "stats.h"

#include <time.h>

uint64_t stats_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Below STATS_PARTS each microsecond has a bucket of its own. */
static unsigned bucket_of(uint64_t us)
{
	if (us < STATS_PARTS)
		return (unsigned)us;
	unsigned power = 63 - (unsigned)__builtin_clzll(us);
	unsigned part = (unsigned)(us >> (power - 2)) & (STATS_PARTS - 1);
	unsigned bucket = (power - 1) * STATS_PARTS + part;

	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

/* The longest time that falls into it. */
static uint64_t end_of(unsigned bucket)
{
	if (bucket < STATS_PARTS)
		return bucket;
	unsigned power = bucket / STATS_PARTS + 1, part = bucket % STATS_PARTS;

	return ((UINT64_C(1) << power) + ((uint64_t)(part + 1) << (power - 2))) - 1;
}

void stats_took(struct stats *stats, uint64_t us)
{
	stats->latency[bucket_of(us)]++;
}

uint64_t stats_timed(const struct stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		sum += stats->latency[i];
	return sum;
}

uint64_t stats_within_us(const struct stats *stats, double share)
{
	double wanted = (double)stats_timed(stats) * share, sum = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		sum += (double)stats->latency[i];
		if (stats->latency[i] && sum >= wanted)
			return end_of(i);
	}
	return 0;
}
