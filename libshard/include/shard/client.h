/* SPDX-License-Identifier: MIT */
/*
 * The asynchronous client.
 *
 * Threads: a client belongs to one thread at a time; no call on it may run in
 * two threads at once. Any number of clients may live side by side, and may
 * share a topology. No call in this header blocks but shard_client_run().
 * After a fork() the child may only destroy a client that it inherited; every
 * other call answers SHARD_EFORK (the parent's client is not touched).
 *
 * The way of a request: shard_submit() copies it into the queue of its node.
 * A tick (shard_client_process() or shard_client_run()) reads what has come,
 * calls the callbacks, and then writes once to each node. So requests that are
 * submitted together travel together, to all nodes at once. Redirects (MOVED,
 * ASK, TRYAGAIN), a cluster that is down, nodes that load or fail over are
 * handled inside, up to the request's deadline. A request that was sent and
 * whose connection broke is sent again only where that is safe (read-only or
 * idempotent commands); else it ends in SHARD_EUNKNOWN.
 *
 * Every callback is called exactly once, from within a tick (or from
 * shard_client_destroy(), with SHARD_ECANCELED); never from within
 * shard_submit(). In a callback everything is allowed but to run or destroy
 * the client.
 */
#ifndef SHARD_CLIENT_H
#define SHARD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>
#include <shard/pool.h>
#include <shard/reply.h>
#include <shard/topology.h>
#include <shard/uri.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shard_client shard_client;
typedef struct shard_request shard_request;

/*
 * Maps an address that a node announced to the one to dial (NAT, port
 * forwarding). HOST has room for HOST_SIZE bytes; both may be changed in place.
 * Called for every address of a map and of a redirect, never for the seeds.
 */
typedef void (*shard_address_map)(void *ctx, char *host, size_t host_size, uint16_t *port);

typedef struct shard_options {
	const shard_uri *uri;        /* where to start; copied. Required, but with a pool. */
	const shard_pool *pool;      /* a pool of plain servers instead of a cluster (copied), or NULL: with a
	                                twemproxy: URI the file is read then. See below. */
	unsigned timeout_ms;         /* deadline of a request; default 5000; 0 with a pool: the pool's */
	unsigned connect_timeout_ms; /* one attempt to connect, with AUTH and SELECT; default 1000 */
	unsigned refresh_ms;         /* the slow refresh of the map; 0: only on events; default 60000 */
	unsigned pause_ms;           /* a node that owes answers and is silent this long makes the client look
	                                at the map; default 1000 */
	bool lazy;                   /* do not fetch the map first: ask a seed and follow MOVED (one-shot tools) */
	bool fair;                   /* every tick looks at all descriptors: watches and timers are not late, as they
	                                may be else (see shard_client_wait()) */
	bool any_server;             /* a pool with `distribution: random` is served, too: each request goes to a
	                                server of chance, whatever its keys */
	shard_topology *topology;    /* what to believe at first (a reference is taken), or NULL */
	shard_address_map address_map; /* or NULL */
	void *address_ctx;
} shard_options;

/* Fills in the defaults; set uri after it. */
SHARD_API void shard_options_init(shard_options *options);

/*
 * Makes a client. Nothing is dialled yet.
 *
 * Of a pool: keys go to the servers that twemproxy would choose (pool.h). The
 * pool says how many connections a server gets (the commands of one key share
 * one, so they stay in their order), its password and database (but for those
 * of the URI), and whether all are dialled at the first tick. Where its
 * auto_eject_hosts is set, a server whose connections failed
 * server_failure_limit times without an answer between is ejected: its keys
 * move to the others (or, with eject_keeps_ring, fail at once), also those of
 * requests that wait for it; after server_retry_timeout it is asked PING, and
 * comes back when it answers. A closed connection that nobody waited for is no
 * failure. A server that refuses connections makes its requests fail at once
 * (SHARD_ECONNECT), unless its ejection will move them.
 *
 * Returns SHARD_OK, SHARD_EINVAL, SHARD_ENOMEM, SHARD_EUNSUPPORTED (a scheme
 * that this build does not speak; a pool with `redis: false`, or with `distribution:
 * random` where any_server is not set), SHARD_EPOOL (of the file that the URI names: shard_pool_file_load()
 * tells why), or SHARD_ECONNECT (no descriptor is left: errno).
 */
SHARD_API SHARD_MUST_CHECK int shard_client_create(shard_client **client, const shard_options *options);

/*
 * Calls back every open request with SHARD_ECANCELED (SHARD_EUNKNOWN where it
 * had been sent and may change something), closes all, frees. What those
 * callbacks submit is refused with SHARD_ECANCELED. Watches and
 * timers of the caller's are to be removed before. NULL is fine. Not from a
 * callback.
 */
