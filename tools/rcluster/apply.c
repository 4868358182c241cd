/* SPDX-License-Identifier: MIT */
#include "apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "findings.h"
#include "question.h"
#include "half.h"
#include "show.h"
#include "text.h"
#include "wait.h"

#define SETTLE_MS 10000

enum {
	OPTION_PLAN = 0x100,
	OPTION_DRY_RUN,
	OPTION_PIPELINE,
	OPTION_REPLACE,
	OPTION_MAX_KEYS,
	OPTION_MAX_BYTES,
	OPTION_LATENCY,
	OPTION_BIG_KEY,
	OPTION_NO_ATOMIC,
	OPTION_JSON
};

static const struct argp_option options[] = {
	{"plan", OPTION_PLAN, "FILE", 0, "Move what FILE says, lines FIRST-LAST SOURCE TARGET; -: standard input", 0},
	{"dry-run", OPTION_DRY_RUN, NULL, 0, "Print the plan and end", 0},
	{"json", OPTION_JSON, NULL, 0, "Print the plan as JSON", 0},
	{"pipeline", OPTION_PIPELINE, "KEYS", 0, "At most so many keys a MIGRATE (as many as the latency allows)", 0},
	{"replace", OPTION_REPLACE, NULL, 0, "A key that is on both sides and differs: take the owner's", 0},
	{"max-keys/s", OPTION_MAX_KEYS, "N", 0, "Move at most N keys a second", 0},
	{"max-bytes/s", OPTION_MAX_BYTES, "N", 0, "Move at most N bytes of memory a second; k, M, G may follow", 0},
	{"latency", OPTION_LATENCY, "MS", 0, "Block a node for about MS milliseconds at once at most (20)", 0},
	{"big-key", OPTION_BIG_KEY, "BYTES", 0, "Ask before keys above are moved (16M)", 0},
	{"no-atomic", OPTION_NO_ATOMIC, NULL, 0, "Key by key, also where the servers can move slots by themselves", 0},
	{0},
};

static double number_of(const char *option, const char *text)
{
	char *end;
	double number;

	errno = 0;
	number = strtod(text, &end);
	if (end != text && strchr("kMG", *end) && *end) {
		number *= *end == 'k' ? 1024.0 : *end == 'M' ? 1048576.0 : 1073741824.0;
		end++;
	}
	if (errno || end == text || *end || !(number > 0) || number > 1e15)
		cli_usage("%s: a number above 0 is wanted (k, M or G may follow), not \"%s\"", option, text);
	return number;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct apply *apply = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &apply->admin;
		return 0;
	case OPTION_PLAN:
		apply->plan = arg;
		return 0;
	case OPTION_DRY_RUN:
		apply->dry_run = true;
		return 0;
	case OPTION_JSON:
		apply->json = true;
		return 0;
	case OPTION_PIPELINE:
		apply->move.pipeline = (unsigned)cli_number("--pipeline", arg, 1, 100000);
		return 0;
	case OPTION_REPLACE:
		apply->move.replace = true;
		return 0;
	case OPTION_MAX_KEYS:
		apply->move.keys_per_s = number_of("--max-keys/s", arg);
		return 0;
	case OPTION_MAX_BYTES:
		apply->move.bytes_per_s = number_of("--max-bytes/s", arg);
		return 0;
	case OPTION_LATENCY:
		apply->move.latency_ms = (unsigned)cli_number("--latency", arg, 1, 60000);
		return 0;
	case OPTION_BIG_KEY:
		apply->move.big_bytes = (long long)number_of("--big-key", arg);
		return 0;
	case OPTION_NO_ATOMIC:
		apply->move.no_atomic = true;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_child children[] = {{.argp = &admin_argp}, {0}};

const struct argp apply_argp = {.options = options, .parser = parse_option, .children = children};

void apply_options(struct apply *apply)
{
	apply->move.yes = apply->admin.yes;
	apply->move.migrate_ms = apply->admin.connect.timeout_ms;
}

static bool resume(struct apply *apply)
{
	struct admin *admin = &apply->admin;
	struct move_task *task;
	size_t count;
	bool ok = half_plan(admin, false, &task, &count);

	if (ok && count && apply->dry_run) {
		cli_error("%zu slots are half moved; they would be finished first: see rcluster fix", count);
	} else if (ok && count) {
		if (!apply->json)
			half_print(&admin->view, task, count);
		ok = question_yes(admin->yes, "Finish these half-moved slots?") &&
		     half_run(admin, task, count, &apply->move);
	}
	free(task);
	return ok;
}

/* Who owns what may be news to some nodes still, after a move that was cut off a moment ago. */
static bool settle(struct admin *admin)
{
	char why[VIEW_WHY_SIZE];

	return admin_settled(&admin->view, NULL, why) ||
	       admin_wait(admin, admin_settled, NULL, SETTLE_MS, "not all nodes agree");
}

bool apply_begin(struct apply *apply)
{
	apply_options(apply);
	if (!resume(apply))
		return false;
	if (apply->dry_run)
		return true;
	return settle(&apply->admin) && findings_movable(&apply->admin);
}

static int move(struct apply *apply, const struct plan *plan)
{
	struct move_totals totals;
	int64_t start = now_ms();
	size_t count;
	struct move_task *task = plan_tasks(plan, &apply->admin.view, &count);
	bool ok;

	if (apply->unfinished)
		unfinished_keep(apply->unfinished, plan, &apply->admin.view);
	ok = move_run(&apply->admin, task, count, &apply->move, &totals);
	if (apply->unfinished && !totals.left)
		unfinished_drop(apply->unfinished);
	if (ok && !apply->json)
		printf("moved %zu slots with %llu keys in %.1f s; all nodes agree\n", totals.slots, totals.keys,
		       (double)(now_ms() - start) / 1000);
	free(task);
	return ok ? CLI_OK : CLI_FAILED;
}

int apply_plan(struct apply *apply, const struct plan *plan)
{
	size_t count = plan_count(plan);

	if (apply->json)
		show_json(plan_json(plan, &apply->admin.view));
	else
		plan_print(plan, &apply->admin.view);
	fflush(stdout);
	if (apply->dry_run)
		return CLI_OK;
	if (!count) {
		if (!apply->json)
			printf("nothing is to be moved\n");
		return CLI_OK;
	}
	if (!question_yes(apply->admin.yes, "Move these %zu slots?", count))
		return CLI_FAILED;
	return move(apply, plan);
}

int apply_file(struct apply *apply)
{
	struct plan *plan = allocate(1, sizeof(*plan));
	int status = CLI_FAILED;

	if (plan_read(plan, &apply->admin.view, apply->plan))
		status = apply_plan(apply, plan);
	free(plan);
	return status;
}
