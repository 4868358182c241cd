/* SPDX-License-Identifier: MIT */
/*
 * The steps of one slot: what it asks in each stage, and which stage follows
 * which answer.
 */
#include <string.h>

#include "move_job.h"
#include "wait.h"

#define LIST "5000"      /* keys that are listed at once */
#define PASSING_MS 20000 /* longer than a failover with the usual node-timeout */

/* ---- a round: the questions ---- */

static void ask_words(struct move *move, size_t job, int node, const char *const words[], int count)
{
	struct ask *ask = move_ask(move, job, node);

	ask->argc = count;
	memcpy(ask->argv, words, (size_t)count * sizeof(*words));
}

static void ask_list(struct move *move, size_t job)
{
	const char *words[] = {"CLUSTER", "GETKEYSINSLOT", move->job[job].slot, LIST};

	ask_words(move, job, move->job[job].task->source, words, 4);
}

static void ask_set(struct move *move, size_t job, int node, const char *what, int peer)
{
	const char *words[] = {"CLUSTER", "SETSLOT", move->job[job].slot, what, peer < 0 ? NULL : move_node(move, peer)->id};

	ask_words(move, job, node, words, peer < 0 ? 4 : 5);
}

static void ask_others(struct move *move, size_t job)
{
	const struct move_task *task = move->job[job].task;

	for (size_t i = 0; i < move->admin->view.count; i++)
		if (view_is_master(move_node(move, (int)i)) && (int)i != task->source && (int)i != task->target)
			ask_set(move, job, (int)i, "NODE", task->target);
}

static void ask_keys(struct move *move, size_t index)
{
	struct job *job = &move->job[index];

	if (move->failed || interrupted())
		job->stage = STAGE_DROPPED;
	else if (keys_send(move, index) && job->next == job->list->len)
		ask_list(move, index);
}

void step_ask(struct move *move, size_t index)
{
	const struct move_task *task = move->job[index].task;

	switch (move->job[index].stage) {
	case STAGE_LIST:
	case STAGE_AGAIN:
		ask_list(move, index);
		return;
	case STAGE_LEAVE:
	case STAGE_NODE_SOURCE:
		ask_set(move, index, task->source, "NODE", task->target);
		return;
	case STAGE_IMPORTING:
		if (task->kind == MOVE_OWNED)
			ask_set(move, index, task->target, "IMPORTING", task->source);
		else
			ask_set(move, index, task->source, "IMPORTING", task->target);
		return;
	case STAGE_MIGRATING:
		ask_set(move, index, task->source, "MIGRATING", task->target);
		if (!move->job[index].list)
			ask_list(move, index);
		return;
	case STAGE_KEYS:
		ask_keys(move, index);
		return;
	case STAGE_STABLE:
		ask_set(move, index, task->source, "STABLE", -1);
		return;
	case STAGE_NODE_TARGET:
		ask_set(move, index, task->target, "NODE", task->target);
		return;
	case STAGE_NODE_OTHERS:
		ask_others(move, index);
		return;
	default:
		return;
	}
}

/* ---- a round: the answers ---- */

/* After the last key: a source that is no owner is made stable, or told, as it needs. */
static enum stage after_keys(const struct job *job)
{
	return job->task->kind == MOVE_LEFTOVER ? STAGE_STABLE : STAGE_NODE_TARGET;
}

static void listed(struct move *move, struct job *job, const struct ask *ask)
{
	const struct move_task *task = job->task;

	/* An empty list means nothing as long as the source does not say that it is migrating: keys may come yet. */
	if (job->stage == STAGE_MIGRATING)
		return;
	if (!ask->reply || !keys_take_list(job, ask->reply)) {
		move_fail(move, job, task->source, "CLUSTER GETKEYSINSLOT", ask->reply ? "not a list" : ask->error);
		return;
	}
	if (job->stage == STAGE_LIST && task->kind == MOVE_OWNED)
		job->stage = STAGE_IMPORTING;
	else if (job->stage == STAGE_LIST && task->kind == MOVE_LEFTOVER)
		job->stage = STAGE_LEAVE;
	else
		job->stage = job->list ? STAGE_KEYS : after_keys(job);
}

/* What follows a SETSLOT that was done. */
static void was_set(struct job *job)
{
	switch (job->stage) {
	case STAGE_LEAVE:
		job->stage = job->list ? STAGE_IMPORTING : STAGE_STABLE;
		return;
	case STAGE_IMPORTING:
		job->stage = job->task->kind == MOVE_OWNED ? STAGE_MIGRATING : STAGE_KEYS;
		return;
	case STAGE_STABLE:
		job->stage = STAGE_NODE_TARGET;
		return;
	case STAGE_NODE_TARGET:
		job->stage = job->task->kind == MOVE_LEFTOVER ? STAGE_NODE_OTHERS : STAGE_NODE_SOURCE;
		return;
	case STAGE_NODE_SOURCE:
		job->stage = STAGE_NODE_OTHERS;
		return;
	case STAGE_MIGRATING:
		job->stage = job->list ? STAGE_KEYS : STAGE_AGAIN; /* the list is behind it already */
		return;
	default: /* NODE_OTHERS: see run_round() */
		return;
	}
}

/* A master that lost its last slot makes itself a replica of who got it: it knows all that it was to be told. */
static bool is_demoted(const struct job *job, const struct ask *ask)
{
	return (job->stage == STAGE_NODE_SOURCE || job->stage == STAGE_DONE) && strstr(ask->error, "only with masters");
}

/* A cluster that is down for a moment, a node that restarts, an answer that was lost. */
static bool is_passing(const struct ask *ask)
{
	static const char *const words[] = {"IOERR", "TRYAGAIN", "LOADING", "REDIRECT", "CLUSTERDOWN", "BUSY "};

	if (ask->code != SHARD_ESERVER)
		return ask->code == SHARD_ECONNECT || ask->code == SHARD_ETIMEDOUT || ask->code == SHARD_EUNKNOWN;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strstr(ask->error, words[i]))
			return true;
	return false;
}

/* Whether the question is to be asked again: all of them may be, for keys are listed anew after a MIGRATE. */
static bool try_again(struct move *move, struct job *job, const struct ask *ask)
{
	if (ask->reply || !is_passing(ask) || move->failed || interrupted())
		return false;
	if (!job->since_ms)
		job->since_ms = now_ms();
	if (now_ms() - job->since_ms > PASSING_MS)
		return false;
	move->hindered = true;
	if (job->stage == STAGE_DONE)
		job->stage = STAGE_NODE_OTHERS;
	else if (job->stage == STAGE_KEYS)
		job->stage = STAGE_AGAIN;
	return true;
}

static void answered(struct move *move, struct job *job, const struct ask *ask)
{
	const char *what = ask->lens ? "MIGRATE" : ask->argv[1];

	if (job->stage == STAGE_DROPPED || try_again(move, job, ask))
		return;
	if (ask->lens)
		keys_answered(move, job, ask);
	else if (!strcmp(what, "GETKEYSINSLOT"))
		listed(move, job, ask);
	else if (!ask->reply && !is_demoted(job, ask))
		move_fail(move, job, (int)ask->node, ask->argv[3], ask->error);
	else
		was_set(job);
}

void step_answers(struct move *move)
{
	for (size_t i = 0; i < move->ask_count; i++) {
		answered(move, &move->job[move->ask_job[i]], &move->ask[i]);
		keys_free_ask(&move->ask[i]);
	}
	ask_finish(move->ask, move->ask_count);
	move->ask_count = 0;
	move->migrates = false;
}
