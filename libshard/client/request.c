/* SPDX-License-Identifier: MIT */
/* A request's way: route, queue, reply, policy, end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/fresh.h"

#define FREE_MAX 4096
#define TRIED_BYTES 16384 /* more are not sent to find out whether the cluster is up again */

struct shard_request *request_create(shard_client *client, size_t len)
{
	return fresh_request(client, len);
}

static inline void free_rest(struct shard_request *req)
{
	shard_client *client = req->client;
	unsigned class = req->size_class;

	if (class < SIZE_CLASSES && client->free_count[class] < FREE_MAX) {
		client->free_count[class]++;
		req->ctx = client->free[class];
		client->free[class] = req;
		return;
	}
	free(req);
}

static __attribute__((noinline)) void free_with_extras(struct shard_request *req)
{
	free(req->cause);
	if (req->multi)
		multi_free(req->multi);
	free(req->stream);
	free_rest(req);
}

void request_free(struct shard_request *req)
{
	node_unref(req->node);
	if ((uintptr_t)req->cause | (uintptr_t)req->multi | (uintptr_t)req->stream)
		free_with_extras(req);
	else
		free_rest(req);
}

void request_traits(struct shard_request *req, uint32_t flags, const shard_command *command, int argc,
		    const char *const argv[], const size_t argvlen[])
{
	if (command && (command->flags & SHARD_CMD_READONLY)) {
		flags |= REQ_READONLY;
		req->policy.safe = true;
	} else {
		flags &= ~(uint32_t)SHARD_REPLICA;
		req->policy.safe = (flags & SHARD_IDEMPOTENT) ||
				   (command && shard_command_idempotent(command, argc, argv, argvlen));
	}
	req->flags = flags;
	req->policy.once = flags & SHARD_ONCE;
	req->policy.retry_noreplicas = flags & SHARD_RETRY_NOREPLICAS;
	req->policy.credentials = req->client->greeting_replies > 0;
}

void request_start(struct shard_request *req, unsigned timeout_ms)
{
	fresh_start(req, timeout_ms);
}

void request_went_on(struct shard_request *req)
{
	shard_client *client = req->client;

	if (!req->stream->timeout_ms || req->state != STATE_CONN)
		return;
	req->deadline = loop_now(&client->loop) + req->stream->timeout_ms;
	timer_start(&client->loop.wheel, &req->timer, req->deadline);
}

/* ---- routing ---- */

/* Of a pool: by the ring of now. Returns whether REQ is to be sent to *NODE; else its way was decided here. */
static bool route_in_pool(struct shard_request *req, struct client_node **node)
{
	const struct pool *pool = req->client->pool;
	int index = pool_index(pool, req->hash);
	char why[512];

	*node = pool_node(pool, index);
	if (!*node) {
		request_fail(req, SHARD_ECONNECT, "all servers of the pool are ejected");
		return false;
	}
	/* The keys of one server may be those of several when it is gone. */
	if (index != req->slot && req->group && req->policy.splittable) {
		group_resplit(req);
		return false;
	}
	req->slot = index;
	if (!(*node)->ejected)
		return true;
	snprintf(why, sizeof(why), "%s", (*node)->why ? (*node)->why : (*node)->addr);
	request_fail(req, SHARD_ECONNECT, why);
	return false;
}

static struct client_node *choose_node(struct shard_request *req)
{
	shard_client *client = req->client;
	struct client_node *node = NULL;

	if (!client->topology)
		return client->seeds[client->seed_at % client->seed_count];
	if (client->single || req->slot < 0)
		return node_any_master(client);
	if ((req->flags & SHARD_REPLICA) && req->lane != LANE_OWN)
		node = map_replica(client, req->slot);
	if (node)
		req->lane = LANE_REPLICA;
	else if (req->lane == LANE_REPLICA)
		req->lane = LANE_DATA;
	if (!node)
		node = map_owner(client, req->slot);
	/* A map that only redirects have drawn has gaps: who is there will know. */
	return node || !client->lazy ? node : node_any_master(client);
}

/* Where to, if that is all there is to it; or NULL. */
static inline struct client_node *plain_owner(const struct shard_request *req)
{
	shard_client *client = req->client;

	if (req->flags & (REQ_FIXED | REQ_NEEDS_MAP | SHARD_REPLICA) || req->lane != LANE_DATA || req->slot < 0 ||
	    !client->topology || client->single || client->pool)
		return NULL;
	return map_owner(client, req->slot);
}

