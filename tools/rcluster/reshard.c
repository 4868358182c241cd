/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "cli.h"
#include "question.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct apply apply;
	const char *from, *to;
	unsigned slots;
};

enum { OPTION_FROM = 0x100, OPTION_TO, OPTION_SLOTS };

static const struct argp_option options[] = {
	{"from", OPTION_FROM, "NODE[,NODE...]", 0, "The masters that give slots; all: all but the target", 0},
	{"to", OPTION_TO, "NODE", 0, "The master that gets them", 0},
	{"slots", OPTION_SLOTS, "N", 0, "How many", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->apply;
		return 0;
	case OPTION_FROM:
		wish->from = arg;
		return 0;
	case OPTION_TO:
		wish->to = arg;
		return 0;
	case OPTION_SLOTS:
		wish->slots = (unsigned)cli_number("--slots", arg, 1, SHARD_SLOTS);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &apply_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT]",
	.doc = "Moves slots with their keys from masters to another one, while clients go on. On a terminal what is "
	       "missing is asked for.",
};

/* ---- what is missing is asked for ---- */

static bool ask_slots(struct wish *wish)
{
	while (!wish->slots) {
		char *line = question_line("How many slots do you want to move (from 1 to %d)? ", SHARD_SLOTS);
		long n;

		if (!line)
			return false;
		if (text_number(line, 1, SHARD_SLOTS, &n))
			wish->slots = (unsigned)n;
		free(line);
	}
	return true;
}

static int master_of(const struct wish *wish, const char *word)
{
	const struct admin *admin = &wish->apply.admin;
	int node = admin_node(admin, word);

	if (node < 0 || view_is_master(&admin->view.node[node]))
		return node;
	cli_error("%s: %s", word, view_answers(&admin->view.node[node]) ? "is a replica: name a master" : "does not answer");
	return -1;
}

static bool ask_target(struct wish *wish, int *target)
{
	if (wish->to)
		return (*target = master_of(wish, wish->to)) >= 0;
	do {
		char *line = question_line("What is the receiving node (HOST:PORT or id)? ");

		if (!line)
			return false;
		*target = *line ? master_of(wish, line) : -1;
		free(line);
	} while (*target < 0);
	return true;
}

struct sources {
	int node[SHARD_SLOTS];
	size_t count;
};

static bool add_source(const struct wish *wish, struct sources *to, const char *word, int target)
{
	int node = master_of(wish, word);

	if (node < 0)
		return false;
	if (node == target) {
		cli_error("%s: is the receiving node", word);
		return false;
	}
	for (size_t i = 0; i < to->count; i++)
		if (to->node[i] == node)
			return true;
	to->node[to->count++] = node;
	return true;
}

static void add_all(const struct wish *wish, struct sources *to, int target)
{
	const struct view *view = &wish->apply.admin.view;

	to->count = 0;
	for (int i = 0; i < (int)view->count; i++)
		if (i != target && view_is_master(&view->node[i]) && view->node[i].slots)
			to->node[to->count++] = i;
}

static bool parse_sources(const struct wish *wish, struct sources *to, int target)
{
	char *list = text("%s", wish->from), *save;
	bool ok = true;

	if (!strcmp(list, "all"))
		add_all(wish, to, target);
	else
		for (char *w = strtok_r(list, ",", &save); w && ok; w = strtok_r(NULL, ",", &save))
			ok = add_source(wish, to, w, target);
	if (ok && !to->count)
		cli_error("--from: no master is named");
	free(list);
	return ok && to->count;
}

static bool ask_sources(const struct wish *wish, struct sources *to, int target)
{
	if (wish->from)
		return parse_sources(wish, to, target);
	fprintf(stderr, "Name the masters that give slots, a line each (HOST:PORT or id).\n"
			"  Type 'all' for all masters, 'done' when all are named.\n");
	for (;;) {
		char *line = question_line("Source node #%zu: ", to->count + 1);
		bool all = line && !strcmp(line, "all"), done = all || (line && !strcmp(line, "done"));

		if (!line)
			return false;
		if (all)
			add_all(wish, to, target);
		else if (!done && *line)
			add_source(wish, to, line, target);
		free(line);
		if (done && to->count)
			return true;
	}
}

/* ---- all of it ---- */

static void must_be_complete(const struct wish *wish)
{
	const char *missing = !wish->slots ? "--slots" : !wish->to ? "--to" : !wish->from ? "--from" : NULL;

	if (wish->apply.plan && (wish->slots || wish->to || wish->from))
		cli_usage("--plan says all: --from, --to and --slots have no place beside it");
	if (!wish->apply.plan && missing && !question_possible())
		cli_usage("%s is missing", missing);
}

static int reshard(struct wish *wish)
{
	const struct view *view = &wish->apply.admin.view;
	struct sources *sources = allocate(1, sizeof(*sources));
	struct plan *plan = allocate(1, sizeof(*plan));
	int target, status = CLI_FAILED;
	unsigned long have = 0;

	if (ask_slots(wish) && ask_target(wish, &target) && ask_sources(wish, sources, target)) {
		for (size_t i = 0; i < sources->count; i++)
			have += view->node[sources->node[i]].slots;
		if (have < wish->slots) {
			cli_error("the sources have %lu slots only, not %u", have, wish->slots);
		} else {
			plan_init(plan);
			plan_share(plan, view, sources->node, sources->count, target, wish->slots);
			status = apply_plan(&wish->apply, plan);
		}
	}
	free(plan);
	free(sources);
	return status;
}

int verb_reshard(int argc, char *argv[])
{
	struct wish wish = {0};
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &wish);
	admin_words(&wish.apply.admin, 0, "");
	must_be_complete(&wish);
	catch_interrupts();
	if (admin_open(&wish.apply.admin) && apply_begin(&wish.apply))
		status = wish.apply.plan ? apply_file(&wish.apply) : reshard(&wish);
	admin_close(&wish.apply.admin);
	return status;
}