SHARD_API void shard_client_destroy(shard_client *client);

/* ---- results ---- */

typedef struct shard_result shard_result;
struct shard_result {
	int error;                /* enum shard_error */
	const shard_reply *reply; /* SHARD_OK: the answer; SHARD_ESERVER: the server's error; else NULL */
	const char *message;      /* SHARD_OK: ""; else one line for people: what, and the last cause */
	const char *node;         /* "host:port" of the node that answered or failed last; "" where none or many */
	int slot;                 /* the slot of its key, -1 where it has none or several */
	const shard_result *part; /* with SHARD_PARTS, SHARD_EACH_*: a result for each key or node; else NULL */
	size_t part_count;
};

/* RESULT and all that it points to are lent until the callback returns. */
typedef void (*shard_callback)(void *ctx, const shard_result *result);

/* ---- requests ---- */

enum shard_call_flag {
	SHARD_REPLICA = 1 << 0,     /* a replica may answer (the connection to it is READONLY); else a master */
	SHARD_PARTS = 1 << 1,       /* a split command: a result for each key (MSET: for each pair) in part[], in the
	                               caller's order; DEL, UNLINK, EXISTS, TOUCH then go out one key a command */
	SHARD_EACH_MASTER = 1 << 2, /* the command goes to every master, whatever its keys; part[] has a result each */
	SHARD_EACH_NODE = 1 << 3,   /* the same, to every node that is not known to have failed */
	SHARD_IDEMPOTENT = 1 << 4,  /* the caller vouches: may be sent again after an unknown outcome */
	SHARD_ONCE = 1 << 5,        /* no second try of any kind: a redirect or an error is the answer */
	SHARD_RETRY_NOREPLICAS = 1 << 6, /* NOREPLICAS is tried again up to the deadline, too */
	SHARD_NO_DEADLINE = 1 << 7, /* blocking commands that wait for ever by their caller's wish */
	SHARD_OWN_CONNECTION = 1 << 8, /* it waits behind nothing, and nothing behind it; never a replica's */
	SHARD_RAW = 1 << 9,         /* for who passes it on: what one server answers comes as it was sent
	                               (SHARD_REPLY_RAW), however it nests. Errors, and what is put together of
	                               several answers, come as ever. Not with a sink. */
	SHARD_ASKING = 1 << 10      /* with a node of the caller's choice: ASKING goes in front, so that a node which
	                               imports the slot of the key answers */
};

/*
 * An argument that is read from a file while it is sent: it takes no memory.
 * Read with pread() from the client's thread, and again where the command is
 * sent again, so the bytes must stay as they are until the callback. The
 * descriptor stays the caller's.
 */
typedef struct shard_body {
	int argument;    /* its place in argv, which holds an empty string there; behind the keys */
	int fd;          /* of a regular file */
	uint64_t offset; /* where the argument begins in it */
	size_t len;
} shard_body;

/*
 * Gets the bytes of a string while they come, in order; OFFSET 0 begins anew
 * (the command may be sent again), TOTAL is the length of the whole. BYTES are
 * lent until it returns. May call everything that a callback may.
 */
typedef void (*shard_sink)(void *ctx, size_t offset, const char *bytes, size_t len, size_t total);

typedef struct shard_call {
	unsigned flags;       /* enum shard_call_flag */
	unsigned timeout_ms;  /* 0: the client's. A blocking command's own time-out comes on top. */
	const char *key;      /* route by this key (scripts, modules), or NULL */
	size_t key_len;
	const char *node;     /* "host:port": that node and no other, no redirects; or NULL */
	/*
	 * For values too large to be kept: both imply SHARD_OWN_CONNECTION, and
	 * the deadline begins anew with each piece that travels. Not with
	 * commands that are split or go to several nodes (SHARD_EINVAL).
	 */
	const shard_body *body; /* or NULL; copied */
	shard_sink sink;        /* or NULL; the result's reply is then the length, an integer, instead of a string */
	void *sink_ctx;
} shard_call;

/*
 * Submits a command of ARGC words; ARGVLEN NULL means strings. Everything is
 * copied but the bytes of HOW's body. HOW NULL means the defaults.
 *
 * Routing: HOW's node or key; else the keys by the command table; a command
 * that the table does not have is asked about each time (COMMAND GETKEYS:
 * one more round trip, which HOW's key saves). MGET, MSET, DEL, UNLINK, EXISTS and TOUCH over several slots
 * are split, sent to all nodes at once and put together again (MSET is then
 * not atomic: SHARD_PARTS tells which keys failed; a write that was done in
 * part and could not be sent in part ends in SHARD_EUNKNOWN). Commands without keys go
 * where Redis 7's request_policy says and their replies are aggregated as
 * response_policy says; those without a policy go to one master.
 *
 * HANDLE (may be NULL): for shard_cancel(); valid until the callback.
 * Returns SHARD_OK: the callback will be called; else it will not: SHARD_EINVAL,
 * SHARD_ENOMEM, SHARD_ECROSSSLOT, SHARD_EUNSUPPORTED, SHARD_EFORK.
 */
