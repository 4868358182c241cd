/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/uri.h>

#include "admin.h"
#include "candidate.h"
#include "cli.h"
#include "findings.h"
#include "form.h"
#include "question.h"
#include "show.h"
#include "spread.h"
#include "steps.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define LEAST_MASTERS 3
#define NODES_MAX 1000

struct wish {
	struct admin admin;
	unsigned wait_ms;
	unsigned replicas;
	bool force, dry_run, json;
};

/* A cluster to be. */
struct plan {
	size_t count, masters;
	struct candidate *candidate;
	const char **host;
	size_t *order; /* of candidates: masters first */
	int *master;   /* of candidates */
};

enum { OPTION_REPLICAS = 0x100, OPTION_FORCE, OPTION_DRY_RUN, OPTION_JSON };

static const struct argp_option options[] = {
	{"replicas", OPTION_REPLICAS, "N", 0, "How many replicas each master has (0)", 0},
	{"force", OPTION_FORCE, NULL, 0, "With fewer than three masters, which can elect nobody when one fails", 0},
	{"dry-run", OPTION_DRY_RUN, NULL, 0, "Check the nodes and show the plan, no more", 0},
	{"json", OPTION_JSON, NULL, 0, "The plan as JSON", 0},
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
	case OPTION_REPLICAS:
		wish->replicas = (unsigned)cli_number("--replicas", arg, 0, NODES_MAX);
		return 0;
	case OPTION_FORCE:
		wish->force = true;
		return 0;
	case OPTION_DRY_RUN:
		wish->dry_run = true;
		return 0;
	case OPTION_JSON:
		wish->json = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {.argp = &steps_wait_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "HOST:PORT...",
	.doc = "Makes a cluster of empty nodes: shows who becomes what, asks, and returns when every node agrees and "
	       "every replica is linked to its master.",
};

/* ---- the nodes ---- */

static bool is_possible(const struct wish *wish, size_t count, size_t masters)
{
	if (masters >= LEAST_MASTERS || (wish->force && masters))
		return true;
	cli_error("%zu nodes with %u replicas for each master make %zu masters; %d are needed, so at least %u nodes%s",
		  count, wish->replicas, masters, LEAST_MASTERS, LEAST_MASTERS * (wish->replicas + 1),
		  masters ? ", or --force" : "");
	return false;
}

static bool are_different(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		for (size_t j = 0; j < i; j++) {
			if (strcmp(plan->candidate[i].addr, plan->candidate[j].addr) &&
			    (!*plan->candidate[i].id || strcmp(plan->candidate[i].id, plan->candidate[j].id)))
				continue;
			cli_error("%s: is the same node as %s", plan->candidate[i].addr, plan->candidate[j].addr);
			return false;
		}
	}
	return true;
}

/* All that is wrong is told, not the first only. */
static bool are_empty(const struct plan *plan)
{
	bool all = true;

	for (size_t i = 0; i < plan->count; i++)
		all = candidate_is_empty(&plan->candidate[i]) && all;
	return all;
}

static bool find_nodes(struct plan *plan, struct wish *wish)
{
	plan->count = wish->admin.word_count;
	plan->masters = plan->count / (wish->replicas + 1);
	plan->candidate = allocate(plan->count, sizeof(*plan->candidate));
	for (size_t i = 0; i < plan->count; i++)
		if (!candidate_init(&plan->candidate[i], wish->admin.word[i]))
			return false;
	if (!is_possible(wish, plan->count, plan->masters) || !are_different(plan))
		return false;
	candidate_look_all(&wish->admin, plan->candidate, plan->count);
	return are_empty(plan) && are_different(plan);
}

static void make(struct plan *plan)
{
	plan->host = allocate(plan->count, sizeof(*plan->host));
	plan->order = allocate(plan->count, sizeof(*plan->order));
	plan->master = allocate(plan->count, sizeof(*plan->master));
	for (size_t i = 0; i < plan->count; i++)
		plan->host[i] = plan->candidate[i].ip;
	spread_nodes(plan->host, plan->count, plan->masters, plan->order, plan->master);
}

/* ---- the plan ---- */

static void print_plan(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		size_t node = plan->order[i];

		if (i < plan->masters)
			printf("%s\tmaster\t%u-%u\n", plan->candidate[node].addr,
			       form_first_slot((unsigned)i, (unsigned)plan->masters),
			       form_first_slot((unsigned)i + 1, (unsigned)plan->masters) - 1);
		else
			printf("%s\treplica\t%s\n", plan->candidate[node].addr,
			       plan->candidate[plan->master[node]].addr);
	}
	fflush(stdout);
}

