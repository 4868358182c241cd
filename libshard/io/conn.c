/* SPDX-License-Identifier: MIT */
#include "io/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "pure/resp.h"

#define WRITE_TURNS 16               /* pieces of a large argument a tick */
#define READ_TURNS 8                 /* reads a tick, so that one busy node does not starve the others */
#define FEED 4096                    /* bytes for the reader at once, ... */
#define FEED_FIRST 1024              /* ... for it copies them, and most replies are short */
#define BULK_MAX ((size_t)600 << 20) /* more than a server's greatest value */
#define AWAIT_FIRST 8                /* chances to wait that pass before the first is taken: it costs two system calls, ... */
#define AWAIT_LATER 100              /* ... and after a wait of ... */
#define AWAIT_QUICK_US 300           /* ... more than this, which others may have had a use for */
#define READER_KEPT (1 << 20)
#define RAW_KEPT 65536               /* what is allocated for a raw reply and not given back after it */
#define COPY_MAX 2048                /* items up to this are copied together, others are written from where they are */

static const char asking[] = "*1\r\n$6\r\nASKING\r\n";

static void source_ready(struct loop_source *source, uint32_t events);
static void on_readable(struct conn *conn);
static void connect_expired(struct timer *timer);

struct conn *conn_create(struct loop *loop, const struct conn_ops *ops, void *owner, const char *greeting,
			 size_t greeting_len, unsigned greeting_replies)
{
	struct conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	list_init(&conn->links);
	list_init(&conn->dirty_link);
	list_init(&conn->queue);
	list_init(&conn->sent);
	timer_init(&conn->connect_timer, connect_expired);
	arena_init(&conn->arena);
	conn->loop = loop;
	conn->ops = ops;
	conn->owner = owner;
	conn->transport.fd = -1;
	conn->slowness = AWAIT_FIRST;
	conn->out = malloc(CONN_OUT_FIRST);
	conn->out_room = CONN_OUT_FIRST;
	conn->greeting = malloc(greeting_len + 1);
	conn->reader = resp_reader_create(&conn->arena);
	if (!conn->out || !conn->greeting || !conn->reader) {
		free(conn->out);
		free(conn->greeting);
		if (conn->reader)
			redisReaderFree(conn->reader);
		free(conn);
		return NULL;
	}
	if (greeting_len)
		memcpy(conn->greeting, greeting, greeting_len);
	conn->greeting_len = greeting_len;
	conn->greeting_replies = greeting_replies;
	return conn;
}

void conn_close(struct conn *conn)
{
	if (conn->state == CONN_CLOSED)
		return;
	conn->state = CONN_CLOSED;
	timer_stop(&conn->connect_timer);
	resolve_cancel(conn->resolve);
	conn->resolve = NULL;
	if (conn->transport.fd >= 0) {
		loop_remove(conn->loop, &conn->source);
		conn->transport.ops->close(&conn->transport);
	}
	conn->seg_at = conn->seg_count = 0;
	conn->out_len = 0;
}

void conn_fail(struct conn *conn, int error, const char *why)
{
	if (conn->state == CONN_CLOSED)
		return;
	conn_close(conn);
	conn->ops->down(conn, error, why);
}

void conn_destroy(struct conn *conn)
{
	conn_close(conn);
	list_remove(&conn->dirty_link);
	redisReaderFree(conn->reader);
	arena_finish(&conn->arena);
	free(conn->out);
	free(conn->body);
	free(conn->raw);
	conn->raw = NULL; /* its reply's callback may be running */
	conn->raw_room = 0;
	if (conn->greeting) {
		explicit_bzero(conn->greeting, conn->greeting_len);
		free(conn->greeting);
	}
	list_remove(&conn->links);
	loop_bury(conn->loop, conn);
}

/* ---- connecting ---- */

/* Failures while opening are told by a timer, for conn_open()'s caller must not be called back. */
static void fail_later(struct conn *conn, int error)
{
	conn->refused = error == ECONNREFUSED || error == ENOENT;
	conn->open_error = error;
	timer_start(&conn->loop->wheel, &conn->connect_timer, 0);
}

