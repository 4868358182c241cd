/* SPDX-License-Identifier: MIT */
/*
 * bench-fs-see HOST PORT KEY FILE COUNT: COUNT times sets KEY at the node that has it and looks at FILE, which is
 * KEY in a mount, until it shows that, sleeping for 20 us between two looks. Prints "SEEN-P50-NS SEEN-P99-NS GET-P50-NS":
 * the time from before the SET was sent until its value was read, and what one GET takes from here.
 *
 * With FILE "-" it only GETs the COUNT keys KEY0, KEY1, ...: prints "WALL-NS CPU-NS" of all.
 */
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_NS 5000000000LL

static long long now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	long long x = *(const long long *)a, y = *(const long long *)b;

	return (x > y) - (x < y);
}

static int ask(redisContext *server, const char *format, const char *key, const char *value)
{
	redisReply *reply = redisCommand(server, format, key, value);
	int failed = !reply || reply->type == REDIS_REPLY_ERROR || reply->type == REDIS_REPLY_NIL;

	if (failed)
		fprintf(stderr, "bench-fs-see: %s\n", reply && reply->str ? reply->str : server->errstr);
	if (reply)
		freeReplyObject(reply);
	return failed;
}

/* Returns the time; 0: it was never seen. */
static long long see(redisContext *server, const char *key, int fd, const char *value)
{
	char bytes[64] = "";
	long long start = now(CLOCK_MONOTONIC), time = 0;

	if (ask(server, "SET %s %s", key, value))
		return 0;
	while (time < DEADLINE_NS) {
		ssize_t n = pread(fd, bytes, sizeof(bytes) - 1, 0);

		time = now(CLOCK_MONOTONIC) - start;
		if (n == (ssize_t)strlen(value) && !memcmp(bytes, value, (size_t)n))
			return time;
		usleep(20);
	}
	fprintf(stderr, "bench-fs-see: \"%s\" is never seen\n", value);
	return 0;
}

static int watch(redisContext *server, const char *key, const char *path, int count)
{
	long long *seen = calloc((size_t)count, sizeof(*seen)), *got = calloc((size_t)count, sizeof(*got));
	int fd = -1, failed = !seen || !got || ask(server, "SET %s %s", key, "first") || (fd = open(path, O_RDONLY)) < 0;
	char value[64];

	for (int i = 0; i < count && !failed; i++) {
		snprintf(value, sizeof(value), "value %d", i);
		seen[i] = see(server, key, fd, value);
		long long start = now(CLOCK_MONOTONIC);
		failed = !seen[i] || ask(server, "GET %s", key, NULL);
		got[i] = now(CLOCK_MONOTONIC) - start;
	}
	if (!failed) {
		qsort(seen, (size_t)count, sizeof(*seen), compare);
		qsort(got, (size_t)count, sizeof(*got), compare);
		printf("%lld %lld %lld\n", seen[count / 2], seen[count * 99 / 100], got[count / 2]);
	}
	free(seen);
	free(got);
	return failed;
}

static int get_all(redisContext *server, const char *key, int count)
{
	long long wall = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
	char name[64];
	int failed = 0;

	for (int i = 0; i < count && !failed; i++) {
		snprintf(name, sizeof(name), "%s%d", key, i);
		failed = ask(server, "GET %s", name, NULL);
	}
	if (!failed)
		printf("%lld %lld\n", now(CLOCK_MONOTONIC) - wall, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	return failed;
}

int main(int argc, char **argv)
{
	redisContext *server = argc == 6 ? redisConnect(argv[1], atoi(argv[2])) : NULL;

	if (!server || server->err) {
		fprintf(stderr, "usage: bench-fs-see HOST PORT KEY FILE|- COUNT\n");
		return 2;
	}
	prctl(PR_SET_TIMERSLACK, 1);
	if (strcmp(argv[4], "-") == 0)
		return get_all(server, argv[3], atoi(argv[5])) ? 2 : 0;
	return watch(server, argv[3], argv[4], atoi(argv[5])) ? 2 : 0;
}
