/* SPDX-License-Identifier: MIT */
/*
 * Listing by SCAN over all masters at once, one batch a node ahead: a server
 * without slots, or the slots that the walk has left.
 *
 * A cursor means something only to the process that gave it, so after any
 * failure a node is listed from its start again; keys that were seen are
 * known by their hashes. When all nodes are through, those that got slots
 * meanwhile, or are importing some, are listed once more: a key that moved
 * ahead of one cursor and behind another is found there.
 */
#include "client/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSOR_SIZE 24

enum source_state {
	SOURCE_IDLE, /* may be asked */
	SOURCE_ASKED,
	SOURCE_READY, /* holds a batch that has not been handed out */
	SOURCE_DONE
};

struct source {
	struct list link; /* in scan->sources */
	shard_scan *scan;
	shard_request *req;
	enum source_state state;
	char cursor[CURSOR_SIZE];
	shard_reply *batch; /* SCAN's whole reply */
	char addr[];        /* host:port */
};

static void retry_due(void *ctx);

static void free_source(struct source *source)
{
	list_remove(&source->link);
	shard_reply_free(source->batch);
	free(source);
}

/* A source whose question is open lives until the answer comes. */
void node_scan_drop(struct shard_scan *scan)
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
	shard_timer_cancel(scan->retry);
	scan->retry = NULL;
}

/* ---- asking ---- */

static void answered(void *ctx, const shard_result *result);

/* Of a pool whose ring is without this server: what it holds nobody looks for. */
static bool is_ejected(const struct source *source)
{
	shard_client *client = source->scan->client;
	const struct client_node *node = client->pool ? node_by_addr(client, source->addr) : NULL;

	return node && node->ejected && pool_will_move(node);
}

