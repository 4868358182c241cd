/* SPDX-License-Identifier: MIT */
/* The client, the loop, the transcript. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "scripted.h"
#include "node.h"
#include "ask.h"

#define TRANSCRIPT 80

shard_client *client;
shard_options options;

static char seed_text[512];
static char *transcript[TRANSCRIPT];
static size_t transcript_at;
static uint64_t began;

uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what the machine withheld ---- */

#define NAP_MS 5

static atomic_uint naps_late; /* ms by which naps took longer than they should */
static unsigned naps_late_before;
static unsigned turns_late;
static uint64_t turn_ended;

static void *nap(void *ctx)
{
	for (;;) {
		struct timespec t = {.tv_nsec = NAP_MS * 1000000};
		uint64_t began_nap = now_ms(), took;

		nanosleep(&t, NULL);
		took = now_ms() - began_nap;
		if (took > NAP_MS + 2)
			naps_late += (unsigned)(took - NAP_MS);
	}
	return NULL;
}

static void watch_lateness(void)
{
	static bool watching;
	pthread_t thread;

	if (!watching && pthread_create(&thread, NULL, nap, NULL) == 0)
		watching = true;
	naps_late_before = naps_late;
	turns_late = 0;
	turn_ended = 0;
}

/* A turn may take WAIT_MS; between turns nothing takes long. */
static void note_turn(uint64_t turn_began, unsigned wait_ms)
{
	uint64_t now = now_ms();

	if (now - turn_began > wait_ms + 2)
		turns_late += (unsigned)(now - turn_began) - wait_ms;
	if (turn_ended && turn_began - turn_ended > 2)
		turns_late += (unsigned)(turn_began - turn_ended);
	turn_ended = now;
}

unsigned late_ms(void)
{
	return turns_late + (naps_late - naps_late_before);
}

void check_time(const char *file, int line, const char *what, uint64_t took, unsigned low, unsigned high)
{
	if (took + 5 < low || took > high + late_ms())
		blame(file, line, "%s: took %llu ms, expected %u to %u (+ %u that the machine was late)", what,
		      (unsigned long long)took, low, high, late_ms());
}

/* ---- the transcript ---- */

void note(const char *format, ...)
{
	char *line = NULL, *text = NULL;
	va_list args;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	if (asprintf(&line, "%6llu ms  %s", (unsigned long long)(now_ms() - began), text ? text : "") < 0)
		line = NULL;
	free(text);
	free(transcript[transcript_at % TRANSCRIPT]);
	transcript[transcript_at++ % TRANSCRIPT] = line;
}

void transcript_print(void)
{
	size_t first = transcript_at > TRANSCRIPT ? transcript_at - TRANSCRIPT : 0;

	for (size_t i = first; i < transcript_at; i++)
		print_error("%s\n", transcript[i % TRANSCRIPT] ? transcript[i % TRANSCRIPT] : "");
}

void transcript_clear(void)
{
	for (size_t i = 0; i < TRANSCRIPT; i++) {
		free(transcript[i]);
		transcript[i] = NULL;
	}
	transcript_at = 0;
	began = now_ms();
}

void blame(const char *file, int line, const char *format, ...)
{
	va_list args;

	transcript_print();
	va_start(args, format);
	vprint_error(format, args);
	va_end(args);
	print_error("\n");
	_fail(file, line);
	abort();
}

/* ---- the world ---- */

int world_setup(void **state)
{
	transcript_clear();
	layout_reset();
	watch_lateness();
	client = NULL;
	if (nodes_open() < 0)
		return -1;
	shard_options_init(&options);
	snprintf(seed_text, sizeof(seed_text), "redis://%s", addr(n0));
	return 0;
}

int world_teardown(void **state)
{
	int status;

	stop();
	status = asks_check();
	if (nodes_complaint()) {
		print_error("%s\n", nodes_complaint());
		status = -1;
	}
	if (status < 0)
		transcript_print();
	asks_free();
	nodes_close();
	layout_reset();
	transcript_clear();
	return status;
}

void seeds(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(seed_text, sizeof(seed_text), format, args);
	va_end(args);
}

static void make_client(void)
{
	shard_uri *uri = NULL;
	char *why = NULL;
	int error = shard_uri_parse(seed_text, &uri, &why);

	if (error != SHARD_OK)
		blame(__FILE__, __LINE__, "the URI %s is refused: %s", seed_text, why ? why : shard_strerror(error));
	options.uri = uri;
	error = shard_client_create(&client, &options);
	options.uri = NULL;
	shard_uri_free(uri);
	if (error != SHARD_OK)
		blame(__FILE__, __LINE__, "no client: %s", shard_strerror(error));
}

