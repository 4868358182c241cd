/* SPDX-License-Identifier: MIT */
/*
 * The client's own structures, shared by the files of this folder:
 *
 *   client.c     making, running, ending a client; watches and timers
 *   node.c       nodes and their connections
 *   request.c    a request's way: route, queue, reply, policy, end
 *   submit.c     commands to requests: keys, slots, where to
 *   group.c      one call that becomes several requests
 *   aggregate.c  many replies to one
 *   multi.c      MULTI ... EXEC blocks
 *   map.c        the topology: fetching, patching, waking who waits for it
 *   pool.c       a pool of plain servers instead of a cluster
 *   tracking.c   hearing of changes
 *   scan.c       listing; with it scan_slot.c, scan_node.c, seen.c
 *   sync.c       blocking calls
 */
#ifndef SHARD_CLIENT_INTERNAL_H
#define SHARD_CLIENT_INTERNAL_H

#include <shard/client.h>
#include <shard/command.h>

#include "base/list.h"
#include "io/conn.h"
#include "io/loop.h"
#include "know/policy.h"
#include "know/topology.h"

struct client_node;
struct group;
struct multi;
struct pool;

/* Which of a node's connections a request takes. */
enum lane {
	LANE_DATA,    /* the shared one */
	LANE_REPLICA, /* shared, READONLY */
	LANE_OWN      /* one of its own: blocking commands */
};

enum request_state {
	STATE_NEW,
	STATE_CONN,    /* in a connection's queue, or sent */
	STATE_PAUSED,  /* in client->waiting, its timer wakes it */
	STATE_MAP,     /* in client->map_waiting */
	STATE_LOOKUP,  /* its keys are being asked for (COMMAND GETKEYS); `owed` means the answer */
	STATE_ENDED,   /* given up; in client->ended until the tick calls it back */
	STATE_DEAD     /* called back; a connection still owes its reply */
};

/* Private flags, above those of enum shard_call_flag. */
enum {
	REQ_INTERNAL = 1 << 16, /* not the caller's: not counted */
	REQ_FIXED = 1 << 17,    /* to `node` and no other */
	REQ_NEEDS_MAP = 1 << 18, /* may not be sent to a seed on the off chance */
	REQ_READONLY = 1 << 19,  /* changes nothing */
	REQ_DOWN = 1 << 20       /* its node said that the cluster is down */
};

struct stream {
	struct conn_stream conn;
	shard_sink sink; /* or NULL */
	void *sink_ctx;
	unsigned timeout_ms; /* between two pieces; 0: for ever */
};

struct shard_request {
	struct conn_item item; /* first */
	struct timer timer;    /* the deadline, or the end of a pause if that comes first */
	struct list end_link;  /* in client->ended */
	uint64_t deadline;     /* ms; UINT64_MAX: none */
	shard_client *client;
	shard_callback callback;
	void *ctx;
	struct client_node *node; /* where it is, or was last */
	struct conn *conn;        /* STATE_CONN only */
	struct group *group;      /* NULL, or whose part it is; or, with is_group, which it stands for */
	struct multi *multi;      /* NULL, or what is known of its block */
	struct stream *stream;    /* NULL, or what of it travels in pieces */
	char *cause;              /* malloc'ed: what went wrong last; or NULL */
	uint32_t flags;
	uint32_t came_from;    /* serial of the node that was asked before this one, 0: none */
	uint32_t replies;      /* per try */
	uint64_t hash;         /* of its key, where there is a pool */
	int32_t slot;          /* of a pool: the number of its server; -1: none */
	uint8_t state;
	uint8_t lane;
	uint8_t size_class;
	uint8_t end_error;     /* STATE_ENDED */
	uint8_t cause_error;   /* what a deadline is reported as, by its cause; 0: SHARD_ETIMEDOUT */
	bool is_group;
	bool owed;             /* ended, and still in its connection's `sent` */
	bool executed_maybe;   /* a try was sent and its outcome is not known */
	struct policy_request policy;
	/* the bytes to send follow */
};

