/* SPDX-License-Identifier: MIT */
/* Nodes and their connections. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "client/internal.h"

#define RETRY_MIN 10   /* ms between attempts to connect to one node ... */
#define RETRY_MAX 1000 /* ... doubled up to here */
#define UNUSED_MS 10000   /* a node that no map names is forgotten after this */
#define NO_READS_MS 10000 /* a replica that refused READONLY is left alone for this */

static void on_reply(struct conn *conn, struct conn_item *item, const shard_reply *reply, bool last);
static void on_piece(struct conn *conn, struct conn_item *item, size_t offset, const char *bytes, size_t len,
		     size_t total);
static void on_wrote(struct conn *conn, struct conn_item *item);
static void on_up(struct conn *conn);
static void on_down(struct conn *conn, int error, const char *why);

static const struct conn_ops conn_ops = {
	.reply = on_reply, .piece = on_piece, .wrote = on_wrote, .up = on_up, .down = on_down};

#define AWAITED_MAX 8       /* more at once is no one who is alone */
#define AWAITED_IN_A_ROW 16 /* before all others are looked at, too */

void client_destroy_conn(shard_client *client, struct conn *conn)
{
	if (client->flushed == conn)
		client->flushed = NULL;
	conn_destroy(conn);
}

static void destroy_conn(struct conn *conn)
{
	client_destroy_conn(((struct client_node *)conn->owner)->client, conn);
}

/* ---- the table ---- */

static unsigned bucket_of(const char *host, uint16_t port)
{
	unsigned h = port * 2654435761u;

	for (; *host; host++)
		h = (h ^ (unsigned char)*host) * 16777619u;
	return (h ^ h >> 15) % NODE_BUCKETS;
}

struct client_node *node_find(shard_client *client, const char *host, uint16_t port)
{
	struct client_node *node = client->bucket[bucket_of(host, port)];

	while (node && (node->port != port || strcmp(node->host, host)))
		node = node->hash_next;
	return node;
}

static void write_addr(char *out, const char *host, size_t len, uint16_t port)
{
	memcpy(out, host, len + 1);
	if (!port)
		return;
	out[len] = ':';
	*write_decimal(out + len + 1, port) = 0;
}

struct client_node *node_get(shard_client *client, const char *host, uint16_t port)
{
	struct client_node *node = node_find(client, host, port);
	size_t len = strlen(host);
	unsigned b;

	if (node)
		return node;
	node = calloc(1, sizeof(*node) + 2 * len + 16);
	if (!node)
		return NULL;
	memcpy(node->host, host, len + 1);
	node->addr = node->host + len + 1;
	write_addr(node->addr, host, len, port);
	node->port = port;
	node->client = client;
	node->serial = ++client->next_serial;
	node->used_at = loop_now(&client->loop);
	list_init(&node->conns);
	probe_init(node);
	list_push(&client->nodes, &node->all);
	b = bucket_of(host, port);
	node->hash_next = client->bucket[b];
	client->bucket[b] = node;
	return node;
}

struct client_node *node_by_addr(shard_client *client, const char *addr)
{
	char host[256];
	uint16_t port;

	if (addr[0] == '/')
		return node_get(client, addr, 0);
	if (!shard_split_addr(addr, strlen(addr), 0, host, sizeof(host), &port) || !host[0])
		return NULL;
	return node_get(client, host, port);
}

struct client_node *node_by_redirect(struct client_node *from, struct policy_redirect *redirect)
{
	shard_client *client = from->client;

	if (!redirect->host[0])
		snprintf(redirect->host, sizeof(redirect->host), "%s", from->host);
	else if (client->address_map)
		client->address_map(client->address_ctx, redirect->host, sizeof(redirect->host), &redirect->port);
	return node_get(client, redirect->host, redirect->port);
}

static void node_free(struct client_node *node)
{
	struct client_node **at = &node->client->bucket[bucket_of(node->host, node->port)];

	while (*at != node)
		at = &(*at)->hash_next;
	*at = node->hash_next;
	list_remove(&node->all);
	timer_stop(&node->probe);
	free(node->why);
	free(node->spread);
	node->spread = NULL;
	while (!list_empty(&node->conns))
		destroy_conn(list_entry(node->conns.next, struct conn, links));
	loop_bury(&node->client->loop, node);
}

