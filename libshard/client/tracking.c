/* SPDX-License-Identifier: MIT */
/*
 * Tracking: a connection to each node, on which it tells its own changes.
 *
 * A connection redirects the invalidations to itself (CLIENT TRACKING ON
 * REDIRECT <own id> BCAST) and subscribes to them, which RESP2 can do too.
 * Marks hold while two counters stand still: the node's, which moves whenever
 * something may not have been told, and the slot's, which moves when its owner
 * does.
 */
#include <shard/tracking.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"
#include "pure/resp.h"

#define CHANNEL "__redis__:invalidate"
#define RETRY_MIN_MS 50 /* between two attempts to track a node ... */
#define RETRY_MAX_MS 1000
#define LEASE_MIN_MS 100
#define REFUSED_MS 30000 /* a node that refuses is asked again after this: it may have been upgraded */

enum tracker_state {
	TRACKER_DOWN, /* the timer tells when to begin */
	TRACKER_CONNECTING,
	TRACKER_ID,    /* CLIENT ID was sent */
	TRACKER_ON,    /* CLIENT TRACKING was sent */
	TRACKER_EVICT, /* CLIENT NO-EVICT was sent */
	TRACKER_SUBSCRIBING,
	TRACKER_ARMED
};

struct tracker {
	struct list link; /* in tracking->trackers */
	struct shard_tracking *tracking;
	struct client_node *node; /* held */
	enum tracker_state state;
	uint32_t epoch; /* odd: armed */
	unsigned failures;
	bool told; /* that it refused */
	bool wanted;
	struct conn *conn;
	struct conn_item item; /* one at a time */
	bool asked;            /* it waits for its answer */
	char text[160];
	struct timer timer;
};

struct shard_tracking {
	shard_client *client;
	shard_tracking_options options;
	struct list trackers;
	/* By slot, or by the number of a pool's server; a single server has but one. */
	struct tracker *of[SHARD_SLOTS];
	uint32_t slot_epoch[SHARD_SLOTS];
	uint64_t lease_end; /* ms; UINT64_MAX: there is no map that could be outdated */
	uint64_t asked_at;  /* when the map was asked for */
	bool asking;
	bool losing; /* `lost` is to be called */
	struct timer lease;
};

static void on_reply(struct conn *conn, struct conn_item *item, const shard_reply *reply, bool last);
static bool on_push(struct conn *conn, const shard_reply *reply);
static void on_up(struct conn *conn);
static void on_down(struct conn *conn, int error, const char *why);

static const struct conn_ops conn_ops = {.reply = on_reply, .push = on_push, .up = on_up, .down = on_down};

/* ---- marks ---- */

static uint32_t slot_of(const struct shard_tracking *tracking, const void *key, size_t len)
{
	const shard_client *client = tracking->client;

	return client->single ? 0 : (uint32_t)client_place(client, key, len).slot;
}

bool shard_tracking_mark(const shard_tracking *tracking, const void *key, size_t len, shard_mark *mark)
{
	uint32_t slot = slot_of(tracking, key, len);
	const struct tracker *tracker = tracking->of[slot];

	mark->slot = slot;
	mark->slot_epoch = tracking->slot_epoch[slot];
	mark->node_epoch = tracker ? tracker->epoch : 0;
	return shard_tracking_holds(tracking, mark);
}

bool shard_tracking_holds(const shard_tracking *tracking, const shard_mark *mark)
{
	const struct tracker *tracker = tracking->of[mark->slot];

	return tracker && tracker->epoch == mark->node_epoch && mark->node_epoch % 2 &&
	       tracking->slot_epoch[mark->slot] == mark->slot_epoch &&
	       loop_now(&tracking->client->loop) < tracking->lease_end;
}

void shard_tracking_count(const shard_tracking *tracking, unsigned *nodes, unsigned *tracked)
{
	*nodes = *tracked = 0;
	for (const struct list *l = tracking->trackers.next; l != &tracking->trackers; l = l->next) {
		++*nodes;
		*tracked += list_entry(l, struct tracker, link)->state == TRACKER_ARMED;
	}
}

static void tell_lost(struct shard_tracking *tracking)
{
	tracking->losing = true;
}

void tracking_tell(shard_client *client)
{
	struct shard_tracking *tracking = client->tracking;

	if (!tracking || !tracking->losing)
		return;
	tracking->losing = false;
	tracking->options.lost(tracking->options.ctx);
}

