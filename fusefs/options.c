/* SPDX-License-Identifier: MIT */
#define FUSE_USE_VERSION 312

#include "options.h"

#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <fuse_log.h>
#include <fuse_opt.h>

#include "cli.h"

/* libfuse writes a line in pieces. */
static void report(enum fuse_log_level level, const char *format, va_list args)
{
	static char line[512];
	size_t len = strlen(line);

	if (level > FUSE_LOG_WARNING)
		return;
	vsnprintf(line + len, sizeof(line) - len, format, args);
	char *end = strchr(line, '\n');
	if (!end)
		return;
	*end = '\0';
	cli_error("%s", strncmp(line, "fuse: ", 6) == 0 ? line + 6 : line);
	line[0] = '\0';
}

enum { MOUNT_KEEP, MOUNT_ALLOW_OTHER, MOUNT_COMMIT, MOUNT_TTL };

/* What -o may say besides libfuse's own. */
static const struct fuse_opt mount_options[] = {
	{"uid=%u", offsetof(struct options, uid), 0},
	{"gid=%u", offsetof(struct options, gid), 0},
	{"umask=%o", offsetof(struct options, umask), 0},
	FUSE_OPT_KEY("allow_other", MOUNT_ALLOW_OTHER),
	FUSE_OPT_KEY("commit=", MOUNT_COMMIT),
	FUSE_OPT_KEY("ttl=", MOUNT_TTL),
	FUSE_OPT_END,
};

static const struct argp_option arguments[] = {
	{"foreground", 'f', NULL, 0, "Stay in the foreground, with errors of the background on stderr", 0},
	{"options", 'o', "OPTIONS", 0,
	 "Mount options, with commas: ro, allow_other, uid=N, gid=N, umask=OCTAL, ttl=keep|clear|SECONDS, "
	 "commit=auto|close|write, and libfuse's",
	 0},
	{0},
};

static const struct argp_child children[] = {{&cli_connect_argp, 0, NULL, 0}, {0}};

static const char *after_equals(const char *option)
{
	return strchr(option, '=') + 1;
}

static int take_commit(struct options *options, const char *value)
{
	static const char *const names[] = {
		[TRANSACTION_AUTO] = "auto", [TRANSACTION_CLOSE] = "close", [TRANSACTION_WRITE] = "write"};

	for (int i = 0; i < 3; i++) {
		if (strcmp(value, names[i]) == 0) {
			options->commit = (enum transaction_mode)i;
			return 0;
		}
	}
	cli_usage("-o commit=%s: auto, close or write is wanted", value);
}

static int take_ttl(struct options *options, const char *value)
{
	if (strcmp(value, "keep") == 0) {
		options->ttl = TTL_KEEP;
	} else if (strcmp(value, "clear") == 0) {
		options->ttl = TTL_CLEAR;
	} else {
		options->ttl = TTL_SECONDS;
		options->ttl_seconds = (unsigned long long)cli_number("-o ttl=", value, 1, 1000000000000);
	}
	return 0;
}

static int take_mount_option(void *data, const char *arg, int key, struct fuse_args *args)
{
	struct options *options = data;

	switch (key) {
	case MOUNT_ALLOW_OTHER:
		options->allow_other = true;
		return 1;
	case MOUNT_COMMIT:
		return take_commit(options, after_equals(arg));
	case MOUNT_TTL:
		return take_ttl(options, after_equals(arg));
	}
	return 1;
}

static void add(struct options *options, const char *option)
{
	if (fuse_opt_add_arg(options->mount, "-o") || fuse_opt_add_arg(options->mount, option)) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
}

static error_t parse_argument(int key, char *arg, struct argp_state *state)
{
	struct options *options = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &options->connect;
		return 0;
	case 'f':
		options->foreground = true;
		return 0;
	case 'o':
		add(options, arg);
		return 0;
	case ARGP_KEY_ARG:
		if (options->mountpoint)
			cli_usage("one mount point is wanted, \"%s\" is one too many", arg);
		options->mountpoint = arg;
		return 0;
	case ARGP_KEY_END:
		if (!options->mountpoint)
			cli_usage("a mount point is wanted");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp parser = {
	.options = arguments,
	.parser = parse_argument,
	.args_doc = "MOUNTPOINT",
	.doc = "Mounts a Redis or Valkey cluster, or a single server: every key is a file.",
	.children = children,
};

void options_parse(struct options *options, int argc, char *argv[])
{
	fuse_set_log_func(report);
	*options = (struct options){.uid = getuid(), .gid = getgid(), .umask = 077};
	options->mount = calloc(1, sizeof(*options->mount));
	if (!options->mount || fuse_opt_add_arg(options->mount, cli_name)) {
		cli_error("out of memory");
		exit(CLI_FAILED);
	}
	cli_parse(&parser, argc, argv, 0, options);
	if (fuse_opt_parse(options->mount, options, mount_options, take_mount_option))
		exit(CLI_FAILED);
	add(options, "fsname=shardfs,subtype=shardfs");
	/* Who lets others in wants the modes to mean something. */
	if (options->allow_other)
		add(options, "default_permissions");
}

void options_finish(struct options *options)
{
	cli_connect_close(&options->connect);
	fuse_opt_free_args(options->mount);
	free(options->mount);
}
