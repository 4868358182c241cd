/* SPDX-License-Identifier: MIT */
#include "transfer.h"

#include <sha1.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <shard/slot.h>

#include "cli.h"
#include "progress.h"
#include "wait.h"

#define WINDOW_BYTES ((size_t)32 << 20)
#define WINDOW_KEYS 512
#define QUEUE_KEYS 2048    /* so many keys are listed ahead */
#define GUESS ((size_t)64 << 10) /* the size of a key of which no server tells */
#define TRIES 5            /* for a key that changes while it is moved */
#define REPORTS 20         /* more failures or conflicts than these are only counted */
#define POLL_MS 100
#define DIGEST_SIZE 64
#define DUMP_TAIL 10       /* the version and the checksum, which are the server's and not the value's */

struct run;

struct item {
	struct item *next;
	struct run *run;
	size_t bytes;      /* about what it takes of the window */
	shard_reply *dump; /* its value */
	int64_t expires;   /* now_ms(); 0: never */
	int error;         /* of the first question that failed */
	unsigned parts;    /* questions that are open */
	unsigned tries;
	char digest[DIGEST_SIZE]; /* of the members that are at the new place */
	bool ours;         /* what is at the new place is from here: it may be overwritten */
	size_t len;
	char key[];
};

struct run {
	struct transfer *transfer;
	shard_scan *scan;
	bool listing, listed; /* a batch is asked for; all have come */
	bool stopped;         /* nothing new is begun */
	struct item *ready, **tail;
	size_t waiting;           /* keys that are listed and not begun */
	size_t open, open_bytes;  /* that are begun */
	uint64_t total;           /* keys in all, about; 0: not known */
	uint64_t reported;
	struct progress progress;
};

static const char remove_script[] =
	"local d = redis.call('DUMP', KEYS[1])\n"
	"if not d or redis.sha1hex(d) ~= ARGV[1] then return 0 end\n"
	"return redis.call('DEL', KEYS[1])";

/* Hashes and sets have no order of their own, so two that are the same may be dumped differently. */
static const char digest_script[] =
	"local t, a = redis.call('TYPE', KEYS[1]).ok, {}\n"
	"if t == 'set' then a = redis.call('SMEMBERS', KEYS[1])\n"
	"elseif t == 'hash' then\n"
	"  local h = redis.call('HGETALL', KEYS[1])\n"
	"  for i = 1, #h, 2 do a[#a + 1] = #h[i] .. ':' .. h[i] .. h[i + 1] end\n"
	"else return '' end\n"
	"for i = 1, #a do a[i] = #a[i] .. ':' .. a[i] end\n"
	"table.sort(a)\n"
	"return t .. redis.sha1hex(table.concat(a))";

static void pump(struct run *run);
static void fetch(struct item *item);
static void restore(struct item *item);

/* ---- ends of a key ---- */

static void finish(struct item *item)
{
	struct run *run = item->run;

	run->open--;
	run->open_bytes -= item->bytes;
	shard_reply_free(item->dump);
	free(item);
	pump(run);
}

static void finish_done(struct item *item)
{
	item->run->transfer->done++;
	finish(item);
}

static bool may_report(struct run *run)
{
	return run->reported++ < REPORTS;
}

static void finish_failed(struct item *item, const shard_result *result)
{
	struct run *run = item->run;

	run->transfer->failures++;
	/* A server that refuses one key may take the next; who cannot be reached is not asked a million times. */
	if (result->error != SHARD_ESERVER || run->transfer->failures >= REPORTS)
		run->stopped = true;
	if (may_report(run))
		cli_result_error(item->key, item->len, result);
	finish(item);
}

static void finish_conflict(struct item *item)
{
	struct run *run = item->run;
	const char *node = shard_client_node_of(run->transfer->to, item->key, item->len);

	run->transfer->conflicts++;
	if (may_report(run))
		cli_error_about(item->key, item->len,
				"exists already at %s (slot %d) with another value: --replace overwrites it",
				node ? node : "the cluster", shard_slot(item->key, item->len));
	finish(item);
}

/* ---- questions ---- */

static void ask(struct item *item, shard_client *client, const shard_args *args, unsigned flags,
		shard_callback callback)
{
	const shard_call how = {.flags = flags, .timeout_ms = item->run->transfer->timeout_ms};
	int error = shard_submit(client, args->argc, args->argv, args->argvlen, &how, callback, item, NULL);

	if (error) {
		const shard_result result = {
			.error = error, .message = shard_strerror(error), .node = "", .slot = -1};

		callback(item, &result);
	}
}

