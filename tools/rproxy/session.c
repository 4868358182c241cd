/* SPDX-License-Identifier: MIT */
/*
 * A client's connection. What it sends is read into the worker's buffer and
 * dealt with there; only what is not whole, or has to wait, is copied.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "options.h"
#include "proxy.h"
#include "transaction.h"
#include "worker.h"

#define CHUNK 4096
#define CHUNKS_KEPT 512
#define WAITING_MAX 2048       /* requests of one client at once */
#define EXPECTED_FIRST 65536   /* bytes of a reply before any has come */
#define WORDS_KEPT 64          /* a shorter request is parsed from its start again */
#define PUT_OFF_US 1000        /* how long what could be sent may wait for more, ... */
#define PUT_OFF_MAX 16384      /* ... and how many bytes of it */
#define STRANGER_MAX 163840    /* bytes of a request of who has not given the password, as servers have it */
#define READS 4                /* a tick, so that no client starves the others */

static void ready(void *ctx, uint32_t events);

/* ---- beginning and end ---- */

static void enter(struct session *session)
{
	struct service *service = session->service;

	session->prev = NULL;
	session->next = service->sessions;
	if (session->next)
		session->next->prev = session;
	service->sessions = session;
	service->session_count++;
}

static void leave(struct session *session)
{
	struct service *service = session->service;

	if (session->prev)
		session->prev->next = session->next;
	else
		service->sessions = session->next;
	if (session->next)
		session->next->prev = session->prev;
	service->session_count--;
}

void session_open(struct service *service, int fd)
{
	struct session *session = calloc(1, sizeof(*session));

	if (session)
		session->watch = shard_watch_add(service->client, fd, EPOLLIN, ready, session);
	if (!session || !session->watch) {
		log_error("pool %s: a client was refused: %s", service->config->name, strerror(errno));
		free(session);
		close(fd);
		return;
	}
	session->fd = fd;
	session->events = EPOLLIN;
	session->service = service;
	session->id = ++service->worker->next_id;
	session->last = &session->first;
	session->out_last = &session->out;
	session->largest = EXPECTED_FIRST;
	session->authed = !service->config->password;
	enter(session);
	count(&service->stats.client_accepted, 1);
}

static void drop_chunk(struct worker *worker, struct chunk *chunk)
{
	if (chunk->room != CHUNK || worker->chunk_count == CHUNKS_KEPT) {
		free(chunk);
		return;
	}
	chunk->next = worker->chunks;
	worker->chunks = chunk;
	worker->chunk_count++;
}

static void drop_input(struct session *session)
{
	struct input *input = session->input;

	if (!input)
		return;
	session->input = NULL;
	bytes_finish(&input->bytes);
	words_finish(&input->words);
	free(input);
}

static void forget_dirty(struct session *session)
{
	struct session **at = &session->service->worker->dirty;

	if (!session->dirty)
		return;
	while (*at != session)
		at = &(*at)->dirty_next;
	*at = session->dirty_next;
}

void session_close(struct session *session)
{
	struct service *service = session->service;

	shard_watch_remove(session->watch);
	close(session->fd);
	forget_dirty(session);
	while (session->first) {
		struct query *query = session->first;

		session->first = query->next;
		query_orphan(query);
	}
	while (session->out) {
		struct chunk *chunk = session->out;

		session->out = chunk->next;
		drop_chunk(service->worker, chunk);
	}
	drop_input(session);
	leave(session);
	transaction_forget(session);
	free(session->name);
	free(session);
}

/* ---- what it is sent ---- */

void session_dirty(struct session *session)
{
	struct worker *worker = session->service->worker;

	if (session->dirty)
		return;
	session->dirty = true;
	session->dirty_next = worker->dirty;
	worker->dirty = session;
}

static struct chunk *new_chunk(struct worker *worker, size_t len)
{
	struct chunk *chunk = worker->chunks;
	size_t room = len > CHUNK ? len : CHUNK;

	if (room == CHUNK && chunk) {
		worker->chunks = chunk->next;
		worker->chunk_count--;
	} else {
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->room = room;
	}
	chunk->next = NULL;
	chunk->at = chunk->len = 0;
	return chunk;
}

void session_put(struct session *session, const char *bytes, size_t len)
{
	struct worker *worker = session->service->worker;
	struct chunk *chunk =
		session->out ? (struct chunk *)((char *)session->out_last - offsetof(struct chunk, next)) : NULL;

	session->unsent += len;
	if (len > session->largest)
		session->largest = len;
	else
		session->largest -= session->largest >> 6;
	if (!chunk || chunk->room - chunk->len < len) {
		chunk = new_chunk(worker, len);
		if (!chunk) {
			session->closing = true;
			return;
		}
		*session->out_last = chunk;
		session->out_last = &chunk->next;
	}
	memcpy(chunk->data + chunk->len, bytes, len);
	chunk->len += len;
}

static void want(struct session *session, uint32_t events)
{
	if (session->events == events)
		return;
	session->events = events;
	if (shard_watch_set(session->watch, events) < 0)
		session->closing = true;
}

