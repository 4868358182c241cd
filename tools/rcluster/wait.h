/* SPDX-License-Identifier: MIT */
/*
 * Time, and waits that a signal ends.
 */
#ifndef RCLUSTER_WAIT_H
#define RCLUSTER_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Monotonic time in milliseconds. */
int64_t now_ms(void);

/* From now on SIGINT, SIGTERM and SIGHUP do not end the program: they end its waits. */
void catch_interrupts(void);
bool interrupted(void);

/* Sleeps MS milliseconds and reaps children that ended. Returns false at once where a signal asks for the end. */
bool pause_ms(unsigned ms);

#endif
