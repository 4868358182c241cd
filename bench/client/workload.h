/* SPDX-License-Identifier: MIT */
/* What every contestant does: GETs of the same keys in the same order, WINDOW of them in flight. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stddef.h>

#include "cluster.h"

enum { KEY_LEN = 16, VALUE_LEN = 16 };

struct key {
	char name[KEY_LEN + 1];
	unsigned char node; /* index in the cluster's nodes, for the peers */
};

struct workload {
	struct cluster cluster;
	const char *seed; /* host:port */
	struct key *keys;
	size_t key_count;
	size_t next;
	size_t window;
};

/* Makes the keys and sets each to a value of VALUE_LEN bytes. Returns 0, or -1 with a line on stderr. */
int workload_init(struct workload *workload, const char *seed, size_t keys, size_t window);
void workload_finish(struct workload *workload);

/* The key of the next GET; round and round. */
static inline const struct key *workload_next(struct workload *workload)
{
	if (workload->next == workload->key_count)
		workload->next = 0;
	return &workload->keys[workload->next++];
}

/* One way to send GETs. */
struct contestant {
	const char *name;
	void *(*open)(struct workload *workload); /* NULL with a line on stderr */
	int (*run)(void *self, size_t count);     /* returns how many answers were wrong or missing */
	void (*close)(void *self);
};

extern const struct contestant contestant_shard;
extern const struct contestant contestant_hiredis;
extern const struct contestant contestant_raw;

#endif
