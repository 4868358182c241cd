/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <errno.h>
#include <stdlib.h>

#include "errors.h"

struct waiter {
	struct waiter *next;
	struct read *read; /* its op is held */
};

struct load {
	struct fs *fs;
	struct handle *handle; /* NULL: it has left */
	struct inode *inode;   /* held */
	shard_client *client; /* that has the request */
	shard_request *request;
	struct buffer *buffer;
	size_t total, there;
	struct buffer *given; /* what the reader has been given of the version before; or NULL */
	size_t given_at;
	bool served; /* READs were answered from `buffer` */
	int error;
	struct waiter *waiters;
};

static void destroy(struct load *load)
{
	buffer_unref(load->buffer);
	buffer_unref(load->given);
	inode_drop(load->inode);
	free(load);
}

/* ---- answers ---- */

static size_t end_of(const struct load *load, const struct read *read)
{
	size_t left = read->offset < load->total ? load->total - read->offset : 0;

	return read->offset + (read->size < left ? read->size : left);
}

/* Whether what the reader was given before is there again, so that the version is the one that it reads. */
static bool proven(const struct load *load)
{
	return !load->given;
}

static void answer(struct load *load, struct read *read)
{
	size_t len = end_of(load, read) - read->offset;
	fuse_req_t req = op_answer(&read->op);
	char *bytes;
	long n;

	if (!req)
		return;
	bytes = malloc(len + 1);
	n = bytes ? buffer_read(load->buffer, read->offset, bytes, len) : -1;
	if (n < 0) {
		fuse_reply_err(req, bytes ? errno : ENOMEM);
	} else {
		load->served = true;
		if (load->handle)
			handle_read(load->handle, read->offset, bytes, (size_t)n);
		fuse_reply_buf(req, bytes, (size_t)n);
	}
	free(bytes);
}

/* Answers those that can be answered. */
static void answer_waiters(struct load *load)
{
	struct waiter **at = &load->waiters;

	while (*at) {
		struct waiter *waiter = *at;

		if (!load->error && waiter->read->op.req &&
		    (!proven(load) || end_of(load, waiter->read) > load->there)) {
			at = &waiter->next;
			continue;
		}
		*at = waiter->next;
		if (load->error)
			op_error(&waiter->read->op, load->error);
		else
			answer(load, waiter->read);
		op_drop(&waiter->read->op);
		free(waiter);
	}
}

void load_read(struct load *load, struct read *read)
{
	struct waiter *waiter;

	if (proven(load) && end_of(load, read) <= load->there) {
		answer(load, read);
		return;
	}
	waiter = malloc(sizeof(*waiter));
	if (!waiter) {
		op_error(&read->op, ENOMEM);
		return;
	}
	op_hold(&read->op);
	*waiter = (struct waiter){load->waiters, read};
	load->waiters = waiter;
}

/* ---- the value ---- */

static void fail(struct load *load, int error)
{
	load->error = error;
	shard_cancel(load->client, load->request);
}

/* Compares as soon as all is there that the reader was given. */
static void prove(struct load *load)
{
	size_t len = load->given ? buffer_size(load->given) : 0;

	if (!load->given || load->there < load->given_at + len)
		return;
	if (!buffer_equal(load->given, 0, load->buffer, load->given_at, len)) {
		fail(load, ESTALE);
		return;
	}
	buffer_unref(load->given);
	load->given = NULL;
}

/* The GET was sent again: what READs were answered with is what must come again. */
static bool begin_anew(struct load *load)
{
	struct buffer *fresh = buffer_create(NULL, 0);

	if (!fresh)
		return false;
	if (load->served && !load->given) {
		load->given = buffer_ref(load->buffer);
		load->given_at = 0;
	}
	buffer_unref(load->buffer);
	load->buffer = fresh;
	load->there = 0;
	return true;
}

static void piece_came(void *ctx, size_t offset, const char *bytes, size_t len, size_t total)
{
	struct load *load = ctx;
	int error = 0;

	if (load->error)
		return;
	/* A GET that is answered after the key was removed or replaced may tell of its successor. */
	if (total != load->total || (!offset && load->inode->gone))
		error = ESTALE;
	else if (!offset && load->there && !begin_anew(load))
		error = ENOMEM;
	if (!error)
		error = buffer_write(load->buffer, offset, bytes, len);
	if (error) {
		fail(load, error);
		return;
	}
	load->there = offset + len;
	prove(load);
	if (!load->error)
		answer_waiters(load);
}

/* What the reader has from here must be found again by who reads on. */
static void leave_trace(struct load *load)
{
	struct handle *handle = load->handle;

	handle->load = NULL;
	if (!load->served || !load->there)
		return;
	buffer_unref(handle->chunk);
	handle->chunk = buffer_ref(load->buffer);
	handle->chunk_at = 0;
}

static void came(void *ctx, const shard_result *result)
{
	struct load *load = ctx;

	load->request = NULL;
	if (!load->error)
		load->error = errors_of_result(result);
	/* No string: the key is gone. */
	if (!load->error && (result->reply->type != SHARD_REPLY_INTEGER || load->there != load->total))
		load->error = ESTALE;
	if (load->handle && load->error) {
		leave_trace(load);
	} else if (load->handle) {
		load->handle->load = NULL;
		handle_loaded(load->handle, load->buffer);
	}
	answer_waiters(load);
	destroy(load);
}

int load_start(struct handle *handle)
{
	const char *words[] = {"GET", handle->inode->key};
	size_t lens[] = {3, handle->inode->key_len};
	struct load *load = calloc(1, sizeof(*load));
	shard_call how = {.sink = piece_came, .sink_ctx = load, .timeout_ms = handle->fs->options->connect.timeout_ms};
	int error;

	if (load)
		load->buffer = buffer_create(NULL, 0);
	if (!load || !load->buffer) {
		free(load);
		return ENOMEM;
	}
	load->fs = handle->fs;
	load->client = fs_client(handle->fs);
	load->handle = handle;
	load->inode = inode_hold(handle->inode);
	load->total = handle->now.size;
	load->given = buffer_ref(handle->chunk);
	load->given_at = handle->chunk_at;
	error = shard_submit(load->client, 2, words, lens, &how, came, load, &load->request);
	if (error) {
		destroy(load);
		return errors_of_code(error);
	}
	load->fs->stats.commands++;
	handle->load = load;
	return 0;
}

void load_leave(struct load *load)
{
	load->handle->load = NULL;
	load->handle = NULL;
	if (!load->waiters && load->request)
		shard_cancel(load->client, load->request);
}
