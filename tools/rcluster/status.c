/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <unistd.h>

#include "ask.h"
#include "cli.h"
#include "health.h"
#include "local.h"
#include "table.h"
#include "verb.h"

#define ANSWER_MS 1000

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const struct argp_child children[] = {{.argp = &local_dir_argp}, {0}};

static const struct argp argp = {
	.parser = parse_option,
	.children = children,
	.doc = "A record a node: PORT PID ROLE MASTER SLOTS STATE LINK, split by TABs, in columns on a terminal. Exit "
	       "status 1 where something is not well.",
};

static bool report(const struct health *health, const struct layout *layout)
{
	char why[WHY_SIZE];
	bool well = true;

	for (unsigned i = 0; i < health->count; i++) {
		if (!health_problem(health, layout, i, why))
			continue;
		cli_error("node %u: %s", layout_port(layout, i), why);
		well = false;
	}
	return well;
}

int verb_status(int argc, char *argv[])
{
	struct local_options options = {0};
	struct local local;
	struct health health;
	shard_client *client;
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &options);
	if (!local_must_open(&local, &options, LOCAL_READ))
		return CLI_FAILED;
	client = ask_client(&local.layout);
	if (client) {
		health_look(&health, client, &local.layout, ANSWER_MS);
		table_print(stdout, isatty(STDOUT_FILENO) ? TABLE_COLUMNS : TABLE_RECORDS, "\n", &health,
			    &local.layout);
		fflush(stdout);
		status = report(&health, &local.layout) ? CLI_OK : CLI_NO;
		health_finish(&health);
	}
	shard_client_destroy(client);
	local_close(&local);
	return status;
}
