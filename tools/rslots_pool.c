/* SPDX-License-Identifier: MIT */
#include "rslots_pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "rslots_keys.h"
#include "rslots_layout.h"

static void put_text(struct record_writer *writer, const char *name, const char *text)
{
	record_text(writer, name, text, strlen(text));
}

void pool_put_share(struct record_writer *writer, double share)
{
	char text[16] = "0";

	if (share > 0)
		snprintf(text, sizeof(text), "%.6f", share);
	if (writer->format != RECORD_JSON) {
		put_text(writer, "share", text);
		return;
	}
	out_text(writer->out, writer->fields++ ? ",\"share\":" : "\"share\":");
	out_text(writer->out, text);
}

/* ---- servers ---- */

static void put_points(struct record_writer *writer, const struct layout *layout, const size_t *points, size_t server)
{
	if (layout->pool->distribution == SHARD_KETAMA)
		record_number(writer, "points", (long long)points[server]);
	else
		record_none(writer, "points");
}

static size_t *count_points(const struct layout *layout)
{
	size_t *points = cli_alloc(layout->pool->server_count * sizeof(*points));

	memset(points, 0, layout->pool->server_count * sizeof(*points));
	for (size_t i = 0; i < shard_ring_point_count(layout->ring); i++) {
		int server;

		shard_ring_point(layout->ring, i, &server);
		points[server]++;
	}
	return points;
}

static void print_servers(struct record_writer *writer, const struct layout *layout)
{
	const shard_pool *pool = layout->pool;
	double *share = cli_alloc(pool->server_count * sizeof(*share));
	size_t *points = count_points(layout);

	layout_shares(layout, share);
	for (size_t i = 0; i < pool->server_count; i++) {
		record_begin(writer);
		put_text(writer, "name", pool->server[i].name);
		put_text(writer, "node", pool->server[i].addr);
		put_points(writer, layout, points, i);
		pool_put_share(writer, share[i]);
		record_end(writer);
	}
	free(points);
	free(share);
}

/* ---- keys ---- */

struct printer {
	struct record_writer writer;
	const struct layout *layout;
};

static void put_hash(struct record_writer *writer, uint64_t hash)
{
	char text[24];

	if (hash <= UINT32_MAX) {
		record_number(writer, "hash", (long long)hash);
		return;
	}
	snprintf(text, sizeof(text), "%" PRIu64, hash);
	put_text(writer, "hash", text); /* in JSON a string: few of its readers hold 64 bits */
}

static void put_server(struct record_writer *writer, const struct layout *layout, int server)
{
	if (server < 0) {
		record_none(writer, "name");
		record_none(writer, "node");
	} else {
		put_text(writer, "name", layout->pool->server[server].name);
		put_text(writer, "node", layout->pool->server[server].addr);
	}
}

static int print_key(void *ctx, const char *key, size_t len)
{
	struct printer *printer = ctx;
	struct record_writer *writer = &printer->writer;
	const shard_ring *ring = printer->layout->ring;

	if (!keys_can(writer, key, len))
		return CLI_FAILED;
	record_begin(writer);
	record_text(writer, "key", key, len);
	put_hash(writer, shard_ring_hash(ring, key, len));
	put_server(writer, printer->layout, shard_ring_route(ring, key, len));
	record_end(writer);
	return CLI_OK;
}

/* ---- all ---- */

static int print(const struct pool_query *query, const struct layout *layout)
{
	struct out out;
	struct printer printer = {{.format = query->format, .out = &out}, layout};
	int status = CLI_OK;

	if (query->keys.count && !layout_has_places(layout))
		return CLI_FAILED;
	out_init(&out, STDOUT_FILENO);
	if (query->keys.count)
		status = keys_walk(&query->keys, query->format, &out, print_key, &printer);
	else
		print_servers(&printer.writer, layout);
	out_flush(&out);
	out_finish(&out);
	return status;
}

int pool_print(const struct pool_query *query)
{
	struct layout layout;
	int status = layout_init(&layout, query->path, query->pool) ? print(query, &layout) : CLI_FAILED;

	layout_finish(&layout);
	return status;
}