static __attribute__((noinline)) void route_otherwise(struct shard_request *req)
{
	shard_client *client = req->client;
	struct client_node *node;
	char why[64];

	if (req->flags & REQ_FIXED) {
		node_send(req->node, req);
		return;
	}
	if (client->pool && req->slot >= 0) {
		if (route_in_pool(req, &node))
			node_send(node, req);
		return;
	}
	if (!client->topology ? !client->lazy || (req->flags & REQ_NEEDS_MAP)
			      : client->drawn && (req->flags & REQ_NEEDS_MAP)) {
		req->state = STATE_MAP;
		list_push(&client->map_waiting, &req->item.link);
		map_wanted(client);
		return;
	}
	node = choose_node(req);
	if (node) {
		node_send(node, req);
		return;
	}
	if (req->slot >= 0)
		snprintf(why, sizeof(why), "no node serves slot %d", req->slot);
	else
		snprintf(why, sizeof(why), "the map has no master");
	request_event(req, EVENT_NO_OWNER, why);
}

void request_route(struct shard_request *req)
{
	struct client_node *node = plain_owner(req);

	if (node)
		node_send(node, req);
	else
		route_otherwise(req);
}

/* ---- the end ---- */

static inline void call_back(struct shard_request *req, int error, const shard_reply *reply, const char *message)
{
	shard_result result = {
		.error = error,
		.reply = reply,
		.message = message,
		.node = req->node ? req->node->addr : "",
		.slot = client_slot(req->client, req->slot),
	};

	if (!(req->flags & REQ_INTERNAL))
		req->client->pending--;
	req->callback(req->ctx, &result);
}

void request_done(struct shard_request *req, int error, const shard_reply *reply, const char *message)
{
	call_back(req, error, reply, message);
}

/* Takes REQ from wherever it is; its callback comes at the end of the tick. */
static void end_later(struct shard_request *req, int error)
{
	shard_client *client = req->client;

	switch (req->state) {
	case STATE_CONN:
		node_give_up(req);
		break;
	case STATE_PAUSED:
	case STATE_MAP:
		list_remove(&req->item.link);
		break;
	case STATE_LOOKUP:
		req->owed = true;
		break;
	case STATE_ENDED:
	case STATE_DEAD:
		return;
	default:
		break;
	}
	timer_stop(&req->timer);
	req->state = STATE_ENDED;
	req->end_error = (uint8_t)error;
	list_push(&client->ended, &req->end_link);
	client_touched(client);
}

static void set_cause(struct shard_request *req, const char *why, size_t len)
{
	char *text = malloc(len + 1);

	if (!text)
		return;
	memcpy(text, why, len);
	text[len] = 0;
	free(req->cause);
	req->cause = text;
}

void request_cause(struct shard_request *req, int error, const char *why)
{
	req->cause_error = (uint8_t)error;
	set_cause(req, why, strlen(why));
}

void request_fail(struct shard_request *req, int error, const char *why)
{
	if (why)
		set_cause(req, why, strlen(why));
	end_later(req, error);
}

void request_call_ended(shard_client *client)
{
	char message[512];

	while (!list_empty(&client->ended)) {
		struct shard_request *req = list_entry(list_pop(&client->ended), struct shard_request, end_link);
		int error = req->end_error;

		if (req->cause && (req->flags & REQ_INTERNAL) && !req->group)
			snprintf(message, sizeof(message), "%s", req->cause);
		else if (req->cause)
			snprintf(message, sizeof(message), "%s: %s", shard_strerror(error), req->cause);
		else
			snprintf(message, sizeof(message), "%s", shard_strerror(error));
		request_done(req, error, NULL, message);
		req->state = STATE_DEAD;
		if (req->is_group)
			group_free(req->group);
		else if (!req->owed)
			request_free(req);
	}
}

/* ---- time ---- */

static bool may_have_changed(const struct shard_request *req)
{
	if (req->flags & REQ_READONLY)
		return false;
	return req->executed_maybe || (req->state == STATE_CONN && req->item.sent);
}

