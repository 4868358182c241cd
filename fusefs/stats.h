/* SPDX-License-Identifier: MIT */
/*
 * What a mount counts of itself. To count is an addition; only what asked
 * servers is timed.
 */
#ifndef FUSEFS_STATS_H
#define FUSEFS_STATS_H

#include <stdint.h>

/* clang-format off */
#define STATS_OPS(X)                                                                                                   \
	X(lookup) X(getattr) X(setattr) X(open) X(create) X(mknod) X(mkdir) X(release) X(read) X(write) X(flush)       \
	X(fsync) X(unlink) X(rmdir) X(rename) X(link) X(opendir) X(readdir) X(readdirplus) X(releasedir) X(getxattr)   \
	X(setxattr) X(removexattr) X(poll)
/* clang-format on */

enum stats_op {
#define X(name) STATS_##name,
	STATS_OPS(X)
#undef X
		STATS_OP_COUNT
};

#define STATS_ERRORS 134 /* above every errno */
/* A time of microseconds falls into one of four parts of its power of two. */
#define STATS_PARTS 4
#define STATS_BUCKETS (STATS_PARTS * 40)

struct stats {
	uint64_t op[STATS_OP_COUNT];
	uint64_t error[STATS_ERRORS];
	uint64_t commands; /* submitted */
	uint64_t commits;  /* of values that were written anew, begun */
	uint64_t latency[STATS_BUCKETS];
};

static inline void stats_count(struct stats *stats, enum stats_op op)
{
	stats->op[op]++;
}

static inline void stats_error(struct stats *stats, int error)
{
	if (error > 0 && error < STATS_ERRORS)
		stats->error[error]++;
}

uint64_t stats_now_us(void); /* monotonic */

/* An operation took so long. */
void stats_took(struct stats *stats, uint64_t us);

/* How many were timed, and in what time SHARE (0 to 1) of them was done; 0 where there was none. */
uint64_t stats_timed(const struct stats *stats);
uint64_t stats_within_us(const struct stats *stats, double share);

#endif
