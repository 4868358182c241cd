/* SPDX-License-Identifier: MIT */
#include <shard/reply.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT _Alignof(shard_reply)

static bool has_text(const shard_reply *reply)
{
	return reply->type == SHARD_REPLY_STATUS || reply->type == SHARD_REPLY_ERROR ||
	       reply->type == SHARD_REPLY_STRING || reply->type == SHARD_REPLY_RAW;
}

/* What a reply's own content takes behind its struct. */
static size_t content_size(const shard_reply *reply)
{
	size_t size = 0;

	if (has_text(reply))
		return (reply->len + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (reply->type == SHARD_REPLY_ARRAY)
		for (size_t i = 0; i < reply->len; i++)
			size += sizeof(*reply) + content_size(&reply->element[i]);
	return size;
}

/* Copies FROM to TO, its content to AT. Returns the end of the content. */
static char *copy_to(shard_reply *to, const shard_reply *from, char *at)
{
	*to = *from;
	if (has_text(from)) {
		memcpy(at, from->str, from->len);
		at[from->len] = 0;
		to->str = at;
		return at + content_size(from);
	}
	if (from->type == SHARD_REPLY_ARRAY && from->len) {
		shard_reply *element = (shard_reply *)at;

		at += from->len * sizeof(*element);
		for (size_t i = 0; i < from->len; i++)
			at = copy_to(&element[i], &from->element[i], at);
		to->element = element;
	}
	return at;
}

shard_reply *shard_reply_copy(const shard_reply *reply)
{
	shard_reply *copy = malloc(sizeof(*copy) + content_size(reply));

	if (copy)
		copy_to(copy, reply, (char *)(copy + 1));
	return copy;
}

void shard_reply_free(shard_reply *reply)
{
	free(reply);
}

bool shard_reply_is_error(const shard_reply *reply, const char *code)
{
	size_t len = strlen(code);

	return reply && reply->type == SHARD_REPLY_ERROR && reply->len >= len && !memcmp(reply->str, code, len) &&
	       (reply->len == len || reply->str[len] == ' ');
}

bool shard_reply_is(const shard_reply *reply, const char *text)
{
	size_t len = strlen(text);

	return reply && (reply->type == SHARD_REPLY_STATUS || reply->type == SHARD_REPLY_STRING) && reply->len == len &&
	       !memcmp(reply->str, text, len);
}
