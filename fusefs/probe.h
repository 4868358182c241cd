/* SPDX-License-Identifier: MIT */
/*
 * One look at a key: STRLEN, PTTL and GETRANGE in one round trip. GETRANGE
 * alone tells all of a short value, so where one is expected it is sent alone.
 * What is no string is asked for its type, alone where that is expected.
 */
#ifndef FUSEFS_PROBE_H
#define FUSEFS_PROBE_H

#include "cache.h"
#include "sight.h"

#define PROBE_BYTES 65536

struct op;
struct inode;

struct probe {
	struct sight sight;
	long long length; /* STRLEN */
	long long pttl;   /* -2: there was no such key */
	int error;
	unsigned wrong; /* how many commands said that the key has another type */
	bool alone;     /* GETRANGE alone; of a member: its value */
	bool typed;     /* TYPE alone */
	unsigned left, tries;
	uint64_t turn;   /* the cache's, when it began */
	struct look_mark look; /* whether it may be kept */
	void (*done)(struct op *op, int error);
};

/* What is to be expected of a key whose inode, if there is one, is INODE; probe_start() does that for the op's own. */
void probe_expect(struct probe *probe, const struct inode *inode);

/*
 * Looks at the op's key, or its member. DONE gets an errno, or 0 and op->probe.sight, also
 * when there is no such key. Where the op cannot even submit, it has been
 * answered, and DONE is not called.
 */
void probe_start(struct op *op, void (*done)(struct op *op, int error));
void probe_finish(struct op *op);

/* Sets when what has just come was seen. */
void probe_date(struct op *op);

#endif
