/* SPDX-License-Identifier: MIT */
/* Commands to requests: their keys, their slots, where to. */
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "client/fresh.h"
#include "pure/command.h"
#include "pure/resp.h"

#define WORDS_ON_STACK 64
#define BODY_MAX ((size_t)4 << 30) /* more than a server takes */

/* A command line that is being submitted. */
struct line {
	shard_client *client;
	int argc;
	const char *const *argv;
	const size_t *argvlen;
	const shard_call *how;
	shard_callback callback;
	void *ctx;
	shard_request **handle;
	const shard_command *command;
};

/* ---- where to ---- */

enum keys { KEYS_NONE = -1, KEYS_SEVERAL = -2 };

static const struct place nowhere = {.slot = KEYS_NONE};

static struct place place_of_word(const struct line *line, int i)
{
	return client_place(line->client, line->argv[i], line->argvlen[i]);
}

/* The place of all keys; its slot may be KEYS_NONE, or KEYS_SEVERAL. */
static struct place place_of_keys(const struct line *line, const shard_key_range *ranges, int count)
{
	struct place found = nowhere;

	for (int r = 0; r < count; r++) {
		for (int i = ranges[r].first; i <= ranges[r].last; i += ranges[r].step) {
			struct place place = place_of_word(line, i);

			if (found.slot >= 0 && place.slot != found.slot)
				return (struct place){.slot = KEYS_SEVERAL};
			found = place;
		}
	}
	return found;
}

/* ---- making a request ---- */

static struct shard_request *create(shard_client *client, int argc, const char *const argv[], const size_t argvlen[])
{
	struct shard_request *req = request_create(client, resp_command_bound(argc, argvlen));
	char *bytes;

	if (!req)
		return NULL;
	bytes = request_bytes(req);
	req->item.len = (size_t)(resp_command_write(bytes, argc, argv, argvlen) - bytes);
	return req;
}

/* The command's bytes; those of the argument that is a file's come between two of them. */
static void write_around(struct shard_request *req, const struct line *line, const shard_body *body)
{
	char *start = request_bytes(req), *at = resp_header_write(start, (size_t)line->argc);

	for (int i = 0; i < line->argc; i++) {
		if (i != body->argument) {
			at = resp_word_write(at, line->argv[i], line->argvlen[i]);
			continue;
		}
		*at++ = '$';
		at = write_decimal(at, body->len);
		*at++ = '\r';
		*at++ = '\n';
		req->stream->conn.at = (size_t)(at - start);
		*at++ = '\r';
		*at++ = '\n';
	}
	req->item.len = (size_t)(at - start);
}

static bool streams(const shard_call *how)
{
	return how && (how->body || how->sink);
}

static struct shard_request *create_stream(const struct line *line)
{
	const shard_call *how = line->how;
	struct shard_request *req = create(line->client, line->argc, line->argv, line->argvlen);

	if (!req)
		return NULL;
	req->stream = calloc(1, sizeof(*req->stream));
	if (!req->stream) {
		request_free(req);
		return NULL;
	}
	req->item.stream = &req->stream->conn;
	req->stream->sink = how->sink;
	req->stream->sink_ctx = how->sink_ctx;
	req->stream->conn.sinks = how->sink;
	if (how->body) {
		req->stream->conn.fd = how->body->fd;
		req->stream->conn.offset = how->body->offset;
		req->stream->conn.len = how->body->len;
		write_around(req, line, how->body);
	}
	return req;
}

static struct shard_request *make(const struct line *line, struct place place)
{
	shard_client *client = line->client;
	struct shard_request *req =
		streams(line->how) ? create_stream(line) : create(client, line->argc, line->argv, line->argvlen);
	uint32_t flags = line->how ? line->how->flags : 0;

	if (!req)
		return NULL;
	req->callback = line->callback;
	req->ctx = line->ctx;
	req->slot = place.slot;
	req->hash = place.hash;
	req->item.raw = (flags & SHARD_RAW) && !req->stream;
	request_traits(req, flags, line->command, line->argc, line->argv, line->argvlen);
	if (line->handle)
		*line->handle = req;
	return req;
}

static unsigned timeout_of(const struct line *line)
{
	return line->how && line->how->timeout_ms ? line->how->timeout_ms : line->client->timeout_ms;
}

static void take_own_connection(struct shard_request *req)
{
	req->lane = LANE_OWN;
	req->flags &= ~(uint32_t)SHARD_REPLICA;
}

