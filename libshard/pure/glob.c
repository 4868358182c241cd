/* SPDX-License-Identifier: MIT */
#include "pure/glob.h"

#include <string.h>

#include <shard/slot.h>

/* A class is open at its end where the pattern ends first: then the end closes it, as in the servers. */
struct class
{
	const char *at, *end;
	char byte;
	bool found;
};

/* Servers compare ranges as their chars are: signed where most of them run. */
static bool in_range(signed char a, signed char b, signed char byte)
{
	return a <= b ? byte >= a && byte <= b : byte >= b && byte <= a;
}

/* One member: a byte, an escaped byte, or a range. */
static void member(struct class *class)
{
	size_t left = (size_t)(class->end - class->at);

	if (left >= 2 && class->at[0] == '\\') {
		class->found |= class->at[1] == class->byte;
		class->at += 2;
	} else if (left >= 3 && class->at[1] == '-') {
		class->found |=
			in_range((signed char)class->at[0], (signed char)class->at[2], (signed char)class->byte);
		class->at += 3;
	} else {
		class->found |= class->at[0] == class->byte;
		class->at++;
	}
}

/* *AT stands behind the '['; afterwards behind the class. */
static bool in_class(const char **at, const char *end, char byte)
{
	struct class class = {.at = *at, .end = end, .byte = byte};
	bool negated = class.at < end && *class.at == '^';

	class.at += negated;
	while (class.at < end && *class.at != ']')
		member(&class);
	*at = class.at + (class.at < end);
	return class.found != negated;
}

/* Whether BYTE is what stands at *AT, which is no '*'; then *AT is behind it. */
static bool one(const char **at, const char *end, char byte)
{
	const char *p = *at;

	switch (*p) {
	case '?':
		*at = p + 1;
		return true;
	case '[':
		*at = p + 1;
		return in_class(at, end, byte);
	case '\\':
		p += p + 1 < end;
		break;
	}
	*at = p + 1;
	return *p == byte;
}

bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	const char *p = pattern, *end = pattern + pattern_len;
	const char *star = NULL; /* behind the last '*' */
	size_t at = 0, star_at = 0;

	while (at < len) {
		if (p < end && *p == '*') {
			star = ++p;
			star_at = at;
		} else if (p < end && one(&p, end, text[at])) {
			at++;
		} else if (star) {
			/* The last '*' takes one byte more: an earlier one need not be tried again. */
			p = star;
			at = ++star_at;
		} else {
			return false;
		}
	}
	while (p < end && *p == '*')
		p++;
	return p == end;
}

int glob_slot(const char *pattern, size_t pattern_len)
{
	size_t plain = 0;

	while (plain < pattern_len && !memchr("*?[\\", pattern[plain], 4))
		plain++;
	if (plain == pattern_len)
		return (int)shard_slot(pattern, pattern_len);
	const char *open = memchr(pattern, '{', plain);
	const char *close = open ? memchr(open, '}', plain - (size_t)(open - pattern)) : NULL;
	return close && close > open + 1 ? (int)shard_slot(pattern, plain) : -1;
}
