/* SPDX-License-Identifier: MIT */
/*
 * Slots that the servers move by themselves, where both nodes of a pair can: one command for all slots of the pair, to
 * the source (Valkey's CLUSTER MIGRATESLOTS) or to the target (Redis' CLUSTER MIGRATION IMPORT), then questions how it
 * goes. The owner changes for all slots at once; until then they are the source's, whatever happens.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "keys.h"
#include "migration.h"
#include "move_job.h"
#include "text.h"
#include "wait.h"

#define POLL_MS 100
#define SILENT_MS 20000 /* as long as the slots' own steps wait for what passes by itself */
#define FAILED_MS 3000  /* a target may try again by itself what failed */
#define CANCEL_MS 10000

enum family { BY_NONE, BY_SOURCE, BY_TARGET };

enum pair_stage { PAIR_WAITS, PAIR_RUNS, PAIR_ENDED };

struct pair {
	int source, target;
	enum family family;
	enum pair_stage stage;
	size_t first, last; /* of the move's tasks, those that are the pair's; some of them may be open */
	size_t slots;
	long long keys;
	bool mine[SHARD_SLOTS];
	char *id;            /* by the target: the task's */
	shard_reply *before; /* by the source: the migrations that were there */
	int64_t silent_ms, failed_ms; /* since when; 0: not */
};

struct atomic {
	struct move *move;
	enum family *family; /* of each node */
	bool *open;          /* slots that were begun the other way */
	struct pair *pair;
	size_t count;
	int64_t cancelled_ms; /* 0: not */
};

/* ---- which slots, and who can ---- */

static bool eligible(const struct atomic *atomic, const struct move_task *task)
{
	return task->kind == MOVE_OWNED && task->source != task->target && !atomic->open[task->slot];
}

static void find_pairs(struct atomic *atomic)
{
	const struct move *move = atomic->move;
	struct pair *pair = NULL;

	for (size_t i = 0; i < move->count; i++) {
		const struct move_task *task = &move->task[i];

		if (!eligible(atomic, task))
			continue;
		if (!pair || pair->source != task->source || pair->target != task->target) {
			atomic->pair = cli_realloc(atomic->pair, (atomic->count + 1) * sizeof(*atomic->pair));
			pair = &atomic->pair[atomic->count++];
			*pair = (struct pair){.source = task->source, .target = task->target, .first = i};
		}
		pair->mine[task->slot] = true;
		pair->slots++;
		pair->last = i;
	}
}

static bool takes_part(const struct atomic *atomic, int node)
{
	for (size_t i = 0; i < atomic->count; i++)
		if (atomic->pair[i].source == node || atomic->pair[i].target == node)
			return true;
	return false;
}

/* What somebody else has under way would be mistaken for ours, and cancelled with it. */
static bool is_idle(struct move *move, int node, const shard_reply *reply)
{
	for (size_t i = 0; i < migration_count(reply); i++) {
		struct migration seen = migration_at(reply, i);

		if (seen.state != MIGRATION_RUNS)
			continue;
		cli_error("%s: a migration of slots is under way already (%s, %s): it must end, or be cancelled, first",
			  move_node(move, node)->addr, *seen.id ? seen.id : "no name",
			  *seen.state_name ? seen.state_name : "no state");
		move->failed = true;
		return false;
	}
	return true;
}

/* Found by trying: who has no such command answers with an error. */
static void find_families(struct atomic *atomic)
{
	static const struct ask by_source = {.argc = 2, .argv = {"CLUSTER", "GETSLOTMIGRATIONS"}};
	static const struct ask by_target = {.argc = 4, .argv = {"CLUSTER", "MIGRATION", "STATUS", "ALL"}};
	struct move *move = atomic->move;
	size_t nodes = move->admin->view.count, asked = 0;
	struct ask *ask = allocate(2 * nodes, sizeof(*ask));

	for (int node = 0; node < (int)nodes; node++)
		for (int way = 0; way < 2 && takes_part(atomic, node); way++, asked++) {
			ask[asked] = way ? by_target : by_source;
			ask[asked].node = (unsigned)node;
			ask[asked].to = move_node(move, node)->addr;
		}
	ask_all(move->admin->client, NULL, ask, asked, move->admin->timeout_ms);
	for (size_t i = 0; i < asked && !move->failed; i++)
		if (ask[i].reply && ask[i].reply->type == SHARD_REPLY_ARRAY &&
		    is_idle(move, (int)ask[i].node, ask[i].reply))
			atomic->family[ask[i].node] = i % 2 ? BY_TARGET : BY_SOURCE;
	ask_finish(ask, asked);
	free(ask);
}

