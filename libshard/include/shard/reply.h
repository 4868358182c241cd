/* SPDX-License-Identifier: MIT */
/*
 * Replies of a server (RESP2).
 */
#ifndef SHARD_REPLY_H
#define SHARD_REPLY_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum shard_reply_type {
	SHARD_REPLY_NIL,     /* a nil bulk string or a nil array */
	SHARD_REPLY_STATUS,  /* +OK: str, len */
	SHARD_REPLY_ERROR,   /* -ERR ...: str, len, without the '-' */
	SHARD_REPLY_INTEGER, /* :n */
	SHARD_REPLY_STRING,  /* bytes: str, len */
	SHARD_REPLY_ARRAY,   /* element[0..len-1] */
	SHARD_REPLY_RAW      /* with SHARD_RAW: str, len: one reply as the server sent it, no NUL behind it */
} shard_reply_type;

typedef struct shard_reply shard_reply;
struct shard_reply {
	shard_reply_type type;
	size_t len; /* bytes of str, or number of elements */
	union {
		const char *str; /* len bytes and (but of RAW) a NUL behind them; the bytes may hold NULs too */
		long long integer;
		const shard_reply *element;
	};
};

/*
 * A deep copy in one block. Returns NULL when out of memory. The caller frees
 * it with shard_reply_free().
 */
SHARD_API SHARD_MUST_CHECK shard_reply *shard_reply_copy(const shard_reply *reply);

/* Frees what shard_reply_copy() returned (never a reply that a callback was lent). NULL is fine. */
SHARD_API void shard_reply_free(shard_reply *reply);

/* Whether REPLY is an error whose first word is exactly CODE ("MOVED", "WRONGTYPE", ...). */
SHARD_API bool shard_reply_is_error(const shard_reply *reply, const char *code);

/* Whether REPLY is a status or a string of exactly TEXT. */
SHARD_API bool shard_reply_is(const shard_reply *reply, const char *text);

#ifdef __cplusplus
}
#endif
#endif
