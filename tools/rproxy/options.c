/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "describe.h"

struct options options = {
	.stats_addr = "127.0.0.1",
	.stats_interval = 30000,
	.verbosity = 5,
	.threads = 1,
	.client_limit = 16,
};

enum { OPTION_THREADS = 0x200, OPTION_METRICS, OPTION_STRICT, OPTION_SLOW, OPTION_FLUSH, OPTION_LIMIT };

static const struct argp_option known[] = {
	{"conf-file", 'c', "FILE", 0, "Serve the pools of this nutcracker.yml", 1},
	{"listen", 'l', "ADDRESS", 0,
	 "Where to listen without a file: HOST:PORT, PORT (of 127.0.0.1) or /PATH (127.0.0.1:6380)", 1},
	{"test-conf", 't', NULL, 0, "Say whether the file is right, and what is wrong, and exit", 1},
	{"strict", OPTION_STRICT, NULL, 0, "Close and answer as nutcracker does, in all pools", 1},
	{"threads", OPTION_THREADS, "N", 0, "Share the clients out among N threads (1)", 1},
	{"client-limit", OPTION_LIMIT, "MB", 0,
	 "What may wait for one client, replies and requests, before it is held back (16)", 1},
	{"allow-flush", OPTION_FLUSH, NULL, 0, "Let FLUSHDB and FLUSHALL empty all servers", 1},
	{"daemonize", 'd', NULL, 0, "Go to the background once it listens", 2},
	{"pid-file", 'p', "FILE", 0, "Write the process id here; the file goes with the process", 2},
	{"output", 'o', "FILE", 0, "The log (standard error)", 2},
	{"verbose", 'v', "N", 0, "How much goes to the log, 0 to 11 (5)", 2},
	{"slow", OPTION_SLOW, "MS", 0, "Log requests that take longer (off)", 2},
	{"stats-port", 's', "PORT", 0, "Show statistics as JSON on this port (22222 with -c, else off)", 3},
	{"stats-addr", 'a', "ADDRESS", 0, "... of this address (127.0.0.1; nutcracker: all)", 3},
	{"stats-interval", 'i', "MS", 0, "For nutcracker's sake: statistics are always those of now", 3},
	{"metrics", OPTION_METRICS, "HOST:PORT", 0, "Show statistics to Prometheus by HTTP", 3},
	{"describe-stats", 'D', NULL, 0, "Say what the statistics mean, and exit", 3},
	{"mbuf-size", 'm', "BYTES", 0, "For nutcracker's sake, 512 to 16777216: buffers are as large as they need to be", 3},
	{"help", 'h', NULL, 0, "Show this help", -1},
	{0},
};

static error_t parse_more(int key, char *arg)
{
	switch (key) {
	case OPTION_STRICT:
		options.strict = true;
		return 0;
	case OPTION_FLUSH:
		options.flush_allowed = true;
		return 0;
	case OPTION_THREADS:
		options.threads = (unsigned)cli_number("--threads", arg, 1, 256);
		return 0;
	case OPTION_LIMIT:
		options.client_limit = (unsigned)cli_number("--client-limit", arg, 1, 65536);
		return 0;
	case OPTION_SLOW:
		options.slow_ms = (unsigned)cli_number("--slow", arg, 1, 3600 * 1000);
		return 0;
	case OPTION_METRICS:
		options.metrics = arg;
		return 0;
	case 'i':
		options.stats_interval = (int)cli_number("-i", arg, 1, 0x7fffffff);
		return 0;
	case 'm':
		cli_number("-m", arg, 512, 16777216);
		return 0;
	case 'D':
		describe_stats();
		exit(CLI_OK);
	}
	return ARGP_ERR_UNKNOWN;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case ARGP_KEY_INIT:
		state->err_stream = NULL; /* see cli_parse() */
		state->child_inputs[0] = &options.connect;
		return 0;
	case 'c':
		options.conf_file = arg;
		return 0;
	case 'l':
		options.listen = arg;
		return 0;
	case 't':
		options.test = true;
		return 0;
	case 'd':
		options.daemon = true;
		return 0;
	case 'p':
		options.pid_file = arg;
		return 0;
	case 'o':
		options.output = arg;
		return 0;
	case 'v':
		options.verbosity = (int)cli_number("-v", arg, 0, 11);
		return 0;
	case 's':
		options.stats_port = (int)cli_number("-s", arg, 1, 65535);
		return 0;
	case 'a':
		options.stats_addr = arg;
		return 0;
	case 'h':
		argp_state_help(state, stdout, ARGP_HELP_STD_HELP);
		exit(CLI_OK);
	case ARGP_KEY_ARG:
		cli_usage("%s: no argument is wanted but options", arg);
	}
	return parse_more(key, arg);
}

void options_parse(int argc, char *argv[])
{
	static const struct argp_child children[] = {{&cli_connect_argp, 0, "Without -c, where the servers are:", 4}, {0}};
	static const struct argp argp = {
		.options = known,
		.parser = parse,
		.doc = "A proxy for Redis: in front of the pools of a nutcracker.yml, or of a cluster.",
		.children = children,
	};

	cli_parse(&argp, argc, argv, 0, NULL);
	if (options.conf_file && (options.connect.uri_text || options.listen))
		cli_usage("-c FILE says what is served and where: -u and -l are for when there is no file");
	if (options.test && !options.conf_file)
		cli_usage("-t tests a file: -c FILE is wanted");
	if (options.conf_file && !options.stats_port)
		options.stats_port = 22222;
}
