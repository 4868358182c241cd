/* SPDX-License-Identifier: MIT */
#include "rcmd_plan.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "rcmd_args.h"

/* The time-out of a blocking command stands at its end, or first, or after BLOCK. */
static int timeout_index(const shard_args *command)
{
	bool stream = args_word_is(command, 0, "XREAD") || args_word_is(command, 0, "XREADGROUP");

	if (args_word_is(command, 0, "BLMPOP") || args_word_is(command, 0, "BZMPOP"))
		return 1;
	for (int i = 1; stream && i < command->argc; i++)
		if (args_word_is(command, i, "BLOCK"))
			return i + 1;
	return stream ? 0 : command->argc - 1;
}

/* Whether it waits for ever, which is its user's wish then. */
static bool waits_for_ever(const struct plan *plan, const shard_args *command)
{
	int i = timeout_index(command);

	return plan->command->flags & SHARD_CMD_BLOCKING && i > 0 && args_word_is(command, i, "0");
}

/*
 * No keys and no documented policy: every master. But PUBLISH: the nodes pass
 * a message on among themselves, and subscribers would get it several times.
 */
static bool goes_to_each_master(const struct plan *plan)
{
	unsigned policy = plan->command->request_policy;

	return !plan->ranges && (policy == SHARD_TO_DEFAULT || policy == SHARD_TO_SPECIAL) &&
	       strcmp(plan->command->name, "publish") != 0;
}

/* No rule says how the nodes' replies make one: INFO and its like. Of RANDOMKEY any will do. */
static bool stands_for_itself(const shard_command *command)
{
	bool many = command->request_policy == SHARD_TO_ALL_NODES || command->request_policy == SHARD_TO_ALL_SHARDS;

	return many && command->response_policy == SHARD_AGG_SPECIAL && strcmp(command->name, "randomkey") != 0;
}

void plan_make(struct plan *plan, const shard_args *command)
{
	*plan = (struct plan){.command = shard_command_find(command->argc, command->argv, command->argvlen)};
	plan->per_node = !plan->command || stands_for_itself(plan->command);
	if (!plan->command)
		return;
	plan->ranges = shard_command_keys(plan->command, command->argc, command->argv, command->argvlen, plan->range);
	if (goes_to_each_master(plan)) {
		plan->how.flags |= SHARD_EACH_MASTER;
		plan->per_node = true;
	}
	if (waits_for_ever(plan, command))
		plan->how.flags |= SHARD_NO_DEADLINE;
}

/* ---- a command that is not in the table ---- */

struct question {
	shard_client *client;
	shard_callback callback;
	void *ctx;
	shard_args args; /* COMMAND GETKEYS, and the command */
};

static void on_keys(void *ctx, const shard_result *result)
{
	struct question *question = ctx;
	bool keyless = result->error == SHARD_ESERVER && strstr(result->reply->str, "no key arguments");
	const shard_call how = {.flags = keyless ? SHARD_EACH_MASTER : 0};
	const shard_args *args = &question->args;
	bool answered = !result->error || result->error == SHARD_ESERVER;
	int error = SHARD_OK;

	if (answered)
		error = shard_submit(question->client, args->argc - 2, args->argv + 2, args->argvlen + 2, &how,
				     question->callback, question->ctx, NULL);
	else
		question->callback(question->ctx, result); /* nor would the command get there */
	if (error)
		question->callback(question->ctx,
				   &(shard_result){.error = error, .message = "", .node = "", .slot = -1});
	args_free(&question->args);
	free(question);
}

static int ask(shard_client *client, const shard_args *command, shard_callback callback, void *ctx)
{
	static const char *const prefix[] = {"COMMAND", "GETKEYS"};
	struct question *question = cli_alloc(sizeof(*question));
	const shard_args *args = &question->args;
	int error;

	*question = (struct question){client, callback, ctx, args_copy(prefix, 2, command)};
	error = shard_submit(client, args->argc, args->argv, args->argvlen, NULL, on_keys, question, NULL);
	if (!error)
		return SHARD_OK;
	args_free(&question->args);
	free(question);
	return error;
}

int plan_submit(shard_client *client, const struct plan *plan, const shard_args *command, shard_callback callback,
		void *ctx)
{
	if (!plan->command)
		return ask(client, command, callback, ctx);
	return shard_submit(client, command->argc, command->argv, command->argvlen, &plan->how, callback, ctx, NULL);
}