static void start(const struct line *line, struct shard_request *req)
{
	unsigned timeout = timeout_of(line);
	long long blocks;

	if (req->flags & SHARD_OWN_CONNECTION || req->stream)
		take_own_connection(req);
	if (line->command && (line->command->flags & SHARD_CMD_BLOCKING) &&
	    shard_command_blocks(line->command, line->argc, line->argv, line->argvlen, &blocks)) {
		/* WAIT is about the connection that wrote: it must stay there. */
		if (strncmp(line->command->name, "wait", 4))
			take_own_connection(req);
		if (blocks == 0)
			req->flags |= SHARD_NO_DEADLINE;
		else if (timeout)
			timeout = timeout_with_block(timeout, blocks);
	}
	if (req->flags & SHARD_NO_DEADLINE)
		timeout = 0;
	if (req->stream)
		req->stream->timeout_ms = timeout;
	request_start(req, timeout);
}

static int send_to_place(const struct line *line, struct place place)
{
	struct shard_request *req = make(line, place);

	if (!req)
		return SHARD_ENOMEM;
	start(line, req);
	return SHARD_OK;
}

static int send_to_node(const struct line *line, const char *addr)
{
	struct client_node *node = node_by_addr(line->client, addr);
	struct shard_request *req;

	if (!node)
		return SHARD_EINVAL;
	req = make(line, nowhere);
	if (!req)
		return SHARD_ENOMEM;
	req->flags |= REQ_FIXED;
	req->policy.once = true;
	req->item.asking = line->how->flags & SHARD_ASKING;
	req->node = node;
	node_ref(node);
	start(line, req);
	return SHARD_OK;
}

/* ---- commands that the table does not have ---- */

/* The place by COMMAND GETKEYS's answer; an answer without keys gives KEYS_NONE. */
static struct place place_by_answer(const shard_client *client, const shard_result *result)
{
	struct place found = nowhere;

	if (result->error != SHARD_OK || result->reply->type != SHARD_REPLY_ARRAY)
		return nowhere;
	for (size_t i = 0; i < result->reply->len; i++) {
		const shard_reply *key = &result->reply->element[i];
		struct place place;

		if (key->type != SHARD_REPLY_STRING)
			continue;
		place = client_place(client, key->str, key->len);
		if (found.slot >= 0 && place.slot != found.slot)
			return (struct place){.slot = KEYS_SEVERAL};
		found = place;
	}
	return found;
}

static void looked_up(void *ctx, const shard_result *result)
{
	struct shard_request *req = ctx;
	struct place place = place_by_answer(req->client, result);

	req->owed = false;
	if (req->state == STATE_DEAD) {
		request_free(req);
		return;
	}
	if (req->state == STATE_ENDED)
		return;
	req->state = STATE_NEW;
	if (place.slot == KEYS_SEVERAL) {
		request_fail(req, SHARD_ECROSSSLOT, NULL);
	} else if (result->error != SHARD_OK && result->error != SHARD_ESERVER) {
		request_fail(req, result->error, result->message);
	} else {
		/* A refusal means no keys, or no such command: the server's own answer to it says which. */
		req->slot = place.slot;
		req->hash = place.hash;
		request_route(req);
	}
}

static int look_up(const struct line *line)
{
	shard_client *client = line->client;
	struct shard_request *req = make(line, nowhere);
	size_t words = (size_t)line->argc + 2;
	const char **argv = malloc(words * sizeof(*argv));
	size_t *argvlen = malloc(words * sizeof(*argvlen));
	int error = SHARD_ENOMEM;

	if (req && argv && argvlen) {
		argv[0] = "COMMAND";
		argvlen[0] = 7;
		argv[1] = "GETKEYS";
		argvlen[1] = 7;
		memcpy(argv + 2, line->argv, (size_t)line->argc * sizeof(*argv));
		memcpy(argvlen + 2, line->argvlen, (size_t)line->argc * sizeof(*argvlen));
		error = submit_internal(client, NULL, timeout_of(line), looked_up, req, (int)words, argv, argvlen);
	}
	free(argv);
	free(argvlen);
	if (error == SHARD_OK) {
		req->state = STATE_LOOKUP;
		start(line, req);
	} else if (req) {
		request_free(req);
	}
	return error;
}

/* ---- choosing ---- */

/* Keys in several slots: one server takes them as they are, a cluster wants them split. */
static int send_several(const struct line *line, const shard_key_range *range)
{
	shard_client *client = line->client;

	/* A key without its value: the server says what is wrong with it. */
	if ((line->argc - range->first) % range->step)
		return send_to_place(line, nowhere);
	if (client->topology && client->single && !(line->how && line->how->flags & SHARD_PARTS))
		return send_to_place(line, place_of_word(line, range->first));
	if (line->command->flags & SHARD_CMD_SPLIT)
		return group_split(client, line->command, range, line->argc, line->argv, line->argvlen, line->how,
				   line->callback, line->ctx, line->handle);
	/* Without a map the server is asked whether it minds. */
	if (!client->topology)
		return send_to_place(line, place_of_word(line, range->first));
	return SHARD_ECROSSSLOT;
}

