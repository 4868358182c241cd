/* SPDX-License-Identifier: MIT */
/*
 * A READ under way.
 */
#ifndef FUSEFS_READ_H
#define FUSEFS_READ_H

#include "handle.h"
#include "op.h"

struct read {
	struct op op;
	struct handle *handle; /* held */
	size_t size;
	size_t offset;
	size_t first; /* of what is fetched for it */
};

/* Submits STRLEN and GETRANGE of the bytes FIRST to LAST as one block. */
void read_submit_versioned(struct read *read, size_t first, size_t last, op_step step);

/*
 * The two answers: *LENGTH of the value and its *BYTES. False: the op was
 * answered with an error.
 */
bool read_versioned(struct op *op, const shard_result *result, size_t *length, const shard_reply **bytes);

/* follow.c: whether the value has grown behind a reader who has read all of its version, and READ asks for more. */
bool follow_wanted(const struct read *read);

/* Answers with what was appended, if the value continues the reader's version; else with the end of the file. */
void follow_start(struct read *read);

#endif