/* What was kept by this node's word is void. */
static void disarm(struct tracker *tracker)
{
	if (tracker->epoch % 2)
		tell_lost(tracker->tracking);
	tracker->epoch += tracker->epoch % 2;
}

static void arm(struct tracker *tracker)
{
	tracker->state = TRACKER_ARMED;
	tracker->failures = 0;
	tracker->told = false;
	tracker->epoch |= 1;
}

/* ---- commands ---- */

static void submit(struct tracker *tracker, int argc, const char *const argv[])
{
	size_t size = resp_command_size(argc, argv, NULL);

	resp_command_write(tracker->text, argc, argv, NULL);
	tracker->item = (struct conn_item){.data = tracker->text, .len = size, .replies = 1};
	tracker->asked = true;
	conn_push(tracker->conn, &tracker->item);
	client_dirty(tracker->tracking->client, tracker->conn);
}

static void send_step(struct tracker *tracker, enum tracker_state state, const char *id)
{
	static const char *const ask_id[] = {"CLIENT", "ID"};
	static const char *const no_evict[] = {"CLIENT", "NO-EVICT", "ON"};
	static const char *const subscribe[] = {"SUBSCRIBE", CHANNEL};
	const char *const on[] = {"CLIENT", "TRACKING", "ON", "REDIRECT", id, "BCAST"};

	tracker->state = state;
	if (state == TRACKER_ID)
		submit(tracker, 2, ask_id);
	else if (state == TRACKER_ON)
		submit(tracker, 6, on);
	else if (state == TRACKER_EVICT)
		submit(tracker, 3, no_evict);
	else
		submit(tracker, 2, subscribe);
}

/* ---- its life ---- */

static void wait_for(struct tracker *tracker, unsigned ms)
{
	timer_start(&tracker->tracking->client->loop.wheel, &tracker->timer,
		    loop_now(&tracker->tracking->client->loop) + ms);
}

static void end_connection(struct tracker *tracker)
{
	struct conn *conn = tracker->conn;

	disarm(tracker);
	tracker->conn = NULL;
	tracker->state = TRACKER_DOWN;
	timer_stop(&tracker->timer);
	if (!conn)
		return;
	if (tracker->asked)
		list_remove(&tracker->item.link);
	tracker->asked = false;
	client_destroy_conn(tracker->tracking->client, conn);
}

