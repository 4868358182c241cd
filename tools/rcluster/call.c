/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "ask.h"
#include "cli.h"
#include "text.h"
#include "verb.h"

struct wish {
	struct admin admin;
	bool only_masters, only_replicas;
	char **command;
	int argc;
};

enum { OPTION_MASTERS = 0x100, OPTION_REPLICAS };

static const struct argp_option options[] = {
	{"only-masters", OPTION_MASTERS, NULL, 0, "The masters alone", 0},
	{"only-replicas", OPTION_REPLICAS, NULL, 0, "The replicas alone", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		return 0;
	case OPTION_MASTERS:
		wish->only_masters = true;
		return 0;
	case OPTION_REPLICAS:
		wish->only_replicas = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!wish->admin.address && !wish->admin.connect.uri_text && admin_is_address(arg)) {
			wish->admin.address = arg;
			return 0;
		}
		/* From here on everything is the command's, options too. */
		wish->command = state->argv + state->next - 1;
		wish->argc = state->argc - state->next + 1;
		state->next = state->argc;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] COMMAND [ARGUMENT...]",
	.doc = "Sends a command to all nodes at once and prints '# HOST:PORT' and the answer of each. Exit status 2 "
	       "where one does not answer, or with an error.",
};

static void print_reply(const shard_reply *reply)
{
	switch (reply->type) {
	case SHARD_REPLY_ARRAY:
		for (size_t i = 0; i < reply->len; i++)
			print_reply(&reply->element[i]);
		return;
	case SHARD_REPLY_INTEGER:
		printf("%lld\n", reply->integer);
		return;
	case SHARD_REPLY_NIL:
		printf("\n");
		return;
	case SHARD_REPLY_STATUS:
	case SHARD_REPLY_ERROR:
	case SHARD_REPLY_STRING:
	case SHARD_REPLY_RAW:
		break;
	}
	fwrite(reply->str, 1, reply->len, stdout);
	if (!reply->len || reply->str[reply->len - 1] != '\n')
		putchar('\n');
}

static bool wanted(const struct wish *wish, const struct view_node *node)
{
	bool replica = node->flags & SHARD_NODE_REPLICA;

	return replica ? !wish->only_masters : !wish->only_replicas;
}

static bool report(const struct view *view, struct ask ask[], size_t count)
{
	bool ok = true;

	for (size_t i = 0; i < count; i++) {
		printf("# %s\n", view->node[ask[i].node].addr);
		if (ask[i].reply)
			print_reply(ask[i].reply);
		fflush(stdout);
		if (!ask[i].reply)
			cli_error("%s: %s", view->node[ask[i].node].addr, ask[i].error);
		ok = ok && ask[i].reply;
	}
	return ok;
}

static bool call(struct wish *wish)
{
	const struct view *view = &wish->admin.view;
	struct ask *ask = allocate(view->count, sizeof(*ask));
	size_t count = 0;
	bool ok;

	for (size_t i = 0; i < view->count; i++)
		if (wanted(wish, &view->node[i]) && *view->node[i].addr)
			ask[count++] = (struct ask){.node = (unsigned)i,
						    .to = view->node[i].addr,
						    .argc = wish->argc,
						    .words = (const char *const *)wish->command};
	ask_all(wish->admin.client, NULL, ask, count, wish->admin.timeout_ms);
	ok = report(view, ask, count);
	if (!count)
		cli_error("there is no such node in the cluster");
	ask_finish(ask, count);
	free(ask);
	return ok && count;
}

int verb_call(int argc, char *argv[])
{
	struct wish wish = {0};
	bool ok;

	verb_parse_in_order(&argp, argc, argv, &wish);
	if (!wish.argc)
		cli_usage("[HOST:PORT] COMMAND [ARGUMENT...] is wanted");
	if (wish.only_masters && wish.only_replicas)
		cli_usage("--only-masters and --only-replicas leave no node");
	if (!wish.admin.address && strchr(wish.command[0], ':')) /* as no command has it, but an address that is none */
		cli_usage("%s: is not HOST:PORT", wish.command[0]);
	if (wish.admin.address && wish.admin.connect.uri_text)
		cli_usage("%s and -u: one of them is enough", wish.admin.address);
	ok = admin_open(&wish.admin) && call(&wish);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
