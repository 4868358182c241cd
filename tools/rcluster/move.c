/* SPDX-License-Identifier: MIT */
#include "move.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "keys.h"
#include "move_job.h"
#include "question.h"
#include "text.h"
#include "wait.h"

#define BATCH 50      /* slots that are opened together, per pair of nodes */
#define VERIFY_MS 15000
#define IDLE_MS 5
#define HINDERED_MS 50

const struct view_node *move_node(const struct move *move, int node)
{
	return &move->admin->view.node[node];
}

struct ask *move_ask(struct move *move, size_t job, int node)
{
	struct ask *ask;

	if (move->ask_count == move->ask_room) {
		move->ask_room = move->ask_room ? 2 * move->ask_room : 256;
		move->ask = cli_realloc(move->ask, move->ask_room * sizeof(*move->ask));
		move->ask_job = cli_realloc(move->ask_job, move->ask_room * sizeof(*move->ask_job));
	}
	ask = &move->ask[move->ask_count];
	move->ask_job[move->ask_count++] = job;
	*ask = (struct ask){.node = (unsigned)node, .to = move_node(move, node)->addr};
	return ask;
}

void move_fail(struct move *move, struct job *job, int node, const char *what, const char *why)
{
	if (job->stage != STAGE_DROPPED)
		cli_error("%s, slot %s: %s: %s", move_node(move, node)->addr, job->slot, what, why);
	job->stage = STAGE_DROPPED;
	move->failed = true;
}

/* ---- which slots are under way ---- */

static bool same_pair(const struct move_task *a, const struct move_task *b)
{
	return a->source == b->source && a->target == b->target;
}

/* No node is source and target at once. */
static bool may_begin(const struct move *move, const struct move_task *task)
{
	for (size_t i = 0; i < move->job_count; i++)
		if (move->job[i].task->source == task->target || move->job[i].task->target == task->source)
			return false;
	return true;
}

static size_t under_way(const struct move *move, const struct move_task *task)
{
	size_t count = 0;

	for (size_t i = 0; i < move->job_count; i++)
		count += same_pair(move->job[i].task, task);
	return count;
}

static void begin(struct move *move, size_t index)
{
	struct job *job;

	if (move->job_count == move->job_room) {
		move->job_room = move->job_room ? 2 * move->job_room : 128;
		move->job = cli_realloc(move->job, move->job_room * sizeof(*move->job));
	}
	job = &move->job[move->job_count++];
	*job = (struct job){.task = &move->task[index], .stage = STAGE_LIST};
	if (job->task->source == job->task->target)
		job->stage = STAGE_STABLE; /* it only has the slot open */
	snprintf(job->slot, sizeof(job->slot), "%u", move->task[index].slot);
	move->begun[index] = true;
}

/* A batch more of this pair. */
static void begin_batch(struct move *move, size_t first)
{
	size_t begun = 0;

	for (size_t i = first; i < move->count && begun < BATCH; i++) {
		if (move->begun[i] || !same_pair(&move->task[i], &move->task[first]))
			continue;
		begin(move, i);
		begun++;
	}
}

/* One batch of a pair is being finished while the next one begins. */
static void begin_more(struct move *move)
{
	if (move->failed || interrupted())
		return;
	for (size_t i = 0; i < move->count; i++) {
		const struct move_task *task = &move->task[i];
		bool seen = move->begun[i];

		/* Tasks come sorted by pair and slot: one look at the first of each run is enough. */
		if (seen || (i && !move->begun[i - 1] && same_pair(task, &move->task[i - 1])))
			continue;
		if (may_begin(move, task) && under_way(move, task) <= BATCH)
			begin_batch(move, i);
	}
}

/* ---- rounds ---- */

static unsigned long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long long)now.tv_sec * 1000000 + (unsigned long long)now.tv_nsec / 1000;
}

/* Slots whose keys were just listed: their sizes, and what is too big to go unasked. */
static void survey(struct move *move)
{
	static const enum stage listed_in[] = {STAGE_IMPORTING, STAGE_LEAVE, STAGE_KEYS};

	for (size_t s = 0; s < sizeof(listed_in) / sizeof(*listed_in); s++) {
		keys_measure(move, listed_in[s]);
		for (size_t i = 0; i < move->job_count; i++) {
			struct job *job = &move->job[i];

			if (job->stage == listed_in[s] && job->list && !job->next && !move->big_allowed && keys_hold_big(move, job))
				job->stage = STAGE_ASIDE;
		}
	}
}