static void connect_expired(struct timer *timer)
{
	struct conn *conn = list_entry(timer, struct conn, connect_timer);
	int error = conn->open_error;

	conn->late = !error;
	if (conn->state == CONN_RESOLVING && error)
		conn_fail(conn, SHARD_ECONNECT, strerror(error));
	else if (conn->state == CONN_RESOLVING)
		conn_fail(conn, SHARD_ERESOLVE, "looking up the host name took too long");
	else if (conn->state == CONN_GREETING)
		conn_fail(conn, SHARD_ECONNECT, "connected, but no answer to AUTH or SELECT in time");
	else
		conn_fail(conn, SHARD_ECONNECT, "no answer in time");
}

static void resolved(void *ctx, const struct sockaddr *addr, socklen_t len, bool more, const char *error);

/* Goes on to the name's next address. Returns whether there is one. */
static bool next_address(struct conn *conn)
{
	if (!conn->more_addresses)
		return false;
	conn->more_addresses = false;
	conn->state = CONN_RESOLVING;
	conn->resolve = resolve_start(conn->loop, conn->host, conn->port, ++conn->address, resolved, conn);
	return conn->resolve;
}

static void start_connect(struct conn *conn, const struct sockaddr *addr, socklen_t len)
{
	if (transport_open(&conn->transport, addr, len) < 0) {
		int error = errno;

		if (!next_address(conn))
			fail_later(conn, error);
		return;
	}
	conn->source = (struct loop_source){.ready = source_ready, .fd = conn->transport.fd};
	if (loop_add(conn->loop, &conn->source, EPOLLOUT) < 0) {
		int error = errno;

		conn->transport.ops->close(&conn->transport);
		fail_later(conn, error);
		return;
	}
	conn->state = CONN_CONNECTING;
}

static void resolved(void *ctx, const struct sockaddr *addr, socklen_t len, bool more, const char *error)
{
	struct conn *conn = ctx;

	conn->resolve = NULL;
	conn->more_addresses = more;
	if (addr)
		start_connect(conn, addr, len);
	else
		conn_fail(conn, SHARD_ERESOLVE, error);
}

void conn_open(struct conn *conn, const char *host, uint16_t port, unsigned timeout_ms)
{
	struct sockaddr_storage addr;
	socklen_t len = resolve_numeric(host, port, &addr);

	conn->state = CONN_RESOLVING;
	conn->open_error = 0;
	conn->refused = false;
	timer_start(&conn->loop->wheel, &conn->connect_timer, loop_now(conn->loop) + timeout_ms);
	if (len) {
		start_connect(conn, (struct sockaddr *)&addr, len);
		return;
	}
	if (!port) {
		fail_later(conn, ENAMETOOLONG);
		return;
	}
	conn->host = host;
	conn->port = port;
	conn->resolve = resolve_start(conn->loop, host, port, 0, resolved, conn);
	if (!conn->resolve)
		fail_later(conn, errno);
}

static void become_up(struct conn *conn)
{
	conn->state = CONN_UP;
	conn->was_up = true;
	timer_stop(&conn->connect_timer);
	conn->last_read = conn->loop->now;
	conn->ops->up(conn);
	conn_flush(conn);
}

static void on_connected(struct conn *conn)
{
	uint32_t events;
	int done = conn->transport.ops->connected(&conn->transport, &events);

	if (done < 0) {
		int error = errno;

		loop_remove(conn->loop, &conn->source);
		conn->transport.ops->close(&conn->transport);
		if (next_address(conn))
			return;
		conn->refused = error == ECONNREFUSED || error == ENOENT;
		conn_fail(conn, SHARD_ECONNECT, strerror(error));
		return;
	}
	if (!done) {
		loop_set(conn->loop, &conn->source, events);
		return;
	}
	loop_set(conn->loop, &conn->source, EPOLLIN);
	if (!conn->greeting_replies) {
		become_up(conn);
		return;
	}
	conn->state = CONN_GREETING;
	conn->seg[0] = (struct iovec){.iov_base = conn->greeting, .iov_len = conn->greeting_len};
	conn->seg_item[0] = NULL;
	conn->seg_at = 0;
	conn->seg_count = 1;
	conn_flush(conn);
}

/* ---- writing ---- */

void conn_unqueue(struct conn *conn, struct conn_item *item)
{
	(void)conn;
	list_remove(&item->link);
}

static void add_seg(struct conn *conn, struct conn_item *item, const void *data, size_t len)
{
	conn->seg[conn->seg_count] = (struct iovec){.iov_base = (void *)data, .iov_len = len};
	conn->seg_item[conn->seg_count++] = item;
}

