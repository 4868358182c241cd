/* SPDX-License-Identifier: MIT */
#include "spread.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define SAME_HOST 10000
#define SWAPS 200 /* tries for each node */

/* One node of each host in turn, so that neighbours are on different hosts. */
static void interleave(const char *const host[], size_t count, size_t order[])
{
	bool *taken = allocate(count, sizeof(*taken));
	size_t placed = 0;

	while (placed < count) {
		size_t round = placed;

		for (size_t i = 0; i < count; i++) {
			bool seen = taken[i];

			for (size_t j = round; j < placed && !seen; j++)
				seen = !strcmp(host[order[j]], host[i]);
			if (seen)
				continue;
			taken[i] = true;
			order[placed++] = i;
		}
	}
	free(taken);
}

static unsigned long score_of(const char *const host[], size_t count, const int master[], size_t replica)
{
	unsigned long siblings = 0, score = !strcmp(host[replica], host[master[replica]]) ? SAME_HOST : 0;

	for (size_t i = 0; i < count; i++)
		siblings += i != replica && master[i] == master[replica] && !strcmp(host[i], host[replica]);
	return score + (siblings ? 1 : 0); /* all of a group together: its size */
}

unsigned long spread_score(const char *const host[], size_t count, const int master[])
{
	unsigned long score = 0;

	for (size_t i = 0; i < count; i++)
		if (master[i] >= 0)
			score += score_of(host, count, master, i);
	return score;
}

/* The first replica that is left and stands on another host than MASTER and its replicas; else just on another. */
static size_t pick(const char *const host[], const size_t order[], size_t count, size_t masters, const int master[],
		   int for_master)
{
	size_t best = count;
	unsigned long best_score = 0;

	for (size_t i = masters; i < count; i++) {
		unsigned long score = !strcmp(host[order[i]], host[for_master]) ? SAME_HOST : 0;

		if (master[order[i]] >= 0)
			continue;
		for (size_t j = masters; j < count; j++)
			score += master[order[j]] == for_master && !strcmp(host[order[j]], host[order[i]]);
		if (best == count || score < best_score) {
			best = i;
			best_score = score;
		}
	}
	return order[best];
}

/* A generator of its own: a plan that is shown twice is the same twice. */
static size_t draw(uint64_t *state, size_t below)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(*state >> 33) % below;
}

/* Replicas change their masters as long as that makes nothing worse. */
static void improve(const char *const host[], const size_t order[], size_t count, size_t masters, int master[])
{
	unsigned long score = spread_score(host, count, master);
	unsigned long before = score;
	size_t replicas = count - masters;
	int *first = memcpy(allocate(count, sizeof(*first)), master, count * sizeof(*first));
	uint64_t state = 1;

	for (size_t try = 0; try < SWAPS * replicas && replicas > 1 && score; try++) {
		size_t a = order[masters + draw(&state, replicas)], b = order[masters + draw(&state, replicas)];
		int kept = master[a];
		unsigned long after;

		master[a] = master[b];
		master[b] = kept;
		after = spread_score(host, count, master);
		if (after <= score) {
			score = after;
			continue;
		}
		master[b] = master[a];
		master[a] = kept;
	}
	if (score == before)
		memcpy(master, first, count * sizeof(*first)); /* the plain order is the one to read */
	free(first);
}

void spread_nodes(const char *const host[], size_t count, size_t masters, size_t order[], int master[])
{
	interleave(host, count, order);
	for (size_t i = 0; i < count; i++)
		master[i] = -1;
	for (size_t i = masters; i < count; i++) {
		int to = (int)order[(i - masters) % masters];

		master[pick(host, order, count, masters, master, to)] = to;
	}
	improve(host, order, count, masters, master);
}