static int send_keyless(const struct line *line)
{
	const shard_command *command = line->command;

	if (command->request_policy == SHARD_TO_ALL_SHARDS || command->request_policy == SHARD_TO_ALL_NODES)
		return group_each(line->client, command, command->request_policy == SHARD_TO_ALL_NODES, true,
				  line->argc, line->argv, line->argvlen, line->how, line->callback, line->ctx,
				  line->handle);
	return send_to_place(line, nowhere);
}

/* One slot, and yet a group's business: a result for each key is wanted, or TRYAGAIN may part the keys. */
static bool in_parts(const struct line *line, const shard_key_range *range)
{
	if (!(line->command->flags & SHARD_CMD_SPLIT))
		return false;
	return (line->how && (line->how->flags & SHARD_PARTS)) ||
	       (range->last > range->first && line->client->topology && !line->client->single);
}

static int send_by_keys(const struct line *line)
{
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	int count = shard_command_keys(line->command, line->argc, line->argv, line->argvlen, ranges);
	struct place place;

	/* A malformed line: the server's own words tell best what is wrong. */
	if (count < 0)
		return send_to_place(line, nowhere);
	if (count == 0)
		return send_keyless(line);
	place = place_of_keys(line, ranges, count);
	if (place.slot == KEYS_SEVERAL || in_parts(line, &ranges[0]))
		return send_several(line, &ranges[0]);
	if (place.slot == KEYS_NONE)
		return send_keyless(line);
	return send_to_place(line, place);
}

/* A container's entry stands for the subcommands that the table does not have. */
static bool unknown_subcommand(const struct line *line)
{
	return (line->command->flags & SHARD_CMD_CONTAINER) && line->argc > 1 && strcmp(line->command->name, "command");
}

static bool may_stream(const struct line *line)
{
	const shard_body *body = line->how->body;
	const shard_command *command = line->command;

	if (line->how->flags & (SHARD_EACH_MASTER | SHARD_EACH_NODE))
		return false;
	if (command && (command->flags & SHARD_CMD_SPLIT || command->request_policy == SHARD_TO_ALL_SHARDS ||
			command->request_policy == SHARD_TO_ALL_NODES))
		return false;
	return !body || (body->argument > 0 && body->argument < line->argc && !line->argvlen[body->argument] &&
			 body->fd >= 0 && body->len <= BODY_MAX);
}

static int submit(struct line *line)
{
	const shard_call *how = line->how;

	if (line->command && (line->command->flags & SHARD_CMD_STATE))
		return SHARD_EUNSUPPORTED;
	if (streams(how) && !may_stream(line))
		return SHARD_EINVAL;
	if (how) {
		if (how->node)
			return send_to_node(line, how->node);
		if (how->flags & (SHARD_EACH_MASTER | SHARD_EACH_NODE))
			return group_each(line->client, line->command, how->flags & SHARD_EACH_NODE, false, line->argc,
					  line->argv, line->argvlen, how, line->callback, line->ctx, line->handle);
		if (how->key)
			return send_to_place(line, client_place(line->client, how->key, how->key_len));
	}
	if (!line->command || unknown_subcommand(line))
		return look_up(line);
	return send_by_keys(line);
}

static int submit_any(shard_client *client, const shard_command *command, int argc, const char *const argv[],
		      const size_t argvlen[], const shard_call *how, shard_callback callback, void *ctx,
		      shard_request **handle)
{
	size_t on_stack[WORDS_ON_STACK], *len = NULL;
	struct line line = {
		.client = client,
		.argc = argc,
		.argv = argv,
		.argvlen = argvlen,
		.how = how,
		.callback = callback,
		.ctx = ctx,
		.handle = handle,
		.command = command,
	};
	int error;

	if (!argvlen) {
		len = argc <= WORDS_ON_STACK ? on_stack : malloc((size_t)argc * sizeof(*len));
		if (!len)
			return SHARD_ENOMEM;
		for (int i = 0; i < argc; i++)
			len[i] = strlen(argv[i]);
		line.argvlen = len;
	}
	error = submit(&line);
	if (len != on_stack)
		free(len);
	return error;
}

/* Commands of one key, sent as they are: what there is a million of. */
static bool plain(const shard_command *command, int argc)
{
	return command && argc > 1 && command_first_only(command) &&
	       !(command->flags & (SHARD_CMD_STATE | SHARD_CMD_BLOCKING | SHARD_CMD_SPLIT));
}

