/* SPDX-License-Identifier: MIT */
#include "pending.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "errors.h"
#include "handle.h"
#include "type.h"

#define OWN_MIN ((size_t)1 << 20) /* what is larger goes by a connection of its own */
#define PATIENCE_MS 1000          /* at first, for what costs much to store at each pause */

static void store(struct pending *pending);

bool pending_visible(const struct inode *inode)
{
	return inode->pending && (transaction_dirty(&inode->pending->t) || inode_in_memory(inode));
}

void pending_drop(struct pending *pending)
{
	if (--pending->holds)
		return;
	struct inode *inode = pending->inode;
	inode->pending = NULL;
	shard_timer_cancel(pending->quiet);
	transaction_finish(&pending->t);
	free(pending);
	inode_drop(inode);
}

static int begin(struct fs *fs, struct inode *inode, enum transaction_origin origin)
{
	struct pending *pending = calloc(1, sizeof(*pending));
	struct buffer *buffer = pending ? buffer_create(NULL, 0) : NULL;

	if (!buffer) {
		free(pending);
		return ENOMEM;
	}
	transaction_init(&pending->t, buffer, fs->options->commit, origin);
	pending->fs = fs;
	pending->inode = inode_hold(inode);
	pending->handles = pending->holds = 1;
	pending->stored_at = fs_now_ms();
	pending->patience = PATIENCE_MS;
	inode->pending = pending;
	return 0;
}

int pending_truncate(struct pending *pending, bool by_open)
{
	int error = transaction_truncate(&pending->t, by_open);

	if (!error)
		pending->foreign = false; /* whoever made it, it is truncated */
	return error;
}

int pending_open(struct fs *fs, struct inode *inode, enum transaction_origin origin)
{
	struct pending *pending = inode->pending;

	inode_stale(inode);
	inode->mtime = inode->ctime = fs_now();
	if (!pending)
		return begin(fs, inode, origin);
	int error = pending_truncate(pending, origin != TRANSACTION_TRUNCATED);
	if (error)
		return error;
	pending->handles++;
	pending->holds++;
	return 0;
}

/* What nobody is left to write: as after the last close(). */
static bool left_over(struct pending *pending)
{
	return !pending->handles && !pending->storing && !inode_in_memory(pending->inode) &&
	       transaction_release(&pending->t) == TRANSACTION_COMMIT;
}

void pending_close(struct pending *pending)
{
	if (--pending->handles == 0) {
		/* It is stored now, or with what is under way; and the timer's client may end before that one. */
		shard_timer_cancel(pending->quiet);
		pending->quiet = NULL;
	}
	if (left_over(pending))
		store(pending);
	pending_drop(pending);
}

void pending_abandon(struct pending *pending)
{
	if (pending->handles == 1 && !pending->storing)
		transaction_abandon(&pending->t);
}

static void wait_for_quiet(struct pending *pending, uint64_t ms);

/* What costs too much to be stored at each pause is stored after pauses that double. */
static void store_seldom(struct pending *pending, uint64_t now)
{
	uint64_t since = now - pending->stored_at;

	if (since < pending->patience) {
		wait_for_quiet(pending, pending->patience - since);
		return;
	}
	pending->patience *= 2;
	store(pending);
}

static void quiet(void *ctx)
{
	struct pending *pending = ctx;
	uint64_t now = fs_now_ms(), age = now - pending->changed_at;

	pending->quiet = NULL;
	if (inode_in_memory(pending->inode) || !transaction_dirty(&pending->t))
		return;
	if (age < TRANSACTION_QUIET_MS) {
		wait_for_quiet(pending, TRANSACTION_QUIET_MS - age);
		return;
	}
	if (pending->storing) {
		wait_for_quiet(pending, TRANSACTION_QUIET_MS);
		return;
	}
	switch (transaction_quiet(&pending->t)) {
	case TRANSACTION_COMMIT:
		store(pending);
		return;
	case TRANSACTION_LATER:
		store_seldom(pending, now);
		return;
	case TRANSACTION_NOTHING:
		return;
	}
}

static void wait_for_quiet(struct pending *pending, uint64_t ms)
{
	pending->quiet = shard_timer_add(fs_client(pending->fs), (unsigned)ms, quiet, pending);
}

