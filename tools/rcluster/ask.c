/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/uri.h>

#include "cli.h"

shard_client *ask_client(const struct layout *layout)
{
	shard_client *client = NULL;
	shard_options options;
	shard_uri *uri = NULL;
	char *where = layout_uri(layout);
	char *why = NULL;
	int error = shard_uri_parse(where, &uri, &why);

	if (!error) {
		shard_options_init(&options);
		options.uri = uri;
		options.lazy = true;
		error = shard_client_create(&client, &options);
	}
	if (error)
		cli_error("%s: %s", where, why ? why : shard_strerror(error));
	shard_uri_free(uri);
	free(why);
	free(where);
	return client;
}

static void on_answer(void *ctx, const shard_result *result)
{
	struct ask *ask = ctx;

	ask->code = result->error;
	if (!result->error)
		ask->reply = shard_reply_copy(result->reply);
	if (!ask->reply)
		snprintf(ask->error, sizeof(ask->error), "%s",
			 result->error ? result->message : shard_strerror(SHARD_ENOMEM));
}

static void submit(shard_client *client, const struct layout *layout, struct ask *ask, unsigned timeout_ms)
{
	char addr[ADDR_SIZE];
	const shard_call how = {
		.flags = SHARD_ONCE | ask->flags,
		.timeout_ms = timeout_ms,
		.node = ask->to ? ask->to : layout_addr(layout, ask->node, addr),
	};
	int error =
		shard_submit(client, ask->argc, ask->words ? ask->words : ask->argv, ask->lens, &how, on_answer, ask, NULL);

	if (!error)
		return;
	ask->code = error;
	snprintf(ask->error, sizeof(ask->error), "%s", shard_strerror(error));
}

bool ask_all(shard_client *client, const struct layout *layout, struct ask ask[], size_t count, unsigned timeout_ms)
{
	bool well = true;

	for (size_t i = 0; i < count; i++)
		submit(client, layout, &ask[i], timeout_ms);
	shard_client_run(client);
	for (size_t i = 0; i < count; i++)
		well = well && ask[i].reply;
	return well;
}

bool ask_says(const shard_reply *reply, const char *line)
{
	return reply->type == SHARD_REPLY_STRING && strstr(reply->str, line);
}

void ask_finish(struct ask ask[], size_t count)
{
	for (size_t i = 0; i < count; i++) {
		shard_reply_free(ask[i].reply);
		ask[i].reply = NULL;
		ask[i].error[0] = '\0';
		ask[i].code = 0;
	}
}
