/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "ask.h"
#include "cli.h"
#include "move.h"
#include "plan.h"
#include "steps.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define BLACKLIST_MS 50000 /* a node that forgot another takes it in again after 60 s, if others still tell of it */

struct wish {
	struct admin admin;
	unsigned wait_ms;
	bool drain, no_atomic;
	char id[VIEW_ID_SIZE]; /* of the node */
	char *addr;
};

enum { OPTION_DRAIN = 0x100, OPTION_NO_ATOMIC };

static const struct argp_option options[] = {
	{"drain", OPTION_DRAIN, NULL, 0, "Move its slots to the other masters first", 0},
	{"no-atomic", OPTION_NO_ATOMIC, NULL, 0, "Key by key, also where the servers can move slots by themselves", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		state->child_inputs[1] = &wish->wait_ms;
		return 0;
	case OPTION_DRAIN:
		wish->drain = true;
		return 0;
	case OPTION_NO_ATOMIC:
		wish->no_atomic = true;
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
	.doc = "Takes NODE out of the cluster: its replicas go to other masters, all other nodes forget it, and it is "
	       "reset. A node that is dead is named by its id, or by its address.",
};

static int self(const struct wish *wish)
{
	return view_find_id(&wish->admin.view, wish->id);
}

/* From now on the cluster is looked at through a node that stays. */
static bool look_from_others(struct wish *wish)
{
	const struct view *view = &wish->admin.view;

	for (size_t i = 0; i < view->count; i++)
		if (view_answers(&view->node[i]) && strcmp(view->node[i].id, wish->id)) {
			admin_seed(&wish->admin, (int)i);
			return admin_look(&wish->admin);
		}
	cli_error("%s: no other node answers", wish->addr);
	return false;
}

/* A slot that is half-moved from it or to it would be lost sight of. */
static bool is_settled(const struct wish *wish)
{
	const struct view *view = &wish->admin.view;

	for (size_t i = 0; i < view->open_count; i++) {
		if (view->open[i].node != (unsigned)self(wish) && view->open[i].peer != self(wish))
			continue;
		cli_error("%s: slot %u is half-moved: rcluster fix goes on with it", wish->addr, view->open[i].slot);
		return false;
	}
	return true;
}

/* Each slot goes to the master that has the fewest by then. False: there is none. */
static bool plan_drain(struct plan *plan, const struct view *view, int node)
{
	unsigned *slots = allocate(view->count, sizeof(*slots));
	int least = -1;

	plan_init(plan);
	for (size_t i = 0; i < view->count; i++)
		slots[i] = view->node[i].slots;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (view->owner[slot] != node)
			continue;
		least = -1;
		for (size_t i = 0; i < view->count; i++)
			if (view_is_master(&view->node[i]) && (int)i != node && (least < 0 || slots[i] < slots[least]))
				least = (int)i;
		if (least < 0)
			break;
		plan->target[slot] = (int16_t)least;
		slots[least]++;
	}
	free(slots);
	return least >= 0;
}

static bool drain(struct wish *wish)
{
	const struct move_options how = {.yes = wish->admin.yes, .no_atomic = wish->no_atomic};
	struct admin *admin = &wish->admin;
	struct plan *plan = allocate(1, sizeof(*plan));
	struct move_totals totals = {0};
	struct move_task *task;
	size_t count;
	bool ok = plan_drain(plan, &admin->view, self(wish));

	if (!ok) {
		cli_error("%s: no other master answers that could take its slots", wish->addr);
	} else {
		task = plan_tasks(plan, &admin->view, &count);
		ok = move_run(admin, task, count, &how, &totals);
		free(task);
		printf("%zu slots with %llu keys moved away from %s\n", totals.slots, totals.keys, wish->addr);
		fflush(stdout);
	}
	free(plan);
	return ok;
}

static bool is_slotless(struct wish *wish)
{
	const struct view_node *node = &wish->admin.view.node[self(wish)];

	if (!node->slots)
		return true;
	if (!view_answers(node)) {
		cli_error("%s: does not answer, and owns %u slots: let a replica take over (rcluster failover --force), "
			  "or give them away (rcluster fix)",
			  wish->addr, node->slots);
		return false;
	}
	if (!wish->drain) {
		cli_error("%s: owns %u slots: --drain moves them to the other masters first", wish->addr, node->slots);
		return false;
	}
	return drain(wish);
}

