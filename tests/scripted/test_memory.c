/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out: in dialogues of every kind the first allocation fails, then
 * the second, and so on. Nothing crashes, leaks (the sanitizers see it) or
 * hangs, and every callback comes exactly once.
 */
#include <errno.h>

#include "scripted.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);

static bool counting;
static unsigned allocations, fail_at; /* 0: none fails */

/* Only the client's allocations count: those of its calls, and of its ticks. */
static bool fails(void)
{
	if (!counting || ++allocations != fail_at)
		return false;
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
	return fails() ? NULL : __real_realloc(block, size);
}

/* ---- requests without the framework's: it allocates itself ---- */

#define OPEN_MAX_ASKS 16

static struct {
	bool accepted;
	unsigned called;
	int error;
} open_asks[OPEN_MAX_ASKS];
static unsigned open_count;

static void called(void *ctx, const shard_result *result)
{
	unsigned i = (unsigned)(uintptr_t)ctx;

	open_asks[i].called++;
	open_asks[i].error = result->error;
	/* The message is there however little memory there is. */
	if (!result->message || (result->error != SHARD_OK && !result->message[0]))
		open_asks[i].error = -1;
}

static void submit(unsigned flags, const char *const argv[])
{
	shard_call how = {.flags = flags};
	unsigned i = open_count++;
	int argc = 0;

	while (argv[argc])
		argc++;
	counting = true;
	open_asks[i].accepted =
		shard_submit(client, argc, argv, NULL, &how, called, (void *)(uintptr_t)i, NULL) == SHARD_OK;
	counting = false;
}

#define SUBMIT(flags, ...) submit(flags, (const char *const[]){__VA_ARGS__, NULL})

static void client_turn(void)
{
	counting = true;
	shard_client_process(client);
	counting = false;
}

static bool all_called(void)
{
	for (unsigned i = 0; i < open_count; i++)
		if (open_asks[i].accepted && !open_asks[i].called)
			return false;
	return true;
}

/* Turns until all are called back, or for MS. */
static void play(unsigned ms)
{
	shard_client *mine = client;

	for (uint64_t began = now_ms(); !all_called() && now_ms() - began < ms + late_ms();) {
		client_turn();
		client = NULL; /* the nodes alone */
		turn(1);
		client = mine;
	}
}

typedef void (*scene)(void);

/* Whether more allocations could fail. */
static bool play_once(scene play_scene, unsigned at)
{
	shard_topology *map = topology(TWO);
	shard_uri *uri = NULL;
	char text[64];
	int error;

	memset(open_asks, 0, sizeof(open_asks));
	open_count = 0;
	snprintf(text, sizeof(text), "redis://:pw@%s", addr(n0));
	assert_int_equal(shard_uri_parse(text, &uri, NULL), SHARD_OK);
	shard_options_init(&options);
	options.timeout_ms = 400;
	options.uri = uri;
	options.topology = map;
	layout(TWO);
	allocations = 0;
	fail_at = at;
	counting = true;
	error = shard_client_create(&client, &options);
	counting = false;
	if (error == SHARD_OK) {
		shard_client_fd(client);
		play_scene();
		play(1500);
		if (!all_called())
			blame(__FILE__, __LINE__, "allocation %u failed, and a request hangs", at);
		counting = true;
		shard_client_destroy(client);
		counting = false;
	} else {
		check(error == SHARD_ENOMEM, "%s", shard_strerror(error));
	}
	client = NULL;
	options.uri = NULL;
	options.topology = NULL;
	shard_topology_unref(map);
	shard_uri_free(uri);
	fail_at = 0;
	settle();
	for (unsigned i = 0; i < open_count; i++)
		check(open_asks[i].called == open_asks[i].accepted && open_asks[i].error >= 0,
		      "allocation %u failed: request %u: %u callbacks, accepted %d, error %d", at, i, open_asks[i].called,
		      open_asks[i].accepted, open_asks[i].error);
	return allocations >= at;
}

static void play_all(scene play_scene)
{
	unsigned at;

	for (at = 1; play_once(play_scene, at) && at < 2000; at++)
		;
	note("%u allocations", at - 1);
	check(at > 5, "only %u allocations", at - 1);
}

/* ---- scenes ---- */

static void single_keys(void)
{
	SUBMIT(0, "GET", "foo");
	SUBMIT(0, "SET", "b", "1");
}

static void moved_and_asked(void)
{
	SUBMIT(0, "INCR", "foo");
	SUBMIT(0, "INCR", "a");
}

static void split(void)
{
	SUBMIT(0, "MGET", "foo", "b", "a");
	SUBMIT(SHARD_PARTS, "DEL", "foo", "b");
	SUBMIT(0, "MSET", "foo", "1", "b", "2");
}

static void each(void)
{
	SUBMIT(0, "DBSIZE");
	SUBMIT(0, "KEYS", "*");
	SUBMIT(SHARD_EACH_NODE, "PING");
	SUBMIT(0, "SCRIPT", "EXISTS", "a");
}

static void lookups(void)
{
	SUBMIT(0, "MY.CMD", "foo");
	SUBMIT(0, "BLPOP", "foo", "0.1");
}

