/* SPDX-License-Identifier: MIT */
/*
 * SCAN over all servers, one after the other. A cursor of ours is the number of the server below that server's own
 * cursor: nothing is kept here between two calls.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "local.h"
#include "worker.h"

#define NUMBER_BITS 12

/* Its masters in the order of the map. NULL: there is no such. */
static const char *master_at(const shard_topology *topology, size_t number)
{
	size_t count = shard_topology_node_count(topology);

	for (size_t i = 0; i < count; i++) {
		const shard_node *node = shard_topology_node(topology, i);

		if (node->flags & SHARD_NODE_MASTER && !number--)
			return node->addr;
	}
	return NULL;
}

struct scan {
	struct query *query;
	unsigned long long number;
};

static unsigned long long next_cursor(const struct scan *scan, unsigned long long theirs)
{
	const shard_topology *topology = shard_client_topology(scan->query->service->client);

	if (theirs)
		return theirs << NUMBER_BITS | scan->number;
	return topology && master_at(topology, scan->number + 1) ? scan->number + 1 : 0;
}

static void scanned(void *ctx, const shard_result *result)
{
	struct scan *scan = ctx;
	struct query *query = scan->query;
	struct bytes *scratch = &query->service->worker->scratch;
	const shard_reply *reply = result->reply;
	char cursor[32];

	if (result->error != SHARD_OK || reply->type != SHARD_REPLY_ARRAY || reply->len != 2 ||
	    reply->element[0].type != SHARD_REPLY_STRING) {
		forward_result(query, result);
		free(scan);
		return;
	}
	snprintf(cursor, sizeof(cursor), "%llu", next_cursor(scan, strtoull(reply->element[0].str, NULL, 10)));
	bytes_number(scratch, '*', 2);
	bytes_bulk_string(scratch, cursor);
	bytes_reply(scratch, &reply->element[1]);
	free(scan);
	query_reply_bytes(query, scratch);
}

static bool read_cursor(const struct words *words, unsigned long long *cursor)
{
	char text[24], *end;

	if (!words->len[1] || words->len[1] >= sizeof(text))
		return false;
	memcpy(text, words->argv[1], words->len[1]);
	text[words->len[1]] = 0;
	errno = 0;
	*cursor = strtoull(text, &end, 10);
	return !errno && !*end && text[0] >= '0' && text[0] <= '9';
}

static void start(struct query *query, struct words *words, const char *node, unsigned long long cursor)
{
	const shard_call call = {.node = node};
	struct scan *scan = malloc(sizeof(*scan));
	char text[24];
	int error;

	if (!scan) {
		query_error(query, "ERR out of memory");
		return;
	}
	*scan = (struct scan){query, cursor & ((1u << NUMBER_BITS) - 1)};
	snprintf(text, sizeof(text), "%llu", cursor >> NUMBER_BITS);
	words->argv[1] = text;
	words->len[1] = strlen(text);
	error = shard_submit(query->service->client, (int)words->count, words->argv, words->len, &call, scanned, scan,
			     NULL);
	if (!error)
		return;
	free(scan);
	query_error(query, "ERR %s", shard_strerror(error));
}

void local_scan(struct query *query, struct words *words)
{
	const shard_topology *topology = shard_client_topology(query->service->client);
	unsigned long long cursor;
	const char *node;

	if (words->count < 2) {
		local_wrong_number(query);
		return;
	}
	if (!read_cursor(words, &cursor)) {
		query_error(query, "ERR invalid cursor");
		return;
	}
	if (!topology) {
		query_error(query, "CLUSTERDOWN the map of the cluster is not known yet");
		return;
	}
	node = master_at(topology, cursor & ((1u << NUMBER_BITS) - 1));
	if (node)
		start(query, words, node, cursor);
	else
		query_reply_string(query, "*2\r\n$1\r\n0\r\n*0\r\n");
}

void local_keys(struct query *query, struct words *words)
{
	forward(query, words);
}
