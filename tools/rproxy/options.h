/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_OPTIONS_H
#define RPROXY_OPTIONS_H

#include <stdbool.h>

#include "connect.h"

struct options {
	struct cli_connect connect; /* -u, --timeout, --password-file */
	const char *listen;         /* -l; NULL: the file says it */
	const char *conf_file;
	const char *output;    /* the log; NULL: stderr */
	const char *pid_file;  /* NULL: none */
	const char *stats_addr;
	const char *metrics; /* "host:port", or NULL */
	int stats_port;      /* 0: none */
	int stats_interval;
	int verbosity;
	unsigned threads;
	unsigned slow_ms;      /* 0: no slow log */
	unsigned client_limit; /* MB that wait for one client */
	bool test, daemon, strict, flush_allowed;
};

extern struct options options;

/* Parses the command line into OPTIONS; ends the process where it is wrong. */
void options_parse(int argc, char *argv[]);

#endif
