/* SPDX-License-Identifier: MIT */
#include "rcmd_args.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli.h"

bool args_word_is(const shard_args *command, int i, const char *word)
{
	size_t len = strlen(word);

	return i < command->argc && command->argvlen[i] == len && !strncasecmp(command->argv[i], word, len);
}

size_t args_bytes(const shard_args *command)
{
	size_t bytes = 0;

	for (int i = 0; i < command->argc; i++)
		bytes += command->argvlen[i];
	return bytes;
}

shard_args args_copy(const char *const prefix[], int prefix_count, const shard_args *command)
{
	size_t argc = (size_t)(prefix_count + command->argc), bytes = args_bytes(command);
	const char **argv = cli_alloc(argc * (sizeof(char *) + sizeof(size_t)) + bytes);
	size_t *argvlen = (size_t *)(argv + argc);
	char *to = (char *)(argvlen + argc);

	for (int i = 0; i < prefix_count; i++) {
		argv[i] = prefix[i];
		argvlen[i] = strlen(prefix[i]);
	}
	for (int i = 0; i < command->argc; i++) {
		argv[prefix_count + i] = memcpy(to, command->argv[i], command->argvlen[i]);
		argvlen[prefix_count + i] = command->argvlen[i];
		to += command->argvlen[i];
	}
	return (shard_args){(int)argc, argv, argvlen};
}

void args_free(shard_args *args)
{
	free((void *)args->argv);
	*args = (shard_args){0};
}

void args_list_add(struct args_list *list, const shard_args *command)
{
	if (list->count == list->room) {
		list->room = list->room ? list->room * 2 : 16;
		list->command = cli_realloc(list->command, list->room * sizeof(*list->command));
	}
	list->command[list->count++] = args_copy(NULL, 0, command);
}

void args_list_clear(struct args_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		args_free(&list->command[i]);
	free(list->command);
	*list = (struct args_list){0};
}
