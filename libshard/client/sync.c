/* SPDX-License-Identifier: MIT */
/* Blocking calls: submit, then run the client until it is done. */
#include <shard/sync.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 1024

/* An answer as it is kept: all that it points to is its own. */
struct owned {
	shard_answer answer; /* first */
	bool done;
};

static shard_answer out_of_memory = {
	.error = SHARD_ENOMEM, .message = "out of memory", .node = "", .slot = -1};

static void release(shard_answer *answer)
{
	for (size_t i = 0; i < answer->part_count; i++)
		release((shard_answer *)&answer->part[i]);
	free((void *)answer->part);
	shard_reply_free((shard_reply *)answer->reply);
	free((char *)answer->message);
	free((char *)answer->node);
}

void shard_answer_free(shard_answer *answer)
{
	if (!answer || answer == &out_of_memory)
		return;
	release(answer);
	free(answer);
}

static void keep(shard_answer *answer, const shard_result *result)
{
	shard_answer *part = NULL;

	answer->error = result->error;
	answer->slot = result->slot;
	answer->message = strdup(result->message);
	answer->node = strdup(result->node);
	answer->reply = result->reply ? shard_reply_copy(result->reply) : NULL;
	if (result->part_count) {
		part = calloc(result->part_count, sizeof(*part));
		answer->part = part;
		answer->part_count = part ? result->part_count : 0;
	}
	for (size_t i = 0; i < answer->part_count; i++)
		keep(&part[i], &result->part[i]);
	if (!answer->message || !answer->node || (result->reply && !answer->reply) ||
	    answer->part_count != result->part_count)
		answer->error = SHARD_ENOMEM;
}

static void finished(void *ctx, const shard_result *result)
{
	struct owned *owned = ctx;

	keep(&owned->answer, result);
	owned->done = true;
}

static void refuse(struct owned *owned, int error)
{
	shard_result result = {.error = error, .message = shard_strerror(error), .node = "", .slot = -1};

	finished(owned, &result);
}

static shard_answer *wait_for(shard_client *client, struct owned *owned, int error)
{
	while (!error && !owned->done)
		error = shard_client_wait(client, -1);
	if (error)
		refuse(owned, error);
	/* Empty strings, so that a caller may print what memory was short for. */
	if (!owned->answer.message || !owned->answer.node) {
		shard_answer_free(&owned->answer);
		return &out_of_memory;
	}
	return &owned->answer;
}

shard_answer *shard_do(shard_client *client, int argc, const char *const argv[], const size_t argvlen[],
		       const shard_call *how)
{
	struct owned *owned = calloc(1, sizeof(*owned));

	if (!owned)
		return &out_of_memory;
	return wait_for(client, owned, shard_submit(client, argc, argv, argvlen, how, finished, owned, NULL));
}

shard_answer *shard_dol(shard_client *client, const shard_call *how, ...)
{
	const char *argv[WORDS_MAX];
	int argc = 0;
	va_list words;

	va_start(words, how);
	while (argc < WORDS_MAX && (argv[argc] = va_arg(words, const char *)))
		argc++;
	va_end(words);
	return shard_do(client, argc < WORDS_MAX ? argc : 0, argv, NULL, how);
}

shard_answer *shard_do_multi(shard_client *client, size_t count, const shard_args commands[], const shard_call *how)
{
	struct owned *owned = calloc(1, sizeof(*owned));

	if (!owned)
		return &out_of_memory;
	return wait_for(client, owned, shard_submit_multi(client, count, commands, how, finished, owned, NULL));
}

int shard_do_refresh(shard_client *client)
{
	struct owned *owned = calloc(1, sizeof(*owned));
	shard_answer *answer;
	int error;

	if (!owned)
		return SHARD_ENOMEM;
	answer = wait_for(client, owned, shard_refresh(client, finished, owned));
	error = answer->error;
	shard_answer_free(answer);
	return error;
}
