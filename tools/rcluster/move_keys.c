/* SPDX-License-Identifier: MIT */
/*
 * The keys of a slot: listed, measured, and sent in MIGRATEs that take no
 * longer than the latency that is allowed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "move_job.h"
#include "text.h"
#include "wait.h"

#define KEY_UNITS 150            /* what a key costs beside its bytes, in bytes */
#define LARGE_BYTES (64 * 1024)  /* from here on a key is not trusted to be as quick as the others were */
#define SLOW_US_PER_UNIT 0.03    /* hashes and sets of small members */
#define BATCH_KEYS 1000
#define BATCH_BYTES (8 * 1024 * 1024)
#define BIG_BYTES (16ll * 1024 * 1024)
#define LATENCY_MS 20
#define TRIES 5
#define MIGRATE_WORDS 12

/* ---- lists ---- */

void keys_drop_list(struct job *job)
{
	shard_reply_free(job->list);
	free(job->size);
	job->list = NULL;
	job->size = NULL;
	job->next = 0;
}

bool keys_take_list(struct job *job, const shard_reply *reply)
{
	keys_drop_list(job);
	if (!reply || reply->type != SHARD_REPLY_ARRAY)
		return false;
	if (!reply->len)
		return true;
	job->list = shard_reply_copy(reply);
	return job->list;
}

/* ---- sizes ---- */

static void on_size(void *ctx, const shard_result *result)
{
	long long *size = ctx;

	*size = !result->error && result->reply->type == SHARD_REPLY_INTEGER ? result->reply->integer : 0;
}

static void measure(struct move *move, struct job *job)
{
	const shard_call how = {
		.flags = SHARD_ONCE,
		.timeout_ms = move->admin->timeout_ms,
		.node = move_node(move, job->task->source)->addr,
	};

	job->size = allocate(job->list->len, sizeof(*job->size));
	for (size_t i = 0; i < job->list->len; i++) {
		const shard_reply *key = &job->list->element[i];
		const char *words[] = {"MEMORY", "USAGE", key->str};
		const size_t lens[] = {6, 5, key->len};

		if (shard_submit(move->admin->client, 3, words, lens, &how, on_size, &job->size[i], NULL))
			job->size[i] = 0;
	}
}

bool keys_measure(struct move *move, enum stage stage)
{
	bool any = false;

	for (size_t i = 0; i < move->job_count; i++) {
		struct job *job = &move->job[i];

		if (job->stage != stage || !job->list || job->size)
			continue;
		measure(move, job);
		any = true;
	}
	if (any)
		shard_client_run(move->admin->client);
	return any;
}

static bool is_big(const struct move *move, long long size)
{
	return size > (move->options->big_bytes ? move->options->big_bytes : BIG_BYTES);
}

bool keys_hold_big(const struct move *move, const struct job *job)
{
	for (size_t i = job->next; job->list && i < job->list->len; i++)
		if (is_big(move, job->size[i]))
			return true;
	return false;
}

/* ---- how much at once ---- */

static double key_us(const struct pace *pace, long long size)
{
	double rate = pace->us_per_unit ? pace->us_per_unit : SLOW_US_PER_UNIT;

	if (size >= LARGE_BYTES && rate < SLOW_US_PER_UNIT)
		rate = SLOW_US_PER_UNIT;
	return rate * (double)(size + KEY_UNITS);
}

static double latency_us(const struct move *move)
{
	return 1000.0 * (move->options->latency_ms ? move->options->latency_ms : LATENCY_MS);
}

/* What the limits leave: keys and bytes. */
static void allowance(const struct move *move, double *keys, double *bytes)
{
	const struct move_options *options = move->options;
	double seconds = (double)(now_ms() - move->started_ms) / 1000 + 0.1;

	*keys = options->keys_per_s > 0 ? options->keys_per_s * seconds - (double)move->totals->keys : BATCH_KEYS;
	*bytes = options->bytes_per_s > 0 ? options->bytes_per_s * seconds - (double)move->totals->bytes : 1e18;
}

/* How many keys of the list the next MIGRATE takes; 0: none in this round. */
static size_t cut(const struct move *move, const struct job *job, struct pace *pace)
{
	double room = latency_us(move) - (double)pace->round_us, most = latency_us(move) / 2, us = 0, keys, left;
	size_t limit = move->options->pipeline ? move->options->pipeline : BATCH_KEYS, n = 0;
	long long bytes = 0;

	allowance(move, &keys, &left);
	if (keys < 1 || left <= 0)
		return 0;
	if (keys < (double)limit)
		limit = (size_t)keys;
	while (job->next + n < job->list->len && n < limit) {
		long long size = job->size[job->next + n];
		double more = key_us(pace, size);
		bool first = !n && !pace->round_us; /* goes in any case, by itself where it is large */

		if (!first && (us + more > room || us + more > most || bytes + size > BATCH_BYTES || bytes + size > left))
			break;
		us += more;
		bytes += size;
		n++;
	}
	pace->round_us += (unsigned long long)us + (n > 0);
	pace->units += (double)bytes + KEY_UNITS * (double)n;
	return n;
}

