/* SPDX-License-Identifier: MIT */
/*
 * rproxy: clients in front, pools and clusters behind.
 *
 *   parse.c      requests, byte by byte
 *   bytes.c      replies, byte by byte
 *   session.c    a client's connection: what it sends, what it is sent
 *   query.c    one request, and its place among those of its session
 *   command.c    what is done with which command
 *   forward.c    requests that servers answer
 *   local.c      requests that rproxy answers
 *   service.c    a pool as one thread serves it
 *   worker.c     a thread: its services, its loop
 *   listen.c     listening sockets
 *   transaction.c, scan.c  MULTI ... EXEC; SCAN
 *   stats.c      what is counted; snapshot.c puts it together, stats_json.c and metrics.c show it
 *   config.c     what is to be served
 *   control.c    the main thread: signals, reload; report.c the one that shows statistics
 *   main.c       the process; options.c its command line
 *
 * Threads: a worker and all that is below it belong to one thread. The main
 * thread only reads counters, and talks to workers through worker_tell().
 */
#ifndef RPROXY_PROXY_H
#define RPROXY_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/shard.h>

#include "bytes.h"
#include "parse.h"
#include "stats.h"

#define READ_SIZE 65536

struct command;
struct service;
struct worker;

/* One request. It is in its session's line until its reply is in the session's output. */
struct query {
	struct query *next;    /* in the line of its session, or in the worker's store */
	struct session *session; /* NULL: the client is gone */
	struct service *service;
	const struct command *command;
	uint64_t start; /* us */
	shard_request *handle; /* what to cancel when the client goes; or NULL */
	char *reply;    /* malloc'ed, or short_reply */
	size_t len;
	bool done;
	char short_reply[80];
};

/* Bytes that wait for their client to take them. */
struct chunk {
	struct chunk *next;
	size_t at, len, room;
	char data[];
};

/* What a client sent and is not a whole request yet, or must wait. */
struct input {
	struct bytes bytes;
	size_t at; /* what of it has been dealt with */
	struct parse parse;
	struct words words; /* of a long request, as far as it goes; else empty */
};

/* A client's connection. */
struct session {
	struct session *next, *prev; /* of its service */
	struct session *dirty_next;
	struct service *service;
	shard_watch *watch;
	int fd;
	uint32_t events;
	uint64_t id;
	struct query *first, **last; /* in the order in which they came */
	unsigned waiting;              /* how many these are */
	size_t unsent;                 /* bytes in chunks */
	uint64_t unsent_since;         /* us: when it was put off to send them; 0: it was not */
	size_t largest;                /* reply of late */
	struct chunk *out, **out_last;
	struct input *input; /* or NULL */
	char *name;          /* CLIENT SETNAME; or NULL */
	struct block *block; /* between MULTI and EXEC; or NULL */
	bool dirty;
	bool held;    /* nothing more is read for now */
	bool paused;  /* what it asked for has to be answered first */
	bool authed;
	bool ended;   /* the client sends nothing more */
	bool closing; /* nothing more is taken from it */
};

/* ---- session.c ---- */
void session_open(struct service *service, int fd);
void session_close(struct session *session); /* at once */
void session_move_idle(struct service *service); /* which is leaving */
void session_put(struct session *session, const char *bytes, size_t len);
void session_dirty(struct session *session);
/* Returns whether there is something left that must be sent soon. */
bool session_flush_all(struct worker *worker);
/* The line has become shorter: what was held back may go on. */
void session_settle(struct session *session);

/* ---- query.c ---- */
struct query *query_create(struct session *session, const struct command *command);
/* Its reply is there; BYTES are copied. */
void query_reply(struct query *query, const char *bytes, size_t len);
void query_reply_bytes(struct query *query, struct bytes *bytes); /* and empties them */
void query_reply_string(struct query *query, const char *bytes);
void query_error(struct query *query, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Its session is gone. */
void query_orphan(struct query *query);
void query_store_free(struct worker *worker);

/* ---- command.c ---- */
/* Handles a request that has come whole. Returns false where the session is to be closed without a word. */
bool command_handle(struct session *session, struct words *words);
void command_init(void);

typedef void (*command_handler)(struct query *query, struct words *words);
struct command {
	const char *name;
	command_handler handle;
	int16_t min, max;  /* words that nutcracker wants; max 0: any number; min 0: it does not know it */
	uint8_t rule;      /* enum command_rule */
	uint16_t stat;     /* its number in the statistics */
};
extern struct command command_other;
size_t command_count(void);
const char *command_name(size_t stat);

/* ---- forward.c ---- */
void forward(struct query *query, struct words *words);
void forward_by(struct query *query, struct words *words, const char *key, size_t key_len);
void forward_result(struct query *query, const shard_result *result);

/* ---- time ---- */
uint64_t worker_now(struct worker *worker); /* us, of this tick */

#endif
