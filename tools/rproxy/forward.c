/* SPDX-License-Identifier: MIT */
/* Requests that servers answer. */
#include <string.h>
#include <strings.h>

#include "command.h"
#include "options.h"
#include "proxy.h"
#include "worker.h"

/* ---- what clients are told of failures ---- */

/* nutcracker's words for it, or NULL. */
static const char *nutcracker_words(int error)
{
	switch (error) {
	case SHARD_ECONNECT:
	case SHARD_ENOROUTE:
		return "Connection refused";
	case SHARD_ETIMEDOUT:
		return "Connection timed out";
	case SHARD_ERESOLVE:
		return "Host is down";
	case SHARD_EUNKNOWN:
		return "unknown";
	case SHARD_EAUTH:
	case SHARD_EPROTOCOL:
		return "Invalid argument";
	case SHARD_ENOMEM:
		return "Cannot allocate memory";
	default:
		return NULL;
	}
}

static bool timed_out(const shard_result *result)
{
	return strstr(result->message, "no answer in time") || strstr(result->message, "timed out");
}

static void tell_failure(struct query *query, int error, const shard_result *result)
{
	const struct pool_config *config = query->service->config;
	const char *words = nutcracker_words(error);
	const char *message = result ? result->message : shard_strerror(error);

	count(&query->service->stats.forward_error, 1);
	if (result && (error == SHARD_ECONNECT || error == SHARD_EUNKNOWN) && timed_out(result))
		words = "Connection timed out";
	if (error == SHARD_ECROSSSLOT && config->cluster)
		query_error(query, "CROSSSLOT Keys in request don't hash to the same slot");
	else if (error == SHARD_ECROSSSLOT)
		query_error(query, "CROSSSLOT Keys in request are on different servers of pool %s (a hash tag keeps "
				       "keys together)", config->name);
	else if (error == SHARD_EUNSUPPORTED)
		query_error(query, "ERR this command changes the connection to a server, which clients of rproxy "
				       "share: it is not supported");
	else if (config->cluster && error == SHARD_ENOROUTE)
		query_error(query, "CLUSTERDOWN %s", message);
	else if (config->strict && words)
		query_error(query, "ERR %s", words);
	else if (words)
		query_error(query, "ERR %s: %s", words, message);
	else
		query_error(query, "ERR %s", message);
}

/* ---- replies ---- */

static void note_server(struct query *query, const shard_result *result, size_t len)
{
	struct server_stats *server;

	if (!*result->node)
		return;
	server = service_server(query->service, result->node);
	if (!server)
		return;
	count(&server->responses, 1);
	count(&server->response_bytes, len);
	histogram_add(&server->latency, worker_now(query->service->worker) - query->start);
}

void forward_result(struct query *query, const shard_result *result)
{
	struct bytes *scratch = &query->service->worker->scratch;
	const shard_reply *reply = result->reply;

	query->handle = NULL;
	if (result->error == SHARD_OK && reply->type == SHARD_REPLY_RAW) {
		note_server(query, result, reply->len);
		query_reply(query, reply->str, reply->len);
		return;
	}
	if (result->error != SHARD_OK && result->error != SHARD_ESERVER) {
		tell_failure(query, result->error, result);
		return;
	}
	if (query->service->config->strict && result->error == SHARD_ESERVER &&
	    shard_reply_is_error(reply, "LOADING")) {
		query_error(query, "ERR Invalid argument");
		return;
	}
	bytes_reply(scratch, reply);
	note_server(query, result, scratch->len);
	query_reply_bytes(query, scratch);
}

static void answered(void *ctx, const shard_result *result)
{
	forward_result(ctx, result);
}