static void keep_able(struct atomic *atomic)
{
	size_t kept = 0;

	for (size_t i = 0; i < atomic->count; i++) {
		struct pair *pair = &atomic->pair[i];

		pair->family = atomic->family[pair->source];
		if (pair->family != BY_NONE && pair->family == atomic->family[pair->target])
			atomic->pair[kept++] = *pair;
	}
	atomic->count = kept;
}

/* ---- a pair begins ---- */

static void fail(struct atomic *atomic, struct pair *pair, const char *what, const char *why)
{
	struct move *move = atomic->move;

	cli_error("%s to %s, %zu slots from %u to %u: %s: %s", move_node(move, pair->source)->addr,
		  move_node(move, pair->target)->addr, pair->slots, move->task[pair->first].slot,
		  move->task[pair->last].slot, what, *why ? why : "no reason was told");
	pair->stage = PAIR_ENDED;
	move->failed = true;
}

static void mark(struct atomic *atomic, const struct pair *pair, bool begun)
{
	for (size_t i = pair->first; i <= pair->last; i++)
		if (pair->mine[atomic->move->task[i].slot])
			atomic->move->begun[i] = begun;
}

static void count_keys(struct atomic *atomic, struct pair *pair)
{
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));

	if (!keys_count_of(atomic->move->admin, (unsigned)pair->source, pair->mine, keys))
		atomic->move->failed = true;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		pair->keys += keys[slot];
	free(keys);
}

/* The runs of the pair's slots, as words behind COUNT others. Returns how many words there are. */
static int add_ranges(const struct pair *pair, const char *words[], int count, char (*number)[8])
{
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		last = first;
		if (!pair->mine[first])
			continue;
		while (last + 1 < SHARD_SLOTS && pair->mine[last + 1])
			last++;
		snprintf(number[first], sizeof(*number), "%u", first);
		words[count++] = number[first];
		snprintf(number[last], sizeof(*number), "%u", last);
		words[count++] = number[last];
	}
	return count;
}

static int words_of(const struct atomic *atomic, const struct pair *pair, const char *words[], char (*number)[8])
{
	int count = 0;

	words[count++] = "CLUSTER";
	words[count++] = pair->family == BY_SOURCE ? "MIGRATESLOTS" : "MIGRATION";
	words[count++] = pair->family == BY_SOURCE ? "SLOTSRANGE" : "IMPORT";
	count = add_ranges(pair, words, count, number);
	if (pair->family == BY_SOURCE) {
		words[count++] = "NODE";
		words[count++] = move_node(atomic->move, pair->target)->id;
	}
	return count;
}

static bool is_unknown(const char *error)
{
	return strcasestr(error, "unknown subcommand") || strcasestr(error, "unknown command");
}

static void begun(struct atomic *atomic, struct pair *pair, struct ask *ask)
{
	const char *what = pair->family == BY_SOURCE ? "CLUSTER MIGRATESLOTS" : "CLUSTER MIGRATION IMPORT";

	if (!ask->reply && is_unknown(ask->error)) {
		mark(atomic, pair, false);
		pair->stage = PAIR_ENDED;
	} else if (!ask->reply) {
		fail(atomic, pair, what, ask->error);
	} else if (pair->family == BY_TARGET) {
		bool named = ask->reply->type == SHARD_REPLY_STRING || ask->reply->type == SHARD_REPLY_STATUS;

		pair->id = named ? text("%s", ask->reply->str) : NULL;
		if (!named)
			fail(atomic, pair, what, "the answer is not the name of a task");
	}
}

