/* SPDX-License-Identifier: MIT */
/* The replies of CLUSTER SLOTS and CLUSTER SHARDS. */
#include "know/topology.h"

#include <string.h>

static bool is_text(const shard_reply *reply)
{
	return reply->type == SHARD_REPLY_STRING || reply->type == SHARD_REPLY_STATUS;
}

/* Nil reads as "". */
static struct shard__text text_of(const shard_reply *reply)
{
	return is_text(reply) ? (struct shard__text){reply->str, reply->len} : (struct shard__text){"", 0};
}

static bool is_text_or_nil(const shard_reply *reply)
{
	return is_text(reply) || reply->type == SHARD_REPLY_NIL;
}

/* The value of a name in a flat array of names and values (a map of RESP2); the last one counts. */
static const shard_reply *field(const shard_reply *map, const char *name)
{
	const shard_reply *value = NULL;
	for (size_t i = 0; i + 1 < map->len; i += 2) {
		if (is_text(&map->element[i]) && shard__text_is(text_of(&map->element[i]), name))
			value = &map->element[i + 1];
	}
	return value;
}

static struct shard__text text_field(const shard_reply *map, const char *name)
{
	const shard_reply *value = field(map, name);
	return value ? text_of(value) : (struct shard__text){"", 0};
}

/* ---- CLUSTER SLOTS ---- */

/*
 * [endpoint, port], since 4.0 an id after it, since 7.0 metadata after that: the ip where the endpoint is a host name,
 * the host name where the endpoint is an ip.
 */
static int slots_node(struct shard__builder *b, const shard_reply *reply, unsigned role, uint16_t *index)
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len < 2 || !is_text_or_nil(&reply->element[0]) ||
	    reply->element[1].type != SHARD_REPLY_INTEGER)
		return shard__builder_refuse(b, "a node is not [host, port, ...]");
	if (reply->len > 2 && !is_text(&reply->element[2]))
		return shard__builder_refuse(b, "a node's id is no string");

	struct shard__announced node = {
		.id = reply->len > 2 ? text_of(&reply->element[2]) : (struct shard__text){"", 0},
		.host = text_of(&reply->element[0]),
		.port = reply->element[1].integer,
		.flags = role,
	};
	if (reply->len > 3 && reply->element[3].type == SHARD_REPLY_ARRAY) {
		const shard_reply *metadata = &reply->element[3];
		node.hostname = field(metadata, "ip") ? node.host : text_field(metadata, "hostname");
		if (!node.host.len)
			node.hostname = text_field(metadata, "hostname");
	}
	return shard__builder_node(b, &node, index);
}

static int slots_range(struct shard__builder *b, const shard_reply *reply)
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len < 3 || reply->element[0].type != SHARD_REPLY_INTEGER ||
	    reply->element[1].type != SHARD_REPLY_INTEGER)
		return shard__builder_refuse(b, "a range is not [first, last, node, ...]");

	uint16_t master;
	int error = slots_node(b, &reply->element[2], SHARD_NODE_MASTER, &master);
	if (!error)
		error = shard__builder_range(b, reply->element[0].integer, reply->element[1].integer, master);
	for (size_t i = 3; !error && i < reply->len; i++) {
		uint16_t replica;
		error = slots_node(b, &reply->element[i], SHARD_NODE_REPLICA, &replica);
		if (!error)
			shard__builder_replica(b, replica, master);
	}
	return error;
}

int shard__topology_from_slots(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
			       shard__address_fn map, void *ctx, shard_topology **topology, const char **why)
{
	struct shard__builder b;
	int error = shard__builder_init(&b, asked_host, asked_port, map, ctx);
	if (!error && reply->type != SHARD_REPLY_ARRAY)
		error = shard__builder_refuse(&b, "not an array of ranges");
	for (size_t i = 0; !error && i < reply->len; i++)
		error = slots_range(&b, &reply->element[i]);
	return shard__builder_finish(&b, error, topology, why);
}

int shard_topology_from_slots(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
			      shard_topology **topology, const char **why)
{
	return shard__topology_from_slots(reply, asked_host, asked_port, NULL, NULL, topology, why);
}

/* ---- CLUSTER SHARDS ---- */

static unsigned shards_health(struct shard__text health)
{
	if (shard__text_is(health, "fail"))
		return SHARD_NODE_FAIL;
	return shard__text_is(health, "loading") ? SHARD_NODE_LOADING : 0;
}

/* "port" is absent where only TLS is spoken. Out: *PORT, 0 where there is none. */
static bool shards_port(const shard_reply *reply, long long *port)
{
	const shard_reply *value = field(reply, "port");
	if (!value)
		value = field(reply, "tls-port");
	*port = value && value->type == SHARD_REPLY_INTEGER ? value->integer : 0;
	return !value || value->type == SHARD_REPLY_INTEGER;
}

