/* SPDX-License-Identifier: MIT */
#include "toucher.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAITS 100
#define WAIT_NS 10000000

/* ---- the process ---- */

struct place {
	const char *mountpoint;
	dev_t device;
};

/* The kernel tells that without asking the file system. */
static bool is_ours(int dir, dev_t device)
{
	struct statx st;

	return statx(dir, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, 0, &st) == 0 &&
	       makedev(st.stx_dev_major, st.stx_dev_minor) == device;
}

/* The time of writing alone makes MODIFY, both times make ATTRIB. Should it be taken for a stranger's, no data is lost. */
static const struct timespec written[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};

static void modify(int dir, const char *name)
{
	int fd = openat(dir, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0) {
		utimensat(dir, name, written, AT_SYMLINK_NOFOLLOW);
		return;
	}
	futimens(fd, written);
	close(fd);
}

static void touch(int dir, enum touch what, const char *name)
{
	switch (what) {
	case TOUCH_HELLO:
		faccessat(dir, name, F_OK, 0);
		break;
	case TOUCH_CREATED:
		mknodat(dir, name, S_IFREG | 0600, 0);
		modify(dir, name);
		break;
	case TOUCH_CREATED_DIR:
		mkdirat(dir, name, 0700);
		break;
	case TOUCH_REMOVED:
		unlinkat(dir, name, 0);
		break;
	case TOUCH_REMOVED_DIR:
		unlinkat(dir, name, AT_REMOVEDIR);
		break;
	case TOUCH_MODIFIED:
		modify(dir, name);
		break;
	case TOUCH_ATTRIB:
		utimensat(dir, name, NULL, AT_SYMLINK_NOFOLLOW);
		break;
	case TOUCH_NOTHING:
		break;
	}
}

/* The mount is held only meanwhile: else it could not be unmounted. */
static void touch_at(const struct place *place, enum touch what, const char *name)
{
	int dir = open(place->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	if (is_ours(dir, place->device))
		touch(dir, what, name);
	close(dir);
}

static void serve(int fd, const struct place *place)
{
	char message[TOUCHER_NAME_MAX + 2];
	ssize_t n;

	while ((n = recv(fd, message, sizeof(message) - 1, 0)) > 0) {
		message[n] = '\0';
		touch_at(place, (enum touch)message[0], message + 1);
		if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
			break;
	}
}

/* Keeps nothing of the file system's: neither its connection, nor those to servers, nor the caller's output. */
static int leave_all(int fd)
{
	int null = open("/dev/null", O_RDWR);

	for (int i = 0; i < 3 && null >= 0; i++)
		dup2(null, i);
	if (dup2(fd, 3) < 0 || fcntl(3, F_SETFL, 0) < 0 || close_range(4, ~0U, 0) < 0)
		return -1;
	return chdir("/") < 0 ? -1 : 3;
}

static void run(int fd, const struct place *place, pid_t parent)
{
	sigset_t none;

	prctl(PR_SET_NAME, "shardfs-touch");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* The terminal's are for the file system, which ends this. */
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	fd = leave_all(fd);
	if (fd >= 0 && getppid() == parent)
		serve(fd, place);
	_exit(0);
}

/* ---- its parent ---- */

int toucher_start(struct toucher *toucher, const char *mountpoint, dev_t device)
{
	const struct place place = {mountpoint, device};
	pid_t parent = getpid();
	int fds[2];

	*toucher = (struct toucher){.fd = -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
		return errno;
	pid_t pid = fork();
	if (pid == 0)
		run(fds[1], &place, parent);
	int error = pid < 0 ? errno : 0;
	close(fds[1]);
	if (error) {
		close(fds[0]);
		return error;
	}
	*toucher = (struct toucher){.pid = pid, .fd = fds[0]};
	return 0;
}

bool toucher_ask(const struct toucher *toucher, enum touch what, const char *name)
{
	char message[TOUCHER_NAME_MAX + 1];
	size_t len = strlen(name);

	if (len + 1 > sizeof(message))
		return false;
	message[0] = (char)what;
	memcpy(message + 1, name, len);
	return send(toucher->fd, message, len + 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len + 1;
}

bool toucher_answered(const struct toucher *toucher)
{
	char byte;

	return recv(toucher->fd, &byte, 1, MSG_DONTWAIT) == 1;
}

void toucher_stop(struct toucher *toucher)
{
	if (toucher->fd >= 0)
		close(toucher->fd);
	toucher->fd = -1;
	if (toucher->pid > 0)
		kill(toucher->pid, SIGKILL);
}

void toucher_finish(struct toucher *toucher)
{
	const struct timespec moment = {.tv_nsec = WAIT_NS};

	for (int i = 0; toucher->pid > 0 && i < WAITS && waitpid(toucher->pid, NULL, WNOHANG) == 0; i++)
		nanosleep(&moment, NULL);
	toucher->pid = 0;
}
