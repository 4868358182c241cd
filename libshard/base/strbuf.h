/* SPDX-License-Identifier: MIT */
/*
 * Text that is put together. Not with stdio: its first use costs a
 * short-lived program more than all the rest of its way to the server.
 */
#ifndef SHARD_BASE_STRBUF_H
#define SHARD_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strbuf {
	char *at;
	size_t len, room;
	bool failed; /* out of memory: what is appended from then on is dropped */
};

void strbuf_bytes(struct strbuf *buf, const char *bytes, size_t len);
void strbuf_string(struct strbuf *buf, const char *string);
void strbuf_number(struct strbuf *buf, unsigned long n);

/* The NUL-terminated whole, malloc'ed; NULL when out of memory. BUF is empty then. */
char *strbuf_take(struct strbuf *buf);

/* Decimal digits of N, and 16 hex digits of N, without a NUL. They return the end. */
char *write_decimal(char *out, unsigned long n);
char *write_hex(char *out, uint64_t n);

#endif