static int shards_node(struct shard__builder *b, const shard_reply *reply, uint16_t *index)
{
	struct shard__announced node = {.flags = SHARD_NODE_REPLICA};
	if (reply->type != SHARD_REPLY_ARRAY || !shards_port(reply, &node.port))
		return shard__builder_refuse(b, "a node is not a map with a port");
	const shard_reply *endpoint = field(reply, "endpoint");
	if (!endpoint)
		endpoint = field(reply, "ip");
	if (!endpoint || !is_text_or_nil(endpoint) || !field(reply, "role"))
		return shard__builder_refuse(b, "a node has no endpoint or no role");

	node.id = text_field(reply, "id");
	node.host = text_of(endpoint);
	node.hostname = text_field(reply, "hostname");
	if (shard__text_is(text_field(reply, "role"), "master"))
		node.flags = SHARD_NODE_MASTER;
	node.flags |= shards_health(text_field(reply, "health"));
	return shard__builder_node(b, &node, index);
}

/* How fit a node is to own its shard's slots; a failed master may stand beside the one that took over. */
static int fitness(const shard_reply *node)
{
	if (node->type != SHARD_REPLY_ARRAY || !shard__text_is(text_field(node, "role"), "master"))
		return 0;
	unsigned health = shards_health(text_field(node, "health"));
	return health == SHARD_NODE_FAIL ? 1 : health == SHARD_NODE_LOADING ? 2 : 3;
}

/* The place of the shard's master; NODES' length where it has none. */
static size_t shards_master(const shard_reply *nodes)
{
	size_t master = nodes->len;
	int best = 0;
	for (size_t i = 0; i < nodes->len; i++) {
		int fit = fitness(&nodes->element[i]);
		if (fit > best) {
			best = fit;
			master = i;
		}
	}
	return master;
}

/* The master first, so that the others can be told of it. Out: *OWNER. */
static int shards_nodes(struct shard__builder *b, const shard_reply *nodes, uint16_t *owner)
{
	size_t master = shards_master(nodes);
	*owner = SHARD__NOBODY;
	int error = master < nodes->len ? shards_node(b, &nodes->element[master], owner) : SHARD_OK;
	for (size_t i = 0; !error && i < nodes->len; i++) {
		uint16_t index;
		if (i == master)
			continue;
		error = shards_node(b, &nodes->element[i], &index);
		if (!error)
			shard__builder_replica(b, index, *owner == SHARD__NOBODY ? -1 : *owner);
	}
	return error;
}

static int shards_ranges(struct shard__builder *b, const shard_reply *slots, uint16_t owner)
{
	for (size_t i = 0; i < slots->len; i += 2) {
		const shard_reply *first = &slots->element[i];
		if (i + 1 == slots->len || first[0].type != SHARD_REPLY_INTEGER || first[1].type != SHARD_REPLY_INTEGER)
			return shard__builder_refuse(b, "slots are not pairs of numbers");
		int error = shard__builder_range(b, first[0].integer, first[1].integer, owner);
		if (error)
			return error;
	}
	return SHARD_OK;
}

static int shards_shard(struct shard__builder *b, const shard_reply *reply)
{
	const shard_reply *slots = reply->type == SHARD_REPLY_ARRAY ? field(reply, "slots") : NULL;
	const shard_reply *nodes = reply->type == SHARD_REPLY_ARRAY ? field(reply, "nodes") : NULL;
	if (!slots || slots->type != SHARD_REPLY_ARRAY || !nodes || nodes->type != SHARD_REPLY_ARRAY)
		return shard__builder_refuse(b, "a shard is not a map of slots and nodes");

	uint16_t owner;
	int error = shards_nodes(b, nodes, &owner);
	return error ? error : shards_ranges(b, slots, owner);
}

int shard__topology_from_shards(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
				shard__address_fn map, void *ctx, shard_topology **topology, const char **why)
{
	struct shard__builder b;
	int error = shard__builder_init(&b, asked_host, asked_port, map, ctx);
	if (!error && reply->type != SHARD_REPLY_ARRAY)
		error = shard__builder_refuse(&b, "not an array of shards");
	for (size_t i = 0; !error && i < reply->len; i++)
		error = shards_shard(&b, &reply->element[i]);
	return shard__builder_finish(&b, error, topology, why);
}

int shard_topology_from_shards(const shard_reply *reply, const char *asked_host, uint16_t asked_port,
			       shard_topology **topology, const char **why)
{
	return shard__topology_from_shards(reply, asked_host, asked_port, NULL, NULL, topology, why);
}
