/* SPDX-License-Identifier: MIT */
/*
 * hiredis's asynchronous interface, a connection a node, routed by hand: the
 * node of every key was computed beforehand, so the peer pays for no routing.
 * The adapter favours it too: bytes are written at the end of a tick, as we do,
 * not at every command, and without a system call to ask for it.
 */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "workload.h"

struct link {
	redisAsyncContext *redis;
	int want_write; /* since the last tick */
	int want_epollout;
	int epoll;
};

struct hiredis_side {
	struct workload *workload;
	struct link link[CLUSTER_NODES_MAX];
	int epoll;
	size_t to_send;
	size_t pending;
	size_t right;
};

static void link_watch(struct link *link, int out)
{
	struct epoll_event event = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = link};

	if (link->want_epollout != out)
		epoll_ctl(link->epoll, EPOLL_CTL_MOD, link->redis->c.fd, &event);
	link->want_epollout = out;
}

static void add_write(void *ctx)
{
	((struct link *)ctx)->want_write = 1;
}

static void del_write(void *ctx)
{
	((struct link *)ctx)->want_write = 0;
}

static void nothing(void *ctx)
{
	(void)ctx;
}

static void on_reply(redisAsyncContext *redis, void *answer, void *ctx);

static void submit_one(struct hiredis_side *side)
{
	const struct key *key = workload_next(side->workload);
	const char *argv[] = {"GET", key->name};
	const size_t len[] = {3, KEY_LEN};

	side->to_send--;
	if (redisAsyncCommandArgv(side->link[key->node].redis, on_reply, side, 2, argv, len) == REDIS_OK)
		side->pending++;
}

static void on_reply(redisAsyncContext *redis, void *answer, void *ctx)
{
	struct hiredis_side *side = ctx;
	const redisReply *reply = answer;

	(void)redis;
	side->pending--;
	if (reply && reply->type == REDIS_REPLY_STRING && reply->len == VALUE_LEN)
		side->right++;
	if (reply && side->to_send)
		submit_one(side);
}

static void write_all(struct hiredis_side *side)
{
	for (size_t i = 0; i < side->workload->cluster.count; i++) {
		struct link *link = &side->link[i];

		if (!link->want_write || link->want_epollout)
			continue;
		redisAsyncHandleWrite(link->redis);
		link_watch(link, link->want_write);
	}
}

static void tick(struct hiredis_side *side)
{
	struct epoll_event event[CLUSTER_NODES_MAX];
	int count = epoll_wait(side->epoll, event, CLUSTER_NODES_MAX, -1);

	for (int i = 0; i < count; i++) {
		struct link *link = event[i].data.ptr;

		if (event[i].events & EPOLLOUT) {
			redisAsyncHandleWrite(link->redis);
			link_watch(link, link->want_write);
		}
		if (event[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			redisAsyncHandleRead(link->redis);
	}
	write_all(side);
}

static int hiredis_run(void *self, size_t count)
{
	struct hiredis_side *side = self;

	side->to_send = count;
	side->right = 0;
	for (size_t i = 0; i < side->workload->window && side->to_send; i++)
		submit_one(side);
	write_all(side);
	while (side->pending)
		tick(side);
	return (int)(count - side->right);
}

static void hiredis_close(void *self)
{
	struct hiredis_side *side = self;

	for (size_t i = 0; i < side->workload->cluster.count; i++)
		if (side->link[i].redis)
			redisAsyncFree(side->link[i].redis);
	if (side->epoll >= 0)
		close(side->epoll);
	free(side);
}

static int link_open(struct hiredis_side *side, size_t i)
{
	const struct cluster_node *node = &side->workload->cluster.node[i];
	struct link *link = &side->link[i];
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};

	link->epoll = side->epoll;
	link->redis = redisAsyncConnect(node->host, node->port);
	if (!link->redis || link->redis->err)
		return -1;
	link->redis->ev.data = link;
	link->redis->ev.addRead = nothing;
	link->redis->ev.delRead = nothing;
	link->redis->ev.addWrite = add_write;
	link->redis->ev.delWrite = del_write;
	link->redis->ev.cleanup = nothing;
	if (epoll_ctl(side->epoll, EPOLL_CTL_ADD, link->redis->c.fd, &event))
		return -1;
	link_watch(link, 1);
	return 0;
}

static void *hiredis_open(struct workload *workload)
{
	struct hiredis_side *side = calloc(1, sizeof(*side));

	if (!side)
		return NULL;
	side->workload = workload;
	side->epoll = epoll_create1(EPOLL_CLOEXEC);
	for (size_t i = 0; i < workload->cluster.count; i++)
		if (link_open(side, i)) {
			fprintf(stderr, "bench-client: %s:%d: hiredis cannot connect\n", workload->cluster.node[i].host,
				workload->cluster.node[i].port);
			hiredis_close(side);
			return NULL;
		}
	return side;
}

const struct contestant contestant_hiredis = {"hiredis", hiredis_open, hiredis_run, hiredis_close};
