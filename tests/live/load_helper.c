/* SPDX-License-Identifier: MIT */
/*
 * load_helper URI KEYS DEPTH TIMEOUT-MS: keeps DEPTH mixed requests open, says "running" when the first thousand are
 * answered, ends when a byte or the end comes on standard input, and then says what it was told:
 *
 *	total REQUESTS SLOWEST-MS
 *	error NAME COUNT FIRST-MESSAGE
 *	wrong TEXT                       a value that cannot be, or that is another's
 *	stale COUNT                      values older than what had been acknowledged (replicas are not counted)
 *	repeated COUNT                   two INCRs with one answer
 *	counter KEY ACKNOWLEDGED UNKNOWN of INCR, or of APPEND, or of blocks of two INCRs
 *	value KEY ACKNOWLEDGED SENT      versions of SET and MSET
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <shard/shard.h>

#include "connect.h"

#define TURN_MS 4    /* how often requests are submitted */
#define PER_TURN 32  /* at most */
#define WRONG_MAX 20
#define PADDING 2000 /* of the longest value */
#define BATCH 4

enum kind { INCR, APPEND, BLOCK, SET, GET, GET_REPLICA, MGET, MSET, KINDS };

struct counter {
	char key[32];
	unsigned long acked, unknown;
	unsigned char *seen; /* a bit an answer */
	size_t room;
};

struct value {
	char key[32];
	unsigned long acked, sent;
	bool busy;
};

struct op {
	enum kind kind;
	size_t key[BATCH];
	unsigned long version[BATCH]; /* written, or at least expected */
	struct timespec began;
};

static const char *const kind_name[KINDS] = {"INCR", "APPEND", "MULTI", "SET", "GET", "GET on a replica", "MGET", "MSET"};

static shard_client *client;
static struct counter *counters[3]; /* INCR, APPEND, BLOCK */
static struct value *values;
static size_t keys;
static unsigned depth, open_ops, wrongs;
static unsigned long answered, stale, repeated;
static unsigned long error_count[SHARD_ERROR_COUNT];
static char *error_first[SHARD_ERROR_COUNT];
static double slowest;
static bool stopping;
static char padding[PADDING + 1];

static void answer(void *ctx, const shard_result *result);

static void wrong(const char *key, const char *text, size_t len)
{
	if (wrongs++ < WRONG_MAX)
		printf("wrong %s: %.*s\n", key, (int)(len < 60 ? len : 60), text);
}

static double ms_since(const struct timespec *began)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - began->tv_sec) * 1e3 + (double)(now.tv_nsec - began->tv_nsec) / 1e6;
}

/* ---- asking ---- */

static void submit(struct op *op, unsigned flags, int argc, const char *const argv[])
{
	shard_call how = {.flags = flags};
	int error = shard_submit(client, argc, argv, NULL, &how, answer, op, NULL);

	if (error) {
		fprintf(stderr, "load_helper: %s: %s\n", argv[0], shard_strerror(error));
		exit(2);
	}
}

static void submit_block(struct op *op)
{
	char first[48], second[48];
	const char *argv[2][2] = {{"INCR", first}, {"INCR", second}};
	shard_args args[2] = {{2, argv[0], NULL}, {2, argv[1], NULL}};
	int error;

	snprintf(first, sizeof(first), "{%s}a", counters[BLOCK][op->key[0]].key);
	snprintf(second, sizeof(second), "{%s}b", counters[BLOCK][op->key[0]].key);
	error = shard_submit_multi(client, 2, args, NULL, answer, op, NULL);
	if (error) {
		fprintf(stderr, "load_helper: MULTI: %s\n", shard_strerror(error));
		exit(2);
	}
}

/* KEY:VERSION:padding, of a length that goes with the version. */
static char *value_text(size_t key, unsigned long version)
{
	char *text = NULL;

	if (asprintf(&text, "%s:%lu:%.*s", values[key].key, version, (int)(version * 37 % PADDING), padding) < 0)
		abort();
	return text;
}

/* Keys that are not being written; fewer than BATCH may be free. */
static size_t take_free(struct op *op, size_t count)
{
	size_t n = 0;

	for (size_t tries = 0; tries < 3 * BATCH && n < count; tries++) {
		struct value *value = &values[op->key[n] = (size_t)random() % keys];

		if (value->busy)
			continue;
		value->busy = true;
		op->version[n++] = ++value->sent;
	}
	return n;
}

