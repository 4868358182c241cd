/* SPDX-License-Identifier: MIT */
#include "parse.h"

#include <stdlib.h>
#include <string.h>

#define LINE_MAX_BYTES 65536
#define NUMBER_MAX 12 /* digits and CR LF of the longest number that is allowed, and some */

static enum parse_state bad(struct parse *parse, const char *why)
{
	parse->why = why;
	return PARSE_BAD;
}

static bool grow(struct words *words)
{
	size_t room = words->room ? words->room * 2 : 16;
	size_t *at = realloc(words->at, room * sizeof(*at)), *len;
	const char **argv;

	if (!at)
		return false;
	words->at = at;
	len = realloc(words->len, room * sizeof(*len));
	if (!len)
		return false;
	words->len = len;
	argv = realloc(words->argv, room * sizeof(*argv));
	if (!argv)
		return false;
	words->argv = argv;
	words->room = room;
	return true;
}

bool words_add(struct words *words, size_t at, size_t len)
{
	if (words->count == words->room && !grow(words))
		return false;
	words->at[words->count] = at;
	words->len[words->count++] = len;
	return true;
}

void words_finish(struct words *words)
{
	free(words->at);
	free(words->len);
	free(words->argv);
	*words = (struct words){0};
}

/*
 * The number behind the mark at DATA[AT], and its CR LF. Returns their end; 0: more is needed; SIZE_MAX: it is none.
 * "-1" is taken where NEGATIVE, as 0.
 */
static inline size_t read_number(const char *data, size_t at, size_t len, bool negative, size_t *value)
{
	size_t start = ++at, n = 0;

	if (negative && at < len && data[at] == '-')
		start = ++at;
	for (; at < len && at - start < NUMBER_MAX; at++) {
		unsigned digit = (unsigned char)data[at] - '0';

		if (digit > 9)
			break;
		n = n * 10 + digit;
	}
	if (at == len)
		return at - start < NUMBER_MAX ? 0 : SIZE_MAX;
	if (at == start || data[at] != '\r')
		return SIZE_MAX;
	if (at + 1 == len)
		return 0;
	*value = data[start - 1] == '-' ? 0 : n;
	return data[at + 1] == '\n' ? at + 2 : SIZE_MAX;
}

static enum parse_state parse_line(struct parse *parse, const char *data, size_t len, struct words *words)
{
	const char *end = memchr(data + parse->at, '\n', len - parse->at);
	size_t at = 0, stop;

	if (!end && len > LINE_MAX_BYTES)
		return bad(parse, "too big inline request");
	parse->at = len;
	if (!end)
		return PARSE_MORE;
	stop = (size_t)(end - data);
	parse->at = stop + 1;
	if (stop && data[stop - 1] == '\r')
		stop--;
	while (at < stop) {
		size_t from;

		while (at < stop && (data[at] == ' ' || data[at] == '\t'))
			at++;
		for (from = at; at < stop && data[at] != ' ' && data[at] != '\t';)
			at++;
		if (at > from && !words_add(words, from, at - from))
			return bad(parse, "out of memory");
	}
	return PARSE_WHOLE;
}

static enum parse_state parse_words(struct parse *parse, const char *data, size_t len, struct words *words)
{
	while (words->count < parse->expect) {
		size_t size, end;

		parse->need = parse->at + 1;
		if (parse->at >= len)
			return PARSE_MORE;
		if (data[parse->at] != '$')
			return bad(parse, "expected '$'");
		end = read_number(data, parse->at, len, false, &size);
		if (!end)
			return PARSE_MORE;
		if (end == SIZE_MAX || size > PARSE_BULK_MAX)
			return bad(parse, "invalid bulk length");
		parse->need = end + size + 2;
		if (len < parse->need)
			return PARSE_MORE;
		if (data[end + size] != '\r' || data[end + size + 1] != '\n')
			return bad(parse, "expected CR LF behind a string");
		if (!words_add(words, end, size))
			return bad(parse, "out of memory");
		parse->at = end + size + 2;
	}
	return PARSE_WHOLE;
}

enum parse_state parse_request(struct parse *parse, const char *data, size_t len, bool lines, struct words *words)
{
	size_t count, end;

	if (!len)
		return PARSE_MORE;
	if (parse->expect)
		return parse_words(parse, data, len, words);
	words->count = 0;
	if (data[0] != '*')
		return lines ? parse_line(parse, data, len, words) : bad(parse, "expected '*'");
	end = read_number(data, 0, len, lines, &count);
	if (!end)
		return PARSE_MORE;
	if (end == SIZE_MAX || count > PARSE_WORDS_MAX || (!count && !lines))
		return bad(parse, "invalid multibulk length");
	parse->at = end;
	parse->expect = count;
	return count ? parse_words(parse, data, len, words) : PARSE_WHOLE;
}