/* MGET answers per key where a server fails: an error in that element. */
static void parts_answered(void *ctx, const shard_result *result)
{
	struct query *query = ctx;
	struct bytes *scratch = &query->service->worker->scratch;
	bool one_worked = false;

	for (size_t i = 0; i < result->part_count; i++)
		one_worked |= result->part[i].error == SHARD_OK;
	if (result->error == SHARD_OK || !one_worked) {
		forward_result(query, result);
		return;
	}
	query->handle = NULL;
	bytes_number(scratch, '*', (long long)result->part_count);
	for (size_t i = 0; i < result->part_count; i++) {
		const shard_result *part = &result->part[i];

		if (part->reply) {
			bytes_reply(scratch, part->reply);
		} else {
			const char *words = nutcracker_words(part->error);

			bytes_format(scratch, "-ERR %s: ", words ? words : "failed");
			bytes_format(scratch, "%s\r\n", part->message);
		}
	}
	count(&query->service->stats.forward_error, 1);
	query_reply_bytes(query, scratch);
}

/* ---- requests ---- */

static void submit(struct query *query, const struct words *words, const shard_call *call, shard_callback callback)
{
	int error = shard_submit(query->service->client, (int)words->count, words->argv, words->len, call, callback,
				 query, NULL);

	if (error)
		tell_failure(query, error, NULL);
}

void forward_by(struct query *query, struct words *words, const char *key, size_t key_len)
{
	const shard_call call = {.flags = SHARD_RAW, .key = key, .key_len = key_len};

	submit(query, words, &call, answered);
}

/* KEYS[1] of a script. */
static void forward_strict_script(struct query *query, struct words *words)
{
	forward_by(query, words, words->argv[3], words->len[3]);
}

static bool is_script(const struct command *command)
{
	return !strncmp(command->name, "eval", 4);
}

/* Commands without keys that mean the server that they reach: which one would that be? */
static bool refused(struct query *query, const struct words *words)
{
	const shard_command *command = shard_command_find((int)words->count, words->argv, words->len);
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	int keys;

	if (!command)
		return false;
	if (command->flags & SHARD_CMD_STATE) {
		query_error(query, "ERR %s is not supported by rproxy: it changes the connection to a server, which "
				       "clients share", command->name);
		return true;
	}
	keys = shard_command_keys(command, (int)words->count, words->argv, words->len, ranges);
	if (keys)
		return false;
	if (command->arity > 0 ? (int)words->count != command->arity : (int)words->count < -command->arity)
		return false; /* the server says so */
	query_error(query, "ERR %s is not supported by rproxy: it has no key that tells which server is meant",
		      command->name);
	return true;
}

static bool blocks(const struct words *words)
{
	const shard_command *command = shard_command_find((int)words->count, words->argv, words->len);

	return command && shard_command_blocks(command, (int)words->count, words->argv, words->len, NULL);
}

/* Its client's other requests wait for it, as on a server; and when the client goes it is given up. */
static void unblocked(void *ctx, const shard_result *result)
{
	struct query *query = ctx;

	if (query->session)
		query->session->paused = query->session->blocked = false;
	forward_result(query, result);
}

static void forward_blocking(struct query *query, struct words *words)
{
	static const shard_call call = {.flags = SHARD_RAW | SHARD_OWN_CONNECTION};
	struct session *session = query->session;
	int error = shard_submit(query->service->client, (int)words->count, words->argv, words->len, &call, unblocked,
				 query, &query->handle);

	session->paused = session->blocked = !error;
	if (error)
		tell_failure(query, error, NULL);
}

void forward(struct query *query, struct words *words)
{
	static const shard_call raw = {.flags = SHARD_RAW};
	static const shard_call parts = {.flags = SHARD_PARTS | SHARD_RAW};
	const struct command *command = query->command;
	bool strict = query->service->config->strict;

	if (command->rule == RULE_SPLIT || command->rule == RULE_PAIRS)
		count(&query->service->stats.fragments, (words->count - 1) / (command->rule == RULE_PAIRS ? 2 : 1));
	if (strict && command->rule == RULE_FIRST_KEY)
		forward_by(query, words, words->argv[1], words->len[1]);
	else if (strict && is_script(command))
		forward_strict_script(query, words);
	else if (command == &command_other && refused(query, words))
		return;
	else if (command == &command_other && blocks(words))
		forward_blocking(query, words);
	else if (!strict && !strcmp(command->name, "mget"))
		submit(query, words, &parts, parts_answered);
	else
		submit(query, words, &raw, answered);
}
