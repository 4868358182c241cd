/* SPDX-License-Identifier: MIT */
/*
 * A progress bar on stderr: only where that is a terminal (and standard output
 * is not), and only after a second of work.
 */
#ifndef PROGRESS_H
#define PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool on;
	bool eta;         /* set it after progress_init(): how long the rest takes is shown, too */
	const char *unit; /* "keys" */
	uint64_t started_ms, drawn_ms;
};

void progress_init(struct progress *progress, const char *unit);

/* How long a tick may wait so that the bar goes on: milliseconds, -1 for ever. */
int progress_wait_ms(const struct progress *progress);

/* DONE units; PART of WHOLE (any measure; WHOLE 0: not known). Draws at most five times a second. */
void progress_show(struct progress *progress, uint64_t done, uint64_t part, uint64_t whole);

/* Clears the line. */
void progress_end(struct progress *progress);

#endif
