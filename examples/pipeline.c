/* SPDX-License-Identifier: MIT */
/*
 * pipeline COUNT: sets COUNT keys and adds up what it gets back, with 1000
 * requests under way at any time.
 *
 * There is no pipeline to open: requests that are submitted together travel
 * together, to all nodes at once, and a callback may submit the next one.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <shard/shard.h>

#include "args.h"

#define WINDOW 1000

struct run {
	shard_client *client;
	bool reading; /* first all keys are set, then all are read */
	uint64_t next, count, failed, sum;
};

static void submit_next(struct run *run);

static void on_result(void *ctx, const shard_result *result)
{
	struct run *run = ctx;

	if (result->error) {
		fprintf(stderr, "pipeline: %s (%s, slot %d)\n", result->message, result->node, result->slot);
		run->failed++;
	} else if (result->reply->type == SHARD_REPLY_STRING) {
		run->sum += strtoull(result->reply->str, NULL, 10);
	}
	submit_next(run);
}

static void submit_next(struct run *run)
{
	char key[32], value[32];
	const char *const argv[] = {run->reading ? "GET" : "SET", key, value};

	if (run->next == run->count)
		return;
	snprintf(key, sizeof(key), "pipeline:%" PRIu64, run->next);
	snprintf(value, sizeof(value), "%" PRIu64, run->next);
	run->next++;
	/* The words are copied: they may go away. */
	if (shard_submit(run->client, run->reading ? 2 : 3, argv, NULL, NULL, on_result, run, NULL))
		run->failed++;
}

static void go_through(struct run *run, bool reading)
{
	run->reading = reading;
	run->next = 0;
	for (int i = 0; i < WINDOW; i++)
		submit_next(run);
	/* Until nothing is pending. */
	if (shard_client_run(run->client))
		run->failed++;
}

int main(int argc, char *argv[])
{
	struct args args = {.doc = "Sets COUNT keys and reads them again.", .words = "COUNT", .word_count = 1};
	struct run run = {.client = args_client(&args, argc, argv)};

	if (!run.client)
		return 2;
	run.count = strtoull(args.word[0], NULL, 10);
	go_through(&run, false);
	go_through(&run, true);
	printf("%" PRIu64 " keys, their values add up to %" PRIu64 ", %" PRIu64 " failed\n", run.count, run.sum,
	       run.failed);
	shard_client_destroy(run.client);
	args_finish(&args);
	return run.failed ? 2 : 0;
}
