/* SPDX-License-Identifier: MIT */
#include "rslots_compare.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "rslots_machine.h"

#define STEPS_MAX (UINT64_C(1) << 24)  /* a second or two */
#define SCORES_MAX (UINT64_C(1) << 27) /* of rendezvous: the same */
#define SAMPLE_MAX 10                  /* 4^10 keys */
#define SAMPLE_MIN 8
#define SAMPLE_TAGGED 8
#define KEY_SIZE 16

void compare_init(struct compare *compare, const struct layout *from, const struct layout *to)
{
	*compare = (struct compare){.from = from, .to = to};
	compare->from_machine = cli_alloc(from->pool->server_count * sizeof(*compare->from_machine));
	compare->to_machine = cli_alloc(to->pool->server_count * sizeof(*compare->to_machine));
	machines_number(from->pool, to->pool, compare->from_machine, compare->to_machine);
}

void compare_finish(struct compare *compare)
{
	moves_finish(&compare->moves);
	free(compare->from_machine);
	free(compare->to_machine);
}

static void add(struct compare *compare, int from, int to, uint64_t count)
{
	if (compare_moves(compare, from, to))
		moves_add(&compare->moves, from, to, count);
}

void compare_key(struct compare *compare, const void *key, size_t len)
{
	compare->total++;
	add(compare, shard_ring_route(compare->from->ring, key, len), shard_ring_route(compare->to->ring, key, len), 1);
}

/* ---- exact ---- */

/* Whatever is hashed: it gets the key. */
static bool alone(const struct layout *layout)
{
	return layout->pool->server_count == 1;
}

