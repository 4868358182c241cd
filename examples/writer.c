/* SPDX-License-Identifier: MIT */
/*
 * writer: the example of the Redis Cluster tutorial. It writes foo1, foo2, ...
 * one after the other, prints each value as it reads it again, and keeps in
 * __last__ how far it came: started anew, it goes on from there. An error is
 * printed, and it goes on with the next key. Watch it while nodes fail, fail
 * over, and slots move.
 *
 * writer [COUNT [PAUSE-MS]]: stops after COUNT keys (0: never), and waits
 * PAUSE-MS between them (100).
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shard/shard.h>

#include "args.h"
#include "cli.h"

#define PAUSE_MAX 3600000 /* ms */

static void print_error(const shard_answer *answer)
{
	printf("error %s", answer->message);
	if (*answer->node)
		printf(" (%s, slot %d)", answer->node, answer->slot);
	putchar('\n');
}

static bool set(shard_client *client, const char *key, const char *value)
{
	shard_answer *answer = shard_dol(client, NULL, "SET", key, value, (char *)NULL);
	bool ok = !answer->error;

	if (!ok)
		print_error(answer);
	shard_answer_free(answer);
	return ok;
}

/* Copies the value of KEY to VALUE ("" where there is none). */
static bool get(shard_client *client, const char *key, char *value, size_t size)
{
	shard_answer *answer = shard_dol(client, NULL, "GET", key, (char *)NULL);
	bool ok = !answer->error;

	if (!ok)
		print_error(answer);
	else
		snprintf(value, size, "%s", answer->reply->type == SHARD_REPLY_STRING ? answer->reply->str : "");
	shard_answer_free(answer);
	return ok;
}

/* Where the last run came to. There is nothing to do without knowing, so it asks until it does. */
static unsigned long find_last(shard_client *client)
{
	char value[32];

	while (!get(client, "__last__", value, sizeof(value)))
		sleep(1);
	return strtoul(value, NULL, 10);
}

static void write_one(shard_client *client, unsigned long x)
{
	char key[32], value[32], found[32];

	snprintf(key, sizeof(key), "foo%lu", x);
	snprintf(value, sizeof(value), "%lu", x);
	if (!set(client, key, value) || !get(client, key, found, sizeof(found)))
		return;
	puts(found);
	set(client, "__last__", value);
}

int main(int argc, char *argv[])
{
	struct args args = {.doc = "Writes foo1, foo2, ... for ever.", .words = "[COUNT [PAUSE-MS]]"};
	shard_client *client = args_client(&args, argc, argv);
	unsigned long count, pause_ms, last;

	if (!client)
		return 2;
	if (args.word[0] && args.word[1] && args.word[2])
		cli_usage("%s: there are two words, COUNT and PAUSE-MS", args.word[2]);
	count = args.word[0] ? (unsigned long)cli_number("COUNT", args.word[0], 0, LONG_MAX) : 0;
	pause_ms = args.word[0] && args.word[1] ? (unsigned long)cli_number("PAUSE-MS", args.word[1], 0, PAUSE_MAX) : 100;
	setvbuf(stdout, NULL, _IOLBF, 0);
	last = find_last(client);
	for (unsigned long i = 1; (!count || i <= count) && !ferror(stdout); i++) {
		write_one(client, last + i);
		usleep((useconds_t)pause_ms * 1000);
	}
	shard_client_destroy(client);
	args_finish(&args);
	return 0;
}
