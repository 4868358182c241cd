/* SPDX-License-Identifier: MIT */
/* Command lines from text, for tests of the command table. */
#ifndef COMMAND_LINE_H
#define COMMAND_LINE_H

#include <stddef.h>

#include <shard/command.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 64

/* A command line, each word in memory of just its size: what reads beyond it is seen by sanitizers. */
struct line {
	int argc;
	char *argv[WORDS_MAX];
	size_t argvlen[WORDS_MAX];
};

#define ARGS(line) (line)->argc, (const char *const *)(line)->argv, (line)->argvlen

void line_add(struct line *line, const char *text, size_t len);
void line_drop(struct line *line);

/* Words between spaces; "" is the empty word. */
struct line line_split(const char *text);

/* The entry of a command line, or of one word. */
const shard_command *find(const char *text);
const shard_command *find_word(const char *word, size_t len);

#endif