SHARD_API SHARD_MUST_CHECK int shard_submit(shard_client *client, int argc, const char *const argv[],
					    const size_t argvlen[], const shard_call *how, shard_callback callback,
					    void *ctx, shard_request **handle);

typedef struct shard_args {
	int argc;
	const char *const *argv;
	const size_t *argvlen; /* NULL: strings */
} shard_args;

/*
 * Submits MULTI, the COUNT commands, EXEC as one block to the node of their
 * keys, which must all be in one slot (a block without keys: HOW->key or
 * HOW->node is needed). On a redirect the whole block is sent anew. The
 * answer is EXEC's: an array, or nil. An error while queueing is the
 * answer's error.
 * Returns as shard_submit() does.
 */
SHARD_API SHARD_MUST_CHECK int shard_submit_multi(shard_client *client, size_t count, const shard_args commands[],
						  const shard_call *how, shard_callback callback, void *ctx,
						  shard_request **handle);

/*
 * Gives a request up: its callback comes in the next tick with
 * SHARD_ECANCELED, or SHARD_EUNKNOWN where it had been sent and may change
 * something.
 */
SHARD_API void shard_cancel(shard_client *client, shard_request *request);

/* How many requests have been submitted and not yet called back. */
SHARD_API size_t shard_client_pending(const shard_client *client);

/* ---- the map ---- */

/* The map of now: lent until the next tick (take a reference to keep it). NULL while none is known. */
SHARD_API shard_topology *shard_client_topology(shard_client *client);

/*
 * The address of the node that a command of KEY goes to, by the map of now, or
 * of a pool by its ring. NULL: there is no map, or nobody has the key. Lent until the next tick.
 */
SHARD_API const char *shard_client_node_of(shard_client *client, const void *key, size_t len);

/* Whether one command may name both keys: they have one slot, or one server of a pool, or there is but one server. */
SHARD_API bool shard_client_together(shard_client *client, const void *key, size_t len, const void *other,
				     size_t other_len);

/*
 * "Refresh now": fetches the map; joins a fetch that is under way. The
 * result's reply is NULL; SHARD_OK means that shard_client_topology() is new.
 * CALLBACK may be NULL.
 */
SHARD_API SHARD_MUST_CHECK int shard_refresh(shard_client *client, shard_callback callback, void *ctx);

/* Called at the end of a tick in which the client's map changed (a refresh, MOVEDs); one watcher, NULL to end it. */
SHARD_API void shard_client_on_topology(shard_client *client, void (*callback)(void *ctx, shard_topology *topology),
					void *ctx);

/* What has become of a server so far, and what it owes now. Counters begin with the client. */
typedef struct shard_node_state {
	const char *addr;        /* as in a result; lent until the callback returns */
	unsigned connections;    /* that are up */
	bool ejected;            /* of a pool */
	uint64_t ejected_at;     /* us since the epoch, the last time; 0: never */
	uint64_t ejections;
	uint64_t closed;         /* connections that the server closed, ... */
	uint64_t errors;         /* ... that failed or could not be had, ... */
	uint64_t late;           /* ... on which no answer came in time */
	uint64_t requests;       /* that were put in its queue, and their bytes */
	uint64_t request_bytes;
	size_t queued, queued_bytes; /* not written yet */
	size_t sent, sent_bytes;     /* written and not answered */
} shard_node_state;

/* Calls back for every server that is known, in no order; seeds of a cluster are among them. */
SHARD_API void shard_client_each_node(shard_client *client,
				      void (*callback)(void *ctx, const shard_node_state *state), void *ctx);

/* ---- the loop ---- */

/*
 * Embedding: watch this one descriptor for reading, and call
 * shard_client_process() when it is readable. Timers and requests that were
 * submitted since the last tick make it readable too. Owned by the client.
 * Returns -1 where a timer descriptor cannot be made.
 */
SHARD_API int shard_client_fd(shard_client *client);

/* One tick; does not wait. Returns SHARD_OK or SHARD_EFORK. */
SHARD_API int shard_client_process(shard_client *client);

/*
 * Ticks until a callback, watch or timer calls shard_client_stop(), or no
 * request is pending and no watch or timer is left. Blocks.
 * Returns SHARD_OK or SHARD_EFORK.
 */
SHARD_API int shard_client_run(shard_client *client);
SHARD_API void shard_client_stop(shard_client *client);