struct client_node {
	struct list grave; /* first: loop_bury() */
	struct client_node *hash_next;
	struct list all; /* in client->nodes */
	shard_client *client;
	uint32_t serial;
	uint32_t refs;     /* requests and others that name it */
	uint16_t port;
	bool in_map;
	bool seed;
	bool greeted;      /* a connection of it was up once */
	bool refused;      /* nobody listened there the last time, or the name has no address */
	bool sick;         /* cannot be reached, or is silent */
	bool ejected;      /* of a pool: gets nothing for a while */
	unsigned failed_in_row; /* of a pool: connections, since the last answer */
	uint64_t ejected_at;    /* us since the epoch, the last time; 0: never */
	uint64_t requests, request_bytes, closed, errors, late, ejections; /* for shard_client_each_node() */
	uint64_t no_reads_until; /* as a replica: it refused READONLY */
	uint8_t failures;
	uint32_t asked; /* the refresh that asked it last */
	uint64_t retry_at; /* no attempt to connect before */
	uint64_t used_at;  /* when a request was sent last */
	struct timer probe;
	struct client_node *probed_for; /* the master for which this one is being asked for its ROLE; or NULL */
	struct conn *data, *replica, *idle; /* idle: a LANE_OWN connection to use again */
	struct conn **spread; /* where a server gets several connections: those beside `data`; or NULL */
	struct list conns;                  /* all, the retired ones too */
	char *why; /* malloc'ed: "addr: why" of the last failure to connect, or NULL */
	char *addr;
	char host[];
};

#define NODE_BUCKETS 256
#define SIZE_CLASSES 3

/* The last plain command: programs say the same word a million times. */
struct command_memo {
	const shard_command *command; /* NULL: none */
	int argc;
	unsigned name_len;
	char name[16];   /* as it was written */
	unsigned len;
	char prefix[32]; /* "*2\r\n$3\r\nGET\r\n" */
};

struct map_patch {
	uint64_t seq;
	unsigned slot;
	struct client_node *node;
};

struct map_waiter {
	struct list link;
	struct timer timer;
	shard_client *client;
	shard_callback callback;
	void *ctx;
};

struct shard_client {
	struct loop loop;
	unsigned fork_generation;
	bool stopped;
	bool embedded;
	bool destroying;
	uint64_t random;

	unsigned timeout_ms; /* 0, of a pool: none */
	unsigned connect_timeout_ms, refresh_ms, pause_ms;
	unsigned connections; /* that a server gets for its data */
	bool lazy, fair;
	shard_address_map address_map;
	void *address_ctx;
	char *greeting, *greeting_replica;
	size_t greeting_len, greeting_replica_len;
	unsigned greeting_replies, greeting_replica_replies;

	struct list nodes;
	struct client_node *bucket[NODE_BUCKETS];
	uint32_t next_serial;
	struct client_node **seeds;
	size_t seed_count, seed_at;
	bool ever_up;

	struct pool *pool; /* NULL: a cluster, or a single server */
	shard_topology *topology;
	const uint16_t *owners;       /* of topology */
	struct client_node **node_of; /* a topology's index to a node */
	size_t node_of_count;
	bool single;
	bool drawn; /* the map was drawn by redirects alone: most of it is missing */

	/* the refresh */
	bool refreshing;
	bool refresh_again;
	uint64_t refresh_started;  /* ms, the last one */
	uint64_t refresh_seq;      /* map_seq when the one under way asked */
	uint64_t map_seq;          /* counts patches */
	size_t refresh_tries, refresh_refused, refresh_unnamed;
	uint32_t refresh_round;
	unsigned refresh_failures; /* in a row */
	bool refresh_denied;               /* the map may not be asked for */
	struct client_node *refresh_asked; /* who is being asked */
	char *refresh_why;
	struct timer refresh_timer; /* when to begin */
	struct client_node *promoted; /* who is being asked because it says that it is a master now; or NULL */
	uint64_t promoted_at, promoted_seq;
	uint64_t newest_seq; /* what was asked for before this is older than the map of now */
	struct list refresh_waiters;
	struct map_patch *patch;
	size_t patch_count, patch_room;
	void (*on_topology)(void *ctx, shard_topology *topology);
	void *on_topology_ctx;
	bool map_changed; /* on_topology is to be called */

	struct list waiting;     /* paused requests */
	struct list map_waiting; /* requests that want the first map */
	struct list group_waiting;
	struct list ended;
	struct list dirty;       /* connections with something to write */
	struct conn *flushed;    /* the one that was written last; or NULL */
	unsigned awaited;        /* ticks in a row that looked at one connection only */
	struct list scans;
	struct shard_tracking *tracking; /* or NULL */
	struct timer silence_timer;
	size_t pending;
	unsigned watches;

	struct command_memo memo;

	struct shard_request *free[SIZE_CLASSES]; /* linked by `ctx` */
	size_t free_count[SIZE_CLASSES];
};

