/* SPDX-License-Identifier: MIT */
/*
 * Patterns as KEYS and SCAN MATCH take them: * ? [abc] [^abc] [a-z] and a
 * backslash before a byte that stands for itself. Bytes, not characters.
 */
#ifndef SHARD_PURE_GLOB_H
#define SHARD_PURE_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* In time that grows with the product of the lengths at worst. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t len);

/* The slot that all keys which match are in, where the pattern's start tells; else -1. */
int glob_slot(const char *pattern, size_t pattern_len);

#endif