/*
 * One tick that waits at most TIMEOUT_MS for something to happen (negative:
 * until something does). Blocks that long. Where all that is pending is on one
 * connection whose answers come at once, that alone is looked at, for a few
 * milliseconds; watches and timers are then late by so much.
 */
SHARD_API int shard_client_wait(shard_client *client, int timeout_ms);

typedef struct shard_watch shard_watch;
typedef struct shard_timer shard_timer;

/*
 * Another descriptor in the client's loop: CALLBACK is called in a tick with
 * EVENTS (EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP of <sys/epoll.h>), level
 * triggered. EVENTS 0 keeps it registered and quiet. The descriptor stays the
 * caller's. NULL when out of memory or refused by epoll (errno).
 */
SHARD_API shard_watch *shard_watch_add(shard_client *client, int fd, uint32_t events,
				       void (*callback)(void *ctx, uint32_t events), void *ctx);
SHARD_API int shard_watch_set(shard_watch *watch, uint32_t events); /* 0, or -1 with errno */
SHARD_API void shard_watch_remove(shard_watch *watch);              /* frees it; NULL is fine */

/* Calls back once in MS milliseconds (to about 4 ms); the timer is freed before its callback. NULL: no memory. */
SHARD_API shard_timer *shard_timer_add(shard_client *client, unsigned ms, void (*callback)(void *ctx), void *ctx);
SHARD_API void shard_timer_cancel(shard_timer *timer); /* NULL is fine */

/* ---- listing ---- */

typedef struct shard_scan shard_scan;

typedef struct shard_scan_options {
	const char *match; /* a glob pattern as SCAN MATCH takes it, or NULL: all */
	size_t match_len;
	unsigned count;  /* keys that one SCAN asks for; 0: 1000 */
	bool duplicates; /* true: where SCAN is used keys may come more than once, no memory is spent on knowing */
	bool ordered;    /* true: in a cluster keys come in the order of their places; see shard_place() */
} shard_scan_options;

typedef struct shard_scan_batch {
	int error;            /* SHARD_OK, or why the listing ended early */
	const char *message;  /* for people; with SHARD_ESERVER the server's own words */
	bool done;            /* nothing comes after this batch */
	const char *node;     /* the node that owns these keys; "" at the end */
	const shard_reply *keys; /* keys[0..count-1], strings; lent until the callback returns */
	size_t count;
	const uint64_t *place; /* ordered: their places, none less than one before; NULL: these keys have none */
} shard_scan_batch;

typedef void (*shard_scan_callback)(void *ctx, const shard_scan_batch *batch);

/*
 * The keys of all masters (or the one server) as one iterator, all nodes at
 * once. Every key that is there all the time comes exactly once, also while
 * slots move and nodes fail over.
 *
 * A cluster is listed slot by slot (CLUSTER GETKEYSINSLOT), some slots ahead
 * of the caller, in constant memory (about 2 MB); a pattern is matched here.
 * Slots of more than 16384 keys come at the end, by SCAN, as do all keys of a
 * server without slots or of nodes that refuse the command: there
 * duplicates are dropped by a set of 64-bit hashes (about 16 bytes a key while
 * the scan lives), the servers match the pattern, and the scan fetches at
 * most one batch a node ahead, so a caller who does not ask holds it back.
 * Keys that have expired and that the server has not removed yet may come.
 *
 * HOW may be NULL. NULL is returned when out of memory.
 */
SHARD_API SHARD_MUST_CHECK shard_scan *shard_scan_create(shard_client *client, const shard_scan_options *how);

/*
 * Asks for the next batch; CALLBACK is called once, in a tick. May be called
 * from that callback. SHARD_EINVAL while one is outstanding or after the end.
 */
SHARD_API SHARD_MUST_CHECK int shard_scan_next(shard_scan *scan, shard_scan_callback callback, void *ctx);

/*
 * A key's place in every ordered listing of a cluster: less than 1 << 62, a
 * permutation of its slot above 48 bits of its XXH3_64. Two keys may have the
 * same place; they come in one batch, then, in the order of their bytes.
 */
SHARD_API uint64_t shard_place(const void *key, size_t len);

/*
 * Lets an ordered listing go on with the keys from PLACE on, and with those
 * that have no place. 0 begins anew; so does, on a server without slots, any
 * PLACE. SHARD_EINVAL while a batch is outstanding, after an error, and for a
 * listing that is not ordered.
 */
SHARD_API SHARD_MUST_CHECK int shard_scan_seek(shard_scan *scan, uint64_t place);

/* Ends a scan at any time, in its callback too; no callback comes after it. NULL is fine. */
SHARD_API void shard_scan_destroy(shard_scan *scan);

#ifdef __cplusplus
}
#endif
#endif
