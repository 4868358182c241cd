/* SPDX-License-Identifier: MIT */
/*
 * Lines of `rcmd -`: any line is cut into words that lie within it, or refused with a reason; words that are quoted
 * anew are read as they were. Built with tools/rcmd_line.c.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../tools/rcmd_line.h"
#include "cli.h"

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

void *cli_realloc(void *old, size_t size)
{
	void *p = realloc(old, size);

	MUST(p);
	return p;
}

static void check_again(const struct line_words *words, size_t bytes)
{
	struct line_words again = {0};
	char *line = malloc(4 * bytes + 3 * words->count + 1), *to = line;

	MUST(line);
	for (size_t i = 0; i < words->count; i++) {
		*to++ = '"';
		for (size_t j = 0; j < words->len[i]; j++)
			to += sprintf(to, "\\x%02x", (unsigned char)words->word[i][j]);
		*to++ = '"';
		*to++ = ' ';
	}
	MUST(!line_split(&again, line, (size_t)(to - line)));
	MUST(again.count == words->count);
	for (size_t i = 0; i < words->count; i++)
		MUST(again.len[i] == words->len[i] && !memcmp(again.word[i], words->word[i], words->len[i]));
	line_words_finish(&again);
	free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line_words words = {0};
	char *line = malloc(size + 1);
	size_t bytes = 0;
	const char *why;

	MUST(line);
	if (size)
		memcpy(line, data, size);
	why = line_split(&words, line, size);
	MUST(!why || *why);
	for (size_t i = 0; i < words.count && !why; i++) {
		MUST(words.word[i] >= line && words.word[i] + words.len[i] <= line + size);
		bytes += words.len[i];
	}
	if (!why)
		check_again(&words, bytes);
	line_words_finish(&words);
	free(line);
	return 0;
}
