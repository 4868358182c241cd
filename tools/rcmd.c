/* SPDX-License-Identifier: MIT */
/* rcmd: any command. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "out.h"
#include "rcmd_plan.h"
#include "rcmd_print.h"
#include "rcmd_stream.h"

struct rcmd {
	struct cli_connect connect;
	char **word;
	int count;
	struct plan plan;
	int status;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rcmd *rcmd = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rcmd->connect;
		return 0;
	case ARGP_KEY_ARG: /* all from here on is the command's */
		rcmd->word = state->argv + state->next - 1;
		rcmd->count = state->argc - state->next + 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("a COMMAND is missing");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.parser = parse_option,
	.args_doc = "COMMAND [ARG...]\n-",
	.doc = "Runs any command and prints its reply as redis-cli --raw does.\v"
	       "It goes where its keys are. A command without keys goes where its documented policy says, and one "
	       "without a policy to every master, with \"# HOST:PORT\" before each reply. -: commands from standard "
	       "input, a line each, quoted as in redis-cli. Options stand before COMMAND.\n\n"
	       "Exit status: 0 done, 2 usage, an error of the server, or a failure.",
	.children = connect_children,
};

static void on_reply(void *ctx, const shard_result *result)
{
	struct rcmd *rcmd = ctx;
	struct out out;

	out_init(&out, STDOUT_FILENO);
	if (print_result(&out, rcmd->word[0], result, rcmd->plan.per_node, shard_client_topology(rcmd->connect.client)))
		rcmd->status = CLI_OK;
	out_flush(&out);
	out_finish(&out);
}

static void run_one(struct rcmd *rcmd)
{
	size_t *argvlen = cli_alloc((size_t)rcmd->count * sizeof(*argvlen));
	shard_args args = {rcmd->count, (const char *const *)rcmd->word, argvlen};
	int error;

	for (int i = 0; i < rcmd->count; i++)
		argvlen[i] = strlen(rcmd->word[i]);
	plan_make(&rcmd->plan, &args);
	error = plan_submit(rcmd->connect.client, &rcmd->plan, &args, on_reply, rcmd);
	if (!error)
		error = shard_client_run(rcmd->connect.client);
	if (error)
		cli_error_about(args.argv[0], argvlen[0], "%s", shard_strerror(error));
	free(argvlen);
	cli_connect_remember(&rcmd->connect);
}

int main(int argc, char *argv[])
{
	struct rcmd rcmd = {.status = CLI_FAILED};
	bool input;

	cli_start(argv);
	cli_parse(&argp, argc, argv, ARGP_IN_ORDER, &rcmd);
	input = rcmd.count == 1 && !strcmp(rcmd.word[0], "-");
	if (!cli_connect_open(&rcmd.connect, input ? CLI_STREAM : CLI_ONE_SHOT))
		rcmd.status = CLI_FAILED;
	else if (input)
		rcmd.status = run_stream(rcmd.connect.client);
	else
		run_one(&rcmd);
	cli_connect_close(&rcmd.connect);
	return rcmd.status;
}
