/* SPDX-License-Identifier: MIT */
/* A thread that shows statistics to whoever connects: slow readers keep nobody else waiting. */
#ifndef RPROXY_REPORT_H
#define RPROXY_REPORT_H

#include "worker.h"

struct report;

/* *REPORT: NULL where nothing is to be shown. Returns false with the error reported. */
bool report_start(struct report **report, struct worker **worker, unsigned count);
void report_stop(struct report *report); /* NULL is fine */

#endif
