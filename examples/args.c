/* SPDX-License-Identifier: MIT */
#include "args.h"

#include "cli.h"

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct args *args = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &args->connect;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == ARGS_WORDS_MAX)
			cli_usage("too many arguments");
		args->word[state->arg_num] = arg;
		return 0;
	case ARGP_KEY_END:
		if (state->arg_num < (unsigned)args->word_count)
			cli_usage("%s is wanted", args->words);
		return 0;
	}
	return args->option && args->option(args, key, arg) ? 0 : ARGP_ERR_UNKNOWN;
}

shard_client *args_client(struct args *args, int argc, char *argv[])
{
	const struct argp_child children[] = {{&cli_connect_argp, 0, "Servers:", 0}, {0}};
	const struct argp argp = {.options = args->options,
				  .parser = parse_option,
				  .args_doc = args->words,
				  .doc = args->doc,
				  .children = children};
	shard_client *client = NULL;
	shard_options options;
	int error;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, args);
	if (!cli_connect_resolve(&args->connect)) {
		args_finish(args);
		return NULL;
	}
	cli_connect_options(&args->connect, &options);
	error = shard_client_create(&client, &options);
	if (error)
		cli_error("%s", shard_strerror(error));
	return client;
}

void args_finish(struct args *args)
{
	cli_connect_close(&args->connect);
}
