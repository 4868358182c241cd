/* SPDX-License-Identifier: MIT */
/*
 * A value that is being written anew: when it is stored, and who hears of an
 * error. A pure state machine over a buffer; who does the I/O asks it what to
 * do and tells it how that ended.
 *
 * Changes are numbered: `serial` is the last one, `stored` the last one that
 * the server has, `sending` the last one in the SET that is under way. What
 * was created or truncated is a change too, so a new transaction is dirty.
 */
#ifndef FUSEFS_TRANSACTION_H
#define FUSEFS_TRANSACTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffer.h"

#define TRANSACTION_VALUE_MAX ((size_t)512 << 20)
/* Sent without counting: a shell's few short lines are each stored, and answered for, at once. */
#define TRANSACTION_FREE ((size_t)16 << 10)
#define TRANSACTION_QUIET_MS 100

enum transaction_mode {
	TRANSACTION_AUTO,  /* in the WRITE that looks like the last one, when quiet, at FLUSH and fsync */
	TRANSACTION_CLOSE, /* at FLUSH and fsync alone */
	TRANSACTION_WRITE  /* in every WRITE */
};

enum transaction_origin {
	TRANSACTION_OPENED,    /* O_TRUNC: the next FLUSH may be the shell's dup() */
	TRANSACTION_CREATED,   /* the same, and the key was not there: the first SET must not replace one */
	TRANSACTION_TRUNCATED, /* ftruncate() to 0: no dup() can follow */
	TRANSACTION_STORED     /* O_EXCL: the empty value is on the server already */
};

enum transaction_step {
	TRANSACTION_NOTHING,
	TRANSACTION_LATER, /* ask transaction_quiet() after TRANSACTION_QUIET_MS without a change; from that: wait longer */
	TRANSACTION_COMMIT
};

struct transaction {
	struct buffer *buffer;
	enum transaction_mode mode;
	bool absent;      /* the key was not there and nothing is stored yet */
	bool has_data;    /* something was written since the truncate */
	bool awaits_dup;  /* a FLUSH without data is the shell's */
	uint64_t serial, stored, sending;
	size_t sending_size;
	uint64_t sent;    /* bytes of all SETs since the truncation */
	int late;         /* errno of a commit that nobody waited for, to be told once */
	int refused;      /* errno that was told for refused_serial: only fsync tries that again */
	uint64_t refused_serial;
};

/* BUFFER becomes the transaction's. */
void transaction_init(struct transaction *t, struct buffer *buffer, enum transaction_mode mode,
		      enum transaction_origin origin);
void transaction_finish(struct transaction *t);

/* Whether there is something that the server does not have. */
bool transaction_dirty(const struct transaction *t);

/* Nothing of it is wanted any more. */
void transaction_abandon(struct transaction *t);

/* 0 or an errno (EFBIG, ENOMEM, ENOSPC, a late error); then nothing has changed. */
int transaction_truncate(struct transaction *t, bool by_open);
int transaction_write(struct transaction *t, size_t offset, const void *data, size_t len,
		      enum transaction_step *step);
int transaction_resize(struct transaction *t, size_t size, enum transaction_step *step);

/* What to do at these; unless with TRANSACTION_COMMIT *ERROR is the answer. BY_OPENER: not by who has only inherited it. */
enum transaction_step transaction_flush(struct transaction *t, bool by_opener, int *error);
enum transaction_step transaction_sync(struct transaction *t, int *error);
enum transaction_step transaction_release(struct transaction *t);
enum transaction_step transaction_quiet(const struct transaction *t);

/* Whether the key is not made yet and nothing was written: then an APPEND may make it, after which it is born. */
bool transaction_unborn(const struct transaction *t);
void transaction_born(struct transaction *t);

/* The server has DATA at OFFSET now, past the transaction: so has its value, as far as there is room. */
void transaction_mirror(struct transaction *t, size_t offset, const void *data, size_t len);
void transaction_mirror_resize(struct transaction *t, size_t size);

/*
 * A SET begins (of the first sending_size bytes of `buffer`; where that is in
 * a file, they stay as they are for whoever holds a reference), and ends.
 * TOLD: someone heard ERROR.
 */
void transaction_begin(struct transaction *t);
void transaction_end(struct transaction *t, int error, bool told);
void transaction_forget(struct transaction *t); /* as if it had not begun */

#endif
