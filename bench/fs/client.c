/* SPDX-License-Identifier: MIT */
/*
 * bench-fs-client DIR PIDS CLIENTS COUNT OPERATION...: CLIENTS processes do each OPERATION (stat, read, pread, create, unlink)
 * on COUNT files each, one operation after the other. PIDS are the daemon's and those of the servers, with commas.
 * Prints a line for each: "OPERATION WALL-NS DAEMON-NS ALL-NS": the time that one operation took of the whole, the
 * daemon's CPU, and that of the daemon, the servers and the clients together. What comes after the last answer
 * (RELEASE) counts, too.
 *
 * pread is of the file "page" alone, which has 4096 bytes and stays open.
 * stat and read are of files "oldC-N" that are there (C is the client); create makes "newC-N", which unlink removes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VALUE_LEN 100
#define SERVERS_MAX 64

struct operation {
	const char *name;
	const char *prefix;
	int (*run)(const char *path); /* 0, or -1 with errno */
};

static char value[VALUE_LEN];
static clockid_t server[SERVERS_MAX]; /* the daemon's is the first */
static int servers;

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

static int run_pread(const char *path)
{
	static int fd = -1;
	char bytes[4096];

	if (fd < 0)
		fd = open("page", O_RDONLY);
	return fd >= 0 && pread(fd, bytes, sizeof(bytes), 0) == sizeof(bytes) ? 0 : -1;
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
	{"pread", "old", run_pread},
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

/* Of the clients that have ended, and all that serve them. */
static long long all_cpu(void)
{
	struct rusage usage;
	long long sum = 0;

	getrusage(RUSAGE_CHILDREN, &usage);
	for (int i = 0; i < servers; i++)
		sum += now(server[i]);
	return sum + (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
	       (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
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

static int run(const struct operation *operation, int clients, int count)
{
	pthread_barrier_t *start =
		mmap(NULL, sizeof(*start), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long long wall, cpu, all;
	int status, failed = 0;

	if (start == MAP_FAILED)
		return -1;
	make_barrier(start, clients + 1);
	for (int i = 0; i < clients; i++)
		if (fork() == 0)
			work(operation, i, count, start);
	all = all_cpu();
	cpu = now(server[0]);
	wall = now(CLOCK_MONOTONIC);
	pthread_barrier_wait(start);
	for (int i = 0; i < clients; i++)
		failed |= wait(&status) < 0 || status;
	wall = now(CLOCK_MONOTONIC) - wall;
	usleep(2000); /* what comes after the last answer */
	cpu = now(server[0]) - cpu;
	all = all_cpu() - all;
	if (!failed)
		printf("%s %lld %lld %lld\n", operation->name, wall / clients / count, cpu / clients / count,
		       all / clients / count);
	munmap(start, sizeof(*start));
	return failed ? -1 : 0;
}

static int read_pids(char *text)
{
	for (char *word = strtok(text, ","); word && servers < SERVERS_MAX; word = strtok(NULL, ","))
		if (clock_getcpuclockid(atoi(word), &server[servers++]))
			return -1;
	return servers ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (argc < 6 || chdir(argv[1]) || read_pids(argv[2])) {
		fprintf(stderr, "usage: bench-fs-client DIR PIDS CLIENTS COUNT OPERATION...\n");
		return 2;
	}
	memset(value, 'v', sizeof(value));
	for (int i = 5; i < argc; i++) {
		const struct operation *operation = find(argv[i]);
		if (!operation || run(operation, atoi(argv[3]), atoi(argv[4])))
			return 2;
	}
	return 0;
}
