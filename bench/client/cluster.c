/* SPDX-License-Identifier: MIT */
#include "cluster.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>

static int node_index(struct cluster *cluster, const char *host, int port)
{
	struct cluster_node *node;

	for (size_t i = 0; i < cluster->count; i++)
		if (cluster->node[i].port == port && strcmp(cluster->node[i].host, host) == 0)
			return (int)i;
	if (cluster->count == CLUSTER_NODES_MAX)
		return -1;
	node = &cluster->node[cluster->count];
	snprintf(node->host, sizeof(node->host), "%s", host);
	node->port = port;
	return (int)cluster->count++;
}

static unsigned read_slots(struct cluster *cluster, const redisReply *reply)
{
	unsigned covered = 0;

	for (size_t i = 0; i < reply->elements; i++) {
		redisReply **range = reply->element[i]->element;
		redisReply **master = range[2]->element;
		int index = node_index(cluster, master[0]->str, (int)master[1]->integer);

		for (long long slot = range[0]->integer; index >= 0 && slot <= range[1]->integer; slot++, covered++)
			cluster->owner[slot] = (uint8_t)index;
	}
	return covered;
}

int cluster_load(struct cluster *cluster, const char *host, int port)
{
	redisContext *server = redisConnect(host, port);
	redisReply *reply = NULL;
	unsigned covered = 0;

	memset(cluster, 0, sizeof(*cluster));
	if (server && !server->err)
		reply = redisCommand(server, "CLUSTER SLOTS");
	if (reply && reply->type == REDIS_REPLY_ARRAY)
		covered = read_slots(cluster, reply);
	if (covered != 16384)
		fprintf(stderr, "bench-client: %s:%d: not a whole cluster (%u slots): %s\n", host, port, covered,
			server && server->err ? server->errstr : "see CLUSTER SLOTS");
	if (reply)
		freeReplyObject(reply);
	if (server)
		redisFree(server);
	return covered == 16384 ? 0 : -1;
}
