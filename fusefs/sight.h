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
#include "kind.h"

struct sight {
	enum kind kind;
	size_t size;          /* of a string, or of a member */
	bool whole;           /* start holds all of it */
	struct buffer *start; /* the first bytes of it, or NULL */
	uint64_t at;          /* when the answer came, in ms */
	bool late;            /* the key has changed since it was asked for: it serves those who asked, and nobody later */
};

#endif
