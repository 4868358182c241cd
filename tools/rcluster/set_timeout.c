/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "admin.h"
#include "ask.h"
#include "cli.h"
#include "text.h"
#include "verb.h"

#define LEAST_MS 100

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	(void)arg;
	if (key != ARGP_KEY_INIT)
		return ARGP_ERR_UNKNOWN;
	state->child_inputs[0] = state->input;
	return 0;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] MILLISECONDS",
	.doc = "Sets cluster-node-timeout on all nodes, and in their configuration files.",
};

/* Both commands at once: a file that is rewritten without the change is no harm. */
static bool set(struct admin *admin, const char *ms)
{
	const struct view *view = &admin->view;
	struct ask *ask = allocate(2 * view->count, sizeof(*ask));
	size_t failed = 0;

	for (size_t i = 0; i < view->count; i++) {
		ask[2 * i] = (struct ask){.to = view->node[i].addr,
					  .argc = 4,
					  .argv = {"CONFIG", "SET", "cluster-node-timeout", ms}};
		ask[2 * i + 1] = (struct ask){.to = view->node[i].addr, .argc = 2, .argv = {"CONFIG", "REWRITE"}};
	}
	ask_all(admin->client, NULL, ask, 2 * view->count, admin->timeout_ms);
	for (size_t i = 0; i < view->count; i++) {
		if (!ask[2 * i].reply)
			cli_error("%s: CONFIG SET: %s", view->node[i].addr, ask[2 * i].error);
		else if (!ask[2 * i + 1].reply)
			cli_error("%s: set, but not in its file: CONFIG REWRITE: %s", view->node[i].addr,
				  ask[2 * i + 1].error);
		failed += !ask[2 * i].reply || !ask[2 * i + 1].reply;
	}
	if (!failed)
		printf("cluster-node-timeout is %s ms on %zu nodes\n", ms, view->count);
	ask_finish(ask, 2 * view->count);
	free(ask);
	return !failed;
}

int verb_set_timeout(int argc, char *argv[])
{
	struct admin admin = {0};
	const char *const *word;
	char ms[24];
	bool ok;

	verb_parse(&argp, argc, argv, &admin);
	word = admin_words(&admin, 1, "MILLISECONDS");
	snprintf(ms, sizeof(ms), "%lld", cli_number("MILLISECONDS", word[0], LEAST_MS, 24LL * 3600 * 1000));
	ok = admin_open(&admin) && set(&admin, ms);
	admin_close(&admin);
	return ok ? CLI_OK : CLI_FAILED;
}
