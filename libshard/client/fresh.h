/* SPDX-License-Identifier: MIT */
/* A request that is new: its memory and its start, for request.c and for who submits a million of them. */
#ifndef SHARD_CLIENT_FRESH_H
#define SHARD_CLIENT_FRESH_H

#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

#define SILENCE_TURN(client) ((client)->pause_ms / 4 + 1)

static const size_t class_size[SIZE_CLASSES] = {96, 320, 1280};

/* What lies in front is set by fresh_request(). */
static inline void clear_tail(struct shard_request *req)
{
	enum { FROM = offsetof(struct shard_request, node), HALF = (sizeof(*req) - FROM) / 2 };

	/* More than 64 bytes at once are cleared by a string instruction, which takes long to begin. */
	memset((char *)req + FROM, 0, HALF);
	memset((char *)req + FROM + HALF, 0, sizeof(*req) - FROM - HALF);
}

static inline struct shard_request *fresh_request(shard_client *client, size_t len)
{
	unsigned class = len <= class_size[0] ? 0 : len <= class_size[1] ? 1 : len <= class_size[2] ? 2 : SIZE_CLASSES;
	struct shard_request *req = class < SIZE_CLASSES ? client->free[class] : NULL;

	if (req) {
		client->free_count[class]--;
		client->free[class] = req->ctx;
	} else {
		req = malloc(sizeof(*req) + (class < SIZE_CLASSES ? class_size[class] : len));
		if (!req)
			return NULL;
	}
	clear_tail(req);
	req->size_class = (uint8_t)class;
	req->item = (struct conn_item){.data = request_bytes(req), .len = len};
	timer_init(&req->timer, request_expired);
	req->client = client;
	req->replies = 1;
	req->slot = -1;
	return req;
}

static inline __attribute__((always_inline)) void fresh_start(struct shard_request *req, unsigned timeout_ms)
{
	shard_client *client = req->client;
	uint64_t now = loop_now(&client->loop);

	req->deadline = UINT64_MAX;
	if (timeout_ms) {
		req->deadline = now + timeout_ms;
		timer_start_idle(&client->loop.wheel, &req->timer, req->deadline);
	}
	if (!(req->flags & REQ_INTERNAL))
		client->pending++;
	if (!timer_armed(&client->silence_timer))
		timer_start_idle(&client->loop.wheel, &client->silence_timer, now + SILENCE_TURN(client));
	if (req->state == STATE_NEW)
		request_route(req);
	client_touched(client);
}

#endif