static void ask_key(struct item *item, shard_client *client, const char *command, shard_callback callback)
{
	const char *argv[] = {command, item->key};
	const size_t len[] = {strlen(command), item->len};
	const shard_args args = {2, argv, len};

	ask(item, client, &args, 0, callback);
}

/* ---- the last step of a move: the key leaves its old place ---- */

static void on_removed(void *ctx, const shard_result *result)
{
	struct item *item = ctx;
	shard_result late;

	if (result->error) {
		finish_failed(item, result);
	} else if (result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer) {
		finish_done(item);
	} else if (++item->tries < TRIES) {
		shard_reply_free(item->dump);
		item->dump = NULL;
		item->ours = true;
		fetch(item);
	} else {
		late = *result;
		late.error = SHARD_ESERVER;
		late.message = "it changes all the time, so it is in both places: import it again";
		finish_failed(item, &late);
	}
}

static void remove_old(struct item *item)
{
	char digest[SHA1_DIGEST_STRING_LENGTH];
	const char *argv[] = {"EVAL", remove_script, "1", item->key, digest};
	const size_t len[] = {4, sizeof(remove_script) - 1, 1, item->len, SHA1_DIGEST_STRING_LENGTH - 1};
	const shard_args args = {5, argv, len};

	SHA1Data((const uint8_t *)item->dump->str, item->dump->len, digest);
	ask(item, item->run->transfer->from, &args, 0, on_removed);
}

static void placed(struct item *item)
{
	if (item->run->transfer->copy)
		finish_done(item);
	else
		remove_old(item);
}

/* ---- the key at its new place ---- */

static bool same_value(const shard_reply *a, const shard_reply *b)
{
	return a->type == SHARD_REPLY_STRING && b->type == SHARD_REPLY_STRING && a->len == b->len &&
	       a->len > DUMP_TAIL && !memcmp(a->str, b->str, a->len - DUMP_TAIL);
}

static void ask_digest(struct item *item, shard_client *client, shard_callback callback)
{
	const char *argv[] = {"EVAL", digest_script, "1", item->key};
	const size_t len[] = {4, sizeof(digest_script) - 1, 1, item->len};
	const shard_args args = {4, argv, len};

	ask(item, client, &args, 0, callback);
}

static bool has_digest(const shard_result *result)
{
	return result->reply->type == SHARD_REPLY_STRING && result->reply->len &&
	       result->reply->len < DIGEST_SIZE;
}

static void on_our_digest(void *ctx, const shard_result *result)
{
	struct item *item = ctx;

	if (result->error) {
		finish_failed(item, result);
	} else if (has_digest(result) && !strcmp(result->reply->str, item->digest)) {
		item->run->transfer->same++;
		placed(item);
	} else {
		finish_conflict(item);
	}
}

static void on_their_digest(void *ctx, const shard_result *result)
{
	struct item *item = ctx;

	if (result->error) {
		finish_failed(item, result);
	} else if (!has_digest(result)) {
		finish_conflict(item);
	} else {
		memcpy(item->digest, result->reply->str, result->reply->len + 1);
		ask_digest(item, item->run->transfer->from, on_our_digest);
	}
}

/* Of a key that was there: a run that was cut off may have brought it. */
static void on_compared(void *ctx, const shard_result *result)
{
	struct item *item = ctx;

	if (result->error) {
		finish_failed(item, result);
	} else if (result->reply->type == SHARD_REPLY_NIL) {
		restore(item); /* it has gone meanwhile */
	} else if (same_value(item->dump, result->reply)) {
		item->run->transfer->same++;
		placed(item);
	} else {
		ask_digest(item, item->run->transfer->to, on_their_digest);
	}
}

static void on_restored(void *ctx, const shard_result *result)
{
	struct item *item = ctx;

	if (!result->error)
		placed(item);
	else if (result->reply && shard_reply_is_error(result->reply, "BUSYKEY"))
		ask_key(item, item->run->transfer->to, "DUMP", on_compared);
	else
		finish_failed(item, result);
}

