/* SPDX-License-Identifier: MIT */
/* The main thread: signals, statistics. It never touches a request. */
#ifndef RPROXY_CONTROL_H
#define RPROXY_CONTROL_H

#include "config.h"

struct control;

/* Signals are taken by control_run(): to be called before there are threads. */
void control_block_signals(void);

/* Starts the workers. Takes CONFIG. NULL: the error has been reported. */
struct control *control_create(struct config *config);

/* Ends the workers, and closes what is listened on. */
void control_free(struct control *control);

/* Until a signal ends it; frees all. */
void control_run(struct control *control);

#endif
