/* SPDX-License-Identifier: MIT */
#include "base/strbuf.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(struct strbuf *buf, size_t len)
{
	size_t room = buf->room ? buf->room : 64;
	char *at;

	/* One more for the NUL. */
	if (buf->failed || len < buf->room - buf->len)
		return !buf->failed;
	while (room - buf->len <= len)
		room *= 2;
	at = realloc(buf->at, room);
	if (!at) {
		buf->failed = true;
		return false;
	}
	buf->at = at;
	buf->room = room;
	return true;
}

void strbuf_bytes(struct strbuf *buf, const char *bytes, size_t len)
{
	if (!make_room(buf, len))
		return;
	memcpy(buf->at + buf->len, bytes, len);
	buf->len += len;
}

void strbuf_string(struct strbuf *buf, const char *string)
{
	strbuf_bytes(buf, string, strlen(string));
}

void strbuf_number(struct strbuf *buf, unsigned long n)
{
	char digits[24];

	strbuf_bytes(buf, digits, (size_t)(write_decimal(digits, n) - digits));
}

char *strbuf_take(struct strbuf *buf)
{
	char *at = NULL;

	if (make_room(buf, 0)) {
		at = buf->at;
		at[buf->len] = 0;
	} else {
		free(buf->at);
	}
	*buf = (struct strbuf){0};
	return at;
}

char *write_decimal(char *out, unsigned long n)
{
	unsigned long above = 1;
	unsigned digits = 1;

	for (; n / above >= 10; above *= 10)
		digits++;
	for (char *p = out + digits; p > out; n /= 10)
		*--p = (char)('0' + n % 10);
	return out + digits;
}

char *write_hex(char *out, uint64_t n)
{
	for (int shift = 60; shift >= 0; shift -= 4)
		*out++ = "0123456789abcdef"[n >> shift & 15];
	return out;
}
