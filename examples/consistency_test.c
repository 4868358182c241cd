/* SPDX-License-Identifier: MIT */
/*
 * consistency_test: the consistency checker of the Redis Cluster tutorial. It
 * takes one of many counters, reads it, checks it against what it remembers,
 * increments it, and remembers the answer; and so on. A line a second tells
 * how many reads and writes there were, and how many failed:
 *
 *	5780 R (0 err) | 5780 W (0 err) |
 *	6943 R (0 err) | 6943 W (0 err) | 114 lost |
 *
 * lost: increments that were acknowledged and are not there any more. noack:
 * those that are there and were not acknowledged, as where a connection broke
 * before the answer came. INCR is not repeated then, so there are never more
 * of them than writes that failed; if there are, somebody counted twice.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <shard/shard.h>

#include "args.h"
#include "cli.h"

#define WAIT_MS "100" /* that replicas get to acknowledge a write */
#define PREFIX_MAX 256

struct counter {
	long long value; /* what it must be */
	unsigned unknown; /* increments that may have been executed, or may still be */
	bool known;
};

/* What happened so far. */
struct tally {
	uint64_t reads, read_errors, writes, write_errors;
	uint64_t lost, noack, repeated, unreplicated;
};

enum { OPTION_SECONDS = 0x200, OPTION_KEYS, OPTION_WORKING_SET, OPTION_WAIT, OPTION_PREFIX };

static const struct argp_option options[] = {
	{"seconds", OPTION_SECONDS, "N", 0, "End after N seconds (0, the default: never)", 0},
	{"keys", OPTION_KEYS, "N", 0, "So many counters (1000): key_0, key_1, ...", 0},
	{"working-set", OPTION_WORKING_SET, "N", 0, "Half of the time it is one of the first N (a tenth of all)", 0},
	{"wait", OPTION_WAIT, "N", 0, "WAIT for N replicas after each write, up to " WAIT_MS " ms", 0},
	{"prefix", OPTION_PREFIX, "TEXT", 0, "What the counters' names begin with (key_)", 0},
	{0},
};

static unsigned seconds, key_count = 1000, working_set, replicas;
static const char *prefix = "key_";

static shard_client *client;
static struct counter *counters;
static struct tally tally;
static shard_timer *ticker;
static bool over;
static unsigned seconds_gone;
static volatile sig_atomic_t told_to_stop;

static bool take_option(struct args *args, int key, char *arg)
{
	switch (key) {
	case OPTION_SECONDS:
		seconds = (unsigned)cli_number("--seconds", arg, 0, 1000000000);
		return true;
	case OPTION_KEYS:
		key_count = (unsigned)cli_number("--keys", arg, 1, 100000000);
		return true;
	case OPTION_WORKING_SET:
		working_set = (unsigned)cli_number("--working-set", arg, 1, 100000000);
		return true;
	case OPTION_WAIT:
		replicas = (unsigned)cli_number("--wait", arg, 0, 1000);
		return true;
	case OPTION_PREFIX:
		prefix = arg;
		return true;
	}
	return false;
}

/* ---- telling ---- */

static void report(void)
{
	printf("%" PRIu64 " R (%" PRIu64 " err) | %" PRIu64 " W (%" PRIu64 " err) |", tally.reads, tally.read_errors,
	       tally.writes, tally.write_errors);
	if (tally.lost)
		printf(" %" PRIu64 " lost |", tally.lost);
	if (tally.noack)
		printf(" %" PRIu64 " noack |", tally.noack);
	if (tally.unreplicated)
		printf(" %" PRIu64 " unreplicated |", tally.unreplicated);
	putchar('\n');
}

static void second_over(void *ctx)
{
	over = seconds && ++seconds_gone >= seconds;
	if (!over)
		report();
	ticker = over ? NULL : shard_timer_add(client, 1000, second_over, NULL);
}

/* A line for each kind of error a second: when a node is gone there are many. */
static void print_error(const char *what, time_t *last, const char *key, const shard_answer *answer)
{
	time_t now = time(NULL);

	if (now == *last)
		return;
	*last = now;
	printf("%s %s: %s", what, key, answer->message);
	if (*answer->node)
		printf(" (%s, slot %d)", answer->node, answer->slot);
	putchar('\n');
}

/* ---- checking ---- */

