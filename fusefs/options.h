/* SPDX-License-Identifier: MIT */
/*
 * What the command line says.
 */
#ifndef FUSEFS_OPTIONS_H
#define FUSEFS_OPTIONS_H

#include <stdbool.h>
#include <sys/types.h>

#include "connect.h"
#include "transaction.h"

struct fuse_args;

enum ttl_policy {
	TTL_KEEP,   /* overwriting a key keeps its expiry */
	TTL_CLEAR,
	TTL_SECONDS /* and sets it anew */
};

struct options {
	struct cli_connect connect;
	char *source;        /* before it, or NULL */
	char *mountpoint;    /* as given */
	char *password_file; /* of -o */
	bool foreground;
	bool allow_other;
	uid_t uid;
	gid_t gid;
	mode_t umask;
	enum transaction_mode commit;
	enum ttl_policy ttl;
	unsigned long long ttl_seconds;
	bool scratch;            /* files of editors are kept in memory */
	bool cache;              /* what was seen is kept while it is true */
	bool inotify;            /* is told of changes made elsewhere */
	bool pages;              /* the kernel keeps small values, too */
	size_t cache_size;       /* bytes */
	char *separator;         /* of directories in keys, or NULL */
	bool tree;               /* it is "/", and not shown */
	unsigned max_read;       /* 0: not limited */
	struct fuse_args *mount; /* what is libfuse's */
};

/* Reads the command line; ends the process where it is wrong. */
void options_parse(struct options *options, int argc, char *argv[]);
void options_finish(struct options *options);

#endif
