/* SPDX-License-Identifier: MIT */
/*
 * Keys whose names are too long for a listing, found by slot and hash.
 */
#ifndef FUSEFS_LONGNAME_H
#define FUSEFS_LONGNAME_H

#include "fs.h"
#include "name.h"

/* Finds the key and calls THEN with it, or answers REQ with an error. */
void longname_look_up(fuse_req_t req, const struct name *name,
		      void (*then)(fuse_req_t req, const char *key, size_t len));

#endif
