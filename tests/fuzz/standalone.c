/* SPDX-License-Identifier: MIT */
/*
 * Drives a fuzz target where there is no libFuzzer, with the options of it
 * that run.py gives: -max_total_time=S, -timeout=S, -max_len=N,
 * -artifact_prefix=P, then folders of inputs. Inputs are changed at random
 * (from a fixed seed) and, where the compiler reports coverage, kept when they
 * reach something new. The input under which the target died is written to
 * P"crash".
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
void __sanitizer_cov_trace_pc(void);
void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

#define POOL_MAX 8192

struct input {
	uint8_t *data;
	size_t size;
};

static struct {
	long seconds, timeout;
	size_t max_len;
	const char *artifact_prefix;
} options = {.seconds = 20, .timeout = 10, .max_len = 4096, .artifact_prefix = ""};

static struct input pool[POOL_MAX];
static size_t pool_count;
static struct input current;

/* ---- coverage ---- */

static uint8_t seen[1 << 16];
static size_t seen_count;

/* Called by instrumented code on every edge. */
void __sanitizer_cov_trace_pc(void)
{
	uintptr_t pc = (uintptr_t)__builtin_return_address(0) - (uintptr_t)&LLVMFuzzerTestOneInput;
	size_t at = (pc ^ pc >> 16) % sizeof(seen);
	seen_count += !seen[at];
	seen[at] = 1;
}

/* ---- dying ---- */

static void keep_current(void)
{
	char path[4096];
	snprintf(path, sizeof(path), "%scrash", options.artifact_prefix);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, current.data, current.size) != (ssize_t)current.size)
		fprintf(stderr, "%s: the input could not be kept\n", path);
	if (fd >= 0)
		close(fd);
}

static void on_signal(int number)
{
	fprintf(stderr, "standalone: %s\n", number == SIGALRM ? "an input takes too long" : "the target died");
	keep_current();
	signal(number, SIG_DFL);
	raise(number);
}

static void watch_for_death(void)
{
	signal(SIGALRM, on_signal);
	signal(SIGABRT, on_signal);
	if (__sanitizer_set_death_callback) {
		__sanitizer_set_death_callback(keep_current);
	} else {
		signal(SIGSEGV, on_signal);
		signal(SIGBUS, on_signal);
		signal(SIGFPE, on_signal);
	}
}

/* ---- inputs ---- */

static void keep(const uint8_t *data, size_t size)
{
	if (pool_count == POOL_MAX)
		return;
	struct input *input = &pool[pool_count];
	*input = (struct input){malloc(size + 1), size};
	if (!input->data)
		return;
	memcpy(input->data, data, size);
	pool_count++;
}

static void load_file(const char *path)
{
	uint8_t *data = malloc(options.max_len);
	FILE *file = fopen(path, "rb");
	if (data && file)
		keep(data, fread(data, 1, options.max_len, file));
	if (file)
		fclose(file);
	free(data);
}

