/* SPDX-License-Identifier: MIT */
/*
 * What libshard makes of a real node's map, for test_topology.py.
 *
 * topology_helper HOST PORT slots|shards|nodes|reread: asks the node and
 * writes the map, fields parted by spaces, "-" where empty:
 *   range FIRST LAST OWNER-ID
 *   node ID HOST:PORT HOSTNAME MASTER-ID FLAG,FLAG...
 *   open SLOT importing|migrating PEER-ID
 *   epoch N
 * reread: CLUSTER NODES written by libshard and read by it again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <hiredis/hiredis.h>

#include <shard/topology.h>

static void *must(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

static shard_reply convert(const redisReply *from)
{
	static const shard_reply_type types[] = {
		[REDIS_REPLY_STRING] = SHARD_REPLY_STRING,   [REDIS_REPLY_ARRAY] = SHARD_REPLY_ARRAY,
		[REDIS_REPLY_INTEGER] = SHARD_REPLY_INTEGER, [REDIS_REPLY_NIL] = SHARD_REPLY_NIL,
		[REDIS_REPLY_STATUS] = SHARD_REPLY_STATUS,   [REDIS_REPLY_ERROR] = SHARD_REPLY_ERROR,
	};
	shard_reply to = {.type = types[from->type]};
	if (to.type == SHARD_REPLY_INTEGER) {
		to.integer = from->integer;
	} else if (to.type == SHARD_REPLY_ARRAY) {
		shard_reply *element = must(calloc(from->elements + 1, sizeof(*element)));
		for (size_t i = 0; i < from->elements; i++)
			element[i] = convert(from->element[i]);
		to.len = from->elements;
		to.element = element;
	} else if (to.type != SHARD_REPLY_NIL) {
		to.len = (size_t)from->len;
		to.str = from->str;
	}
	return to;
}

static void free_arrays(shard_reply *reply)
{
	if (reply->type != SHARD_REPLY_ARRAY)
		return;
	for (size_t i = 0; i < reply->len; i++)
		free_arrays((shard_reply *)&reply->element[i]);
	free((void *)reply->element);
}

static int from_text(const char *text, size_t len, const char *host, uint16_t port, shard_topology **t,
		     const char **why)
{
	return shard_topology_from_nodes(text, len, host, port, t, why);
}

static int from_text_twice(const char *text, size_t len, const char *host, uint16_t port, shard_topology **t,
			   const char **why)
{
	shard_topology *once;
	int error = shard_topology_from_nodes(text, len, host, port, &once, why);
	if (error)
		return error;
	char *again = must(shard_topology_format(once));
	error = shard_topology_from_nodes(again, strlen(again), "elsewhere", 1, t, why);
	free(again);
	shard_topology_unref(once);
	return error;
}

static int parse(const char *how, const redisReply *reply, const char *host, uint16_t port, shard_topology **t,
		 const char **why)
{
	if (strcmp(how, "nodes") == 0)
		return from_text(reply->str, reply->len, host, port, t, why);
	if (strcmp(how, "reread") == 0)
		return from_text_twice(reply->str, reply->len, host, port, t, why);
	shard_reply ours = convert(reply);
	int error = strcmp(how, "slots") == 0 ? shard_topology_from_slots(&ours, host, port, t, why)
					      : shard_topology_from_shards(&ours, host, port, t, why);
	free_arrays(&ours);
	return error;
}

static const char *word(const char *text)
{
	return *text ? text : "-";
}

static void print_node(const shard_topology *t, const shard_node *node)
{
	static const char *const flags[] = {"master",    "replica", "myself",  "pfail", "fail",
					    "handshake", "noaddr",  "loading", "down"};
	const shard_node *master = node->master < 0 ? NULL : shard_topology_node(t, (size_t)node->master);
	printf("node %s %s %s %s ", word(node->id), node->addr, word(node->hostname), master ? word(master->id) : "-");
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		if (node->flags & 1u << i)
			printf("%s,", flags[i]);
	}
	putchar('\n');
}

static void print(const shard_topology *t)
{
	const shard_open_slot *open;
	unsigned last;
	int owner;
	for (unsigned first = 0; first < SHARD_SLOTS; first = last + 1) {
		shard_topology_range(t, first, &last, &owner);
		printf("range %u %u %s\n", first, last, owner < 0 ? "-" : shard_topology_node(t, (size_t)owner)->id);
	}
	for (size_t i = 0; i < shard_topology_node_count(t); i++)
		print_node(t, shard_topology_node(t, i));
	size_t count = shard_topology_open_slots(t, &open);
	for (size_t i = 0; i < count; i++)
		printf("open %u %s %s\n", open[i].slot, open[i].importing ? "importing" : "migrating", open[i].peer);
	printf("epoch %llu\n", (unsigned long long)shard_topology_epoch(t));
}

int main(int argc, char *argv[])
{
	if (argc != 4) {
		fputs("usage: topology_helper HOST PORT slots|shards|nodes|reread\n", stderr);
		return 2;
	}
	const char *what = strcmp(argv[3], "reread") == 0 ? "nodes" : argv[3], *why = "";
	struct timeval timeout = {5, 0};
	shard_topology *t;
	uint16_t port = (uint16_t)atoi(argv[2]);
	redisContext *context = redisConnectWithTimeout(argv[1], port, timeout);
	if (!context || context->err || redisSetTimeout(context, timeout)) {
		fprintf(stderr, "topology_helper: %s:%s: cannot connect\n", argv[1], argv[2]);
		return 2;
	}
	redisReply *reply = redisCommand(context, "CLUSTER %s", what);
	int error = reply ? parse(argv[3], reply, argv[1], port, &t, &why) : SHARD_ECONNECT;
	if (error) {
		fprintf(stderr, "topology_helper: %s:%s: %s: %s\n", argv[1], argv[2], argv[3], why);
	} else {
		print(t);
		shard_topology_unref(t);
	}
	freeReplyObject(reply);
	redisFree(context);
	return error ? 1 : 0;
}
