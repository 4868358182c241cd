/* SPDX-License-Identifier: MIT */
/*
 * Listing: SCAN over all masters at once, one batch a node ahead.
 *
 * A cursor means something only to the process that gave it, so after any
 * failure a node is listed from its start again; keys that were seen are
 * known by their hashes. When all nodes are through, those that got slots
 * meanwhile, or are importing some, are listed once more: a key that moved
 * ahead of one cursor and behind another is found there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "client/internal.h"

#define COUNT 1000
#define CURSOR_SIZE 24
#define HASH_RUN 16
#define RETRY_MS 100

enum source_state {
	SOURCE_IDLE,    /* may be asked */
	SOURCE_ASKED,
	SOURCE_READY,   /* holds a batch that has not been handed out */
	SOURCE_DONE
};

struct source {
	struct list link; /* in scan->sources */
	shard_scan *scan;
	shard_request *req;
	enum source_state state;
	bool again; /* listed for the second time */
	char cursor[CURSOR_SIZE];
	shard_reply *batch; /* SCAN's whole reply */
	char addr[]; /* host:port */
};

/* Open addressing over 64-bit hashes; 0 stands for an empty cell. */
struct seen {
	uint64_t *cell;
	size_t size, used;
};

struct shard_scan {
	struct list grave; /* first: loop_bury() */
	struct list link;  /* in client->scans */
	shard_client *client;
	char *match;
	size_t match_len;
	unsigned count;
	bool duplicates;
	struct seen seen;
	struct list sources;
	shard_topology *start; /* the map at the beginning */
	shard_scan_callback callback; /* NULL: nobody asks */
	void *ctx;
	shard_timer *timer;
	uint64_t give_up; /* ms: when failures without any progress end the scan; 0: there are none */
	bool started, verified, ended, destroyed, busy;
	bool delivering; /* in advance(): shard_scan_next() need not start it */
	size_t checks; /* answers that the verification still waits for */
	int error;
	char *message;
};

static void advance(shard_scan *scan);
static void retry_due(void *ctx);

/* ---- keys that were seen ---- */

static bool grow(struct seen *seen)
{
	size_t size = seen->size ? seen->size * 2 : 4096;
	uint64_t *cell = calloc(size, sizeof(*cell));

	if (!cell)
		return false;
	for (size_t i = 0; i < seen->size; i++) {
		size_t at = seen->cell[i] & (size - 1);

		if (!seen->cell[i])
			continue;
		while (cell[at])
			at = (at + 1) & (size - 1);
		cell[at] = seen->cell[i];
	}
	free(seen->cell);
	seen->cell = cell;
	seen->size = size;
	return true;
}

/* 1: new; 0: seen before; -1: no memory. */
static int add_hash(struct seen *seen, uint64_t hash)
{
	size_t at;

	if (seen->used * 4 >= seen->size * 3 && !grow(seen))
		return -1;
	for (at = hash & (seen->size - 1); seen->cell[at]; at = (at + 1) & (seen->size - 1))
		if (seen->cell[at] == hash)
			return 0;
	seen->cell[at] = hash;
	seen->used++;
	return 1;
}

/* ---- making ---- */

shard_scan *shard_scan_create(shard_client *client, const shard_scan_options *how)
{
	shard_scan *scan = calloc(1, sizeof(*scan));

	if (!scan)
		return NULL;
	list_init(&scan->sources);
	list_init(&scan->link);
	scan->client = client;
	scan->count = how && how->count ? how->count : COUNT;
	scan->duplicates = how && how->duplicates;
	if (how && how->match) {
		scan->match = malloc(how->match_len + 1);
		if (!scan->match) {
			free(scan);
			return NULL;
		}
		memcpy(scan->match, how->match, how->match_len);
		scan->match_len = how->match_len;
	}
	list_push(&client->scans, &scan->link);
	return scan;
}

static void free_source(struct source *source)
{
	list_remove(&source->link);
	shard_reply_free(source->batch);
	free(source);
}

