/* SPDX-License-Identifier: MIT */
/* A growing buffer, and RESP2 written into it. */
#ifndef RPROXY_BYTES_H
#define RPROXY_BYTES_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/reply.h>

/* All zero is empty. Where there was no memory for a part, `bad` is set and what follows is dropped. */
struct bytes {
	char *at;
	size_t len, room;
	bool bad;
};

/* SIZE bytes at the end, to be written by the caller and added to len; NULL: no memory. */
char *bytes_reserve(struct bytes *bytes, size_t size);

void bytes_put(struct bytes *bytes, const void *from, size_t len);
void bytes_string(struct bytes *bytes, const char *string);
void bytes_format(struct bytes *bytes, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "<MARK><N>\r\n": ':' an integer, '*' the head of an array, '$' that of a string. */
void bytes_number(struct bytes *bytes, char mark, long long n);
void bytes_bulk(struct bytes *bytes, const void *from, size_t len);
void bytes_bulk_string(struct bytes *bytes, const char *string);
void bytes_reply(struct bytes *bytes, const shard_reply *reply);

void bytes_finish(struct bytes *bytes);

#endif
