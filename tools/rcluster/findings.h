/* SPDX-License-Identifier: MIT */
/*
 * What is wrong with a cluster: a list of lines for people, each about a node
 * or about all.
 */
#ifndef RCLUSTER_FINDINGS_H
#define RCLUSTER_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

#include "admin.h"

enum finding_kind {
	FINDING_SILENT,   /* a node does not answer */
	FINDING_FAILED,   /* a node is marked as failed, or says that the cluster is */
	FINDING_DISAGREE, /* nodes do not agree */
	FINDING_OPEN,     /* a slot is open */
	FINDING_UNCOVERED,
	FINDING_CLAIMED,  /* a slot that several masters say is theirs */
	FINDING_STRAY     /* a node holds keys of a slot that is not its own */
};

struct finding {
	enum finding_kind kind;
	int node;    /* of the view, -1: all */
	char *slots; /* "5,10-12", or NULL */
	char *text;
};

struct findings {
	struct finding *finding;
	size_t count;
};

/*
 * Looks for all of them in ADMIN's view. STRAYS: asks every master for its keys in slots that are not its own, too
 * (16384 small questions each). Free with findings_finish(). False: a question failed, which was reported.
 */
bool findings_look(struct findings *findings, const struct admin *admin, bool strays);
void findings_finish(struct findings *findings);

/* A line each on stderr. */
void findings_report(const struct findings *findings, const struct view *view);

/* [{"kind":"open","node":"127.0.0.1:7000","slots":"5","text":"..."}] */
json_t *findings_json(const struct findings *findings, const struct view *view);

/*
 * Whether nothing is wrong, as verbs that change a cluster demand of it before they begin; else a line for each on
 * stderr.
 */
bool findings_none(const struct admin *admin);

/* The same of what keeps slots from being moved: a replica that is away does not. */
bool findings_movable(const struct admin *admin);

#endif
