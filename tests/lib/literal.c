/* SPDX-License-Identifier: MIT */
#include "literal.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8

struct input {
	const char *at, *end;
};

static bool blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == ',';
}

static void skip(struct input *in)
{
	while (in->at < in->end && (blank(*in->at) || *in->at == '#')) {
		if (*in->at == '#')
			while (in->at < in->end && *in->at != '\n')
				in->at++;
		else
			in->at++;
	}
}

static int hex(char c)
{
	const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
	return at ? (int)(at - digits) : -1;
}

static bool string_byte(struct input *in, char *byte)
{
	*byte = *in->at++;
	if (*byte != '\\')
		return true;
	if (in->at == in->end)
		return false;
	*byte = *in->at++;
	if (*byte != 'x')
		return *byte == '"' || *byte == '\\';
	if (in->end - in->at < 2 || hex(in->at[0]) < 0 || hex(in->at[1]) < 0)
		return false;
	*byte = (char)(hex(in->at[0]) << 4 | hex(in->at[1]));
	in->at += 2;
	return true;
}

/* A string, or a status or error, which ends at white space or a bracket. */
static bool parse_string(struct input *in, shard_reply *reply)
{
	bool quoted = *in->at++ == '"', ended = !quoted;
	char *to = malloc((size_t)(in->end - in->at) + 1), *start = to;
	while (to && in->at < in->end) {
		ended = quoted ? *in->at == '"' : blank(*in->at) || strchr("[]", *in->at);
		if (ended)
			break;
		if (!string_byte(in, to++))
			break;
	}
	if (!to || (quoted && !ended)) {
		free(start);
		return false;
	}
	in->at += quoted;
	*to = '\0';
	reply->len = (size_t)(to - start);
	char *exact = realloc(start, reply->len + 1);
	reply->str = exact ? exact : start;
	return true;
}

static bool parse_integer(struct input *in, shard_reply *reply)
{
	char digits[24];
	size_t len = 0;
	while (in->at < in->end && len < sizeof(digits) - 1 && (*in->at == '-' || (*in->at >= '0' && *in->at <= '9')))
		digits[len++] = *in->at++;
	digits[len] = '\0';
	char *end;
	reply->type = SHARD_REPLY_INTEGER;
	reply->integer = strtoll(digits, &end, 10);
	return len && !*end;
}

static bool parse(struct input *in, int depth, shard_reply *reply);

static bool parse_array(struct input *in, int depth, shard_reply *reply)
{
	shard_reply *element = NULL;
	reply->type = SHARD_REPLY_ARRAY;
	in->at++;
	for (;;) {
		skip(in);
		if (in->at == in->end || depth == DEPTH_MAX)
			return false;
		if (*in->at == ']')
			break;
		element = realloc(element, (reply->len + 1) * sizeof(*element));
		reply->element = element;
		if (!element || !parse(in, depth + 1, &element[reply->len++]))
			return false;
	}
	in->at++;
	return true;
}

static bool is_word(const struct input *in, const char *word)
{
	return (size_t)(in->end - in->at) >= strlen(word) && memcmp(in->at, word, strlen(word)) == 0;
}

static bool parse(struct input *in, int depth, shard_reply *reply)
{
	*reply = (shard_reply){.type = SHARD_REPLY_NIL};
	if (is_word(in, "nil")) {
		in->at += 3;
		return true;
	}
	bool negative = in->end - in->at > 1 && *in->at == '-' && in->at[1] >= '0' && in->at[1] <= '9';
	if (*in->at == '[')
		return parse_array(in, depth, reply);
	if (negative || !strchr("\"+-", *in->at))
		return parse_integer(in, reply);
	shard_reply_type type = *in->at == '"'   ? SHARD_REPLY_STRING
				: *in->at == '+' ? SHARD_REPLY_STATUS
						 : SHARD_REPLY_ERROR;
	if (!parse_string(in, reply))
		return false;
	reply->type = type;
	return true;
}

static void free_inside(shard_reply *reply)
{
	if (reply->type == SHARD_REPLY_ARRAY) {
		for (size_t i = 0; i < reply->len; i++)
			free_inside((shard_reply *)&reply->element[i]);
		free((void *)reply->element);
	} else if (reply->type != SHARD_REPLY_NIL && reply->type != SHARD_REPLY_INTEGER) {
		free((void *)reply->str);
	}
}

void literal_free(shard_reply *reply)
{
	if (reply)
		free_inside(reply);
	free(reply);
}

shard_reply *literal_parse(const char *text, size_t len)
{
	struct input in = {text, text + len};
	shard_reply *reply = calloc(1, sizeof(*reply));
	skip(&in);
	bool ok = reply && in.at < in.end && parse(&in, 0, reply);
	skip(&in);
	if (ok && in.at == in.end)
		return reply;
	literal_free(reply);
	return NULL;
}
