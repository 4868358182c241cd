/* SPDX-License-Identifier: MIT */
/*
 * A large value that is being fetched whole: by one GET, so it is one
 * version. Its bytes go into a buffer as they come, and each READ is answered
 * as soon as its own are there.
 */
#ifndef FUSEFS_LOAD_H
#define FUSEFS_LOAD_H

#include "handle.h"
#include "read.h"

/*
 * Begins to load the version that HANDLE reads (handle->load): its size, and
 * the bytes that the reader has been given, are what the value must have; else
 * all READs end in ESTALE. At its end the value is the handle's version.
 * 0 or an errno.
 */
int load_start(struct handle *handle);

/* Answers READ, now or when its bytes are there. */
void load_read(struct load *load, struct read *read);

/* The handle goes on without it: READs that wait are still answered. */
void load_leave(struct load *load);

#endif
