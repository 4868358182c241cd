/* SPDX-License-Identifier: MIT */
#include "know/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

/* What is no pool at all, a log of many megabytes say, has more mistakes than anybody reads. */
#define MISTAKES_MAX 1000
#define QUOTED_MAX 80

/* ---- text of the file ---- */

/* C1 controls are two bytes of UTF-8, and work on terminals as well. */
static bool is_control(struct shard__text text)
{
	unsigned char c = (unsigned char)text.at[0];
	unsigned char after = text.len > 1 ? (unsigned char)text.at[1] : 0;

	return c < 0x20 || c == 0x7f || (c == 0xc2 && after >= 0x80 && after < 0xa0);
}

/* Writes the first character of TEXT and takes it off. Returns the end of what was written: four bytes, or eight. */
static char *write_character(char *out, struct shard__text *text)
{
	static const char special[] = "\t\n\r\0", letter[] = "tnr0";
	bool control = is_control(*text);
	size_t size = control && *text->at & 0x80 ? 2 : 1;
	const char *found = memchr(special, *text->at, sizeof(special) - 1);

	if (!control) {
		*out++ = *text->at;
	} else if (found) {
		*out++ = '\\';
		*out++ = letter[found - special];
	} else {
		for (size_t i = 0; i < size; i++)
			out += sprintf(out, "\\x%02x", (unsigned char)text->at[i]);
	}
	text->at += size;
	text->len -= size;
	return out;
}

static bool is_inside_character(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* How much of TEXT is shown. A password that has run into other text, for want of a space or a quote, is not. */
static size_t shown_length(struct shard__text text)
{
	static const char secret[] = "redis_auth";
	size_t len = text.len < QUOTED_MAX ? text.len : QUOTED_MAX;
	const char *found = memmem(text.at, len, secret, sizeof(secret) - 1);

	if (found)
		return (size_t)(found - text.at) + sizeof(secret) - 1;
	while (len && len < text.len && is_inside_character(text.at[len]))
		len--;
	return len;
}

struct pool_quote pool_quote(struct shard__text text)
{
	struct pool_quote quote;
	char *out = quote.text;
	size_t shown = shown_length(text);
	bool all = shown == text.len;

	text.len = shown;
	while (text.len)
		out = write_character(out, &text);
	strcpy(out, all ? "" : "...");
	return quote;
}

struct pool_quote pool_quote_string(const char *string)
{
	return pool_quote((struct shard__text){string, strlen(string)});
}

void pool_quote_all(struct strbuf *out, const char *string)
{
	struct shard__text text = {string, strlen(string)};
	char character[16];

	while (text.len)
		strbuf_bytes(out, character, (size_t)(write_character(character, &text) - character));
}

/* ---- mistakes ---- */

static char *format_mistake(const struct pool_draft *pool, const char *format, va_list args)
{
	char *what = NULL, *text = NULL;

	if (vasprintf(&what, format, args) < 0)
		return NULL;
	if (!pool)
		return what;
	if (asprintf(&text, "pool '%s': %s", pool_quote_string(pool->pool.name).text, what) < 0)
		text = NULL;
	free(what);
	return text;
}

void pool_mistake(struct pool_reader *reader, const struct pool_draft *pool, unsigned line, const char *format, ...)
{
	struct pool_mistake *grown;
	va_list args;

	if (reader->mistake_count == MISTAKES_MAX) {
		reader->more = true;
		return;
	}
	grown = pool_reader_grow(reader, reader->mistake, reader->mistake_count, &reader->mistake_room, sizeof(*grown));
	if (!grown)
		return;
	reader->mistake = grown;
	grown += reader->mistake_count;
	va_start(args, format);
	*grown = (struct pool_mistake){line, format_mistake(pool, format, args)};
	va_end(args);
	if (grown->text)
		reader->mistake_count++;
	else
		reader->no_memory = true;
}

/* In the order of the file; what is said of one line, in the order in which it was found. */
static void sort_mistakes(struct pool_reader *reader)
{
	for (size_t i = 1; i < reader->mistake_count; i++) {
		struct pool_mistake moved = reader->mistake[i];
		size_t at = i;

		for (; at && reader->mistake[at - 1].line > moved.line; at--)
			reader->mistake[at] = reader->mistake[at - 1];
		reader->mistake[at] = moved;
	}
}

char *pool_mistake_text(struct pool_reader *reader, const char *path)
{
	struct strbuf out = {0};

	sort_mistakes(reader);
	for (size_t i = 0; i < reader->mistake_count; i++) {
		strbuf_string(&out, i ? "\n" : "");
		pool_quote_all(&out, path);
		strbuf_string(&out, ":");
		if (reader->mistake[i].line) {
			strbuf_number(&out, reader->mistake[i].line);
			strbuf_string(&out, ":");
		}
		strbuf_string(&out, " ");
		strbuf_string(&out, reader->mistake[i].text);
	}
	if (reader->more) {
		strbuf_string(&out, "\n");
		pool_quote_all(&out, path);
		strbuf_string(&out, ": there are more mistakes, which are not shown");
	}
	return strbuf_take(&out);
}
