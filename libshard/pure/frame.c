/* SPDX-License-Identifier: MIT */
#include "pure/frame.h"

#include <string.h>

#define LINE_MAX_BYTES 65536 /* of a status or an error */
#define ELEMENTS_MAX (1ull << 32)

/* The number between AT and the line's CR. Returns whether it is one; "-1" is UINT64_MAX. */
static inline bool read_number(const char *at, const char *cr, uint64_t *value)
{
	uint64_t n = 0;

	if (cr - at == 2 && at[0] == '-' && at[1] == '1') {
		*value = UINT64_MAX;
		return true;
	}
	if (at == cr || cr - at > 12)
		return false;
	for (; at < cr; at++) {
		unsigned digit = (unsigned char)*at - '0';

		if (digit > 9)
			return false;
		n = n * 10 + digit;
	}
	*value = n;
	return true;
}

/* One element of which the line ends in CR. Returns whether it may be. */
static inline bool take_element(struct resp_frame *frame, const char *line, const char *cr, size_t bulk_max)
{
	uint64_t n;

	frame->left--;
	switch (*line) {
	case '$':
		if (!read_number(line + 1, cr, &n))
			return false;
		if (n == UINT64_MAX)
			return true;
		frame->at += n + 2;
		return n <= bulk_max;
	case '*':
		if (!read_number(line + 1, cr, &n))
			return false;
		if (n != UINT64_MAX)
			frame->left += n;
		return frame->left <= ELEMENTS_MAX;
	case '+':
	case '-':
	case ':':
		return true;
	default:
		return false;
	}
}

enum resp_frame_state resp_frame_scan(struct resp_frame *frame, const char *data, size_t len, size_t bulk_max)
{
	while (frame->left) {
		const char *line = data + frame->at, *cr;

		if (frame->at >= len)
			return FRAME_MORE;
		cr = memchr(line, '\r', len - frame->at);
		if (!cr || cr + 1 == data + len)
			return len - frame->at > LINE_MAX_BYTES ? FRAME_BAD : FRAME_MORE;
		if (cr[1] != '\n')
			return FRAME_BAD;
		frame->at = (size_t)(cr + 2 - data);
		if (!take_element(frame, line, cr, bulk_max))
			return FRAME_BAD;
	}
	return frame->at <= len ? FRAME_WHOLE : FRAME_MORE;
}
