/* SPDX-License-Identifier: MIT */
/*
 * A connection: a queue of items to write, a queue of items that wait for
 * their replies, in order. It knows nothing of slots or retries: whatever
 * happens is told to its owner.
 *
 * Invariants:
 *   - an item is in `queue` (no byte of it was written) or in `sent`, never both;
 *   - replies belong to the head of `sent`, always;
 *   - the bytes of an item with `writing` are referenced by `seg`.
 */
#ifndef SHARD_IO_CONN_H
#define SHARD_IO_CONN_H

#include <stdbool.h>
#include <stdint.h>
#include <hiredis/read.h>

#include <shard/reply.h>

#include "base/arena.h"
#include "base/list.h"
#include "io/loop.h"
#include "io/resolve.h"
#include "io/transport.h"
#include "pure/frame.h"

struct conn;

/* What of an item travels in pieces: an argument out of a file, a reply into a sink. */
struct conn_stream {
	size_t at;  /* where in the item's data the argument goes, if LEN is not 0 */
	int fd;
	uint64_t offset;
	size_t len;
	bool sinks; /* a string in reply goes to the `piece` operation, its length to `reply` */
};

struct conn_item {
	struct list link;
	const char *data;
	size_t len;
	struct conn_stream *stream; /* or NULL */
	uint32_t replies; /* how many are still to come */
	bool asking;      /* ASKING goes in front; its reply is dropped */
	bool raw;         /* its last reply is not parsed, but where it is an error */
	bool sent;
	bool writing;
};

struct conn_ops {
	/* One reply of ITEM. LAST: the item has been taken from the connection and is the owner's again. */
	void (*reply)(struct conn *conn, struct conn_item *item, const shard_reply *reply, bool last);
	/*
	 * Where `pushes` is set: a reply that may be no answer. Returns whether it
	 * was none, and was taken.
	 */
	bool (*push)(struct conn *conn, const shard_reply *reply);
	/* A piece of a string for ITEM's sink. */
	void (*piece)(struct conn *conn, struct conn_item *item, size_t offset, const char *bytes, size_t len,
		      size_t total);
	/* A piece of ITEM's argument was written. */
	void (*wrote)(struct conn *conn, struct conn_item *item);
	/* Connected, greeted: queued items are being written. */
	void (*up)(struct conn *conn);
	/*
	 * The connection is over: conn_close() was called. Its items are still
	 * in conn->sent and conn->queue: the owner takes them out. ERROR is
	 * SHARD_ERESOLVE, ECONNECT (never was up, or lost), EAUTH, EPROTOCOL,
	 * or ENOMEM (there was no room for the reply to the head of `sent`).
	 */
	void (*down)(struct conn *conn, int error, const char *why);
};

enum conn_state { CONN_CLOSED, CONN_RESOLVING, CONN_CONNECTING, CONN_GREETING, CONN_UP };

#define CONN_SEGS 64
#define CONN_OUT_FIRST 4096
#define CONN_OUT 65536
#define CONN_BODY 65536

struct conn {
	struct list links; /* for the owner; first, so that a closed connection can be buried */
	struct loop *loop;
	const struct conn_ops *ops;
	void *owner;
	enum conn_state state;
	bool hold;  /* write nothing for now */
	bool pushes; /* the server also speaks unasked */
	bool retired; /* the owner's: takes nothing more */
	bool was_up;
	bool dirty; /* in the flush list of the owner */
	bool refused; /* why it is down: nobody listens there; ... */
	bool closed;  /* ... the server has closed it; ... */
	bool late;    /* ... no answer in time */
	const char *host; /* while it is opened; the owner's */
	uint16_t port;
	unsigned address;     /* which of the name's addresses is being tried */
	bool more_addresses;
	int open_error; /* errno of an attempt that failed at once */
	struct list dirty_link;
	struct transport transport;
	struct loop_source source;
	struct timer connect_timer;
	struct resolve *resolve;

	/* What is said first on every connection (AUTH, SELECT, READONLY). */
	char *greeting;
	size_t greeting_len;
	unsigned greeting_replies;

	struct list queue, sent;
	uint64_t last_read;  /* ms: when bytes came last */
	int8_t slowness;     /* 0: answers come at once, see conn_await() */
	uint64_t oldest_sent; /* ms: when `sent` became non-empty */

	struct iovec seg[CONN_SEGS];
	struct conn_item *seg_item[CONN_SEGS]; /* whose bytes these are; NULL: the out buffer's */
	unsigned seg_at, seg_count;
	char *out; /* small until two items wait at once */
	size_t out_len, out_room;

	struct arena arena;
	redisReader *reader;

	unsigned unparsed; /* items in `sent` whose reply goes to a sink, or is raw */
	struct resp_frame frame; /* of a raw reply that has not come whole: raw[0..raw_len-1] */
	char *raw;
	size_t raw_len, raw_room;
	bool sinking;     /* a string is going there */
	size_t sink_total, sink_at;
	char head[24];    /* "$<length>\r\n" as far as it has come; behind the string its "\r\n" */
	unsigned head_len;
	char *body;       /* CONN_BODY bytes of an argument, while there is one; or NULL */
	bool bodies;      /* among `seg`: one, where iov_base is NULL; ... */
	struct conn_item *body_item; /* ... and whose it is */
};

/* GREETING (GREETING_REPLIES commands) is copied. NULL when out of memory. */
struct conn *conn_create(struct loop *loop, const struct conn_ops *ops, void *owner, const char *greeting,
			 size_t greeting_len, unsigned greeting_replies);

/* Begins to connect; `up` or `down` follows in a tick, after TIMEOUT_MS at the latest. */
void conn_open(struct conn *conn, const char *host, uint16_t port, unsigned timeout_ms);

static inline void conn_push(struct conn *conn, struct conn_item *item)
{
	item->sent = item->writing = false;
	list_push(&conn->queue, &item->link);
}

/* Takes an item that has not been written out of the queue. */
void conn_unqueue(struct conn *conn, struct conn_item *item);

/* Writes what is queued: as much as the socket takes, the rest when it takes more. */
void conn_flush(struct conn *conn);

/*
 * Waits for the answer to COUNT items without anyone else being looked at:
 * for some milliseconds at most, and only where they are all there is on this
 * connection and where its answers use to come at once. Returns whether it
 * waited; it was a tick then (loop_enter()), and what came was delivered.
 */
bool conn_await(struct conn *conn, size_t count);

/* Closes the descriptor; says nothing; items stay. */
void conn_close(struct conn *conn);

/* conn_close() and calls `down`. */
void conn_fail(struct conn *conn, int error, const char *why);

/* Frees at the end of the tick; the queues must be empty. */
void conn_destroy(struct conn *conn);

#endif
