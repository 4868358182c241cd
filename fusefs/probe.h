/* SPDX-License-Identifier: MIT */
/*
 * One look at a key: STRLEN, PTTL and GETRANGE in one round trip. GETRANGE
 * alone tells all of a short value, so where one is expected it is sent alone.
 */
#ifndef FUSEFS_PROBE_H
#define FUSEFS_PROBE_H

#include "cache.h"
#include "sight.h"

#define PROBE_BYTES 65536

struct op;

struct probe {
	struct sight sight;
	long long length; /* STRLEN */
	long long pttl;   /* -2: there was no such key */
	int error;
	unsigned wrong;   /* how many commands said that the key has another type */
	bool alone;       /* GETRANGE alone; to be set before probe_start() where the op has no inode */
	unsigned left, tries;
	struct look_mark look; /* whether it may be kept */
	void (*done)(struct op *op, int error);
};

/*
 * Looks at the op's key. DONE gets an errno, or 0 and op->probe.sight, also
 * when there is no such key. Where the op cannot even submit, it has been
 * answered, and DONE is not called.
 */
void probe_start(struct op *op, void (*done)(struct op *op, int error));
void probe_finish(struct op *op);

#endif