void node_destroy_all(shard_client *client)
{
	while (!list_empty(&client->nodes))
		node_free(list_entry(client->nodes.next, struct client_node, all));
}

static void reap(struct client_node *node, uint64_t now)
{
	if (!node->refs && !node->in_map && !node->seed && now - node->used_at >= UNUSED_MS)
		node_free(node);
}

/* ---- connections ---- */

static struct conn *open_conn(struct client_node *node, enum lane lane)
{
	shard_client *client = node->client;
	struct conn *conn;

	if (lane == LANE_REPLICA)
		conn = conn_create(&client->loop, &conn_ops, node, client->greeting_replica,
				   client->greeting_replica_len, client->greeting_replica_replies);
	else
		conn = conn_create(&client->loop, &conn_ops, node, client->greeting, client->greeting_len,
				   client->greeting_replies);
	if (!conn)
		return NULL;
	list_push(&node->conns, &conn->links);
	conn_open(conn, node->host, node->port, client->connect_timeout_ms);
	return conn;
}

static struct conn *own_conn(struct client_node *node)
{
	struct conn *conn = node->idle;

	node->idle = NULL;
	return conn ? conn : open_conn(node, LANE_OWN);
}

/* The K-th of the connections for data; without memory for the others, the first. */
static struct conn **data_conn(struct client_node *node, unsigned k)
{
	unsigned others = node->client->connections - 1;

	if (!k)
		return &node->data;
	if (!node->spread)
		node->spread = calloc(others, sizeof(struct conn *));
	return node->spread ? &node->spread[k - 1] : &node->data;
}

/* The commands of one key share a connection, and so keep their order. */
static struct conn **data_conn_of(struct client_node *node, const struct shard_request *req)
{
	unsigned count = node->client->connections;

	return count < 2 ? &node->data : data_conn(node, (unsigned)((uint32_t)req->hash % count));
}

static struct conn *lane_conn(struct client_node *node, const struct shard_request *req)
{
	enum lane lane = req->lane;
	struct conn **slot = lane == LANE_REPLICA ? &node->replica : data_conn_of(node, req);

	if (lane == LANE_OWN)
		return own_conn(node);
	if (!*slot)
		*slot = open_conn(node, lane);
	return *slot;
}

void node_dial(struct client_node *node)
{
	for (unsigned k = 0; k < node->client->connections; k++) {
		struct conn **slot = data_conn(node, k);

		if (!*slot)
			*slot = open_conn(node, LANE_DATA);
	}
}

void client_dirty(shard_client *client, struct conn *conn)
{
	if (!conn->dirty) {
		conn->dirty = true;
		list_push(&client->dirty, &conn->dirty_link);
	}
}

static bool may_dial(struct client_node *node, enum lane lane)
{
	if (lane == LANE_REPLICA && node->replica)
		return true;
	return loop_now(&node->client->loop) >= node->retry_at;
}

static void move_to(struct shard_request *req, struct client_node *node)
{
	if (req->node == node)
		return;
	node->refs++;
	if (req->node)
		req->node->refs--;
	req->node = node;
}

static void pause_until(struct shard_request *req, uint64_t due)
{
	if (req->node->why)
		request_cause(req, SHARD_ECONNECT, req->node->why);
	req->state = STATE_PAUSED;
	list_push(&req->client->waiting, &req->item.link);
	timer_start(&req->client->loop.wheel, &req->timer, due < req->deadline ? due : req->deadline);
}

/* Where not all is as ever. NULL: REQ's way was decided here. */
static __attribute__((noinline)) struct conn *find_conn(struct client_node *node, struct shard_request *req)
{
	struct conn *conn;

	if (node->sick)
		probe_soon(node);
	if (req->lane == LANE_DATA && node->client->connections == 1 && node->data)
		return node->data;
	if (!may_dial(node, req->lane)) {
		pause_until(req, node->retry_at);
		return NULL;
	}
	conn = lane_conn(node, req);
	if (!conn)
		request_fail(req, SHARD_ENOMEM, NULL);
	return conn;
}