static inline void copy_out(struct conn *conn, const char *data, size_t len)
{
	char *at = conn->out + conn->out_len;

	/* As long as most are: without a call. */
	if (len >= 32 && len <= 64) {
		memcpy(at, data, 32);
		memcpy(at + len - 32, data + len - 32, 32);
	} else {
		memcpy(at, data, len);
	}
	conn->out_len += len;
	/* The buffer fills up from its start: what it got before ends where this begins. */
	if (conn->seg_count && !conn->seg_item[conn->seg_count - 1])
		conn->seg[conn->seg_count - 1].iov_len += len;
	else
		add_seg(conn, NULL, at, len);
}

static void enlarge_out(struct conn *conn)
{
	char *out = malloc(CONN_OUT);

	if (!out)
		return; /* more writes, then */
	free(conn->out);
	conn->out = out;
	conn->out_room = CONN_OUT;
}

/* In three parts; the last one stands for the item. */
static void add_stream(struct conn *conn, struct conn_item *item)
{
	const struct conn_stream *stream = item->stream;
	size_t at = stream->len ? stream->at : 0;

	item->writing = true;
	conn->unparsed += stream->sinks;
	if (stream->len) {
		conn->bodies = true;
		add_seg(conn, NULL, item->data, at);
		add_seg(conn, NULL, NULL, stream->len);
		conn->body_item = item;
	}
	add_seg(conn, item, item->data + at, item->len - at);
}

/* Moves items from the queue into segments: all that there is room for. */
static void fill(struct conn *conn)
{
	struct list *link = conn->queue.next;

	conn->seg_at = conn->seg_count = 0;
	conn->out_len = 0;
	conn->bodies = false;
	if (list_empty(&conn->sent))
		conn->oldest_sent = loop_now(conn->loop);
	if (conn->out_room < CONN_OUT && link->next != &conn->queue)
		enlarge_out(conn);
	for (; link != &conn->queue; link = link->next) {
		struct conn_item *item = list_entry(link, struct conn_item, link);

		if (conn->bodies || conn->seg_count + 4 > CONN_SEGS ||
		    conn->out_len + COPY_MAX + sizeof(asking) > conn->out_room)
			break;
		item->sent = true;
		conn->unparsed += item->raw;
		if (item->asking) {
			item->replies++;
			copy_out(conn, asking, sizeof(asking) - 1);
		}
		if (item->stream) {
			add_stream(conn, item);
		} else if (item->len <= COPY_MAX) {
			copy_out(conn, item->data, item->len);
		} else {
			item->writing = true;
			add_seg(conn, item, item->data, item->len);
		}
	}
	list_move_front(&conn->sent, &conn->queue, link);
}

/* Drops N written bytes from the segments. */
static void advance(struct conn *conn, size_t n)
{
	while (conn->seg_at < conn->seg_count) {
		struct iovec *seg = &conn->seg[conn->seg_at];

		if (n < seg->iov_len) {
			if (seg->iov_base)
				seg->iov_base = (char *)seg->iov_base + n;
			seg->iov_len -= n;
			return;
		}
		n -= seg->iov_len;
		if (conn->seg_item[conn->seg_at])
			conn->seg_item[conn->seg_at]->writing = false;
		conn->seg_at++;
	}
}

/*
 * A server may have closed an idle connection: what it said last is read
 * before anything is written to it that would then be lost.
 */
static bool still_there(struct conn *conn)
{
	const struct loop *loop = conn->loop;
	bool just_read = loop->in_tick && (loop->all_seen || conn->last_read == loop->now);

	if (conn->state == CONN_UP && list_empty(&conn->sent) && !just_read)
		on_readable(conn);
	return conn->state >= CONN_GREETING;
}