/* A source whose question is open lives until the answer comes. */
static void drop_sources(shard_scan *scan)
{
	for (struct list *l = scan->sources.next, *next; l != &scan->sources; l = next) {
		struct source *source = list_entry(l, struct source, link);

		next = l->next;
		if (source->state == SOURCE_ASKED) {
			list_remove(&source->link);
			source->scan = NULL;
			if (!scan->client->destroying)
				shard_cancel(scan->client, source->req);
		} else {
			free_source(source);
		}
	}
}

/* Frees it unless an answer (of a refresh, of a check) is still to come. */
static void free_scan(shard_scan *scan)
{
	if (scan->busy || scan->checks)
		return;
	free(scan->seen.cell);
	free(scan->match);
	free(scan->message);
	shard_topology_unref(scan->start);
	loop_bury(&scan->client->loop, scan);
}

void shard_scan_destroy(shard_scan *scan)
{
	if (!scan || scan->destroyed)
		return;
	scan->destroyed = true;
	scan->callback = NULL;
	shard_timer_cancel(scan->timer);
	scan->timer = NULL;
	drop_sources(scan);
	list_remove(&scan->link);
	free_scan(scan);
}

void scan_cancel_all(shard_client *client)
{
	while (!list_empty(&client->scans))
		shard_scan_destroy(list_entry(client->scans.next, shard_scan, link));
}

/* ---- the end ---- */

static void deliver(shard_scan *scan, const shard_scan_batch *batch)
{
	shard_scan_callback callback = scan->callback;

	scan->callback = NULL;
	callback(scan->ctx, batch);
}

static void fail(shard_scan *scan, int error, const char *message)
{
	if (scan->error || scan->ended)
		return;
	scan->error = error;
	free(scan->message);
	scan->message = strdup(message);
	drop_sources(scan);
	advance(scan);
}

static void deliver_end(shard_scan *scan)
{
	shard_scan_batch batch = {
		.error = scan->error,
		.message = scan->message ? scan->message : "",
		.done = true,
		.node = "",
	};

	scan->ended = true;
	deliver(scan, &batch);
}

/* ---- asking ---- */

static void answered(void *ctx, const shard_result *result);

static void ask(struct source *source)
{
	shard_scan *scan = source->scan;
	char count[16];
	const char *argv[6] = {"SCAN", source->cursor, "COUNT", count, "MATCH", scan->match};
	size_t argvlen[6] = {4, strlen(source->cursor), 5, 0, 5, scan->match_len};
	shard_call how = {.node = source->addr};
	int error;

	argvlen[3] = (size_t)snprintf(count, sizeof(count), "%u", scan->count);
	source->state = SOURCE_ASKED;
	error = shard_submit(scan->client, scan->match ? 6 : 4, argv, argvlen, &how, answered, source, &source->req);
	if (error) {
		source->state = SOURCE_IDLE;
		fail(scan, error, shard_strerror(error));
	}
}

/* Decimal digits, as many as 64 bits take. */
static bool is_cursor(const shard_reply *reply)
{
	if (reply->type != SHARD_REPLY_STRING || !reply->len || reply->len > 20)
		return false;
	return strspn(reply->str, "0123456789") == reply->len;
}

static bool well_formed(const shard_reply *reply)
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 2 || !is_cursor(&reply->element[0]) ||
	    reply->element[1].type != SHARD_REPLY_ARRAY)
		return false;
	for (size_t i = 0; i < reply->element[1].len; i++)
		if (reply->element[1].element[i].type != SHARD_REPLY_STRING)
			return false;
	return true;
}

static bool worth_trying_again(const shard_result *result)
{
	return result->error == SHARD_ECONNECT || result->error == SHARD_ETIMEDOUT || result->error == SHARD_ERESOLVE ||
	       shard_reply_is_error(result->reply, "LOADING") || shard_reply_is_error(result->reply, "MASTERDOWN") ||
	       shard_reply_is_error(result->reply, "CLUSTERDOWN");
}