void keys_learn(struct move *move, unsigned long long us)
{
	for (size_t i = 0; i < move->admin->view.count; i++) {
		struct pace *pace = &move->pace[i];
		double rate;

		if (pace->units > 0) {
			rate = (double)us / pace->units;
			if (!pace->us_per_unit)
				pace->us_per_unit = rate;
			else
				pace->us_per_unit = 0.7 * pace->us_per_unit + 0.3 * rate;
		}
		pace->units = 0;
		pace->round_us = 0;
	}
}

/* ---- MIGRATE ---- */

struct words {
	const char **word;
	size_t *len;
	size_t count;
};

static void put(struct words *words, const char *word, size_t len)
{
	words->word[words->count] = word;
	words->len[words->count++] = len;
}

static void put_text(struct words *words, const char *word)
{
	put(words, word, strlen(word));
}

/* The words and their lengths in one block, numbers behind them. */
static struct words make_words(const struct move *move, const struct job *job, size_t keys)
{
	const shard_uri *uri = move->admin->connect.uri;
	const struct view_node *target = move_node(move, job->task->target);
	size_t room = MIGRATE_WORDS + keys;
	struct words words = {.word = allocate(room, sizeof(char *) + sizeof(size_t) + 2)};
	char *numbers, *port;

	words.len = (size_t *)(words.word + room);
	numbers = (char *)(words.len + room); /* 2 * MIGRATE_WORDS bytes at least */
	port = numbers + 12;
	snprintf(numbers, 12, "%u", move->options->migrate_ms ? move->options->migrate_ms : 60000);
	snprintf(port, 8, "%u", target->port);
	put_text(&words, "MIGRATE");
	put_text(&words, target->host);
	put_text(&words, port);
	put_text(&words, "");
	put_text(&words, "0");
	put_text(&words, numbers);
	if (uri->password) {
		put_text(&words, uri->user ? "AUTH2" : "AUTH");
		if (uri->user)
			put_text(&words, uri->user);
		put_text(&words, uri->password);
	}
	put_text(&words, "KEYS");
	for (size_t i = 0; i < keys; i++)
		put(&words, job->list->element[job->next + i].str, job->list->element[job->next + i].len);
	return words;
}

static void migrate(struct move *move, size_t index, size_t keys)
{
	struct words words = make_words(move, &move->job[index], keys);
	struct ask *ask = move_ask(move, index, move->job[index].task->source);

	ask->words = words.word;
	ask->lens = words.len;
	ask->argc = (int)words.count;
	for (size_t i = 0; i < keys; i++)
		move->totals->bytes += (unsigned long long)move->job[index].size[move->job[index].next + i];
	move->totals->keys += keys;
	move->job[index].next += keys;
	move->migrates = true;
}

bool keys_send(struct move *move, size_t index)
{
	struct job *job = &move->job[index];
	struct pace *pace = &move->pace[job->task->source];
	size_t keys;
	bool any = false;

	while (job->next < job->list->len && (keys = cut(move, job, pace)) > 0) {
		migrate(move, index, keys);
		any = true;
	}
	return any;
}

void keys_free_ask(struct ask *ask)
{
	if (ask->lens)
		free((void *)ask->words);
}

static bool is_passing(const char *error)
{
	static const char *const passing[] = {"IOERR", "TRYAGAIN", "LOADING", "REDIRECT", "CLUSTERDOWN"};

	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (strstr(error, passing[i]))
			return true;
	return false;
}

void keys_answered(struct move *move, struct job *job, const struct ask *ask)
{
	if (ask->reply) /* OK or NOKEY */
		return;
	if (ask->code == SHARD_ESERVER && strstr(ask->error, "BUSYKEY") && ++job->tries <= TRIES)
		job->busy = true;
	else if (ask->code != SHARD_ESERVER || !is_passing(ask->error) || ++job->tries > TRIES)
		move_fail(move, job, job->task->source, "MIGRATE", ask->error);
	if (job->stage != STAGE_DROPPED)
		job->stage = STAGE_AGAIN;
}
