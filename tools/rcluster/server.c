/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "port.h"
#include "text.h"
#include "wait.h"

#define PID_FILE "redis.pid"
#define KILL_MS 5000

/* An absolute path, its last link not followed: redis-server may be a link, and goes by the name it was called. */
static char *find_in_path(const char *name)
{
	const char *path = getenv("PATH");

	while (path && *path) {
		int len = (int)strcspn(path, ":");
		char *dir = text("%.*s", len, path);
		char *absolute = realpath(len ? dir : ".", NULL);
		char *file = text("%s/%s", absolute ? absolute : "", name);
		struct stat st;

		free(dir);
		free(absolute);
		if (absolute && !stat(file, &st) && S_ISREG(st.st_mode) && !access(file, X_OK))
			return file;
		free(file);
		path += len + (path[len] == ':');
	}
	return NULL;
}

char *server_find(const char *name)
{
	char *program = find_in_path(*name ? name : SERVER_REDIS);

	if (!program && !*name)
		program = find_in_path(SERVER_VALKEY);
	if (!program && *name)
		cli_error("%s is not in $PATH: apt install %s", name, name);
	else if (!program)
		cli_error("neither redis-server nor valkey-server is in $PATH: apt install redis-server");
	return program;
}

static char *configuration(const struct layout *layout, unsigned node)
{
	/*
	 * Relative paths: the directory of the node is where it runs. Replicas
	 * show in CLUSTER SLOTS from their first ping on, so those come often.
	 */
	return text("# Written by rcluster when it made the node; changes of yours stay.\n"
		    "bind %s\n"
		    "port %u\n"
		    "protected-mode yes\n"
		    "daemonize no\n"
		    "dir ./\n"
		    "logfile \"\"\n"
		    "save \"\"\n"
		    "appendonly yes\n"
		    "cluster-enabled yes\n"
		    "cluster-config-file nodes.conf\n"
		    "cluster-node-timeout 2000\n"
		    "repl-diskless-sync-delay 0\n"
		    "repl-ping-replica-period 1\n"
		    "%s",
		    layout->bind, layout_port(layout, node), layout->conf ? layout->conf : "");
}

bool server_prepare(const struct layout *layout, unsigned node)
{
	char *dir = layout_path(layout, node, "");
	char *file = layout_path(layout, node, SERVER_CONF);
	char *content = configuration(layout, node);
	bool ok = true;

	if (mkdir(dir, 0700) && errno != EEXIST) {
		cli_error("%s: %s", dir, strerror(errno));
		ok = false;
	} else if (access(file, F_OK) && !file_write(file, content)) {
		cli_error("%s: %s", file, strerror(errno));
		ok = false;
	}
	free(content);
	free(file);
	free(dir);
	return ok;
}

static bool write_pid(void)
{
	char *content = text("%ld\n", (long)getpid());
	bool ok = file_write(PID_FILE, content);

	free(content);
	return ok;
}

static bool redirect_output(void)
{
	int log = open(SERVER_LOG, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);

	return log >= 0 && null >= 0 && dup2(null, 0) >= 0 && dup2(log, 1) >= 0 && dup2(log, 2) >= 0;
}

