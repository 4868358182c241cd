/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "ask.h"
#include "cli.h"
#include "steps.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define AGAIN_MS 6000 /* the server itself gives a manual failover up after 5 s */

struct wish {
	struct admin admin;
	unsigned wait_ms;
	const char *how; /* FORCE, TAKEOVER or NULL */
};

/* What is to be so. */
struct goal {
	char node[VIEW_ID_SIZE], master[VIEW_ID_SIZE];
	bool slots[SHARD_SLOTS]; /* the master's, and then the node's */
	const struct wish *wish;
	char *addr;    /* of the node */
	int64_t again; /* when the node is asked once more: the server gives up by itself */
};

enum { OPTION_FORCE = 0x100, OPTION_TAKEOVER };

static const struct argp_option options[] = {
	{"force", OPTION_FORCE, NULL, 0, "Without the master's consent; the other masters vote", 0},
	{"takeover", OPTION_TAKEOVER, NULL, 0, "Without any consent or vote: the majority of masters may be away", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;
	const char *how = key == OPTION_FORCE ? "FORCE" : "TAKEOVER";

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		state->child_inputs[1] = &wish->wait_ms;
		return 0;
	case OPTION_FORCE:
	case OPTION_TAKEOVER:
		if (wish->how && strcmp(wish->how, how))
			cli_usage("--force and --takeover: one of them is enough");
		wish->how = how;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {.argp = &steps_wait_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT] NODE",
	.doc = "Makes NODE, a replica, the master in its master's place, losing nothing, and waits until all nodes see "
	       "it. A master that is down takes --force.",
};

/* Whether MAP, what one node says, has NODE as the master of all those slots. */
static bool sees_goal(const shard_topology *map, const struct goal *goal)
{
	int node = shard_topology_find_id(map, goal->node);

	if (node < 0 || shard_topology_node(map, (size_t)node)->flags & SHARD_NODE_REPLICA)
		return false;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (goal->slots[slot] && shard_topology_owner(map, slot) != node)
			return false;
	return true;
}

static void ask_again(struct goal *goal)
{
	struct ask ask = {.to = goal->addr,
			  .argc = goal->wish->how ? 3 : 2,
			  .argv = {"CLUSTER", "FAILOVER", goal->wish->how}};

	ask_all(goal->wish->admin.client, NULL, &ask, 1, goal->wish->admin.timeout_ms);
	ask_finish(&ask, 1);
	goal->again = now_ms() + AGAIN_MS;
}

static bool is_reached(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	struct goal *goal = ctx;
	int node = view_find_id(view, goal->node), master = view_find_id(view, goal->master);

	if (node < 0 || !view_is_master(&view->node[node])) {
		snprintf(why, VIEW_WHY_SIZE, "it is no master yet");
		if (now_ms() >= goal->again)
			ask_again(goal);
		return false;
	}
	for (size_t i = 0; i < view->count; i++) {
		if (!view_answers(&view->node[i]) || sees_goal(view->node[i].map, goal))
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s does not see it as the master yet", view->node[i].addr);
		return false;
	}
	if (master >= 0 && view_is_master(&view->node[master])) {
		snprintf(why, VIEW_WHY_SIZE, "%s has not become its replica yet", view->node[master].addr);
		return false;
	}
	return steps_agree(view, why);
}

static bool fail_over(struct wish *wish, struct goal *goal)
{
	char *what = text("failover to %s", goal->addr);
	bool ok;

	goal->again = now_ms() + AGAIN_MS;
	ok = steps_tell(&wish->admin, goal->addr, wish->how ? 3 : 2,
			(const char *[]){"CLUSTER", "FAILOVER", wish->how}) &&
	     admin_wait(&wish->admin, is_reached, goal, wish->wait_ms, what);
	free(what);
	return ok;
}

static bool may_fail_over(const struct wish *wish, int node)
{
	const struct view *view = &wish->admin.view;
	const struct view_node *n = &view->node[node];

	if (!view_answers(n))
		cli_error("%s: does not answer: %s", n->addr, n->error);
	else if (n->master < 0)
		cli_error("%s: its master is not known to the cluster", n->addr);
	else if (!view->node[n->master].slots)
		cli_error("%s: its master %s has no slots: there is nothing to take over", n->addr,
			  view->node[n->master].addr);
	else if (!wish->how && !view_answers(&view->node[n->master]))
		cli_error("%s: its master %s does not answer, and cannot hand over: --force", n->addr,
			  view->node[n->master].addr);
	else
		return true;
	return false;
}

static bool run(struct wish *wish, const char *word)
{
	const struct view *view = &wish->admin.view;
	struct goal *goal = allocate(1, sizeof(*goal));
	int node = admin_node(&wish->admin, word), master;
	bool ok = false;

	if (node >= 0 && view_is_master(&view->node[node]) && view->node[node].slots) {
		printf("%s is a master already\n", view->node[node].addr);
		ok = true;
	} else if (node >= 0 && view_is_master(&view->node[node])) {
		cli_error("%s: is no replica, but a master without slots", view->node[node].addr);
	} else if (node >= 0 && may_fail_over(wish, node)) {
		master = view->node[node].master;
		goal->addr = text("%s", view->node[node].addr);
		goal->wish = wish;
		memcpy(goal->node, view->node[node].id, sizeof(goal->node));
		memcpy(goal->master, view->node[master].id, sizeof(goal->master));
		for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
			goal->slots[slot] = view->owner[slot] == master;
		ok = fail_over(wish, goal);
		if (ok)
			printf("%s is the master\n", goal->addr);
	}
	free(goal->addr);
	free(goal);
	return ok;
}

int verb_failover(int argc, char *argv[])
{
	struct wish wish = {.wait_ms = STEPS_WAIT_MS};
	const char *const *word;
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	word = admin_words(&wish.admin, 1, "NODE");
	ok = admin_open(&wish.admin) && run(&wish, word[0]);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
