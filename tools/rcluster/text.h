/* SPDX-License-Identifier: MIT */
/*
 * Small help with strings and files. Out of memory ends the program (status 2).
 */
#ifndef RCLUSTER_TEXT_H
#define RCLUSTER_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* printf into malloc'ed memory. */
char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *allocate(size_t count, size_t size); /* zeroed */

/* WORD as a line for people shows it: one of no letters is "". */
const char *text_shown(const char *word);

/* A whole number in MIN..MAX and nothing else. */
bool text_number(const char *word, long min, long max, long *number);

/* A file's content, or NULL with errno. */
char *file_read(const char *path);

/* Writes CONTENT whole or not at all (a new file, mode 0600, renamed into its place). Returns false with errno. */
bool file_write(const char *path, const char *content);

#endif
