/* SPDX-License-Identifier: MIT */
/*
 * Where to mount: looked at before anything is started.
 */
#ifndef FUSEFS_MOUNTPOINT_H
#define FUSEFS_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

/* The real path of PATH, malloc'ed; NULL with the error reported where nothing can be mounted there. */
char *mountpoint_check(const char *path);

/*
 * The device of what is mounted, uppermost, at PATH or above it; 0 where that cannot be known (errno, or 0). No file
 * system is asked, so a daemon may call it about its own mount.
 */
dev_t mountpoint_device(const char *path);

/* Whether a file system of this device is mounted anywhere, or that cannot be known. */
bool mountpoint_exists(dev_t device);

#endif