static void settle(struct move *move)
{
	for (size_t i = 0; i < move->job_count; i++)
		if (move->job[i].busy && move->job[i].stage == STAGE_KEYS)
			same_settle(move, &move->job[i]);
}

static void set_aside(struct move *move, const struct job *job)
{
	move->aside = cli_realloc(move->aside, (move->aside_count + 1) * sizeof(*move->aside));
	move->aside[move->aside_count++] = *job;
}

static void sweep(struct move *move)
{
	size_t kept = 0;

	for (size_t i = 0; i < move->job_count; i++) {
		struct job *job = &move->job[i];

		if (job->stage == STAGE_ASIDE) {
			set_aside(move, job);
		} else if (job->stage == STAGE_DONE || job->stage == STAGE_DROPPED) {
			move->totals->slots += job->stage == STAGE_DONE;
			keys_drop_list(job);
		} else {
			move->job[kept++] = *job;
		}
	}
	move->job_count = kept;
}

/* An interrupt, or a failure elsewhere: what has not been opened is left, what holds no more keys is finished. */
static void drop_unopened(struct move *move)
{
	if (!move->failed && !interrupted())
		return;
	for (size_t i = 0; i < move->job_count; i++)
		if (move->job[i].stage <= STAGE_MIGRATING)
			move->job[i].stage = STAGE_DROPPED;
}

static unsigned round_ms(const struct move *move)
{
	unsigned migrate_ms = move->options->migrate_ms ? move->options->migrate_ms : 60000;

	return move->admin->timeout_ms + (move->migrates ? 2 * migrate_ms : 0);
}

void move_show(struct move *move)
{
	const unsigned slot_weight = 20; /* keys that take as long as a slot without any */

	progress_show(&move->progress, move->totals->keys, move->totals->keys + slot_weight * move->totals->slots,
		      move->keys_whole + slot_weight * move->count);
}

static void run_round(struct move *move)
{
	unsigned long long start;

	drop_unopened(move);
	for (size_t i = 0; i < move->job_count; i++)
		step_ask(move, i);
	for (size_t i = 0; i < move->job_count; i++)
		if (move->job[i].stage == STAGE_NODE_OTHERS)
			move->job[i].stage = STAGE_DONE; /* unless an answer says otherwise */
	if (!move->ask_count) {
		sweep(move);
		if (move->job_count)
			pause_ms(IDLE_MS); /* a limit holds it back */
		return;
	}
	start = now_us();
	ask_all(move->admin->client, NULL, move->ask, move->ask_count, round_ms(move));
	if (move->migrates)
		keys_learn(move, now_us() - start);
	step_answers(move);
	settle(move);
	survey(move);
	sweep(move);
	move_show(move);
	if (move->hindered)
		pause_ms(HINDERED_MS);
	move->hindered = false;
}

static void run(struct move *move)
{
	for (;;) {
		begin_more(move);
		if (!move->job_count)
			return;
		run_round(move);
	}
}

/* ---- big keys ---- */

static void list_big(const struct move *move, const struct job *job)
{
	char shown[200];

	for (size_t i = 0; i < job->list->len; i++) {
		if (job->size[i] <= (move->options->big_bytes ? move->options->big_bytes : 16ll << 20))
			continue;
		cli_show(job->list->element[i].str, job->list->element[i].len, shown, sizeof(shown));
		cli_error("a big key: \"%s\", about %lld MB, slot %s, %s", shown, job->size[i] >> 20, job->slot,
			  move_node(move, job->task->source)->addr);
	}
}

/* Slots that were set aside go on from the beginning, which is right for open ones as well. */
static void run_aside(struct move *move)
{
	size_t count = move->aside_count;

	for (size_t i = 0; i < count; i++) {
		list_big(move, &move->aside[i]);
		keys_drop_list(&move->aside[i]);
	}
	if (!count || move->failed || interrupted())
		return;
	if (!question_yes(move->options->yes,
			  "Each of them blocks its two nodes while it is moved. Move these %zu slots?", count)) {
		move->failed = true;
		return;
	}
	move->big_allowed = true;
	move->aside_count = 0;
	for (size_t i = 0; i < count; i++)
		begin(move, (size_t)(move->aside[i].task - move->task));
	run(move);
}