static void print_json(const struct plan *plan)
{
	json_t *all = json_array();

	for (size_t i = 0; i < plan->count; i++) {
		size_t node = plan->order[i];
		json_t *one = json_pack("{ss}", "node", plan->candidate[node].addr);

		if (i < plan->masters) {
			json_object_set_new(one, "first",
					    json_integer(form_first_slot((unsigned)i, (unsigned)plan->masters)));
			json_object_set_new(
				one, "last",
				json_integer(form_first_slot((unsigned)i + 1, (unsigned)plan->masters) - 1));
		} else {
			json_object_set_new(one, "master", json_string(plan->candidate[plan->master[node]].addr));
		}
		json_array_append_new(all, one);
	}
	show_json(json_pack("{so}", "plan", all));
}

static void warn_of_hosts(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		if (plan->master[i] < 0 || strcmp(plan->host[i], plan->host[plan->master[i]]))
			continue;
		fprintf(stderr, "%s: some replicas are on the host of their master: its loss takes both away\n",
			cli_name);
		return;
	}
}

/* ---- doing it ---- */

static void fill(struct form *form, const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		size_t node = plan->order[i];
		const struct candidate *candidate = &plan->candidate[node];

		form->node[i] = (struct form_node){
			.addr = candidate->addr, .host = candidate->ip, .port = candidate->port, .master = -1};
		if (i < plan->masters) {
			form->node[i].first = form_first_slot((unsigned)i, (unsigned)plan->masters);
			form->node[i].last = form_first_slot((unsigned)i + 1, (unsigned)plan->masters) - 1;
		}
		for (size_t j = 0; j < plan->masters && plan->master[node] >= 0; j++)
			if (plan->order[j] == (size_t)plan->master[node])
				form->node[i].master = (int)j;
	}
}

static bool form_it(struct wish *wish, const struct plan *plan)
{
	struct form form = {
		.client = wish->admin.client, .count = plan->count, .end = now_ms() + wish->wait_ms};
	char why[FORM_WHY_SIZE];
	int failed;

	form.node = allocate(plan->count, sizeof(*form.node));
	fill(&form, plan);
	failed = form_cluster(&form, why);
	if (failed >= 0)
		cli_error("%s: %s%s: the cluster is not complete; CLUSTER RESET on each node takes it apart",
			  form.node[failed].addr, interrupted() ? "interrupted: " : "", why);
	free(form.node);
	return failed < 0;
}

/* Whether all nodes are there, agree and are well, and all links are up. */
static bool is_whole(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const struct plan *plan = ctx;

	if (view->count != plan->count) {
		snprintf(why, VIEW_WHY_SIZE, "%zu of %zu nodes are seen", view->count, plan->count);
		return false;
	}
	for (size_t i = 0; i < view->count; i++) {
		bool replica = view->node[i].flags & SHARD_NODE_REPLICA;

		if (view_answers(&view->node[i]) && view->node[i].ok && (!replica || view->node[i].link_up))
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s: %s", view->node[i].addr,
			 !view_answers(&view->node[i]) ? view->node[i].error
			 : view->node[i].ok            ? "the link to its master is not up"
						       : "cluster_state is not ok");
		return false;
	}
	return view_agree(view, why);
}

static bool create(struct wish *wish, struct plan *plan)
{
	if (!find_nodes(plan, wish))
		return false;
	make(plan);
	if (wish->json)
		print_json(plan);
	else
		print_plan(plan);
	warn_of_hosts(plan);
	if (wish->dry_run)
		return true;
	if (!question_yes(wish->admin.yes, "Make a cluster of these %zu nodes?", plan->count))
		return false;
	if (!form_it(wish, plan) || !admin_wait(&wish->admin, is_whole, plan, wish->wait_ms, "the new cluster") ||
	    !findings_none(&wish->admin))
		return false;
	if (!wish->json)
		printf("ready: %zu masters, %zu replicas\n", plan->masters, plan->count - plan->masters);
	return true;
}

int verb_create(int argc, char *argv[])
{
	struct wish wish = {.wait_ms = STEPS_WAIT_MS};
	struct plan plan = {0};
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	if (!wish.admin.word_count)
		cli_usage("HOST:PORT... are wanted");
	if (wish.admin.connect.uri_text)
		cli_usage("-u: the nodes are named one by one: HOST:PORT...");
	for (size_t i = 0; i < wish.admin.word_count; i++)
		if (!admin_is_address(wish.admin.word[i]))
			cli_usage("%s: is not HOST:PORT", text_shown(wish.admin.word[i]));
	wish.admin.address = wish.admin.word[0];
	ok = admin_connect(&wish.admin) && create(&wish, &plan);
	for (size_t i = 0; i < plan.count; i++)
		candidate_finish(&plan.candidate[i]);
	free(plan.candidate);
	free(plan.host);
	free(plan.order);
	free(plan.master);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
