/* SPDX-License-Identifier: MIT */
/*
 * WRITE, FLUSH, FSYNC.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "type.h"

struct write {
	struct op op;
	struct handle *handle; /* held */
	size_t offset;
	size_t size;
	bool kept;
	char data[]; /* where a transaction must hear of it: then it is kept */
};

static void finish(struct op *op)
{
	handle_drop(((struct write *)op)->handle);
}

static struct write *write_create(fuse_req_t req, struct handle *handle, const char *data, size_t size, off_t offset)
{
	bool keep = handle->inode->pending;
	struct write *write = op_create(req, sizeof(*write) + (keep ? size : 0), handle->inode, NULL, 0);

	if (!write)
		return NULL;
	write->op.finish = finish;
	write->op.keeps_on = true;
	write->handle = handle_hold(handle);
	write->offset = (size_t)offset;
	write->size = size;
	write->kept = keep;
	if (keep)
		memcpy(write->data, data, size);
	return write;
}

static void reply_written(struct op *op)
{
	fuse_req_t req = op_answer(op);

	if (req)
		fuse_reply_write(req, ((struct write *)op)->size);
}

/* ---- through a transaction ---- */

static void committed(struct op *op, int error)
{
	if (error)
		op_error(op, error);
	else
		reply_written(op);
}

static void commit_written(fuse_req_t req, struct handle *handle, size_t size)
{
	struct write *write = op_create(req, sizeof(*write), handle->inode, NULL, 0);

	if (!write)
		return;
	write->op.keeps_on = true;
	write->size = size;
	pending_commit(handle->pending, &write->op, committed);
	op_drop(&write->op);
}

static void write_pending(fuse_req_t req, struct handle *handle, const char *data, size_t size, off_t offset)
{
	struct pending *pending = handle->pending;
	enum transaction_step step;
	int error = transaction_write(&pending->t, (size_t)offset, data, size, &step);

	if (error) {
		fuse_reply_err(req, error);
		return;
	}
	pending_changed(pending, step == TRANSACTION_LATER);
	if (step == TRANSACTION_COMMIT)
		commit_written(req, handle, size);
	else
		fuse_reply_write(req, size);
}

/* The key was removed or replaced: all who have the file open share what the transaction holds in memory. */
static void write_removed(fuse_req_t req, struct handle *handle, const char *data, size_t size, off_t offset)
{
	struct transaction *t = &handle->inode->pending->t;
	enum transaction_step step;
	size_t at = handle->appends ? buffer_size(t->buffer) : (size_t)offset;
	int error = transaction_write(t, at, data, size, &step);

	if (error)
		fuse_reply_err(req, error);
	else
		fuse_reply_write(req, size);
}

/* ---- straight to the server ---- */

/* What went past a transaction on the same inode is in its value too, or its next SET would take it back. */
static void mirror(struct write *write, size_t offset)
{
	struct pending *pending = write->op.inode->pending;

	if (pending && write->kept)
		transaction_mirror(&pending->t, offset, write->data, write->size);
}

/* The key must be there: a file that was removed meanwhile does not come back with a head of zeros. */
static const char range_script[] = "if redis.call('EXISTS', KEYS[1]) == 0 then return false end\n"
				   "return redis.call('SETRANGE', KEYS[1], ARGV[1], ARGV[2])\n";

static void range_set(struct op *op, const shard_result *result)
{
	struct write *write = (struct write *)op;

	if (op_failed(op, result))
		return;
	if (result->reply->type == SHARD_REPLY_NIL) {
		op_error(op, ESTALE);
		return;
	}
	inode_wrote(op->inode, fs_now());
	cache_wrote(op->fs, op->key, op->key_len);
	mirror(write, write->offset);
	reply_written(op);
}

static void submit_range(struct write *write, const char *data)
{
	shard_call how = {.flags = SHARD_IDEMPOTENT};
	struct words words = {0};
	char offset[24];

	snprintf(offset, sizeof(offset), "%zu", write->offset);
	if (write->op.member) {
		type_words_of_op(&words, TYPE_RANGE, &write->op);
	} else {
		words_text(&words, "EVAL");
		words_text(&words, range_script);
		words_text(&words, "1");
		words_key(&words, &write->op);
	}
	words_text(&words, offset);
	words_add(&words, data, write->size);
	op_submit(&write->op, &words, &how, range_set);
}

