/* SPDX-License-Identifier: MIT */
/*
 * bench-fs-value HOST PORT set|get KEY BYTES: one SET of a value of so many bytes, or one GET of it, as a blocking
 * client does it; HOST:PORT is the node that has the key. Prints "WALL-NS CPU-NS" of the command alone: the
 * connection and the value in memory are there before.
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static redisReply *set(redisContext *server, const char *key, const char *value, size_t size)
{
	const char *argv[] = {"SET", key, value};
	size_t lens[] = {3, strlen(key), size};

	return redisCommandArgv(server, 3, argv, lens);
}

int main(int argc, char **argv)
{
	redisContext *server = argc == 6 ? redisConnect(argv[1], atoi(argv[2])) : NULL;
	size_t size = argc == 6 ? strtoul(argv[5], NULL, 10) : 0;
	int sets = argc == 6 && strcmp(argv[3], "set") == 0;
	char *value = sets ? malloc(size + 1) : NULL;

	if (!server || server->err || (sets && !value)) {
		fprintf(stderr, "usage: bench-fs-value HOST PORT set|get KEY BYTES\n");
		return 2;
	}
	if (sets)
		memset(value, 'v', size);
	long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	redisReply *reply = sets ? set(server, argv[4], value, size) : redisCommand(server, "GET %s", argv[4]);
	if (!reply || reply->type != (sets ? REDIS_REPLY_STATUS : REDIS_REPLY_STRING) ||
	    (!sets && (size_t)reply->len != size)) {
		fprintf(stderr, "bench-fs-value: %s %s: %s\n", argv[3], argv[4],
			server->err ? server->errstr : "not such a value");
		return 2;
	}
	wall = now(CLOCK_MONOTONIC) - wall;
	cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%lld %lld\n", wall, cpu);
	return 0;
}