static void restore(struct item *item)
{
	bool replace = item->ours || item->run->transfer->replace;
	int64_t left = item->expires ? item->expires - now_ms() : 0;
	char ttl[24];
	const char *argv[] = {"RESTORE", item->key, ttl, item->dump->str, "REPLACE"};
	size_t len[] = {7, item->len, 0, item->dump->len, 7};
	const shard_args args = {replace ? 5 : 4, argv, len};

	if (item->expires && left < 1)
		left = 1; /* it shall go, and 0 would mean never */
	len[2] = (size_t)snprintf(ttl, sizeof(ttl), "%lld", (long long)left);
	ask(item, item->run->transfer->to, &args, replace ? SHARD_IDEMPOTENT : 0, on_restored);
}

/* ---- the key at its old place ---- */

static void on_unplaced(void *ctx, const shard_result *result)
{
	if (result->error)
		finish_failed(ctx, result);
	else
		finish(ctx);
}

/* Both answers are there. */
static void fetched(struct item *item)
{
	if (item->dump)
		restore(item);
	else if (item->ours)
		ask_key(item, item->run->transfer->to, "UNLINK", on_unplaced); /* removed after it was copied */
	else
		finish(item);
}

/* Takes the error of the first of two answers along, to be told with the last. Returns whether this was the last. */
static bool last_part(struct item *item, const shard_result *result)
{
	if (--item->parts) {
		item->error = result->error;
		return false;
	}
	if (!result->error && !item->error)
		return true;
	if (result->error) {
		finish_failed(item, result);
	} else {
		shard_result first = *result;

		first.error = item->error;
		first.reply = NULL;
		first.message = shard_strerror(item->error);
		finish_failed(item, &first);
	}
	return false;
}

static void on_ttl(void *ctx, const shard_result *result)
{
	struct item *item = ctx;
	bool has = !result->error && result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer >= 0;

	item->expires = has ? now_ms() + result->reply->integer : 0;
	if (last_part(item, result))
		fetched(item);
}

static void on_dump(void *ctx, const shard_result *result)
{
	struct item *item = ctx;

	if (!result->error && result->reply->type == SHARD_REPLY_STRING) {
		item->dump = shard_reply_copy(result->reply);
		if (!item->dump) {
			cli_error("out of memory");
			exit(CLI_FAILED);
		}
	}
	if (last_part(item, result))
		fetched(item);
}

static void fetch(struct item *item)
{
	item->parts = 2;
	item->error = SHARD_OK;
	ask_key(item, item->run->transfer->from, "PTTL", on_ttl);
	ask_key(item, item->run->transfer->from, "DUMP", on_dump);
}

/* ---- the queue ---- */

static void begin(struct run *run)
{
	struct item *item = run->ready;

	run->ready = item->next;
	if (!run->ready)
		run->tail = &run->ready;
	run->waiting--;
	run->open++;
	run->open_bytes += item->bytes;
	fetch(item);
}

static void drop_queue(struct run *run)
{
	while (run->ready) {
		struct item *next = run->ready->next;

		free(run->ready);
		run->ready = next;
		run->waiting--;
	}
	run->tail = &run->ready;
}

static void on_size(void *ctx, const shard_result *result)
{
	struct item *item = ctx;
	struct run *run = item->run;
	bool told = !result->error && result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer > 0;

	item->bytes = told ? (size_t)result->reply->integer : GUESS;
	*run->tail = item;
	run->tail = &item->next;
	pump(run);
}

static void list_key(struct run *run, const shard_reply *key)
{
	struct item *item = cli_alloc(sizeof(*item) + key->len + 1);
	const char *argv[] = {"MEMORY", "USAGE", item->key};
	const size_t len[] = {6, 5, key->len};
	const shard_args args = {3, argv, len};

	*item = (struct item){.run = run, .len = key->len};
	memcpy(item->key, key->str, key->len);
	item->key[key->len] = '\0';
	run->waiting++;
	ask(item, run->transfer->from, &args, 0, on_size);
}

static void on_batch(void *ctx, const shard_scan_batch *batch)
{
	struct run *run = ctx;

	run->listing = false;
	run->listed = batch->done || batch->error;
	if (batch->error) {
		cli_error("listing the keys: %s", batch->message);
		run->transfer->failures++;
		run->stopped = true;
	}
	for (size_t i = 0; i < batch->count; i++)
		list_key(run, &batch->keys[i]);
	pump(run);
}