void node_send(struct client_node *node, struct shard_request *req)
{
	shard_client *client = node->client;
	struct conn *conn = node->data;

	move_to(req, node);
	if (req->lane != LANE_DATA || client->connections != 1 || !conn || node->sick) {
		conn = find_conn(node, req);
		if (!conn)
			return;
	}
	node->used_at = client->loop.now;
	node->requests++;
	node->request_bytes += req->item.len;
	req->state = STATE_CONN;
	req->conn = conn;
	req->item.replies = req->replies;
	conn_push(conn, &req->item);
	client_dirty(client, conn);
}

static bool is_data(const struct client_node *node, const struct conn *conn)
{
	for (unsigned k = 1; node->spread && k < node->client->connections; k++)
		if (node->spread[k - 1] == conn)
			return true;
	return conn == node->data;
}

static bool attached(const struct client_node *node, const struct conn *conn)
{
	return conn == node->data || conn == node->replica || conn == node->idle || is_data(node, conn);
}

static void detach(struct client_node *node, struct conn *conn)
{
	if (conn == node->data)
		node->data = NULL;
	if (conn == node->replica)
		node->replica = NULL;
	if (conn == node->idle)
		node->idle = NULL;
	for (unsigned k = 1; node->spread && k < node->client->connections; k++)
		if (node->spread[k - 1] == conn)
			node->spread[k - 1] = NULL;
}

void node_retire(struct client_node *node, struct conn *conn)
{
	struct list queued;

	detach(node, conn);
	conn->retired = true;
	list_init(&queued);
	list_splice(&queued, &conn->queue);
	while (!list_empty(&queued))
		request_route(list_entry(list_pop(&queued), struct shard_request, item.link));
}

void node_give_up(struct shard_request *req)
{
	struct conn *conn = req->conn;

	req->owed = false;
	if (!req->item.sent) {
		conn_unqueue(conn, &req->item);
		if (req->lane != LANE_OWN)
			return;
	} else if (req->lane != LANE_OWN) {
		req->owed = true;
		return;
	}
	/* Closing tells the server that nobody waits any more. */
	list_remove(&req->item.link);
	detach(req->node, conn);
	destroy_conn(conn);
}

void node_flush(shard_client *client)
{
	while (!list_empty(&client->dirty)) {
		struct conn *conn = list_entry(list_pop(&client->dirty), struct conn, dirty_link);

		conn->dirty = false;
		client->flushed = conn;
		conn_flush(conn);
	}
}

/* Waits for those who are alone without looking at anything else. Returns whether that was this tick. */
bool node_await(shard_client *client)
{
	if (!client->flushed || !client->pending || client->pending > AWAITED_MAX ||
	    client->awaited == AWAITED_IN_A_ROW || !conn_await(client->flushed, client->pending)) {
		client->awaited = 0;
		return false;
	}
	client->awaited++;
	return true;
}

static void recovered(struct client_node *node)
{
	/* An ejected one comes back when it has answered PING. */
	if (node->ejected)
		return;
	node->sick = false;
	node->failures = 0;
	node->retry_at = 0;
	timer_stop(&node->probe);
}

static void on_reply(struct conn *conn, struct conn_item *item, const shard_reply *reply, bool last)
{
	struct client_node *node = conn->owner;
	struct shard_request *req = list_entry(item, struct shard_request, item);
	bool own = req->lane == LANE_OWN;

	if (conn->hold) {
		conn->hold = false;
		recovered(node);
		client_dirty(node->client, conn);
	}
	if (!last) {
		multi_queued(req, reply);
		return;
	}
	node->failed_in_row = 0;
	request_reply(req, conn, reply);
	if (conn->state == CONN_CLOSED || attached(node, conn))
		return;
	if (own && !node->idle && !conn->retired)
		node->idle = conn;
	else if (own || (list_empty(&conn->sent) && list_empty(&conn->queue)))
		destroy_conn(conn);
}

static void on_piece(struct conn *conn, struct conn_item *item, size_t offset, const char *bytes, size_t len,
		     size_t total)
{
	struct shard_request *req = list_entry(item, struct shard_request, item);

	if (req->state != STATE_CONN)
		return;
	request_went_on(req);
	req->stream->sink(req->stream->sink_ctx, offset, bytes, len, total);
}

static void on_wrote(struct conn *conn, struct conn_item *item)
{
	request_went_on(list_entry(item, struct shard_request, item));
}

