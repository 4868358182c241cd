/* SPDX-License-Identifier: MIT */
#ifndef RPROXY_STATS_JSON_H
#define RPROXY_STATS_JSON_H

#include <time.h>

#include "bytes.h"
#include "snapshot.h"

void stats_json(struct bytes *out, const struct snapshot *snapshot, time_t since); /* as nutcracker writes it */
void stats_metrics(struct bytes *out, const struct snapshot *snapshot, time_t since); /* as Prometheus reads it */

#endif
