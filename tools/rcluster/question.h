/* SPDX-License-Identifier: MIT */
/*
 * Questions to the person at the terminal.
 */
#ifndef RCLUSTER_QUESTION_H
#define RCLUSTER_QUESTION_H

#include <stdbool.h>
#include <stddef.h>

/* Whether there is somebody to ask: standard input is a terminal. */
bool question_possible(void);

/*
 * Asks whether to do what FORMAT says; the answer has to be "yes". True at once with YES (--yes). False: it is not
 * to be done, and that was reported (no terminal: how to go on without one).
 */
bool question_yes(bool yes, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Asks for a line, without its newline; malloc'ed. NULL: the input has ended, which was reported. */
char *question_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
