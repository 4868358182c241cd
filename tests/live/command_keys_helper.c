/* SPDX-License-Identifier: MIT */
/*
 * What libshard makes of command lines, for test_getkeys.py.
 *
 * command_keys_helper: reads a line each, the words in hexadecimal digits, '-'
 * for an empty one. Writes a line each: "unknown", "malformed", or the entry's
 * name, whether the line is idempotent (0 or 1), and the places of the keys.
 * command_keys_helper --table: writes name, flags and arity of each entry.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/command.h>

#define WORDS_MAX 1024

static unsigned digit(char c)
{
	return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* In memory of just its size, so that sanitizers see what reads beyond it. */
static char *read_word(const char *hex, size_t *len)
{
	*len = *hex == '-' ? 0 : strlen(hex) / 2;
	char *word = malloc(*len ? *len : 1);
	if (!word)
		abort();
	for (size_t i = 0; i < *len; i++)
		word[i] = (char)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
	return word;
}

static void print_keys(int argc, const char *const argv[], const size_t argvlen[])
{
	const shard_command *command = shard_command_find(argc, argv, argvlen);
	if (!command) {
		puts("unknown");
		return;
	}
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	int count = shard_command_keys(command, argc, argv, argvlen, ranges);
	if (count < 0) {
		puts("malformed");
		return;
	}
	printf("%s %d", command->name, shard_command_idempotent(command, argc, argv, argvlen));
	for (int n = 0; n < count; n++)
		for (int i = ranges[n].first; i <= ranges[n].last; i += ranges[n].step)
			printf(" %d", i);
	putchar('\n');
}

static void print_table(void)
{
	for (size_t i = 0; i < shard_command_count(); i++) {
		const shard_command *command = shard_command_at(i);
		printf("%s %u %d\n", command->name, command->flags, command->arity);
	}
}

static void answer_lines(void)
{
	char *line = NULL, *words[WORDS_MAX];
	size_t size = 0, lens[WORDS_MAX];
	while (getline(&line, &size, stdin) >= 0) {
		int argc = 0;
		for (char *hex = strtok(line, " \n"); hex && argc < WORDS_MAX; hex = strtok(NULL, " \n"), argc++)
			words[argc] = read_word(hex, &lens[argc]);
		print_keys(argc, (const char *const *)words, lens);
		while (argc > 0)
			free(words[--argc]);
	}
	free(line);
}

int main(int argc, char *argv[])
{
	if (argc > 1 && strcmp(argv[1], "--table") == 0)
		print_table();
	else
		answer_lines();
	return 0;
}
