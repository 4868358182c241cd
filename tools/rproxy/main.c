/* SPDX-License-Identifier: MIT */
/* The process: it starts the threads, and waits for signals. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli.h"
#include "control.h"
#include "log.h"
#include "options.h"
#include "proxy.h"
#include "worker.h"

#define MMAP_FROM (256 << 10)

/* Values come and go: what is large is given back at once, and the rest when it is at the end of the heap. */
static void tune_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, MMAP_FROM);
	mallopt(M_TRIM_THRESHOLD, MMAP_FROM);
	mallopt(M_ARENA_MAX, (int)options.threads + 1);
}

static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* ---- the background ---- */

/* The parent waits until the child listens, and ends with its status. Returns what the child tells it by. */
static int go_to_background(void)
{
	int pipes[2];
	char status = CLI_FAILED;

	if (pipe2(pipes, O_CLOEXEC) < 0)
		return -1;
	switch (fork()) {
	case -1:
		return -1;
	case 0:
		close(pipes[0]);
		setsid();
		return pipes[1];
	}
	close(pipes[1]);
	if (read(pipes[0], &status, 1) != 1)
		status = CLI_FAILED;
	_exit(status);
}

static void leave_terminal(int tell)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	char status = CLI_OK;

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	if (chdir("/") < 0 || write(tell, &status, 1) < 0)
		log_warn("the background: %s", strerror(errno));
	close(tell);
}

static bool write_pid(void)
{
	char text[24];
	int fd, len;
	bool ok;

	if (!options.pid_file)
		return true;
	fd = open(options.pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	len = snprintf(text, sizeof(text), "%d\n", (int)getpid());
	ok = fd >= 0 && write(fd, text, (size_t)len) == len;
	if (!ok)
		log_error("%s: the pid file cannot be written: %s", options.pid_file, strerror(errno));
	if (fd >= 0)
		close(fd);
	return ok;
}

/* A path that stays the same in another directory. */
static const char *absolute(const char *path)
{
	char *here, *whole;

	if (!path || *path == '/')
		return path;
	here = getcwd(NULL, 0);
	if (!here || asprintf(&whole, "%s/%s", here, path) < 0)
		whole = NULL;
	free(here);
	return whole ? whole : path;
}

/* ---- */

static int test_conf(void)
{
	struct config *config = config_load(&options);

	if (!config)
		cli_error("configuration file '%s' is not right", options.conf_file);
	else
		cli_error("configuration file '%s' syntax is ok", options.conf_file);
	config_unuse(config);
	return config ? CLI_OK : 1;
}

static int serve(int tell)
{
	struct config *config = config_load(&options);
	struct control *control;

	if (!config || !config_listen(config, NULL)) {
		config_unuse(config);
		return CLI_FAILED;
	}
	control = control_create(config);
	if (!control)
		return CLI_FAILED;
	if (!write_pid()) {
		control_free(control);
		return CLI_FAILED;
	}
	log_notice("%zu pool%s, %u thread%s: serving", config->pool_count, config->pool_count == 1 ? "" : "s",
		   config->threads, config->threads == 1 ? "" : "s");
	if (tell >= 0)
		leave_terminal(tell);
	control_run(control);
	if (options.pid_file)
		unlink(options.pid_file);
	log_notice("done");
	return CLI_OK;
}

int main(int argc, char *argv[])
{
	int tell = -1, status;

	cli_start(argv);
	options_parse(argc, argv);
	command_init();
	if (options.test)
		log_open(NULL, options.verbosity);
	else if (!log_open(absolute(options.output), options.verbosity))
		return CLI_FAILED;
	if (!options.conf_file && !cli_connect_resolve(&options.connect))
		return CLI_FAILED;
	if (options.test)
		return test_conf();
	options.conf_file = absolute(options.conf_file);
	options.pid_file = absolute(options.pid_file);
	raise_limit();
	tune_memory();
	control_block_signals();
	if (options.daemon) {
		tell = go_to_background();
		if (tell < 0) {
			cli_error("the background cannot be reached: %s", strerror(errno));
			return CLI_FAILED;
		}
	}
	status = serve(tell);
	cli_connect_close(&options.connect);
	return status;
}
