/* SPDX-License-Identifier: MIT */
/*
 * READ.
 */
#include "ops.h"
#include "read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "errors.h"
#include "load.h"
#include "pages.h"
#include "type.h"

/* Up to here a value is loaded whole, so that a reader sees one version whatever happens. */
#define LOAD_MAX ((size_t)4 << 20)
/* What is fetched for a sequential reader of a larger one, ... */
#define CHUNK ((size_t)1 << 20)
/* ... and what is kept together for one who goes back and forth, until all of it is fetched. */
#define WINDOW ((size_t)4 << 20)
#define COPIER ((size_t)64 << 10)

static void finish(struct op *op)
{
	handle_drop(((struct read *)op)->handle);
}

static void reply_buffer(fuse_req_t req, const struct buffer *buffer, size_t offset, size_t size)
{
	size_t there = buffer_size(buffer);
	size_t len = offset < there ? (size < there - offset ? size : there - offset) : 0;
	char *bytes = malloc(len + 1);
	long n = bytes ? buffer_read(buffer, offset, bytes, len) : -1;

	if (n < 0)
		fuse_reply_err(req, bytes ? errno : ENOMEM);
	else
		fuse_reply_buf(req, bytes, (size_t)n);
	free(bytes);
}

static void reply_version(struct read *read)
{
	fuse_req_t req = op_answer(&read->op);

	read->handle->started = true;
	if (read->offset >= read->handle->now.size)
		handle_ended(read->handle);
	if (req)
		reply_buffer(req, read->handle->now.value, read->offset, read->size);
}

static void reply_end(struct read *read)
{
	fuse_req_t req = op_answer(&read->op);

	handle_ended(read->handle);
	if (req)
		fuse_reply_buf(req, "", 0);
}

static void reply_bytes(struct op *op, const shard_reply *reply)
{
	fuse_req_t req = op_answer(op);

	if (req && reply->type == SHARD_REPLY_STRING)
		fuse_reply_buf(req, reply->str, reply->len);
	else if (req)
		fuse_reply_err(req, EIO);
}

/* ---- from the server ---- */

static void value_came(struct op *op, const shard_result *result)
{
	struct read *read = (struct read *)op;

	if (op_failed(op, result))
		return;
	inode_stale(op->inode);
	if (result->reply->type != SHARD_REPLY_STRING || op->inode->gone) {
		op_error(op, ESTALE);
		return;
	}
	struct buffer *value = op->member ? type_value(type_of_op(op), result->reply)
					  : buffer_create(result->reply->str, result->reply->len);
	if (!value) {
		op_error(op, ENOMEM);
		return;
	}
	handle_take(read->handle, value);
	buffer_unref(value);
	reply_version(read);
}

/* A number, then bytes. False: the op was answered with an error. */
static bool read_pair(struct op *op, const shard_result *result, long long *number, const shard_reply **bytes)
{
	const shard_reply *reply = result->reply;

	if (op_failed(op, result))
		return false;
	bool pair = reply->type == SHARD_REPLY_ARRAY && reply->len == 2;
	if (pair && reply->element[0].type == SHARD_REPLY_INTEGER && reply->element[1].type == SHARD_REPLY_STRING) {
		*number = reply->element[0].integer;
		*bytes = &reply->element[1];
		return true;
	}
	op_error(op, pair && reply->element[0].type == SHARD_REPLY_ERROR ? errors_of_reply(&reply->element[0]) : EIO);
	return false;
}

static void range_came(struct op *op, const shard_result *result)
{
	const shard_reply *bytes;
	long long there;

	if (!read_pair(op, result, &there, &bytes))
		return;
	if (there && !op->inode->gone)
		reply_bytes(op, bytes);
	else
		op_error(op, ESTALE);
}

void read_submit_versioned(struct read *read, size_t first, size_t last, op_step step)
{
	struct words words[2] = {0};
	char from[24], to[24];

	snprintf(from, sizeof(from), "%zu", first);
	snprintf(to, sizeof(to), "%zu", last);
	words_text(&words[0], "STRLEN");
	words_key(&words[0], &read->op);
	words_text(&words[1], "GETRANGE");
	words_key(&words[1], &read->op);
	words_text(&words[1], from);
	words_text(&words[1], to);
	op_submit_multi(&read->op, 2, words, step);
}

bool read_versioned(struct op *op, const shard_result *result, size_t *length, const shard_reply **bytes)
{
	long long number;

	if (!read_pair(op, result, &number, bytes))
		return false;
	*length = (size_t)number;
	if (!op->inode->gone)
		return true;
	op_error(op, ESTALE); /* this may be its successor */
	return false;
}

