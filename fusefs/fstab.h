/* SPDX-License-Identifier: MIT */
/*
 * How mount(8) calls: a source before the mount point, and what else stands
 * in fstab among the options.
 */
#ifndef FUSEFS_FSTAB_H
#define FUSEFS_FSTAB_H

#include <stdbool.h>

/* Whether an option is a word for mount(8) or systemd, of no matter here. NAME is its part before '='. */
bool fstab_is_word(const char *name);

/* Whether SOURCE is a URI; whether it says nothing ("none", "shardfs"). */
bool fstab_is_uri(const char *source);
bool fstab_is_nothing(const char *source);

/* TEXT with each "\," and "\\" as what it stands for. malloc'ed. */
char *fstab_unescape(const char *text);

/* Where the option that begins at TEXT ends: at a comma without a backslash, or at the NUL. */
char *fstab_option_end(char *text);

/* Overwrites the secrets of each uri= in OPTIONS in place. */
void fstab_mask(char *options);

#endif
