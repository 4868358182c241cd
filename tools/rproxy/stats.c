/* SPDX-License-Identifier: MIT */
#include "stats.h"

/* 0, 1, 2, 3, 4-5, 6-7, 8-11, 12-15, ... */
static inline size_t bucket_of(uint64_t us)
{
	unsigned high;
	size_t bucket;

	if (us < 4)
		return (size_t)us;
	high = 63 - (unsigned)__builtin_clzll(us);
	bucket = (high - 2) * 2 + 4 + (us >> (high - 1) & 1);
	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

void histogram_add(struct histogram *histogram, uint64_t us)
{
	count(&histogram->count, 1);
	count(&histogram->sum, us);
	count(&histogram->bucket[bucket_of(us)], 1);
}

uint64_t histogram_limit(size_t i)
{
	unsigned high;

	if (i < 4)
		return i;
	high = (unsigned)(i - 4) / 2 + 2;
	return (1ull << high) + ((i & 1) + 1) * (1ull << (high - 1)) - 1;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->bucket[i] += from->bucket[i];
}
