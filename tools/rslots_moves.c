/* SPDX-License-Identifier: MIT */
#include "rslots_moves.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

#define FIRST_SIZE 256

static struct move *find(const struct moves *moves, int from, int to)
{
	uint64_t mixed = ((uint64_t)(uint32_t)from << 32 | (uint32_t)to) * UINT64_C(0x9e3779b97f4a7c15);
	size_t at = (size_t)(mixed >> 32) & (moves->size - 1);

	while (moves->move[at].count && (moves->move[at].from != from || moves->move[at].to != to))
		at = (at + 1) & (moves->size - 1);
	return &moves->move[at];
}

static void grow(struct moves *moves)
{
	struct moves old = *moves;

	moves->size = old.size ? old.size * 2 : FIRST_SIZE;
	moves->move = cli_alloc(moves->size * sizeof(*moves->move));
	memset(moves->move, 0, moves->size * sizeof(*moves->move));
	for (size_t i = 0; i < old.size; i++)
		if (old.move[i].count)
			*find(moves, old.move[i].from, old.move[i].to) = old.move[i];
	free(old.move);
}

void moves_add(struct moves *moves, int from, int to, uint64_t count)
{
	struct move *move;

	if (!count)
		return;
	if (moves->used * 2 >= moves->size)
		grow(moves);
	move = find(moves, from, to);
	moves->used += !move->count;
	moves->moved += count;
	*move = (struct move){from, to, move->count + count};
}

void moves_finish(struct moves *moves)
{
	free(moves->move);
	*moves = (struct moves){0};
}

static int by_count(const void *a, const void *b)
{
	const struct move *x = a, *y = b;

	if (x->count != y->count)
		return x->count > y->count ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to < y->to ? -1 : x->to > y->to;
}

void moves_sort(struct moves *moves)
{
	if (moves->size)
		qsort(moves->move, moves->size, sizeof(*moves->move), by_count); /* free places come last */
}
