/* SPDX-License-Identifier: MIT */
/*
 * rslots on a pool of plain servers. Nothing is connected to.
 */
#ifndef RSLOTS_POOL_H
#define RSLOTS_POOL_H

#include <shard/pool.h>

#include "format.h"
#include "record.h"

struct pool_query {
	const char *path; /* of the pool's file */
	const shard_pool *pool;
	enum record_format format;
	struct words keys;
	const char *other; /* --diff's argument, or NULL */
};

/* These return an exit status, with all that is wrong reported. */

int pool_print(const struct pool_query *query); /* the servers, or the keys' */
int pool_diff(const struct pool_query *query);  /* what moves: of all keys, or of those given */

/* A share, 0 to 1, as a field: "0" where there is none at all, else six digits. In JSON a number. */
void pool_put_share(struct record_writer *writer, double share);

#endif
