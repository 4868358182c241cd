/* SPDX-License-Identifier: MIT */
#include "transaction.h"

#include <stdlib.h>
#include <string.h>

#include "local.h"
#include "worker.h"

#define COMMANDS_MAX 65536
#define BLOCK_MAX ((size_t)64 << 20)

struct block {
	struct bytes bytes;   /* of all words */
	struct words words;   /* of all commands, one behind the other */
	size_t *number;       /* of words, for each command */
	size_t count, room;
	bool spoilt;          /* one of them could not be taken */
};

void transaction_forget(struct session *session)
{
	struct block *block = session->block;

	if (!block)
		return;
	session->block = NULL;
	bytes_finish(&block->bytes);
	words_finish(&block->words);
	free(block->number);
	free(block);
}

void transaction_multi(struct query *query, struct words *words)
{
	if (words->count != 1) {
		local_wrong_number(query);
		return;
	}
	query->session->block = calloc(1, sizeof(struct block));
	if (query->session->block)
		query_reply(query, "+OK\r\n", 5);
	else
		query_error(query, "ERR out of memory");
}

void transaction_unwatch(struct query *query, struct words *words)
{
	(void)words;
	query_reply(query, "+OK\r\n", 5);
}

void transaction_discard(struct query *query, struct words *words)
{
	(void)words;
	if (!query->session->block) {
		query_error(query, "ERR DISCARD without MULTI");
		return;
	}
	transaction_forget(query->session);
	query_reply(query, "+OK\r\n", 5);
}

static bool add(struct block *block, const struct words *words)
{
	if (block->count == block->room) {
		size_t room = block->room ? block->room * 2 : 8;
		size_t *grown = realloc(block->number, room * sizeof(*grown));

		if (!grown)
			return false;
		block->number = grown;
		block->room = room;
	}
	for (size_t i = 0; i < words->count; i++) {
		if (!words_add(&block->words, block->bytes.len, words->len[i]))
			return false;
		bytes_put(&block->bytes, words->argv[i], words->len[i]);
	}
	block->number[block->count++] = words->count;
	return !block->bytes.bad;
}

/* Whether it may stand in a block. */
static const char *misfit(const struct words *words)
{
	const shard_command *command = shard_command_find((int)words->count, words->argv, words->len);

	if (!command)
		return "ERR unknown command, or one that rproxy cannot place in a transaction";
	if (command->flags & SHARD_CMD_STATE)
		return "ERR not allowed in a transaction";
	if (command->arity > 0 ? (int)words->count != command->arity : (int)words->count < -command->arity)
		return "ERR wrong number of arguments";
	return NULL;
}

bool transaction_takes(struct query *query, const struct words *words)
{
	static const char *const at_once[] = {"exec", "discard", "quit", "reset"};
	struct block *block = query->session->block;
	const char *why;

	for (size_t i = 0; i < sizeof(at_once) / sizeof(*at_once); i++)
		if (!strcmp(query->command->name, at_once[i]))
			return false;
	if (!strcmp(query->command->name, "multi")) {
		query_error(query, "ERR MULTI calls can not be nested");
		return true;
	}
	why = misfit(words);
	if (!why && (block->count == COMMANDS_MAX || block->bytes.len > BLOCK_MAX))
		why = "ERR the transaction is too large for rproxy";
	if (!why && !add(block, words))
		why = "ERR out of memory";
	if (why) {
		block->spoilt = true;
		query_error(query, "%s: '%.*s'", why, (int)(words->len[0] < 64 ? words->len[0] : 64), words->argv[0]);
		return true;
	}
	query_reply(query, "+QUEUED\r\n", 9);
	return true;
}

static void executed(void *ctx, const shard_result *result)
{
	struct query *query = ctx;

	if (query->session)
		query->session->paused = false;
	/* An aborted one is nil as an array is. */
	if (result->error == SHARD_OK && result->reply->type == SHARD_REPLY_NIL)
		query_reply(query, "*-1\r\n", 5);
	else
		forward_result(query, result);
}

static int submit(struct query *query, struct block *block)
{
	static const shard_call raw = {.flags = SHARD_RAW};
	shard_args *args = calloc(block->count, sizeof(*args));
	size_t at = 0;
	int error;

	if (!args)
		return SHARD_ENOMEM;
	words_point(&block->words, block->bytes.at);
	for (size_t i = 0; i < block->count; i++) {
		args[i] = (shard_args){(int)block->number[i], block->words.argv + at, block->words.len + at};
		at += block->number[i];
	}
	error = shard_submit_multi(query->service->client, block->count, args, &raw, executed, query, NULL);
	free(args);
	return error;
}

void transaction_exec(struct query *query, struct words *words)
{
	struct session *session = query->session;
	struct block *block = session->block;
	int error;

	(void)words;
	if (!block) {
		query_error(query, "ERR EXEC without MULTI");
		return;
	}
	session->block = NULL;
	if (block->spoilt) {
		query_error(query, "EXECABORT Transaction discarded because of previous errors.");
	} else if (!block->count) {
		query_reply(query, "*0\r\n", 4);
	} else {
		error = submit(query, block);
		session->paused = !error;
		if (error == SHARD_ECROSSSLOT)
			query_error(query, "CROSSSLOT the keys of a transaction must be on one server, in one slot (a "
					       "hash tag keeps keys together): nothing was done");
		else if (error)
			query_error(query, "EXECABORT %s: nothing was done", shard_strerror(error));
	}
	session->block = block;
	transaction_forget(session);
}
