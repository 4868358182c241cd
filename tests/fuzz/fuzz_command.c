/* SPDX-License-Identifier: MIT */
/* The command table: words between newlines are a command line; keys are within it, and letters have no case. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include <shard/command.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

#define WORDS_MAX 256

struct line {
	int argc;
	const char *argv[WORDS_MAX];
	size_t argvlen[WORDS_MAX];
};

/* In memory of just its size: what reads beyond it is seen. */
static char *copy_word(const uint8_t *data, size_t len, int (*change)(int))
{
	char *word = malloc(len ? len : 1);
	MUST(word);
	for (size_t i = 0; i < len; i++)
		word[i] = (char)(change ? change(data[i]) : data[i]);
	return word;
}

static void read_line(struct line *line, const uint8_t *data, size_t size, int (*change)(int))
{
	*line = (struct line){0};
	while (size > 0 && line->argc < WORDS_MAX) {
		const uint8_t *end = memchr(data, '\n', size);
		size_t len = end ? (size_t)(end - data) : size, used = end ? len + 1 : len;
		line->argv[line->argc] = copy_word(data, len, change);
		line->argvlen[line->argc++] = len;
		data += used;
		size -= used;
	}
}

static void drop(struct line *line)
{
	while (line->argc > 0)
		free((char *)line->argv[--line->argc]);
}

static int check_keys(const shard_command *command, const struct line *line, shard_key_range ranges[])
{
	int count = shard_command_keys(command, line->argc, line->argv, line->argvlen, ranges);
	MUST(count >= -1 && count <= SHARD_KEY_RANGES_MAX);
	for (int i = 0; i < count; i++) {
		MUST(ranges[i].first > 0 && ranges[i].first <= ranges[i].last && ranges[i].last < line->argc);
		MUST(ranges[i].step > 0 && (ranges[i].last - ranges[i].first) % ranges[i].step == 0);
	}
	return count;
}

static long long check_waiting(const shard_command *command, const struct line *line)
{
	long long ms = -1;
	bool blocks = shard_command_blocks(command, line->argc, line->argv, line->argvlen, &ms);
	MUST(ms >= 0 && ms <= 1ll << 53 && (blocks || ms == 0));
	MUST(!blocks || command->flags & SHARD_CMD_BLOCKING);
	return blocks ? ms : -1;
}

static void check_idempotent(const shard_command *command, const struct line *line, bool is)
{
	MUST(shard_command_idempotent(command, line->argc, line->argv, line->argvlen) == is);
	MUST(is || !(command->flags & (SHARD_CMD_READONLY | SHARD_CMD_IDEMPOTENT)));
}

/* The same line in capitals is the same. */
static void check_same(const shard_command *command, const struct line *line, const struct line *other)
{
	shard_key_range ranges[SHARD_KEY_RANGES_MAX], again[SHARD_KEY_RANGES_MAX];
	bool is = shard_command_idempotent(command, line->argc, line->argv, line->argvlen);
	int count = check_keys(command, line, ranges);
	MUST(shard_command_find(other->argc, other->argv, other->argvlen) == command);
	MUST(check_keys(command, other, again) == count);
	MUST(count < 0 || memcmp(ranges, again, (size_t)count * sizeof(*ranges)) == 0);
	MUST(check_waiting(command, line) == check_waiting(command, other));
	check_idempotent(command, line, is);
	/* Keys that differ only in their case may be one key in capitals: a destination that is a source. */
	check_idempotent(command, other, shard_command_idempotent(command, other->argc, other->argv, other->argvlen));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct line line, capitals;
	read_line(&line, data, size, NULL);
	read_line(&capitals, data, size, toupper);
	const shard_command *command = shard_command_find(line.argc, line.argv, line.argvlen);
	if (command)
		check_same(command, &line, &capitals);
	else
		MUST(!shard_command_find(capitals.argc, capitals.argv, capitals.argvlen));
	drop(&line);
	drop(&capitals);
	return 0;
}
