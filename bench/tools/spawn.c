/* SPDX-License-Identifier: MIT */
/*
 * bench-spawn COUNT PROGRAM ARG...: runs a program COUNT times, one after the
 * other, its output thrown away, and prints "COUNT CPU-NS WALL-NS". CPU is the
 * children's, user and system. A shell loop or python would cost more than
 * what is measured.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static long long cpu_ns(void)
{
	struct rusage usage;

	getrusage(RUSAGE_CHILDREN, &usage);
	return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
}

static long long wall_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int run_once(char **argv, const posix_spawn_file_actions_t *actions)
{
	pid_t pid;
	int status;
	int error = posix_spawnp(&pid, argv[0], actions, NULL, argv, environ);

	if (error) {
		fprintf(stderr, "bench-spawn: %s: %s\n", argv[0], strerror(error));
		return -1;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		fprintf(stderr, "bench-spawn: %s: ended with status %d\n", argv[0], WEXITSTATUS(status));
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	unsigned long count = argc > 2 ? strtoul(argv[1], NULL, 10) : 0;
	posix_spawn_file_actions_t actions;
	long long wall;

	if (!count) {
		fprintf(stderr, "usage: bench-spawn COUNT PROGRAM ARG...\n");
		return 2;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	wall = wall_ns();
	for (unsigned long i = 0; i < count; i++)
		if (run_once(argv + 2, &actions))
			return 2;
	printf("%lu %lld %lld\n", count, cpu_ns(), wall_ns() - wall);
	return 0;
}