static void reset_signals(void)
{
	static const int changed[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGCHLD};
	sigset_t none;

	for (size_t i = 0; i < sizeof(changed) / sizeof(*changed); i++)
		signal(changed[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In the child. REPORT takes errno of what failed; it closes by itself where nothing did. */
static _Noreturn void become_server(const char *dir, const char *program, int report)
{
	int error;

	umask(077);
	setsid();
	if (!chdir(dir) && write_pid() && redirect_output() && !close_range(3, ~0U, CLOSE_RANGE_CLOEXEC)) {
		reset_signals();
		execl(program, program, SERVER_CONF, (char *)NULL);
	}
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

bool server_start(const struct layout *layout, unsigned node, const char *program)
{
	char *dir = layout_path(layout, node, "");
	int report[2] = {-1, -1};
	int error = 0;
	pid_t pid = -1;

	if (!pipe2(report, O_CLOEXEC))
		pid = fork();
	if (!pid) {
		while (report[1] < 3)
			report[1] = dup(report[1]); /* out of the way of 0, 1 and 2, should those be closed */
		become_server(dir, program, report[1]);
	}
	if (pid < 0)
		error = errno;
	close(report[1]);
	if (pid > 0 && read(report[0], &error, sizeof(error)) != sizeof(error))
		error = 0;
	close(report[0]);
	if (error)
		cli_error("node %u: cannot start %s: %s", layout_port(layout, node), program, strerror(error));
	free(dir);
	return !error;
}

static pid_t recorded_pid(const struct layout *layout, unsigned node)
{
	char *path = layout_path(layout, node, PID_FILE);
	char *content = file_read(path);
	long pid = 0;

	if (content) {
		content[strcspn(content, "\n")] = '\0';
		if (!text_number(content, 1, 0x7fffffff, &pid))
			pid = 0;
	}
	free(content);
	free(path);
	return (pid_t)pid;
}

/* Behind the state letter: "S 1 2 ...". A process whose first thread has ended lives on while others have not. */
static bool has_threads(const char *state)
{
	for (int field = 3; state && field < 20; field++)
		state = strchr(state + 1, ' ');
	return state && strtol(state, NULL, 10) > 1;
}

/* The state letter and the name of a process; '\0': there is none, or it ended and only its parent does not know. */
static char process_state(pid_t pid, char name[32])
{
	char *path = text("/proc/%ld/stat", (long)pid);
	char *content = file_read(path);
	char *open = content ? strchr(content, '(') : NULL;
	char *close = open ? strrchr(open, ')') : NULL;
	char state = '\0';

	if (close && close[1] == ' ') {
		state = close[2];
		if ((state == 'Z' || state == 'X') && !has_threads(close + 2))
			state = '\0';
		snprintf(name, 32, "%.*s", (int)(close - open - 1), open + 1);
	}
	free(content);
	free(path);
	return state;
}

/* What is just ending has no working directory any more, but its ports still. */
static bool works_in(pid_t pid, const char *dir)
{
	char *path = text("/proc/%ld/cwd", (long)pid);
	struct stat there, wanted;
	bool same;

	if (stat(path, &there))
		same = errno == ENOENT;
	else
		same = !stat(dir, &wanted) && there.st_dev == wanted.st_dev && there.st_ino == wanted.st_ino;
	free(path);
	return same;
}

enum server_state server_look(const struct layout *layout, unsigned node, pid_t *pid)
{
	pid_t found = recorded_pid(layout, node);
	char *dir = layout_path(layout, node, "");
	char name[32] = "";
	char letter = found ? process_state(found, name) : '\0';
	bool ours = letter && (!strcmp(name, SERVER_REDIS) || !strcmp(name, SERVER_VALKEY)) && works_in(found, dir);

	free(dir);
	if (pid)
		*pid = ours ? found : 0;
	if (!ours)
		return SERVER_STOPPED;
	return letter == 'T' || letter == 't' ? SERVER_PAUSED : SERVER_RUNNING;
}

bool server_listens(const struct layout *layout, unsigned node)
{
	unsigned port = layout_port(layout, node);

	return port_accepts(layout->bind, port) && port_accepts(layout->bind, port + BUS_OFFSET);
}

bool server_signal(const struct layout *layout, unsigned node, int number)
{
	pid_t pid;

	return server_look(layout, node, &pid) != SERVER_STOPPED && !kill(pid, number);
}

/* Waits until none of WHICH runs. Returns how many are left. */
static unsigned wait_gone(const struct layout *layout, const bool which[], unsigned ms)
{
	int64_t end = now_ms() + ms;
	unsigned left;

	for (;;) {
		left = 0;
		for (unsigned i = 0; i < layout_count(layout); i++)
			left += which[i] && server_look(layout, i, NULL) != SERVER_STOPPED;
		if (!left || now_ms() >= end)
			return left;
		if (!pause_ms(10)) {
			const struct timespec moment = {.tv_nsec = 10 * 1000000};

			nanosleep(&moment, NULL); /* interrupted or not: what was begun is ended */
		}
	}
}

static unsigned signal_all(const struct layout *layout, const bool which[], int number)
{
	unsigned sent = 0;

	for (unsigned i = 0; i < layout_count(layout); i++) {
		if (!which[i] || !server_signal(layout, i, number))
			continue;
		server_signal(layout, i, SIGCONT);
		sent++;
	}
	return sent;
}

unsigned server_stop(const struct layout *layout, const bool which[], unsigned grace_ms, unsigned *left)
{
	unsigned ran = signal_all(layout, which, SIGTERM);
	unsigned rest = wait_gone(layout, which, grace_ms);

	if (rest) {
		signal_all(layout, which, SIGKILL);
		rest = wait_gone(layout, which, KILL_MS);
	}
	if (left)
		*left = rest;
	return ran;
}
