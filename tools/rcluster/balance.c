/* SPDX-License-Identifier: MIT */
#include "balance.h"

#include <math.h>
#include <stdlib.h>

#include "text.h"

/* Above its share: positive. */
static double *differences(const struct view *view, const double weight[], const double load[], double *share)
{
	double *over = allocate(view->count, sizeof(*over)), total = 0, weights = 0;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		int owner = view->owner[slot];

		if (owner < 0 || weight[owner] < 0)
			continue;
		over[owner] += load[slot];
		total += load[slot];
	}
	for (size_t i = 0; i < view->count; i++)
		weights += weight[i] > 0 ? weight[i] : 0;
	for (size_t i = 0; i < view->count; i++) {
		share[i] = weight[i] > 0 && weights > 0 ? total * weight[i] / weights : 0;
		over[i] -= share[i];
	}
	return over;
}

static bool is_uneven(const struct view *view, const double weight[], const double over[], const double share[],
		      double threshold)
{
	for (size_t i = 0; i < view->count; i++)
		if (weight[i] >= 0 && fabs(over[i]) > share[i] * threshold / 100 && fabs(over[i]) > 1e-9)
			return true;
	return false;
}

struct heavy {
	unsigned slot;
	double load;
};

static int by_load(const void *a, const void *b)
{
	const struct heavy *x = a, *y = b;

	if (x->load != y->load)
		return x->load < y->load ? 1 : -1;
	return (int)x->slot - (int)y->slot;
}

static int neediest(const struct view *view, const double weight[], const double over[])
{
	int best = -1;

	for (int i = 0; i < (int)view->count; i++)
		if (weight[i] > 0 && (best < 0 || over[i] < over[best]))
			best = i;
	return best;
}

/* The heaviest slots first, as they fit; every one that makes both sides' difference smaller in sum is moved. */
static bool give(struct plan *plan, const struct view *view, const double weight[], const double load[], double over[])
{
	struct heavy *order = allocate(SHARD_SLOTS, sizeof(*order));
	bool any = false;
	size_t count = 0;
	int to = -1;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (view->owner[slot] >= 0 && weight[view->owner[slot]] >= 0)
			order[count++] = (struct heavy){slot, load[slot]};
	qsort(order, count, sizeof(*order), by_load);
	for (size_t i = 0; i < count; i++) {
		int from = view->owner[order[i].slot];
		double half = order[i].load / 2;
		bool emptied = weight[from] <= 0; /* what weighs nothing gives all, slots without load too */

		/* Slots alike go to one receiver as long as it needs some: neighbours stay together. */
		if (to < 0 || !i || order[i].load != order[i - 1].load || half >= -over[to])
			to = neediest(view, weight, over);
		if (from == to || (!emptied && (half >= over[from] || half >= -over[to] || order[i].load <= 0)))
			continue;
		plan->target[order[i].slot] = (int16_t)to;
		over[from] -= order[i].load;
		over[to] += order[i].load;
		any = true;
	}
	free(order);
	return any;
}

bool balance_plan(struct plan *plan, const struct view *view, const double weight[], const double load[],
		  double threshold)
{
	double *share = allocate(view->count, sizeof(*share));
	double *over = differences(view, weight, load, share);
	bool any = false;

	plan_init(plan);
	for (size_t i = 0; i < view->count; i++)
		any = any || (!weight[i] && view->node[i].slots);
	any = (any || is_uneven(view, weight, over, share, threshold)) && give(plan, view, weight, load, over);
	free(over);
	free(share);
	return any;
}
