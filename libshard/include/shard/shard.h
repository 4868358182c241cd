/* SPDX-License-Identifier: MIT */
/*
 * libshard: routing for Redis and Valkey Cluster.
 *
 *   error.h     the one enum of errors
 *   slot.h      keys to slots
 *   command.h   commands, their keys and policies
 *   reply.h     what servers answer
 *   topology.h  the map of a cluster
 *   hash.h      twemproxy's hashes
 *   ring.h      keys to the servers of a pool
 *   pool.h      twemproxy's pools and their file
 *   uri.h       where the servers are
 *   client.h    the asynchronous client and its loop
 *   sync.h      blocking calls on top
 *   tracking.h  hearing of every change
 */
#ifndef SHARD_H
#define SHARD_H

#include <shard/client.h>
#include <shard/command.h>
#include <shard/error.h>
#include <shard/hash.h>
#include <shard/pool.h>
#include <shard/reply.h>
#include <shard/ring.h>
#include <shard/slot.h>
#include <shard/sync.h>
#include <shard/topology.h>
#include <shard/tracking.h>
#include <shard/uri.h>

#define SHARD_VERSION "0.1.0"

#endif
