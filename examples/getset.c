/* SPDX-License-Identifier: MIT */
/*
 * getset KEY VALUE: sets a key, gets it again, with blocking calls.
 *
 * An answer is always there, and is the caller's to free: its error says how
 * it went, its reply is what the server said.
 */
#include <stdio.h>
#include <string.h>

#include <shard/shard.h>

#include "args.h"

static int set(shard_client *client, const char *key, const char *value)
{
	shard_answer *answer = shard_dol(client, NULL, "SET", key, value, (char *)NULL);
	int error = answer->error;

	if (error)
		fprintf(stderr, "getset: %s: %s\n", key, answer->message);
	shard_answer_free(answer);
	return error;
}

static int get(shard_client *client, const char *key)
{
	shard_answer *answer = shard_dol(client, NULL, "GET", key, (char *)NULL);
	int error = answer->error;

	if (error)
		fprintf(stderr, "getset: %s: %s\n", key, answer->message);
	else if (answer->reply->type == SHARD_REPLY_NIL)
		printf("%s is not there\n", key);
	else
		printf("%s is %.*s, says %s for slot %d\n", key, (int)answer->reply->len, answer->reply->str,
		       answer->node, answer->slot);
	shard_answer_free(answer);
	return error;
}

int main(int argc, char *argv[])
{
	struct args args = {.doc = "Sets a key and gets it again.", .words = "KEY VALUE", .word_count = 2};
	shard_client *client = args_client(&args, argc, argv);
	int status;

	if (!client)
		return 2;
	status = set(client, args.word[0], args.word[1]) || get(client, args.word[0]) ? 2 : 0;
	shard_client_destroy(client);
	args_finish(&args);
	return status;
}
