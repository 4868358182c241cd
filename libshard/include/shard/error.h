/* SPDX-License-Identifier: MIT */
/*
 * Errors. One enum for the whole library; every front end maps it once at its
 * edge (errno, exit status, wire).
 */
#ifndef SHARD_ERROR_H
#define SHARD_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SHARD_API __attribute__((visibility("default")))
#define SHARD_MUST_CHECK __attribute__((warn_unused_result))
#else
#define SHARD_API
#define SHARD_MUST_CHECK
#endif

enum shard_error {
	SHARD_OK = 0,
	/* The caller's side: nothing was sent. */
	SHARD_ENOMEM,       /* out of memory */
	SHARD_EINVAL,       /* an argument is out of its range */
	SHARD_EURI,         /* the URI cannot be parsed */
	SHARD_EUNSUPPORTED, /* a command that a shared connection cannot carry (SELECT, SUBSCRIBE, ...) */
	SHARD_ECROSSSLOT,   /* keys of several slots (of a pool: servers) in a command that cannot be split */
	SHARD_EFORK,        /* the client was made before a fork; make a new one in the child */
	SHARD_ECANCELED,    /* shard_cancel(), or the client was destroyed */
	/* The way there: nothing was executed. */
	SHARD_ERESOLVE, /* a host name cannot be resolved */
	SHARD_ECONNECT, /* no connection before the deadline */
	SHARD_EAUTH,    /* AUTH or SELECT was refused when connecting */
	SHARD_ENOROUTE, /* the slot has no owner, or the cluster is down, up to the deadline */
	/* After sending. */
	SHARD_ETIMEDOUT, /* the deadline passed; nothing was changed by this request */
	SHARD_EUNKNOWN,  /* sent, no answer came: it may or may not have been executed */
	SHARD_ESERVER,   /* the server answered with an error: see the reply */
	SHARD_EPROTOCOL, /* the server sent what is not RESP2 (or nests deeper than hiredis reads) */
	/* Of the caller's side again. */
	SHARD_EPOOL, /* the file of a pool cannot be read, or is wrong, or has no such pool */
	SHARD_ERROR_COUNT
};

/* A short lower-case English phrase for an error code; never NULL. Static storage. */
SHARD_API const char *shard_strerror(int error);

#ifdef __cplusplus
}
#endif
#endif
