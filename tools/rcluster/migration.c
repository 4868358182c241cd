/* SPDX-License-Identifier: MIT */
#include "migration.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <shard/topology.h>

static const char *text_of(const shard_reply *reply)
{
	bool text = reply && (reply->type == SHARD_REPLY_STRING || reply->type == SHARD_REPLY_STATUS);

	return text ? reply->str : "";
}

static bool is_map(const shard_reply *reply)
{
	const shard_reply *first;

	if (reply->type != SHARD_REPLY_ARRAY || !reply->len)
		return false;
	first = &reply->element[0];
	/* Flat; else of pairs that begin with a text. */
	return *text_of(first) || (first->type == SHARD_REPLY_ARRAY && first->len == 2 && *text_of(&first->element[0]));
}

/* A single map, or an array of them. */
size_t migration_count(const shard_reply *reply)
{
	if (!reply || reply->type != SHARD_REPLY_ARRAY)
		return 0;
	return is_map(reply) ? 1 : reply->len;
}

static const shard_reply *field(const shard_reply *map, const char *name)
{
	bool flat = is_map(map) && map->element[0].type != SHARD_REPLY_ARRAY;

	if (!is_map(map))
		return NULL;
	for (size_t i = 0; i + flat < map->len; i += flat ? 2 : 1) {
		const shard_reply *pair = flat ? &map->element[i] : map->element[i].element;

		if ((flat || (map->element[i].type == SHARD_REPLY_ARRAY && map->element[i].len == 2)) &&
		    !strcasecmp(text_of(&pair[0]), name))
			return &pair[1];
	}
	return NULL;
}

/* The first of the fields NAMES (which end with NULL) that says something. */
static const char *say(const shard_reply *map, const char *const names[])
{
	for (; *names; names++)
		if (*text_of(field(map, *names)))
			return text_of(field(map, *names));
	return "";
}

static enum migration_state state_of(const char *name)
{
	static const struct {
		const char *name;
		enum migration_state state;
	} ends[] = {
		{"success", MIGRATION_DONE},       {"succeeded", MIGRATION_DONE},     {"completed", MIGRATION_DONE},
		{"failed", MIGRATION_FAILED},      {"failure", MIGRATION_FAILED},     {"error", MIGRATION_FAILED},
		{"cancelled", MIGRATION_CANCELLED}, {"canceled", MIGRATION_CANCELLED},
	};

	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if (!strcasecmp(name, ends[i].name))
			return ends[i].state;
	return MIGRATION_RUNS;
}

struct migration migration_at(const shard_reply *reply, size_t index)
{
	const shard_reply *map = is_map(reply) ? reply : &reply->element[index];
	struct migration migration = {
		.id = say(map, (const char *const[]){"name", "id", NULL}),
		.target = say(map, (const char *const[]){"target_node", "dest", NULL}),
		.state_name = say(map, (const char *const[]){"state", "status", NULL}),
		.why = say(map, (const char *const[]){"message", "last_error", "error", NULL}),
		.slots = field(map, "slot_ranges"),
		.imports = !strcasecmp(text_of(field(map, "operation")), "import"),
	};

	if (!migration.slots)
		migration.slots = field(map, "slots");
	migration.state = state_of(migration.state_name);
	return migration;
}

static bool within(const shard_reply *reply, const bool slots[])
{
	const char *at = text_of(reply);

	if (reply->type == SHARD_REPLY_INTEGER)
		return reply->integer >= 0 && reply->integer < SHARD_SLOTS && slots[reply->integer];
	for (size_t i = 0; reply->type == SHARD_REPLY_ARRAY && i < reply->len; i++)
		if (!within(&reply->element[i], slots))
			return false;
	while (*(at += strcspn(at, "0123456789"))) {
		char *end;
		unsigned long slot = strtoul(at, &end, 10);

		if (slot >= SHARD_SLOTS || !slots[slot])
			return false;
		at = end;
	}
	return true;
}

bool migration_within(const struct migration *migration, const bool slots[])
{
	return !migration->slots || within(migration->slots, slots);
}

bool migration_known(const shard_reply *reply, const char *id)
{
	for (size_t i = 0; i < migration_count(reply); i++)
		if (!strcmp(migration_at(reply, i).id, id))
			return true;
	return false;
}
