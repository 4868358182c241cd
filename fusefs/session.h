/* SPDX-License-Identifier: MIT */
/*
 * The FUSE session in the client's loop: from the mount to its end.
 */
#ifndef FUSEFS_SESSION_H
#define FUSEFS_SESSION_H

#include "fs.h"

/*
 * Mounts at MOUNTPOINT and serves until it is unmounted or a signal comes;
 * READY is called when the mount answers. All that was written is stored, or
 * its deadline has passed, and the client is destroyed, when this returns.
 * Only its own mount is ended. Returns whether all went well; else the error
 * is reported.
 */
bool session_serve(struct options *options, const char *mountpoint, void (*ready)(void));

#endif
