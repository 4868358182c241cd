/* SPDX-License-Identifier: MIT */
/*
 * node/HOST:PORT/info and keys: what one node says.
 *
 * The keys are fetched while they are read, by SCAN; what has come stays, in
 * a temporary file where it is much, so that any of it can be read again.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_file.h"
#include "record.h"

#define SCAN_COUNT "1000"

static const char *node_of(struct fs *fs, const struct inode *inode)
{
	return control_node_named(fs, inode->parent->member);
}

/* ---- info ---- */

struct opening {
	struct op op;
	struct fuse_file_info fi;
};

static void info_came(struct op *op, const shard_result *result)
{
	struct opening *opening = (struct opening *)op;

	if (op_failed(op, result) || !op->req)
		return;
	if (result->reply->type != SHARD_REPLY_STRING) {
		op_error(op, EIO);
		return;
	}
	struct control_file *file = control_file_create(op->fs, op->inode);
	if (file)
		file->text = buffer_create(result->reply->str, result->reply->len);
	if (file && file->text) {
		control_reply_open(op_answer(op), file, &opening->fi);
		return;
	}
	if (file)
		control_file_close(file);
	op_error(op, ENOMEM);
}

void control_open_info(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	shard_call how = {.node = node_of(fs, inode)};
	struct words words = {0};

	if (!how.node) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct opening *opening = op_create(req, sizeof(*opening), inode, NULL, 0);
	if (!opening)
		return;
	opening->fi = *fi;
	words_text(&words, "INFO");
	op_submit(&opening->op, &words, &how, info_came);
	op_drop(&opening->op);
}

/* ---- keys ---- */

void control_open_keys(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	const char *node = node_of(fs, inode);
	struct control_file *file = node ? control_file_create(fs, inode) : NULL;

	if (file) {
		file->text = buffer_create(NULL, 0);
		file->node = strdup(node);
		file->grows = true;
		strcpy(file->cursor, "0");
	}
	if (file && file->text && file->node) {
		control_reply_open(req, file, fi);
		return;
	}
	if (file)
		control_file_close(file);
	fuse_reply_err(req, node ? ENOMEM : ENOENT);
}

/* A READ that waits. */
struct control_reading {
	struct op op;
	struct control_reading *next; /* held there */
	struct control_file *file;    /* held */
	size_t size, offset;
};

static void finish(struct op *op)
{
	control_file_drop(((struct control_reading *)op)->file);
}

static void answer(struct control_reading *reading)
{
	fuse_req_t req = op_answer(&reading->op);
	struct fuse_file_info fi = {.fh = (uintptr_t)reading->file};

	if (!req)
		return;
	fuse_req_interrupt_func(req, NULL, NULL);
	control_read(req, 0, reading->size, (off_t)reading->offset, &fi);
}

/* Answers those that wait where there is something to tell, and lets go of those that nobody waits for. */
static void answer_all(struct control_file *file)
{
	for (struct control_reading **at = &file->waiting, *reading; (reading = *at);) {
		bool ready = !file->grows || reading->offset < buffer_size(file->text);

		if (!ready && reading->op.req) {
			at = &reading->next;
			continue;
		}
		*at = reading->next;
		answer(reading);
		op_drop(&reading->op);
	}
}

/* 0 or an errno. */
static int take_keys(struct control_file *file, const shard_reply *keys)
{
	struct out out;
	struct record_writer writer = {.format = RECORD_LINES, .out = &out};

	out_init(&out, -1);
	for (size_t i = 0; i < keys->len; i++) {
		record_begin(&writer);
		record_text(&writer, "key", keys->element[i].str, keys->element[i].len);
		record_end(&writer);
	}
	int error = out.len ? buffer_write(file->text, buffer_size(file->text), out.data, out.len) : 0;
	out_finish(&out);
	return error;
}

static int take_answer(struct control_file *file, const shard_reply *reply)
{
	if (reply->type != SHARD_REPLY_ARRAY || reply->len != 2 || reply->element[0].type != SHARD_REPLY_STRING ||
	    reply->element[0].len >= sizeof(file->cursor) || reply->element[1].type != SHARD_REPLY_ARRAY)
		return EIO;
	int error = take_keys(file, &reply->element[1]);
	if (error)
		return error;
	strcpy(file->cursor, reply->element[0].str);
	file->grows = strcmp(file->cursor, "0") != 0;
	return 0;
}

static void ask(struct control_file *file);

static void keys_came(struct op *op, const shard_result *result)
{
	struct control_file *file = ((struct control_reading *)op)->file;

	file->asking = false;
	if (!op_failed(op, result)) {
		int error = take_answer(file, result->reply);

		if (error)
			op_error(op, error);
	}
	answer_all(file);
	ask(file);
}

/* For the first one that waits; an interrupt of it only makes the next one ask. */
static void ask(struct control_file *file)
{
	struct control_reading *reading;
	shard_call how = {.node = file->node};

	while ((reading = file->waiting) && !file->asking) {
		struct words words = {0};

		words_text(&words, "SCAN");
		words_text(&words, file->cursor);
		words_text(&words, "COUNT");
		words_text(&words, SCAN_COUNT);
		file->asking = op_submit(&reading->op, &words, &how, keys_came);
		if (!file->asking)
			answer_all(file); /* it has its error */
	}
}

void control_read_more(fuse_req_t req, struct control_file *file, size_t size, size_t offset)
{
	struct control_reading *reading = op_create(req, sizeof(*reading), file->inode, NULL, 0);
	struct control_reading **at = &file->waiting;

	if (!reading)
		return;
	reading->op.finish = finish;
	reading->file = file;
	file->holds++;
	reading->size = size;
	reading->offset = offset;
	while (*at)
		at = &(*at)->next;
	*at = (struct control_reading *)op_hold(&reading->op);
	ask(file);
	op_drop(&reading->op);
}
