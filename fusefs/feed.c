/* SPDX-License-Identifier: MIT */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"
#include "log.h"
#include "ops.h"
#include "record.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define FIELDS_MAX 4000 /* what a script can unpack */

struct feed {
	struct feed *prev, *next; /* of all open ones */
	struct fs *fs;
	struct inode *inode; /* held */
	unsigned holds;
	pid_t opener;
	struct buffer *element; /* %push: what was written since the last close() */
	char *line;             /* %log: the line that has no end yet */
	size_t line_len;
	struct log *log; /* %log: what is read, or NULL */
	struct waiter *waiter; /* with it */
};

static struct feed *feed_of(const struct fuse_file_info *fi)
{
	return (struct feed *)(uintptr_t)fi->fh;
}

static void feed_drop(struct feed *feed)
{
	if (--feed->holds)
		return;
	buffer_unref(feed->element);
	free(feed->line);
	inode_drop(feed->inode);
	free(feed);
}

/* ---- commands ---- */

/* Words of a command that may be many. */
struct command {
	const char **word;
	size_t *len;
	char *counts; /* of the fields of each entry, as text */
	int count, room;
};

static void command_finish(struct command *command)
{
	free(command->word);
	free(command->len);
	free(command->counts);
}

static int add(struct command *command, const char *word, size_t len)
{
	if (command->count == command->room) {
		int room = command->room ? command->room * 2 : 64;
		const char **words = realloc(command->word, (size_t)room * sizeof(*words));
		size_t *lens = words ? realloc(command->len, (size_t)room * sizeof(*lens)) : NULL;
		command->word = words ? words : command->word;
		if (!lens)
			return ENOMEM;
		command->len = lens;
		command->room = room;
	}
	command->word[command->count] = word;
	command->len[command->count++] = len;
	return 0;
}

static const char add_script[] = "local i = 1\n"
				 "while i <= #ARGV do\n"
				 "  local n = tonumber(ARGV[i])\n"
				 "  redis.call('XADD', KEYS[1], '*', unpack(ARGV, i + 1, i + n))\n"
				 "  i = i + n + 1\n"
				 "end\n"
				 "return 1\n";

/* The fields of a line, decoded in place. 0 or an errno. */
static int add_line(struct command *command, char *line, size_t len, char count_text[8])
{
	struct record_field *fields;
	unsigned count = 1;
	int error = 0;

	for (size_t i = 0; i < len; i++)
		count += line[i] == '\t';
	if (count % 2 || count > FIELDS_MAX)
		return EINVAL;
	fields = calloc(count, sizeof(*fields));
	if (!fields)
		return ENOMEM;
	if (record_split(RECORD_LINES, line, len, NULL, count, fields))
		error = EINVAL;
	snprintf(count_text, 8, "%u", count);
	if (!error)
		error = add(command, count_text, strlen(count_text));
	for (unsigned i = 0; i < count && !error; i++)
		error = add(command, fields[i].data, fields[i].len);
	free(fields);
	return error;
}

static size_t count_lines(const char *bytes, size_t len)
{
	size_t count = 1;

	for (size_t i = 0; i < len; i++)
		count += bytes[i] == '\n';
	return count;
}

/* All lines in one command. Changes BYTES. With no words: there were none but empty ones. */
static int add_lines(struct command *command, const struct inode *inode, char *bytes, size_t len)
{
	size_t lines = 0;
	int error = 0;

	command->counts = calloc(count_lines(bytes, len), 8);
	if (!command->counts || add(command, "EVAL", 4) || add(command, add_script, sizeof(add_script) - 1) ||
	    add(command, "1", 1) || add(command, inode->key, inode->key_len))
		return ENOMEM;
	for (char *line = bytes, *end = bytes + len; line < end && !error;) {
		char *stop = memchr(line, '\n', (size_t)(end - line));
		size_t line_len = (size_t)((stop ? stop : end) - line);
		if (line_len)
			error = add_line(command, line, line_len, command->counts + 8 * lines++);
		line += line_len + 1;
	}
	if (!lines)
		command->count = 0;
	return error;
}

/* ---- storing, where nobody waits ---- */

struct last {
	struct fs *fs;
	struct inode *inode; /* held */
	struct buffer *element;
};

static void last_came(void *ctx, const shard_result *result)
{
	struct last *last = ctx;
	int error = errors_of_result(result);

	if (error)
		fs_log(last->fs, last->inode, "cannot be stored", error);
	last->fs->commits--;
	cache_wrote(last->fs, last->inode->key, last->inode->key_len);
	buffer_unref(last->element);
	inode_drop(last->inode);
	free(last);
}

