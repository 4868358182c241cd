/* SPDX-License-Identifier: MIT */
/*
 * One look at a key: TYPE, STRLEN, PTTL and GETRANGE in one round trip.
 */
#ifndef FUSEFS_PROBE_H
#define FUSEFS_PROBE_H

#include "sight.h"

#define PROBE_BYTES 65536

struct op;

struct probe {
	struct sight sight;
	long long length; /* STRLEN */
	long long pttl;
	int error;
	bool raced;       /* the key became another type between the commands */
	unsigned left, tries;
	void (*done)(struct op *op, int error);
};

/*
 * Looks at the op's key. DONE gets an errno, or 0 and op->probe.sight, also
 * when there is no such key. Where the op cannot even submit, it has been
 * answered, and DONE is not called.
 */
void probe_start(struct op *op, void (*done)(struct op *op, int error));
void probe_finish(struct probe *probe);

#endif
