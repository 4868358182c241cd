/* SPDX-License-Identifier: MIT */
#include "loader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shard/uri.h>

#include "ask.h"
#include "cli.h"
#include "log.h"
#include "server.h"
#include "text.h"
#include "wait.h"

#define POLL_MS 10
#define STOP_MS 5000
#define ANSWER_MS 5000
#define LEAST_MS 60000
#define SLOWEST 2000 /* bytes a millisecond: a load that is slower is given up */

static const char *const files[] = {"dump.rdb", "log", "sock"};

static _Noreturn void become(const char *program, const char *dir, pid_t parent)
{
	const char *argv[] = {program,     "--port",       "0",    "--unixsocket",  "sock", "--dir",  ".",
			      "--save",    "",             "--appendonly", "no",    "--dbfilename", "dump.rdb",
			      "--logfile", "log",          "--daemonize",  "no",    "--maxmemory",  "0", NULL};
	int null = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setsid(); /* a ^C is for us: we end it */
	if (getppid() == parent && !chdir(dir) && null >= 0 && dup2(null, 0) >= 0 && dup2(null, 1) >= 0 &&
	    dup2(null, 2) >= 0 && !close_range(3, ~0U, CLOSE_RANGE_CLOEXEC))
		execv(program, (char *const *)argv);
	_exit(127);
}

static bool spawn(struct loader *loader, const char *rdb)
{
	const char *tmp = getenv("TMPDIR");
	char *program = server_find(""), *link;
	pid_t self = getpid();

	if (!program)
		return false;
	loader->dir = text("%s/rcluster-restore-XXXXXX", tmp && *tmp == '/' && strlen(tmp) < 60 ? tmp : "/tmp");
	if (!mkdtemp(loader->dir)) {
		cli_error("%s: %s", loader->dir, strerror(errno));
		free(loader->dir);
		loader->dir = NULL;
		free(program);
		return false;
	}
	link = text("%s/dump.rdb", loader->dir);
	if (!symlink(rdb, link))
		loader->pid = fork();
	if (!loader->pid)
		become(program, loader->dir, self);
	if (loader->pid > 0)
		loader->process = pidfd_open(loader->pid, 0);
	if (loader->process < 0)
		cli_error("cannot start %s: %s", program, strerror(errno));
	free(link);
	free(program);
	return loader->process >= 0;
}

static bool make_client(struct loader *loader, unsigned timeout_ms)
{
	char *where = text("unix://%s/sock", loader->dir);
	shard_uri *uri = NULL;
	shard_options options;
	int error = shard_uri_parse(where, &uri, NULL);

	if (!error) {
		shard_options_init(&options);
		options.uri = uri;
		options.lazy = true;
		options.timeout_ms = timeout_ms;
		error = shard_client_create(&loader->client, &options);
	}
	if (error)
		cli_error("%s: %s", where, shard_strerror(error));
	shard_uri_free(uri);
	free(where);
	return !error;
}

/* Whoever reaps it (wait.h's pauses do), the descriptor stays that of this process. */
static bool runs(const struct loader *loader, int wait_ms)
{
	struct pollfd p = {.fd = loader->process, .events = POLLIN};

	return poll(&p, 1, wait_ms) <= 0;
}

static bool has_loaded(struct loader *loader)
{
	char *sock = text("%s/sock", loader->dir);
	struct ask ask = {.to = sock, .argc = 1, .argv = {"PING"}};
	bool ok = !access(sock, F_OK) && ask_all(loader->client, NULL, &ask, 1, ANSWER_MS);

	ask_finish(&ask, 1);
	free(sock);
	return ok;
}

static void explain(const struct loader *loader, const char *rdb, const char *what)
{
	char *log = text("%s/log", loader->dir);

	cli_error("%s: %s", rdb, what);
	log_explain(log);
	free(log);
}

bool loader_start(struct loader *loader, const char *rdb, unsigned timeout_ms)
{
	struct stat st;
	int64_t end = now_ms() + LEAST_MS + (stat(rdb, &st) ? 0 : st.st_size / SLOWEST);

	*loader = (struct loader){.pid = -1, .process = -1};
	if (!spawn(loader, rdb) || !make_client(loader, timeout_ms))
		return false;
	while (!has_loaded(loader)) {
		if (!runs(loader, 0)) {
			explain(loader, rdb, "the server that was to load it has ended");
			return false;
		}
		if (now_ms() >= end) {
			explain(loader, rdb, "it is not loaded yet: given up");
			return false;
		}
		if (!pause_ms(POLL_MS)) {
			cli_error("%s: interrupted", rdb);
			return false;
		}
	}
	return true;
}

void loader_stop(struct loader *loader)
{
	shard_client_destroy(loader->client);
	if (loader->process >= 0) {
		pidfd_send_signal(loader->process, SIGKILL, NULL, 0);
		runs(loader, STOP_MS);
		waitpid(loader->pid, NULL, WNOHANG);
		close(loader->process);
	}
	for (size_t i = 0; loader->dir && i < sizeof(files) / sizeof(*files); i++) {
		char *path = text("%s/%s", loader->dir, files[i]);

		unlink(path);
		free(path);
	}
	if (loader->dir)
		rmdir(loader->dir);
	free(loader->dir);
	*loader = (struct loader){.pid = -1, .process = -1};
}