/* FOUND is what the counter is now; another value than the one remembered is counted once. */
static void check(struct counter *counter, long long found)
{
	uint64_t extra, maybe;

	if (counter->known && found < counter->value) {
		tally.lost += (uint64_t)(counter->value - found);
	} else if (counter->known && found > counter->value) {
		extra = (uint64_t)(found - counter->value);
		maybe = extra < counter->unknown ? extra : counter->unknown;
		counter->unknown -= (unsigned)maybe;
		tally.noack += extra;
		tally.repeated += extra - maybe;
	}
	counter->value = found;
	counter->known = true;
}

static void read_counter(struct counter *counter, const char *key)
{
	static time_t last;
	shard_answer *answer = shard_dol(client, NULL, "GET", key, (char *)NULL);

	if (answer->error) {
		tally.read_errors++;
		print_error("Reading", &last, key, answer);
	} else {
		tally.reads++;
		check(counter, answer->reply->type == SHARD_REPLY_STRING ? strtoll(answer->reply->str, NULL, 10) : 0);
	}
	shard_answer_free(answer);
}

/* WAIT tells of what its connection has written: it is routed as the key that it is about. */
static void wait_for_replicas(const char *key)
{
	static time_t last;
	shard_call how = {.key = key, .key_len = strlen(key)};
	shard_answer *answer;
	char count[16];

	snprintf(count, sizeof(count), "%u", replicas);
	answer = shard_dol(client, &how, "WAIT", count, WAIT_MS, (char *)NULL);
	if (answer->error)
		print_error("Waiting for replicas of", &last, key, answer);
	if (answer->error || answer->reply->integer < replicas)
		tally.unreplicated++;
	shard_answer_free(answer);
}

static void write_counter(struct counter *counter, const char *key)
{
	static time_t last;
	shard_answer *answer = shard_dol(client, NULL, "INCR", key, (char *)NULL);
	bool ok = !answer->error;

	if (ok) {
		tally.writes++;
		check(counter, answer->reply->integer - 1);
		counter->value = answer->reply->integer;
	} else {
		tally.write_errors++;
		/* All others say that it was not executed. */
		if (answer->error == SHARD_EUNKNOWN)
			counter->unknown++;
		print_error("Writing", &last, key, answer);
	}
	shard_answer_free(answer);
	if (ok && replicas)
		wait_for_replicas(key);
}

static void one_round(void)
{
	unsigned among = random() % 2 ? key_count : working_set;
	unsigned i = (unsigned)random() % among;
	char key[PREFIX_MAX + 16];

	snprintf(key, sizeof(key), "%s%u", prefix, i);
	read_counter(&counters[i], key);
	write_counter(&counters[i], key);
}

/* ---- running ---- */

static void on_signal(int number)
{
	told_to_stop = 1;
}

/* What is under way is finished; a second signal does not wait for that. */
static void watch_signals(void)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART | (int)SA_RESETHAND};

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static int verdict(void)
{
	if (tally.lost)
		cli_error("%" PRIu64 " acknowledged increments were lost", tally.lost);
	if (tally.repeated)
		cli_error("%" PRIu64 " increments more than were asked for", tally.repeated);
	if (tally.lost || tally.repeated)
		return CLI_NO;
	if (!tally.reads && !tally.writes)
		return CLI_FAILED; /* each error was told */
	return CLI_OK;
}

/* Checks what the command line asks for, and makes the counters. */
static void prepare(const struct args *args)
{
	if (args->word[0])
		cli_usage("%s: it takes options only", args->word[0]);
	if (!working_set)
		working_set = key_count < 10 ? key_count : key_count / 10;
	if (working_set > key_count)
		cli_usage("--working-set %u is more than --keys %u", working_set, key_count);
	if (strlen(prefix) > PREFIX_MAX)
		cli_usage("--prefix: at most %d bytes", PREFIX_MAX);
	counters = cli_alloc(key_count * sizeof(*counters));
	memset(counters, 0, key_count * sizeof(*counters));
	setvbuf(stdout, NULL, _IOLBF, 0);
	srandom((unsigned)(getpid() ^ time(NULL)));
	watch_signals();
}

int main(int argc, char *argv[])
{
	struct args args = {.doc = "Increments counters, and tells of increments that were lost or not acknowledged.",
			    .options = options,
			    .option = take_option};
	int status;

	client = args_client(&args, argc, argv);
	if (!client)
		return CLI_FAILED;
	prepare(&args);
	ticker = shard_timer_add(client, 1000, second_over, NULL);
	while (!over && !told_to_stop && !ferror(stdout))
		one_round();
	report();
	status = verdict();
	shard_timer_cancel(ticker);
	shard_client_destroy(client);
	free(counters);
	args_finish(&args);
	return status;
}