static void reply_chunk(struct read *read)
{
	struct handle *handle = read->handle;
	size_t at = read->offset - handle->chunk_at;
	size_t there = buffer_size(handle->chunk) - at;
	size_t len = read->size < there ? read->size : there;
	const char *bytes = buffer_map(handle->chunk, at + len) + at;
	fuse_req_t req = op_answer(&read->op);

	handle_read(handle, read->offset, bytes, len);
	if (req)
		fuse_reply_buf(req, bytes, len);
}

/* Whether WINDOW, from `first` on, reaches over what the reader was given before, and whether it is the same there. */
static bool covers(const struct read *read, const struct buffer *window)
{
	const struct buffer *chunk = read->handle->chunk;
	size_t at = read->handle->chunk_at;

	return !chunk || (at >= read->first && at + buffer_size(chunk) <= read->first + buffer_size(window));
}

static bool continues(const struct read *read, const struct buffer *window)
{
	const struct buffer *chunk = read->handle->chunk;

	return !chunk || buffer_equal(chunk, 0, window, read->handle->chunk_at - read->first, buffer_size(chunk));
}

static void read_large(struct read *read);

static void window_came(struct op *op, const shard_result *result)
{
	struct read *read = (struct read *)op;
	struct handle *handle = read->handle;
	const shard_reply *bytes;
	size_t length;

	if (!read_versioned(op, result, &length, &bytes))
		return;
	struct buffer *window = buffer_create(bytes->str, bytes->len);
	if (!window) {
		op_error(op, ENOMEM);
	} else if (length != handle->now.size || read->offset - read->first > bytes->len) {
		buffer_unref(window);
		op_error(op, ESTALE);
	} else if (!covers(read, window)) {
		buffer_unref(window);
		read_large(read); /* another READ was quicker */
	} else if (!continues(read, window)) {
		buffer_unref(window);
		op_error(op, ESTALE);
	} else {
		buffer_unref(handle->chunk);
		handle->chunk = window;
		handle->chunk_at = read->first;
		reply_chunk(read);
	}
}

/* Whether the chunk has all that is asked for. */
static bool in_chunk(const struct read *read)
{
	const struct handle *handle = read->handle;
	size_t end = read->offset + read->size < handle->now.size ? read->offset + read->size : handle->now.size;

	return handle->chunk && read->offset >= handle->chunk_at && read->offset < end &&
	       end <= handle->chunk_at + buffer_size(handle->chunk);
}

static void submit_range(struct read *read)
{
	struct words words[2] = {0};
	char first[24], last[24];

	snprintf(first, sizeof(first), "%zu", read->offset);
	snprintf(last, sizeof(last), "%zu", read->offset + read->size - 1);
	words_text(&words[0], "EXISTS"); /* a range of nothing is empty */
	words_key(&words[0], &read->op);
	words_text(&words[1], "GETRANGE");
	words_key(&words[1], &read->op);
	words_text(&words[1], first);
	words_text(&words[1], last);
	op_submit_multi(&read->op, 2, words, range_came);
}

/*
 * What is to be fetched at once for READ, so that it belongs to the version of
 * what its reader has. False: too much; then all of it is better fetched.
 */
static bool window_for(struct read *read, size_t *last)
{
	struct handle *handle = read->handle;
	bool sequential = read->offset == handle->next_read && read->size < CHUNK;
	size_t end = read->offset + (sequential ? CHUNK : read->size);

	read->first = read->offset;
	/* A buffer like cp's: who only wants the head of it has a smaller one. */
	if (!handle->chunk && !handle->now.ranges && !read->offset && read->size >= COPIER)
		return false;
	if (handle->chunk) {
		size_t chunk_end = handle->chunk_at + buffer_size(handle->chunk);

		if (read->offset == chunk_end && !handle->now.ranges)
			return false;
		read->first = read->first < handle->chunk_at ? read->first : handle->chunk_at;
		end = end > chunk_end ? end : chunk_end;
	}
	/* Who follows a value that grows has no version of all of it. */
	if (handle->now.ranges && end - read->first > WINDOW) {
		buffer_unref(handle->chunk);
		handle->chunk = NULL;
		read->first = read->offset;
		end = read->offset + read->size;
	}
	*last = end - 1;
	return end - read->first <= WINDOW;
}

static void read_whole(struct read *read)
{
	int error = load_start(read->handle);

	if (error)
		op_error(&read->op, error);
	else
		load_read(read->handle->load, read);
}

static void read_large(struct read *read)
{
	struct handle *handle = read->handle;
	size_t last;

	handle->started = true;
	if (read->offset >= handle->now.size)
		reply_end(read);
	else if (handle->load)
		load_read(handle->load, read);
	else if (in_chunk(read))
		reply_chunk(read);
	else if (window_for(read, &last))
		read_submit_versioned(read, read->first, last, window_came);
	else
		read_whole(read);
}

