/* SPDX-License-Identifier: MIT */
/*
 * Which nodes become masters and whose replicas the others become, so that
 * the loss of a host costs little. No I/O.
 */
#ifndef RCLUSTER_SPREAD_H
#define RCLUSTER_SPREAD_H

#include <stddef.h>

/*
 * HOST[i] is the host of node i, COUNT nodes, of which MASTERS become masters.
 * Out: ORDER, all nodes, the masters first, and MASTER[i]: of node i, -1 for a
 * master, else the node that it follows. The same input has the same result.
 * Replicas that are too many for an even spread go to the first masters.
 */
void spread_nodes(const char *const host[], size_t count, size_t masters, size_t order[], int master[]);

/*
 * How bad it is: 10000 for each replica on its master's host, and for each
 * group of replicas of one master on one host their number. 0: as it should be.
 */
unsigned long spread_score(const char *const host[], size_t count, const int master[]);

#endif
