/* SPDX-License-Identifier: MIT */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cli.h"
#include "crew.h"
#include "feed.h"
#include "mountpoint.h"
#include "notice.h"
#include "ops.h"
#include "prefix.h"
#include "scratch.h"

struct session {
	struct fs fs;
	struct crew crew;
	shard_watch *signal_watch;
	int signal_fd;
	int spare[2]; /* kept for the end: to look at the mounts needs descriptors */
	dev_t device; /* of the mount */
};

static void on_signal(void *ctx, uint32_t events)
{
	crew_end(ctx);
}

/* ---- the start ---- */

static bool catch_signals(struct session *session)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	session->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	for (int i = 0; i < 2; i++)
		session->spare[i] = fcntl(session->signal_fd, F_DUPFD_CLOEXEC, 0);
	session->signal_watch =
		shard_watch_add(session->fs.client, session->signal_fd, EPOLLIN, on_signal, &session->crew);
	return session->signal_watch;
}

static bool watch(struct session *session, const char *mountpoint)
{
	struct fs *fs = &session->fs;
	int fd = fuse_session_fd(fs->session);

	session->device = mountpoint_device(mountpoint);
	if (!session->device) {
		cli_error_about(mountpoint, strlen(mountpoint), "cannot find the mount in /proc/self/mountinfo: %s",
				errno ? strerror(errno) : "it is gone");
		return false;
	}
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	int error = crew_watch(&session->crew);
	if (error)
		cli_error("cannot watch /dev/fuse: %s", strerror(error));
	return !error;
}

static bool mount(struct session *session, const char *mountpoint)
{
	struct fs *fs = &session->fs;

	fs->session = fuse_session_new(fs->options->mount, &fs_ops, sizeof(fs_ops), fs);
	if (!fs->session || fuse_session_mount(fs->session, mountpoint)) /* which report why */
		return false;
	if (watch(session, mountpoint))
		return true;
	fuse_session_unmount(fs->session);
	return false;
}

static bool start(struct session *session, struct options *options, const char *mountpoint, void (*ready)(void))
{
	struct fs *fs = &session->fs;

	fs->mounted = fs_now();
	fs->root = inode_alone(KIND_ROOT, fs->mounted);
	if (!fs->root || inode_table_init(&fs->inodes, fs->options->cache_size) || control_start(fs, options) ||
	    prefix_start(fs)) {
		cli_error("out of memory");
		return false;
	}
	int error = crew_start(&session->crew, fs, ready);
	if (error) {
		cli_error("cannot begin: %s", strerror(error));
		return false;
	}
	if (!catch_signals(session)) {
		cli_error("cannot watch signals: %s", strerror(errno));
		return false;
	}
	if (!mount(session, mountpoint))
		return false;
	error = cache_start(fs);
	if (!error)
		error = notice_start(fs, mountpoint, session->device);
	if (!error)
		return true;
	cli_error("cannot begin: %s", strerror(error));
	notice_stop(fs);
	cache_stop(fs);
	fuse_session_unmount(fs->session);
	return false;
}

/* ---- the end ---- */

/* Whether somebody else has unmounted it. */
static bool is_unmounted(const struct session *session)
{
	struct pollfd fuse = {.fd = fuse_session_fd(session->fs.session)};

	return poll(&fuse, 1, 0) > 0 && fuse.revents & POLLERR;
}

static void close_spare(struct session *session)
{
	for (int i = 0; i < 2; i++) {
		if (session->spare[i] >= 0)
			close(session->spare[i]);
		session->spare[i] = -1;
	}
}

/* Ends the connection and nothing else: libfuse unmounts by path, but not where it sees POLLERR, as of this pipe. */
static void disconnect(struct fuse_session *fuse)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return;
	close(fds[0]);
	dup2(fds[1], fuse_session_fd(fuse));
	close(fds[1]);
	fuse_session_unmount(fuse);
}

/* By now something else may be mounted at MOUNTPOINT, which is not ours to end. Returns false where ours stays. */
static bool unmount(struct session *session, const char *mountpoint)
{
	close_spare(session);
	bool ours = mountpoint_device(mountpoint) == session->device;
	fuse_session_exit(session->fs.session);
	if (ours || is_unmounted(session)) {
		fuse_session_unmount(session->fs.session);
		return true;
	}
	disconnect(session->fs.session);
	if (!mountpoint_exists(session->device))
		return true;
	cli_error_about(mountpoint, strlen(mountpoint),
			"something else is mounted there now: left alone, and what was mounted here before it is dead; "
			"umount ends it");
	return false;
}

static void on_late(void *ctx)
{
	*(bool *)ctx = true;
}

/* Closes what is open, as if all programs had ended; what they wrote is stored, up to the deadline. */
static void store_all(struct fs *fs)
{
	bool late = false;
	shard_timer *timer = shard_timer_add(fs_client(fs), fs_timeout_ms(fs) + 1000, on_late, &late);

	while (fs->handles)
		handle_close(fs->handles);
	while (fs->dirs)
		dir_close(fs->dirs);
	while (fs->members)
		members_close(fs->members);
	while (fs->feeds)
		feed_close(fs->feeds);
	control_close_all(fs);
	while (fs->commits && !late && timer && crew_wait(fs->crew))
		;
	if (!late)
		shard_timer_cancel(timer);
}

static void finish(struct session *session)
{
	struct fs *fs = &session->fs;

	close_spare(session);
	if (session->signal_fd >= 0)
		close(session->signal_fd);
	control_finish(fs);
	inode_table_finish(&fs->inodes);
	prefix_finish(fs);
	inode_drop(fs->root);
	if (fs->session)
		fuse_session_destroy(fs->session);
	notice_finish(fs);
}

/* Before the inodes and the session are freed: its last callbacks answer requests. */
static void end_client(struct cli_connect *connect)
{
	shard_client_destroy(connect->client);
	connect->client = NULL;
}

bool session_serve(struct options *options, const char *mountpoint, void (*ready)(void))
{
	shard_client *client = options->connect.client;
	struct session session = {
		.fs = {.options = options, .client = client}, .signal_fd = -1, .spare = {-1, -1}};

	bool ok = start(&session, options, mountpoint, ready);
	if (ok) {
		crew_serve(&session.crew);
		cache_stop(&session.fs);
		notice_stop(&session.fs);
		survey_stop(&session.fs.survey);
		ok = unmount(&session, mountpoint) && !session.crew.given_up;
		store_all(&session.fs);
	}
	shard_watch_remove(session.signal_watch);
	scratch_finish(&session.fs);
	crew_finish(&session.crew);
	end_client(&options->connect);
	finish(&session);
	return ok;
}