/* A command with its element, which is then the last one's. */
static void submit_last(struct feed *feed, int count, const char *const word[], const size_t len[],
			const shard_call *how)
{
	struct last *last = calloc(1, sizeof(*last));
	int error = last ? 0 : ENOMEM;

	if (last) {
		*last = (struct last){feed->fs, inode_hold(feed->inode), feed->element};
		feed->element = NULL;
		feed->fs->commits++;
		error = errors_of_code(shard_submit(fs_client(feed->fs), count, word, len, how, last_came, last, NULL));
	}
	if (!error)
		return;
	fs_log(feed->fs, feed->inode, "cannot be stored", error);
	if (last) {
		feed->fs->commits--;
		buffer_unref(last->element);
		inode_drop(last->inode);
		free(last);
	}
}

static void push_words(struct words *words, struct pending_value *value, const struct inode *inode,
		       struct buffer *element)
{
	words_text(words, "RPUSH");
	words_add(words, inode->key, inode->key_len);
	words_text(words, "");
	pending_add_value(value, words, 2, element, buffer_size(element));
	value->how.flags &= ~(unsigned)SHARD_IDEMPOTENT;
}

static void push_last(struct feed *feed)
{
	struct words words = {0};
	struct pending_value value;

	push_words(&words, &value, feed->inode, feed->element);
	submit_last(feed, words.count, words.word, words.len, &value.how);
}

static void add_last(struct feed *feed)
{
	struct command command = {0};
	int error = add_lines(&command, feed->inode, feed->line, feed->line_len);

	if (error)
		fs_log(feed->fs, feed->inode, "is no line of fields and values", error);
	else if (command.count)
		submit_last(feed, command.count, command.word, command.len, NULL);
	command_finish(&command);
}

void feed_close(struct feed *feed)
{
	if (feed->next)
		feed->next->prev = feed->prev;
	*(feed->prev ? &feed->prev->next : &feed->fs->feeds) = feed->next;
	if (!feed->inode->gone && feed->element && buffer_size(feed->element))
		push_last(feed);
	if (!feed->inode->gone && feed->line_len)
		add_last(feed);
	if (feed->log)
		log_leave(feed->log);
	if (feed->waiter)
		waiter_expect(feed->waiter, NULL);
	waiter_drop(feed->waiter);
	feed_drop(feed);
}

void feed_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	feed_close(feed_of(fi));
	fuse_reply_err(req, 0);
}

/* ---- OPEN, SETATTR ---- */

void feed_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = fs_inode(fs, ino);
	bool log = inode->kind == KIND_LOG, reads = (fi->flags & O_ACCMODE) != O_WRONLY;

	if (inode->gone || (!log && (fi->flags & O_ACCMODE) == O_RDONLY)) {
		fuse_reply_err(req, inode->gone ? ESTALE : EACCES);
		return;
	}
	struct feed *feed = calloc(1, sizeof(*feed));
	if (!feed) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	feed->fs = fs;
	feed->inode = inode_hold(inode);
	feed->holds = 1;
	feed->opener = fuse_req_ctx(req)->pid;
	feed->next = fs->feeds;
	if (feed->next)
		feed->next->prev = feed;
	fs->feeds = feed;
	feed->waiter = log && reads ? waiter_create(fs, inode) : NULL;
	feed->log = feed->waiter ? log_join(inode) : NULL;
	fi->fh = (uintptr_t)feed;
	fi->direct_io = true;
	fi->nonseekable = !log;
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
	if (log && reads && !feed->log) {
		fuse_reply_err(req, ENOMEM);
		feed_close(feed);
	} else if (fuse_reply_open(req, fi)) {
		feed_close(feed);
	}
}

static void reply_attr(fuse_req_t req, struct inode *inode)
{
	struct stat st;

	fs_stat(fs_of(req), inode, log_size(inode), &st);
	fuse_reply_attr(req, &st, 0);
}

void feed_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	struct inode *inode = fs_inode(fs_of(req), ino);

	/* Nothing is ever taken away; O_TRUNC is what shells say to all files, and is ignored. */
	if (to_set & FUSE_SET_ATTR_SIZE)
		fuse_reply_err(req, EPERM);
	else
		reply_attr(req, inode);
}

void feed_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = fs_inode(fs_of(req), ino);

	if (inode->gone)
		fuse_reply_err(req, ESTALE);
	else if (inode->log)
		log_getattr(req, inode);
	else
		reply_attr(req, inode);
}

void feed_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct feed *feed = feed_of(fi);

	if (feed->log)
		log_read(req, feed->waiter, feed->log, size, (size_t)offset);
	else
		fuse_reply_buf(req, "", 0);
}

/* Whoever sleeps is woken by a change, even one that comes before the answer to this. */
void feed_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	struct feed *feed = feed_of(fi);

	if (feed->log) {
		if (ph)
			waiter_expect(feed->waiter, ph);
		log_poll(req, feed->waiter, feed->log);
	} else {
		ops_poll_ready(req, ph);
	}
}

/* ---- WRITE, FLUSH, FSYNC ---- */