static void submit_write(struct op *op)
{
	const char *argv[1 + 2 * BATCH] = {kind_name[op->kind]};
	size_t n = take_free(op, op->kind == MSET ? BATCH : 1);

	/* All are being written: an operation less. */
	if (n == 0) {
		free(op);
		open_ops--;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		argv[1 + 2 * i] = values[op->key[i]].key;
		argv[2 + 2 * i] = value_text(op->key[i], op->version[i]);
	}
	submit(op, op->kind == MSET ? SHARD_PARTS : 0, 1 + 2 * (int)n, argv);
	for (size_t i = 0; i < n; i++)
		free((char *)argv[2 + 2 * i]);
}

static void submit_read(struct op *op)
{
	const char *argv[1 + BATCH] = {op->kind == MGET ? "MGET" : "GET"};
	int n = op->kind == MGET ? BATCH : 1;

	for (int i = 0; i < n; i++) {
		op->key[i] = (size_t)random() % keys;
		op->version[i] = values[op->key[i]].acked;
		argv[1 + i] = values[op->key[i]].key;
	}
	submit(op, op->kind == GET_REPLICA ? SHARD_REPLICA : 0, 1 + n, argv);
}

static void submit_one(void)
{
	struct op *op = calloc(1, sizeof(*op));

	op->kind = (enum kind)(random() % KINDS);
	op->key[0] = (size_t)random() % keys;
	clock_gettime(CLOCK_MONOTONIC, &op->began);
	open_ops++;
	switch (op->kind) {
	case INCR:
		submit(op, 0, 2, (const char *const[]){"INCR", counters[INCR][op->key[0]].key});
		break;
	case APPEND:
		submit(op, 0, 3, (const char *const[]){"APPEND", counters[APPEND][op->key[0]].key, "x"});
		break;
	case BLOCK:
		submit_block(op);
		break;
	case SET:
	case MSET:
		submit_write(op);
		break;
	default:
		submit_read(op);
		break;
	}
}

/* ---- being answered ---- */

static void count_error(const struct op *op, const shard_result *result)
{
	error_count[result->error]++;
	if (!error_first[result->error] &&
	    asprintf(&error_first[result->error], "%s: %s (%s)", kind_name[op->kind], result->message, result->node) < 0)
		abort();
}

static void see(struct counter *counter, long long answer_value)
{
	size_t at = (size_t)answer_value / 8, room = counter->room;

	if (answer_value < 1 || answer_value > 100000000) {
		wrong(counter->key, "no count", 8);
		return;
	}
	if (at >= room) {
		counter->room = at * 2 + 64;
		counter->seen = realloc(counter->seen, counter->room);
		memset(counter->seen + room, 0, counter->room - room);
	}
	repeated += counter->seen[at] >> (answer_value % 8) & 1;
	counter->seen[at] |= (unsigned char)(1 << (answer_value % 8));
}

static void counted(struct op *op, const shard_result *result)
{
	struct counter *counter = &counters[op->kind][op->key[0]];
	const shard_reply *reply = result->reply;

	if (result->error == SHARD_EUNKNOWN)
		counter->unknown++;
	if (result->error != SHARD_OK) {
		count_error(op, result);
		return;
	}
	counter->acked++;
	if (op->kind != BLOCK && reply->type == SHARD_REPLY_INTEGER) {
		see(counter, reply->integer);
	} else if (op->kind == BLOCK && reply->type == SHARD_REPLY_ARRAY && reply->len == 2 &&
		   reply->element[0].type == SHARD_REPLY_INTEGER && reply->element[1].type == SHARD_REPLY_INTEGER) {
		see(counter, reply->element[0].integer);
		if (reply->element[0].integer != reply->element[1].integer)
			wrong(counter->key, "the two of a block differ", 25);
	} else {
		wrong(counter->key, "an answer of another type", 25);
	}
}

static void check_value(const struct op *op, size_t i, const shard_reply *reply)
{
	struct value *value = &values[op->key[i]];
	unsigned long version = 0;
	char *wanted;

	if (reply->type == SHARD_REPLY_NIL) {
		stale += op->version[i] > 0 && op->kind != GET_REPLICA;
		return;
	}
	if (reply->type != SHARD_REPLY_STRING || strncmp(reply->str, value->key, strlen(value->key)) != 0 ||
	    sscanf(reply->str + strlen(value->key), ":%lu:", &version) != 1 || version > value->sent) {
		wrong(value->key, reply->type == SHARD_REPLY_STRING ? reply->str : "?", 60);
		return;
	}
	wanted = value_text(op->key[i], version);
	if (strlen(wanted) != reply->len || strcmp(wanted, reply->str) != 0)
		wrong(value->key, "torn", 4);
	free(wanted);
	stale += version < op->version[i] && op->kind != GET_REPLICA;
}

