/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command_stats.h"
#include "proxy.h"
#include "worker.h"

#define STORED_MAX 8192

struct query *query_create(struct session *session, const struct command *command)
{
	struct worker *worker = session->service->worker;
	struct query *query = worker->store;

	if (query) {
		worker->store = query->next;
		worker->stored--;
	} else {
		query = malloc(sizeof(*query));
		if (!query)
			return NULL;
	}
	query->next = NULL;
	query->session = session;
	query->service = session->service;
	query->command = command;
	query->start = worker_now(worker);
	query->handle = NULL;
	query->reply = NULL;
	query->done = false;
	*session->last = query;
	session->last = &query->next;
	session->waiting++;
	count(&session->service->stats.requests, 1);
	return query;
}

static void query_free(struct query *query)
{
	struct worker *worker = query->service->worker;

	if (query->reply != query->short_reply)
		free(query->reply);
	if (worker->stored < STORED_MAX) {
		query->next = worker->store;
		worker->store = query;
		worker->stored++;
		return;
	}
	free(query);
}

void query_store_free(struct worker *worker)
{
	for (struct query *next; worker->store; worker->store = next) {
		next = worker->store->next;
		free(worker->store);
	}
	worker->stored = 0;
}

/* Takes the first of the line out of it. */
static void leave_line(struct session *session)
{
	struct query *query = session->first;

	session->first = query->next;
	if (!session->first)
		session->last = &session->first;
	session->waiting--;
	query_free(query);
}

static void keep_reply(struct query *query, const char *bytes, size_t len)
{
	query->reply = len <= sizeof(query->short_reply) ? query->short_reply : malloc(len);
	query->len = len;
	query->done = true;
	if (query->reply) {
		memcpy(query->reply, bytes, len);
		return;
	}
	/* The client cannot be told anything that is true. */
	query->len = 0;
	query->session->closing = true;
}

void query_reply(struct query *query, const char *bytes, size_t len)
{
	struct session *session = query->session;

	command_stats(query);
	if (!session) {
		query_free(query);
		return;
	}
	if (query != session->first) {
		keep_reply(query, bytes, len);
		return;
	}
	session_put(session, bytes, len);
	leave_line(session);
	while (session->first && session->first->done) {
		session_put(session, session->first->reply, session->first->len);
		leave_line(session);
	}
	session_settle(session);
}

void query_reply_bytes(struct query *query, struct bytes *bytes)
{
	static const char no_memory[] = "-ERR out of memory\r\n";

	if (bytes->bad)
		query_reply(query, no_memory, sizeof(no_memory) - 1);
	else
		query_reply(query, bytes->at, bytes->len);
	bytes->len = 0;
	bytes->bad = false;
}

void query_reply_string(struct query *query, const char *bytes)
{
	query_reply(query, bytes, strlen(bytes));
}

void query_error(struct query *query, const char *format, ...)
{
	char text[1024];
	va_list args;
	int n;

	text[0] = '-';
	va_start(args, format);
	n = vsnprintf(text + 1, sizeof(text) - 3, format, args);
	va_end(args);
	n = n < 0 ? 0 : n > (int)sizeof(text) - 4 ? (int)sizeof(text) - 4 : n;
	for (int i = 1; i <= n; i++)
		if (text[i] == '\r' || text[i] == '\n')
			text[i] = ' ';
	memcpy(text + 1 + n, "\r\n", 2);
	count(&query->service->stats.errors, 1);
	query_reply(query, text, (size_t)n + 3);
}

void query_orphan(struct query *query)
{
	shard_request *handle = query->handle;

	query->session = NULL;
	if (query->done) {
		query_free(query);
		return;
	}
	query->handle = NULL;
	if (handle)
		shard_cancel(query->service->client, handle);
}
