/* SPDX-License-Identifier: MIT */
/*
 * The client's reply path: whatever nodes send, in whatever pieces, every
 * request is called back exactly once with a result that can be read whole.
 *
 * The input: a byte of options, then what the nodes send, as it is, but for
 * three bytes: 0 turns to the next connection, 1 closes this one, 2 lets the
 * client run. It runs at the end of each line, too, where the options say so.
 * However nodes are called in there, nothing is dialled: whatever the client
 * connects becomes one end of a pair, and we have the other.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shard/shard.h>

#define CONNECTIONS 16
#define ASKS_MAX 24
#define LAST_TURNS 4

enum option {
	OPTION_LAZY = 1 << 0,        /* no map at first */
	OPTION_MAP = 1 << 1,         /* a map is given */
	OPTION_LINES = 1 << 2,       /* the client runs at the end of each line */
	OPTION_CREDENTIALS = 1 << 3, /* connections are greeted */
	OPTION_CANCEL = 1 << 4,      /* some requests are given up midway */
	OPTION_SCAN = 1 << 5,        /* a listing runs, too */
	OPTION_BYTES = 1 << 6        /* the client runs after each byte */
};

struct ask {
	unsigned submitted, called;
	shard_request *handle;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int connect(int fd, const struct sockaddr *to, socklen_t len);

static int connections[CONNECTIONS];
static unsigned connection_count, current;
static shard_client *client;
static struct ask asks[ASKS_MAX];
static unsigned ask_count;
static shard_scan *scan;
static bool scan_open;
static volatile unsigned sink;

static void hang_up(unsigned i)
{
	close(connections[i]);
	connections[i] = connections[--connection_count];
	current = 0;
}

/* In place of libc's. */
int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0 ||
	    dup3(pair[0], fd, O_CLOEXEC) < 0) {
		perror("fuzz_reply: socketpair");
		abort();
	}
	close(pair[0]);
	if (connection_count == CONNECTIONS)
		hang_up(0);
	current = connection_count;
	connections[connection_count++] = pair[1];
	return 0;
}

/* No name is looked up either. */
static void everything_is_here(void *ctx, char *host, size_t host_size, uint16_t *port)
{
	snprintf(host, host_size, "127.0.0.1");
}

/* ---- the nodes ---- */

static void forget(void)
{
	char bytes[4096];

	for (unsigned i = 0; i < connection_count; i++)
		while (recv(connections[i], bytes, sizeof(bytes), 0) > 0)
			;
}

static void turn(void)
{
	if (shard_client_wait(client, 0) != SHARD_OK)
		abort();
	forget();
}

static void say(const uint8_t *bytes, size_t len)
{
	if (connection_count && len)
		(void)!send(connections[current % connection_count], bytes, len, MSG_NOSIGNAL);
}

/* Says all of it. */
static void play(const uint8_t *data, size_t size, unsigned options)
{
	size_t from = 0;

	for (size_t i = 0; i < size; i++) {
		if (data[i] <= 2) {
			say(data + from, i - from);
			from = i + 1;
			if (data[i] == 0)
				current++;
			else if (data[i] == 1 && connection_count)
				hang_up(current % connection_count);
			else
				turn();
		} else if (options & OPTION_BYTES || (options & OPTION_LINES && data[i] == '\n')) {
			say(data + from, i + 1 - from);
			from = i + 1;
			turn();
		}
		if (options & OPTION_CANCEL && i == size / 2)
			for (unsigned j = 0; j < ask_count; j += 3)
				if (asks[j].submitted && !asks[j].called && asks[j].handle)
					shard_cancel(client, asks[j].handle);
	}
	say(data + from, size - from);
}

/* ---- the client's side ---- */

static void read_reply(const shard_reply *reply)
{
	switch (reply->type) {
	case SHARD_REPLY_NIL:
	case SHARD_REPLY_INTEGER:
		break;
	case SHARD_REPLY_ARRAY:
		for (size_t i = 0; i < reply->len; i++)
			read_reply(&reply->element[i]);
		break;
	default:
		for (size_t i = 0; i <= reply->len; i++)
			sink += (unsigned char)reply->str[i];
		if (reply->str[reply->len] != '\0')
			abort();
	}
}

static void read_result(const shard_result *result)
{
	if (result->error < 0 || result->error >= SHARD_ERROR_COUNT || !result->message || !result->node)
		abort();
	if (result->error == SHARD_OK ? result->message[0] : !result->message[0] && result->error != SHARD_ESERVER)
		abort();
	if (result->slot < -1 || result->slot >= SHARD_SLOTS)
		abort();
	sink += (unsigned)(strlen(result->message) + strlen(result->node));
	if (result->reply)
		read_reply(result->reply);
	for (size_t i = 0; i < result->part_count; i++)
		read_result(&result->part[i]);
}

