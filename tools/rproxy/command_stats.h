/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_COMMAND_STATS_H
#define RPROXY_COMMAND_STATS_H

struct query;

/* The request has been answered: notes how long it took. */
void command_stats(const struct query *query);

#endif
