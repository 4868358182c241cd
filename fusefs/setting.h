/* SPDX-License-Identifier: MIT */
/*
 * The options that can be changed while it is mounted: by -o at the start, by
 * .shardfs/config later. Pure functions.
 */
#ifndef FUSEFS_SETTING_H
#define FUSEFS_SETTING_H

#include <stdbool.h>

#include "options.h"

/* Whether there is one of this name. */
bool setting_known(const char *name);

/* Takes the VALUE of one that is known. NULL, or what is wanted instead, for people; then nothing has changed. */
const char *setting_take(struct options *options, const char *name, const char *value);

/*
 * The same of lines "name value", the last one with or without its end: all of them, or, where one is wrong, none.
 * Returns whether all were right.
 */
bool setting_take_lines(struct options *options, const char *text, size_t len);

/* What setting_take() reads again. */
const char *setting_commit_name(const struct options *options);
const char *setting_ttl_text(const struct options *options, char text[24]);

#endif
