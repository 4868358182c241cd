/* SPDX-License-Identifier: MIT */
#include "topology_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "literal.h"

char *sample(const char *name)
{
	char path[512], *text = NULL;
	size_t room = 0;
	snprintf(path, sizeof(path), "%s/topology/%s", TEST_DATA, name);
	FILE *file = fopen(path, "r");
	if (!file)
		fail_msg("%s: cannot be opened", path);
	if (getdelim(&text, &room, '\0', file) < 0)
		fail_msg("%s: cannot be read", path);
	fclose(file);
	return text;
}

int try_reply(from_reply parser, const char *literal, shard_topology **topology, const char **why)
{
	shard_reply *reply = literal_parse(literal, strlen(literal));
	if (!reply)
		fail_msg("not a literal: %s", literal);
	*topology = NULL;
	*why = NULL;
	int error = parser(reply, ASKED_HOST, ASKED_PORT, topology, why);
	literal_free(reply);
	return error;
}

int try_nodes(const char *text, shard_topology **topology, const char **why)
{
	/* Without a NUL behind it, for reads past the end to be seen. */
	size_t len = strlen(text);
	char *exact = malloc(len ? len : 1);
	memcpy(exact, text, len);
	*topology = NULL;
	*why = NULL;
	int error = shard_topology_from_nodes(exact, len, ASKED_HOST, ASKED_PORT, topology, why);
	free(exact);
	return error;
}

static shard_topology *good(int error, shard_topology *topology, const char *why)
{
	if (error)
		fail_msg("refused: %s", why);
	assert_non_null(topology);
	return topology;
}

shard_topology *slots(const char *literal)
{
	shard_topology *t;
	const char *why;
	int error = try_reply(shard_topology_from_slots, literal, &t, &why);
	return good(error, t, why);
}

shard_topology *shards(const char *literal)
{
	shard_topology *t;
	const char *why;
	int error = try_reply(shard_topology_from_shards, literal, &t, &why);
	return good(error, t, why);
}

shard_topology *nodes(const char *text)
{
	shard_topology *t;
	const char *why;
	int error = try_nodes(text, &t, &why);
	return good(error, t, why);
}

const shard_node *owner(const shard_topology *t, unsigned slot)
{
	int index = shard_topology_owner(t, slot);
	return index < 0 ? NULL : shard_topology_node(t, (size_t)index);
}

static void assert_same_node(const shard_node *a, const shard_node *b)
{
	assert_string_equal(a->id, b->id);
	assert_string_equal(a->host, b->host);
	assert_string_equal(a->addr, b->addr);
	assert_string_equal(a->hostname, b->hostname);
	assert_int_equal(a->port, b->port);
	assert_int_equal(a->flags, b->flags);
	assert_int_equal(a->master, b->master);
}

void assert_same(const shard_topology *a, const shard_topology *b)
{
	const shard_open_slot *open_a, *open_b;
	size_t count = shard_topology_node_count(a), open = shard_topology_open_slots(a, &open_a);
	assert_int_equal(shard_topology_is_single(a), shard_topology_is_single(b));
	assert_int_equal(shard_topology_epoch(a), shard_topology_epoch(b));
	assert_int_equal(count, shard_topology_node_count(b));
	assert_int_equal(open, shard_topology_open_slots(b, &open_b));
	for (size_t i = 0; i < count; i++)
		assert_same_node(shard_topology_node(a, i), shard_topology_node(b, i));
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		assert_int_equal(shard_topology_owner(a, slot), shard_topology_owner(b, slot));
	for (size_t i = 0; i < open; i++) {
		assert_int_equal(open_a[i].slot, open_b[i].slot);
		assert_int_equal(open_a[i].importing, open_b[i].importing);
		assert_string_equal(open_a[i].peer, open_b[i].peer);
	}
}
