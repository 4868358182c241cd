/* SPDX-License-Identifier: MIT */
#include "verb.h"

#include "cli.h"

static void parse(const struct argp *argp, int argc, char *argv[], unsigned flags, void *input)
{
	const char *name = cli_name;

	cli_name = argv[0];
	cli_parse(argp, argc, argv, flags, input);
	cli_name = name;
}

void verb_parse(const struct argp *argp, int argc, char *argv[], void *input)
{
	parse(argp, argc, argv, 0, input);
}

void verb_parse_in_order(const struct argp *argp, int argc, char *argv[], void *input)
{
	parse(argp, argc, argv, ARGP_IN_ORDER, input);
}
