/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "command_line.h"

void line_add(struct line *line, const char *text, size_t len)
{
	char *word = malloc(len ? len : 1);
	assert_non_null(word);
	assert_true(line->argc < WORDS_MAX);
	memcpy(word, text, len);
	line->argv[line->argc] = word;
	line->argvlen[line->argc++] = len;
}

void line_drop(struct line *line)
{
	while (line->argc > 0)
		free(line->argv[--line->argc]);
}

struct line line_split(const char *text)
{
	struct line line = {0};
	while (*text) {
		size_t len = strcspn(text, " ");
		line_add(&line, text, strncmp(text, "\"\"", 2) == 0 ? 0 : len);
		text += len + strspn(text + len, " ");
	}
	return line;
}

const shard_command *find(const char *text)
{
	struct line line = line_split(text);
	const shard_command *command = shard_command_find(ARGS(&line));
	line_drop(&line);
	return command;
}

const shard_command *find_word(const char *word, size_t len)
{
	struct line line = {0};
	line_add(&line, word, len);
	const shard_command *command = shard_command_find(ARGS(&line));
	line_drop(&line);
	return command;
}
