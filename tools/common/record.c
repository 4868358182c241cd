/* SPDX-License-Identifier: MIT */
#include "record.h"

#include <stdint.h>
#include <string.h>

#include "json.h"

/* ---- reading ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes the escape at P (which is a backslash). Out: *BYTE. Returns its length, 0 where there is no such escape. */
static size_t decode_escape(const char *p, const char *end, char *byte)
{
	static const char from[] = "\\tnr0", to[] = "\\\t\n\r\0";
	const char *found;

	if (end - p < 2)
		return 0;
	if (p[1] == 'x') {
		int high = end - p < 4 ? -1 : hex_digit(p[2]);
		int low = end - p < 4 ? -1 : hex_digit(p[3]);

		if (high < 0 || low < 0)
			return 0;
		*byte = (char)(high << 4 | low);
		return 4;
	}
	found = memchr(from, p[1], sizeof(from) - 1);
	if (!found)
		return 0;
	*byte = to[found - from];
	return 2;
}

/* Decodes FIELD in place. Returns whether all its escapes are known. */
static bool unescape(struct record_field *field)
{
	char *start = (char *)field->data, *end = start + field->len;
	char *to = memchr(start, '\\', field->len);
	char *from = to;

	if (!to)
		return true;
	while (from < end) {
		char *next = memchr(from, '\\', (size_t)(end - from));
		size_t plain = (size_t)((next ? next : end) - from), len;

		memmove(to, from, plain);
		to += plain;
		from += plain;
		if (!next)
			break;
		len = decode_escape(from, end, to);
		if (!len)
			return false;
		to++;
		from += len;
	}
	field->len = (size_t)(to - start);
	return true;
}

static const char *split_at(char delimiter, char *data, size_t len, unsigned count, struct record_field fields[])
{
	char *end = data + len;

	for (unsigned i = 0; i < count; i++) {
		char *found = memchr(data, delimiter, (size_t)(end - data));

		if (!found != (i + 1 == count))
			return found ? "more fields than wanted" : "fewer fields than wanted";
		fields[i].data = data;
		fields[i].len = (size_t)((found ? found : end) - data);
		data = found ? found + 1 : end;
	}
	return NULL;
}

static const char *split_line(char *data, size_t len, unsigned count, struct record_field fields[])
{
	const char *why = split_at('\t', data, len, count, fields);

	for (unsigned i = 0; i < count && !why; i++)
		if (!unescape(&fields[i]))
			why = "an unknown escape (\\\\ \\t \\n \\r \\0 \\xHH are known)";
	return why;
}

const char *record_split(enum record_format format, char *data, size_t len, const char *const names[], unsigned count,
			 struct record_field fields[])
{
	switch (format) {
	case RECORD_LINES:
		return split_line(data, len, count, fields);
	case RECORD_NUL:
		return split_at('\0', data, len, count, fields);
	case RECORD_JSON:
		return json_split(data, len, names, count, fields);
	}
	return "no such format";
}

/* ---- UTF-8 ---- */

static bool is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* The length of the valid UTF-8 sequence at P, 0 where there is none. */
static size_t utf8_length(const unsigned char *p, size_t left)
{
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || left < 2 || !is_continuation(p[1]))
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (left < 3 || !is_continuation(p[2]))
		return 0;
	if (p[0] < 0xf0) /* no overlong forms, no surrogates */
		return (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ? 0 : 3;
	if (left < 4 || !is_continuation(p[3]))
		return 0;
	return (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f) ? 0 : 4;
}

bool record_is_utf8(const char *bytes, size_t len)
{
	const unsigned char *p = (const unsigned char *)bytes;

	for (size_t i = 0; i < len;) {
		size_t n = utf8_length(p + i, len - i);

		if (!n)
			return false;
		i += n;
	}
	return true;
}

/* ---- writing ---- */

