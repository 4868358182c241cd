/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static bool make_room(struct text *text, size_t len)
{
	size_t room = text->room ? text->room : 64;
	char *at;

	/* One more for the NUL. */
	if (text->failed || len < text->room - text->len)
		return !text->failed;
	while (room - text->len <= len)
		room *= 2;
	at = realloc(text->at, room);
	if (!at) {
		text->failed = true;
		return false;
	}
	text->at = at;
	text->room = room;
	return true;
}

void text_bytes(struct text *text, const char *bytes, size_t len)
{
	if (!make_room(text, len))
		return;
	memcpy(text->at + text->len, bytes, len);
	text->len += len;
}

void text_string(struct text *text, const char *string)
{
	text_bytes(text, string, strlen(string));
}

void text_number(struct text *text, unsigned long n)
{
	char digits[24];

	text_bytes(text, digits, (size_t)(write_decimal(digits, n) - digits));
}

char *text_take(struct text *text)
{
	char *at = NULL;

	if (make_room(text, 0)) {
		at = text->at;
		at[text->len] = 0;
	} else {
		free(text->at);
	}
	*text = (struct text){0};
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