struct feeding {
	struct op op;
	struct feed *feed; /* held */
	struct buffer *element;
	bool writes;
	size_t size;
};

static void finish(struct op *op)
{
	struct feeding *feeding = (struct feeding *)op;

	buffer_unref(feeding->element);
	feed_drop(feeding->feed);
}

static void stored(struct op *op, const shard_result *result)
{
	struct feeding *feeding = (struct feeding *)op;
	struct inode *inode = op->inode;

	if (op_failed(op, result))
		return;
	cache_wrote(op->fs, op->key, op->key_len);
	inode->mtime = inode->ctime = inode->parent->mtime = inode->parent->ctime = fs_now();
	if (!feeding->writes)
		op_error(op, 0);
	else if (op->req)
		fuse_reply_write(op_answer(op), feeding->size);
}

static struct feeding *feeding_create(fuse_req_t req, struct feed *feed)
{
	struct feeding *feeding = op_create(req, sizeof(*feeding), feed->inode, NULL, 0);

	if (!feeding)
		return NULL;
	feeding->op.finish = finish;
	feeding->op.keeps_on = true;
	feeding->feed = feed;
	feed->holds++;
	return feeding;
}

/* What was written is one element. A failure is told once, and the element is gone. */
static void push(fuse_req_t req, struct feed *feed)
{
	struct feeding *feeding = feeding_create(req, feed);
	struct words words = {0};
	struct pending_value value;

	if (!feeding)
		return;
	feeding->element = feed->element;
	feed->element = NULL;
	push_words(&words, &value, feed->inode, feeding->element);
	op_submit(&feeding->op, &words, &value.how, stored);
	op_drop(&feeding->op);
}

static int submit_lines(struct feeding *feeding, char *bytes, size_t len)
{
	struct command command = {0};
	int error = add_lines(&command, feeding->op.inode, bytes, len);

	if (!error && command.count)
		op_submit_many(&feeding->op, command.count, command.word, command.len, stored);
	else if (!error)
		stored(&feeding->op, &(shard_result){.error = SHARD_OK});
	command_finish(&command);
	return error;
}

/* The lines that are complete become entries, or, with ALL, the last one too. */
static void add_entries(fuse_req_t req, struct feed *feed, size_t size, bool writes, bool all)
{
	struct feeding *feeding = feeding_create(req, feed);
	const char *end = all ? NULL : memrchr(feed->line, '\n', feed->line_len);
	size_t len = all ? feed->line_len : end ? (size_t)(end + 1 - feed->line) : 0;

	if (!feeding)
		return;
	feeding->writes = writes;
	feeding->size = size;
	int error = submit_lines(feeding, feed->line, len);
	memmove(feed->line, feed->line + len, feed->line_len - len);
	feed->line_len -= len;
	if (error) {
		feed->line_len = 0;
		op_error(&feeding->op, error);
	}
	op_drop(&feeding->op);
}

static int keep_line(struct feed *feed, const char *data, size_t size)
{
	if (feed->line_len + size > LINE_MAX_BYTES)
		return EFBIG;
	char *line = realloc(feed->line, feed->line_len + size + 1);
	if (!line)
		return ENOMEM;
	memcpy(line + feed->line_len, data, size);
	feed->line = line;
	feed->line_len += size;
	return 0;
}

static int keep_element(struct feed *feed, const char *data, size_t size)
{
	if (!feed->element)
		feed->element = buffer_create(NULL, 0);
	if (!feed->element)
		return ENOMEM;
	if (buffer_size(feed->element) > TRANSACTION_VALUE_MAX - size)
		return EFBIG;
	return buffer_write(feed->element, buffer_size(feed->element), data, size);
}

void feed_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct feed *feed = feed_of(fi);
	bool log = feed->inode->kind == KIND_LOG;
	int error = feed->inode->gone ? ESTALE : log ? keep_line(feed, data, size) : keep_element(feed, data, size);

	if (error)
		fuse_reply_err(req, error);
	else if (log && memchr(data, '\n', size))
		add_entries(req, feed, size, true, false);
	else
		fuse_reply_write(req, size);
}

static void sync_feed(fuse_req_t req, struct feed *feed)
{
	if (feed->inode->gone)
		fuse_reply_err(req, feed->element || feed->line_len ? ESTALE : 0);
	else if (feed->element && buffer_size(feed->element))
		push(req, feed);
	else if (feed->line_len)
		add_entries(req, feed, 0, false, true);
	else
		fuse_reply_err(req, 0);
}

void feed_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct feed *feed = feed_of(fi);

	/* Each program that a shell starts closes what it was given; the shell's own close is still to come. */
	if (write_by_opener(req, feed->opener))
		sync_feed(req, feed);
	else
		fuse_reply_err(req, 0);
}

void feed_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
	sync_feed(req, feed_of(fi));
}