/* ---- all of it ---- */

struct expected {
	size_t count;
	const struct move_task *task;
	char (*id)[VIEW_ID_SIZE]; /* of each target */
};

static bool all_know(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE])
{
	const struct expected *expected = ctx;

	for (size_t i = 0; i < view->count; i++) {
		const shard_topology *map = view->node[i].map;

		for (size_t t = 0; map && t < expected->count; t++) {
			int owner = shard_topology_owner(map, expected->task[t].slot);

			if (owner >= 0 && !strcmp(shard_topology_node(map, (size_t)owner)->id, expected->id[t]))
				continue;
			snprintf(why, VIEW_WHY_SIZE, "%s does not know yet that slot %u belongs to %.*s",
				 view->node[i].addr, expected->task[t].slot, VIEW_ID_SIZE, expected->id[t]);
			return false;
		}
	}
	return true;
}

static bool verify(struct admin *admin, const struct move_task task[], size_t count)
{
	struct expected expected = {count, task, allocate(count, sizeof(*expected.id))};
	bool ok;

	for (size_t i = 0; i < count; i++)
		memcpy(expected.id[i], admin->view.node[task[i].target].id, VIEW_ID_SIZE);
	ok = admin_wait(admin, all_know, &expected, VERIFY_MS, "the move is done, but not known everywhere");
	free(expected.id);
	return ok;
}

static int by_pair(const void *a, const void *b)
{
	const struct move_task *x = a, *y = b;

	if (x->source != y->source)
		return x->source - y->source;
	return x->target != y->target ? x->target - y->target : x->slot - y->slot;
}

static void count_keys(struct move *move)
{
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));
	int counted = -1;

	for (size_t i = 0; i < move->count; i++) {
		if (move->task[i].source != counted && !keys_count(move->admin, (unsigned)move->task[i].source, keys))
			break;
		counted = move->task[i].source;
		move->keys_whole += (unsigned long long)keys[move->task[i].slot];
	}
	free(keys);
}

static void start_progress(struct move *move)
{
	progress_init(&move->progress, "keys");
	if (!isatty(STDERR_FILENO) || move->options->quiet)
		return;
	move->progress.on = move->progress.eta = true;
	move->progress.started_ms = (uint64_t)now_ms();
	count_keys(move);
}

static void finish(struct move *move)
{
	progress_end(&move->progress);
	for (size_t i = 0; i < move->aside_count; i++)
		keys_drop_list(&move->aside[i]);
	free(move->aside);
	free(move->job);
	free(move->ask);
	free(move->ask_job);
	free(move->begun);
	free(move->pace);
}

bool move_run(struct admin *admin, const struct move_task task[], size_t count, const struct move_options *options,
	      struct move_totals *totals)
{
	struct move_task *sorted = allocate(count + 1, sizeof(*sorted));
	struct move move = {
		.admin = admin,
		.options = options,
		.task = sorted,
		.count = count,
		.totals = totals,
		.begun = allocate(count + 1, sizeof(bool)),
		.pace = allocate(admin->view.count, sizeof(struct pace)),
		.started_ms = now_ms(),
	};
	bool ok;

	*totals = (struct move_totals){0};
	if (count)
		memcpy(sorted, task, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_pair);
	start_progress(&move);
	/* How fast a server moves slots by itself cannot be told to it. */
	if (!options->no_atomic && options->keys_per_s <= 0 && options->bytes_per_s <= 0)
		atomic_run(&move);
	run(&move);
	run_aside(&move);
	totals->left = count - totals->slots;
	ok = !totals->left;
	finish(&move);
	if (!ok && interrupted())
		cli_error("interrupted: %zu slots were moved, %zu are left", totals->slots, totals->left);
	else if (!ok)
		cli_error("%zu slots were moved, %zu are left", totals->slots, totals->left);
	ok = ok && verify(admin, sorted, count);
	free(sorted);
	return ok;
}