static uint64_t gcd(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* After so many hashes both layouts begin anew, or there are no more. */
static uint64_t common_period(const struct layout *a, const struct layout *b, uint64_t hashes)
{
	uint64_t times = b->period / gcd(a->period, b->period);

	return times > hashes / a->period ? hashes : a->period * times;
}

/* A place in a layout whose stretches come again and again. */
struct cursor {
	const struct layout *layout;
	size_t at;
	uint64_t before; /* what the periods before sum up to */
};

static uint64_t cursor_end(const struct cursor *cursor)
{
	return cursor->before + cursor->layout->stretch[cursor->at].end;
}

static int cursor_server(const struct cursor *cursor)
{
	return cursor->layout->stretch[cursor->at].server;
}

static void cursor_pass(struct cursor *cursor, uint64_t end)
{
	if (cursor_end(cursor) > end)
		return;
	if (++cursor->at < cursor->layout->count)
		return;
	cursor->at = 0;
	cursor->before += cursor->layout->period;
}

/* Both side by side, up to where they begin anew. */
static void merge(struct compare *compare, uint64_t period)
{
	struct cursor from = {.layout = compare->from}, to = {.layout = compare->to};

	for (uint64_t start = 0, end; start < period; start = end) {
		end = cursor_end(&from) < cursor_end(&to) ? cursor_end(&from) : cursor_end(&to);
		if (end > period)
			end = period;
		add(compare, cursor_server(&from), cursor_server(&to),
		    layout_times(start, end, period, compare->total));
		cursor_pass(&from, end);
		cursor_pass(&to, end);
	}
}

static uint64_t merge_steps(const struct compare *compare, uint64_t period)
{
	return (period / compare->from->period + 1) * compare->from->count +
	       (period / compare->to->period + 1) * compare->to->count;
}

/* Each stretch of one that never begins anew with each of the other. */
static void cross(struct compare *compare, const struct layout *whole, const struct layout *other)
{
	bool swapped = whole == compare->to;
	uint64_t start = 0;

	for (size_t i = 0; i < whole->count; i++) {
		const struct stretch *one = &whole->stretch[i];
		uint64_t other_start = 0;

		for (size_t k = 0; k < other->count; k++) {
			const struct stretch *two = &other->stretch[k];
			uint64_t times = layout_times(other_start, two->end, other->period, one->end) -
					 layout_times(other_start, two->end, other->period, start);

			add(compare, swapped ? two->server : one->server, swapped ? one->server : two->server, times);
			other_start = two->end;
		}
		start = one->end;
	}
}

/* Returns false where that takes too long. */
static bool compare_stretches(struct compare *compare)
{
	const struct layout *from = compare->from, *to = compare->to;
	uint64_t hashes = alone(from) ? to->hashes : from->hashes;
	uint64_t period = common_period(from, to, hashes);
	bool few = (uint64_t)from->count * to->count <= STEPS_MAX;

	compare->total = hashes;
	if (merge_steps(compare, period) <= STEPS_MAX)
		merge(compare, period);
	else if (from->period == hashes && few)
		cross(compare, from, to);
	else if (to->period == hashes && few)
		cross(compare, to, from);
	else
		return false;
	return true;
}

/* ---- sampled ---- */

/* splitmix64 (Steele, Lea, Flood 2014), from the same seed each time. */
struct dice {
	uint64_t state;
	char avoid[4];
};

static uint64_t dice_next(struct dice *dice)
{
	uint64_t z = dice->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static void dice_init(struct dice *dice, const struct compare *compare)
{
	dice->state = 0;
	memcpy(dice->avoid, compare->from->pool->hash_tag, 2);
	memcpy(dice->avoid + 2, compare->to->pool->hash_tag, 2);
}

/* LEN random bytes, none of which opens or closes a tag. */
static void dice_fill(struct dice *dice, char *to, size_t len)
{
	size_t filled = 0;

	while (filled < len) {
		uint64_t bits = dice_next(dice);

		for (int i = 0; i < 8 && filled < len; i++, bits >>= 8) {
			to[filled] = (char)bits;
			filled += !memchr(dice->avoid, to[filled], sizeof(dice->avoid));
		}
	}
}

/* 4^N keys: 1 / sqrt(4^N) is twice the largest standard deviation. rendezvous looks at each of its servers. */
static unsigned sample_size(const struct compare *compare)
{
	uint64_t work = 1;
	unsigned n = SAMPLE_MAX;

	if (compare->from->pool->distribution == SHARD_RENDEZVOUS)
		work += compare->from->pool->server_count;
	if (compare->to->pool->distribution == SHARD_RENDEZVOUS)
		work += compare->to->pool->server_count;
	while (n > SAMPLE_MIN && work << 2 * n > SCORES_MAX)
		n--;
	return n;
}

static void begin_sample(struct compare *compare)
{
	moves_finish(&compare->moves);
	compare->total = 0;
	compare->sampled = true;
}

static void sample(struct compare *compare)
{
	uint64_t count = UINT64_C(1) << 2 * sample_size(compare);
	struct dice dice;
	char key[KEY_SIZE];

	begin_sample(compare);
	dice_init(&dice, compare);
	for (uint64_t i = 0; i < count; i++) {
		dice_fill(&dice, key, sizeof(key));
		compare_key(compare, key, sizeof(key));
	}
}

void compare_tagged(struct compare *compare, const char tag[2])
{
	struct dice dice;
	char key[3 * KEY_SIZE];

	begin_sample(compare);
	dice_init(&dice, compare);
	for (uint64_t i = 0; i < UINT64_C(1) << 2 * SAMPLE_TAGGED; i++) {
		dice_fill(&dice, key, sizeof(key));
		key[KEY_SIZE] = tag[0];
		key[2 * KEY_SIZE] = tag[1];
		compare_key(compare, key, sizeof(key));
	}
}

double compare_error(const struct compare *compare)
{
	uint64_t root = 1;

	while (root * root < compare->total)
		root *= 2;
	return 1 / (double)root;
}

/* ---- all ---- */

static bool same_hash(const struct compare *compare)
{
	const shard_pool *from = compare->from->pool, *to = compare->to->pool;
	bool own_hash = from->distribution == SHARD_JUMP || from->distribution == SHARD_RENDEZVOUS;

	return own_hash || from->hash == to->hash;
}

/* Servers as before, in the same order: then nothing moves, whatever the distribution. */
static bool same_servers(const struct compare *compare)
{
	const shard_pool *from = compare->from->pool, *to = compare->to->pool;

	if (from->distribution != to->distribution || from->server_count != to->server_count)
		return false;
	for (size_t i = 0; i < from->server_count; i++) {
		const shard_pool_server *a = &from->server[i], *b = &to->server[i];

		if (a->weight != b->weight || strcmp(a->name, b->name) != 0 || compare_moves(compare, (int)i, (int)i))
			return false;
	}
	return true;
}

void compare_all(struct compare *compare)
{
	bool same = same_hash(compare);
	bool stretches = compare->from->count && compare->to->count;
	bool exact = stretches && (same || alone(compare->from) || alone(compare->to));

	if (same && same_servers(compare))
		compare->total = compare->from->hashes;
	else if (!exact || !compare_stretches(compare))
		sample(compare);
}
