/* SPDX-License-Identifier: MIT */
/* A line of `rcmd -` cut into words, quoted as in redis-cli. Pure. */
#ifndef RCMD_LINE_H
#define RCMD_LINE_H

#include <stdbool.h>
#include <stddef.h>

struct line_words {
	const char **word;
	size_t *len;
	size_t count, room;
};

/*
 * Cuts LINE into words, decoding them in place. Words are split by white
 * space; in double quotes \n \r \t \b \a \xHH \\ \" are known and a backslash
 * before anything else is that thing; in single quotes only \'. A closing
 * quote must end its word.
 * Returns NULL, or what is wrong. No words at all is fine.
 */
const char *line_split(struct line_words *words, char *line, size_t len);

void line_words_finish(struct line_words *words);

#endif
