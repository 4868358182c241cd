/* SPDX-License-Identifier: MIT */
/*
 * bench-client HOST:PORT [WINDOW [KEYS]]: GETs with WINDOW (1000) in flight.
 *
 * Reads lines "SIDE COUNT" (SIDE: shard, hiredis, raw), answers each with
 * "COUNT CPU-NS WALL-NS" when COUNT GETs are answered. CPU is this process's,
 * user and system. A side connects when it is first named; what that costs is
 * in its first answer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "workload.h"

static const struct contestant *const contestants[] = {
	&contestant_shard,
	&contestant_hiredis,
	&contestant_raw,
};

enum { CONTESTANTS = sizeof(contestants) / sizeof(*contestants) };

static void *opened[CONTESTANTS];

static long long cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
}

static long long wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int find(const char *name)
{
	for (int i = 0; i < CONTESTANTS; i++)
		if (strcmp(contestants[i]->name, name) == 0)
			return i;
	return -1;
}

static int measure(struct workload *workload, const char *name, size_t count)
{
	int i = find(name), wrong;
	long long cpu, wall;

	if (i < 0) {
		fprintf(stderr, "bench-client: %s: no such side\n", name);
		return -1;
	}
	cpu = cpu_ns();
	wall = wall_ns();
	if (!opened[i] && !(opened[i] = contestants[i]->open(workload)))
		return -1;
	wrong = contestants[i]->run(opened[i], count);
	cpu = cpu_ns() - cpu;
	wall = wall_ns() - wall;
	if (wrong) {
		fprintf(stderr, "bench-client: %s: %d of %zu answers were wrong or missing\n", name, wrong, count);
		return -1;
	}
	printf("%zu %lld %lld\n", count, cpu, wall);
	fflush(stdout);
	return 0;
}

int main(int argc, char **argv)
{
	size_t window = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;
	size_t keys = argc > 3 ? strtoul(argv[3], NULL, 10) : 10000;
	struct workload workload;
	char name[32];
	size_t count;
	int status = 0;

	if (argc < 2 || !window || !keys) {
		fprintf(stderr, "usage: bench-client HOST:PORT [WINDOW [KEYS]]\n");
		return 2;
	}
	if (workload_init(&workload, argv[1], keys, window))
		return 2;
	while (!status && scanf("%31s %zu", name, &count) == 2)
		status = measure(&workload, name, count) ? 2 : 0;
	for (int i = 0; i < CONTESTANTS; i++)
		if (opened[i])
			contestants[i]->close(opened[i]);
	workload_finish(&workload);
	return status;
}
