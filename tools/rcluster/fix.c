/* SPDX-License-Identifier: MIT */
/*
 * Half-moved slots go on, slots that nobody owns get an owner. Nothing here
 * removes a key or lets a node remove one: a node that holds keys of a slot is
 * told who owns it, by SETSLOT, before that one says so to all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "ask.h"
#include "cli.h"
#include "findings.h"
#include "keys.h"
#include "question.h"
#include "half.h"
#include "text.h"
#include "verb.h"
#include "wait.h"

#define AGREE_MS 15000
#define OK_MS 5000 /* nodes that agree say a moment longer that the cluster is down */

struct wish {
	struct admin admin;
	struct move_options move;
	bool strays, unreachable;
};

enum { OPTION_STRAYS = 0x100, OPTION_UNREACHABLE, OPTION_REPLACE };

static const struct argp_option options[] = {
	{"search-multiple-owners", OPTION_STRAYS, NULL, 0,
	 "Bring keys home, too, that a master holds in slots which are not its own", 0},
	{"fix-with-unreachable-masters", OPTION_UNREACHABLE, NULL, 0,
	 "Give the slots of masters that do not answer to others; their keys are given up, but with a replica", 0},
	{"replace", OPTION_REPLACE, NULL, 0, "A key that is on both sides and differs: take the owner's", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct wish *wish = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &wish->admin;
		return 0;
	case OPTION_STRAYS:
		wish->strays = true;
		return 0;
	case OPTION_UNREACHABLE:
		wish->unreachable = true;
		return 0;
	case OPTION_REPLACE:
		wish->move.replace = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.children = children,
	.args_doc = "[HOST:PORT]",
	.doc = "Mends a cluster: half-moved slots go on, slots without an owner get one. Never removes a key. One question "
	       "covers all; --yes answers it.",
};

/* ---- slots without an owner ---- */

struct orphans {
	int16_t heir[SHARD_SLOTS]; /* who gets the slot; -1: it has an owner */
	bool *holds[SHARD_SLOTS];  /* masters that hold keys of it, or NULL */
	size_t count;
};

static bool is_orphan(const struct wish *wish, unsigned slot)
{
	int owner = wish->admin.view.owner[slot];

	return owner < 0 || (wish->unreachable && !view_answers(&wish->admin.view.node[owner]));
}

static bool find_holders(const struct admin *admin, struct orphans *orphans)
{
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));
	bool ok = true;

	for (size_t i = 0; i < admin->view.count && ok; i++) {
		if (!view_is_master(&admin->view.node[i]))
			continue;
		ok = keys_count(admin, (unsigned)i, keys);
		for (unsigned slot = 0; ok && slot < SHARD_SLOTS; slot++) {
			if (!keys[slot] || orphans->heir[slot] < 0)
				continue;
			if (!orphans->holds[slot])
				orphans->holds[slot] = allocate(admin->view.count, sizeof(bool));
			orphans->holds[slot][i] = true;
		}
	}
	free(keys);
	return ok;
}

/* Who has keys of it, else who has the fewest slots. */
static int choose_heir(const struct view *view, const bool *holds, const unsigned slots[])
{
	int best = -1;

	for (int i = 0; i < (int)view->count; i++) {
		if (!view_is_master(&view->node[i]))
			continue;
		if (holds && holds[i])
			return i;
		if (best < 0 || slots[i] < slots[best])
			best = i;
	}
	return best;
}

static bool find_orphans(const struct wish *wish, struct orphans *orphans)
{
	const struct view *view = &wish->admin.view;
	unsigned *slots = allocate(view->count, sizeof(*slots));

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		orphans->heir[slot] = is_orphan(wish, slot) ? 0 : -1;
		orphans->count += orphans->heir[slot] >= 0;
	}
	if (orphans->count && !find_holders(&wish->admin, orphans)) {
		free(slots);
		return false;
	}
	for (size_t i = 0; i < view->count; i++)
		slots[i] = view->node[i].slots;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		int heir = orphans->heir[slot] < 0 ? -1 : choose_heir(view, orphans->holds[slot], slots);

		orphans->heir[slot] = (int16_t)heir;
		if (heir >= 0)
			slots[heir]++;
	}
	free(slots);
	return true;
}

static void print_orphans(const struct view *view, const struct orphans *orphans)
{
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		for (last = first; last + 1 < SHARD_SLOTS && orphans->heir[last + 1] == orphans->heir[first];)
			last++;
		if (orphans->heir[first] >= 0)
			printf("slots %u-%u, which nobody serves, go to %s\n", first, last,
			       view->node[orphans->heir[first]].addr);
	}
	fflush(stdout);
}

struct setting {
	struct ask *ask;
	char (*word)[8];
	size_t count;
};

static void set_node(struct setting *to, const struct view *view, int node, unsigned slot, int owner)
{
	snprintf(to->word[to->count], sizeof(*to->word), "%u", slot);
	to->ask[to->count] = (struct ask){
		.to = view->node[node].addr,
		.argc = 5,
		.argv = {"CLUSTER", "SETSLOT", to->word[to->count], "NODE", view->node[owner].id},
	};
	to->count++;
}

static bool do_setting(const struct admin *admin, struct setting *setting)
{
	bool ok = ask_all(admin->client, NULL, setting->ask, setting->count, admin->timeout_ms);

	for (size_t i = 0; i < setting->count; i++) {
		if (setting->ask[i].reply)
			continue;
		cli_error("%s, slot %s: NODE: %s", setting->ask[i].to, setting->word[i], setting->ask[i].error);
		break;
	}
	ask_finish(setting->ask, setting->count);
	setting->count = 0;
	return ok;
}

