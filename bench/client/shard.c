/* SPDX-License-Identifier: MIT */
/* libshard, through its public header alone. */
#include <stdio.h>
#include <stdlib.h>

#include <shard/client.h>

#include "workload.h"

struct shard_side {
	shard_client *client;
	struct workload *workload;
	size_t to_send;
	size_t right;
};

static void on_reply(void *ctx, const shard_result *result);

static void submit_one(struct shard_side *side)
{
	const struct key *key = workload_next(side->workload);
	const char *argv[] = {"GET", key->name};
	const size_t len[] = {3, KEY_LEN};

	side->to_send--;
	if (shard_submit(side->client, 2, argv, len, NULL, on_reply, side, NULL))
		fprintf(stderr, "bench-client: shard_submit failed\n");
}

static void on_reply(void *ctx, const shard_result *result)
{
	struct shard_side *side = ctx;

	if (!result->error && result->reply->type == SHARD_REPLY_STRING && result->reply->len == VALUE_LEN)
		side->right++;
	if (side->to_send)
		submit_one(side);
}

static int shard_run(void *self, size_t count)
{
	struct shard_side *side = self;

	side->to_send = count;
	side->right = 0;
	for (size_t i = 0; i < side->workload->window && side->to_send; i++)
		submit_one(side);
	if (shard_client_run(side->client))
		return -1;
	return (int)(count - side->right);
}

static void shard_close(void *self)
{
	struct shard_side *side = self;

	shard_client_destroy(side->client);
	free(side);
}

static void *shard_open(struct workload *workload)
{
	struct shard_side *side = calloc(1, sizeof(*side));
	shard_options options;
	shard_uri *uri = NULL;
	char text[96];
	int error;

	if (!side)
		return NULL;
	snprintf(text, sizeof(text), "redis://%s", workload->seed);
	error = shard_uri_parse(text, &uri, NULL);
	if (!error) {
		shard_options_init(&options);
		options.uri = uri;
		side->workload = workload;
		error = shard_client_create(&side->client, &options);
	}
	shard_uri_free(uri);
	if (!error)
		return side;
	fprintf(stderr, "bench-client: %s: %s\n", text, shard_strerror(error));
	free(side);
	return NULL;
}

const struct contestant contestant_shard = {"shard", shard_open, shard_run, shard_close};