static void pump(struct run *run)
{
	if (interrupted()) {
		run->transfer->interrupted = true;
		run->stopped = true;
	}
	if (run->stopped)
		drop_queue(run);
	while (run->ready && run->open < WINDOW_KEYS &&
	       (!run->open || run->open_bytes + run->ready->bytes <= WINDOW_BYTES))
		begin(run);
	if (!run->stopped && !run->listed && !run->listing && run->waiting < QUEUE_KEYS)
		run->listing = !shard_scan_next(run->scan, on_batch, run);
}

/* ---- both clients in one loop ---- */

static void on_from(void *ctx, uint32_t events)
{
	shard_client_process(ctx);
}

static bool is_over(const struct run *run)
{
	return !run->open && !run->waiting && !run->listing && (run->listed || run->stopped);
}

static void on_count(void *ctx, const shard_result *result)
{
	struct run *run = ctx;

	if (!result->error && result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer > 0)
		run->total = (uint64_t)result->reply->integer;
}

static void loop(struct run *run)
{
	struct transfer *t = run->transfer;

	while (!is_over(run)) {
		int wait = progress_wait_ms(&run->progress);

		if (shard_client_wait(t->to, wait < 0 || wait > POLL_MS ? POLL_MS : wait))
			break;
		pump(run);
		progress_show(&run->progress, t->done, t->done + t->conflicts, run->total);
	}
}

bool transfer_run(struct transfer *t)
{
	struct run run = {.transfer = t};
	const char *count[] = {"DBSIZE"};
	shard_watch *watch = shard_watch_add(t->to, shard_client_fd(t->from), EPOLLIN, on_from, t->from);

	run.tail = &run.ready;
	run.scan = shard_scan_create(t->from, NULL);
	if (!watch || !run.scan) {
		cli_error("%s", shard_strerror(SHARD_ENOMEM));
		exit(CLI_FAILED);
	}
	progress_init(&run.progress, "keys");
	if (shard_submit(t->from, 1, count, NULL, NULL, on_count, &run, NULL))
		run.total = 0;
	pump(&run);
	loop(&run);
	progress_end(&run.progress);
	shard_scan_destroy(run.scan);
	while (shard_client_pending(t->from) && !shard_client_wait(t->from, -1))
		; /* the count, whose answer nobody needs any more */
	shard_watch_remove(watch);
	if (run.reported > REPORTS)
		cli_error("... and %llu keys more", (unsigned long long)(run.reported - REPORTS));
	return !t->conflicts && !t->failures && !t->interrupted && run.listed;
}

/* ---- one place or two ---- */

#define REPLID_MAX 64

struct replids {
	size_t count;
	char id[REPLID_MAX * 16][41];
	bool failed;
};

static void take_replid(struct replids *ids, const shard_result *result)
{
	const char *at = result->error || result->reply->type != SHARD_REPLY_STRING
				 ? NULL
				 : strstr(result->reply->str, "master_replid:");

	if (result->error)
		ids->failed = true;
	if (at && ids->count < sizeof(ids->id) / sizeof(*ids->id))
		snprintf(ids->id[ids->count++], sizeof(*ids->id), "%.40s", at + strlen("master_replid:"));
}

static void on_replids(void *ctx, const shard_result *result)
{
	struct replids *ids = ctx;

	if (result->error && !result->part_count) {
		cli_result_error(NULL, 0, result);
		ids->failed = true;
	}
	for (size_t i = 0; i < result->part_count; i++)
		take_replid(ids, &result->part[i]);
	if (!result->part_count)
		take_replid(ids, result);
}

static bool ask_replids(shard_client *client, struct replids *ids)
{
	const char *argv[] = {"INFO", "replication"};
	const shard_call how = {.flags = SHARD_EACH_MASTER};

	if (shard_submit(client, 2, argv, NULL, &how, on_replids, ids, NULL))
		return false;
	shard_client_run(client);
	return !ids->failed;
}

bool transfer_is_same_place(shard_client *from, shard_client *to, bool *ok)
{
	struct replids *a = cli_alloc(sizeof(*a)), *b = cli_alloc(sizeof(*b));
	bool same = false;

	memset(a, 0, sizeof(*a));
	memset(b, 0, sizeof(*b));
	*ok = ask_replids(from, a) && ask_replids(to, b);
	for (size_t i = 0; i < a->count && *ok; i++)
		for (size_t j = 0; j < b->count; j++)
			same = same || !strcmp(a->id[i], b->id[j]);
	free(b);
	free(a);
	return same;
}
