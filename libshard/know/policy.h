/* SPDX-License-Identifier: MIT */
/*
 * The request policy: what to do after an error reply or a failure. A pure
 * function; everything that sends requests asks it, tests drive it with
 * scripted events. The rules' numbers are those of the Redis Cluster client
 * rules: 1 MOVED, 2 ASK, 3 TRYAGAIN, 4 CLUSTERDOWN, 5 LOADING and MASTERDOWN,
 * 6 READONLY, 7 the caller's, 8 broken connections, 11 budgets.
 */
#ifndef SHARD_KNOW_POLICY_H
#define SHARD_KNOW_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>

enum {
	POLICY_REDIRECTS = 5, /* without a pause between them */
	POLICY_PING_PONG = 3, /* of them between the same two nodes */
	POLICY_READONLY_TRIES = 5, /* with long pauses: longer than a refresh takes */
	POLICY_PAUSE_MIN = 10, /* ms */
	POLICY_PAUSE_MAX = 320
};

enum policy_redirect_kind { REDIRECT_NONE, REDIRECT_MOVED, REDIRECT_ASK, REDIRECT_PLAIN };

struct policy_redirect {
	enum policy_redirect_kind kind;
	unsigned slot;
	uint16_t port;
	char host[256]; /* "": the host that sent it */
};

/*
 * Parses "MOVED slot host:port", "ASK slot host:port" and "REDIRECT host:port".
 * Anything that is not exactly that, or is out of range, is REDIRECT_NONE.
 */
void policy_parse_redirect(const char *text, size_t len, struct policy_redirect *redirect);

enum policy_event_kind {
	EVENT_ERROR_REPLY,  /* text, len: the server's error */
	EVENT_CONNECT,      /* no connection: refused, timed out, closed while greeting */
	EVENT_RESOLVE,      /* no address for the host's name */
	EVENT_AUTH,         /* AUTH or SELECT was refused */
	EVENT_LOST_UNSENT,  /* the connection broke before the request was written */
	EVENT_LOST_SENT,    /* it broke, or went silent, after that */
	EVENT_NO_OWNER      /* the map has nobody for the slot */
};

struct policy_event {
	enum policy_event_kind kind;
	const char *text;
	size_t len;
	bool same_address; /* a redirect names the very node that sent it */
	bool ping_pong;    /* a redirect names the node that was asked before this one */
};

/* What is known of the request. The policy counts in it. */
struct policy_request {
	bool safe;         /* may be executed twice */
	bool once;         /* SHARD_ONCE or a fixed node: no second try */
	bool splittable;   /* several keys in one slot, of a command that may be split */
	bool on_replica;   /* it was asked of a replica, by the caller's leave */
	bool single;       /* one server, no cluster */
	bool credentials;  /* there is something to authenticate with */
	bool retry_noreplicas;
	uint8_t redirects;  /* since the last pause */
	uint8_t ping_pongs; /* of them, back to where it came from */
	uint8_t pauses;     /* in a row: the exponent of the next one */
	uint8_t readonly;
	uint8_t reauths;
};

enum policy_verdict {
	VERDICT_DONE,       /* the reply is the caller's */
	VERDICT_REDIRECT,   /* send to the redirect's node at once */
	VERDICT_ASK,        /* the same, with ASKING in front */
	VERDICT_MASTER,     /* route anew, to the master */
	VERDICT_PAUSE,      /* wait pause_ms, then route anew */
	VERDICT_SPLIT,      /* one key at a time */
	VERDICT_RECONNECT,  /* a fresh connection to the same node (name resolved, authenticated anew) */
	VERDICT_FAIL        /* give up with `error` */
};

enum policy_refresh { REFRESH_NO, REFRESH_SOON, REFRESH_NOW };

struct policy_decision {
	enum policy_verdict verdict;
	enum policy_refresh refresh;
	struct policy_redirect redirect; /* kind MOVED: patch the map, whatever the verdict */
	bool down; /* the node says that the cluster is: what is sent to it is refused until that has ended */
	unsigned pause_ms;
	int error;
};

/* RANDOM: any 32 random bits; the pauses' jitter. */
void policy_decide(struct policy_request *request, const struct policy_event *event, uint32_t random,
		   struct policy_decision *decision);

/* A pause with jitter: between half and all of 10, 20, ... 320 ms. */
unsigned policy_pause(unsigned tries, uint32_t random);

#endif