/* A replica cannot forget its master: it gets another one first. */
static bool move_replicas(struct wish *wish)
{
	for (;;) {
		const struct view *view = &wish->admin.view;
		int replica = -1, master;

		for (size_t i = 0; i < view->count && replica < 0; i++)
			if (view_answers(&view->node[i]) && view->node[i].flags & SHARD_NODE_REPLICA &&
			    view->node[i].master == self(wish))
				replica = (int)i;
		if (replica < 0)
			return true;
		master = steps_neediest(view, self(wish));
		if (master < 0) {
			cli_error("%s: no other master has slots, so its replica %s has nobody to follow", wish->addr,
				  view->node[replica].addr);
			return false;
		}
		printf("%s follows %s\n", view->node[replica].addr, view->node[master].addr);
		fflush(stdout);
		if (!steps_replicate(&wish->admin, replica, master, wish->wait_ms))
			return false;
	}
}

/* All others at once. One that does not know it has forgotten it. */
static bool forget(struct wish *wish)
{
	const struct view *view = &wish->admin.view;
	struct ask *ask = allocate(view->count, sizeof(*ask));
	size_t count = 0;
	bool ok = true;

	for (size_t i = 0; i < view->count; i++)
		if (view_answers(&view->node[i]) && strcmp(view->node[i].id, wish->id))
			ask[count++] = (struct ask){.node = (unsigned)i,
						    .to = view->node[i].addr,
						    .argc = 3,
						    .argv = {"CLUSTER", "FORGET", wish->id}};
	ask_all(wish->admin.client, NULL, ask, count, wish->admin.timeout_ms);
	for (size_t i = 0; i < count; i++) {
		if (ask[i].reply || strstr(ask[i].error, "Unknown node"))
			continue;
		cli_error("%s: CLUSTER FORGET: %s", view->node[ask[i].node].addr, ask[i].error);
		ok = false;
	}
	ask_finish(ask, count);
	free(ask);
	return ok;
}

static bool is_forgotten(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const char *id = ctx;

	for (size_t i = 0; i < view->count; i++) {
		if (!view_answers(&view->node[i]) || shard_topology_find_id(view->node[i].map, id) < 0)
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s knows it still", view->node[i].addr);
		return false;
	}
	return true;
}

/* A node that cannot be told keeps the others in mind; when it comes back, nobody answers to it. */
static void warn_of_silent(const struct wish *wish)
{
	const struct view *view = &wish->admin.view;

	for (size_t i = 0; i < view->count; i++)
		if (!view_answers(&view->node[i]) && strcmp(view->node[i].id, wish->id))
			cli_error("%s: does not answer, so it will know %s still when it comes back: run this again then",
				  view->node[i].addr, wish->addr);
}

static bool take_out(struct wish *wish)
{
	bool alive = view_answers(&wish->admin.view.node[self(wish)]);
	unsigned wait_ms = wish->wait_ms < BLACKLIST_MS ? wish->wait_ms : BLACKLIST_MS;

	warn_of_silent(wish);
	if (!forget(wish))
		return false;
	/* It would go on to talk to the others; those do not listen. */
	if (alive && !steps_tell(&wish->admin, wish->addr, 3, (const char *[]){"CLUSTER", "RESET", "SOFT"}))
		return false;
	if (!admin_wait(&wish->admin, is_forgotten, wish->id, wait_ms, wish->addr))
		return false;
	printf("%s %s is out of the cluster%s\n", wish->id, wish->addr, alive ? "" : " (it did not answer)");
	return true;
}

static bool delete(struct wish *wish, const char *word)
{
	struct admin *admin = &wish->admin;
	int node = admin_node(admin, word);
	bool all_answer = true;

	if (node < 0)
		return false;
	memcpy(wish->id, admin->view.node[node].id, sizeof(wish->id));
	wish->addr = text("%s", *admin->view.node[node].addr ? admin->view.node[node].addr : wish->id);
	if (!look_from_others(wish))
		return false;
	if (self(wish) < 0) {
		cli_error("%s: no other node knows it", wish->addr);
		return false;
	}
	for (size_t i = 0; i < admin->view.count; i++)
		all_answer = all_answer && ((int)i == self(wish) || view_answers(&admin->view.node[i]));
	/* What a node that is away still knows it is told to others when it comes back. */
	return is_settled(wish) && is_slotless(wish) && move_replicas(wish) && take_out(wish) && all_answer;
}

int verb_del_node(int argc, char *argv[])
{
	struct wish wish = {.wait_ms = STEPS_WAIT_MS};
	const char *const *word;
	bool ok;

	verb_parse(&argp, argc, argv, &wish);
	catch_interrupts();
	word = admin_words(&wish.admin, 1, "NODE");
	ok = admin_open(&wish.admin) && delete(&wish, word[0]);
	free(wish.addr);
	admin_close(&wish.admin);
	return ok ? CLI_OK : CLI_FAILED;
}
