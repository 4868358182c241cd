/* SPDX-License-Identifier: MIT */
/*
 * What one look at a key has shown.
 */
#ifndef FUSEFS_SIGHT_H
#define FUSEFS_SIGHT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

enum sight_type {
	SIGHT_NONE, /* no such key */
	SIGHT_STRING,
	SIGHT_OTHER
};

struct sight {
	enum sight_type type;
	size_t size;          /* of a string */
	bool whole;           /* start holds all of it */
	struct buffer *start; /* the first bytes of a string, or NULL */
	uint64_t at;          /* when the answer came, in ms */
};

#endif