static void on_up(struct conn *conn)
{
	struct client_node *node = conn->owner;

	recovered(node);
	node->greeted = true;
	node->refused = false;
	node->client->ever_up = true;
}

/* ---- trouble ---- */

static void note_failure(struct client_node *node, bool was_up)
{
	unsigned wait = RETRY_MIN << (node->failures < 7 ? node->failures : 7);

	/* A connection that had been up is tried again at once. */
	if (was_up)
		return;
	if (node->failures < 255)
		node->failures++;
	if (wait > RETRY_MAX)
		wait = RETRY_MAX;
	node->retry_at = node->client->loop.now + wait / 2 + client_random(node->client) % (wait / 2 + 1);
}

static void become_sick(struct client_node *node)
{
	node->sick = true;
	probe_soon(node);
}

/* What becomes of a request whose connection is gone. */
static void lose(struct shard_request *req, int error, bool was_up, bool head, const char *why)
{
	if (req->state == STATE_DEAD) {
		request_free(req);
		return;
	}
	if (req->state == STATE_ENDED) {
		req->owed = false;
		return;
	}
	req->conn = NULL;
	req->state = STATE_NEW;
	if (req->client->destroying)
		request_fail(req, req->item.sent && !(req->flags & REQ_READONLY) ? SHARD_EUNKNOWN : SHARD_ECANCELED,
			     why);
	else if (error == SHARD_EPROTOCOL && head)
		request_fail(req, SHARD_EPROTOCOL, why);
	else if (error == SHARD_ENOMEM && head)
		request_fail(req, req->flags & REQ_READONLY ? SHARD_ENOMEM : SHARD_EUNKNOWN, why);
	else if (req->item.sent)
		request_event(req, EVENT_LOST_SENT, why);
	else if (error == SHARD_EAUTH)
		request_event(req, EVENT_AUTH, why);
	else if (was_up)
		request_event(req, EVENT_LOST_UNSENT, why);
	else
		request_event(req, error == SHARD_ERESOLVE ? EVENT_RESOLVE : EVENT_CONNECT, why);
}

/* The master has what this replica does not give; should the password be the trouble, the master says so. */
static void ask_master(struct client_node *node, struct list *queue)
{
	node->no_reads_until = node->client->loop.now + NO_READS_MS;
	while (!list_empty(queue)) {
		struct shard_request *req = list_entry(list_pop(queue), struct shard_request, item.link);

		req->conn = NULL;
		req->state = STATE_NEW;
		req->flags &= ~(uint32_t)SHARD_REPLICA;
		request_route(req);
	}
}

static void note_refusal(struct client_node *node, const struct conn *conn, int error)
{
	node->refused = conn->refused || error == SHARD_ERESOLVE;
}

static void count_end(struct client_node *node, const struct conn *conn)
{
	node->closed += conn->closed;
	/* Where somebody has waited in vain that was counted then. */
	node->late += conn->late && !conn->slow;
	node->errors += !conn->closed && !conn->late;
}

static void on_down(struct conn *conn, int error, const char *why)
{
	struct client_node *node = conn->owner;
	shard_client *client = node->client;
	bool was_up = conn->was_up, head = true, replica = conn == node->replica;
	bool idle = was_up && list_empty(&conn->sent) && list_empty(&conn->queue);
	struct list sent, queue;
	char text[512];

	if (!client->destroying)
		count_end(node, conn);
	snprintf(text, sizeof(text), "%s: %s", node->addr, why);
	list_init(&sent);
	list_init(&queue);
	list_splice(&sent, &conn->sent);
	list_splice(&queue, &conn->queue);
	detach(node, conn);
	if (error == SHARD_ECONNECT || error == SHARD_ERESOLVE) {
		free(node->why);
		node->why = strdup(text);
		note_failure(node, was_up);
		if (!was_up)
			become_sick(node);
	}
	if (!was_up)
		note_refusal(node, conn, error);
	if (client->pool && !idle)
		pool_failed(node);
	if (node->in_map && was_up)
		map_refresh(client, REFRESH_NOW);
	if (replica && error == SHARD_EAUTH && !client->destroying)
		ask_master(node, &queue);
	while (!list_empty(&sent)) {
		lose(list_entry(list_pop(&sent), struct shard_request, item.link), error, was_up, head, text);
		head = false;
	}
	while (!list_empty(&queue))
		lose(list_entry(list_pop(&queue), struct shard_request, item.link), error, was_up, false, text);
	destroy_conn(conn);
}

