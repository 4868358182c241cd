/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "cli.h"
#include "question.h"
#include "text.h"
#include "unfinished.h"
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
	bool all;
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
	to->all = true;
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

static int by_id(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* What was asked for, in words that are the same when it is asked for again. */
static char *title_of(const struct wish *wish, const struct sources *sources, int target)
{
	const struct view_node *node = wish->apply.admin.view.node;
	const char **id = allocate(sources->count + 1, sizeof(*id));
	char *title = text("# reshard: %u slots to %s from%s", wish->slots, node[target].id, sources->all ? " all" : "");

	for (size_t i = 0; i < sources->count; i++)
		id[i] = node[sources->node[i]].id;
	qsort(id, sources->count, sizeof(*id), by_id);
	for (size_t i = 0; i < sources->count && !sources->all; i++) {
		char *longer = text("%s %s", title, id[i]);

		free(title);
		title = longer;
	}
	free(id);
	return title;
}

static bool plan_new(const struct wish *wish, struct plan *plan, const struct sources *sources, int target)
{
	const struct view *view = &wish->apply.admin.view;
	unsigned long have = 0;

	for (size_t i = 0; i < sources->count; i++)
		have += view->node[sources->node[i]].slots;
	if (have < wish->slots) {
		cli_error("the sources have %lu slots only, not %u", have, wish->slots);
		return false;
	}
	plan_init(plan);
	plan_share(plan, view, sources->node, sources->count, target, wish->slots);
	return true;
}

/* The same command was interrupted: what it planned is what was asked for. */
static bool plan_again(const struct wish *wish, struct plan *plan, const struct unfinished *unfinished)
{
	if (!plan_read(plan, &wish->apply.admin.view, unfinished->path)) {
		cli_error("the same command was interrupted, and cannot go on: remove %s to begin anew", unfinished->path);
		return false;
	}
	if (!wish->apply.json)
		printf("# the same command was interrupted: %zu of its %u slots are left\n", plan_count(plan), wish->slots);
	if (!plan_count(plan) && !wish->apply.dry_run)
		unfinished_drop(unfinished);
	return true;
}

static int reshard(struct wish *wish)
{
	struct sources *sources = allocate(1, sizeof(*sources));
	struct plan *plan = allocate(1, sizeof(*plan));
	struct unfinished unfinished = {0};
	int target, status = CLI_FAILED;

	if (ask_slots(wish) && ask_target(wish, &target) && ask_sources(wish, sources, target)) {
		unfinished_init(&unfinished, wish->apply.admin.view.node[target].id, title_of(wish, sources, target));
		wish->apply.unfinished = &unfinished;
		if (unfinished_found(&unfinished) ? plan_again(wish, plan, &unfinished)
						  : plan_new(wish, plan, sources, target))
			status = apply_plan(&wish->apply, plan);
		wish->apply.unfinished = NULL;
	}
	unfinished_finish(&unfinished);
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
