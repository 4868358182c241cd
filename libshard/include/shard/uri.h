/* SPDX-License-Identifier: MIT */
/*
 * Where the servers are: URIs, the environment, and the runtime directory.
 */
#ifndef SHARD_URI_H
#define SHARD_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>
#include <shard/topology.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum shard_scheme {
	SHARD_SCHEME_REDIS,    /* redis://[[user]:password@]host[:port][,host[:port]...][/db] */
	SHARD_SCHEME_REDISS,   /* the same over TLS */
	SHARD_SCHEME_UNIX,     /* unix:///path.sock */
	SHARD_SCHEME_TWEMPROXY /* twemproxy:FILE[#POOL] */
} shard_scheme;

typedef struct shard_endpoint {
	char *host; /* IPv6 without brackets; a path where port is 0 */
	uint16_t port;
} shard_endpoint;

typedef struct shard_uri {
	shard_scheme scheme;
	char *user;     /* NULL: none; percent-decoded */
	char *password; /* NULL: none */
	shard_endpoint *seed;
	size_t seed_count;
	int db;
	char *file; /* twemproxy: the path of nutcracker.yml */
	char *pool; /* twemproxy: NULL where not named */
} shard_uri;

#define SHARD_URI_DEFAULT "redis://127.0.0.1:6379"

/*
 * Parses a URI. User, password and paths are percent-decoded, IPv6 addresses
 * stand in brackets, '?' is reserved.
 * Out: *URI, for shard_uri_free(). On failure *WHY (WHY may be NULL) is
 * malloc'ed text that names the part that is wrong and holds no secret.
 * Returns SHARD_OK, SHARD_EURI or SHARD_ENOMEM.
 */
SHARD_API SHARD_MUST_CHECK int shard_uri_parse(const char *text, shard_uri **uri, char **why);
SHARD_API void shard_uri_free(shard_uri *uri); /* wipes the password; NULL is fine */

/* The URI without user and password, for messages and as a name of caches. malloc'ed; NULL when out of memory. */
SHARD_API SHARD_MUST_CHECK char *shard_uri_public(const shard_uri *uri);

/*
 * Splits "host:port", "[v6]:port", "v6:port" (at the last colon) or, where
 * DEFAULT_PORT is not 0, a host alone. An empty host is left empty.
 * Out: HOST (HOST_SIZE bytes with the NUL), *PORT (1..65535).
 * Returns whether TEXT was such.
 */
SHARD_API bool shard_split_addr(const char *text, size_t len, uint16_t default_port, char *host, size_t host_size,
				uint16_t *port);

/*
 * The URI to use where the command line names none: $SHARD_URI, else the
 * local cluster that the last `rcluster up` recorded in the runtime directory,
 * else SHARD_URI_DEFAULT. malloc'ed; NULL with errno set: ENOMEM, or EBADMSG
 * where there is a record ("local-cluster" in the runtime directory) that is
 * damaged or not ours alone.
 * *RECORDED (may be NULL): whether it is the recorded local cluster, so that a
 * caller who cannot reach it can say "start it with rcluster up".
 */
SHARD_API SHARD_MUST_CHECK char *shard_uri_choose(bool *recorded);

/*
 * The runtime directory: $XDG_RUNTIME_DIR/shard, else /tmp/shard-UID; made
 * with mode 0700 where CREATE; a directory that another user owns or may
 * write is refused. malloc'ed; NULL with errno set (EPERM: not ours).
 */
SHARD_API SHARD_MUST_CHECK char *shard_runtime_dir(bool create);

/*
 * The topology last seen under this URI, kept in the runtime directory in a
 * file named by a hash of the URI without its secrets. A cache: any failure
 * just means that there is none.
 * load: returns a topology with one reference, or NULL.
 * store: writes it whole or not at all (rename); returns whether it did.
 */
SHARD_API shard_topology *shard_topology_load(const shard_uri *uri);
SHARD_API bool shard_topology_store(const shard_uri *uri, const shard_topology *topology);

#ifdef __cplusplus
}
#endif
#endif
