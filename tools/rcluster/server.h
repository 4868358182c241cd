/* SPDX-License-Identifier: MIT */
/*
 * The server process of a node: started, found again, signalled, ended.
 *
 * The pid file is written by the process itself before it becomes the server,
 * so none is ever lost. A pid counts as ours only while that process is a
 * server whose working directory is the node's.
 */
#ifndef RCLUSTER_SERVER_H
#define RCLUSTER_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "layout.h"

#define SERVER_LOG "redis.log"
#define SERVER_CONF "redis.conf"

enum server_state {
	SERVER_STOPPED,
	SERVER_RUNNING,
	SERVER_PAUSED /* by SIGSTOP */
};

#define SERVER_REDIS "redis-server"
#define SERVER_VALKEY "valkey-server"

/* The program NAME, or (NAME "") redis-server, else valkey-server, in $PATH; malloc'ed. NULL: an error was printed. */
char *server_find(const char *name);

/* Makes the directory and the configuration of NODE where they are missing. false: an error was printed. */
bool server_prepare(const struct layout *layout, unsigned node);

/*
 * Starts PROGRAM as NODE: a session of its own, nothing of ours open, its
 * output in its log. Returns once it runs; it does not listen yet. false: an
 * error was printed.
 */
bool server_start(const struct layout *layout, unsigned node, const char *program);

/* *PID (may be NULL) is 0 where it is stopped. */
enum server_state server_look(const struct layout *layout, unsigned node, pid_t *pid);

/* Whether NODE accepts connections, for clients and on the bus. */
bool server_listens(const struct layout *layout, unsigned node);

/* Sends NUMBER to NODE. Returns whether it runs and the signal was sent. */
bool server_signal(const struct layout *layout, unsigned node, int number);

/*
 * Ends every node that WHICH (indexed by node) names, paused ones too:
 * SIGTERM, and SIGKILL to those that are still there after GRACE_MS. Goes on
 * when interrupted. Returns how many nodes ran; *LEFT (may be NULL): how many
 * could not be ended.
 */
unsigned server_stop(const struct layout *layout, const bool which[], unsigned grace_ms, unsigned *left);

#define SERVER_GRACE_MS 15000 /* Redis 7 itself waits 10 s for replicas that lag */

#endif