void pending_changed(struct pending *pending, bool later)
{
	pending->inode->mtime = pending->inode->ctime = fs_now();
	pending->changed_at = fs_now_ms();
	if (later)
		pending_wait(pending);
}

void pending_wait(struct pending *pending)
{
	if (!pending->quiet)
		wait_for_quiet(pending, TRANSACTION_QUIET_MS);
}

/* ---- the SET ---- */

static void wake(struct pending_waiter **list, uint64_t serial, int error)
{
	struct pending_waiter *due = NULL, **at = list;

	/* Taken out before the first is called: it may add others. */
	while (*at) {
		struct pending_waiter *waiter = *at;
		if (waiter->serial > serial) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		waiter->next = due;
		due = waiter;
	}
	while (due) {
		struct pending_waiter *waiter = due;
		due = waiter->next;
		waiter->done(waiter->op, error);
		op_drop(waiter->op);
		free(waiter);
	}
}

static bool anyone_listens(const struct pending *pending)
{
	for (const struct pending_waiter *waiter = pending->waiters; waiter; waiter = waiter->next)
		if (waiter->op->req)
			return true;
	return false;
}

/* Its handles write straight to the server from here on. (The caller holds it.) */
static void dissolve(struct pending *pending)
{
	for (struct handle *handle = pending->inode->handles; handle; handle = handle->next_same) {
		if (handle->pending != pending)
			continue;
		handle->pending = NULL;
		pending->handles--;
		pending->holds--;
	}
}

static bool all_append(const struct pending *pending)
{
	for (const struct handle *handle = pending->inode->handles; handle; handle = handle->next_same)
		if (handle->pending == pending && !handle->appends)
			return false;
	return true;
}

void pending_appended(struct pending *pending)
{
	if (transaction_dirty(&pending->t) || pending->storing || inode_in_memory(pending->inode) ||
	    !all_append(pending))
		return;
	pending->holds++;
	dissolve(pending);
	pending_drop(pending);
}

/* After a SET. A failure is told to all who wait, so that nobody waits for two deadlines. */
static void stored(struct pending *pending, int error)
{
	uint64_t sent = pending->t.sending;
	bool told = anyone_listens(pending);

	buffer_unref(pending->sent);
	pending->sent = NULL;
	pending->storing = false;
	pending->stored_at = fs_now_ms();
	pending->fs->commits--;
	/* Also where it is not known whether it was stored. */
	cache_wrote(pending->fs, pending->inode->key, pending->inode->key_len);
	if (!error)
		inode_wrote(pending->inode, pending->inode->mtime);
	else if (!told)
		fs_log(pending->fs, pending->inode, "cannot be stored", error);
	transaction_end(&pending->t, error, told);
	wake(&pending->waiters, error ? UINT64_MAX : sent, error);
	wake(&pending->settlers, UINT64_MAX, 0);
	if (!pending->storing && (pending->waiters || (!error && left_over(pending))))
		store(pending);
	if (pending->foreign && !transaction_dirty(&pending->t))
		dissolve(pending);
	pending_drop(pending);
}

static void range_set(void *ctx, const shard_result *result)
{
	stored(ctx, errors_of_result(result));
}

/* A large one does not keep others waiting; out of a file it takes no memory. */
void pending_add_value(struct pending_value *value, struct words *words, int place, struct buffer *buffer, size_t len)
{
	int fd = buffer_fd(buffer);

	value->body = (shard_body){.argument = place, .fd = fd, .len = len};
	value->how = (shard_call){.flags = SHARD_IDEMPOTENT | (len > OWN_MIN ? SHARD_OWN_CONNECTION : 0)};
	if (fd >= 0) {
		value->how.body = &value->body;
		return;
	}
	words->word[place] = buffer_map(buffer, len);
	words->len[place] = len;
}

static void submit_value(struct pending *pending, struct words *words, int place, shard_callback callback)
{
	struct pending_value value;
	int error;

	pending_add_value(&value, words, place, pending->sent, pending->t.sending_size);
	value.how.timeout_ms = pending->fs->options->connect.timeout_ms;
	pending->fs->stats.commands++;
	error = shard_submit(fs_client(pending->fs), words->count, words->word, words->len, &value.how, callback,
			     pending, NULL);
	if (error)
		stored(pending, errors_of_code(error));
}

/*
 * The key that our open() was to create is there. An open() that does not
 * truncate would have found it: what was written goes over it.
 */
