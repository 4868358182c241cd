/* SPDX-License-Identifier: MIT */
#include "lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "text.h"
#include "wait.h"

/* Whether the file that was locked is still the one of that name: `down --wipe` removes it under a waiter's hands. */
static bool still_there(int fd, const char *path)
{
	struct stat held, named;

	return !fstat(fd, &held) && !stat(path, &named) && held.st_dev == named.st_dev && held.st_ino == named.st_ino;
}

/* Returns a descriptor; -1 with errno (EWOULDBLOCK: another holds it, ESTALE: look again). */
static int try_lock(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int saved;

	if (fd < 0)
		return -1;
	if (!flock(fd, LOCK_EX | LOCK_NB)) {
		if (still_there(fd, path) && !ftruncate(fd, 0) && dprintf(fd, "%ld\n", (long)getpid()) > 0)
			return fd;
		errno = ESTALE;
	}
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static void complain_held(const char *dir, const char *path)
{
	char *holder = file_read(path);

	cli_error("%s: another rcluster%s%.*s is at work there: try again when it is done", dir,
		  holder && *holder ? ", pid " : "", holder ? (int)strcspn(holder, "\n") : 0, holder ? holder : "");
	free(holder);
}

int lock_take(const char *dir, unsigned wait_ms)
{
	char *path = text("%s/lock", dir);
	int64_t end = now_ms() + wait_ms;
	int fd;

	while ((fd = try_lock(path)) < 0) {
		bool again = errno == EWOULDBLOCK || errno == ESTALE || errno == EINTR;

		if (!again)
			cli_error("%s: %s", path, strerror(errno));
		else if (now_ms() >= end)
			complain_held(dir, path);
		else if (!pause_ms(20))
			cli_error("%s: interrupted", dir);
		else
			continue;
		break;
	}
	free(path);
	return fd;
}

void lock_release(int lock)
{
	if (lock >= 0)
		close(lock);
}

void lock_remove(const char *dir)
{
	char *path = text("%s/lock", dir);

	unlink(path);
	free(path);
}
