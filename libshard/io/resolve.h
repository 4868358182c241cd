/* SPDX-License-Identifier: MIT */
/*
 * Host names to addresses without blocking the loop: numeric addresses and
 * paths at once, names in a thread of their own that ends with its answer.
 */
#ifndef SHARD_IO_RESOLVE_H
#define SHARD_IO_RESOLVE_H

#include <stdint.h>
#include <sys/socket.h>

#include "io/loop.h"

struct resolve;

/* ADDR lives until the callback returns; ADDR NULL: ERROR says why (static text). MORE: the name has another address. */
typedef void (*resolve_callback)(void *ctx, const struct sockaddr *addr, socklen_t len, bool more, const char *error);

/* A path (PORT 0) or a numeric address. Returns the length in *STORAGE, 0 where HOST is a name. */
socklen_t resolve_numeric(const char *host, uint16_t port, struct sockaddr_storage *storage);

/* Looks HOST up for its NTH address (from 0); CALLBACK comes in a tick unless resolve_cancel() comes first. NULL with errno: no thread, no memory. */
struct resolve *resolve_start(struct loop *loop, const char *host, uint16_t port, unsigned nth,
			      resolve_callback callback, void *ctx);
void resolve_cancel(struct resolve *resolve); /* NULL is fine */

#endif
