/* SPDX-License-Identifier: MIT */
/*
 * The process that touches the files of the mount, so that inotify(7) tells
 * of changes that were made elsewhere: the kernel makes its events of calls
 * on the mount alone. The file system takes its calls for what they are
 * (notice.h): they change nothing.
 *
 * It does one touch at a time and answers with a byte when that is done. It
 * ends with the process that has started it.
 */
#ifndef FUSEFS_TOUCHER_H
#define FUSEFS_TOUCHER_H

#include <stdbool.h>
#include <sys/types.h>

enum touch {
	TOUCH_NOTHING,
	TOUCH_HELLO,       /* looks for a name that is no key's */
	TOUCH_CREATED,     /* and with what was written */
	TOUCH_CREATED_DIR,
	TOUCH_REMOVED,
	TOUCH_REMOVED_DIR,
	TOUCH_MODIFIED,    /* opened, written, closed */
	TOUCH_ATTRIB
};

#define TOUCHER_NAME_MAX 4095

struct toucher {
	pid_t pid; /* 0: none */
	int fd;    /* non-blocking, readable when a touch is done, and at its end; -1: none */
};

/* Before there are other threads. DEVICE: of the mount. Returns 0 or an errno. */
int toucher_start(struct toucher *toucher, const char *mountpoint, dev_t device);

/* Asks for one touch. False: it has ended, or the one before is not done. */
bool toucher_ask(const struct toucher *toucher, enum touch what, const char *name);

/* Reads the answer. False: it has ended. */
bool toucher_answered(const struct toucher *toucher);

void toucher_stop(struct toucher *toucher);   /* tells it to end; does not wait */
void toucher_finish(struct toucher *toucher); /* when it can end, as the mount is gone: waits for that, for a second */

#endif