/* The node is listed anew when the map has had time to tell who serves its slots now. */
static void source_failed(struct source *source, const shard_result *result)
{
	shard_scan *scan = source->scan;
	uint64_t now = scan->client->loop.now;

	if (!scan->give_up)
		scan->give_up = now + scan->client->timeout_ms;
	if (!worth_trying_again(result) || now >= scan->give_up) {
		fail(scan, result->error, result->message);
		return;
	}
	if (!scan->timer)
		scan->timer = shard_timer_add(scan->client, RETRY_MS, retry_due, scan);
	if (!scan->timer)
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
}

static void answered(void *ctx, const shard_result *result)
{
	struct source *source = ctx;
	shard_scan *scan = source->scan;

	if (!scan) {
		free_source(source);
		return;
	}
	source->req = NULL;
	source->state = SOURCE_IDLE;
	if (result->error == SHARD_OK && !well_formed(result->reply)) {
		fail(scan, SHARD_EPROTOCOL, "SCAN's reply is not one");
		return;
	}
	if (result->error != SHARD_OK) {
		strcpy(source->cursor, "0");
		source_failed(source, result);
		return;
	}
	scan->give_up = 0;
	source->batch = shard_reply_copy(result->reply);
	if (!source->batch) {
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
		return;
	}
	memcpy(source->cursor, result->reply->element[0].str, result->reply->element[0].len + 1);
	source->state = SOURCE_READY;
	advance(scan);
}

/* ---- who is to be listed ---- */

static struct source *find_source(shard_scan *scan, const char *addr)
{
	for (struct list *l = scan->sources.next; l != &scan->sources; l = l->next)
		if (!strcmp(list_entry(l, struct source, link)->addr, addr))
			return list_entry(l, struct source, link);
	return NULL;
}

/* Lists the node, from its start where it was listed already. Not where that is just happening. */
static void add_source(shard_scan *scan, const char *addr, bool again)
{
	struct source *source = find_source(scan, addr);
	size_t len = strlen(addr);

	if (source && source->state != SOURCE_DONE)
		return;
	if (!source) {
		source = calloc(1, sizeof(*source) + len + 1);
		if (!source) {
			fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
			return;
		}
		memcpy(source->addr, addr, len + 1);
		source->scan = scan;
		list_push(&scan->sources, &source->link);
	}
	strcpy(source->cursor, "0");
	source->state = SOURCE_IDLE;
	source->again = again;
}

static bool in_map(shard_scan *scan, const char *addr)
{
	const shard_topology *map = scan->client->topology;

	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		int owner;

		shard_topology_range(map, first, &last, &owner);
		if (owner >= 0 && !strcmp(shard_topology_node(map, (size_t)owner)->addr, addr))
			return true;
	}
	return false;
}

/* Lists every node that owns a slot which was another's at the beginning. */
static void add_gainers(shard_scan *scan)
{
	const shard_topology *map = scan->client->topology;

	for (unsigned slot = 0; slot < SHARD_SLOTS && !scan->error; slot++) {
		int was = shard_topology_owner(scan->start, slot), is = shard_topology_owner(map, slot);
		const char *addr = is >= 0 ? shard_topology_node(map, (size_t)is)->addr : NULL;

		if (addr && (was < 0 || strcmp(shard_topology_node(scan->start, (size_t)was)->addr, addr)))
			add_source(scan, addr, true);
	}
}

static void start_on(shard_scan *scan, shard_topology *map)
{
	scan->started = true;
	scan->start = shard_topology_ref(map);
	for (unsigned first = 0, last; first < SHARD_SLOTS; first = last + 1) {
		int owner;

		shard_topology_range(map, first, &last, &owner);
		if (owner >= 0)
			add_source(scan, shard_topology_node(map, (size_t)owner)->addr, false);
	}
}

