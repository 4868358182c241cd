/* SPDX-License-Identifier: MIT */
#include "rkeys_long.h"

#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>

#include "cli.h"

#define TYPE_SIZE 64
#define NODE_SIZE 300
#define FAILURES_SHOWN 10

/* STRLEN is asked of every key, for most are strings; MEMORY USAGE of the rest. */
struct entry {
	struct long_list *list;
	unsigned waiting;
	bool failed;
	char type[TYPE_SIZE];
	char node[NODE_SIZE];
	long long pttl, bytes; /* bytes -1: not known */
	size_t key_len;
	char key[];
};

static void copy_text(char *to, size_t size, const char *from, size_t len)
{
	if (len >= size)
		len = size - 1;
	memcpy(to, from, len);
	to[len] = '\0';
}

static void put_entry(struct record_writer *writer, const struct entry *entry)
{
	record_begin(writer);
	record_text(writer, "key", entry->key, entry->key_len);
	record_text(writer, "type", entry->type, strlen(entry->type));
	record_number(writer, "pttl", entry->pttl);
	record_number(writer, "bytes", entry->bytes);
	if (entry->list->slots)
		record_number(writer, "slot", shard_slot(entry->key, entry->key_len));
	else
		record_none(writer, "slot");
	record_text(writer, "node", entry->node, strlen(entry->node));
	record_end(writer);
}

static bool is_gone(const struct entry *entry)
{
	return !strcmp(entry->type, "none") || entry->pttl == -2 || entry->bytes == -1;
}

static void release(struct entry *entry)
{
	struct long_list *list = entry->list;

	if (--entry->waiting)
		return;
	if (!entry->failed && !is_gone(entry))
		put_entry(list->writer, entry);
	list->open--;
	free(entry);
}

/* Whether RESULT is an answer; else it is reported, once a key. */
static bool is_answer(struct entry *entry, const shard_result *result)
{
	if (!result->error)
		return true;
	if (!entry->failed && ++entry->list->failures <= FAILURES_SHOWN)
		cli_result_error(entry->key, entry->key_len, result);
	entry->failed = true;
	return false;
}

static void ask(struct entry *entry, const char *command, const char *subcommand, shard_callback callback)
{
	const char *argv[3] = {command, subcommand};
	size_t argvlen[3] = {strlen(command), subcommand ? strlen(subcommand) : 0};
	int argc = subcommand ? 3 : 2;
	int error;

	argv[argc - 1] = entry->key;
	argvlen[argc - 1] = entry->key_len;
	entry->waiting++;
	error = shard_submit(entry->list->client, argc, argv, argvlen, NULL, callback, entry, NULL);
	if (error)
		callback(entry, &(shard_result){.error = error, .message = shard_strerror(error), .slot = -1});
}

static void on_type(void *ctx, const shard_result *result)
{
	struct entry *entry = ctx;

	if (is_answer(entry, result)) {
		copy_text(entry->type, sizeof(entry->type), result->reply->str, result->reply->len);
		copy_text(entry->node, sizeof(entry->node), result->node, strlen(result->node));
	}
	release(entry);
}

static void take_integer(struct entry *entry, const shard_result *result, long long *number)
{
	if (is_answer(entry, result) && result->reply->type == SHARD_REPLY_INTEGER)
		*number = result->reply->integer;
	release(entry);
}

static void on_pttl(void *ctx, const shard_result *result)
{
	take_integer(ctx, result, &((struct entry *)ctx)->pttl);
}

static void on_usage(void *ctx, const shard_result *result)
{
	take_integer(ctx, result, &((struct entry *)ctx)->bytes);
}

static void on_strlen(void *ctx, const shard_result *result)
{
	struct entry *entry = ctx;

	if (result->error != SHARD_ESERVER || !shard_reply_is_error(result->reply, "WRONGTYPE"))
		return take_integer(entry, result, &entry->bytes);
	ask(entry, "MEMORY", "USAGE", on_usage);
	release(entry);
}

void long_list_add(struct long_list *list, const char *key, size_t len)
{
	struct entry *entry = cli_alloc(sizeof(*entry) + len);

	*entry = (struct entry){.list = list, .waiting = 1, .bytes = -1, .key_len = len};
	if (len)
		memcpy(entry->key, key, len);
	list->open++;
	ask(entry, "TYPE", NULL, on_type);
	ask(entry, "PTTL", NULL, on_pttl);
	ask(entry, "STRLEN", NULL, on_strlen);
	release(entry);
}

bool long_list_end(const struct long_list *list)
{
	if (list->failures > FAILURES_SHOWN)
		cli_error("%llu more keys failed", (unsigned long long)(list->failures - FAILURES_SHOWN));
	return !list->failures;
}