/* LEN 1 to 16, without a call. */
static inline bool same_bytes(const char *a, const char *b, size_t len)
{
	if (len > 8)
		return !memcmp(a, b, len);
	if (len >= 4) {
		uint32_t u[4];

		memcpy(&u[0], a, 4);
		memcpy(&u[1], b, 4);
		memcpy(&u[2], a + len - 4, 4);
		memcpy(&u[3], b + len - 4, 4);
		return u[0] == u[1] && u[2] == u[3];
	}
	return a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1];
}

static inline bool remembered(const struct command_memo *memo, int argc, const char *name, size_t len)
{
	return argc == memo->argc && len == memo->name_len && same_bytes(name, memo->name, len);
}

/* Returns whether the command is a plain one that there is room for. */
static bool remember(struct command_memo *memo, const shard_command *command, int argc, const char *name, size_t len)
{
	if (!plain(command, argc) || argc > 99 || !len || len > sizeof(memo->name))
		return false;
	memo->command = command;
	memo->argc = argc;
	memo->name_len = (unsigned)len;
	memcpy(memo->name, name, len);
	memo->len =
		(unsigned)(resp_word_write(resp_header_write(memo->prefix, (size_t)argc), name, len) - memo->prefix);
	return true;
}

static int submit_plain(shard_client *client, int argc, const char *const argv[], const size_t argvlen[],
			const shard_call *how, shard_callback callback, void *ctx, shard_request **handle)
{
	const struct command_memo *memo = &client->memo;
	struct shard_request *req;
	struct place place;
	size_t bound = sizeof(memo->prefix);
	char *at;

	for (int i = 1; i < argc; i++)
		bound += 16 + argvlen[i];
	req = fresh_request(client, bound);
	if (!req)
		return SHARD_ENOMEM;
	req->callback = callback;
	req->ctx = ctx;
	req->item.raw = how && how->flags;
	if (handle)
		*handle = req;
	at = request_bytes(req);
	memcpy(at, memo->prefix, sizeof(memo->prefix));
	at += memo->len;
	for (int i = 1; i < argc; i++)
		at = resp_word_write(at, argv[i], argvlen[i]);
	req->item.len = (size_t)(at - request_bytes(req));
	place = client_place(client, argv[1], argvlen[1]);
	req->slot = place.slot;
	req->hash = place.hash;
	req->flags = memo->command->flags & SHARD_CMD_READONLY ? REQ_READONLY : 0;
	req->policy.safe = req->flags || shard_command_idempotent(memo->command, argc, argv, argvlen);
	req->policy.credentials = client->greeting_replies > 0;
	fresh_start(req, client->timeout_ms);
	return SHARD_OK;
}

/* Whether there is nothing special about it. */
static inline bool usual(const shard_call *how)
{
	return !how || (!(how->flags & ~(unsigned)SHARD_RAW) && !how->timeout_ms && !how->key && !how->node &&
			!how->body && !how->sink);
}

/* What is not the last plain command once more. */
static __attribute__((noinline)) int submit_otherwise(shard_client *client, int argc, const char *const argv[],
						      const size_t argvlen[], const shard_call *how,
						      shard_callback callback, void *ctx, shard_request **handle)
{
	const shard_command *command;

	if (client_forked(client))
		return client_refusal(client);
	if (argc < 1 || !argv || !callback)
		return SHARD_EINVAL;
	command = shard_command_find(argc, argv, argvlen);
	if (argvlen && usual(how) && remember(&client->memo, command, argc, argv[0], argvlen[0]))
		return shard_submit(client, argc, argv, argvlen, how, callback, ctx, handle);
	return submit_any(client, command, argc, argv, argvlen, how, callback, ctx, handle);
}

int shard_submit(shard_client *client, int argc, const char *const argv[], const size_t argvlen[],
		 const shard_call *how, shard_callback callback, void *ctx, shard_request **handle)
{
	if (client_forked(client) || argc < 1 || !argv || !callback || !argvlen || !usual(how) ||
	    !remembered(&client->memo, argc, argv[0], argvlen[0]))
		return submit_otherwise(client, argc, argv, argvlen, how, callback, ctx, handle);
	return submit_plain(client, argc, argv, argvlen, how, callback, ctx, handle);
}

int submit_internal(shard_client *client, struct client_node *node, unsigned timeout_ms, shard_callback callback,
		    void *ctx, int argc, const char *const argv[], const size_t argvlen[])
{
	struct shard_request *req = request_create(client, resp_command_size(argc, argv, argvlen));

	if (!req)
		return SHARD_ENOMEM;
	resp_command_write(request_bytes(req), argc, argv, argvlen);
	req->callback = callback;
	req->ctx = ctx;
	req->flags = REQ_INTERNAL | REQ_READONLY;
	req->policy.safe = true;
	if (node) {
		req->flags |= REQ_FIXED;
		req->policy.once = true;
		req->node = node;
		node_ref(node);
	}
	request_start(req, timeout_ms);
	return SHARD_OK;
}
