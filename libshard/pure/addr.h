/* SPDX-License-Identifier: MIT */
/*
 * Hosts, ports and numbers in text that is not to be trusted.
 */
#ifndef SHARD_PURE_ADDR_H
#define SHARD_PURE_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A piece of someone else's text; no NUL behind it. */
struct shard__text {
	const char *at;
	size_t len;
};

/* A host has at most 255 bytes (RFC 1035); room for the NUL. */
#define SHARD__HOST_SIZE 256

/* A decimal number of digits alone, at most MAX. Returns whether TEXT is one. */
bool shard__number(struct shard__text text, uint64_t max, uint64_t *number);

/* Whether TEXT has the length and the letters of a host name, or is an IP address; nothing is resolved. */
bool shard__host_ok(struct shard__text text);

/* Whether TEXT is an IPv6 address, with or without a zone (%eth0). */
bool shard__ipv6_ok(struct shard__text text);

/* Cuts TEXT at its last SEPARATOR. Returns whether there is one; else nothing is changed. */
bool shard__cut_last(struct shard__text text, char separator, struct shard__text *head, struct shard__text *tail);

/* Takes the word before the next SEPARATOR off REST (runs of separators count as one); false at the end. */
bool shard__next_word(struct shard__text *rest, char separator, struct shard__text *word);

bool shard__text_is(struct shard__text text, const char *string);

#endif
