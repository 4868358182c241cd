/* SPDX-License-Identifier: MIT */
/*
 * The command line of the examples: -u, --timeout, --password-file as the
 * tools take them, what an example wants besides, and a client made from that.
 */
#ifndef ARGS_H
#define ARGS_H

#include <argp.h>
#include <stdbool.h>

#include <shard/client.h>

#include "connect.h"

#define ARGS_WORDS_MAX 4

struct args {
	const char *doc;   /* one sentence for --help */
	const char *words; /* "KEY VALUE" */
	int word_count;    /* so many are needed */
	/* The example's own options, ended by {0}; or NULL. */
	const struct argp_option *options;
	bool (*option)(struct args *args, int key, char *arg); /* whether KEY is one of them */
	/* From args_client(). */
	char *word[ARGS_WORDS_MAX + 1]; /* ended by NULL */
	struct cli_connect connect;
};

/* A client for the servers that the command line names; or NULL, with the error reported. */
shard_client *args_client(struct args *args, int argc, char *argv[]);

void args_finish(struct args *args);

#endif