static void ask(struct source *source)
{
	shard_scan *scan = source->scan;
	char count[16];
	const char *argv[6] = {"SCAN", source->cursor, "COUNT", count, "MATCH", scan->match};
	size_t argvlen[6] = {4, strlen(source->cursor), 5, 0, 5, scan->match_len};
	shard_call how = {.node = source->addr};
	int error;

	if (is_ejected(source)) {
		source->state = SOURCE_DONE;
		return;
	}
	argvlen[3] = (size_t)snprintf(count, sizeof(count), "%u", scan->count);
	source->state = SOURCE_ASKED;
	error = shard_submit(scan->client, scan->match ? 6 : 4, argv, argvlen, &how, answered, source, &source->req);
	if (error) {
		source->state = SOURCE_IDLE;
		scan_fail(scan, error, shard_strerror(error));
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

/* The node is listed anew when the map has had time to tell who serves its slots now. */
static void source_failed(struct source *source, const shard_result *result)
{
	shard_scan *scan = source->scan;
	uint64_t now = scan->client->loop.now;

	if (!scan->give_up)
		scan->give_up = scan->client->timeout_ms ? now + scan->client->timeout_ms : UINT64_MAX;
	if (!scan_may_pass(result) || now >= scan->give_up) {
		scan_fail(scan, result->error, result->message);
		return;
	}
	if (!scan->retry)
		scan->retry = shard_timer_add(scan->client, SCAN_RETRY_MS, retry_due, scan);
	if (!scan->retry)
		scan_no_memory(scan);
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
		scan_fail(scan, SHARD_EPROTOCOL, "SCAN's reply is not one");
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
		scan_no_memory(scan);
		return;
	}
	memcpy(source->cursor, result->reply->element[0].str, result->reply->element[0].len + 1);
	source->state = SOURCE_READY;
	scan_advance(scan);
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
static void add_source(shard_scan *scan, const char *addr)
{
	struct source *source = find_source(scan, addr);
	size_t len = strlen(addr);

	if (source && source->state != SOURCE_DONE)
		return;
	if (!source) {
		source = calloc(1, sizeof(*source) + len + 1);
		if (!source) {
			scan_no_memory(scan);
			return;
		}
		memcpy(source->addr, addr, len + 1);
		source->scan = scan;
		list_push(&scan->sources, &source->link);
	}
	strcpy(source->cursor, "0");
	source->state = SOURCE_IDLE;
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

static bool is_wanted(const shard_scan *scan, unsigned slot)
{
	return !client_has_slots(scan->client) || slot_in(&scan->walk.left, slot);
}

/* Lists every node that owns a slot which was another's at the beginning. */
static void add_gainers(shard_scan *scan)
{
	const shard_topology *map = scan->client->topology;

	for (unsigned slot = 0; slot < SHARD_SLOTS && !scan->error; slot++) {
		int was = shard_topology_owner(scan->start, slot);
		int is = is_wanted(scan, slot) ? shard_topology_owner(map, slot) : -1;
		const char *addr = is >= 0 ? shard_topology_node(map, (size_t)is)->addr : NULL;

		if (addr && (was < 0 || strcmp(shard_topology_node(scan->start, (size_t)was)->addr, addr)))
			add_source(scan, addr);
	}
}

void node_scan_start(struct shard_scan *scan)
{
	shard_topology *map = scan->client->topology;

	shard_topology_unref(scan->start);
	scan->start = shard_topology_ref(map);
	scan->verified = false;
	scan->give_up = 0;
	if (scan->client->pool)
		scan->ring_turn = pool_turn(scan->client->pool);
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		int owner = is_wanted(scan, slot) ? shard_topology_owner(map, slot) : -1;

		if (owner < 0)
			continue;
		add_source(scan, shard_topology_node(map, (size_t)owner)->addr);
		/* One server has them all; and neighbours have mostly one owner. */
		while (slot + 1 < SHARD_SLOTS && shard_topology_owner(map, slot + 1) == owner)
			slot++;
	}
}

static void refetched(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;

	(void)result;
	scan->busy = false;
	if (scan->destroyed) {
		scan_free(scan);
		return;
	}
	if (scan->ended || scan->error || scan->phase != SCAN_NODES)
		return;
	/* A node that lost all its slots has nothing to tell any more; its heirs have. */
	for (struct list *l = scan->sources.next, *next; l != &scan->sources; l = next) {
		struct source *source = list_entry(l, struct source, link);

		next = l->next;
		if (source->state == SOURCE_IDLE && !in_map(scan, source->addr))
			source->state = SOURCE_DONE;
	}
	add_gainers(scan);
	scan_advance(scan);
}

static void refetch(shard_scan *scan)
{
	if (scan->busy)
		return;
	scan->busy = true;
	if (shard_refresh(scan->client, refetched, scan) != SHARD_OK) {
		scan->busy = false;
		scan_no_memory(scan);
	}
}

static void retry_due(void *ctx)
{
	shard_scan *scan = ctx;

	scan->retry = NULL;
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
		scan_free(scan);
		return;
	}
	/* What cannot be asked does not stand in the way: the answer is a precaution. */
	if (result->error == SHARD_OK && result->reply->type == SHARD_REPLY_STRING &&
	    shard_topology_from_nodes(result->reply->str, result->reply->len, "", 0, &view, NULL) == SHARD_OK) {
		count = shard_topology_open_slots(view, &open);
		for (size_t i = 0; i < count; i++)
			if (open[i].importing)
				add_source(scan, result->node);
		shard_topology_unref(view);
	}
	if (!scan->checks) {
		add_gainers(scan);
		scan_advance(scan);
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
		scan_no_memory(scan);
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
		scan_free(scan);
		return;
	}
	/* Without a map it cannot be told whether all was seen. */
	if (result->error) {
		scan_fail(scan, result->error, result->message);
		return;
	}
	check_nodes(scan);
	if (!scan->checks)
		scan_advance(scan);
}

static void verify(shard_scan *scan)
{
	scan->verified = true;
	/* Keys that were another server's when theirs was listed. */
	if (scan->client->pool && scan->ring_turn != pool_turn(scan->client->pool))
		node_scan_start(scan);
	if (!client_has_slots(scan->client))
		return;
	scan->busy = true;
	if (shard_refresh(scan->client, verified_map, scan) != SHARD_OK) {
		scan->busy = false;
		scan_no_memory(scan);
	}
}

/* ---- handing out ---- */

/* Of a pool: where nobody would look for it, it is not there. */
static bool is_listed(const shard_scan *scan, const char *addr, const shard_reply *key)
{
	const struct pool *pool = scan->client->pool;
	const struct client_node *node;

	if (!pool)
		return slot_in(&scan->walk.left, shard_slot(key->str, key->len));
	node = pool_node(pool, pool_index(pool, pool_place(pool, key->str, key->len).hash));
	return node && !strcmp(node->addr, addr);
}

/* Takes the keys out of the batch that are not wanted. */
static bool filter(shard_scan *scan, const char *addr, shard_reply *keys)
{
	shard_reply *key = (shard_reply *)keys->element;
	size_t kept = 0;

	for (size_t i = 0; !scan->client->single && i < keys->len; i++)
		if (is_listed(scan, addr, &key[i]))
			key[kept++] = key[i];
	if (!scan->client->single)
		keys->len = kept;
	return scan->duplicates || seen_filter(&scan->seen, keys);
}

static void hand_out(shard_scan *scan, struct source *source)
{
	shard_reply *reply = source->batch, *keys = (shard_reply *)&reply->element[1];
	shard_scan_batch batch = {.error = SHARD_OK, .message = ""};
	char node[280];

	source->batch = NULL;
	if (!filter(scan, source->addr, keys)) {
		shard_reply_free(reply);
		scan_no_memory(scan);
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
		scan_deliver(scan, &batch);
	shard_reply_free(reply);
}

static struct source *first_in(shard_scan *scan, enum source_state state)
{
	for (struct list *l = scan->sources.next; l != &scan->sources; l = l->next)
		if (list_entry(l, struct source, link)->state == state)
			return list_entry(l, struct source, link);
	return NULL;
}

enum scan_step node_scan_step(struct shard_scan *scan)
{
	struct source *source;

	while (!scan->retry && !scan->error && (source = first_in(scan, SOURCE_IDLE)))
		ask(source);
	source = first_in(scan, SOURCE_READY);
	if (source && !scan->error) {
		/* Fair to all nodes: the one that was served goes to the end. */
		list_remove(&source->link);
		list_push(&scan->sources, &source->link);
		hand_out(scan, source);
	} else if (!scan->error && (first_in(scan, SOURCE_ASKED) || scan->busy || scan->checks || scan->retry)) {
		return STEP_WAIT;
	} else if (scan->verified) {
		return STEP_DONE;
	} else {
		verify(scan);
	}
	return STEP_AGAIN;
}
