/* SPDX-License-Identifier: MIT */
/*
 * Standard output, buffered.
 *
 * None of these calls returns an error: when the output is a pipe that was
 * closed they end the process quietly with closed_status, on any other error
 * with one line and CLI_FAILED.
 */
#ifndef OUT_H
#define OUT_H

#include <stdbool.h>
#include <stddef.h>

#include <shard/client.h>

struct out {
	int fd;
	int closed_status; /* the exit status where nobody reads any more */
	bool may_block;    /* a pipe, a socket, a terminal: its reader may be slow */
	char *data;        /* data[sent..len-1] is still to be written */
	size_t sent, len, size;
	shard_watch *watch; /* while something waits in a client's loop */
};

/* Nothing is allocated yet. OUT's closed_status is CLI_OK. */
void out_init(struct out *out, int fd);
void out_finish(struct out *out); /* frees; what has not been flushed is lost. Before the client of out_drain(). */

void out_make_room(struct out *out, size_t size); /* for out_reserve() */

/* Room for SIZE more bytes at the end; the caller adds what it used to out->len. */
static inline char *out_reserve(struct out *out, size_t size)
{
	if (out->size - out->len < size || !out->data)
		out_make_room(out, size);
	return out->data + out->len;
}

static inline void out_char(struct out *out, char c)
{
	*out_reserve(out, 1) = c;
	out->len++;
}

void out_put(struct out *out, const void *data, size_t len);
void out_text(struct out *out, const char *text);
void out_number(struct out *out, long long number);

/* How many bytes wait. */
static inline size_t out_waiting(const struct out *out)
{
	return out->len - out->sent;
}

/*
 * Writes what can be written now. Where the reader is slow it writes no more
 * than the reader has room for, so a client's answers are not kept waiting.
 */
void out_push(struct out *out);

/* out_push(), and has CLIENT's loop go on with what is left. */
void out_drain(struct out *out, shard_client *client);

/* Writes all, however long that takes. */
void out_flush(struct out *out);

/* out_flush() and then these bytes themselves, without copying them. */
void out_direct(struct out *out, const void *data, size_t len);

#endif
