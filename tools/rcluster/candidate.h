/* SPDX-License-Identifier: MIT */
/*
 * A node that is to join a cluster: it has to be empty and to know nobody.
 */
#ifndef RCLUSTER_CANDIDATE_H
#define RCLUSTER_CANDIDATE_H

#include <stdbool.h>
#include <stddef.h>

#include "admin.h"

struct candidate {
	char ip[64];
	unsigned port;
	char *addr; /* "ip:port" */
	/* From candidate_look(). */
	char id[VIEW_ID_SIZE];
	size_t known;      /* nodes, with itself */
	unsigned slots;    /* that it knows an owner of */
	long long keys;
	bool is_cluster;
	char error[200]; /* why it does not answer, or "" */
};

/* ADDRESS "host:port". False: the host cannot be resolved, which was reported. */
bool candidate_init(struct candidate *candidate, const char *address);
void candidate_finish(struct candidate *candidate);

/* Asks COUNT of them at once about themselves. ADMIN's client is all that is needed of it. */
void candidate_look_all(const struct admin *admin, struct candidate candidate[], size_t count);

/* The same of one; an error is reported. */
bool candidate_look(const struct admin *admin, struct candidate *candidate);

/* Whether it may join; else what is in the way was reported. */
bool candidate_is_empty(const struct candidate *candidate);

#endif