static void sent(struct session *session, size_t n)
{
	session->unsent -= n;
	count(&session->service->stats.out_bytes, n);
	while (session->out) {
		struct chunk *chunk = session->out;
		size_t part = chunk->len - chunk->at;

		if (n < part) {
			chunk->at += n;
			return;
		}
		n -= part;
		session->out = chunk->next;
		drop_chunk(session->service->worker, chunk);
	}
	session->out_last = &session->out;
}

/* Returns whether the session lives on. */
static bool flush(struct session *session)
{
	while (session->out) {
		struct iovec part[64];
		struct msghdr message = {.msg_iov = part};
		size_t whole = 0;
		ssize_t n;

		for (struct chunk *c = session->out; c && message.msg_iovlen < 64; c = c->next) {
			part[message.msg_iovlen++] = (struct iovec){c->data + c->at, c->len - c->at};
			whole += c->len - c->at;
		}
		n = sendmsg(session->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			count(&session->service->stats.client_err, 1);
			session_close(session);
			return false;
		}
		if (n > 0)
			sent(session, (size_t)n);
		if (n < (ssize_t)whole)
			break;
	}
	return true;
}

/* ---- what it sends ---- */

/* Whether it has more on its way than it may have. */
static bool too_much(const struct session *session)
{
	size_t limit = (size_t)options.client_limit << 20;

	return session->waiting >= WAITING_MAX || session->unsent + session->waiting * session->largest > limit;
}

static bool may_go_on(const struct session *session)
{
	return session->service->ready && !session->closing && !session->paused && (!session->waiting || !too_much(session)) &&
	       session->unsent <= (size_t)options.client_limit << 20;
}

static void protocol_error(struct session *session, const char *why)
{
	struct query *query = query_create(session, &command_other);

	session->closing = true;
	if (query)
		query_error(query, "ERR Protocol error: %s", why);
}

/* Deals with the requests in DATA. Returns the bytes that are done with; SIZE_MAX: the session has been closed. */
static size_t take_requests(struct session *session, const char *data, size_t len, struct parse *parse,
			    struct words *words)
{
	bool strict = session->service->config->strict;
	size_t done = 0;

	while (done < len && may_go_on(session)) {
		switch (parse_request(parse, data + done, len - done, !strict, words)) {
		case PARSE_MORE:
			if (session->authed || parse->need <= STRANGER_MAX)
				return done;
			parse->why = "too large a request before AUTH";
			__attribute__((fallthrough));
		case PARSE_BAD:
			if (strict) {
				count(&session->service->stats.client_err, 1);
				session_close(session);
				return SIZE_MAX;
			}
			protocol_error(session, parse->why);
			return len;
		case PARSE_WHOLE:
			words_point(words, data + done);
			done += parse->at;
			*parse = (struct parse){0};
			if (words->count && !command_handle(session, words)) {
				session_close(session);
				return SIZE_MAX;
			}
		}
	}
	return session->closing ? len : done;
}

/* What is left over of the worker's buffer becomes the session's own. */
static bool keep_rest(struct session *session, const char *data, size_t len, const struct parse *parse,
		      struct words *words)
{
	struct input *input = calloc(1, sizeof(*input));

	if (!input)
		return false;
	session->input = input;
	if (parse->need > len)
		bytes_reserve(&input->bytes, parse->need);
	bytes_put(&input->bytes, data, len);
	input->parse = *parse;
	if (parse->expect && words->count > WORDS_KEPT) {
		input->words = *words;
		*words = (struct words){0};
	} else {
		input->parse = (struct parse){.need = parse->need};
	}
	return !input->bytes.bad;
}

/* Requests that were kept. Returns whether the session lives on. */
static bool take_kept(struct session *session)
{
	struct input *input = session->input;
	struct worker *worker = session->service->worker;
	size_t left = input->bytes.len - input->at, done;
	struct words *words;

	if (left < input->parse.need || !may_go_on(session))
		return true;
	/* Handlers may find more to do for this session meanwhile, but not with its input. */
	session->input = NULL;
	words = input->parse.expect ? &input->words : &worker->words;
	done = take_requests(session, input->bytes.at + input->at, left, &input->parse, words);
	if (done == SIZE_MAX) {
		bytes_finish(&input->bytes);
		words_finish(&input->words);
		free(input);
		return false;
	}
	session->input = input;
	input->at += done;
	if (input->at == input->bytes.len) {
		drop_input(session);
		return true;
	}
	if (words == &worker->words) {
		if (input->parse.expect && words->count > WORDS_KEPT) {
			words_finish(&input->words);
			input->words = *words;
			*words = (struct words){0};
		} else {
			input->parse = (struct parse){.need = input->parse.need};
		}
	}
	if (input->at) {
		memmove(input->bytes.at, input->bytes.at + input->at, input->bytes.len - input->at);
		input->bytes.len -= input->at;
		input->at = 0;
	}
	return true;
}