static void begin(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;

	scan->busy = false;
	if (scan->destroyed) {
		free_scan(scan);
		return;
	}
	if (!map_known(scan->client)) {
		fail(scan, result->error, result->message);
		return;
	}
	start_on(scan, scan->client->topology);
	advance(scan);
}

static void refetched(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;

	(void)result;
	scan->busy = false;
	if (scan->destroyed) {
		free_scan(scan);
		return;
	}
	if (scan->ended || scan->error)
		return;
	/* A node that lost all its slots has nothing to tell any more; its heirs have. */
	for (struct list *l = scan->sources.next, *next; l != &scan->sources; l = next) {
		struct source *source = list_entry(l, struct source, link);

		next = l->next;
		if (source->state == SOURCE_IDLE && !in_map(scan, source->addr))
			source->state = SOURCE_DONE;
	}
	add_gainers(scan);
	advance(scan);
}

static void refetch(shard_scan *scan)
{
	if (scan->busy)
		return;
	scan->busy = true;
	if (shard_refresh(scan->client, refetched, scan) != SHARD_OK) {
		scan->busy = false;
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
	}
}

static void retry_due(void *ctx)
{
	shard_scan *scan = ctx;

	scan->timer = NULL;
	refetch(scan);
}

/* ---- has anything moved? ---- */

static void checked(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;
	shard_topology *view = NULL;
	const shard_open_slot *open;
	size_t count;

	scan->checks--;
	if (scan->destroyed) {
		free_scan(scan);
		return;
	}
	/* What cannot be asked does not stand in the way: the answer is a precaution. */
	if (result->error == SHARD_OK && result->reply->type == SHARD_REPLY_STRING &&
	    shard_topology_from_nodes(result->reply->str, result->reply->len, "", 0, &view, NULL) == SHARD_OK) {
		count = shard_topology_open_slots(view, &open);
		for (size_t i = 0; i < count; i++)
			if (open[i].importing)
				add_source(scan, result->node, true);
		shard_topology_unref(view);
	}
	if (!scan->checks) {
		add_gainers(scan);
		advance(scan);
	}
}

static void check_nodes(shard_scan *scan)
{
	const char *const argv[] = {"CLUSTER", "NODES"};
	size_t n = 0;
	char **addr;

	for (struct list *l = scan->sources.next; l != &scan->sources; l = l->next)
		n++;
	addr = calloc(n + 1, sizeof(*addr));
	if (!addr) {
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
		return;
	}
	n = 0;
	for (struct list *l = scan->sources.next; l != &scan->sources; l = l->next)
		addr[n++] = list_entry(l, struct source, link)->addr;
	for (size_t i = 0; i < n; i++) {
		shard_call how = {.node = addr[i]};

		if (shard_submit(scan->client, 2, argv, NULL, &how, checked, scan, NULL) == SHARD_OK)
			scan->checks++;
	}
	free(addr);
}

static void verified_map(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;

	scan->busy = false;
	if (scan->destroyed) {
		free_scan(scan);
		return;
	}
	/* Without a map it cannot be told whether all was seen. */
	if (result->error) {
		fail(scan, result->error, result->message);
		return;
	}
	check_nodes(scan);
	if (!scan->checks)
		advance(scan);
}

static void verify(shard_scan *scan)
{
	scan->verified = true;
	if (scan->client->single)
		return;
	scan->busy = true;
	if (shard_refresh(scan->client, verified_map, scan) != SHARD_OK) {
		scan->busy = false;
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
	}
}

/* ---- going on ---- */