/* The next piece of an argument, read and written. As writev(2). */
static ssize_t write_body(struct conn *conn)
{
	const struct iovec *seg = &conn->seg[conn->seg_at];
	const struct conn_stream *stream = conn->body_item->stream;
	struct iovec piece = {.iov_len = seg->iov_len < CONN_BODY ? seg->iov_len : CONN_BODY};
	ssize_t n;

	if (!conn->body)
		conn->body = malloc(CONN_BODY);
	if (!conn->body) {
		errno = ENOMEM;
		return -1;
	}
	piece.iov_base = conn->body;
	n = pread(stream->fd, conn->body, piece.iov_len, (off_t)(stream->offset + stream->len - seg->iov_len));
	if (n <= 0) {
		errno = n ? errno : ENODATA;
		return -1;
	}
	piece.iov_len = (size_t)n;
	n = conn->transport.ops->writev(&conn->transport, &piece, 1);
	if (n > 0)
		conn->ops->wrote(conn, conn->body_item);
	return n;
}

static ssize_t write_some(struct conn *conn)
{
	unsigned end = conn->seg_count;

	if (conn->bodies) {
		if (!conn->seg[conn->seg_at].iov_base)
			return write_body(conn);
		for (end = conn->seg_at + 1; end < conn->seg_count && conn->seg[end].iov_base;)
			end++;
	}
	return conn->transport.ops->writev(&conn->transport, conn->seg + conn->seg_at, (int)(end - conn->seg_at));
}

/* What there was to write was written. */
static void written(struct conn *conn)
{
	if (conn->body) {
		free(conn->body);
		conn->body = NULL;
	}
	loop_set(conn->loop, &conn->source, EPOLLIN);
}

void conn_flush(struct conn *conn)
{
	if (conn->state < CONN_GREETING || !still_there(conn))
		return;
	for (int turn = 0;; turn++) {
		ssize_t n;

		if (conn->seg_at == conn->seg_count) {
			if (conn->state != CONN_UP || conn->hold || list_empty(&conn->queue))
				break;
			fill(conn);
		}
		/* A large argument is not to keep all others waiting. */
		if (turn >= WRITE_TURNS && conn->bodies) {
			loop_set(conn->loop, &conn->source, EPOLLIN | EPOLLOUT);
			return;
		}
		n = write_some(conn);
		if (n >= 0) {
			advance(conn, (size_t)n);
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			loop_set(conn->loop, &conn->source, EPOLLIN | EPOLLOUT);
			return;
		}
		if (errno == ENODATA) {
			conn_fail(conn, SHARD_EPROTOCOL, "the file of an argument is shorter than was said");
			return;
		}
		/* The server may have said why before it closed: the read side tells. */
		if (errno == EPIPE || errno == ECONNRESET) {
			loop_set(conn->loop, &conn->source, EPOLLIN);
			return;
		}
		conn_fail(conn, SHARD_ECONNECT, strerror(errno));
		return;
	}
	written(conn);
}

/* ---- reading ---- */

static __attribute__((noinline)) bool greeting_reply(struct conn *conn, const shard_reply *reply)
{
	char why[256];

	if (reply->type == SHARD_REPLY_ERROR) {
		/* A server that loads its data is one to come back to, not one that refuses. */
		int error = shard_reply_is_error(reply, "LOADING") || shard_reply_is_error(reply, "MASTERDOWN")
				    ? SHARD_ECONNECT
				    : SHARD_EAUTH;

		snprintf(why, sizeof(why), "%.*s", (int)(reply->len < 255 ? reply->len : 255), reply->str);
		conn_fail(conn, error, why);
		return false;
	}
	if (--conn->greeting_replies == 0)
		become_up(conn);
	return conn->state != CONN_CLOSED;
}

static __attribute__((noinline)) void unasked(struct conn *conn, const shard_reply *reply)
{
	char why[128];

	/* "-ERR max number of clients reached" and its like come unasked. */
	if (reply->type == SHARD_REPLY_ERROR)
		snprintf(why, sizeof(why), "%.*s", (int)(reply->len < 127 ? reply->len : 127), reply->str);
	else
		snprintf(why, sizeof(why), "a reply that nobody asked for");
	conn_fail(conn, reply->type == SHARD_REPLY_ERROR ? SHARD_ECONNECT : SHARD_EPROTOCOL, why);
}

