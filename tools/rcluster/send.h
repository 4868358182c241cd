/* SPDX-License-Identifier: MIT */
/*
 * Verbs that send a signal to one node.
 */
#ifndef RCLUSTER_SEND_H
#define RCLUSTER_SEND_H

#include "server.h"

struct send {
	const char *doc;
	int number;              /* the signal */
	enum server_state after; /* what the node is then */
};

int send_run(const struct send *send, int argc, char *argv[]);

#endif
