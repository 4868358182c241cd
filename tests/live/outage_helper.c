/* SPDX-License-Identifier: MIT */
/*
 * outage_helper URI TIMEOUT-MS KEY...: writes the keys in turn with blocking calls, a millisecond between two, says
 * "ready" when each was written once, and ends with its standard input. A write that failed or took longer than SLOW_MS
 * is a line: BEGAN ENDED KEY ERROR MESSAGE, the times in seconds since 1970, ERROR 0 for success.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <shard/shard.h>

#include "connect.h"

#define SLOW_MS 15

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void write_key(shard_client *client, const char *key, unsigned long number)
{
	double began = now(), ended;
	shard_answer *answer;
	char value[24];

	snprintf(value, sizeof(value), "%lu", number);
	answer = shard_dol(client, NULL, "SET", key, value, (char *)NULL);
	ended = now();
	if (answer->error || ended - began > SLOW_MS / 1e3)
		printf("%.6f %.6f %s %d %s\n", began, ended, key, answer->error, answer->message);
	shard_answer_free(answer);
}

static bool told_to_end(void)
{
	struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

	return poll(&in, 1, 1) != 0;
}

int main(int argc, char *argv[])
{
	shard_client *client;

	if (argc < 4 || !(client = connect_to(argv[1], (unsigned)strtoul(argv[2], NULL, 10)))) {
		fprintf(stderr, "usage: outage_helper URI TIMEOUT-MS KEY...\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (unsigned long i = 0; !told_to_end(); i++) {
		write_key(client, argv[3 + i % (unsigned long)(argc - 3)], i);
		if (i + 1 == (unsigned long)(argc - 3))
			puts("ready");
	}
	shard_client_destroy(client);
	return 0;
}