/* Hands one reply to the item at the head. Returns whether the connection lives on. */
static inline __attribute__((always_inline)) bool hand_over(struct conn *conn, const shard_reply *reply)
{
	struct conn_item *item;
	bool writing, last;

	if (conn->state == CONN_GREETING)
		return greeting_reply(conn, reply);
	if (conn->pushes && conn->ops->push(conn, reply))
		return conn->state != CONN_CLOSED;
	if (list_empty(&conn->sent)) {
		unasked(conn, reply);
		return false;
	}
	item = list_entry(conn->sent.next, struct conn_item, link);
	if (item->asking) {
		item->asking = false;
		item->replies--;
		return true;
	}
	writing = item->writing;
	last = --item->replies == 0;
	if (last)
		list_remove(&item->link);
	if (conn->unparsed && last)
		conn->unparsed -= item->raw || (item->stream && item->stream->sinks);
	conn->ops->reply(conn, item, reply, last);
	if (conn->state == CONN_CLOSED)
		return false;
	/* An answer to what is only half written: the server has given up on this connection. */
	if (last && writing) {
		conn_fail(conn, SHARD_ECONNECT, "the server answered before it had the whole command");
		return false;
	}
	return true;
}

static bool deliver(struct conn *conn, const shard_reply *reply)
{
	return hand_over(conn, reply);
}

/* Whether the reader is between two replies. */
static bool reader_idle(const redisReader *reader)
{
	return reader->ridx == -1 && reader->pos == reader->len;
}

/* hiredis gives a large buffer back when it is fed the next time, which may be never. */
static void renew_reader(struct conn *conn)
{
	redisReader *reader = resp_reader_create(&conn->arena);

	if (!reader)
		return;
	redisReaderFree(conn->reader);
	conn->reader = reader;
}

/*
 * Feeds the reader up to N bytes, until it has one reply. What it did not
 * need is taken back, so that it stands between two replies again.
 * Returns the bytes that were used; 0: the connection is over.
 */
static size_t feed(struct conn *conn, const char *data, size_t n)
{
	redisReader *reader = conn->reader;
	void *reply = NULL;
	size_t rest;
	bool large;

	if (redisReaderFeed(reader, data, n) != 0) {
		conn_fail(conn, SHARD_ENOMEM, "no memory for the reply");
		return 0;
	}
	if (reader->len > BULK_MAX) {
		conn_fail(conn, SHARD_EPROTOCOL, "a reply that is larger than any value");
		return 0;
	}
	large = reader->len > READER_KEPT;
	if (redisReaderGetReply(reader, &reply) != 0 && conn->arena.exhausted) {
		conn_fail(conn, SHARD_ENOMEM, "no memory for the reply");
		return 0;
	}
	if (reader->err) {
		conn_fail(conn, SHARD_EPROTOCOL,
			  reader->err == REDIS_ERR_OOM ? "a reply that is too large, nests too deep, or is RESP3"
						       : reader->errstr);
		return 0;
	}
	if (!reply)
		return n;
	rest = reader->len - reader->pos;
	reader->pos = reader->len;
	if (!deliver(conn, reply))
		return 0;
	arena_reset(&conn->arena);
	if (large)
		renew_reader(conn);
	return n - rest;
}

/* How much to feed: a reply that is large already gets all there is. */
static size_t feed_size(const redisReader *reader, size_t len)
{
	size_t size = reader_idle(reader) ? FEED_FIRST : FEED;

	return len < size || reader->len - reader->pos > FEED ? len : size;
}

/* ---- strings for a sink ---- */

/* The item whose last answer comes next; or NULL. */
static const struct conn_item *next_item(const struct conn *conn)
{
	const struct conn_item *item;

	if (conn->state != CONN_UP || list_empty(&conn->sent) || !reader_idle(conn->reader))
		return NULL;
	item = list_entry(conn->sent.next, struct conn_item, link);
	return !item->asking && item->replies == 1 ? item : NULL;
}

/* Takes bytes until there is a line. Returns how many; 0: what is there cannot be one, of at most MAX bytes. */
static size_t take_line(struct conn *conn, const char *data, size_t len, size_t max)
{
	for (size_t n = 0; n < len; n++) {
		if (conn->head_len == max)
			return 0;
		conn->head[conn->head_len++] = data[n];
		if (data[n] == '\n')
			return n + 1;
	}
	return len;
}

static bool line_is_whole(const struct conn *conn)
{
	return conn->head_len && conn->head[conn->head_len - 1] == '\n';
}

static bool bad_string(struct conn *conn)
{
	conn_fail(conn, SHARD_EPROTOCOL, "the length of a string cannot be read");
	return false;
}