/* Takes what was seen before out of the batch. */
static bool filter(shard_scan *scan, shard_reply *keys)
{
	shard_reply *key = (shard_reply *)keys->element;
	size_t kept = 0;

	if (scan->duplicates)
		return true;
	for (size_t from = 0; from < keys->len; from += HASH_RUN) {
		size_t run = keys->len - from < HASH_RUN ? keys->len - from : HASH_RUN;
		uint64_t hash[HASH_RUN];

		/* A cell is a miss of the caches: many at once cost hardly more than one. */
		for (size_t i = 0; i < run; i++) {
			hash[i] = XXH3_64bits(key[from + i].str, key[from + i].len);
			hash[i] += !hash[i];
			if (scan->seen.cell)
				__builtin_prefetch(&scan->seen.cell[hash[i] & (scan->seen.size - 1)], 1);
		}
		for (size_t i = 0; i < run; i++) {
			int fresh = add_hash(&scan->seen, hash[i]);

			if (fresh < 0)
				return false;
			if (fresh)
				key[kept++] = key[from + i];
		}
	}
	keys->len = kept;
	return true;
}

static void hand_out(shard_scan *scan, struct source *source)
{
	shard_reply *reply = source->batch, *keys = (shard_reply *)&reply->element[1];
	shard_scan_batch batch = {.error = SHARD_OK, .message = ""};
	char node[280];

	source->batch = NULL;
	if (!filter(scan, keys)) {
		shard_reply_free(reply);
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
		return;
	}
	snprintf(node, sizeof(node), "%s", source->addr);
	batch.node = node;
	batch.keys = keys->element;
	batch.count = keys->len;
	source->state = strcmp(source->cursor, "0") ? SOURCE_IDLE : SOURCE_DONE;
	/* The next question goes out while the caller is busy with this answer. */
	if (source->state == SOURCE_IDLE)
		ask(source);
	if (batch.count && scan->callback)
		deliver(scan, &batch);
	shard_reply_free(reply);
}

static struct source *first_in(shard_scan *scan, enum source_state state)
{
	for (struct list *l = scan->sources.next; l != &scan->sources; l = l->next)
		if (list_entry(l, struct source, link)->state == state)
			return list_entry(l, struct source, link);
	return NULL;
}

static void advance(shard_scan *scan)
{
	struct source *source;

	if (scan->delivering)
		return;
	scan->delivering = true;
	while (scan->callback && !scan->destroyed) {
		if (scan->error) {
			deliver_end(scan);
			break;
		}
		if (!scan->timer)
			while (!scan->error && (source = first_in(scan, SOURCE_IDLE)))
				ask(source);
		source = first_in(scan, SOURCE_READY);
		if (source) {
			/* Fair to all nodes: the one that was served goes to the end. */
			list_remove(&source->link);
			list_push(&scan->sources, &source->link);
			hand_out(scan, source);
			continue;
		}
		if (scan->error)
			continue;
		if (first_in(scan, SOURCE_ASKED) || scan->busy || scan->checks || scan->timer)
			break;
		if (scan->verified) {
			deliver_end(scan);
			break;
		}
		verify(scan);
	}
	scan->delivering = false;
}

static void start_scan(void *ctx)
{
	shard_scan *scan = ctx;

	scan->timer = NULL;
	if (map_known(scan->client)) {
		start_on(scan, scan->client->topology);
		advance(scan);
		return;
	}
	scan->busy = true;
	if (shard_refresh(scan->client, begin, scan) != SHARD_OK) {
		scan->busy = false;
		fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
	}
}

static void resume(void *ctx)
{
	shard_scan *scan = ctx;

	scan->timer = NULL;
	advance(scan);
}

int shard_scan_next(shard_scan *scan, shard_scan_callback callback, void *ctx)
{
	if (client_forked(scan->client))
		return client_refusal(scan->client);
	if (scan->callback || scan->ended || !callback)
		return SHARD_EINVAL;
	scan->callback = callback;
	scan->ctx = ctx;
	/* From a callback of ours the loop in advance() goes on by itself; batches must not pile up on the stack. */
	if (scan->timer || scan->busy || scan->checks || scan->delivering)
		return SHARD_OK;
	scan->timer = shard_timer_add(scan->client, 0, scan->started ? resume : start_scan, scan);
	return scan->timer ? SHARD_OK : SHARD_ENOMEM;
}
