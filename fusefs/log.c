/* SPDX-License-Identifier: MIT */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "op.h"
#include "record.h"

#define ENTRIES 1000
#define ENTRIES_TEXT "1000"
/* So long stat() looks for the end; then it tells what it has. */
#define STAT_MS 1000

struct log {
	struct inode *inode; /* held */
	unsigned holds;
	struct buffer *text;
	unsigned long long ms, seq; /* where to go on */
	struct look_mark end;       /* under which there was no more */
};

struct log *log_join(struct inode *inode)
{
	struct log *log = inode->log;

	if (!log) {
		log = calloc(1, sizeof(*log));
		struct buffer *text = log ? buffer_create(NULL, 0) : NULL;
		if (!text) {
			free(log);
			return NULL;
		}
		log->text = text;
		log->inode = inode_hold(inode);
		inode->log = log;
	}
	log->holds++;
	return log;
}

void log_leave(struct log *log)
{
	struct inode *inode = log->inode;

	if (--log->holds)
		return;
	inode->log = NULL;
	buffer_unref(log->text);
	free(log);
	inode_drop(inode);
}

size_t log_size(const struct inode *inode)
{
	return inode->log ? buffer_size(inode->log->text) : 0;
}

/* ---- what is new ---- */

struct look {
	struct op op;
	struct log *log; /* held */
	struct waiter *waiter; /* held; NULL: the attributes are wanted */
	bool poll;             /* whether there is more than it has read; else SIZE bytes at OFFSET */
	size_t size, offset;
	unsigned long long ms, seq; /* what was asked for */
	struct look_mark mark;
};

static void finish(struct op *op)
{
	struct look *look = (struct look *)op;

	waiter_drop(look->waiter);
	log_leave(look->log);
}

/* An entry is an ID and an array of words. */
static int put_entry(struct log *log, struct record_writer *writer, const shard_reply *entry)
{
	if (entry->type != SHARD_REPLY_ARRAY || entry->len != 2 || entry->element[0].type != SHARD_REPLY_STRING ||
	    sscanf(entry->element[0].str, "%llu-%llu", &log->ms, &log->seq) != 2)
		return EIO;
	if (!++log->seq)
		log->ms++;
	record_begin(writer);
	record_text(writer, NULL, entry->element[0].str, entry->element[0].len);
	const shard_reply *words = &entry->element[1];
	for (size_t i = 0; words->type == SHARD_REPLY_ARRAY && i < words->len; i++)
		record_text(writer, NULL, words->element[i].str, words->element[i].len);
	record_end(writer);
	return 0;
}

static int take_entries(struct log *log, const shard_reply *entries)
{
	struct out out;
	struct record_writer writer = {.format = RECORD_LINES, .out = &out};
	int error = entries->type == SHARD_REPLY_ARRAY ? 0 : EIO;

	out_init(&out, -1); /* it is only a buffer here */
	for (size_t i = 0; !error && i < entries->len; i++)
		error = put_entry(log, &writer, &entries->element[i]);
	if (!error && entries->len) {
		error = buffer_write(log->text, buffer_size(log->text), out.data, out.len);
		log->inode->mtime = log->inode->ctime = fs_now();
	}
	out_finish(&out);
	return error;
}

static bool is_current(const struct look *look)
{
	return cache_look_holds(look->op.fs, &look->log->end);
}

static void reply_attr(fuse_req_t req, const struct op *op, size_t size)
{
	struct stat st;

	fs_stat(op->fs, op->inode, size, &st);
	fuse_reply_attr(req, &st, 0);
}

static void reply_poll(fuse_req_t req, const struct look *look, bool more)
{
	if (!more && !is_current(look))
		waiter_look_later(look->waiter);
	fuse_reply_poll(req, POLLOUT | POLLWRNORM | (more ? POLLIN | POLLRDNORM : 0));
}

static void reply(struct look *look)
{
	fuse_req_t req = op_answer(&look->op);
	size_t there = buffer_size(look->log->text);

	if (!req)
		return;
	if (!look->waiter) {
		reply_attr(req, &look->op, there);
		return;
	}
	if (look->poll) {
		reply_poll(req, look, there > look->waiter->at);
		return;
	}
	size_t len = look->offset < there ? there - look->offset : 0;
	len = len < look->size ? len : look->size;
	char *bytes = malloc(len + 1);
	long n = bytes ? buffer_read(look->log->text, look->offset, bytes, len) : -1;
	if (n < 0)
		fuse_reply_err(req, bytes ? errno : ENOMEM);
	else
		fuse_reply_buf(req, bytes, (size_t)n);
	if (n >= 0)
		look->waiter->at = look->offset + (size_t)n;
	free(bytes);
}

static bool satisfied(const struct look *look)
{
	if (!look->waiter)
		return stats_now_us() - look->op.began_us > STAT_MS * 1000;
	if (look->poll)
		return buffer_size(look->log->text) > look->waiter->at;
	return buffer_size(look->log->text) >= look->offset + look->size;
}

static void ask(struct look *look);

static void entries_came(struct op *op, const shard_result *result)
{
	struct look *look = (struct look *)op;
	struct log *log = look->log;
	int error = 0;

	if (op_failed(op, result))
		return;
	const shard_reply *entries = result->reply;
	bool end = entries->type == SHARD_REPLY_ARRAY && entries->len < ENTRIES;
	/* Where somebody else has taken them meanwhile, they are there. */
	if (look->ms == log->ms && look->seq == log->seq) {
		error = take_entries(log, entries);
		cache_look_came(op->fs, &look->mark, op->key, op->key_len, result->node);
		if (end && !error)
			log->end = look->mark;
	}
	if (error)
		op_error(op, error);
	else if (end || satisfied(look))
		reply(look);
	else if (op->req)
		ask(look);
}

static void ask(struct look *look)
{
	struct words words = {0};
	char from[48];

	look->ms = look->log->ms;
	look->seq = look->log->seq;
	cache_look_begins(look->op.fs, &look->mark, look->op.key, look->op.key_len);
	snprintf(from, sizeof(from), "%llu-%llu", look->ms, look->seq);
	words_text(&words, "XRANGE");
	words_key(&words, &look->op);
	words_text(&words, from);
	words_text(&words, "+");
	words_text(&words, "COUNT");
	words_text(&words, ENTRIES_TEXT);
	op_submit(&look->op, &words, NULL, entries_came);
}

static void start(fuse_req_t req, struct inode *inode, struct log *log, const struct look *wanted)
{
	struct look *look = op_create(req, sizeof(*look), inode, NULL, 0);

	if (!look)
		return;
	look->op.finish = finish;
	look->log = log;
	log->holds++;
	look->waiter = wanted->waiter ? waiter_hold(wanted->waiter) : NULL;
	look->poll = wanted->poll;
	look->size = wanted->size;
	look->offset = wanted->offset;
	if (look->waiter && satisfied(look))
		reply(look);
	else if (inode->gone)
		op_error(&look->op, ESTALE);
	else if (is_current(look))
		reply(look);
	else
		ask(look);
	op_drop(&look->op);
}

void log_getattr(fuse_req_t req, struct inode *inode)
{
	start(req, inode, inode->log, &(struct look){0});
}

void log_read(fuse_req_t req, struct waiter *waiter, struct log *log, size_t size, size_t offset)
{
	start(req, waiter->inode, log, &(struct look){.waiter = waiter, .size = size, .offset = offset});
}

void log_poll(fuse_req_t req, struct waiter *waiter, struct log *log)
{
	start(req, waiter->inode, log, &(struct look){.waiter = waiter, .poll = true});
}