static void try_again(struct tracker *tracker)
{
	unsigned ms = RETRY_MIN_MS << (tracker->failures < 5 ? tracker->failures : 5);

	tracker->failures++;
	wait_for(tracker, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
}

static void refuse(struct tracker *tracker, const char *why)
{
	const shard_tracking_options *options = &tracker->tracking->options;
	char text[400];

	snprintf(text, sizeof(text), "%s: %s", tracker->node->addr, why);
	end_connection(tracker);
	wait_for(tracker, REFUSED_MS);
	if (tracker->told)
		return;
	tracker->told = true;
	if (options->refused)
		options->refused(options->ctx, text);
}

static void dial(struct tracker *tracker)
{
	shard_client *client = tracker->tracking->client;

	tracker->conn = conn_create(&client->loop, &conn_ops, tracker, client->greeting, client->greeting_len,
				    client->greeting_replies);
	if (!tracker->conn) {
		try_again(tracker);
		return;
	}
	tracker->conn->pushes = true;
	tracker->state = TRACKER_CONNECTING;
	conn_open(tracker->conn, tracker->node->host, tracker->node->port, client->connect_timeout_ms);
}

static void on_up(struct conn *conn)
{
	struct tracker *tracker = conn->owner;

	wait_for(tracker, tracker->tracking->options.ping_ms);
	send_step(tracker, TRACKER_ID, NULL);
}

static void on_down(struct conn *conn, int error, const char *why)
{
	struct tracker *tracker = conn->owner;

	if (error == SHARD_EAUTH && !tracker->tracking->client->destroying) {
		refuse(tracker, why);
		return;
	}
	end_connection(tracker);
	if (!tracker->tracking->client->destroying)
		try_again(tracker);
}

/* Nothing was heard for a while: it is asked; and when it has not answered by the next time, it is given up. */
static void timer_due(struct timer *timer)
{
	static const char *const ping[] = {"PING"};
	struct tracker *tracker = list_entry(timer, struct tracker, timer);
	uint64_t now = tracker->tracking->client->loop.now;
	unsigned ping_ms = tracker->tracking->options.ping_ms;

	if (tracker->state == TRACKER_DOWN) {
		dial(tracker);
		return;
	}
	uint64_t silent = tracker->conn->last_read < now ? now - tracker->conn->last_read : 0;
	if (tracker->asked && silent >= ping_ms) {
		end_connection(tracker);
		try_again(tracker);
		return;
	}
	if (tracker->state == TRACKER_ARMED && !tracker->asked && silent >= ping_ms)
		submit(tracker, 1, ping);
	wait_for(tracker, silent >= ping_ms ? ping_ms : ping_ms - (unsigned)silent);
}

static void on_reply(struct conn *conn, struct conn_item *item, const shard_reply *reply, bool last)
{
	struct tracker *tracker = conn->owner;
	bool failed = reply->type == SHARD_REPLY_ERROR;
	char id[24];

	(void)item;
	(void)last;
	tracker->asked = false;
	if (failed && tracker->state != TRACKER_EVICT) {
		refuse(tracker, reply->str);
		return;
	}
	switch (tracker->state) {
	case TRACKER_ID:
		snprintf(id, sizeof(id), "%lld", reply->type == SHARD_REPLY_INTEGER ? reply->integer : 0);
		send_step(tracker, TRACKER_ON, id);
		break;
	case TRACKER_ON:
		send_step(tracker, TRACKER_EVICT, NULL);
		break;
	case TRACKER_EVICT: /* since Redis 7; older ones do without */
		send_step(tracker, TRACKER_SUBSCRIBING, NULL);
		break;
	case TRACKER_SUBSCRIBING:
		arm(tracker);
		break;
	default:
		break;
	}
}

/* ---- what it tells ---- */

static void changed_keys(struct tracker *tracker, const shard_reply *keys)
{
	const shard_tracking_options *options = &tracker->tracking->options;

	for (size_t i = 0; i < keys->len; i++)
		if (keys->element[i].type == SHARD_REPLY_STRING)
			options->changed(options->ctx, keys->element[i].str, keys->element[i].len);
}

static bool on_push(struct conn *conn, const shard_reply *reply)
{
	struct tracker *tracker = conn->owner;
	const shard_reply *what;

	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 3 || !shard_reply_is(&reply->element[0], "message"))
		return false;
	/* Anybody may PUBLISH a string there: only the server sends an array, or, for all keys, nil. */
	what = &reply->element[2];
	if (what->type == SHARD_REPLY_ARRAY) {
		changed_keys(tracker, what);
	} else if (what->type == SHARD_REPLY_NIL) {
		disarm(tracker);
		if (tracker->state == TRACKER_ARMED)
			arm(tracker);
	}
	return true;
}

/* ---- who is to be tracked ---- */

static struct tracker *find(struct shard_tracking *tracking, struct client_node *node)
{
	for (struct list *l = tracking->trackers.next; l != &tracking->trackers; l = l->next)
		if (list_entry(l, struct tracker, link)->node == node)
			return list_entry(l, struct tracker, link);
	return NULL;
}

/* NULL: no memory; the slot is not tracked then. */
static struct tracker *track(struct shard_tracking *tracking, struct client_node *node)
{
	struct tracker *tracker = find(tracking, node);

	if (tracker)
		return tracker;
	tracker = calloc(1, sizeof(*tracker));
	if (!tracker)
		return NULL;
	tracker->tracking = tracking;
	tracker->node = node;
	node_ref(node);
	timer_init(&tracker->timer, timer_due);
	list_init(&tracker->item.link);
	list_push(&tracking->trackers, &tracker->link);
	wait_for(tracker, 0);
	return tracker;
}

static void untrack(struct tracker *tracker)
{
	end_connection(tracker);
	timer_stop(&tracker->timer);
	list_remove(&tracker->link);
	node_unref(tracker->node);
	free(tracker);
}

static struct client_node *owner_of(shard_client *client, unsigned slot)
{
	if (client->single)
		return slot ? NULL : node_any_master(client);
	return map_owner(client, (int)slot);
}

/* Returns the slot's tracker; LAST, or NULL, is that of its neighbour. */
static struct tracker *look_at_slot(struct shard_tracking *tracking, unsigned slot, struct tracker *last)
{
	struct client_node *owner = owner_of(tracking->client, slot);
	struct tracker *tracker = !owner ? NULL : last && last->node == owner ? last : track(tracking, owner);