/* First all others are told, so that none of those which hold keys can take itself for the owner; then the heirs. */
static bool adopt(const struct admin *admin, const struct orphans *orphans)
{
	const struct view *view = &admin->view;
	size_t room = orphans->count * view->count + 1;
	struct setting setting = {allocate(room, sizeof(struct ask)), allocate(room, 8), 0};
	bool ok;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		for (int i = 0; i < (int)view->count && orphans->heir[slot] >= 0; i++)
			if (i != orphans->heir[slot] && view_is_master(&view->node[i]))
				set_node(&setting, view, i, slot, orphans->heir[slot]);
	ok = do_setting(admin, &setting);
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (orphans->heir[slot] >= 0)
			set_node(&setting, view, orphans->heir[slot], slot, orphans->heir[slot]);
	ok = ok && do_setting(admin, &setting);
	free(setting.ask);
	free(setting.word);
	return ok;
}

/* What others hold of the adopted slots goes to their heirs. */
static void add_homecoming(const struct view *view, const struct orphans *orphans, struct move_task **task,
			   size_t *count)
{
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		for (int i = 0; orphans->holds[slot] && i < (int)view->count; i++) {
			if (!orphans->holds[slot][i] || i == orphans->heir[slot])
				continue;
			*task = cli_realloc(*task, (*count + 1) * sizeof(**task));
			(*task)[(*count)++] = (struct move_task){(uint16_t)slot, (int16_t)i, orphans->heir[slot],
								 MOVE_LEFTOVER};
		}
	}
}

/* An owner that is lost may come back with what it believed: the heirs' epochs have to be above its. */
static bool bump(const struct admin *admin, const struct orphans *orphans, bool lost)
{
	const struct view *view = &admin->view;
	bool ok = true;

	for (int i = 0; lost && i < (int)view->count && ok; i++) {
		struct ask ask = {.to = view->node[i].addr, .argc = 2, .argv = {"CLUSTER", "BUMPEPOCH"}};
		bool heir = false;

		for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
			heir = heir || orphans->heir[slot] == i;
		if (!heir)
			continue;
		ok = ask_all(admin->client, NULL, &ask, 1, admin->timeout_ms);
		if (!ok)
			cli_error("%s: CLUSTER BUMPEPOCH: %s", ask.to, ask.error);
		ask_finish(&ask, 1);
	}
	return ok;
}

/* ---- all of it ---- */

static bool reachable(const struct wish *wish)
{
	const struct view *view = &wish->admin.view;
	bool ok = true;

	for (size_t i = 0; i < view->count && !wish->unreachable; i++) {
		if (view_answers(&view->node[i]) || !view->node[i].slots)
			continue;
		cli_error("%s, which has %u slots, does not answer: %s: bring it back, or give its slots away with "
			  "--fix-with-unreachable-masters",
			  view->node[i].addr, view->node[i].slots, view->node[i].error);
		ok = false;
	}
	return ok;
}

static bool mend(struct wish *wish, struct move_task **task, size_t *count, struct orphans *orphans)
{
	struct admin *admin = &wish->admin;

	add_homecoming(&admin->view, orphans, task, count);
	if (!*count && !orphans->count)
		return true;
	print_orphans(&admin->view, orphans);
	half_print(&admin->view, *task, *count);
	if (!question_yes(admin->yes, "Do that?"))
		return false;
	if (orphans->count && (!adopt(admin, orphans) || !bump(admin, orphans, wish->unreachable)))
		return false;
	return half_run(admin, *task, *count, &wish->move);
}

/* Whether all agree and, up to the time that CTX says, that the cluster is ok. */
static bool is_mended(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const int64_t *end = ctx;

	if (!admin_settled(view, NULL, why))
		return false;
	for (size_t i = 0; i < view->count && now_ms() < *end; i++) {
		if (!view_answers(&view->node[i]) || view->node[i].ok)
			continue;
		snprintf(why, VIEW_WHY_SIZE, "%s: its cluster_state is not ok", view->node[i].addr);
		return false;
	}
	return true;
}

/* What a move that was cut off has not told all is brought to them by gossip. */
static bool wait_until_mended(struct admin *admin, bool changed)
{
	int64_t end = changed ? now_ms() + OK_MS : 0;

	return admin_wait(admin, is_mended, &end, AGREE_MS, "not all nodes agree yet");
}

static int fix(struct wish *wish)
{
	struct admin *admin = &wish->admin;
	struct orphans *orphans = allocate(1, sizeof(*orphans));
	struct findings findings = {0};
	struct move_task *task = NULL;
	size_t count = 0;
	int status = CLI_FAILED;

	if (reachable(wish) && find_orphans(wish, orphans) && half_plan(admin, wish->strays, &task, &count) &&
	    mend(wish, &task, &count, orphans)) {
		if (wait_until_mended(admin, count || orphans->count) && findings_look(&findings, admin, wish->strays)) {
			findings_report(&findings, &admin->view);
			status = findings.count ? CLI_NO : CLI_OK;
			if (!findings.count)
				puts(count || orphans->count ? "ok: mended; all nodes agree"
							     : "ok: nothing is to be mended");
		}
	}
	findings_finish(&findings);
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		free(orphans->holds[slot]);
	free(orphans);
	free(task);
	return status;
}

int verb_fix(int argc, char *argv[])
{
	struct wish wish = {0};
	int status = CLI_FAILED;

	verb_parse(&argp, argc, argv, &wish);
	admin_words(&wish.admin, 0, "");
	catch_interrupts();
	if (admin_open(&wish.admin)) {
		wish.move.yes = wish.admin.yes;
		wish.move.migrate_ms = wish.admin.connect.timeout_ms;
		status = fix(&wish);
	}
	admin_close(&wish.admin);
	return status;
}