static int deadline_error(const struct shard_request *req)
{
	if (may_have_changed(req))
		return SHARD_EUNKNOWN;
	if (req->state == STATE_CONN && req->item.sent)
		return SHARD_ETIMEDOUT;
	if (req->cause_error)
		return req->cause_error;
	if ((req->state == STATE_MAP || req->state == STATE_LOOKUP) && !req->client->topology && !req->client->ever_up)
		return SHARD_ECONNECT;
	if (req->state == STATE_MAP && req->client->ever_up)
		return SHARD_ENOROUTE;
	if (req->state == STATE_MAP || (req->state == STATE_CONN && req->conn->state != CONN_UP))
		return SHARD_ECONNECT;
	return SHARD_ETIMEDOUT;
}

void request_expired(struct timer *timer)
{
	struct shard_request *req = list_entry(timer, struct shard_request, timer);
	shard_client *client = req->client;
	const char *why = NULL;
	char text[128];

	if (req->state == STATE_PAUSED && client->loop.now < req->deadline) {
		list_remove(&req->item.link);
		if (req->deadline != UINT64_MAX)
			timer_start(&client->loop.wheel, &req->timer, req->deadline);
		request_route(req);
		return;
	}
	if (req->state == STATE_MAP) {
		why = client->refresh_why ? client->refresh_why : "no map of the cluster in time";
	} else if (req->state == STATE_LOOKUP) {
		why = !client->topology && client->refresh_why ? client->refresh_why
							       : "no answer to COMMAND GETKEYS in time";
	} else if (req->state == STATE_CONN && (!req->cause || req->item.sent)) {
		snprintf(text, sizeof(text), "%s: no answer in time", req->node->addr);
		why = text;
		if (req->item.sent && !req->conn->slow)
			req->node->late++;
		req->conn->slow |= req->item.sent;
	}
	request_fail(req, deadline_error(req), why);
}

static void pause_for(struct shard_request *req, unsigned ms)
{
	shard_client *client = req->client;
	uint64_t due = loop_now(&client->loop) + ms;

	req->state = STATE_PAUSED;
	list_push(&client->waiting, &req->item.link);
	timer_start(&client->loop.wheel, &req->timer, due < req->deadline ? due : req->deadline);
}

/* ---- policy ---- */

static void send_to(struct shard_request *req, struct client_node *node, bool ask)
{
	req->came_from = req->node->serial;
	req->item.asking = ask;
	if (req->lane == LANE_REPLICA)
		req->lane = LANE_DATA;
	node_send(node, req);
}

static void follow(struct shard_request *req, struct conn *conn, const struct policy_decision *decision,
		   struct client_node *target)
{
	req->item.asking = false;
	if (req->multi)
		multi_reset(req);
	switch (decision->verdict) {
	case VERDICT_ASK:
		send_to(req, target, true);
		return;
	case VERDICT_REDIRECT:
		send_to(req, target, false);
		return;
	case VERDICT_MASTER:
		req->flags &= ~(uint32_t)SHARD_REPLICA;
		request_route(req);
		return;
	case VERDICT_RECONNECT:
		if (conn)
			node_retire(req->node, conn);
		node_send(req->node, req);
		return;
	case VERDICT_SPLIT:
		group_resplit(req);
		return;
	case VERDICT_PAUSE:
		pause_for(req, decision->pause_ms);
		return;
	case VERDICT_FAIL:
		request_fail(req, decision->error, NULL);
		return;
	case VERDICT_DONE:
		return;
	}
}

static bool all_seeds_refused(const shard_client *client)
{
	for (size_t i = 0; i < client->seed_count; i++)
		if (!client->seeds[i]->refused)
			return false;
	return true;
}

