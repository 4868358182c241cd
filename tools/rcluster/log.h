/* SPDX-License-Identifier: MIT */
/*
 * The logs of the nodes.
 */
#ifndef RCLUSTER_LOG_H
#define RCLUSTER_LOG_H

#include <stdbool.h>
#include <stdio.h>

/*
 * Copies the last LINES lines of FD to OUT, each after PREFIX, and leaves FD
 * at its end. Returns false with errno where reading or writing failed.
 */
bool log_tail(int fd, unsigned lines, const char *prefix, FILE *out);

/* The same from the file PATH to stderr, for the error that was printed just before. */
void log_explain(const char *path);

#endif