void start(const char *text)
{
	shard_topology *map = topology(text);

	layout(text);
	options.topology = map;
	make_client();
	options.topology = NULL;
	shard_topology_unref(map);
}

void start_cold(const char *text)
{
	layout(text);
	make_client();
}

void start_pool(const shard_pool *pool)
{
	options.pool = pool;
	make_client();
	options.pool = NULL;
}

void stop(void)
{
	shard_client_destroy(client);
	client = NULL;
}

/* ---- the loop ---- */

static bool look(int wait_ms)
{
	struct pollfd fds[2] = {{.fd = nodes_fd(), .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	uint64_t turn_began = now_ms();
	int ready;

	if (client)
		fds[1].fd = shard_client_fd(client);
	ready = poll(fds, 2, wait_ms);
	if (fds[1].revents)
		shard_client_process(client);
	nodes_step();
	note_turn(turn_began, ready > 0 ? 0 : (unsigned)wait_ms);
	return ready > 0;
}

void turn(int wait_ms)
{
	look(wait_ms);
}

void settle(void)
{
	for (int i = 0; i < 1000 && look(0); i++)
		;
}

void run_for(unsigned ms)
{
	for (uint64_t end = now_ms() + ms, now; (now = now_ms()) < end;)
		turn((int)(end - now));
}

/* ---- expectations ---- */

static bool same_words(const struct command *command, const char *const argv[], const size_t lens[])
{
	int i;

	for (i = 0; argv[i]; i++) {
		size_t len = lens ? lens[i] : strlen(argv[i]);

		if (i >= command->argc || command->lens[i] != len)
			return false;
		if (i == 0 ? strncasecmp(command->argv[i], argv[i], len) != 0 : memcmp(command->argv[i], argv[i], len) != 0)
			return false;
	}
	return i == command->argc;
}

static void join(const char *const argv[], const size_t lens[], char *text, size_t size)
{
	size_t at = 0;

	text[0] = '\0';
	for (int i = 0; argv[i] && at + 2 < size; i++) {
		if (i > 0)
			text[at++] = ' ';
		quote(argv[i], lens ? lens[i] : strlen(argv[i]), text + at, size - at);
		at += strlen(text + at);
	}
}

static struct command *next_command(struct node *node, unsigned ms)
{
	uint64_t begin = now_ms();
	struct command *command;

	while (!(command = node_unexpected(node)) && now_ms() - begin <= ms)
		turn(10);
	return command;
}

void expect_words(const char *file, int line, struct node *node, const char *const argv[], const size_t lens[])
{
	struct command *command = next_command(node, PATIENCE_MS + late_ms());
	char wanted[1024], came[1024];

	join(argv, lens, wanted, sizeof(wanted));
	if (!command)
		blame(file, line, "%s was to hear '%s', and heard nothing", node->name, wanted);
	command_print(command, came, sizeof(came));
	if (!same_words(command, argv, lens))
		blame(file, line, "%s was to hear '%s', and heard '%s'", node->name, wanted, came);
	command_expected(command);
}

struct node *expect_anywhere(const char *file, int line, const char *const argv[])
{
	struct command *command = next_command(NULL, PATIENCE_MS + late_ms());
	char wanted[1024], came[1024];

	join(argv, NULL, wanted, sizeof(wanted));
	if (!command)
		blame(file, line, "some node was to hear '%s', and all heard nothing", wanted);
	command_print(command, came, sizeof(came));
	if (!same_words(command, argv, NULL))
		blame(file, line, "some node was to hear '%s', and %s heard '%s'", wanted, command->from->node->name, came);
	command_expected(command);
	return command->from->node;
}

void expect_quiet(const char *file, int line, struct node *node, unsigned ms)
{
	struct command *command = next_command(node, ms);
	char came[1024];

	if (!command)
		return;
	command_print(command, came, sizeof(came));
	blame(file, line, "%s was to hear nothing, and heard '%s'", command->from->node->name, came);
}

int run_scripted(const char *name, const struct CMUnitTest *tests, size_t count, int argc, char *argv[])
{
	struct CMUnitTest *chosen = calloc(count, sizeof(*chosen));
	size_t n = 0;
	int failed;

	for (size_t i = 0; i < count; i++)
		if (argc < 2 || strstr(tests[i].name, argv[1]))
			memcpy(&chosen[n++], &tests[i], sizeof(chosen[0]));
	failed = _cmocka_run_group_tests(name, chosen, n, NULL, NULL);
	free(chosen);
	return failed;
}