/* "$<length>\r\n": its string begins, or it is nil. Returns whether the connection lives on. */
static bool begin_string(struct conn *conn)
{
	size_t size = 0;
	unsigned i = 1, len = conn->head_len;

	conn->head_len = 0;
	if (len == 5 && !memcmp(conn->head, "$-1\r\n", 5)) {
		shard_reply nil = {.type = SHARD_REPLY_NIL};

		return deliver(conn, &nil);
	}
	for (; i + 2 < len && conn->head[i] >= '0' && conn->head[i] <= '9' && size <= BULK_MAX; i++)
		size = size * 10 + (size_t)(conn->head[i] - '0');
	if (i == 1 || i + 2 != len || conn->head[i] != '\r' || size > BULK_MAX)
		return bad_string(conn);
	conn->sinking = true;
	conn->sink_total = size;
	conn->sink_at = 0;
	return true;
}

static bool end_string(struct conn *conn)
{
	shard_reply length = {.type = SHARD_REPLY_INTEGER, .integer = (long long)conn->sink_total};

	if (conn->head[0] != '\r')
		return bad_string(conn);
	conn->head_len = 0;
	conn->sinking = false;
	return deliver(conn, &length);
}

/* Returns the bytes that it took; 0: the connection is over. */
static size_t sink_string(struct conn *conn, const char *data, size_t len)
{
	size_t left = conn->sink_total - conn->sink_at;

	if (conn->sinking && left) {
		struct conn_item *item = list_entry(conn->sent.next, struct conn_item, link);
		size_t at = conn->sink_at;

		len = len < left ? len : left;
		conn->sink_at += len;
		conn->ops->piece(conn, item, at, data, len, conn->sink_total);
		return conn->state == CONN_CLOSED ? 0 : len;
	}
	len = take_line(conn, data, len, conn->sinking ? 2 : sizeof(conn->head));
	if (!len) {
		bad_string(conn);
		return 0;
	}
	if (!line_is_whole(conn))
		return len;
	return (conn->sinking ? end_string(conn) : begin_string(conn)) ? len : 0;
}

/* ---- replies as they came ---- */

static bool keep_raw(struct conn *conn, const char *data, size_t len)
{
	size_t wanted = conn->raw_len + len;
	char *grown;

	if (wanted > conn->raw_room) {
		/* Where a long string is on its way its end is known. */
		wanted = conn->frame.at > 2 * wanted ? conn->frame.at : 2 * wanted;
		grown = realloc(conn->raw, wanted);
		if (!grown) {
			conn_fail(conn, SHARD_ENOMEM, "no memory for the reply");
			return false;
		}
		conn->raw = grown;
		conn->raw_room = wanted;
	}
	memcpy(conn->raw + conn->raw_len, data, len);
	conn->raw_len += len;
	return true;
}

static void drop_raw(struct conn *conn)
{
	conn->raw_len = 0;
	if (conn->raw_room <= RAW_KEPT)
		return;
	free(conn->raw);
	conn->raw = NULL;
	conn->raw_room = 0;
}

static bool deliver_raw(struct conn *conn, const char *data, size_t len)
{
	shard_reply reply = {.type = SHARD_REPLY_RAW, .len = len, .str = data};

	return deliver(conn, &reply);
}

/* The reply has begun in what was kept. Returns the bytes that it took; 0: the connection is over. */
static size_t go_on_raw(struct conn *conn, const char *data, size_t len)
{
	enum resp_frame_state state;
	size_t rest;
	bool alive;

	if (!keep_raw(conn, data, len))
		return 0;
	state = resp_frame_scan(&conn->frame, conn->raw, conn->raw_len, BULK_MAX);
	if (state == FRAME_MORE)
		return len;
	if (state == FRAME_BAD) {
		conn_fail(conn, SHARD_EPROTOCOL, "what came is no reply");
		return 0;
	}
	rest = conn->raw_len - conn->frame.at;
	alive = deliver_raw(conn, conn->raw, conn->frame.at);
	drop_raw(conn);
	return alive ? len - rest : 0;
}

/* As go_on_raw(). */
static size_t take_raw(struct conn *conn, const char *data, size_t len)
{
	if (conn->raw_len)
		return go_on_raw(conn, data, len);
	resp_frame_begin(&conn->frame);
	switch (resp_frame_scan(&conn->frame, data, len, BULK_MAX)) {
	case FRAME_WHOLE:
		len = conn->frame.at;
		return deliver_raw(conn, data, len) ? len : 0;
	case FRAME_MORE:
		return keep_raw(conn, data, len) ? len : 0;
	default:
		conn_fail(conn, SHARD_EPROTOCOL, "what came is no reply");
		return 0;
	}
}

