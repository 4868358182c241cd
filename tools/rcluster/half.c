/* SPDX-License-Identifier: MIT */
#include "half.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "keys.h"
#include "text.h"

struct gather {
	const struct admin *admin;
	struct move_task *task;
	size_t count, room;
};

static void add(struct gather *to, unsigned slot, int source, int target, enum move_kind kind)
{
	if (to->count == to->room) {
		to->room = to->room ? 2 * to->room : 64;
		to->task = cli_realloc(to->task, to->room * sizeof(*to->task));
	}
	to->task[to->count++] = (struct move_task){(uint16_t)slot, (int16_t)source, (int16_t)target, kind};
}

static bool claims(const struct view *view, int node, unsigned slot)
{
	const shard_topology *map = view->node[node].map;
	int owner = map && view_is_master(&view->node[node]) ? shard_topology_owner(map, slot) : -1;

	return owner >= 0 && shard_topology_node(map, (size_t)owner)->flags & SHARD_NODE_MYSELF;
}

/* Whom the owner gives the slot to: -1: to nobody. */
static int goal_of(const struct view *view, unsigned slot, int owner)
{
	int importing = -1, importers = 0;

	for (size_t i = 0; i < view->open_count; i++) {
		const struct view_open *open = &view->open[i];

		if (open->slot != slot)
			continue;
		if ((int)open->node == owner && !open->importing)
			return open->peer >= 0 ? open->peer : owner; /* to one that nobody knows: it stays */
		if ((int)open->node != owner && open->importing && open->peer == owner) {
			importing = (int)open->node;
			importers++;
		}
	}
	/* Several that import, and none that it is given to: it stays, and what they hold comes back. */
	return importers == 1 ? importing : -1;
}

static bool has_open(const struct view *view, unsigned slot, int node)
{
	for (size_t i = 0; i < view->open_count; i++)
		if (view->open[i].slot == slot && (int)view->open[i].node == node)
			return true;
	return false;
}

static bool refuse(const struct view *view, unsigned slot, int node)
{
	cli_error("slot %u: %s, which has to do with its move, %s: bring it back first", slot, view->node[node].addr,
		  view_answers(&view->node[node]) ? "is no master" : "does not answer");
	return false;
}

/* HOLDS: keys that a master has of this slot, or NULL. */
static bool gather_slot(struct gather *to, unsigned slot, const bool holds[])
{
	const struct view *view = &to->admin->view;
	int owner = view->owner[slot], goal;

	if (owner < 0)
		return true; /* a slot without an owner: fix.c */
	if (!view_is_master(&view->node[owner]))
		return refuse(view, slot, owner);
	goal = goal_of(view, slot, owner);
	for (int i = 0; i < (int)view->count; i++) {
		if (i == owner || i == goal || !view_is_master(&view->node[i]))
			continue;
		if (claims(view, i, slot))
			add(to, slot, i, owner, MOVE_CLAIMED);
		else if (has_open(view, slot, i) || (holds && holds[i]))
			add(to, slot, i, owner, MOVE_LEFTOVER);
	}
	if (goal >= 0 && goal != owner && !view_is_master(&view->node[goal]))
		return refuse(view, slot, goal);
	if (goal >= 0 && goal != owner)
		add(to, slot, owner, goal, claims(view, goal, slot) ? MOVE_CLAIMED : MOVE_OWNED);
	else if (has_open(view, slot, owner))
		add(to, slot, owner, owner, MOVE_LEFTOVER); /* nothing to move: it is made stable */
	return true;
}

static bool find_holders(const struct admin *admin, bool *holds[SHARD_SLOTS])
{
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));
	bool ok = true;

	for (size_t i = 0; i < admin->view.count && ok; i++) {
		if (!view_is_master(&admin->view.node[i]))
			continue;
		ok = keys_count(admin, (unsigned)i, keys);
		for (unsigned slot = 0; ok && slot < SHARD_SLOTS; slot++) {
			if (!keys[slot] || admin->view.owner[slot] == (int)i)
				continue;
			if (!holds[slot])
				holds[slot] = allocate(admin->view.count, sizeof(bool));
			holds[slot][i] = true;
		}
	}
	free(keys);
	return ok;
}

static bool is_open(const struct view *view, unsigned slot)
{
	for (size_t i = 0; i < view->open_count; i++)
		if (view->open[i].slot == slot)
			return true;
	for (size_t i = 0; i < view->count; i++)
		if ((int)i != view->owner[slot] && claims(view, (int)i, slot))
			return true;
	return false;
}

bool half_plan(const struct admin *admin, bool strays, struct move_task **task, size_t *count)
{
	bool **holds = allocate(SHARD_SLOTS, sizeof(*holds));
	struct gather gather = {.admin = admin};
	bool ok = !strays || find_holders(admin, holds);

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (ok && (holds[slot] || is_open(&admin->view, slot)))
			ok = gather_slot(&gather, slot, holds[slot]);
		free(holds[slot]);
	}
	free(holds);
	*task = gather.task;
	*count = gather.count;
	return ok;
}

void half_print(const struct view *view, const struct move_task task[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *source = view->node[task[i].source].addr, *target = view->node[task[i].target].addr;

		if (task[i].source == task[i].target)
			printf("# slot %u stays with %s\n", task[i].slot, source);
		else if (task[i].kind == MOVE_OWNED)
			printf("# slot %u goes on from %s to %s\n", task[i].slot, source, target);
		else
			printf("# slot %u belongs to %s: what %s holds of it goes there\n", task[i].slot, target, source);
	}
	fflush(stdout);
}

/* The view is a new one after each move_run(), in another order maybe. */
static void follow(struct move_task task[], size_t count, char (*id)[2][VIEW_ID_SIZE], const struct view *view)
{
	for (size_t i = 0; i < count; i++) {
		task[i].source = (int16_t)view_find_id(view, id[i][0]);
		task[i].target = (int16_t)view_find_id(view, id[i][1]);
	}
}

bool half_run(struct admin *admin, const struct move_task task[], size_t count, const struct move_options *options)
{
	struct move_task *rest = allocate(count + 1, sizeof(*rest)), *now = allocate(count + 1, sizeof(*now));
	char(*id)[2][VIEW_ID_SIZE] = allocate(count + 1, sizeof(*id));
	bool *done = allocate(count + 1, sizeof(*done)), ok = true;
	struct move_options how = *options;
	size_t left = count;

	how.no_atomic = true; /* what was begun key by key is ended so */
	if (count)
		memcpy(rest, task, count * sizeof(*rest));
	for (size_t i = 0; i < count; i++) {
		memcpy(id[i][0], admin->view.node[task[i].source].id, VIEW_ID_SIZE);
		memcpy(id[i][1], admin->view.node[task[i].target].id, VIEW_ID_SIZE);
	}
	while (ok && left) {
		bool taken[SHARD_SLOTS] = {false};
		struct move_totals totals;
		size_t n = 0;

		follow(rest, count, id, &admin->view);
		for (size_t i = 0; i < count && ok; i++) {
			if (done[i] || taken[rest[i].slot])
				continue;
			ok = rest[i].source >= 0 && rest[i].target >= 0;
			if (!ok)
				cli_error("slot %u: a node that has to do with its move has left the cluster", rest[i].slot);
			taken[rest[i].slot] = done[i] = true;
			now[n++] = rest[i];
			left--;
		}
		ok = ok && move_run(admin, now, n, &how, &totals);
	}
	free(done);
	free(id);
	free(now);
	free(rest);
	return ok;
}
