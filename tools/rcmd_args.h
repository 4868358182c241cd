/* SPDX-License-Identifier: MIT */
/* Copies of commands. */
#ifndef RCMD_ARGS_H
#define RCMD_ARGS_H

#include <shard/client.h>

/* PREFIX_COUNT words and then COMMAND's, all in one block. For args_free(). */
shard_args args_copy(const char *const prefix[], int prefix_count, const shard_args *command);
void args_free(shard_args *args);

/* Whether word I is WORD, in any case of letters. */
bool args_word_is(const shard_args *command, int i, const char *word);

/* The bytes of its words. */
size_t args_bytes(const shard_args *command);

/* A growing list of copies. */
struct args_list {
	shard_args *command;
	size_t count, room;
};

void args_list_add(struct args_list *list, const shard_args *command);
void args_list_clear(struct args_list *list);

#endif
