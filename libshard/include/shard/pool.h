/* SPDX-License-Identifier: MIT */
/*
 * Pools of plain servers, as twemproxy's nutcracker.yml describes them.
 *
 * Nothing here talks to a server; files are read, nothing else blocks. What a
 * file holds does not change once it is loaded: any number of threads may use it.
 */
#ifndef SHARD_POOL_H
#define SHARD_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>
#include <shard/ring.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shard_pool_server {
	const char *host; /* IPv6 without brackets; the path of a unix socket where port is 0 */
	uint16_t port;
	unsigned weight;  /* at least 1 */
	const char *name; /* what its points are made from: the name that the file gives, else host:port as the
	                     file writes it, or the host alone where the port is 11211, or "/path:" */
	const char *addr; /* "host:port", "[v6]:port" or the path: for people, and as a shard_call's node */
	unsigned line;    /* of the file, from 1 */
} shard_pool_server;

typedef struct shard_pool {
	const char *name;
	unsigned line;               /* of the file, from 1 */
	const char *listen;          /* as written, without the mode of a unix socket */
	const char *listen_host;     /* or the path, where listen_port is 0 */
	uint16_t listen_port;
	unsigned listen_mode;        /* of a unix socket; 0: none was given */
	int hash;                    /* enum shard_hash_kind; default SHARD_HASH_FNV1A_64 */
	char hash_tag[2];            /* both NUL: off, the default */
	int distribution;            /* enum shard_distribution; default SHARD_KETAMA */
	unsigned timeout_ms;         /* default 5000 (nutcracker's is none); 0, where the file says so: none */
	int backlog;                 /* default 512 */
	unsigned client_connections; /* 0: no limit, the default */
	bool redis;                  /* default false: memcached */
	char *redis_auth;            /* NULL: none; wiped with the file */
	char *redis_user;            /* ours: whose password it is; NULL: the default user's */
	int redis_db;                /* default 0 */
	bool preconnect;             /* these four: default false */
	bool auto_eject_hosts;
	bool tcpkeepalive;
	bool reuseport;
	bool eject_keeps_ring;          /* ours; default false: keys of an ejected server fail instead of moving */
	bool cluster;                   /* ours; default false: the servers are nodes of a Redis Cluster, where to look for
	                                   its map; hash, distribution, weights, ejection say nothing then */
	bool strict;                    /* ours; default false: rproxy closes and answers where nutcracker does */
	unsigned server_connections;    /* default 1 */
	unsigned server_retry_timeout;  /* ms; default 30000 */
	unsigned server_failure_limit;  /* default 2 */
	const shard_pool_server *server; /* in the order of the file */
	size_t server_count;
} shard_pool;

typedef struct shard_pool_file {
	const char *path; /* as it was given */
	const shard_pool *pool;
	size_t pool_count;
} shard_pool_file;

/*
 * Reads a nutcracker.yml: all that nutcracker 0.5.0 takes, and of our own
 * `hash: xxh3`, `distribution: jump` and `rendezvous`, `eject_keeps_ring`,
 * `cluster`, `strict`, `redis_user`.
 * Parsed by libyaml, which is loaded when the first file is.
 *
 * Out: *FILE, for shard_pool_file_free(). On failure *WHY (WHY may be NULL) is
 * malloc'ed text of one line for each mistake, all of them, the last line
 * without its newline: "PATH:LINE: pool 'NAME': what is wrong, and what is
 * allowed" in nutcracker's words where it has some. It shows no password.
 * Returns SHARD_OK, SHARD_EPOOL (the file cannot be read, or is wrong) or
 * SHARD_ENOMEM.
 */
SHARD_API SHARD_MUST_CHECK int shard_pool_file_load(const char *path, shard_pool_file **file, char **why);

/* The same of LEN bytes of TEXT; PATH is for messages. */
SHARD_API SHARD_MUST_CHECK int shard_pool_file_parse(const char *path, const char *text, size_t len,
						     shard_pool_file **file, char **why);
SHARD_API void shard_pool_file_free(shard_pool_file *file); /* NULL is fine */

/*
 * The pool of this NAME, or, NAME NULL, the only one. NULL: there is none, or
 * several and none named; *WHY (WHY may be NULL) is malloc'ed text that names those there are.
 */
SHARD_API const shard_pool *shard_pool_find(const shard_pool_file *file, const char *name, char **why);

/*
 * The ring of a pool; its servers are numbered as in POOL. EJECTED (or NULL)
 * has a flag for each. As shard_ring_create(), whose caller frees it.
 */
SHARD_API SHARD_MUST_CHECK int shard_pool_ring(const shard_pool *pool, const bool *ejected, shard_ring **ring);

#ifdef __cplusplus
}
#endif
#endif