static void submit_over(struct pending *pending)
{
	struct words words = {0};

	if (pending->inode->parent) {
		type_words(&words, TYPE_RANGE, pending->inode->parent, pending->inode->member,
			   pending->inode->member_len);
		words_text(&words, "0");
		words_text(&words, "");
		submit_value(pending, &words, 6, range_set);
		return;
	}
	words_text(&words, "SETRANGE");
	words_add(&words, pending->inode->key, pending->inode->key_len);
	words_text(&words, "0");
	words_text(&words, "");
	submit_value(pending, &words, 3, range_set);
}

static void submit(struct pending *pending);

/* Whether the file that was to be made was made by someone else. */
static bool was_there(const struct pending *pending, const shard_reply *reply)
{
	if (!pending->inode->parent)
		return reply->type == SHARD_REPLY_NIL;
	return pending->t.absent && reply->type == SHARD_REPLY_INTEGER && !reply->integer;
}

static void set_came(void *ctx, const shard_result *result)
{
	struct pending *pending = ctx;
	int error = errors_of_result(result);

	pending->foreign = !error && was_there(pending, result->reply);
	if (pending->foreign && buffer_size(pending->t.buffer)) {
		transaction_begin(&pending->t); /* with what was written meanwhile */
		submit(pending);
	} else {
		stored(pending, error);
	}
}

void pending_add_ttl(const struct options *options, struct words *words, char seconds[24])
{
	if (options->ttl == TTL_KEEP) {
		words_text(words, "KEEPTTL");
	} else if (options->ttl == TTL_SECONDS) {
		snprintf(seconds, 24, "%llu", options->ttl_seconds);
		words_text(words, "EX");
		words_text(words, seconds);
	}
}

static void submit_member(struct pending *pending)
{
	const struct inode *inode = pending->inode, *dir = inode->parent;
	const struct type *type = type_of(dir->kind);
	struct words words = {0};

	if (type->set && !pending->t.absent) {
		words_text(&words, type->set);
		words_add(&words, dir->key, dir->key_len);
		words_add(&words, inode->member, inode->member_len);
	} else {
		type_words(&words, pending->t.absent ? TYPE_MAKE : TYPE_SET, dir, inode->member, inode->member_len);
	}
	words_text(&words, "");
	submit_value(pending, &words, words.count - 1, set_came);
}

static void submit_set(struct pending *pending)
{
	struct words words = {0};
	char seconds[24];

	words_text(&words, "SET");
	words_add(&words, pending->inode->key, pending->inode->key_len);
	words_text(&words, "");
	if (pending->t.absent)
		words_text(&words, "NX");
	pending_add_ttl(pending->fs->options, &words, seconds);
	submit_value(pending, &words, 2, set_came);
}

static void submit(struct pending *pending)
{
	buffer_unref(pending->sent);
	pending->sent = buffer_ref(pending->t.buffer);
	if (pending->foreign)
		submit_over(pending);
	else if (pending->inode->parent)
		submit_member(pending);
	else
		submit_set(pending);
}

static void store(struct pending *pending)
{
	transaction_begin(&pending->t);
	pending->storing = true;
	pending->holds++;
	pending->fs->commits++;
	pending->fs->stats.commits++;
	submit(pending);
}

/* ---- waiting ---- */

static bool wait_in(struct pending_waiter **list, uint64_t serial, struct op *op, pending_done done)
{
	struct pending_waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter) {
		done(op, ENOMEM);
		return false;
	}
	*waiter = (struct pending_waiter){*list, op_hold(op), done, serial};
	op->asked = true;
	*list = waiter;
	return true;
}

void pending_commit(struct pending *pending, struct op *op, pending_done done)
{
	if (inode_in_memory(pending->inode) || !transaction_dirty(&pending->t))
		done(op, 0);
	else if (wait_in(&pending->waiters, pending->t.serial, op, done) && !pending->storing)
		store(pending);
}

void pending_publish(struct inode *inode, struct op *op, pending_done done)
{
	if (inode->pending)
		pending_commit(inode->pending, op, done);
	else
		done(op, 0);
}

void pending_settle(struct inode *inode, struct op *op, pending_done done)
{
	if (inode->pending && inode->pending->storing)
		wait_in(&inode->pending->settlers, 0, op, done);
	else
		done(op, 0);
}
