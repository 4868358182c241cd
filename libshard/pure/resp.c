/* SPDX-License-Identifier: MIT */
#include "pure/resp.h"

#include <hiredis/hiredis.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
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

/* MARK, N, "\r\n". Lengths of one and two digits are nearly all there are. */
static inline char *write_length(char *out, char mark, size_t n)
{
	char *end;

	*out++ = mark;
	if (n < 10) {
		*out++ = (char)('0' + n);
	} else if (n < 100) {
		*out++ = (char)('0' + n / 10);
		*out++ = (char)('0' + n % 10);
	} else {
		end = out + digits(n);
		for (char *p = end; p > out; n /= 10)
			*--p = (char)('0' + n % 10);
		out = end;
	}
	memcpy(out, "\r\n", 2);
	return out + 2;
}

/* Keys are short: two overlapping moves cost less than a call. */
static inline char *write_bytes(char *out, const char *bytes, size_t len)
{
	if (len >= 8 && len <= 16) {
		uint64_t head, tail;

		memcpy(&head, bytes, 8);
		memcpy(&tail, bytes + len - 8, 8);
		memcpy(out, &head, 8);
		memcpy(out + len - 8, &tail, 8);
	} else if (len < 8) {
		for (size_t i = 0; i < len; i++)
			out[i] = bytes[i];
	} else {
		memcpy(out, bytes, len);
	}
	return out + len;
}

size_t resp_header_size(size_t argc)
{
	return 1 + digits(argc) + 2;
}

char *resp_header_write(char *out, size_t argc)
{
	return write_length(out, '*', argc);
}

size_t resp_word_size(size_t len)
{
	return 1 + digits(len) + 2 + len + 2;
}

char *resp_word_write(char *out, const char *word, size_t len)
{
	out = write_bytes(write_length(out, '$', len), word, len);
	memcpy(out, "\r\n", 2);
	return out + 2;
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

/*
 * ---- hiredis's reader ----
 *
 * hiredis 1 reads RESP3 too, and any nesting; 0.14 reads neither. What these
 * functions refuse (NULL) the reader reports as out of memory.
 */

#define DEPTH_MAX 64 /* who walks a reply may use recursion */

/* The reply to fill: the root is made here, an element has its place in its parent's array. */
static shard_reply *place(const redisReadTask *task)
{
	if (task->parent)
		return (shard_reply *)((shard_reply *)task->parent->obj)->element + task->idx;
	return arena_alloc(task->privdata, sizeof(shard_reply));
}

static void *create_string(const redisReadTask *task, char *str, size_t len)
{
	bool resp2 = task->type == REDIS_REPLY_STRING || task->type == REDIS_REPLY_STATUS ||
		     task->type == REDIS_REPLY_ERROR;
	shard_reply *reply = resp2 ? place(task) : NULL;
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

static bool too_deep(const redisReadTask *task)
{
	int depth = 0;

	for (; task->parent; task = task->parent)
		depth++;
	return depth >= DEPTH_MAX;
}

#if HIREDIS_MAJOR >= 1
static void *create_array(const redisReadTask *task, size_t n)
#else
static void *create_array(const redisReadTask *task, int n)
#endif
{
	bool resp2 = task->type == REDIS_REPLY_ARRAY && !too_deep(task);
	shard_reply *reply = resp2 ? place(task) : NULL, *elements = NULL;

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
	/* "_" of RESP3 has a type of its own; "$-1" and "*-1" have those of what is not there. */
	shard_reply *reply = task->type == REDIS_REPLY_NIL ? NULL : place(task);

	if (!reply)
		return NULL;
	reply->type = SHARD_REPLY_NIL;
	reply->len = 0;
	reply->str = NULL;
	return reply;
}

#if HIREDIS_MAJOR >= 1
static void *refuse_double(const redisReadTask *task, double value, char *str, size_t len)
{
	return NULL;
}

static void *refuse_bool(const redisReadTask *task, int value)
{
	return NULL;
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
	.createDouble = refuse_double,
	.createBool = refuse_bool,
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

/* ---- without the reader ---- */

/* "digits\r\n" of at most nine digits, from P on. Returns the end, or NULL: something else, or not whole. */
static __attribute__((noinline)) char *any_number(char *p, const char *end, size_t *value)
{
	size_t n = 0;
	char *start = p;
	const char *stop = end - p > 9 ? p + 9 : end;
	unsigned digit;

	for (; p < stop && (digit = (unsigned char)*p - '0') < 10; p++)
		n = n * 10 + digit;
	if (p == start || (*start == '0' && p - start > 1) || end - p < 2 || p[0] != '\r' || p[1] != '\n')
		return NULL;
	*value = n;
	return p + 2;
}

/* The same; two digits are what most lengths have. */
static inline char *quick_number(char *p, const char *end, size_t *value)
{
	unsigned tens, ones;

	if (end - p >= 4 && p[2] == '\r' && p[3] == '\n') {
		tens = (unsigned char)p[0] - '0';
		ones = (unsigned char)p[1] - '0';
		if (tens - 1 < 9 && ones < 10) {
			*value = tens * 10 + ones;
			return p + 4;
		}
	}
	return any_number(p, end, value);
}

static size_t quick_string(char *data, const char *end, shard_reply *reply)
{
	size_t n;
	char *p = quick_number(data + 1, end, &n);

	if (!p) {
		if (end - data < 5 || memcmp(data, "$-1\r\n", 5))
			return 0;
		reply->type = SHARD_REPLY_NIL;
		reply->len = 0;
		reply->str = NULL;
		return 5;
	}
	if ((size_t)(end - p) < n + 2 || p[n] != '\r' || p[n + 1] != '\n')
		return 0;
	reply->type = SHARD_REPLY_STRING;
	reply->len = n;
	reply->str = p;
	p[n] = 0;
	return (size_t)(p - data) + n + 2;
}

size_t resp_quick(char *data, size_t len, shard_reply *reply)
{
	char *end = data + len, *p;
	size_t n;

	switch (*data) {
	case '$':
		return quick_string(data, end, reply);
	case '+':
		/* "+OK" is what there is; others can go the long way. */
		if (len < 5 || memcmp(data, "+OK\r\n", 5))
			return 0;
		reply->type = SHARD_REPLY_STATUS;
		reply->len = 2;
		reply->str = data + 1;
		data[3] = 0;
		return 5;
	case ':':
		p = quick_number(data + 1, end, &n);
		if (!p)
			return 0;
		reply->type = SHARD_REPLY_INTEGER;
		reply->len = 0;
		reply->integer = (long long)n;
		return (size_t)(p - data);
	default:
		return 0;
	}
}