void request_event(struct shard_request *req, enum policy_event_kind kind, const char *why)
{
	struct policy_event event = {.kind = kind};
	struct policy_decision decision;
	shard_client *client = req->client;

	set_cause(req, why, strlen(why));
	req->state = STATE_NEW;
	req->flags &= ~(uint32_t)REQ_DOWN;
	if (kind == EVENT_LOST_SENT)
		req->executed_maybe = true;
	req->cause_error = kind == EVENT_NO_OWNER  ? SHARD_ENOROUTE
			   : kind == EVENT_CONNECT ? SHARD_ECONNECT
			   : kind == EVENT_RESOLVE ? SHARD_ERESOLVE
						   : 0;
	req->policy.on_replica = req->lane == LANE_REPLICA;
	policy_decide(&req->policy, &event, client_random(client), &decision);
	/* Safe to do twice is not the same as not done at all. */
	if (decision.verdict == VERDICT_FAIL && may_have_changed(req))
		decision.error = SHARD_EUNKNOWN;
	if (decision.refresh != REFRESH_NO && !(req->flags & REQ_INTERNAL))
		map_refresh(client, decision.refresh);
	/* Without a map another seed is the better try; when all refuse there is nobody to talk to. */
	if (!client->topology && !(req->flags & REQ_FIXED) && (kind == EVENT_CONNECT || kind == EVENT_RESOLVE)) {
		/* Many requests may be lost with one connection to one seed. */
		if (req->node == client->seeds[client->seed_at % client->seed_count])
			client->seed_at++;
		if (!client->ever_up && all_seeds_refused(client)) {
			request_fail(req, req->cause_error, NULL);
			return;
		}
	}
	/* twemproxy says so at once: nobody takes over from the server, unless it will be ejected. */
	if (client->pool && req->node && (kind == EVENT_CONNECT || kind == EVENT_RESOLVE) && req->node->refused &&
	    (req->slot < 0 || !pool_will_move(req->node))) {
		request_fail(req, req->cause_error, NULL);
		return;
	}
	follow(req, NULL, &decision, NULL);
}

static void finish_error(struct shard_request *req, const shard_reply *reply)
{
	char message[512];

	timer_stop(&req->timer);
	snprintf(message, sizeof(message), "%s", reply->str);
	request_done(req, SHARD_ESERVER, reply, message);
	request_free(req);
}

static void note_error(struct shard_request *req, const shard_reply *reply)
{
	char text[512];

	snprintf(text, sizeof(text), "%s: %s", req->node->addr, reply->str);
	set_cause(req, text, strlen(text));
	req->cause_error = shard_reply_is_error(reply, "CLUSTERDOWN") ? SHARD_ENOROUTE : 0;
}

static __attribute__((noinline)) void error_reply(struct shard_request *req, struct conn *conn, const shard_reply *reply)
{
	shard_client *client = req->client;
	struct policy_event event = {.kind = EVENT_ERROR_REPLY, .text = reply->str, .len = reply->len};
	struct policy_decision decision;
	struct policy_redirect redirect;
	struct client_node *target = NULL;

	/* The connection has handed it over. */
	req->conn = NULL;
	req->state = STATE_NEW;
	policy_parse_redirect(reply->str, reply->len, &redirect);
	/* A server of a pool that is a node of a cluster: its answer says so, and goes to the caller. */
	if (client->pool)
		req->policy.once |= redirect.kind != REDIRECT_NONE || shard_reply_is_error(reply, "CLUSTERDOWN") ||
				    shard_reply_is_error(reply, "TRYAGAIN");
	if (redirect.kind != REDIRECT_NONE && !req->policy.once) {
		target = node_by_redirect(req->node, &redirect);
		if (!target) {
			request_fail(req, SHARD_ENOMEM, NULL);
			return;
		}
		event.same_address = target == req->node;
		event.ping_pong = target->serial == req->came_from;
	}
	req->policy.on_replica = req->lane == LANE_REPLICA;
	req->policy.single = !client_has_slots(client);
	policy_decide(&req->policy, &event, client_random(client), &decision);
	if (decision.redirect.kind == REDIRECT_MOVED && target)
		map_moved(client, redirect.slot, target);
	if (decision.refresh == REFRESH_NOW || (decision.refresh == REFRESH_SOON && !client->lazy))
		map_refresh(client, decision.refresh);
	if (decision.verdict == VERDICT_DONE) {
		finish_error(req, reply);
		return;
	}
	note_error(req, reply);
	req->flags &= ~(uint32_t)REQ_DOWN;
	if (decision.down) {
		req->flags |= REQ_DOWN;
		probe_soon(req->node);
	}
	follow(req, conn, &decision, target);
}

static void route_all(struct list *woken)
{
	while (!list_empty(woken))
		request_route(list_entry(list_pop(woken), struct shard_request, item.link));
}

/* Ends the pause of REQ: its timer is for its deadline again. */
static void wake(struct shard_request *req, struct list *woken)
{
	list_remove(&req->item.link);
	list_push(woken, &req->item.link);
	if (req->deadline != UINT64_MAX)
		timer_start(&req->client->loop.wheel, &req->timer, req->deadline);
	else
		timer_stop(&req->timer);
}