static bool take_new(struct session *session, const char *data, size_t len)
{
	struct worker *worker = session->service->worker;
	struct parse parse = {0};
	size_t done;

	count(&session->service->stats.in_bytes, len);
	done = take_requests(session, data, len, &parse, &worker->words);
	if (done == SIZE_MAX)
		return false;
	if (done < len && !keep_rest(session, data + done, len - done, &parse, &worker->words)) {
		session_close(session);
		return false;
	}
	return true;
}

/* Reads once. Returns the bytes, 0: no more for now, -1: the session is closed. */
static ssize_t read_some(struct session *session)
{
	struct worker *worker = session->service->worker;
	struct input *input = session->input;
	char *at = worker->buffer;
	size_t room = READ_SIZE;
	ssize_t n;

	if (input) {
		room = input->parse.need > input->bytes.len ? input->parse.need - input->bytes.len : 0;
		room = room > READ_SIZE ? room : READ_SIZE;
		at = bytes_reserve(&input->bytes, room);
		if (!at) {
			log_warn("a client's request of %zu bytes was refused: out of memory", input->parse.need);
			session_close(session);
			return -1;
		}
	}
	n = recv(session->fd, at, room, MSG_DONTWAIT);
	if (n < 0)
		n = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
	else if (n == 0)
		session->ended = true;
	if (n < 0) {
		count(&session->service->stats.client_err, 1);
		session_close(session);
		return -1;
	}
	if (n == 0)
		return 0;
	if (!input)
		return take_new(session, worker->buffer, (size_t)n) ? n : -1;
	count(&session->service->stats.in_bytes, (uint64_t)n);
	input->bytes.len += (size_t)n;
	return take_kept(session) ? n : -1;
}

/* Its service is of an older configuration, and owes it nothing. */
static void move_on(struct session *session)
{
	struct service *heir = session->service->heir;
	shard_watch *watch = NULL;

	if (heir && !session->closing && !session->ended)
		watch = shard_watch_add(heir->client, session->fd, 0, ready, session);
	if (!watch) {
		session_close(session);
		return;
	}
	shard_watch_remove(session->watch);
	leave(session);
	session->watch = watch;
	session->events = 0;
	session->service = heir;
	if (!heir->config->password)
		session->authed = true;
	enter(session);
	session_dirty(session);
}

void session_move_idle(struct service *service)
{
	for (struct session *session = service->sessions, *next; session; session = next) {
		next = session->next;
		if (!session->waiting && !session->out)
			move_on(session);
	}
}

/* What is to be watched for, and whether it is over. */
static void arrange(struct session *session)
{
	uint32_t events = 0;

	session->held = !may_go_on(session);
	if (session->out)
		events |= EPOLLOUT;
	if (!session->held && !session->ended)
		events |= EPOLLIN;
	if (session->blocked)
		events |= EPOLLRDHUP;
	want(session, events);
	if (session->waiting || session->out)
		return;
	if (session->service->leaving) {
		move_on(session);
		return;
	}
	if (session->closing || session->ended) {
		if (session->ended)
			count(&session->service->stats.client_eof, 1);
		session_close(session);
	}
}

static void on_input(struct session *session)
{
	for (int turn = 0; turn < READS && may_go_on(session) && !session->ended; turn++) {
		ssize_t n = read_some(session);

		if (n < 0)
			return;
		if (n < READ_SIZE)
			break;
	}
	session_dirty(session);
}

static void ready(void *ctx, uint32_t events)
{
	struct session *session = ctx;

	if ((events & EPOLLERR && !(events & EPOLLIN)) || (events & EPOLLRDHUP && session->blocked)) {
		count(&session->service->stats.client_err, 1);
		session_close(session);
		return;
	}
	if (events & EPOLLOUT)
		session_dirty(session);
	if (events & (EPOLLIN | EPOLLHUP))
		on_input(session);
}

void session_settle(struct session *session)
{
	session_dirty(session);
}

/* Flushes, and lets those who were held back go on. */
static void tend(struct session *session)
{
	if (!flush(session))
		return;
	if (session->input && !session->closing && may_go_on(session) && !take_kept(session))
		return;
	if (!session->dirty)
		arrange(session);
}

/*
 * A client whose replies come from several servers gets them together, where they come at about the same time: a write
 * for each would cost more than all the rest.
 */
static bool put_off(struct session *session)
{
	uint64_t now;

	if (!session->waiting || !session->out || session->input || session->unsent >= PUT_OFF_MAX ||
	    session->events != EPOLLIN)
		return false;
	now = worker_now(session->service->worker);
	if (!session->unsent_since)
		session->unsent_since = now;
	return now - session->unsent_since < PUT_OFF_US;
}

bool session_flush_all(struct worker *worker)
{
	struct session *later = NULL;

	while (worker->dirty) {
		struct session *session = worker->dirty;

		worker->dirty = session->dirty_next;
		if (put_off(session)) {
			session->dirty_next = later;
			later = session;
			continue;
		}
		session->unsent_since = 0;
		session->dirty = false;
		tend(session);
	}
	worker->dirty = later;
	return later;
}
