/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "local.h"
#include "log.h"
#include "server.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define POLL_MS 100
#define ALL_LINES 1000000000

struct wish {
	struct local_options local;
	const char *node;
	unsigned lines;
};

static const struct argp_option options[] = {
	{"lines", 'n', "LINES", 0, "Begin with the last LINES lines (10)", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->local;
		return 0;
	case 'n':
		wish->lines = (unsigned)cli_number("-n", arg, 0, ALL_LINES);
		return 0;
	case ARGP_KEY_ARG:
		if (wish->node)
			cli_usage("one node only: %s is too many", text_shown(arg));
		wish->node = arg;
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("the node is missing: its number, from 1 on, or its port");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &local_dir_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "N",
	.children = children,
	.doc = "Follows the log of the Nth node, or of the node with port N, until it is interrupted.",
};

static int find_node(const struct local *local, const char *word)
{
	long number;

	if (text_number(word, 1, layout_count(&local->layout), &number))
		return (int)number - 1;
	return local_node(local, word);
}

static bool reader_has_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO};

	return poll(&out, 1, 0) > 0 && out.revents & (POLLERR | POLLHUP);
}

/* A log that became shorter or another one is read from its start. Returns the descriptor to go on with, or -1. */
static int reopen(int fd, const char *path)
{
	struct stat open_one, named;
	int fresh;

	if (fstat(fd, &open_one))
		return -1;
	if (open_one.st_size < lseek(fd, 0, SEEK_CUR))
		lseek(fd, 0, SEEK_SET);
	if (stat(path, &named) || (named.st_ino == open_one.st_ino && named.st_dev == open_one.st_dev))
		return fd;
	fresh = open(path, O_RDONLY | O_CLOEXEC);
	if (fresh < 0)
		return fd;
	close(fd);
	return fresh;
}

static bool copy(int fd)
{
	char block[4096];
	ssize_t n;

	while ((n = read(fd, block, sizeof(block))) > 0)
		if (fwrite(block, 1, (size_t)n, stdout) != (size_t)n)
			return false;
	return !n && !fflush(stdout);
}

/* Returns false where the log cannot be read (errno); a reader that has gone is a quiet end. */
static bool follow(const char *path, unsigned lines)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool ok = fd >= 0 && log_tail(fd, lines, "", stdout);

	while (ok && pause_ms(POLL_MS) && !reader_has_gone()) {
		fd = reopen(fd, path);
		ok = fd >= 0 && copy(fd);
	}
	if (fd >= 0)
		close(fd);
	return ok || errno == EPIPE;
}

int verb_tail(int argc, char *argv[])
{
	struct wish wish = {.lines = 10};
	struct local local;
	bool ok = false;
	char *path;
	int node;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	if (!local_must_open(&local, &wish.local, LOCAL_READ))
		return CLI_FAILED;
	node = find_node(&local, wish.node);
	if (node >= 0) {
		path = layout_path(&local.layout, (unsigned)node, SERVER_LOG);
		ok = follow(path, wish.lines);
		if (!ok)
			cli_error("%s: %s", path, strerror(errno));
		free(path);
	}
	local_close(&local);
	return ok ? CLI_OK : CLI_FAILED;
}
