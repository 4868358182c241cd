/* SPDX-License-Identifier: MIT */
#include "transaction.h"

#include <errno.h>

/* stdio and the shell write whole blocks of this size but for the last. */
#define BLOCK 4096

void transaction_init(struct transaction *t, struct buffer *buffer, enum transaction_mode mode,
		      enum transaction_origin origin)
{
	*t = (struct transaction){
		.buffer = buffer,
		.mode = mode,
		.serial = 1,
		.stored = origin == TRANSACTION_STORED,
		.absent = origin == TRANSACTION_CREATED,
		.awaits_dup = origin == TRANSACTION_OPENED || origin == TRANSACTION_CREATED,
	};
}

void transaction_finish(struct transaction *t)
{
	buffer_unref(t->buffer);
	t->buffer = NULL;
}

bool transaction_dirty(const struct transaction *t)
{
	return t->stored != t->serial;
}

int transaction_truncate(struct transaction *t, bool by_open)
{
	struct buffer *empty = buffer_create(NULL, 0);

	if (!empty)
		return ENOMEM;
	/* Who reads the old buffer keeps the version that it has begun. */
	buffer_unref(t->buffer);
	t->buffer = empty;
	t->has_data = false;
	t->awaits_dup = by_open;
	t->absent = false; /* what someone else may have made is truncated too */
	t->sent = 0;
	t->late = 0;
	t->serial++;
	return 0;
}

void transaction_abandon(struct transaction *t)
{
	t->stored = t->serial;
}

static int take_late(struct transaction *t)
{
	int error = t->late;

	t->late = 0;
	if (error) {
		t->refused = error;
		t->refused_serial = t->serial;
	}
	return error;
}

/* Whether to send the value whole keeps the sum of all SETs, the last one too, below three times the value. */
static bool worth_sending(const struct transaction *t)
{
	return t->sent <= buffer_size(t->buffer) / 2 + TRANSACTION_FREE;
}

static enum transaction_step after_change(const struct transaction *t, size_t end)
{
	if (t->mode == TRANSACTION_WRITE)
		return TRANSACTION_COMMIT;
	if (t->mode == TRANSACTION_CLOSE)
		return TRANSACTION_NOTHING;
	return end % BLOCK && worth_sending(t) ? TRANSACTION_COMMIT : TRANSACTION_LATER;
}

/* What a SET is sending out of its file stays as it is: a change from OFFSET on goes into a copy. */
static int thaw(struct transaction *t, size_t offset)
{
	if (!t->sending || offset >= t->sending_size || buffer_fd(t->buffer) < 0)
		return 0;
	struct buffer *copy = buffer_copy(t->buffer);
	if (!copy)
		return errno;
	buffer_unref(t->buffer);
	t->buffer = copy;
	return 0;
}

int transaction_write(struct transaction *t, size_t offset, const void *data, size_t len, enum transaction_step *step)
{
	int error = take_late(t);

	if (!error && (len > TRANSACTION_VALUE_MAX || offset > TRANSACTION_VALUE_MAX - len))
		error = EFBIG;
	if (!error)
		error = thaw(t, offset);
	if (!error)
		error = buffer_write(t->buffer, offset, data, len);
	if (error)
		return error;
	t->has_data = true;
	t->serial++;
	*step = after_change(t, offset + len);
	return 0;
}

int transaction_resize(struct transaction *t, size_t size, enum transaction_step *step)
{
	int error = take_late(t);

	if (!error && size > TRANSACTION_VALUE_MAX)
		error = EFBIG;
	if (!error)
		error = thaw(t, size);
	if (!error)
		error = buffer_resize(t->buffer, size);
	if (error)
		return error;
	t->has_data = true;
	t->serial++;
	*step = after_change(t, 0);
	return 0;
}

enum transaction_step transaction_sync(struct transaction *t, int *error)
{
	*error = 0;
	if (!transaction_dirty(t))
		return TRANSACTION_NOTHING;
	/* A late error is worth another try: if that ends well, nothing was lost. */
	t->late = 0;
	return TRANSACTION_COMMIT;
}

static bool refused(const struct transaction *t)
{
	return t->refused && t->refused_serial == t->serial && transaction_dirty(t);
}

enum transaction_step transaction_flush(struct transaction *t, bool by_opener, int *error)
{
	/* The WRITE was told; to wait for the same failure again would only take time. */
	if (refused(t)) {
		*error = t->refused;
		return TRANSACTION_NOTHING;
	}
	if (!t->has_data && transaction_dirty(t) && (t->awaits_dup || !by_opener)) {
		t->awaits_dup &= !by_opener;
		*error = 0;
		return TRANSACTION_NOTHING;
	}
	/* Each program that a shell starts closes what it was given; the shell's own close is still to come. */
	if (!by_opener && !t->late && transaction_dirty(t) && !worth_sending(t)) {
		*error = 0;
		return t->mode == TRANSACTION_AUTO ? TRANSACTION_LATER : TRANSACTION_NOTHING;
	}
	return transaction_sync(t, error);
}

enum transaction_step transaction_release(struct transaction *t)
{
	int error;
	return refused(t) ? TRANSACTION_NOTHING : transaction_sync(t, &error);
}

enum transaction_step transaction_quiet(const struct transaction *t)
{
	if (t->mode != TRANSACTION_AUTO || !t->has_data || !transaction_dirty(t) || t->sending || t->late)
		return TRANSACTION_NOTHING;
	/* A writer that pauses again and again must not send the square of what it writes. */
	return worth_sending(t) ? TRANSACTION_COMMIT : TRANSACTION_LATER;
}

bool transaction_unborn(const struct transaction *t)
{
	return t->absent && !t->has_data && !t->sending;
}

void transaction_born(struct transaction *t)
{
	if (!transaction_unborn(t))
		return;
	t->absent = false;
	t->stored = t->serial;
}

void transaction_mirror(struct transaction *t, size_t offset, const void *data, size_t len)
{
	if (offset <= TRANSACTION_VALUE_MAX - len && !thaw(t, offset) && !buffer_write(t->buffer, offset, data, len))
		t->has_data = true;
}

void transaction_mirror_resize(struct transaction *t, size_t size)
{
	if (!thaw(t, size))
		(void)buffer_resize(t->buffer, size);
}

void transaction_begin(struct transaction *t)
{
	t->sending = t->serial;
	t->sending_size = buffer_size(t->buffer);
	t->sent += t->sending_size;
}

void transaction_forget(struct transaction *t)
{
	t->sending = 0;
	t->sent -= t->sending_size;
}

void transaction_end(struct transaction *t, int error, bool told)
{
	uint64_t sent = t->sending;

	t->sending = 0;
	if (!error) {
		t->stored = sent;
		t->absent = false;
		t->refused = 0;
	} else if (told) {
		t->refused = error;
		t->refused_serial = t->serial;
	} else {
		t->late = error;
	}
}