/*
 * What goes past the parser, to a sink or raw. Returns whether it did; *TAKEN: the bytes that it took, 0: the
 * connection is over.
 */
static bool pass_on(struct conn *conn, const char *data, size_t len, size_t *taken)
{
	const struct conn_item *item;

	/* A string of no bytes has its end to come, too. */
	if (conn->sinking || conn->head_len) {
		*taken = sink_string(conn, data, len);
		return true;
	}
	if (conn->raw_len) {
		*taken = take_raw(conn, data, len);
		return true;
	}
	item = next_item(conn);
	if (!item)
		return false;
	if (item->raw && *data != '-')
		*taken = take_raw(conn, data, len);
	else if (*data == '$' && item->stream && item->stream->sinks)
		*taken = sink_string(conn, data, len);
	else
		return false;
	return true;
}

static bool consume(struct conn *conn, char *data, size_t len)
{
	while (len) {
		size_t n = 0;

		if (conn->unparsed && pass_on(conn, data, len, &n)) {
			if (!n)
				return false;
			data += n;
			len -= n;
			continue;
		}
		if (reader_idle(conn->reader)) {
			shard_reply reply;

			n = resp_quick(data, len, &reply);
			if (n && !hand_over(conn, &reply))
				return false;
		}
		if (!n)
			n = feed(conn, data, feed_size(conn->reader, len));
		if (!n)
			return false;
		data += n;
		len -= n;
	}
	return true;
}

/* What came of reading into the loop's buffer. Returns whether to read on. */
static bool take(struct conn *conn, ssize_t n)
{
	if (n < 0 && errno == EINTR)
		return true;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n <= 0) {
		conn->closed = !n;
		conn_fail(conn, SHARD_ECONNECT, n ? strerror(errno) : "the server closed the connection");
		return false;
	}
	conn->last_read = conn->loop->now;
	conn->slow = false;
	if (!consume(conn, conn->loop->buffer, (size_t)n))
		return false;
	/* The beginning of what nobody asked for must not become the beginning of the next answer. */
	if (conn->state == CONN_UP && list_empty(&conn->sent) && !conn->pushes && !reader_idle(conn->reader)) {
		conn_fail(conn, SHARD_EPROTOCOL, "a reply that nobody asked for");
		return false;
	}
	return (size_t)n == LOOP_BUFFER;
}

static void on_readable(struct conn *conn)
{
	for (int turn = 0; turn < READ_TURNS; turn++)
		if (!take(conn, conn->transport.ops->read(&conn->transport, conn->loop->buffer, LOOP_BUFFER)))
			return;
}

/* Whether COUNT items, no more and no less, have been written and wait for their answers. */
static bool awaits_all(const struct conn *conn, size_t count)
{
	const struct list *link = &conn->sent;

	if (conn->state != CONN_UP || !list_empty(&conn->queue) || conn->seg_at != conn->seg_count)
		return false;
	for (; count && link->next != &conn->sent; count--)
		link = link->next;
	return !count && link->next == &conn->sent;
}

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool conn_await(struct conn *conn, size_t count)
{
	uint64_t start;
	ssize_t n;

	if (!awaits_all(conn, count))
		return false;
	if (conn->slowness) {
		conn->slowness--;
		return false;
	}
	start = clock_us();
	n = conn->transport.ops->await(&conn->transport, conn->loop->buffer, LOOP_BUFFER);
	if (clock_us() - start > AWAIT_QUICK_US)
		conn->slowness = AWAIT_LATER;
	loop_enter(conn->loop);
	take(conn, n);
	loop_leave(conn->loop);
	return true;
}

static void source_ready(struct loop_source *source, uint32_t events)
{
	struct conn *conn = list_entry(source, struct conn, source);

	if (conn->state == CONN_CONNECTING) {
		on_connected(conn);
		return;
	}
	if (events & (EPOLLIN | EPOLLERR | EPOLLHUP))
		on_readable(conn);
	if ((events & EPOLLOUT) && conn->state >= CONN_GREETING)
		conn_flush(conn);
}