static void appended(struct op *op, const shard_result *result)
{
	struct write *write = (struct write *)op;
	struct pending *pending = op->inode->pending;

	if (op_failed(op, result))
		return;
	inode_wrote(op->inode, fs_now());
	cache_wrote(op->fs, op->key, op->key_len);
	if (pending && write->kept) {
		transaction_born(&pending->t);
		mirror(write, buffer_size(pending->t.buffer));
		pending_appended(pending);
	}
	reply_written(op);
}

static void submit_append(struct write *write, const char *data)
{
	struct words words = {0};

	if (write->op.member) {
		type_words_of_op(&words, TYPE_APPEND, &write->op);
	} else {
		words_text(&words, "APPEND");
		words_key(&words, &write->op);
	}
	words_add(&words, data, write->size);
	op_submit(&write->op, &words, NULL, appended);
}

static void submit_direct(struct write *write, const char *data)
{
	if (write->handle->appends)
		submit_append(write, data);
	else
		submit_range(write, data);
}

static void published(struct op *op, int error)
{
	struct write *write = (struct write *)op;

	if (error || op->inode->gone)
		op_error(op, error ? error : ESTALE);
	else
		submit_direct(write, write->data);
}

static void write_direct(fuse_req_t req, struct handle *handle, const char *data, size_t size, off_t offset)
{
	struct write *write = write_create(req, handle, data, size, offset);
	struct pending *pending = handle->inode->pending;

	if (!write)
		return;
	if (handle->inode->gone)
		op_error(&write->op, ESTALE);
	else if (pending && !(handle->appends && transaction_unborn(&pending->t)))
		pending_publish(handle->inode, &write->op, published);
	else
		submit_direct(write, data);
	op_drop(&write->op);
}

void write_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);

	if (!size)
		fuse_reply_write(req, 0);
	else if (!kind_has_value(handle->inode->kind))
		fuse_reply_err(req, EPERM);
	else if (inode_in_memory(handle->inode) && handle->inode->pending)
		write_removed(req, handle, data, size, offset);
	else if ((size_t)offset > TRANSACTION_VALUE_MAX - size && !handle->appends)
		fuse_reply_err(req, EFBIG);
	else if (handle->pending && !handle->appends)
		write_pending(req, handle, data, size, offset);
	else
		write_direct(req, handle, data, size, offset);
}

/* ---- FLUSH, FSYNC ---- */

static void synced(struct op *op, int error)
{
	op_error(op, error);
}

static void sync_as(fuse_req_t req, struct handle *handle, enum transaction_step step, int error)
{
	struct op *op;

	if (step == TRANSACTION_LATER)
		pending_wait(handle->pending);
	if (step != TRANSACTION_COMMIT) {
		fuse_reply_err(req, error);
		return;
	}
	op = op_create(req, sizeof(*op), handle->inode, NULL, 0);
	if (!op)
		return;
	op->keeps_on = true;
	pending_commit(handle->pending, op, synced);
	op_drop(op);
}

bool write_by_opener(fuse_req_t req, pid_t opener)
{
	pid_t pid = fuse_req_ctx(req)->pid;
	char path[64];

	if (pid == opener)
		return true;
	snprintf(path, sizeof(path), "/proc/%ld/task/%ld", (long)pid, (long)opener);
	return access(path, F_OK) == 0;
}

void write_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	int error = 0;

	if (handle->pending)
		sync_as(req, handle,
			transaction_flush(&handle->pending->t, write_by_opener(req, handle->opener), &error), error);
	else
		fuse_reply_err(req, 0);
}

void write_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);
	int error = 0;

	if (handle->pending)
		sync_as(req, handle, transaction_sync(&handle->pending->t, &error), error);
	else
		fuse_reply_err(req, 0);
}
