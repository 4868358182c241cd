/* SPDX-License-Identifier: MIT */
/*
 * Where the servers are, as all commands take it: -u/--uri, --timeout,
 * --password-file, the environment, the recorded local cluster; and a client
 * made from it.
 */
#ifndef CONNECT_H
#define CONNECT_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>
#include <shard/pool.h>
#include <shard/uri.h>

struct cli_connect {
	/* From the command line; all zero at first. */
	char *uri_text;            /* NULL: chosen by shard_uri_choose() */
	const char *password_file; /* or NULL */
	unsigned timeout_ms;       /* 0: the library's default */
	/* From cli_connect_resolve(). */
	shard_uri *uri; /* with its secrets */
	shard_pool_file *pool_file; /* of a twemproxy: URI, else NULL */
	const shard_pool *pool;     /* the one of it that is meant */
	/* From cli_connect_open(). */
	shard_client *client;
	shard_topology *believed; /* the cached map that the client was given, or NULL */
};

/*
 * The options as a child parser. Its input is a struct cli_connect *: set
 * state->child_inputs[] in ARGP_KEY_INIT. A URI on the command line is masked
 * there as soon as it is read, so that `ps` shows no secret.
 */
extern const struct argp cli_connect_argp;

/*
 * Finds out the URI and its password, and loads the pool that it may name.
 * Returns true; or false, with the error reported (a URI that cannot be parsed,
 * a password file that cannot be read, each mistake of a pool's file).
 */
bool cli_connect_resolve(struct cli_connect *connect);

/* The client's options from a resolved CONNECT: uri and times. */
void cli_connect_options(const struct cli_connect *connect, shard_options *options);

enum cli_connect_mode {
	CLI_ONE_SHOT, /* lazy, believes in the cached map */
	CLI_STREAM    /* fetches the map first */
};

/* Resolves, where that was not done, and makes connect->client. Returns true, or false with the error reported. */
bool cli_connect_open(struct cli_connect *connect, enum cli_connect_mode mode);

/*
 * After a one-shot answer: stores the map in the cache where that had none or
 * a wrong one, which may take one more round trip (bounded). Never fails.
 */
void cli_connect_remember(struct cli_connect *connect);

/* The same for a map that is known to be the one of now. */
void cli_connect_keep(struct cli_connect *connect, const shard_topology *now);

/* Fetches the map. Returns it, lent until the next tick; or NULL with the error reported. */
shard_topology *cli_connect_map(struct cli_connect *connect);

/*
 * Loads a file of pools and finds the pool of this NAME (NULL: the only one).
 * *FILE is for shard_pool_file_free(). Returns true, or false with each mistake reported.
 */
bool cli_pool_find(const char *path, const char *name, shard_pool_file **file, const shard_pool **pool);

/* Whether a resolved CONNECT's pool is one that a client serves; else the error is reported. */
bool cli_pool_serves(const struct cli_connect *connect);

/* Makes of a CONNECT whose pool is a cluster (`cluster: true`) one without a pool. False: the error is reported. */
bool cli_pool_as_uri(struct cli_connect *connect);

/* Destroys the client and frees all. */
void cli_connect_close(struct cli_connect *connect);

/* What to do about ERROR ("start it with rcluster up"), or NULL. Of the last cli_connect_resolve(). */
const char *cli_connect_hint(int error);

/* Overwrites user and password of a URI in place. */
void cli_mask_uri(char *uri);

/*
 * Submits one command with a callback and runs the client until nothing is
 * pending. Returns whether it could be submitted; else the error is reported,
 * about THING.
 */
bool cli_once(struct cli_connect *connect, const char *thing, const shard_args *command, const shard_call *how,
	      shard_callback callback, void *ctx);

#endif
