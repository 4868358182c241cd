/* SPDX-License-Identifier: MIT */
#include "pure/resp.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <string.h>

static inline unsigned digits(size_t n)
{
	unsigned d = 1;

	while (n >= 10) {
		n /= 10;
		d++;
	}
	return d;
}

static inline char *write_number(char *out, size_t n)
{
	unsigned d;

	if (n < 10) {
		*out = (char)('0' + n);
		return out + 1;
	}
	d = digits(n);
	for (char *p = out + d; p > out; n /= 10)
		*--p = (char)('0' + n % 10);
	return out + d;
}

static inline char *write_eol(char *out)
{
	out[0] = '\r';
	out[1] = '\n';
	return out + 2;
}

size_t resp_header_size(size_t argc)
{
	return 1 + digits(argc) + 2;
}

char *resp_header_write(char *out, size_t argc)
{
	*out++ = '*';
	return write_eol(write_number(out, argc));
}

size_t resp_word_size(size_t len)
{
	return 1 + digits(len) + 2 + len + 2;
}

char *resp_word_write(char *out, const char *word, size_t len)
{
	*out++ = '$';
	out = write_eol(write_number(out, len));
	if (len)
		memcpy(out, word, len);
	return write_eol(out + len);
}

size_t resp_command_size(int argc, const char *const argv[], const size_t argvlen[])
{
	size_t size = resp_header_size((size_t)argc);

	for (int i = 0; i < argc; i++)
		size += resp_word_size(argvlen ? argvlen[i] : strlen(argv[i]));
	return size;
}

char *resp_command_write(char *out, int argc, const char *const argv[], const size_t argvlen[])
{
	out = resp_header_write(out, (size_t)argc);
	for (int i = 0; i < argc; i++)
		out = resp_word_write(out, argv[i], argvlen ? argvlen[i] : strlen(argv[i]));
	return out;
}

/* ---- hiredis's reader ---- */

/* The reply to fill: the root is made here, an element has its place in its parent's array. */
static shard_reply *place(const redisReadTask *task)
{
	if (task->parent)
		return (shard_reply *)((shard_reply *)task->parent->obj)->element + task->idx;
	return arena_alloc(task->privdata, sizeof(shard_reply));
}

static void *create_string(const redisReadTask *task, char *str, size_t len)
{
	shard_reply *reply = place(task);
	char *copy = reply ? arena_alloc(task->privdata, len + 1) : NULL;

	if (!copy)
		return NULL;
	memcpy(copy, str, len);
	copy[len] = 0;
	reply->type = task->type == REDIS_REPLY_ERROR	 ? SHARD_REPLY_ERROR
		      : task->type == REDIS_REPLY_STATUS ? SHARD_REPLY_STATUS
							 : SHARD_REPLY_STRING;
	reply->len = len;
	reply->str = copy;
	return reply;
}

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t n)
#else
static void *create_array(const redisReadTask *task, int n)
#endif
{
	shard_reply *reply = place(task), *elements = NULL;

	/* A length that no memory could hold must not be tried: what follows it was never sent. */
	if (!reply || (size_t)n > (size_t)INT_MAX / sizeof(shard_reply))
		return NULL;
	if (n) {
		elements = arena_alloc(task->privdata, (size_t)n * sizeof(*elements));
		if (!elements)
			return NULL;
	}
	reply->type = SHARD_REPLY_ARRAY;
	reply->len = (size_t)n;
	reply->element = elements;
	return reply;
}

static void *create_integer(const redisReadTask *task, long long value)
{
	shard_reply *reply = place(task);

	if (!reply)
		return NULL;
	reply->type = SHARD_REPLY_INTEGER;
	reply->len = 0;
	reply->integer = value;
	return reply;
}

static void *create_nil(const redisReadTask *task)
{
	shard_reply *reply = place(task);

	if (!reply)
		return NULL;
	reply->type = SHARD_REPLY_NIL;
	reply->len = 0;
	reply->str = NULL;
	return reply;
}

#if HIREDIS_MAJOR >= 1
static void *create_double(const redisReadTask *task, double value, char *str, size_t len)
{
	(void)value;
	return create_string(task, str, len);
}

static void *create_bool(const redisReadTask *task, int value)
{
	return create_integer(task, value);
}
#endif

/* The arena owns every part. */
static void free_object(void *object)
{
	(void)object;
}

static redisReplyObjectFunctions functions = {
	.createString = create_string,
	.createArray = create_array,
	.createInteger = create_integer,
	.createNil = create_nil,
#if HIREDIS_MAJOR >= 1
	.createDouble = create_double,
	.createBool = create_bool,
#endif
	.freeObject = free_object,
};

redisReader *resp_reader_create(struct arena *arena)
{
	redisReader *reader = redisReaderCreateWithFunctions(&functions);

	if (reader)
		reader->privdata = arena;
	return reader;
}