/* The cluster is up again, as NODE sees it. */
static __attribute__((noinline)) void wake_down(struct client_node *node)
{
	shard_client *client = node->client;
	struct list woken;

	list_init(&woken);
	for (struct list *l = client->waiting.next, *next; l != &client->waiting; l = next) {
		struct shard_request *req = list_entry(l, struct shard_request, item.link);

		next = l->next;
		if (req->flags & REQ_DOWN && req->node == node)
			wake(req, &woken);
	}
	route_all(&woken);
}

bool request_try_down(struct client_node *node)
{
	shard_client *client = node->client;
	struct list woken;
	bool any = false;

	list_init(&woken);
	for (struct list *l = client->waiting.next; l != &client->waiting && list_empty(&woken); l = l->next) {
		struct shard_request *req = list_entry(l, struct shard_request, item.link);

		if (!(req->flags & REQ_DOWN) || req->node != node)
			continue;
		any = true;
		if (req->stream || req->item.len > TRIED_BYTES)
			continue;
		wake(req, &woken);
		break;
	}
	route_all(&woken);
	return any;
}

void request_reply(struct shard_request *req, struct conn *conn, const shard_reply *reply)
{
	if (req->state == STATE_CONN) {
		if (req->multi)
			reply = multi_outcome(req, reply);
		if (reply->type == SHARD_REPLY_ERROR) {
			error_reply(req, conn, reply);
			return;
		}
		timer_stop(&req->timer);
		if (req->flags & REQ_DOWN)
			wake_down(req->node);
		call_back(req, SHARD_OK, reply, "");
		request_free(req);
		return;
	}
	req->owed = false;
	if (req->state == STATE_DEAD)
		request_free(req);
}

/* ---- all of them ---- */

void request_wake_waiting(shard_client *client)
{
	struct list woken;

	list_init(&woken);
	list_splice(&woken, &client->map_waiting);
	route_all(&woken);
}

/* Whether SLOT has another owner than in BEFORE. */
static bool owner_changed(shard_client *client, const shard_topology *before, int slot)
{
	int was = before ? shard_topology_owner(before, (unsigned)slot) : -1;
	int is = shard_topology_owner(client->topology, (unsigned)slot);

	if (was < 0 || is < 0)
		return is >= 0;
	return strcmp(shard_topology_node(before, (size_t)was)->addr,
		      shard_topology_node(client->topology, (size_t)is)->addr) != 0;
}

void request_wake(shard_client *client, const shard_topology *before, int slot)
{
	struct list woken;

	request_wake_waiting(client);
	list_init(&woken);
	for (struct list *l = client->waiting.next, *next; l != &client->waiting; l = next) {
		struct shard_request *req = list_entry(l, struct shard_request, item.link);

		next = l->next;
		if (req->slot < 0 || (req->flags & REQ_FIXED) || client->single ||
		    map_owner(client, req->slot) == req->node)
			continue;
		if (slot >= 0 ? req->slot != slot : !owner_changed(client, before, req->slot))
			continue;
		wake(req, &woken);
	}
	route_all(&woken);
}

void request_wake_moved(shard_client *client)
{
	struct list woken;

	list_init(&woken);
	for (struct list *l = client->waiting.next, *next; l != &client->waiting; l = next) {
		struct shard_request *req = list_entry(l, struct shard_request, item.link);

		next = l->next;
		if (req->slot < 0 || req->flags & REQ_FIXED || pool_index(client->pool, req->hash) == req->slot)
			continue;
		wake(req, &woken);
	}
	route_all(&woken);
}

static void fail_list(struct list *list, int error, const char *why)
{
	while (!list_empty(list))
		request_fail(list_entry(list->next, struct shard_request, item.link), error, why);
}

void request_fail_all_waiting(shard_client *client, int error, const char *why)
{
	fail_list(&client->map_waiting, error, why);
	fail_list(&client->waiting, error, why);
	group_fail_waiting(client, error, why);
}

void shard_cancel(shard_client *client, shard_request *request)
{
	if (client_forked(client))
		return;
	if (request->is_group) {
		group_cancel(request);
		return;
	}
	request_fail(request, may_have_changed(request) ? SHARD_EUNKNOWN : SHARD_ECANCELED, NULL);
}
