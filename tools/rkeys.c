/* SPDX-License-Identifier: MIT */
/* rkeys: the keys of the whole cluster. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "progress.h"
#include "record.h"
#include "rkeys_long.h"

#define SCAN_COUNT 1000
#define OUT_HIGH (1024 * 1024)

struct rkeys {
	struct cli_connect connect;
	struct record_writer writer;
	struct out out;
	const char *pattern;
	bool long_form;
	struct long_list long_list;

	shard_scan *scan;
	bool asked, done;
	uint64_t listed, total;
	struct progress progress;
	int status;
};

static const struct argp_option options[] = {
	{"long", 'l', NULL, 0, "KEY TYPE PTTL BYTES SLOT HOST:PORT for each key", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rkeys *rkeys = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rkeys->connect;
		state->child_inputs[1] = &rkeys->writer.format;
		return 0;
	case 'l':
		rkeys->long_form = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			cli_usage("one PATTERN is all");
		rkeys->pattern = arg;
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "[PATTERN]",
	.doc = "Lists the keys of the whole cluster, each once, in no order.\v"
	       "PATTERN is a glob as KEYS takes it: * ? [abc] [^a-z] and backslash.\n\n"
	       "Exit status: 0 done, 2 usage or a failure.",
	.children = format_children,
};

static bool can_print(struct rkeys *rkeys, const char *key, size_t len)
{
	if (record_can(&rkeys->writer, key, len))
		return true;
	cli_error_about(key, len, "holds a NUL, which -0 cannot carry");
	rkeys->status = CLI_FAILED;
	return false;
}

/* ---- the scan ---- */

static void list_key(struct rkeys *rkeys, const char *key, size_t len)
{
	if (!can_print(rkeys, key, len))
		return;
	rkeys->listed++;
	if (rkeys->long_form)
		return long_list_add(&rkeys->long_list, key, len);
	record_begin(&rkeys->writer);
	record_text(&rkeys->writer, "key", key, len);
	record_end(&rkeys->writer);
}

static void ask_next(struct rkeys *rkeys);

static void on_batch(void *ctx, const shard_scan_batch *batch)
{
	struct rkeys *rkeys = ctx;

	rkeys->asked = false;
	for (size_t i = 0; i < batch->count; i++)
		list_key(rkeys, batch->keys[i].str, batch->keys[i].len);
	if (batch->error) {
		cli_result_error(
			NULL, 0,
			&(shard_result){
				.error = batch->error, .message = batch->message, .node = batch->node, .slot = -1});
		rkeys->status = CLI_FAILED;
	}
	rkeys->done = batch->done || batch->error;
	ask_next(rkeys);
}

static void ask_next(struct rkeys *rkeys)
{
	if (rkeys->asked || rkeys->done || rkeys->long_list.open > SCAN_COUNT || out_waiting(&rkeys->out) >= OUT_HIGH)
		return;
	rkeys->asked = true;
	if (shard_scan_next(rkeys->scan, on_batch, rkeys)) {
		cli_error("out of memory");
		rkeys->done = true;
		rkeys->status = CLI_FAILED;
	}
}

static void on_total(void *ctx, const shard_result *result)
{
	struct rkeys *rkeys = ctx;

	if (!result->error && result->reply->type == SHARD_REPLY_INTEGER)
		rkeys->total = (uint64_t)result->reply->integer;
}

/* Only a bar needs to know how many there are. */
static void ask_total(struct rkeys *rkeys)
{
	const char *const argv[] = {"DBSIZE"};

	if (rkeys->progress.on && !rkeys->pattern)
		(void)!shard_submit(rkeys->connect.client, 1, argv, NULL, NULL, on_total, rkeys, NULL);
}

static bool is_over(const struct rkeys *rkeys)
{
	return rkeys->done && !rkeys->asked && !rkeys->long_list.open;
}

static void loop(struct rkeys *rkeys)
{
	ask_total(rkeys);
	ask_next(rkeys);
	while (!is_over(rkeys)) {
		out_drain(&rkeys->out, rkeys->connect.client);
		if (shard_client_wait(rkeys->connect.client, progress_wait_ms(&rkeys->progress)))
			break;
		progress_show(&rkeys->progress, rkeys->listed, rkeys->listed, rkeys->total);
		ask_next(rkeys);
	}
	progress_end(&rkeys->progress);
	out_flush(&rkeys->out);
}

static void list(struct rkeys *rkeys)
{
	shard_scan_options how = {
		.match = rkeys->pattern,
		.match_len = rkeys->pattern ? strlen(rkeys->pattern) : 0,
		.count = SCAN_COUNT,
	};

	out_init(&rkeys->out, STDOUT_FILENO);
	rkeys->writer.out = &rkeys->out;
	rkeys->long_list = (struct long_list){
		.client = rkeys->connect.client, .writer = &rkeys->writer, .slots = !rkeys->connect.pool};
	progress_init(&rkeys->progress, "keys");
	rkeys->scan = shard_scan_create(rkeys->connect.client, &how);
	if (rkeys->scan)
		loop(rkeys);
	else
		cli_error("out of memory");
	if (!rkeys->scan || !long_list_end(&rkeys->long_list))
		rkeys->status = CLI_FAILED;
	shard_scan_destroy(rkeys->scan);
	out_finish(&rkeys->out);
}

int main(int argc, char *argv[])
{
	struct rkeys rkeys = {0};

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rkeys);
	if (cli_connect_open(&rkeys.connect, CLI_STREAM))
		list(&rkeys);
	else
		rkeys.status = CLI_FAILED;
	cli_connect_close(&rkeys.connect);
	return rkeys.status;
}