static void errors(void)
{
	SUBMIT(0, "GET", "c");
	SUBMIT(0, "MGET", "{c}1", "{c}2");
}

static void a_block(void)
{
	const char *incr[] = {"INCR", "foo"};
	shard_args args = {2, incr, NULL};
	unsigned i = open_count++;

	counting = true;
	open_asks[i].accepted = shard_submit_multi(client, 1, &args, NULL, called, (void *)(uintptr_t)i, NULL) == SHARD_OK;
	counting = false;
}

static void a_refresh(void)
{
	unsigned i = open_count++;

	counting = true;
	open_asks[i].accepted = shard_refresh(client, called, (void *)(uintptr_t)i) == SHARD_OK;
	counting = false;
}

static shard_scan *scan;

static void batch(void *ctx, const shard_scan_batch *got)
{
	unsigned i = (unsigned)(uintptr_t)ctx;

	if (got->done) {
		open_asks[i].called++;
		open_asks[i].error = got->error;
	} else if (shard_scan_next(scan, batch, ctx) != SHARD_OK) {
		open_asks[i].called++;
	}
}

/* Of one slot, for there are thousands, and each allocates the same. */
static void a_listing(void)
{
	shard_scan_options how = {.match = "{b}*", .match_len = 4, .ordered = true};
	unsigned i = open_count++;

	counting = true;
	scan = shard_scan_create(client, &how);
	open_asks[i].accepted = scan && shard_scan_next(scan, batch, (void *)(uintptr_t)i) == SHARD_OK;
	counting = false;
	play(1500);
	shard_scan_destroy(scan);
	scan = NULL;
}

static char *every_other_time(void *ctx, struct node *node, const struct command *command)
{
	static unsigned count;

	return strdup(count++ % 2 ? "$1\r\nx\r\n" : "-CLUSTERDOWN The cluster is down\r\n");
}

static void answer_everything(void)
{
	static char moved[64], asked[64];

	snprintf(moved, sizeof(moved), "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	snprintf(asked, sizeof(asked), "-ASK 15495 127.0.0.1:%d\r\n", port(n3));
	on(NULL, "GET", "$1\r\nx\r\n");
	on(NULL, "SET", "+OK\r\n");
	on(NULL, "MSET", "+OK\r\n");
	on(NULL, "MGET", "*1\r\n$1\r\nx\r\n");
	on(NULL, "DEL", ":1\r\n");
	on(NULL, "INCR", ":1\r\n");
	on(NULL, "DBSIZE", ":1\r\n");
	on(NULL, "KEYS", "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	on(NULL, "PING", "+PONG\r\n");
	on(NULL, "SCRIPT", "*1\r\n:1\r\n");
	on(NULL, "MY.CMD", "+x\r\n");
	on(NULL, "BLPOP", "*-1\r\n");
	on(NULL, "ASKING", "+OK\r\n");
	on(NULL, "COMMAND GETKEYS", "*1\r\n$3\r\nfoo\r\n");
	on(NULL, "SCAN", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n");
	on(NULL, "MEMORY USAGE", "$-1\r\n");
	on(NULL, "ROLE", "*1\r\n$6\r\nmaster\r\n");
	on(n1, "INCR foo", moved);
	on(n1, "INCR a", asked);
	on_call(n0, "GET c", every_other_time, NULL);
	on(n0, "MGET {c}1 {c}2", "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
}

static void in_scene(scene play_scene)
{
	answer_everything();
	play_all(play_scene);
}

static void of_single_keys(void **state)
{
	in_scene(single_keys);
}

static void of_redirects(void **state)
{
	in_scene(moved_and_asked);
}

static void of_split_commands(void **state)
{
	in_scene(split);
}

static void of_keyless_commands(void **state)
{
	in_scene(each);
}

static void of_looked_up_and_blocking_commands(void **state)
{
	in_scene(lookups);
}

static void of_retries(void **state)
{
	in_scene(errors);
}

static void of_blocks(void **state)
{
	on(NULL, "MULTI", "+OK\r\n");
	on(NULL, "EXEC", "*1\r\n:1\r\n");
	in_scene(a_block);
}

static void of_refreshes(void **state)
{
	in_scene(a_refresh);
}

static void of_listings_by_scan(void **state)
{
	in_scene(a_listing);
}

static char *two_keys(void *ctx, struct node *node, const struct command *command)
{
	return strdup("*2\r\n$3\r\n{b}\r\n$4\r\n{b}2\r\n");
}

static void of_listings_by_slot(void **state)
{
	char asked[64];

	answer_everything();
	snprintf(asked, sizeof(asked), "-ASK 3300 127.0.0.1:%d\r\n", port(n1));
	on(n0, "MEMORY USAGE", asked);
	on_call(NULL, "CLUSTER GETKEYSINSLOT", two_keys, NULL);
	play_all(a_listing);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(of_single_keys),
		scripted(of_redirects),
		scripted(of_split_commands),
		scripted(of_keyless_commands),
		scripted(of_looked_up_and_blocking_commands),
		scripted(of_retries),
		scripted(of_blocks),
		scripted(of_refreshes),
		scripted(of_listings_by_scan),
		scripted(of_listings_by_slot),
	};
	return run(tests);
}
