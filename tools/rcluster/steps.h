/* SPDX-License-Identifier: MIT */
/*
 * Steps that several verbs about nodes are made of. Where one returns false
 * the error was reported.
 */
#ifndef RCLUSTER_STEPS_H
#define RCLUSTER_STEPS_H

#include <stdbool.h>

#include "admin.h"

#define STEPS_WAIT_MS 30000

/* --wait SECONDS as a child parser whose input is an unsigned *, set to STEPS_WAIT_MS at first. */
extern const struct argp steps_wait_argp;

/* One command of words for the node at ADDR; an error is named "ADDR: COMMAND: why". */
bool steps_tell(const struct admin *admin, const char *addr, int argc, const char *const argv[]);

/* The master that answers, owns slots and has the fewest replicas, but for node NOT (-1: any); -1: there is none. */
int steps_neediest(const struct view *view, int not);

/* Whether all nodes that answer say the same of the cluster; those that do not are left aside. Else WHY. */
bool steps_agree(const struct view *view, char why[VIEW_WHY_SIZE]);

/* How many replicas MASTER has. */
unsigned steps_replicas(const struct view *view, int master);

/*
 * Makes NODE a replica of MASTER (indexes of the view) and waits until every node sees it and its link is up.
 * ADMIN's view is new afterwards.
 */
bool steps_replicate(struct admin *admin, int node, int master, unsigned wait_ms);

/* Gives the node at TO the functions of the one at FROM; servers that know of none have none to copy. */
bool steps_copy_functions(const struct admin *admin, const char *from, const char *to);

/*
 * The two halves of it. *FUNCTIONS, for shard_reply_free(): NULL where the
 * server at FROM knows of none.
 */
bool steps_take_functions(shard_client *client, const char *from, unsigned timeout_ms, shard_reply **functions);
bool steps_give_functions(const struct admin *admin, const char *to, const shard_reply *functions);

/* The IP address of the host of ADDRESS ("host:port"), and its port. */
bool steps_resolve(const char *address, char *ip, size_t ip_size, unsigned *port);

/* "ip:port", brackets where they belong. malloc'ed. */
char *steps_addr(const char *ip, unsigned port);

#endif
