/* SPDX-License-Identifier: MIT */
/*
 * What a client knows of its nodes, for who shows it.
 */
#include "client/internal.h"

static void add_list(const struct list *items, size_t *count, size_t *bytes)
{
	for (const struct list *l = items->next; l != items; l = l->next) {
		++*count;
		*bytes += list_entry(l, struct conn_item, link)->len;
	}
}

void shard_client_each_node(shard_client *client, void (*callback)(void *ctx, const shard_node_state *state), void *ctx)
{
	for (struct list *l = client->nodes.next; l != &client->nodes; l = l->next) {
		const struct client_node *node = list_entry(l, struct client_node, all);
		shard_node_state state = {
			.addr = node->addr,
			.ejected = node->ejected,
			.ejected_at = node->ejected_at,
			.ejections = node->ejections,
			.closed = node->closed,
			.errors = node->errors,
			.late = node->late,
			.requests = node->requests,
			.request_bytes = node->request_bytes,
		};

		for (const struct list *c = node->conns.next; c != &node->conns; c = c->next) {
			const struct conn *conn = list_entry(c, struct conn, links);

			state.connections += conn->state == CONN_UP;
			add_list(&conn->queue, &state.queued, &state.queued_bytes);
			add_list(&conn->sent, &state.sent, &state.sent_bytes);
		}
		callback(ctx, &state);
	}
}
