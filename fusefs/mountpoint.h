/* SPDX-License-Identifier: MIT */
/*
 * Where to mount: looked at before anything is started.
 */
#ifndef FUSEFS_MOUNTPOINT_H
#define FUSEFS_MOUNTPOINT_H

/* The real path of PATH, malloc'ed; NULL with the error reported where nothing can be mounted there. */
char *mountpoint_check(const char *path);

#endif
