/* SPDX-License-Identifier: MIT */
#include "workload.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "slot/bytewise.h"

static int split_seed(const char *seed, char *host, size_t size, int *port)
{
	const char *colon = strrchr(seed, ':');

	if (!colon || (size_t)(colon - seed) >= size)
		return -1;
	memcpy(host, seed, (size_t)(colon - seed));
	host[colon - seed] = '\0';
	*port = atoi(colon + 1);
	return 0;
}

static int fill_node(const struct workload *workload, size_t node)
{
	const struct cluster_node *at = &workload->cluster.node[node];
	redisContext *server = redisConnect(at->host, at->port);
	size_t sent = 0;
	int wrong = !server || server->err;

	for (size_t i = 0; !wrong && i < workload->key_count; i++)
		if (workload->keys[i].node == node) {
			redisAppendCommand(server, "SET %s %s", workload->keys[i].name, "sixteen bytes...");
			sent++;
		}
	for (; !wrong && sent; sent--) {
		redisReply *reply;

		wrong = redisGetReply(server, (void **)&reply) != REDIS_OK;
		if (!wrong) {
			wrong = reply->type == REDIS_REPLY_ERROR;
			freeReplyObject(reply);
		}
	}
	if (wrong)
		fprintf(stderr, "bench-client: %s:%d: cannot set the keys\n", at->host, at->port);
	if (server)
		redisFree(server);
	return wrong ? -1 : 0;
}

int workload_init(struct workload *workload, const char *seed, size_t keys, size_t window)
{
	char host[64];
	int port;

	memset(workload, 0, sizeof(*workload));
	if (split_seed(seed, host, sizeof(host), &port)) {
		fprintf(stderr, "bench-client: %s: not HOST:PORT\n", seed);
		return -1;
	}
	if (cluster_load(&workload->cluster, host, port))
		return -1;
	workload->seed = seed;
	workload->window = window;
	workload->key_count = keys;
	workload->keys = calloc(keys, sizeof(*workload->keys));
	if (!workload->keys)
		return -1;
	bytewise_init();
	for (size_t i = 0; i < keys; i++) {
		struct key *key = &workload->keys[i];

		snprintf(key->name, sizeof(key->name), "bench:%010zu", i % 10000000000);
		key->node = workload->cluster.owner[bytewise_slot(key->name, KEY_LEN)];
	}
	for (size_t node = 0; node < workload->cluster.count; node++)
		if (fill_node(workload, node))
			return -1;
	return 0;
}

void workload_finish(struct workload *workload)
{
	free(workload->keys);
	workload->keys = NULL;
}
