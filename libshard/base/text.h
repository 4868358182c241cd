/* SPDX-License-Identifier: MIT */
/*
 * Text that is put together. Not with stdio: its first use costs a
 * short-lived program more than all the rest of its way to the server.
 */
#ifndef SHARD_BASE_TEXT_H
#define SHARD_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
	char *at;
	size_t len, room;
	bool failed; /* out of memory: what is appended from then on is dropped */
};

void text_bytes(struct text *text, const char *bytes, size_t len);
void text_string(struct text *text, const char *string);
void text_number(struct text *text, unsigned long n);

/* The NUL-terminated whole, malloc'ed; NULL when out of memory. TEXT is empty then. */
char *text_take(struct text *text);

/* Decimal digits of N, and 16 hex digits of N, without a NUL. They return the end. */
char *write_decimal(char *out, unsigned long n);
char *write_hex(char *out, uint64_t n);

#endif