/* ---- silence ---- */

static uint64_t silent_for(const struct conn *conn, uint64_t now)
{
	uint64_t since = conn->last_read > conn->oldest_sent ? conn->last_read : conn->oldest_sent;

	return conn->state == CONN_UP && !list_empty(&conn->sent) && now > since ? now - since : 0;
}

/* Whether nobody waits any more for what CONN owes. */
static bool all_given_up(const struct conn *conn)
{
	for (struct list *l = conn->sent.next; l != &conn->sent; l = l->next)
		if (list_entry(l, struct shard_request, item.link)->state != STATE_DEAD)
			return false;
	return true;
}

/* What a silent replica was asked, its master is asked too: once, for it may just be a slow question. */
static void leave_replica(struct client_node *node, struct conn *conn)
{
	for (struct list *l = conn->sent.next; l != &conn->sent; l = l->next)
		list_entry(l, struct shard_request, item.link)->flags &= ~(uint32_t)SHARD_REPLICA;
	node->retry_at = node->client->loop.now + RETRY_MAX;
	become_sick(node);
	conn_fail(conn, SHARD_ECONNECT, "no answer in time");
}

static void check_conn(struct client_node *node, struct conn *conn, uint64_t now)
{
	shard_client *client = node->client;
	uint64_t silent = silent_for(conn, now);

	if (silent < client->pause_ms)
		return;
	if (conn == node->replica) {
		leave_replica(node, conn);
		return;
	}
	/* Of a pool: as twemproxy does, all that wait go down with the first whose time is over. */
	if (client->timeout_ms && silent >= client->timeout_ms && (client->pool || all_given_up(conn))) {
		if (is_data(node, conn))
			become_sick(node);
		conn->late = true;
		conn_fail(conn, SHARD_ECONNECT, "no answer in time");
		return;
	}
	if (!is_data(node, conn))
		return;
	/* What is not sent yet may still go elsewhere. */
	conn->hold = true;
	become_sick(node);
	map_refresh(client, REFRESH_NOW);
}

/* A connection of a blocking command's own may be silent; retired ones may not. */
static void check_conns(struct client_node *node, uint64_t now)
{
	for (struct list *l = node->conns.next, *next; l != &node->conns; l = next) {
		struct conn *conn = list_entry(l, struct conn, links);

		next = l->next;
		if (is_data(node, conn) || conn == node->replica || conn->retired)
			check_conn(node, conn, now);
	}
}

void node_check_silence(shard_client *client)
{
	uint64_t now = client->loop.now;

	for (struct list *l = client->nodes.next, *next; l != &client->nodes; l = next) {
		struct client_node *node = list_entry(l, struct client_node, all);

		next = l->next;
		node->refs++;
		check_conns(node, now);
		node->refs--;
		reap(node, now);
	}
}

static bool owns_slots(shard_client *client, const struct client_node *node)
{
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (map_owner(client, (int)slot) == node)
			return true;
	return false;
}

/* What waits unsent for a silent node, and is another's now, goes there. */
static void follow_slots(shard_client *client, struct client_node *node, struct conn *conn)
{
	struct list queue;

	list_init(&queue);
	list_splice(&queue, &conn->queue);
	while (!list_empty(&queue)) {
		struct list *link = list_pop(&queue);
		struct shard_request *req = list_entry(link, struct shard_request, item.link);

		if (req->slot < 0 || (req->flags & REQ_FIXED) || req->item.asking ||
		    map_owner(client, req->slot) == node) {
			list_push(&conn->queue, link);
			continue;
		}
		req->conn = NULL;
		req->state = STATE_NEW;
		request_route(req);
	}
}

void node_map_changed(shard_client *client)
{
	for (struct list *l = client->nodes.next, *next; l != &client->nodes; l = next) {
		struct client_node *node = list_entry(l, struct client_node, all);

		next = l->next;
		if (!node->data || !node->data->hold)
			continue;
		node->refs++;
		if (owns_slots(client, node))
			follow_slots(client, node, node->data);
		else
			conn_fail(node->data, SHARD_ECONNECT, "it went silent and was replaced");
		node->refs--;
	}
}
