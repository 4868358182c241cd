/* SPDX-License-Identifier: MIT */
/* rslots: which node serves which slots, and which keys. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/slot.h>
#include <shard/topology.h>

#include "cli.h"
#include "format.h"
#include "input.h"
#include "record.h"

enum { OPTION_DIFF = 0x200 };

struct rslots {
	struct cli_connect connect;
	enum record_format format;
	struct words keys;
	const char *diff;
	shard_topology *map;
};

static const struct argp_option options[] = {
	{"diff", OPTION_DIFF, "OTHER.yml", 0, "For a pool: which share of the keys moves where (not supported yet)", 0},
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
	.doc = "Prints which node serves which slots, and which keys.\v"
	       "Alone: a record a range: FIRST LAST HOST:PORT NODE-ID REPLICA,REPLICA... With keys (-: from standard "
	       "input): a record each: KEY SLOT HOST:PORT.\n\n"
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

static int put_key(struct record_writer *writer, const shard_topology *map, const char *key, size_t len)
{
	unsigned slot = shard_slot(key, len);
	int owner = shard_topology_owner(map, slot);

	if (!record_can(writer, key, len)) {
		cli_error_about(key, len, "holds a NUL, which -0 cannot carry");
		return CLI_FAILED;
	}
	record_begin(writer);
	record_text(writer, "key", key, len);
	record_number(writer, "slot", slot);
	if (owner < 0) {
		record_none(writer, "node");
	} else {
		const char *addr = shard_topology_node(map, (size_t)owner)->addr;

		record_text(writer, "node", addr, strlen(addr));
	}
	record_end(writer);
	return CLI_OK;
}

static int print_args(struct rslots *rslots, struct record_writer *writer)
{
	int status = CLI_OK;

	for (size_t i = 0; i < rslots->keys.count; i++) {
		const char *key = rslots->keys.word[i];

		if (put_key(writer, rslots->map, key, strlen(key)))
			status = CLI_FAILED;
	}
	return status;
}

static int print_record(struct rslots *rslots, struct record_writer *writer, const struct input *input, char *data,
			size_t len)
{
	static const char *const names[] = {"key"};
	struct record_field key;
	const char *why = record_split(rslots->format, data, len, names, 1, &key);

	if (!why)
		return put_key(writer, rslots->map, key.data, key.len);
	cli_error("%s %llu: %s", input->delimiter ? "line" : "record", (unsigned long long)input->number, why);
	return CLI_FAILED;
}

static int print_input(struct rslots *rslots, struct record_writer *writer)
{
	struct input input;
	int status = CLI_OK;

	input_init(&input, STDIN_FILENO, rslots->format == RECORD_NUL ? '\0' : '\n', 1);
	for (;;) {
		char *data = NULL;
		size_t len = 0;
		enum input_status next = input_next(&input, &data, &len);

		if (next == INPUT_END)
			break;
		if (next == INPUT_MORE) {
			out_flush(writer->out);
			input_fill(&input);
		} else if (next == INPUT_BROKEN) {
			cli_error("record %llu: not complete: it does not end in NUL",
				  (unsigned long long)input.number);
			status = CLI_FAILED;
		} else if (print_record(rslots, writer, &input, data, len)) {
			status = CLI_FAILED;
		}
	}
	status = input.failed ? CLI_FAILED : status;
	input_finish(&input);
	return status;
}

static int print_keys(struct rslots *rslots)
{
	struct out out;
	struct record_writer writer = {.format = rslots->format, .out = &out};
	int status;

	out_init(&out, STDOUT_FILENO);
	status = words_are_input(&rslots->keys) ? print_input(rslots, &writer) : print_args(rslots, &writer);
	out_flush(&out);
	out_finish(&out);
	return status;
}

/* ---- all ---- */

static int run(struct rslots *rslots)
{
	int status;

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
	int status = CLI_FAILED;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rslots);
	if (rslots.diff)
		cli_error("--diff: pools of plain servers are not supported yet");
	else if (cli_connect_open(&rslots.connect, CLI_ONE_SHOT))
		status = run(&rslots);
	cli_connect_close(&rslots.connect);
	free(rslots.keys.word);
	return status;
}