static void begin(struct atomic *atomic, struct pair *pair)
{
	struct move *move = atomic->move;
	const char **words = allocate(SHARD_SLOTS + 8, sizeof(*words));
	/* A slot by itself is first and last. */
	char(*number)[8] = allocate(SHARD_SLOTS, sizeof(*number));
	struct ask ask[2] = {{.argc = 2, .argv = {"CLUSTER", "GETSLOTMIGRATIONS"}}, {.words = words}};
	bool by_source = pair->family == BY_SOURCE;

	count_keys(atomic, pair);
	if (!move->failed) {
		pair->stage = PAIR_RUNS;
		mark(atomic, pair, true);
		ask[1].argc = words_of(atomic, pair, words, number);
		ask[0].to = ask[1].to = move_node(move, by_source ? pair->source : pair->target)->addr;
		ask_all(move->admin->client, NULL, ask + !by_source, 1 + by_source, move->admin->timeout_ms);
		begun(atomic, pair, &ask[1]);
		pair->before = ask[0].reply;
		ask[0].reply = NULL;
		ask_finish(ask, 2);
	}
	free(number);
	free(words);
}

/* No node is source and target at once; a target that fetches has one source at a time, and that one target. */
static bool may_begin(const struct atomic *atomic, const struct pair *pair)
{
	for (size_t i = 0; i < atomic->count; i++) {
		const struct pair *other = &atomic->pair[i];

		if (other->stage != PAIR_RUNS)
			continue;
		if (other->source == pair->target || other->target == pair->source)
			return false;
		if (pair->family == BY_TARGET && (other->source == pair->source || other->target == pair->target))
			return false;
	}
	return true;
}

static void begin_more(struct atomic *atomic)
{
	for (size_t i = 0; i < atomic->count && !atomic->move->failed && !interrupted(); i++)
		if (atomic->pair[i].stage == PAIR_WAITS && may_begin(atomic, &atomic->pair[i]))
			begin(atomic, &atomic->pair[i]);
}

/* ---- how it goes ---- */

static struct ask question(const struct atomic *atomic, const struct pair *pair, bool cancel)
{
	struct ask ask = {.to = move_node(atomic->move, pair->family == BY_SOURCE ? pair->source : pair->target)->addr};
	const char *by_source[] = {"CLUSTER", cancel ? "CANCELSLOTMIGRATIONS" : "GETSLOTMIGRATIONS"};
	const char *by_target[] = {"CLUSTER", "MIGRATION", cancel ? "CANCEL" : "STATUS", "ID", pair->id};

	ask.argc = pair->family == BY_SOURCE ? 2 : 5;
	memcpy(ask.argv, pair->family == BY_SOURCE ? by_source : by_target, (size_t)ask.argc * sizeof(*ask.argv));
	return ask;
}

static bool is_ours(const struct atomic *atomic, const struct pair *pair, const struct migration *seen)
{
	if (pair->family == BY_TARGET)
		return !*seen->id || !strcmp(seen->id, pair->id);
	return !seen->imports && !(pair->before && migration_known(pair->before, seen->id)) &&
	       (!*seen->target || !strcmp(seen->target, move_node(atomic->move, pair->target)->id)) &&
	       migration_within(seen, pair->mine);
}

/* The pair's own, of all that are told: one that runs, else one that failed, else one that is done. False: none. */
static bool find(const struct atomic *atomic, const struct pair *pair, const shard_reply *reply, struct migration *found)
{
	bool any = false;

	for (size_t i = 0; i < migration_count(reply); i++) {
		struct migration seen = migration_at(reply, i);

		if (!is_ours(atomic, pair, &seen))
			continue;
		if (!any || seen.state == MIGRATION_RUNS ||
		    (found->state == MIGRATION_DONE && seen.state != MIGRATION_DONE))
			*found = seen;
		any = true;
	}
	return any;
}

static void cancel(struct atomic *atomic, struct pair *pair)
{
	struct ask ask = question(atomic, pair, true);

	ask_all(atomic->move->admin->client, NULL, &ask, 1, atomic->move->admin->timeout_ms);
	ask_finish(&ask, 1);
}

static void done(struct atomic *atomic, struct pair *pair)
{
	pair->stage = PAIR_ENDED;
	atomic->move->totals->slots += pair->slots;
	atomic->move->totals->keys += (unsigned long long)pair->keys;
	move_show(atomic->move);
}

