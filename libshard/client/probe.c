/* SPDX-License-Identifier: MIT */
/*
 * Whoever waits for a cluster that mends itself goes on as soon as it has:
 * the replicas of a master that is gone are asked whether they are one now,
 * and where a node says that the cluster is down, one of those that wait for
 * it goes out now and then to see; when it is answered the others follow.
 */
#include "client/internal.h"

#define PROBE_MS 20
#define ROLE_TIMEOUT_MS 1000

static void probe_expired(struct timer *timer);

void probe_init(struct client_node *node)
{
	timer_init(&node->probe, probe_expired);
}

void probe_soon(struct client_node *node)
{
	if (!node->client->pool && !timer_armed(&node->probe))
		timer_start(&node->client->loop.wheel, &node->probe, node->client->loop.now + PROBE_MS / 2);
}

/* ---- has a replica been promoted? ---- */

static void role_told(void *ctx, const shard_result *result)
{
	struct client_node *replica = ctx, *node = replica->probed_for;

	replica->probed_for = NULL;
	if (result->error == SHARD_OK && result->reply->type == SHARD_REPLY_ARRAY && result->reply->len &&
	    shard_reply_is(&result->reply->element[0], "master") && node->sick)
		map_promoted(node->client, replica);
	node_unref(replica);
	node_unref(node);
}

static void ask_role(struct client_node *node, struct client_node *replica)
{
	const char *const role[] = {"ROLE"};

	if (submit_internal(node->client, replica, ROLE_TIMEOUT_MS, role_told, replica, 1, role, NULL) != SHARD_OK)
		return;
	node_ref(node);
	node_ref(replica);
	replica->probed_for = node;
}

/* Those that were sick, too: who else would find out that they are well? Returns whether NODE may have replicas. */
static bool ask_replicas(struct client_node *node)
{
	shard_client *client = node->client;
	int index = shard_topology_find_addr(client->topology, node->host, node->port);

	if (index < 0 || shard_topology_node(client->topology, (size_t)index)->master >= 0)
		return false;
	for (size_t i = 0; i < client->node_of_count; i++) {
		struct client_node *replica = client->node_of[i];

		if (shard_topology_node(client->topology, i)->master == index && replica && !replica->probed_for)
			ask_role(node, replica);
	}
	return true;
}

/* ---- and both ---- */

static void probe_expired(struct timer *timer)
{
	struct client_node *node = list_entry(timer, struct client_node, probe);
	shard_client *client = node->client;
	bool more;

	if (client->pool) {
		pool_probe(node);
		return;
	}
	if (!client->topology || client->single || !client->pending)
		return;
	more = request_try_down(node);
	if (node->sick)
		more |= ask_replicas(node);
	if (more && !timer_armed(timer))
		timer_start(&client->loop.wheel, timer, client->loop.now + PROBE_MS);
}