	if (tracker != tracking->of[slot]) {
		tracking->of[slot] = tracker;
		tracking->slot_epoch[slot]++;
		tell_lost(tracking);
	}
	return tracker;
}

void tracking_map_changed(shard_client *client, int slot)
{
	struct shard_tracking *tracking = client->tracking;
	struct tracker *last = NULL;

	if (!tracking || !client->topology)
		return;
	if (slot >= 0 && tracking->lease_end != UINT64_MAX) {
		look_at_slot(tracking, (unsigned)slot, NULL);
		return;
	}
	for (struct list *l = tracking->trackers.next; l != &tracking->trackers; l = l->next)
		list_entry(l, struct tracker, link)->wanted = false;
	for (unsigned i = 0; i < SHARD_SLOTS; i++) {
		last = look_at_slot(tracking, i, last);
		if (last)
			last->wanted = true;
	}
	for (struct list *l = tracking->trackers.next, *next; l != &tracking->trackers; l = next) {
		next = l->next;
		if (!list_entry(l, struct tracker, link)->wanted)
			untrack(list_entry(l, struct tracker, link));
	}
	if (!client_has_slots(client))
		tracking->lease_end = UINT64_MAX;
	else if (tracking->lease_end == UINT64_MAX)
		tracking->lease_end = 0;
}

void tracking_ring_changed(shard_client *client)
{
	struct shard_tracking *tracking = client->tracking;

	if (!tracking)
		return;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		tracking->slot_epoch[slot]++;
	tell_lost(tracking);
}

/* ---- the lease of the map ---- */

static void confirmed(void *ctx, const shard_result *result)
{
	struct shard_tracking *tracking = ctx;

	tracking->asking = false;
	if (!tracking->client) {
		free(tracking);
		return;
	}
	if (result->error == SHARD_OK && client_has_slots(tracking->client))
		tracking->lease_end = tracking->asked_at + tracking->options.lease_ms;
}

static void lease_due(struct timer *timer)
{
	struct shard_tracking *tracking = list_entry(timer, struct shard_tracking, lease);
	shard_client *client = tracking->client;
	uint64_t now = client->loop.now;

	/* Within the lease nothing is lost; over it, tell once. */
	if (tracking->lease_end && tracking->lease_end <= now) {
		tracking->lease_end = 0;
		tell_lost(tracking);
	}
	if (!tracking->asking && (client_has_slots(client) || !client->topology)) {
		/* The answer to one that is under way is as old as its question. */
		tracking->asked_at = client->refreshing ? client->refresh_started : now;
		tracking->asking = shard_refresh(client, confirmed, tracking) == SHARD_OK;
	}
	uint64_t due = now + tracking->options.lease_ms / 3;
	if (tracking->lease_end > now && tracking->lease_end < due)
		due = tracking->lease_end;
	timer_start(&client->loop.wheel, timer, due);
}

/* ---- making ---- */

void shard_tracking_options_init(shard_tracking_options *options)
{
	*options = (shard_tracking_options){.lease_ms = 5000, .ping_ms = 1000};
}

int shard_tracking_create(shard_client *client, const shard_tracking_options *options, shard_tracking **out)
{
	struct shard_tracking *tracking;

	*out = NULL;
	if (client_forked(client))
		return client_refusal(client);
	if (client->tracking || options->lease_ms < LEASE_MIN_MS || !options->ping_ms || !options->changed ||
	    !options->lost)
		return SHARD_EINVAL;
	tracking = calloc(1, sizeof(*tracking));
	if (!tracking)
		return SHARD_ENOMEM;
	tracking->client = client;
	tracking->options = *options;
	list_init(&tracking->trackers);
	timer_init(&tracking->lease, lease_due);
	client->tracking = tracking;
	timer_start(&client->loop.wheel, &tracking->lease, loop_now(&client->loop));
	tracking_map_changed(client, -1);
	client_touched(client);
	*out = tracking;
	return SHARD_OK;
}

void shard_tracking_destroy(shard_tracking *tracking)
{
	if (!tracking)
		return;
	while (!list_empty(&tracking->trackers))
		untrack(list_entry(tracking->trackers.next, struct tracker, link));
	timer_stop(&tracking->lease);
	tracking->client->tracking = NULL;
	/* An answer that is still to come finds it so. */
	tracking->client = NULL;
	if (!tracking->asking)
		free(tracking);
}