static void load_folder(const char *folder)
{
	struct dirent **names;
	char path[4096];
	int count = scandir(folder, &names, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
		if (names[i]->d_name[0] != '.')
			load_file(path);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

/* ---- mutations ---- */

static uint64_t state = 0x9e3779b97f4a7c15u;

/* xorshift64 */
static size_t below(size_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return limit ? (size_t)(state % limit) : 0;
}

struct buffer {
	uint8_t *data;
	size_t size;
};

/* Makes the LEN bytes at AT be SIZE bytes of DATA. */
static void replace(struct buffer *b, size_t at, size_t len, const uint8_t *data, size_t size)
{
	if (b->size - len + size > options.max_len)
		return;
	memmove(b->data + at + size, b->data + at + len, b->size - at - len);
	if (size)
		memcpy(b->data + at, data, size);
	b->size += size - len;
}

static void flip_bit(struct buffer *b)
{
	if (b->size)
		b->data[below(b->size)] ^= (uint8_t)(1 << below(8));
}

static void set_byte(struct buffer *b)
{
	static const char telling[] = "\0\n\r\t \"#$%&'*+,-./09:;<=>?@AZ[\\]_az{|}~\x7f\x80\xff";
	uint8_t byte = (uint8_t)telling[below(sizeof(telling) - 1)];
	size_t at = below(b->size + 1);
	replace(b, at, at < b->size ? below(2) : 0, &byte, 1);
}

static void erase(struct buffer *b)
{
	size_t at = below(b->size), len = below(1 + below(b->size - at + 1));
	replace(b, at, len, NULL, 0);
}

static void repeat(struct buffer *b)
{
	uint8_t piece[256];
	size_t at = below(b->size + 1), len = below(b->size - at + 1);
	len = len > sizeof(piece) ? sizeof(piece) : len;
	memcpy(piece, b->data + at, len);
	replace(b, below(b->size + 1), 0, piece, len);
}

static void graft(struct buffer *b)
{
	const struct input *other = &pool[below(pool_count)];
	size_t from = below(other->size + 1), len = below(other->size - from + 1);
	size_t at = below(b->size + 1);
	replace(b, at, below(b->size - at + 1), other->data + from, len);
}

/* A number for a number. */
static void renumber(struct buffer *b)
{
	static const char *const numbers[] = {"0",
					      "-1",
					      "1",
					      "16383",
					      "16384",
					      "65535",
					      "65536",
					      "99999",
					      "-0",
					      "2147483647",
					      "4294967296",
					      "9223372036854775807",
					      "-9223372036854775808",
					      "18446744073709551615",
					      "18446744073709551616"};
	const char *number = numbers[below(sizeof(numbers) / sizeof(numbers[0]))];
	size_t at = below(b->size), end;
	while (at < b->size && (b->data[at] < '0' || b->data[at] > '9'))
		at++;
	for (end = at; end < b->size && b->data[end] >= '0' && b->data[end] <= '9'; end++)
		;
	replace(b, at, end - at, (const uint8_t *)number, strlen(number));
}

static void (*const mutations[])(struct buffer *b) = {flip_bit, set_byte, set_byte, erase, repeat, graft, renumber};

static void mutate(struct buffer *b)
{
	for (size_t i = below(5) + 1; i; i--)
		mutations[below(sizeof(mutations) / sizeof(mutations[0]))](b);
}

/* ---- the loop ---- */

/* In a block of exactly its size, so that a read past its end is seen. */
static void run(const uint8_t *data, size_t size)
{
	size_t before = seen_count;
	current = (struct input){malloc(size ? size : 1), size};
	if (!current.data)
		abort();
	memcpy(current.data, data, size);
	LLVMFuzzerTestOneInput(current.data, size);
	if (seen_count > before)
		keep(current.data, size);
	free(current.data);
	current = (struct input){NULL, 0};
}

static time_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

static size_t run_for_a_while(uint8_t *data)
{
	time_t end = now() + options.seconds;
	size_t runs = 0;
	for (size_t i = 0, given = pool_count; i < given; i++, runs++)
		run(pool[i].data, pool[i].size);
	for (; runs % 64 || now() < end; runs++) {
		if (runs % 64 == 0)
			alarm((unsigned)options.timeout);
		const struct input *from = &pool[below(pool_count)];
		struct buffer b = {data, from->size};
		memcpy(data, from->data, from->size);
		mutate(&b);
		run(b.data, b.size);
	}
	alarm(0);
	return runs;
}

static bool number_option(const char *argument, const char *name, long *value)
{
	size_t len = strlen(name);
	if (strncmp(argument, name, len) != 0)
		return false;
	*value = strtol(argument + len, NULL, 10);
	return true;
}

static void parse_option(const char *argument)
{
	static const char prefix[] = "-artifact_prefix=";
	long max_len;
	if (strncmp(argument, prefix, strlen(prefix)) == 0)
		options.artifact_prefix = argument + strlen(prefix);
	else if (number_option(argument, "-max_len=", &max_len) && max_len > 0)
		options.max_len = (size_t)max_len;
	else if (!number_option(argument, "-max_total_time=", &options.seconds))
		number_option(argument, "-timeout=", &options.timeout);
}

int main(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++) {
		if (*argv[i] == '-')
			parse_option(argv[i]);
	}
	for (int i = 1; i < argc; i++) {
		if (*argv[i] != '-')
			load_folder(argv[i]);
	}
	keep((const uint8_t *)"", 0);
	watch_for_death();

	uint8_t *data = malloc(options.max_len);
	if (!data)
		return 1;
	size_t runs = run_for_a_while(data);
	printf("%zu inputs run, %zu kept, %zu edges seen\n", runs, pool_count, seen_count);
	for (size_t i = 0; i < pool_count; i++)
		free(pool[i].data);
	free(data);
	return 0;
}
