/* SPDX-License-Identifier: MIT */
/* RESP2: commands to bytes, and hiredis's reader building replies in an arena. */
#ifndef SHARD_PURE_RESP_H
#define SHARD_PURE_RESP_H

#include <stddef.h>
#include <hiredis/read.h>

#include <shard/reply.h>

#include "base/arena.h"

/* The bytes that a command takes on the wire; ARGVLEN may be NULL. */
size_t resp_command_size(int argc, const char *const argv[], const size_t argvlen[]);

/* At least that, found without looking at the lengths' digits; words longer than 4 GiB do not exist. */
static inline size_t resp_command_bound(int argc, const size_t argvlen[])
{
	size_t size = 14;

	for (int i = 0; i < argc; i++)
		size += 16 + argvlen[i];
	return size;
}

/* Writes the command to OUT, which has resp_command_size() bytes. Returns the end. */
char *resp_command_write(char *out, int argc, const char *const argv[], const size_t argvlen[]);

/* The same in pieces, for commands that are put together: "*argc\r\n", then each word. */
size_t resp_header_size(size_t argc);
char *resp_header_write(char *out, size_t argc);
size_t resp_word_size(size_t len);
char *resp_word_write(char *out, const char *word, size_t len);

/* A reader whose replies live in ARENA. NULL when out of memory. */
redisReader *resp_reader_create(struct arena *arena);

/*
 * The replies that come by the million, without the reader: a whole string,
 * status, integer or nil at the start of DATA. Its bytes stay where they are
 * (a NUL is written over the CR behind them).
 * Returns the bytes that it took, or 0: something else, or not whole.
 */
size_t resp_quick(char *data, size_t len, shard_reply *reply);

#endif
