/* SPDX-License-Identifier: MIT */
/*
 * A key gets another name: by one command within a slot. Across slots the
 * value is copied, then the source removed if it is still what was copied;
 * both exist for a moment.
 */
#ifndef FUSEFS_MOVE_H
#define FUSEFS_MOVE_H

#include "fs.h"

/* Of a serialized value that is copied across slots. */
#define MOVE_MAX ((size_t)64 << 20)

struct move_options {
	const char *from, *to;
	size_t from_len, to_len;
	size_t most;        /* 0: no limit */
	bool replace;       /* the target may be there */
	bool again;         /* it may have been copied before; where the target is the same, only the source is removed */
	uint64_t began_us;  /* stats_now_us(), for the deadline */
};

/*
 * Errors are ENOENT (no source), EEXIST (there is a target), E2BIG (over the
 * limit), EBUSY (it changes all the time), or those of errors.h. DONE is
 * called once, in a later tick or at once. All that HOW points to is copied.
 */
void move_start(struct fs *fs, const struct move_options *how, void (*done)(void *ctx, int error), void *ctx);

#endif
