/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>

#include "admin.h"
#include "candidate.h"
#include "cli.h"
#include "findings.h"
#include "form.h"
#include "steps.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

struct wish {
	struct admin admin;
	unsigned wait_ms;
	bool replica;
	const char *master; /* NULL: any */
};

enum { OPTION_MASTER_ID = 0x100, OPTION_REPLICA };

static const struct argp_option options[] = {
	{"slave", OPTION_REPLICA, NULL, 0, "As a replica, of the master with the fewest where no other is named", 0},
	{"replica", OPTION_REPLICA, NULL, OPTION_ALIAS, NULL, 0},
	{"master-id", OPTION_MASTER_ID, "NODE", 0, "As a replica of this master", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		state->child_inputs[1] = &wish->wait_ms;
		return 0;
	case OPTION_MASTER_ID:
		wish->master = arg;
		wish->replica = true;
		return 0;
	case OPTION_REPLICA:
		wish->replica = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {.argp = &steps_wait_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "NEW-HOST:PORT [HOST:PORT]",
	.doc = "Adds an empty node to the cluster that the second address, or -u, names: as a master without slots, or "
	       "as a replica. Returns once all nodes know it.",
};

/* The master to be; -1: an error was reported. */
static int choose_master(const struct wish *wish)
{
	const struct view *view = &wish->admin.view;
	int master = wish->master ? admin_node(&wish->admin, wish->master) : steps_neediest(view, -1);

	if (master < 0 && !wish->master)
		cli_error("no master of the cluster has slots: name one with --master-id");
	if (master >= 0 && !view_is_master(&view->node[master])) {
		cli_error("%s: is no master", view->node[master].addr);
		return -1;
	}
	return master;
}

static void fill(struct form_node *node, const char *addr, const char *host, unsigned port)
{
	*node = (struct form_node){.addr = addr, .host = host, .port = port, .master = -1};
}

/* Everybody is told of the new node, and waited for. */
static bool join(const struct wish *wish, const struct candidate *candidate)
{
	const struct view *view = &wish->admin.view;
	struct form form = {.client = wish->admin.client, .end = now_ms() + wish->wait_ms};
	bool *outside = allocate(view->count + 1, sizeof(*outside));
	char why[FORM_WHY_SIZE];
	int failed;

	form.node = allocate(view->count + 1, sizeof(*form.node));
	for (size_t i = 0; i < view->count; i++)
		if (view_answers(&view->node[i]))
			fill(&form.node[form.count++], view->node[i].addr, view->node[i].host, view->node[i].port);
	outside[form.count] = true;
	fill(&form.node[form.count++], candidate->addr, candidate->ip, candidate->port);
	failed = form_identify(&form, why);
	if (failed < 0)
		failed = form_join(&form, outside, why);
	if (failed >= 0)
		cli_error("%s: %s%s", form.node[failed].addr, interrupted() ? "interrupted: " : "", why);
	free(form.node);
	free(outside);
	return failed < 0;
}

static bool is_settled(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const struct candidate *candidate = ctx;
	int node = view_find_id(view, candidate->id);
	bool ok = node >= 0 && view->node[node].ok;

	if (!ok)
		snprintf(why, VIEW_WHY_SIZE, "%s", node < 0 ? "it is not seen" : "its cluster_state is not ok yet");
	return ok && view_agree(view, why);
}

/* Into its role, once all know it. */
static bool become(struct wish *wish, struct candidate *candidate, const char *master_id)
{
	struct admin *admin = &wish->admin;
	int node, master;

	if (!admin_look(admin))
		return false;
	node = view_find_id(&admin->view, candidate->id);
	master = view_find_id(&admin->view, master_id);
	if (node < 0 || (*master_id && master < 0)) {
		cli_error("%s: the cluster has lost sight of it", candidate->addr);
		return false;
	}
	if (*master_id && !steps_replicate(admin, node, master, wish->wait_ms))
		return false;
	return admin_wait(admin, is_settled, candidate, wish->wait_ms, candidate->addr);
}

/* Whether NODE, which is in the cluster already, may still be given the role that is asked for. */
static bool is_fit(const struct wish *wish, int node)
{
	const struct view_node *n = &wish->admin.view.node[node];

	if (!wish->replica && n->flags & SHARD_NODE_REPLICA)
		cli_error("%s: is in the cluster already, as a replica", n->addr);
	else if (wish->replica && !(n->flags & SHARD_NODE_REPLICA) && n->slots)
		cli_error("%s: is in the cluster already, as a master of %u slots", n->addr, n->slots);
	else
		return true;
	return false;
}

static void report(const struct wish *wish, const struct candidate *candidate, const char *master_id)
{
	const struct view *view = &wish->admin.view;
	int node = view_find_id(view, candidate->id);

	if (wish->replica)
		printf("%s is in the cluster, a replica of %s\n", candidate->addr,
		       view->node[view_find_id(view, master_id)].addr);
	else if (node >= 0 && view->node[node].slots)
		printf("%s is in the cluster, a master of %u slots\n", candidate->addr, view->node[node].slots);
	else
		printf("%s is in the cluster, a master without slots\n", candidate->addr);
}

static bool add(struct wish *wish, struct candidate *candidate)
{
	struct admin *admin = &wish->admin;
	char master_id[VIEW_ID_SIZE] = "";
	int known, master = -1, source;

	if (!findings_none(admin) || !candidate_look(admin, candidate))
		return false;
	known = view_find_id(&admin->view, candidate->id);
	if (known < 0 ? !candidate_is_empty(candidate) : !is_fit(wish, known))
		return false;
	if (wish->replica) {
		bool already = known >= 0 && admin->view.node[known].flags & SHARD_NODE_REPLICA && !wish->master;

		master = already ? admin->view.node[known].master : choose_master(wish);
		if (master < 0)
			return false;
		snprintf(master_id, sizeof(master_id), "%s", admin->view.node[master].id);
	}
	source = steps_neediest(&admin->view, known);
	if (!wish->replica && source >= 0 &&
	    !steps_copy_functions(admin, admin->view.node[source].addr, candidate->addr))
		return false;
	if ((known < 0 && !join(wish, candidate)) || !become(wish, candidate, master_id))
		return false;
	report(wish, candidate, master_id);
	return true;
}

int verb_add_node(int argc, char *argv[])
{
	struct wish wish = {.wait_ms = STEPS_WAIT_MS};
	struct admin *admin = &wish.admin;
	struct candidate candidate = {0};
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	if (!admin->word_count || admin->word_count > 2)
		cli_usage("NEW-HOST:PORT [HOST:PORT] is wanted");
	if (admin->word_count == 2) {
		admin->address = admin->word[1];
		if (!admin_is_address(admin->address))
			cli_usage("%s: is not HOST:PORT", text_shown(admin->address));
		if (admin->connect.uri_text)
			cli_usage("%s and -u: one of them is enough", admin->address);
	}
	ok = candidate_init(&candidate, admin->word[0]) && admin_open(admin) && add(&wish, &candidate);
	candidate_finish(&candidate);
	admin_close(admin);
	return ok ? CLI_OK : CLI_FAILED;
}