static void was_read(struct op *op, const shard_result *result)
{
	const shard_reply *reply = result->reply;

	if (result->error != SHARD_OK)
		count_error(op, result);
	else if (op->kind != MGET)
		check_value(op, 0, reply);
	else if (reply->type != SHARD_REPLY_ARRAY || reply->len != BATCH)
		wrong("MGET", "not one element for each key", 28);
	else
		for (size_t i = 0; i < BATCH; i++)
			check_value(op, i, &reply->element[i]);
}

static void was_written(struct op *op, const shard_result *result)
{
	size_t n = op->kind == MSET ? result->part_count : 1;

	if (result->error != SHARD_OK)
		count_error(op, result);
	for (size_t i = 0; i < n; i++) {
		struct value *value = &values[op->key[i]];
		const shard_result *one = op->kind == MSET ? &result->part[i] : result;

		value->busy = false;
		if (one->error == SHARD_OK)
			value->acked = op->version[i];
		if (one->error == SHARD_OK && !shard_reply_is(one->reply, "OK"))
			wrong(value->key, "not OK", 6);
	}
}

static void stop_when_done(void)
{
	if (stopping && open_ops == 0)
		shard_client_stop(client);
}

static void answer(void *ctx, const shard_result *result)
{
	struct op *op = ctx;
	double took = ms_since(&op->began);

	if (took > slowest)
		slowest = took;
	if (op->kind <= BLOCK)
		counted(op, result);
	else if (op->kind == SET || op->kind == MSET)
		was_written(op, result);
	else
		was_read(op, result);
	free(op);
	open_ops--;
	if (++answered == 1000) {
		printf("running\n");
		fflush(stdout);
	}
	stop_when_done();
}

/* ---- running ---- */

static void turn(void *ctx)
{
	if (stopping) {
		stop_when_done();
		return;
	}
	for (int i = 0; i < PER_TURN && open_ops < depth; i++)
		submit_one();
	if (!shard_timer_add(client, TURN_MS, turn, NULL))
		abort();
}

static void told_to_stop(void *ctx, uint32_t events)
{
	shard_watch **watch = ctx;

	shard_watch_remove(*watch);
	stopping = true;
	stop_when_done();
}

static void init_keys(void)
{
	static const char *const names[3] = {"ctr", "app", "blk"};

	for (int kind = INCR; kind <= BLOCK; kind++) {
		counters[kind] = calloc(keys, sizeof(struct counter));
		for (size_t i = 0; i < keys; i++)
			snprintf(counters[kind][i].key, sizeof(counters[kind][i].key), "%s:%zu", names[kind], i);
	}
	values = calloc(keys, sizeof(*values));
	for (size_t i = 0; i < keys; i++)
		snprintf(values[i].key, sizeof(values[i].key), "val:%zu", i);
	for (size_t i = 0; i < PADDING; i++)
		padding[i] = (char)('a' + i % 26);
}

static void report(void)
{
	printf("total %lu %.0f\n", answered, slowest);
	for (int i = 1; i < SHARD_ERROR_COUNT; i++)
		if (error_count[i])
			printf("error %d %lu %s\n", i, error_count[i], error_first[i]);
	printf("stale %lu\nrepeated %lu\n", stale, repeated);
	for (int kind = INCR; kind <= BLOCK; kind++)
		for (size_t i = 0; i < keys; i++)
			printf("counter %s %lu %lu\n", counters[kind][i].key, counters[kind][i].acked, counters[kind][i].unknown);
	for (size_t i = 0; i < keys; i++)
		printf("value %s %lu %lu\n", values[i].key, values[i].acked, values[i].sent);
	printf("end\n");
}

int main(int argc, char *argv[])
{
	shard_watch *watch;

	if (argc != 5) {
		fprintf(stderr, "usage: load_helper URI KEYS DEPTH TIMEOUT-MS\n");
		return 2;
	}
	keys = strtoul(argv[2], NULL, 10);
	depth = (unsigned)strtoul(argv[3], NULL, 10);
	client = connect_to(argv[1], (unsigned)strtoul(argv[4], NULL, 10));
	if (!client) {
		fprintf(stderr, "load_helper: no client for %s\n", argv[1]);
		return 2;
	}
	srandom((unsigned)getpid());
	init_keys();
	watch = shard_watch_add(client, STDIN_FILENO, EPOLLIN, told_to_stop, &watch);
	if (!watch) {
		fprintf(stderr, "load_helper: standard input: %s\n", strerror(errno));
		return 2;
	}
	turn(NULL);
	shard_client_run(client);
	report();
	shard_client_destroy(client);
	return 0;
}
