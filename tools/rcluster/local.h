/* SPDX-License-Identifier: MIT */
/*
 * The local cluster that a verb works on.
 */
#ifndef RCLUSTER_LOCAL_H
#define RCLUSTER_LOCAL_H

#include <argp.h>
#include <stdbool.h>

#include <shard/client.h>

#include "layout.h"

#define LOCAL_WAIT_MS 30000

struct local {
	struct layout layout;
	int lock; /* -1: not taken */
};

/* The options --dir DIR and, with local_wait_argp, --wait SECONDS: children of the verbs' parsers. */
struct local_options {
	const char *dir;  /* NULL: not given */
	unsigned wait_ms; /* 0: not given */
};

extern const struct argp local_dir_argp;
extern const struct argp local_wait_argp; /* --dir too */

enum local_need {
	LOCAL_READ,  /* looks only */
	LOCAL_CHANGE /* takes the lock, waiting for others up to wait_ms */
};

/*
 * Finds the cluster and reads its layout. LAYOUT_NONE: nothing was printed,
 * see local_complain_none(). Where it is not LAYOUT_FOUND nothing is left open.
 */
enum layout_found local_open(struct local *local, const struct local_options *options, enum local_need need);
void local_close(struct local *local);

void local_complain_none(const struct local_options *options);

/* As local_open(), but no cluster is an error as well. */
bool local_must_open(struct local *local, const struct local_options *options, enum local_need need);

/* The node with the port that WORD names; else an error that names those there are, and -1. */
int local_node(const struct local *local, const char *word);

#endif
