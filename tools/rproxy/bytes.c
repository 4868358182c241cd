/* SPDX-License-Identifier: MIT */
#include "bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *bytes_reserve(struct bytes *bytes, size_t size)
{
	size_t room = bytes->room;
	char *grown;

	if (bytes->bad)
		return NULL;
	if (bytes->len + size <= room)
		return bytes->at + bytes->len;
	if (room < 256)
		room = 256;
	while (room < bytes->len + size)
		room *= 2;
	grown = realloc(bytes->at, room);
	if (!grown) {
		bytes->bad = true;
		return NULL;
	}
	bytes->at = grown;
	bytes->room = room;
	return grown + bytes->len;
}

void bytes_put(struct bytes *bytes, const void *from, size_t len)
{
	char *at = bytes_reserve(bytes, len);

	if (!at || !len)
		return;
	memcpy(at, from, len);
	bytes->len += len;
}

void bytes_string(struct bytes *bytes, const char *string)
{
	bytes_put(bytes, string, strlen(string));
}

void bytes_format(struct bytes *bytes, const char *format, ...)
{
	va_list args, again;
	char *at;
	int n;

	va_start(args, format);
	va_copy(again, args);
	n = vsnprintf(NULL, 0, format, args);
	at = n < 0 ? NULL : bytes_reserve(bytes, (size_t)n + 1);
	if (at)
		bytes->len += (size_t)vsnprintf(at, (size_t)n + 1, format, again);
	va_end(again);
	va_end(args);
}

void bytes_number(struct bytes *bytes, char mark, long long n)
{
	char text[24], *at = text + sizeof(text);
	unsigned long long rest = n < 0 ? 0ull - (unsigned long long)n : (unsigned long long)n;

	*--at = '\n';
	*--at = '\r';
	do {
		*--at = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (n < 0)
		*--at = '-';
	*--at = mark;
	bytes_put(bytes, at, (size_t)(text + sizeof(text) - at));
}

void bytes_bulk(struct bytes *bytes, const void *from, size_t len)
{
	bytes_number(bytes, '$', (long long)len);
	bytes_put(bytes, from, len);
	bytes_put(bytes, "\r\n", 2);
}

void bytes_bulk_string(struct bytes *bytes, const char *string)
{
	bytes_bulk(bytes, string, strlen(string));
}

static void put_line(struct bytes *bytes, char mark, const char *text, size_t len)
{
	bytes_put(bytes, &mark, 1);
	bytes_put(bytes, text, len);
	bytes_put(bytes, "\r\n", 2);
}

void bytes_reply(struct bytes *bytes, const shard_reply *reply)
{
	switch (reply->type) {
	case SHARD_REPLY_NIL:
		bytes_put(bytes, "$-1\r\n", 5);
		break;
	case SHARD_REPLY_STATUS:
		put_line(bytes, '+', reply->str, reply->len);
		break;
	case SHARD_REPLY_ERROR:
		put_line(bytes, '-', reply->str, reply->len);
		break;
	case SHARD_REPLY_INTEGER:
		bytes_number(bytes, ':', reply->integer);
		break;
	case SHARD_REPLY_STRING:
		bytes_bulk(bytes, reply->str, reply->len);
		break;
	case SHARD_REPLY_ARRAY:
		bytes_number(bytes, '*', (long long)reply->len);
		for (size_t i = 0; i < reply->len; i++)
			bytes_reply(bytes, &reply->element[i]);
		break;
	case SHARD_REPLY_RAW:
		bytes_put(bytes, reply->str, reply->len);
		break;
	}
}

void bytes_finish(struct bytes *bytes)
{
	free(bytes->at);
	*bytes = (struct bytes){0};
}
