/* SPDX-License-Identifier: MIT */
/* Which slots the servers can move by themselves. */
#include "atomic.h"

#include <stdlib.h>

#include "cli.h"
#include "migration.h"
#include "text.h"

static bool eligible(const struct atomic *atomic, const struct move_task *task)
{
	return task->kind == MOVE_OWNED && task->source != task->target && !atomic->open[task->slot];
}

static void gather(struct atomic *atomic)
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

void atomic_find_pairs(struct atomic *atomic)
{
	gather(atomic);
	if (atomic->count)
		find_families(atomic);
	keep_able(atomic);
}
