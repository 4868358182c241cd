/* SPDX-License-Identifier: MIT */
/*
 * The keys that rslots is asked about: arguments, or standard input.
 */
#ifndef RSLOTS_KEYS_H
#define RSLOTS_KEYS_H

#include <stddef.h>

#include "format.h"
#include "out.h"
#include "record.h"

/* Called for each key. Returns an exit status. */
typedef int (*keys_each)(void *ctx, const char *key, size_t len);

/*
 * Calls EACH for every key in turn. OUT is flushed before standard input is waited for.
 * Returns the worst status; records that are none are reported, and passed over.
 */
int keys_walk(const struct words *words, enum record_format format, struct out *out, keys_each each, void *ctx);

/* Whether a record of this key can be written; else it is reported. */
bool keys_can(const struct record_writer *writer, const char *key, size_t len);

#endif
