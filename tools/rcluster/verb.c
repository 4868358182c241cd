/* SPDX-License-Identifier: MIT */
#include "verb.h"

#include "cli.h"

void verb_parse(const struct argp *argp, int argc, char *argv[], void *input)
{
	const char *name = cli_name;

	cli_name = argv[0];
	cli_parse(argp, argc, argv, 0, input);
	cli_name = name;
}
