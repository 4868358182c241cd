/* SPDX-License-Identifier: MIT */
/*
 * What all verbs that work on any cluster have in common: which cluster, by
 * its first argument HOST:PORT (as redis-cli's), else by -u URI, $SHARD_URI or
 * the recorded local cluster; a client; a view of all its nodes (view.h).
 *
 * Exit status of these verbs: CLI_OK only when all that was asked for is so;
 * CLI_NO: a check found something; CLI_FAILED: usage, or a failure.
 */
#ifndef RCLUSTER_ADMIN_H
#define RCLUSTER_ADMIN_H

#include <argp.h>
#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>

#include "connect.h"
#include "view.h"

#define ADMIN_ANSWER_MS 5000 /* what a node may take for an answer, without --timeout */

struct admin {
	/* From the command line; all zero at first. */
	struct cli_connect connect;
	bool yes;            /* --yes */
	const char **word;   /* what is no option */
	size_t word_count;
	const char *address; /* HOST:PORT, or NULL */
	/* From admin_open(). */
	shard_client *client; /* lazy; use it with named nodes (ask.h) */
	unsigned timeout_ms;  /* of one answer */
	struct view view;
};

/*
 * -u, --timeout, --password-file, --yes and the words, as a child parser whose
 * input is a struct admin *. A verb's own parser leaves ARGP_KEY_ARG to it.
 */
extern const struct argp admin_argp;

/*
 * Sorts the words out where MORE of them are wanted behind the address: with
 * one more than that the first is HOST:PORT. Else a usage error, in which
 * NAMES ("NODE SLOTS", "" for none) says what is wanted. Returns the MORE words.
 */
const char *const *admin_words(struct admin *admin, size_t more, const char *names);

/* Whether WORD looks like HOST:PORT. */
bool admin_is_address(const char *word);

/*
 * Makes the client and looks at the cluster. Returns true, or false with the
 * error reported: nobody answers, no cluster, wrong password.
 */
bool admin_open(struct admin *admin);

/* The client alone, for nodes that are no cluster yet. */
bool admin_connect(struct admin *admin);

/* From now on admin_look() begins with this node of the view. */
void admin_seed(struct admin *admin, int node);

/* Looks anew. Returns true, or false with the error reported; the view is then empty. */
bool admin_look(struct admin *admin);

void admin_close(struct admin *admin);

/* The index of the node that WORD names: HOST:PORT, an id, or a beginning of one id only. -1: an error was reported. */
int admin_node(const struct admin *admin, const char *word);

/* A condition on the view; false: not yet, and WHY, in words for people. */
typedef bool (*admin_condition)(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE]);

/*
 * Looks until CONDITION holds, or WAIT_MS have gone or a signal asks for the end (wait.h). Returns whether it
 * holds; else "WHAT: WHY" was reported.
 */
bool admin_wait(struct admin *admin, admin_condition condition, void *ctx, unsigned wait_ms, const char *what);

/* Conditions. All nodes that answer agree on nodes, roles and slots: view_agree(). */
bool admin_agreed(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE]);

/* The same, whether others answer or not: what a move that was cut off has not told to all, gossip has brought to them. */
bool admin_settled(const struct view *view, void *ctx, char why[VIEW_WHY_SIZE]);

#endif