bool record_can(const struct record_writer *writer, const void *data, size_t len)
{
	return writer->format != RECORD_NUL || !len || !memchr(data, '\0', len);
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Whether one of eight bytes is a control, a backslash or no ASCII (a borrow may say so of a plain neighbour too). */
static bool any_special(const unsigned char *p)
{
	uint64_t w, slash;

	memcpy(&w, p, sizeof(w));
	slash = w ^ EACH_BYTE('\\');
	return (w | (w - EACH_BYTE(' ')) | (w + EACH_BYTE(1)) | (slash - EACH_BYTE(1))) & EACH_BYTE(0x80);
}

/* How many bytes from P on are printed as they are, whatever comes after them: printable ASCII but the backslash. */
static size_t plain_length(const unsigned char *p, size_t len)
{
	size_t n = 0;

	while (len - n >= 8 && !any_special(p + n))
		n += 8;
	while (n < len && p[n] >= ' ' && p[n] < 0x7f && p[n] != '\\')
		n++;
	return n;
}

static size_t put_escape(struct out *out, unsigned char c)
{
	static const char from[] = "\\\t\n\r", to[] = "\\tnr", hex[] = "0123456789abcdef";
	const char *found = c ? strchr(from, c) : NULL;
	char *p = out_reserve(out, 4);

	p[0] = '\\';
	p[1] = found ? to[found - from] : c ? 'x' : '0';
	if (p[1] == 'x') {
		p[2] = hex[c >> 4];
		p[3] = hex[c & 15];
	}
	out->len += p[1] == 'x' ? 4 : 2;
	return 1;
}

/* What stands at P and is not plain: a sequence of UTF-8 that is no control goes as it is, the rest is escaped. */
static size_t put_special(struct out *out, const unsigned char *p, size_t left)
{
	size_t n = utf8_length(p, left);
	bool control = n == 1 || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);

	if (n > 1 && !control) {
		out_put(out, p, n);
		return n;
	}
	return put_escape(out, *p);
}

static void put_escaped(struct out *out, const unsigned char *p, size_t len)
{
	while (len) {
		size_t n = plain_length(p, len);

		out_put(out, p, n);
		if (n < len)
			n += put_special(out, p + n, len - n);
		p += n;
		len -= n;
	}
}

void record_begin(struct record_writer *writer)
{
	writer->fields = 0;
	if (writer->format == RECORD_JSON)
		out_char(writer->out, '{');
}

static void begin_field(struct record_writer *writer, const char *name)
{
	bool first = !writer->fields++;

	if (writer->format == RECORD_LINES && !first)
		out_char(writer->out, '\t');
	if (writer->format == RECORD_JSON)
		json_put_name(writer->out, name, first);
}

static void end_field(struct record_writer *writer)
{
	if (writer->format == RECORD_NUL)
		out_char(writer->out, '\0');
}

static void put_word(struct record_writer *writer, const void *data, size_t len)
{
	if (writer->format == RECORD_LINES)
		put_escaped(writer->out, data, len);
	else if (writer->format == RECORD_NUL)
		out_put(writer->out, data, len);
	else
		json_put_bytes(writer->out, data, len);
}

void record_text(struct record_writer *writer, const char *name, const void *data, size_t len)
{
	begin_field(writer, name);
	put_word(writer, data, len);
	end_field(writer);
}

void record_number(struct record_writer *writer, const char *name, long long number)
{
	begin_field(writer, name);
	out_number(writer->out, number);
	end_field(writer);
}

void record_none(struct record_writer *writer, const char *name)
{
	begin_field(writer, name);
	out_text(writer->out, writer->format == RECORD_JSON ? "null" : "-");
	end_field(writer);
}

void record_list(struct record_writer *writer, const char *name, const char *const words[], size_t count)
{
	bool json = writer->format == RECORD_JSON;

	begin_field(writer, name);
	if (json)
		out_char(writer->out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			out_char(writer->out, ',');
		put_word(writer, words[i], strlen(words[i]));
	}
	if (json)
		out_char(writer->out, ']');
	end_field(writer);
}

void record_end(struct record_writer *writer)
{
	if (writer->format == RECORD_JSON)
		out_char(writer->out, '}');
	if (writer->format != RECORD_NUL)
		out_char(writer->out, '\n');
}
