/* SPDX-License-Identifier: MIT */
/* rslots: which node serves which slots, and which keys; of a pool which server. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <shard/slot.h>
#include <shard/topology.h>

#include "cli.h"
#include "format.h"
#include "record.h"
#include "rslots_keys.h"
#include "rslots_pool.h"

enum { OPTION_DIFF = 0x200 };

struct rslots {
	struct cli_connect connect;
	enum record_format format;
	struct words keys;
	const char *diff;
	shard_topology *map;
};

static const struct argp_option options[] = {
	{"diff", OPTION_DIFF, "OTHER.yml", 0,
	 "For a pool: which share of the keys (or of those given) moves where with this file (or OTHER.yml#POOL)", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rslots *rslots = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rslots->connect;
		state->child_inputs[1] = &rslots->format;
		return 0;
	case OPTION_DIFF:
		rslots->diff = arg;
		return 0;
	case ARGP_KEY_ARG:
		words_add(&rslots->keys, arg, state);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "\nKEY...\n-",
	.doc = "Prints which node serves which slots, and which keys; of a pool, which server.\v"
	       "Alone: a record a range: FIRST LAST HOST:PORT NODE-ID REPLICA,REPLICA... With keys (-: from standard "
	       "input): a record each: KEY SLOT HOST:PORT.\n\n"
	       "Of a pool (-u twemproxy:FILE[#POOL]; none is asked) alone: NAME HOST:PORT POINTS SHARE. With keys: "
	       "KEY HASH NAME HOST:PORT. With --diff: MOVED-SHARE FROM-NAME TO-NAME, the largest first.\n\n"
	       "Exit status: 0 done, 2 usage or a failure.",
	.children = format_children,
};

/* ---- ranges ---- */

static void put_replicas(struct record_writer *writer, const shard_topology *map, int master)
{
	size_t count = shard_topology_node_count(map), found = 0;
	const char **addr = cli_alloc(count * sizeof(*addr));

	for (size_t i = 0; i < count; i++) {
		const shard_node *node = shard_topology_node(map, i);

		if (node->flags & SHARD_NODE_REPLICA && node->master == master)
			addr[found++] = node->addr;
	}
	record_list(writer, "replicas", addr, found);
	free(addr);
}

static void put_owner(struct record_writer *writer, const shard_topology *map, int owner)
{
	const shard_node *node = shard_topology_node(map, (size_t)owner);

	record_text(writer, "node", node->addr, strlen(node->addr));
	if (*node->id)
		record_text(writer, "id", node->id, strlen(node->id));
	else
		record_none(writer, "id");
	put_replicas(writer, map, owner);
}

static void put_nobody(struct record_writer *writer)
{
	record_none(writer, "node");
	record_none(writer, "id");
	record_none(writer, "replicas");
}

static void put_range(struct record_writer *writer, const shard_topology *map, unsigned first, unsigned last, int owner)
{
	record_begin(writer);
	record_number(writer, "first", first);
	record_number(writer, "last", last);
	if (owner < 0)
		put_nobody(writer);
	else
		put_owner(writer, map, owner);
	record_end(writer);
}

static int print_ranges(struct rslots *rslots)
{
	struct out out;
	struct record_writer writer = {.format = rslots->format, .out = &out};

	out_init(&out, STDOUT_FILENO);
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		int owner;

		shard_topology_range(rslots->map, first, &last, &owner);
		put_range(&writer, rslots->map, first, last, owner);
	}
	out_flush(&out);
	out_finish(&out);
	return CLI_OK;
}

/* ---- keys ---- */

struct printer {
	struct record_writer writer;
	const shard_topology *map;
};

static int put_key(void *ctx, const char *key, size_t len)
{
	struct printer *printer = ctx;
	struct record_writer *writer = &printer->writer;
	unsigned slot = shard_slot(key, len);
	int owner = shard_topology_owner(printer->map, slot);

	if (!keys_can(writer, key, len))
		return CLI_FAILED;
	record_begin(writer);
	record_text(writer, "key", key, len);
	record_number(writer, "slot", slot);
	if (owner < 0) {
		record_none(writer, "node");
	} else {
		const char *addr = shard_topology_node(printer->map, (size_t)owner)->addr;

		record_text(writer, "node", addr, strlen(addr));
	}
	record_end(writer);
	return CLI_OK;
}

static int print_keys(struct rslots *rslots)
{
	struct out out;
	struct printer printer = {{.format = rslots->format, .out = &out}, rslots->map};
	int status;

	out_init(&out, STDOUT_FILENO);
	status = keys_walk(&rslots->keys, rslots->format, &out, put_key, &printer);
	out_flush(&out);
	out_finish(&out);
	return status;
}

/* ---- all ---- */

#define POOL_SCHEME "twemproxy:"

/* Whether the URI is that of a pool, for which no client is made, unless its servers are a cluster's. */
static bool names_pool(const struct cli_connect *connect)
{
	char *chosen = connect->uri_text ? NULL : shard_uri_choose(NULL);
	const char *uri = connect->uri_text ? connect->uri_text : chosen;
	bool pool = uri && !strncasecmp(uri, POOL_SCHEME, strlen(POOL_SCHEME));

	if (chosen)
		explicit_bzero(chosen, strlen(chosen));
	free(chosen);
	return pool;
}

static int run_map(struct rslots *rslots);

static int run_pool(struct rslots *rslots)
{
	if (!cli_connect_resolve(&rslots->connect))
		return CLI_FAILED;
	/* With "cluster: true" it stands for the cluster of its servers. */
	if (!rslots->connect.pool) {
		if (rslots->diff)
			cli_usage("--diff compares pools of plain servers, and this one's are a cluster's (cluster: true)");
		return run_map(rslots);
	}

	struct pool_query query = {
		.path = rslots->connect.pool_file->path,
		.pool = rslots->connect.pool,
		.format = rslots->format,
		.keys = rslots->keys,
		.other = rslots->diff,
	};

	return rslots->diff ? pool_diff(&query) : pool_print(&query);
}

static int run_map(struct rslots *rslots)
{
	int status;

	if (rslots->diff)
		cli_usage("--diff compares pools of plain servers: name the one of now with -u twemproxy:FILE[#POOL]");
	if (!cli_connect_open(&rslots->connect, CLI_ONE_SHOT))
		return CLI_FAILED;
	/* The map of now, not the one believed in: that is what is asked for. */
	rslots->map = shard_topology_ref(cli_connect_map(&rslots->connect));
	if (!rslots->map)
		return CLI_FAILED;
	status = rslots->keys.count ? print_keys(rslots) : print_ranges(rslots);
	cli_connect_keep(&rslots->connect, rslots->map);
	shard_topology_unref(rslots->map);
	return status;
}

int main(int argc, char *argv[])
{
	struct rslots rslots = {0};
	int status;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rslots);
	status = names_pool(&rslots.connect) ? run_pool(&rslots) : run_map(&rslots);
	cli_connect_close(&rslots.connect);
	free(rslots.keys.word);
	return status;
}