/* ---- client.c ---- */
uint32_t client_random(shard_client *client);
extern unsigned fork_generation;
static inline bool client_forked(const shard_client *client)
{
	return client->fork_generation != fork_generation;
}
int client_refusal(const shard_client *client); /* why a client takes nothing more, once client_forked() */
void client_tell(shard_client *client);
/* Something was submitted: who waits elsewhere, in an embedder's loop or a thread of its own, must hear of it. */
static inline void client_touched(shard_client *client)
{
	if (client->embedded || client->loop.left)
		client_tell(client);
}

/* ---- node.c ---- */
struct client_node *node_get(shard_client *client, const char *host, uint16_t port); /* NULL: no memory */
struct client_node *node_find(shard_client *client, const char *host, uint16_t port);
struct client_node *node_by_addr(shard_client *client, const char *addr); /* "host:port"; NULL: is none */
/* The node that FROM's redirect names, by the caller's map of addresses; NULL: no memory. */
struct client_node *node_by_redirect(struct client_node *from, struct policy_redirect *redirect);
static inline void node_ref(struct client_node *node)
{
	node->refs++;
}
static inline void node_unref(struct client_node *node) /* NULL is fine */
{
	if (node)
		node->refs--;
}
void node_destroy_all(shard_client *client);
/* Takes REQ, which was given up, off its connection. */
void node_give_up(struct shard_request *req);
/* Puts REQ in the queue of the node's connection, which is dialled where need be. */
void node_send(struct client_node *node, struct shard_request *req);
/* No new request takes CONN; it closes when its last reply has come. */
void node_retire(struct client_node *node, struct conn *conn);
/* CONN has something to write, at the end of the tick. */
void client_dirty(shard_client *client, struct conn *conn);
void client_destroy_conn(shard_client *client, struct conn *conn);
void node_flush(shard_client *client);
bool node_await(shard_client *client);
void node_check_silence(shard_client *client);
/* Opens all connections that the node is to have. */
void node_dial(struct client_node *node);
/* The map is new: silent nodes that lost their slots are given up. */
void node_map_changed(shard_client *client);

/* ---- probe.c ---- */
void probe_init(struct client_node *node);
/* Somebody waits for NODE, which is sick, or says that the cluster is down. */
void probe_soon(struct client_node *node);

/* ---- request.c ---- */
struct shard_request *request_create(shard_client *client, size_t len); /* STATE_NEW, bytes to be written */
static inline char *request_bytes(struct shard_request *req)
{
	return (char *)(req + 1);
}
void request_free(struct shard_request *req);
void request_expired(struct timer *timer); /* its own */
/* What the flags and the command line say of it: may it be sent again, may a replica answer, ... */
void request_traits(struct shard_request *req, uint32_t flags, const shard_command *command, int argc,
		    const char *const argv[], const size_t argvlen[]);
/* Starts its deadline and sends it on its way. */
void request_start(struct shard_request *req, unsigned timeout_ms);
void request_route(struct shard_request *req);
void request_reply(struct shard_request *req, struct conn *conn, const shard_reply *reply);
/* A piece of its stream has travelled. */
void request_went_on(struct shard_request *req);
void request_event(struct shard_request *req, enum policy_event_kind kind, const char *why);
void request_fail(struct shard_request *req, int error, const char *why);
void request_done(struct shard_request *req, int error, const shard_reply *reply, const char *message);
/* Sends on who waited for a map; and of who pauses, those of SLOT, or (-1) those whose owner is another than in BEFORE. */
void request_wake(shard_client *client, const shard_topology *before, int slot);
void request_wake_waiting(shard_client *client); /* the former alone */
/* Sends on one of those that pause because NODE said that the cluster is down. Returns whether there was any. */
bool request_try_down(struct client_node *node);
/* The pool's ring is another: sends on those who pause and whose server has changed. */
void request_wake_moved(shard_client *client);
/* What to report at the deadline, should nothing else happen. */
void request_cause(struct shard_request *req, int error, const char *why);
void request_fail_all_waiting(shard_client *client, int error, const char *why);
void request_call_ended(shard_client *client);

/* ---- submit.c ---- */
/*
 * An internal command to a fixed node, or, NODE NULL, to any one. Answers once whatever happens, from a tick.
 * Returns SHARD_OK or SHARD_ENOMEM.
 */
