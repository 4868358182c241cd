/* SPDX-License-Identifier: MIT */
/*
 * Replies written by hand, for tests: [0 5460 ["127.0.0.1" 7000 "id"] nil +OK -ERR]. White space and commas part the
 * elements, # starts a comment, strings know \" \\ and \xHH. Every string is a block of its own of exactly its size, so
 * that a read past its end is seen.
 */
#ifndef TESTS_LITERAL_H
#define TESTS_LITERAL_H

#include <shard/reply.h>

/* The one reply that TEXT is, for literal_free(); NULL where it is none (or nests deeper than 8). */
shard_reply *literal_parse(const char *text, size_t len);
void literal_free(shard_reply *reply);

#endif