static void called(void *ctx, const shard_result *result)
{
	struct ask *ask = ctx;
	shard_reply *copy;

	if (!ask->submitted || ask->called++)
		abort();
	read_result(result);
	if (!result->reply)
		return;
	copy = shard_reply_copy(result->reply);
	if (copy)
		read_reply(copy);
	shard_reply_free(copy);
}

static void ask(unsigned flags, int argc, const char *const argv[])
{
	struct ask *one = &asks[ask_count++];
	shard_call how = {.flags = flags};

	*one = (struct ask){.submitted = 1};
	if (shard_submit(client, argc, argv, NULL, &how, called, one, &one->handle) != SHARD_OK)
		one->submitted = 0;
}

#define ASK(flags, ...)                                                                                                \
	ask(flags, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void ask_all(void)
{
	const char *incr[] = {"INCR", "foo"}, *get[] = {"GET", "{foo}"};
	shard_args block[] = {{2, incr, NULL}, {2, get, NULL}};
	struct ask *one;

	ASK(0, "GET", "foo");
	ASK(0, "INCR", "foo");
	ASK(0, "MGET", "foo", "b", "{foo}1", "foo");
	ASK(SHARD_PARTS, "MGET", "foo", "b");
	ASK(0, "MSET", "foo", "1", "b", "2");
	ASK(SHARD_PARTS, "DEL", "foo", "b", "c");
	ASK(0, "DBSIZE");
	ASK(0, "KEYS", "*");
	ASK(0, "SCRIPT", "EXISTS", "a", "b");
	ASK(SHARD_EACH_NODE, "PING");
	ASK(SHARD_REPLICA, "GET", "b");
	ASK(0, "BLPOP", "foo", "1");
	ASK(0, "MY.COMMAND", "foo");
	ASK(SHARD_ONCE, "GET", "a");
	one = &asks[ask_count++];
	*one = (struct ask){.submitted = 1};
	if (shard_submit_multi(client, 2, block, NULL, called, one, &one->handle) != SHARD_OK)
		one->submitted = 0;
	one = &asks[ask_count++];
	*one = (struct ask){.submitted = 1};
	if (shard_refresh(client, called, one) != SHARD_OK)
		one->submitted = 0;
}

static void got_batch(void *ctx, const shard_scan_batch *batch)
{
	if (!scan_open)
		abort();
	scan_open = false;
	if (batch->error != SHARD_OK && !batch->done)
		abort();
	for (size_t i = 0; i < batch->count; i++)
		read_reply(&batch->keys[i]);
	sink += (unsigned)(strlen(batch->node) + strlen(batch->message));
	if (!batch->done && shard_scan_next(scan, got_batch, NULL) == SHARD_OK)
		scan_open = true;
}

static void start_client(unsigned options)
{
	static shard_uri *plain, *secret;
	shard_options how;
	shard_topology *map = NULL;
	static const char nodes[] =
		"0000000000000000000000000000000000000001 127.0.0.1:7000@1 myself,master - 0 0 1 connected 0-8191\n"
		"0000000000000000000000000000000000000002 127.0.0.1:7001@1 master - 0 0 2 connected 8192-16383\n"
		"0000000000000000000000000000000000000003 127.0.0.1:7002@1 slave 0000000000000000000000000000000000000002 "
		"0 0 2 connected\n";

	if (!plain) {
		if (shard_uri_parse("redis://127.0.0.1:7000", &plain, NULL) != SHARD_OK ||
		    shard_uri_parse("redis://me:secret@127.0.0.1:7000", &secret, NULL) != SHARD_OK)
			abort();
	}
	shard_options_init(&how);
	how.uri = options & OPTION_CREDENTIALS ? secret : plain;
	how.lazy = options & OPTION_LAZY;
	how.address_map = everything_is_here;
	if (options & OPTION_MAP) {
		if (shard_topology_from_nodes(nodes, strlen(nodes), "127.0.0.1", 7000, &map, NULL) != SHARD_OK)
			abort();
	}
	how.topology = map;
	if (shard_client_create(&client, &how) != SHARD_OK)
		abort();
	shard_topology_unref(map);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned options;

	if (size < 1)
		return -1;
	options = data[0];
	ask_count = connection_count = current = 0;
	scan = NULL;
	start_client(options);
	ask_all();
	if (options & OPTION_SCAN) {
		scan = shard_scan_create(client, NULL);
		scan_open = scan && shard_scan_next(scan, got_batch, NULL) == SHARD_OK;
	}
	turn();
	turn();
	play(data + 1, size - 1, options);
	for (int i = 0; i < LAST_TURNS; i++)
		turn();
	shard_scan_destroy(scan);
	while (connection_count)
		hang_up(0);
	shard_client_destroy(client);
	for (unsigned i = 0; i < ask_count; i++)
		if (asks[i].called != asks[i].submitted)
			abort();
	return 0;
}