int submit_internal(shard_client *client, struct client_node *node, unsigned timeout_ms, shard_callback callback,
		    void *ctx, int argc, const char *const argv[], const size_t argvlen[]);
struct client_node *node_any_master(shard_client *client);
/* TIMEOUT ms, and the BLOCKS ms that the server may take besides. */
static inline unsigned timeout_with_block(unsigned timeout, long long blocks)
{
	return blocks < (long long)(UINT32_MAX - timeout) ? timeout + (unsigned)blocks : UINT32_MAX;
}

/* ---- group.c ---- */
int group_split(shard_client *client, const shard_command *command, const shard_key_range *range, int argc,
		const char *const argv[], const size_t argvlen[], const shard_call *how, shard_callback callback,
		void *ctx, shard_request **handle);
int group_each(shard_client *client, const shard_command *command, bool all_nodes, bool aggregate, int argc,
	       const char *const argv[], const size_t argvlen[], const shard_call *how, shard_callback callback,
	       void *ctx, shard_request **handle);
/* A child asks to be sent one key at a time (TRYAGAIN). Takes REQ. */
void group_resplit(struct shard_request *req);
void group_free(struct group *group);
void group_map_known(shard_client *client);
void group_cancel(struct shard_request *handle);
void group_fail_waiting(shard_client *client, int error, const char *why);

/* ---- multi.c ---- */
/* A reply that is not the block's last. */
void multi_queued(struct shard_request *req, const shard_reply *reply);
/* What stands for the block's outcome: EXEC's reply, or the error that spoilt it. */
const shard_reply *multi_outcome(struct shard_request *req, const shard_reply *exec);
void multi_reset(struct shard_request *req);
void multi_free(struct multi *multi);

/* ---- map.c ---- */
void map_refresh(shard_client *client, enum policy_refresh when); /* asks for one */
/* NODE says that it is a master now: its map is asked for at once, whoever else is being asked. */
void map_promoted(shard_client *client, struct client_node *node);
void map_moved(shard_client *client, unsigned slot, struct client_node *node);
bool map_install(shard_client *client, shard_topology *topology, uint64_t seq); /* takes the reference */
void map_init(shard_client *client);
void map_tell(shard_client *client); /* the caller's on_topology, at the end of a tick */
void map_finish(shard_client *client);
void map_wanted(shard_client *client); /* somebody waits for the first map */
static inline bool map_known(const shard_client *client)
{
	return client->topology && !client->drawn;
}
/* The node that owns SLOT by the map of now, or NULL. */
static inline struct client_node *map_owner(shard_client *client, int slot)
{
	uint16_t owner = client->owners[slot];

	return owner < client->node_of_count ? client->node_of[owner] : NULL;
}
struct client_node *map_replica(shard_client *client, int slot); /* a random healthy one, or NULL */

/* ---- pool.c ---- */
/* Where a key belongs: its slot; of a pool the server's number, and the hash that tells it anew when the ring changes. */
struct place {
	int slot;
	uint64_t hash;
};

int pool_create(shard_client *client, const shard_pool *from); /* sets client->pool, on failure too; it is copied */
void pool_free(struct pool *pool);
struct place pool_place(const struct pool *pool, const char *key, size_t len);
int pool_index(const struct pool *pool, uint64_t hash); /* -1: all servers are ejected */
struct client_node *pool_node(const struct pool *pool, int index);
/* A connection that somebody waited for is gone, or none could be had. */
void pool_failed(struct client_node *node);
void pool_probe(struct client_node *node);
unsigned pool_turn(const struct pool *pool); /* counts rings */
/* Whether the keys of a node that fails will be another's. */
bool pool_will_move(const struct client_node *node);

static inline struct place client_place(const shard_client *client, const char *key, size_t len)
{
	if (client->pool)
		return pool_place(client->pool, key, len);
	return (struct place){.slot = (int)shard_slot(key, len)};
}

/* What a caller is told of it. */
static inline int client_slot(const shard_client *client, int slot)
{
	return client->pool ? -1 : slot;
}

/* Whether its keys are in slots that the server can list. */
static inline bool client_has_slots(const shard_client *client)
{
	return !client->single && !client->pool;
}

/* ---- tracking.c ---- */
void tracking_tell(shard_client *client); /* the caller's `lost`, at the end of a tick */
void tracking_map_changed(shard_client *client, int slot); /* -1: all may have changed */
void tracking_ring_changed(shard_client *client);

/* ---- scan.c ---- */
void scan_cancel_all(shard_client *client);

#endif
