/* SPDX-License-Identifier: MIT */
#include "client/aggregate.h"

#include <limits.h>
#include <string.h>

const shard_reply *aggregate_array(const struct part *part, size_t count, struct arena *arena)
{
	shard_reply *whole = arena_alloc(arena, (count + 1) * sizeof(*whole));

	if (!whole)
		return NULL;
	*whole = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = count, .element = whole + 1};
	for (size_t i = 0; i < count; i++)
		whole[i + 1] = *part[i].reply;
	return whole;
}

static const shard_reply *appended(const struct part *part, size_t count, struct arena *arena)
{
	size_t len = 0, at = 0;
	shard_reply *whole, *element;

	for (size_t i = 0; i < count; i++) {
		if (part[i].reply->type != SHARD_REPLY_ARRAY)
			return count == 1 ? part[0].reply : NULL;
		len += part[i].reply->len;
	}
	whole = arena_alloc(arena, (len + 1) * sizeof(*whole));
	if (!whole)
		return NULL;
	element = whole + 1;
	*whole = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = len, .element = element};
	for (size_t i = 0; i < count; i++) {
		const shard_reply *reply = part[i].reply;

		if (reply->len)
			memcpy(element + at, reply->element, reply->len * sizeof(*element));
		at += reply->len;
	}
	return whole;
}

long long aggregate_sum(long long a, long long b)
{
	long long result;

	if (__builtin_add_overflow(a, b, &result))
		return a < 0 ? LLONG_MIN : LLONG_MAX;
	return result;
}

static long long combine(unsigned policy, long long a, long long b)
{
	switch (policy) {
	case SHARD_AGG_LOGICAL_AND:
		return a && b;
	case SHARD_AGG_LOGICAL_OR:
		return a || b;
	case SHARD_AGG_MIN:
		return a < b ? a : b;
	case SHARD_AGG_MAX:
		return a > b ? a : b;
	default:
		return aggregate_sum(a, b);
	}
}

/* Integers, or arrays of integers element by element (SCRIPT EXISTS). */
static const shard_reply *combined(const struct part *part, size_t count, struct arena *arena, unsigned policy)
{
	const shard_reply *first = part[0].reply;
	size_t len = first->type == SHARD_REPLY_ARRAY ? first->len : 1;
	shard_reply *whole = arena_alloc(arena, (len + 1) * sizeof(*whole));

	if (!whole || (first->type != SHARD_REPLY_ARRAY && first->type != SHARD_REPLY_INTEGER))
		return NULL;
	memcpy(whole + 1, first->type == SHARD_REPLY_ARRAY ? first->element : first, len * sizeof(*whole));
	for (size_t i = 1; i < count; i++) {
		const shard_reply *reply = part[i].reply;

		if (reply->type != first->type || (first->type == SHARD_REPLY_ARRAY && reply->len != len))
			return NULL;
		for (size_t k = 0; k < len; k++) {
			const shard_reply *one = first->type == SHARD_REPLY_ARRAY ? &reply->element[k] : reply;

			if (one->type != SHARD_REPLY_INTEGER || whole[k + 1].type != SHARD_REPLY_INTEGER)
				return NULL;
			whole[k + 1].integer = combine(policy, whole[k + 1].integer, one->integer);
		}
	}
	if (first->type != SHARD_REPLY_ARRAY)
		return whole + 1;
	*whole = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = len, .element = whole + 1};
	return whole;
}

/* RANDOMKEY: any node's key is one; an empty node has none. */
static const shard_reply *any_but_nil(const struct part *part, size_t count, uint32_t random)
{
	size_t start = random % count;

	for (size_t i = 0; i < count; i++) {
		const shard_reply *reply = part[(start + i) % count].reply;

		if (reply->type != SHARD_REPLY_NIL)
			return reply;
	}
	return part[0].reply;
}

const shard_reply *aggregate_replies(const shard_command *command, const struct part *part, size_t count,
				     uint32_t random, struct arena *arena)
{
	switch (command->response_policy) {
	case SHARD_AGG_ONE_SUCCEEDED:
	case SHARD_AGG_ALL_SUCCEEDED:
		return part[0].reply;
	case SHARD_AGG_DEFAULT:
		return appended(part, count, arena);
	case SHARD_AGG_SPECIAL:
		if (!strcmp(command->name, "randomkey"))
			return any_but_nil(part, count, random);
		return aggregate_array(part, count, arena);
	default:
		return combined(part, count, arena, command->response_policy);
	}
}