/* The key, if there is one, is another file by now. */
static void read_gone(struct read *read)
{
	struct handle *handle = read->handle;

	if (handle->writes && handle->now.changes != handle->inode->changes)
		op_error(&read->op, ESTALE);
	else if (handle->now.value)
		reply_version(read);
	else if (handle->load)
		load_read(handle->load, read);
	else if (in_chunk(read))
		reply_chunk(read);
	else
		op_error(&read->op, ESTALE);
}

/* A member is always loaded whole. */
static void read_member(struct read *read)
{
	struct handle *handle = read->handle;
	struct words words = {0};

	if (handle->inode->kind == KIND_TOKEN) {
		reply_end(read);
	} else if (handle->now.value && !(handle->writes && handle->now.changes != handle->inode->changes)) {
		reply_version(read);
	} else {
		words_text(&words, type_of_op(&read->op)->get);
		words_key(&words, &read->op);
		words_member(&words, &read->op);
		op_submit(&read->op, &words, NULL, value_came);
	}
}

static void read_known(struct read *read)
{
	struct handle *handle = read->handle;

	if (handle->inode->gone)
		read_gone(read);
	else if (read->op.member)
		read_member(read);
	else if (handle->writes && handle->now.changes != handle->inode->changes)
		submit_range(read); /* it sees its own writes */
	else if (follow_wanted(read))
		follow_start(read);
	else if (handle->now.value)
		reply_version(read);
	else if (handle->now.size <= LOAD_MAX && !handle->now.ranges)
		op_submit_key(&read->op, "GET", value_came);
	else
		read_large(read);
}

static void read_seen(struct read *read, const struct sight *sight)
{
	if (!read->offset)
		read->handle->started = false;
	handle_saw(read->handle, sight);
	read_known(read);
}

static void looked(struct op *op, int error)
{
	struct read *read = (struct read *)op;
	const struct sight *sight = &op->probe.sight;

	if (!error && sight->kind != op->inode->kind)
		error = ESTALE;
	if (error) {
		op_error(op, error);
		return;
	}
	if (op->inode->gone) { /* that was its successor */
		read_gone(read);
		return;
	}
	cache_saw(op->fs, op->inode, sight);
	cache_keep_true(op, op->inode);
	read_seen(read, sight);
}

static void start(struct read *read)
{
	struct handle *handle = read->handle;
	struct inode *inode = handle->inode;

	if (pending_visible(inode) && (handle->writes || handle_needs_look(handle, read->offset))) {
		handle_take(handle, inode->pending->t.buffer);
		reply_version(read);
	} else if (!handle_needs_look(handle, read->offset)) {
		read_known(read);
	} else if (!inode->gone) {
		const struct sight *hit = cache_hit(read->op.fs, inode);

		if (hit)
			read_seen(read, hit);
		else
			probe_start(&read->op, looked);
	} else {
		read_gone(read);
	}
}

/*
 * What is known needs no op. Takes a version up as start() does, which goes on
 * from there where this does not answer.
 */
static bool answered_at_once(fuse_req_t req, struct handle *handle, size_t size, size_t offset)
{
	struct inode *inode = handle->inode;

	if (inode->gone || inode->pending || handle->writes || handle->ended || handle->now.ranges || handle->load)
		return false;
	if (handle_needs_look(handle, offset)) {
		const struct sight *hit = cache_hit(handle->fs, inode);

		if (!hit || !hit->whole)
			return false;
		handle->started = handle->started && offset;
		handle_saw(handle, hit);
	}
	struct buffer *value = handle->now.value;
	if (!value || buffer_fd(value) >= 0)
		return false;
	handle->started = true;
	size_t there = handle->now.size;
	size_t len = offset < there ? (size < there - offset ? size : there - offset) : 0;
	if (!len)
		handle_ended(handle);
	fuse_reply_buf(req, len ? buffer_map(value, there) + offset : "", len);
	return true;
}

void read_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct handle *handle = handle_of(fi);

	if (handle->pending) {
		reply_buffer(req, handle->pending->t.buffer, (size_t)offset, size);
		return;
	}
	if (pages_read(req, handle, size, (size_t)offset) || answered_at_once(req, handle, size, (size_t)offset))
		return;
	struct read *read = op_create(req, sizeof(*read), handle->inode, NULL, 0);
	if (!read)
		return;
	read->handle = handle_hold(handle);
	read->op.finish = finish;
	read->size = size;
	read->offset = (size_t)offset;
	start(read);
	op_drop(&read->op);
}
