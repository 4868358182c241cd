/* SPDX-License-Identifier: MIT */
#include "rcmd_line.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct cursor {
	const char *p, *end;
	char *to;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* What ends a word outside of quotes: fewer than what may stand between words, as in redis-cli. */
static bool is_end(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int hex_value(const struct cursor *at)
{
	int value = 0;

	if (at->end - at->p < 4 || at->p[1] != 'x')
		return -1;
	for (int i = 2; i < 4; i++) {
		char c = at->p[i] | 0x20;

		if (c >= '0' && c <= '9')
			value = value << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			value = value << 4 | (c - 'a' + 10);
		else
			return -1;
	}
	return value;
}

static void take_backslash(struct cursor *at)
{
	static const char from[] = "nrtba", to[] = "\n\r\t\b\a";
	int value = hex_value(at);
	const char *found;

	if (value >= 0) {
		*at->to++ = (char)value;
		at->p += 4;
		return;
	}
	found = memchr(from, at->p[1], sizeof(from) - 1);
	*at->to++ = found ? to[found - from] : at->p[1];
	at->p += 2;
}

/* A quoted part up to its closing quote, which must end the word. */
static const char *take_quoted(struct cursor *at)
{
	char quote = *at->p++;

	while (at->p < at->end && *at->p != quote) {
		bool more = at->end - at->p > 1;

		if (quote == '"' && *at->p == '\\' && more) {
			take_backslash(at);
		} else {
			at->p += quote == '\'' && *at->p == '\\' && more && at->p[1] == '\'';
			*at->to++ = *at->p++;
		}
	}
	if (at->p == at->end)
		return "a quote is not closed";
	at->p++;
	if (at->p < at->end && !is_space(*at->p))
		return "no white space after a closing quote";
	return NULL;
}

static const char *take_word(struct cursor *at)
{
	while (at->p < at->end && !is_end(*at->p)) {
		if (*at->p == '"' || *at->p == '\'')
			return take_quoted(at);
		*at->to++ = *at->p++;
	}
	return NULL;
}

static void add_word(struct line_words *words, const char *word, size_t len)
{
	if (words->count == words->room) {
		words->room = words->room ? words->room * 2 : 16;
		words->word = cli_realloc(words->word, words->room * sizeof(*words->word));
		words->len = cli_realloc(words->len, words->room * sizeof(*words->len));
	}
	words->word[words->count] = word;
	words->len[words->count++] = len;
}

const char *line_split(struct line_words *words, char *line, size_t len)
{
	struct cursor at = {.p = line, .end = line + len, .to = line};

	words->count = 0;
	for (;;) {
		const char *start = at.to, *why;

		while (at.p < at.end && is_space(*at.p))
			at.p++;
		if (at.p == at.end)
			return NULL;
		why = take_word(&at);
		if (why)
			return why;
		add_word(words, start, (size_t)(at.to - start));
	}
}

void line_words_finish(struct line_words *words)
{
	free(words->word);
	free(words->len);
	*words = (struct line_words){0};
}
