/* SPDX-License-Identifier: MIT */
/* Statistics as nutcracker has them: monitoring that reads its JSON reads ours. */
#include "stats_json.h"

#include <stdio.h>
#include <unistd.h>

#include <shard/shard.h>

static void put_string(struct bytes *out, const char *text)
{
	bytes_put(out, "\"", 1);
	for (; *text; text++) {
		if ((unsigned char)*text < ' ')
			bytes_format(out, "\\u%04x", (unsigned char)*text);
		else if (*text == '"' || *text == '\\')
			bytes_format(out, "\\%c", *text);
		else
			bytes_put(out, text, 1);
	}
	bytes_put(out, "\"", 1);
}

static void put_number(struct bytes *out, const char *before, const char *name, uint64_t value)
{
	bytes_format(out, "%s\"%s\":%llu", before, name, (unsigned long long)value);
}

static void put_server(struct bytes *out, const struct server_view *server)
{
	const shard_node_state *state = &server->state;

	put_string(out, server->name);
	bytes_string(out, ": {");
	put_number(out, "", "server_eof", state->closed);
	put_number(out, ", ", "server_err", state->errors);
	put_number(out, ", ", "server_timedout", state->late);
	put_number(out, ", ", "server_connections", state->connections);
	put_number(out, ", ", "server_ejected_at", state->ejected_at);
	put_number(out, ", ", "requests", state->requests);
	put_number(out, ", ", "request_bytes", state->request_bytes);
	put_number(out, ", ", "responses", server->stats.responses);
	put_number(out, ", ", "response_bytes", server->stats.response_bytes);
	put_number(out, ", ", "in_queue", state->queued);
	put_number(out, ", ", "in_queue_bytes", state->queued_bytes);
	put_number(out, ", ", "out_queue", state->sent);
	put_number(out, ", ", "out_queue_bytes", state->sent_bytes);
	bytes_string(out, "}");
}

static void put_pool(struct bytes *out, const struct pool_view *pool)
{
	uint64_t ejections = 0;

	for (size_t i = 0; i < pool->server_count; i++)
		ejections += pool->server[i].state.ejections;
	put_string(out, pool->name);
	bytes_string(out, ": {");
	put_number(out, "", "client_eof", pool->stats.client_eof);
	put_number(out, ", ", "client_err", pool->stats.client_err);
	put_number(out, ", ", "client_connections", pool->clients);
	put_number(out, ", ", "server_ejects", ejections);
	put_number(out, ", ", "forward_error", pool->stats.forward_error);
	put_number(out, ", ", "fragments", pool->stats.fragments);
	for (size_t i = 0; i < pool->server_count; i++) {
		bytes_string(out, i ? "," : ", ");
		put_server(out, &pool->server[i]);
	}
	bytes_string(out, "}");
}

void stats_json(struct bytes *out, const struct snapshot *snapshot, time_t since)
{
	time_t now = time(NULL);
	char host[256] = "";
	uint64_t total = snapshot->pool_count, current = snapshot->pool_count;

	gethostname(host, sizeof(host) - 1);
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		const struct pool_view *pool = &snapshot->pool[i];

		total += pool->stats.client_accepted;
		current += pool->clients;
		for (size_t k = 0; k < pool->server_count; k++) {
			const shard_node_state *state = &pool->server[k].state;

			total += state->connections + state->closed + state->errors + state->late;
			current += state->connections;
		}
	}
	bytes_string(out, "{\"service\":\"nutcracker\", \"source\":");
	put_string(out, host);
	bytes_format(out, ", \"version\":\"%s\"", SHARD_VERSION);
	put_number(out, ", ", "uptime", (uint64_t)(now - since));
	put_number(out, ", ", "timestamp", (uint64_t)now);
	put_number(out, ", ", "total_connections", total);
	put_number(out, ", ", "curr_connections", current);
	for (size_t i = 0; i < snapshot->pool_count; i++) {
		bytes_string(out, ", ");
		put_pool(out, &snapshot->pool[i]);
	}
	bytes_string(out, "}\n");
}
