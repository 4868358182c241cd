/* SPDX-License-Identifier: MIT */
/*
 * MULTI ... EXEC blocks. A block is one request with several replies: on a
 * redirect while queueing nothing has been executed (EXECABORT), and the
 * whole block is sent anew.
 */
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"
#include "pure/resp.h"

static const char multi_word[] = "*1\r\n$5\r\nMULTI\r\n";
static const char exec_word[] = "*1\r\n$4\r\nEXEC\r\n";

struct multi {
	shard_reply *spoilt; /* the first error while queueing, or NULL */
};

void multi_queued(struct shard_request *req, const shard_reply *reply)
{
	if (req->multi && reply->type == SHARD_REPLY_ERROR && !req->multi->spoilt)
		req->multi->spoilt = shard_reply_copy(reply);
}

const shard_reply *multi_outcome(struct shard_request *req, const shard_reply *exec)
{
	return exec->type == SHARD_REPLY_ERROR && req->multi->spoilt ? req->multi->spoilt : exec;
}

void multi_reset(struct shard_request *req)
{
	shard_reply_free(req->multi->spoilt);
	req->multi->spoilt = NULL;
}

void multi_free(struct multi *multi)
{
	shard_reply_free(multi->spoilt);
	free(multi);
}

/* ---- submitting ---- */

static size_t word_len(const shard_args *args, int i)
{
	return args->argvlen ? args->argvlen[i] : strlen(args->argv[i]);
}

struct block {
	const shard_client *client;
	struct place place; /* slot -1: no key so far */
	bool safe, readonly;
	bool anywhere; /* a single server, or a node of the caller's choice: slots do not matter */
	size_t size;
};

static int add_key(struct block *block, const char *key, size_t len)
{
	struct place place = client_place(block->client, key, len);

	if (block->place.slot >= 0 && block->place.slot != place.slot && !block->anywhere)
		return SHARD_ECROSSSLOT;
	block->place = place;
	return SHARD_OK;
}

static int look_at(struct block *block, const shard_args *args)
{
	const shard_command *command;
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	int count;

	if (args->argc < 1 || !args->argv)
		return SHARD_EINVAL;
	command = shard_command_find(args->argc, args->argv, args->argvlen);
	if (command && (command->flags & SHARD_CMD_STATE))
		return SHARD_EUNSUPPORTED;
	block->size += resp_command_size(args->argc, args->argv, args->argvlen);
	block->readonly &= command && (command->flags & SHARD_CMD_READONLY);
	block->safe &= command && shard_command_idempotent(command, args->argc, args->argv, args->argvlen);
	count = command ? shard_command_keys(command, args->argc, args->argv, args->argvlen, ranges) : 0;
	for (int r = 0; r < count; r++) {
		for (int i = ranges[r].first; i <= ranges[r].last; i += ranges[r].step) {
			int error = add_key(block, args->argv[i], word_len(args, i));

			if (error)
				return error;
		}
	}
	return SHARD_OK;
}

static char *write_block(char *at, size_t count, const shard_args commands[])
{
	memcpy(at, multi_word, sizeof(multi_word) - 1);
	at += sizeof(multi_word) - 1;
	for (size_t i = 0; i < count; i++)
		at = resp_command_write(at, commands[i].argc, commands[i].argv, commands[i].argvlen);
	memcpy(at, exec_word, sizeof(exec_word) - 1);
	return at + sizeof(exec_word) - 1;
}

static int fix_node(struct shard_request *req, const char *addr)
{
	req->node = node_by_addr(req->client, addr);
	if (!req->node)
		return SHARD_EINVAL;
	node_ref(req->node);
	req->flags |= REQ_FIXED;
	req->policy.once = true;
	return SHARD_OK;
}

int shard_submit_multi(shard_client *client, size_t count, const shard_args commands[], const shard_call *how,
		       shard_callback callback, void *ctx, shard_request **handle)
{
	struct block block = {
		.client = client,
		.place = {.slot = -1},
		.safe = true,
		.readonly = true,
		.size = sizeof(multi_word) + sizeof(exec_word) - 2,
	};
	struct shard_request *req;
	unsigned timeout = how && how->timeout_ms ? how->timeout_ms : client->timeout_ms;
	int error = SHARD_OK;

	if (client_forked(client))
		return client_refusal(client);
	if (!callback || count > UINT32_MAX - 2)
		return SHARD_EINVAL;
	block.anywhere = (how && how->node) || !client->topology || client->single;
	if (how && how->key)
		error = add_key(&block, how->key, how->key_len);
	for (size_t i = 0; i < count && !error; i++)
		error = look_at(&block, &commands[i]);
	if (!error && block.place.slot < 0 && !(how && how->node))
		error = SHARD_EINVAL;
	if (error)
		return error;
	req = request_create(client, block.size);
	if (!req)
		return SHARD_ENOMEM;
	write_block(request_bytes(req), count, commands);
	req->callback = callback;
	req->ctx = ctx;
	req->slot = block.place.slot;
	req->hash = block.place.hash;
	req->replies = (uint32_t)count + 2;
	req->item.raw = how && (how->flags & SHARD_RAW);
	req->flags = (how ? how->flags & (SHARD_IDEMPOTENT | SHARD_ONCE | SHARD_RETRY_NOREPLICAS | SHARD_NO_DEADLINE) : 0) |
		     (block.readonly ? REQ_READONLY : 0);
	req->policy.safe = block.safe || (req->flags & SHARD_IDEMPOTENT);
	req->policy.once = req->flags & SHARD_ONCE;
	req->policy.retry_noreplicas = req->flags & SHARD_RETRY_NOREPLICAS;
	req->policy.credentials = client->greeting_replies > 0;
	req->multi = calloc(1, sizeof(*req->multi));
	error = req->multi ? SHARD_OK : SHARD_ENOMEM;
	if (!error && how && how->node)
		error = fix_node(req, how->node);
	if (error) {
		request_free(req);
		return error;
	}
	if (handle)
		*handle = req;
	request_start(req, req->flags & SHARD_NO_DEADLINE ? 0 : timeout);
	return SHARD_OK;
}
