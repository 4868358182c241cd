/* SPDX-License-Identifier: MIT */
/*
 * What is known of the keys below a directory (-o sep, -o tree).
 *
 * All keys are listed once, at the first need, into an index; from then on the
 * servers tell which keys change (shard/tracking.h), and those are asked for
 * (EXISTS) when somebody wants to know of a directory that depends on them.
 * Where changes are not told of, each need lists the keys below the directory.
 *
 * Answers are true as of some moment after the question, but for a push that is
 * on its way.
 */
#ifndef FUSEFS_SURVEY_H
#define FUSEFS_SURVEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>

#include "index.h"

struct check;
struct fs;
struct want;

#define SURVEY_CHECKS 256 /* buckets of keys that are being asked for */

struct survey {
	struct fs *fs;
	struct index *index; /* NULL: not known */
	shard_scan *scan;    /* that feeds it; NULL: it is whole */
	bool lost;           /* something may not have been told of since it began */
	bool too_large;      /* it would take too much memory */
	struct want *wants;  /* all */
	struct check *checks[SURVEY_CHECKS];
};

enum survey_depth {
	SURVEY_EXISTS, /* whether there is any key */
	SURVEY_NAMES,  /* and what is directly in it */
	SURVEY_KEYS    /* all keys below it */
};

/*
 * What is below the directory that was asked about: DIR is NULL where there is nothing. Valid in the callback. With
 * -o tree, SURVEY_NAMES and SURVEY_KEYS tell of the key that is called as the directory is, too.
 */
struct survey_view {
	const struct index *index;
	const struct index_dir *dir;
	bool value; /* there is such a key */
};

/* VIEW is NULL with an ERROR: an errno. */
typedef void (*survey_done)(void *ctx, const struct survey_view *view, int error);

void survey_start(struct survey *survey, struct fs *fs);
void survey_stop(struct survey *survey); /* while the client is there */

/* DONE is called once, maybe at once, within the deadline of an operation. */
void survey_ask(struct survey *survey, const char *prefix, size_t len, enum survey_depth depth, survey_done done,
		void *ctx);

/* Whether there is any key below PREFIX, if that is known now: then *THERE says so. */
bool survey_knows(const struct survey *survey, const char *prefix, size_t len, bool *there);

/* KEY has changed: it may be there now, or not any more. */
void survey_changed(struct survey *survey, const char *key, size_t len);

/* Changes may not have been told of. */
void survey_lost(struct survey *survey);

/* Whether another key than this one, or with DIR than those below it, is known to be below PREFIX. */
bool survey_has_other(const struct survey *survey, const char *prefix, size_t prefix_len, const char *key, size_t len,
		      bool dir);

#endif
