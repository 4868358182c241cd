/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "balance.h"
#include "cli.h"
#include "load.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct apply apply;
	const char **weight; /* NODE=WEIGHT[,...] */
	size_t weights;
	bool use_empty, chosen; /* chosen: an option says how a plan is to be made */
	double threshold;
	enum load_kind by;
};

enum { OPTION_WEIGHT = 0x100, OPTION_USE_EMPTY, OPTION_THRESHOLD, OPTION_SIMULATE, OPTION_BY };

static const struct argp_option options[] = {
	{"weight", OPTION_WEIGHT, "NODE=WEIGHT[,...]", 0, "What share a master gets beside the others (1); 0: none", 0},
	{"use-empty-masters", OPTION_USE_EMPTY, NULL, 0, "Masters without slots get a share, too", 0},
	{"threshold", OPTION_THRESHOLD, "PERCENT", 0, "Do nothing where no master is further from its share (2); 0: exact", 0},
	{"simulate", OPTION_SIMULATE, NULL, 0, "The same as --dry-run", 0},
	{"by", OPTION_BY, "WHAT", 0, "What is shared: slots (the default), keys, bytes or traffic", 0},
	{0},
};

static void take_weight(struct wish *wish, const char *word)
{
	wish->weight = cli_realloc(wish->weight, (wish->weights + 1) * sizeof(*wish->weight));
	wish->weight[wish->weights++] = word;
}

static enum load_kind find_kind(const char *name)
{
	for (unsigned i = 0; i < LOAD_KINDS; i++)
		if (!strcmp(name, load_names[i]))
			return (enum load_kind)i;
	cli_usage("--by: slots, keys, bytes or traffic is wanted, not \"%s\"", name);
}

/* A number from 0 on. */
static bool read_number(const char *word, double *number)
{
	char *end;

	errno = 0;
	*number = strtod(word, &end);
	return !errno && end != word && !*end && *number >= 0 && *number < 1e9;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	wish->chosen |= key == OPTION_WEIGHT || key == OPTION_USE_EMPTY || key == OPTION_THRESHOLD || key == OPTION_BY;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->apply;
		return 0;
	case OPTION_WEIGHT:
		take_weight(wish, arg);
		return 0;
	case ARGP_KEY_ARG: /* as redis-cli takes them: --weight A=1 B=2 */
		if (!strchr(arg, '='))
			return ARGP_ERR_UNKNOWN;
		take_weight(wish, arg);
		return 0;
	case OPTION_USE_EMPTY:
		wish->use_empty = true;
		return 0;
	case OPTION_THRESHOLD:
		if (!read_number(arg, &wish->threshold))
			cli_usage("--threshold: a number from 0 on is wanted, not \"%s\"", arg);
		return 0;
	case OPTION_SIMULATE:
		wish->apply.dry_run = true;
		return 0;
	case OPTION_BY:
		wish->by = find_kind(arg);
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
	.doc = "Moves slots so that every master has its share of them, or of keys, bytes or traffic.",
};

static bool set_weight(const struct admin *admin, char *word, double weight[])
{
	char *equals = strrchr(word, '=');
	double number;
	int node;

	if (!equals || !read_number(equals + 1, &number)) {
		cli_error("--weight: NODE=WEIGHT is wanted, not \"%s\"", word);
		return false;
	}
	*equals = '\0';
	node = admin_node(admin, word);
	if (node >= 0 && !view_is_master(&admin->view.node[node])) {
		cli_error("--weight: %s is no master that answers", word);
		node = -1;
	}
	if (node >= 0)
		weight[node] = number;
	return node >= 0;
}

static bool set_weights(const struct wish *wish, double weight[])
{
	const struct admin *admin = &wish->apply.admin;
	bool ok = true;

	for (size_t i = 0; i < admin->view.count; i++) {
		const struct view_node *node = &admin->view.node[i];

		weight[i] = view_is_master(node) && (node->slots || wish->use_empty) ? 1 : -1;
	}
	for (size_t i = 0; i < wish->weights && ok; i++) {
		char *list = text("%s", wish->weight[i]), *save;

		for (char *w = strtok_r(list, ",", &save); w && ok; w = strtok_r(NULL, ",", &save))
			ok = set_weight(admin, w, weight);
		free(list);
	}
	for (size_t i = 0; ok && i < admin->view.count; i++)
		if (weight[i] > 0)
			return true;
	if (ok && wish->weights)
		cli_error("--weight: nobody is left who gets slots");
	else if (ok)
		cli_error("no master that answers has slots: rcluster fix gives them owners");
	return false;
}

static int rebalance(struct wish *wish)
{
	struct admin *admin = &wish->apply.admin;
	double *weight = allocate(admin->view.count, sizeof(*weight));
	double *load = allocate(SHARD_SLOTS, sizeof(*load));
	struct plan *plan = allocate(1, sizeof(*plan));
	bool sampled;
	int status = CLI_FAILED;

	if (set_weights(wish, weight) && load_look(admin, wish->by, load, &sampled)) {
		if (sampled && !wish->apply.json)
			printf("# by %s: estimated from samples, for CLUSTER SLOT-STATS does not tell it\n",
			       load_names[wish->by]);
		balance_plan(plan, &admin->view, weight, load, wish->threshold);
		status = apply_plan(&wish->apply, plan);
	}
	free(plan);
	free(load);
	free(weight);
	return status;
}

int verb_rebalance(int argc, char *argv[])
{
	struct wish wish = {.threshold = 2};
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &wish);
	admin_words(&wish.apply.admin, 0, "");
	if (wish.apply.plan && wish.chosen)
		cli_usage("--plan says all: --by, --weight, --use-empty-masters and --threshold have no place beside it");
	catch_interrupts();
	if (admin_open(&wish.apply.admin) && apply_begin(&wish.apply))
		status = wish.apply.plan ? apply_file(&wish.apply) : rebalance(&wish);
	admin_close(&wish.apply.admin);
	free(wish.weight);
	return status;
}
