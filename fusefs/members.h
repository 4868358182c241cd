/* SPDX-License-Identifier: MIT */
/*
 * Listings of keys that are directories, and members whose names are too long
 * for them.
 */
#ifndef FUSEFS_MEMBERS_H
#define FUSEFS_MEMBERS_H

#include "fs.h"
#include "name.h"

/* Finds the member of DIR and calls THEN with it, or answers REQ with an error. */
void members_find_hashed(fuse_req_t req, struct inode *dir, const struct name *name,
			 void (*then)(fuse_req_t req, struct inode *dir, const char *member, size_t len));

#endif
