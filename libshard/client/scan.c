/* SPDX-License-Identifier: MIT */
/*
 * Listing: the iterator.
 *
 * A cluster is listed slot by slot: each key once, in constant memory. What
 * that cannot list (very large slots, a server without slots, a node that
 * refuses) is listed by SCAN afterwards.
 */
#include "client/scan.h"

#include <stdlib.h>
#include <string.h>

#define COUNT 1000

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
	scan->ordered = how && how->ordered;
	/* As the servers do: this one means no pattern at all. */
	if (how && how->match && !(how->match_len == 1 && how->match[0] == '*')) {
		scan->match = malloc(how->match_len + 1);
		if (!scan->match) {
			free(scan);
			return NULL;
		}
		memcpy(scan->match, how->match, how->match_len);
		scan->match_len = how->match_len;
	}
	slot_walk_init(scan);
	list_push(&client->scans, &scan->link);
	return scan;
}

void scan_free(struct shard_scan *scan)
{
	if (scan->busy || scan->checks)
		return;
	slot_keys_finish(&scan->walk);
	seen_finish(&scan->seen);
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
	slot_walk_drop(scan);
	node_scan_drop(scan);
	list_remove(&scan->link);
	scan_free(scan);
}

void scan_cancel_all(shard_client *client)
{
	while (!list_empty(&client->scans))
		shard_scan_destroy(list_entry(client->scans.next, shard_scan, link));
}

int shard_scan_seek(shard_scan *scan, uint64_t place)
{
	if (client_forked(scan->client))
		return client_refusal(scan->client);
	if (scan->callback || !scan->ordered || scan->error)
		return SHARD_EINVAL;
	node_scan_drop(scan);
	seen_finish(&scan->seen);
	scan->ended = false;
	slot_walk_from(scan, place);
	if (scan->phase == SCAN_NODES && client_has_slots(scan->client))
		scan->phase = SCAN_SLOTS;
	if (scan->phase == SCAN_NODES)
		node_scan_start(scan);
	return SHARD_OK;
}

/* ---- the end ---- */

void scan_deliver(struct shard_scan *scan, const shard_scan_batch *batch)
{
	shard_scan_callback callback = scan->callback;

	scan->callback = NULL;
	callback(scan->ctx, batch);
}

void scan_fail(struct shard_scan *scan, int error, const char *message)
{
	if (scan->error || scan->ended)
		return;
	scan->error = error;
	free(scan->message);
	scan->message = strdup(message);
	slot_walk_drop(scan);
	node_scan_drop(scan);
	scan_advance(scan);
}

void scan_no_memory(struct shard_scan *scan)
{
	scan_fail(scan, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
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
	scan_deliver(scan, &batch);
}

bool scan_may_pass(const shard_result *result)
{
	return result->error == SHARD_ECONNECT || result->error == SHARD_ETIMEDOUT || result->error == SHARD_ERESOLVE ||
	       result->error == SHARD_EUNKNOWN || shard_reply_is_error(result->reply, "LOADING") ||
	       shard_reply_is_error(result->reply, "MASTERDOWN") || shard_reply_is_error(result->reply, "CLUSTERDOWN");
}

/* ---- going on ---- */

/* The first phase is over. False: so is the listing. */
static bool leave_slots(shard_scan *scan)
{
	if (!scan->walk.left_count)
		return false;
	scan->phase = SCAN_NODES;
	node_scan_start(scan);
	return true;
}

void scan_advance(struct shard_scan *scan)
{
	if (scan->delivering)
		return;
	scan->delivering = true;
	while (scan->callback && !scan->destroyed) {
		enum scan_step step = STEP_DONE;

		if (!scan->error)
			step = scan->phase == SCAN_SLOTS ? slot_walk_step(scan) : node_scan_step(scan);
		if (step == STEP_WAIT && !scan->error)
			break;
		if (step != STEP_DONE || (scan->phase == SCAN_SLOTS && !scan->error && leave_slots(scan)))
			continue;
		if (scan->callback && !scan->destroyed)
			deliver_end(scan);
		break;
	}
	scan->delivering = false;
}

/* ---- the beginning ---- */

static void begin_on_map(shard_scan *scan)
{
	scan->phase = client_has_slots(scan->client) ? SCAN_SLOTS : SCAN_NODES;
	if (scan->phase == SCAN_NODES)
		node_scan_start(scan);
	scan_advance(scan);
}

static void map_came(void *ctx, const shard_result *result)
{
	shard_scan *scan = ctx;

	scan->busy = false;
	if (scan->destroyed)
		scan_free(scan);
	else if (map_known(scan->client))
		begin_on_map(scan);
	else
		scan_fail(scan, result->error, result->message);
}

static void begin(shard_scan *scan)
{
	if (map_known(scan->client)) {
		begin_on_map(scan);
		return;
	}
	scan->busy = true;
	if (shard_refresh(scan->client, map_came, scan) != SHARD_OK) {
		scan->busy = false;
		scan_no_memory(scan);
	}
}

static void resume(void *ctx)
{
	shard_scan *scan = ctx;

	scan->timer = NULL;
	if (scan->phase == SCAN_NEW && !scan->error)
		begin(scan);
	else
		scan_advance(scan);
}

int shard_scan_next(shard_scan *scan, shard_scan_callback callback, void *ctx)
{
	if (client_forked(scan->client))
		return client_refusal(scan->client);
	if (scan->callback || scan->ended || !callback)
		return SHARD_EINVAL;
	scan->callback = callback;
	scan->ctx = ctx;
	/* From a callback of ours the loop in scan_advance() goes on by itself; batches must not pile up on the stack.
	 */
	if (scan->timer || scan->delivering || (scan->phase == SCAN_NEW && scan->busy))
		return SHARD_OK;
	scan->timer = shard_timer_add(scan->client, 0, resume, scan);
	if (scan->timer)
		return SHARD_OK;
	scan->callback = NULL;
	return SHARD_ENOMEM;
}
