/* SPDX-License-Identifier: MIT */
/*
 * bench-fs-client DIR DAEMON-PID CLIENTS COUNT OPERATION...: CLIENTS processes do each OPERATION (stat, read, create,
 * unlink) on COUNT files each, one operation after the other. Prints a line for each: "OPERATION WALL-NS CPU-NS", an
 * operation's share of the time of all, and of the daemon's CPU. CPU time of the daemon that comes after the last
 * answer (RELEASE) counts in the operation that caused it.
 *
 * stat and read are of files "oldC-N" that are there (C is the client); create makes "newC-N", which unlink removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define VALUE_LEN 100

struct operation {
	const char *name;
	const char *prefix;
	int (*run)(const char *path); /* 0, or -1 with errno */
};

static char value[VALUE_LEN];

static int run_stat(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -1;
	errno = ERANGE;
	return st.st_size == VALUE_LEN ? 0 : -1;
}

static int run_read(const char *path)
{
	char bytes[4096];
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));

	if (fd < 0 || n < 0 || close(fd))
		return -1;
	errno = ERANGE;
	return n == VALUE_LEN ? 0 : -1;
}

static int run_create(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	return fd < 0 || write(fd, value, sizeof(value)) != sizeof(value) || close(fd) ? -1 : 0;
}

static int run_unlink(const char *path)
{
	return unlink(path);
}

static const struct operation operations[] = {
	{"stat", "old", run_stat},
	{"read", "old", run_read},
	{"create", "new", run_create},
	{"unlink", "new", run_unlink},
};

static const struct operation *find(const char *name)
{
	for (size_t i = 0; i < sizeof(operations) / sizeof(*operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

static long long now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void work(const struct operation *operation, int client, int count, pthread_barrier_t *start)
{
	char path[64];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pthread_barrier_wait(start);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s%d-%d", operation->prefix, client, i);
		if (operation->run(path)) {
			fprintf(stderr, "bench-fs-client: %s %s: %s\n", operation->name, path, strerror(errno));
			_exit(1);
		}
	}
	_exit(0);
}

static void make_barrier(pthread_barrier_t *barrier, int count)
{
	pthread_barrierattr_t attr;

	pthread_barrierattr_init(&attr);
	pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_barrier_init(barrier, &attr, (unsigned)count);
	pthread_barrierattr_destroy(&attr);
}

static int run(const struct operation *operation, int clients, int count, clockid_t daemon)
{
	pthread_barrier_t *start =
		mmap(NULL, sizeof(*start), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long long wall, cpu;
	int status, failed = 0;

	if (start == MAP_FAILED)
		return -1;
	make_barrier(start, clients + 1);
	for (int i = 0; i < clients; i++)
		if (fork() == 0)
			work(operation, i, count, start);
	cpu = now(daemon);
	wall = now(CLOCK_MONOTONIC);
	pthread_barrier_wait(start);
	for (int i = 0; i < clients; i++)
		failed |= wait(&status) < 0 || status;
	wall = now(CLOCK_MONOTONIC) - wall;
	usleep(2000); /* what comes after the last answer */
	cpu = now(daemon) - cpu;
	if (!failed)
		printf("%s %lld %lld\n", operation->name, wall / clients / count, cpu / clients / count);
	munmap(start, sizeof(*start));
	return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
	clockid_t daemon;

	if (argc < 6 || chdir(argv[1]) || clock_getcpuclockid(atoi(argv[2]), &daemon)) {
		fprintf(stderr, "usage: bench-fs-client DIR DAEMON-PID CLIENTS COUNT OPERATION...\n");
		return 2;
	}
	memset(value, 'v', sizeof(value));
	for (int i = 5; i < argc; i++) {
		const struct operation *operation = find(argv[i]);
		if (!operation || run(operation, atoi(argv[3]), atoi(argv[4]), daemon))
			return 2;
	}
	return 0;
}