/* A source gives a migration up that failed; a target may go on with it, and must not do so behind our back. */
static void failed(struct atomic *atomic, struct pair *pair, const char *why)
{
	if (pair->family == BY_TARGET) {
		if (!pair->failed_ms)
			pair->failed_ms = now_ms();
		if (now_ms() - pair->failed_ms < FAILED_MS)
			return;
		cancel(atomic, pair);
	}
	fail(atomic, pair, "the migration failed", why);
}

static void silent(struct atomic *atomic, struct pair *pair, const char *why)
{
	if (!pair->silent_ms)
		pair->silent_ms = now_ms();
	if (now_ms() - pair->silent_ms >= SILENT_MS)
		fail(atomic, pair, "whether the migration goes on is not known", why);
}

static void look(struct atomic *atomic, struct pair *pair, const struct ask *ask)
{
	struct migration seen;

	if (!ask->reply || !find(atomic, pair, ask->reply, &seen)) {
		silent(atomic, pair, ask->reply ? "the node does not tell of it" : ask->error);
		return;
	}
	pair->silent_ms = 0;
	if (seen.state == MIGRATION_DONE)
		done(atomic, pair);
	else if (seen.state == MIGRATION_FAILED)
		failed(atomic, pair, seen.why);
	else if (seen.state == MIGRATION_CANCELLED && atomic->cancelled_ms)
		pair->stage = PAIR_ENDED;
	else if (seen.state == MIGRATION_CANCELLED)
		fail(atomic, pair, "the migration was cancelled", seen.why);
}

/* Looks at all that run, at once. */
static void look_all(struct atomic *atomic)
{
	struct ask *ask = allocate(atomic->count, sizeof(*ask));
	size_t asked = 0;

	for (size_t i = 0; i < atomic->count; i++)
		if (atomic->pair[i].stage == PAIR_RUNS)
			ask[asked++] = question(atomic, &atomic->pair[i], false);
	ask_all(atomic->move->admin->client, NULL, ask, asked, atomic->move->admin->timeout_ms);
	for (size_t i = 0, next = 0; i < atomic->count; i++)
		if (atomic->pair[i].stage == PAIR_RUNS)
			look(atomic, &atomic->pair[i], &ask[next++]);
	ask_finish(ask, asked);
	free(ask);
}

/* After an interrupt: what can be is cancelled, and looked at until it says so, or was done before. */
static void stop(struct atomic *atomic)
{
	if (!atomic->cancelled_ms) {
		atomic->cancelled_ms = now_ms();
		for (size_t i = 0; i < atomic->count; i++)
			if (atomic->pair[i].stage == PAIR_RUNS)
				cancel(atomic, &atomic->pair[i]);
		return;
	}
	for (size_t i = 0; i < atomic->count && now_ms() - atomic->cancelled_ms > CANCEL_MS; i++)
		if (atomic->pair[i].stage == PAIR_RUNS)
			fail(atomic, &atomic->pair[i], "the migration", "goes on, though it was cancelled");
}

static bool any(const struct atomic *atomic, enum pair_stage stage)
{
	for (size_t i = 0; i < atomic->count; i++)
		if (atomic->pair[i].stage == stage)
			return true;
	return false;
}

static void run(struct atomic *atomic)
{
	for (;;) {
		begin_more(atomic);
		if (!any(atomic, PAIR_RUNS))
			return; /* none waits either, or none may begin any more */
		look_all(atomic);
		if (interrupted())
			stop(atomic);
		if (any(atomic, PAIR_RUNS))
			poll(NULL, 0, POLL_MS);
	}
}

void atomic_run(struct move *move)
{
	const struct view *view = &move->admin->view;
	struct atomic atomic = {
		.move = move,
		.family = allocate(view->count + 1, sizeof(enum family)),
		.open = allocate(SHARD_SLOTS, sizeof(bool)),
	};

	for (size_t i = 0; i < view->open_count; i++)
		atomic.open[view->open[i].slot] = true;
	find_pairs(&atomic);
	if (atomic.count)
		find_families(&atomic);
	keep_able(&atomic);
	if (!move->failed && atomic.count)
		run(&atomic);
	for (size_t i = 0; i < atomic.count; i++) {
		free(atomic.pair[i].id);
		shard_reply_free(atomic.pair[i].before);
	}
	free(atomic.pair);
	free(atomic.open);
	free(atomic.family);
}
