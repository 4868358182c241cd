/* SPDX-License-Identifier: MIT */
#include "local.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "log.h"
#include "options.h"
#include "transaction.h"
#include "worker.h"

bool local_is(const struct words *words, size_t i, const char *text)
{
	return words->len[i] == strlen(text) && !strncasecmp(words->argv[i], text, words->len[i]);
}

void local_wrong_number(struct query *query)
{
	query_error(query, "ERR wrong number of arguments for '%s' command", query->command->name);
}

static void reply_word(struct query *query, const char *word, size_t len)
{
	struct bytes *scratch = &query->service->worker->scratch;

	bytes_bulk(scratch, word, len);
	query_reply_bytes(query, scratch);
}

static void unknown_subcommand(struct query *query, const struct words *words)
{
	query_error(query, "ERR unknown subcommand '%.*s' of %s, or one that rproxy does not support",
		      (int)(words->len[1] < 64 ? words->len[1] : 64), words->argv[1], query->command->name);
}

void local_ping(struct query *query, struct words *words)
{
	if (words->count == 1)
		query_reply(query, "+PONG\r\n", 7);
	else if (words->count == 2)
		reply_word(query, words->argv[1], words->len[1]);
	else
		local_wrong_number(query);
}

void local_echo(struct query *query, struct words *words)
{
	if (words->count == 2)
		reply_word(query, words->argv[1], words->len[1]);
	else
		local_wrong_number(query);
}

void local_quit(struct query *query, struct words *words)
{
	(void)words;
	query->session->closing = true;
	query_reply(query, "+OK\r\n", 5);
}

bool local_strict_quit(struct session *session)
{
	session->closing = true;
	session_dirty(session);
	return true;
}

/* A server closes the connection at these, which clients share here. */
void local_http(struct query *query, struct words *words)
{
	(void)words;
	query->session->closing = true;
	log_warn("pool %s: a client that speaks HTTP was closed (a browser that was misled?)",
		 query->service->config->name);
	query_error(query, "ERR this is no HTTP server");
}

/* ---- who is it ---- */

static bool same(const char *known, const char *word, size_t len)
{
	size_t known_len = strlen(known);
	unsigned char differ = known_len != len;

	/* As long for every word: the time it takes tells nothing. */
	for (size_t i = 0; i < len; i++)
		differ |= (unsigned char)word[i] ^ (unsigned char)known[known_len ? i % known_len : 0];
	return !differ;
}

static bool is_user(const struct pool_config *config, const char *user, size_t len)
{
	const char *wanted = config->user && *config->user ? config->user : "default";

	return same(wanted, user, len);
}

/* AUTH [user] password, from WORD on. Returns whether it may come in; else it has been told. */
static bool authenticate(struct query *query, const struct words *words, size_t word, size_t number)
{
	const struct pool_config *config = query->service->config;
	size_t secret = word + number - 1;

	if (!config->password) {
		query_error(query, "ERR Client sent AUTH, but no password is set");
		return false;
	}
	if ((number == 2 && !is_user(config, words->argv[word], words->len[word])) ||
	    !same(config->password, words->argv[secret], words->len[secret])) {
		/* As nutcracker has it: who was in is out. */
		query->session->authed = false;
		query_error(query, config->strict ? "ERR invalid password"
						      : "WRONGPASS invalid username-password pair or user is disabled.");
		return false;
	}
	query->session->authed = true;
	return true;
}

void local_auth(struct query *query, struct words *words)
{
	if (words->count != 2 && words->count != 3)
		local_wrong_number(query);
	else if (authenticate(query, words, 1, words->count - 1))
		query_reply(query, "+OK\r\n", 5);
}

static void set_name(struct session *session, const char *name, size_t len)
{
	free(session->name);
	session->name = len ? strndup(name, len) : NULL;
}

static void greet(struct query *query)
{
	struct bytes *scratch = &query->service->worker->scratch;

	bytes_number(scratch, '*', 14);
	bytes_bulk_string(scratch, "server");
	bytes_bulk_string(scratch, "redis");
	bytes_bulk_string(scratch, "version");
	bytes_bulk_string(scratch, "7.0.0");
	bytes_bulk_string(scratch, "proto");
	bytes_number(scratch, ':', 2);
	bytes_bulk_string(scratch, "id");
	bytes_number(scratch, ':', (long long)query->session->id);
	bytes_bulk_string(scratch, "mode");
	bytes_bulk_string(scratch, "standalone");
	bytes_bulk_string(scratch, "role");
	bytes_bulk_string(scratch, "master");
	bytes_bulk_string(scratch, "modules");
	bytes_number(scratch, '*', 0);
	query_reply_bytes(query, scratch);
}

/* HELLO [2 [AUTH user password] [SETNAME name]] */
void local_hello(struct query *query, struct words *words)
{
	struct session *session = query->session;

	if (words->count > 1 && !local_is(words, 1, "2")) {
		query_error(query, "NOPROTO rproxy speaks RESP2 only");
		return;
	}
	for (size_t i = 2; i < words->count;) {
		if (local_is(words, i, "auth") && i + 2 < words->count) {
			if (!authenticate(query, words, i + 1, 2))
				return;
			i += 3;
		} else if (local_is(words, i, "setname") && i + 1 < words->count) {
			set_name(session, words->argv[i + 1], words->len[i + 1]);
			i += 2;
		} else {
			query_error(query, "ERR Syntax error in HELLO option '%.*s'",
				      (int)(words->len[i] < 64 ? words->len[i] : 64), words->argv[i]);
			return;
		}
	}
	if (session->authed)
		greet(query);
	else
		query_error(query, "NOAUTH HELLO must be called with the client already authenticated, otherwise the "
				       "HELLO <proto> AUTH <user> <pass> option can be used");
}

void local_reset(struct query *query, struct words *words)
{
	struct session *session = query->session;

	(void)words;
	session->authed = !query->service->config->password;
	set_name(session, "", 0);
	transaction_forget(session);
	query_reply(query, "+RESET\r\n", 8);
}

/* ---- what there is one of ---- */

void local_select(struct query *query, struct words *words)
{
	const shard_pool *pool = query->service->config->pool;
	int db = pool ? pool->redis_db : 0;
	char own[16];

	snprintf(own, sizeof(own), "%d", db);
	if (words->count != 2)
		local_wrong_number(query);
	else if (local_is(words, 1, "0") || local_is(words, 1, own))
		query_reply(query, "+OK\r\n", 5);
	else
		query_error(query, "ERR rproxy serves one database, %d, whose number clients see as 0: there is no "
				       "other to select", db);
}

static void client_setname(struct query *query, struct words *words)
{
	for (size_t i = 0; i < words->len[2]; i++) {
		if (words->argv[2][i] <= ' ' || words->argv[2][i] > '~') {
			query_error(query, "ERR Client names cannot contain spaces, newlines or special characters.");
			return;
		}
	}
	set_name(query->session, words->argv[2], words->len[2]);
	query_reply(query, "+OK\r\n", 5);
}

void local_client(struct query *query, struct words *words)
{
	const char *name = query->session->name;
	char id[32];

	if (words->count == 3 && local_is(words, 1, "setname")) {
		client_setname(query, words);
	} else if (words->count == 2 && local_is(words, 1, "getname")) {
		reply_word(query, name ? name : "", name ? strlen(name) : 0);
	} else if (words->count == 2 && local_is(words, 1, "id")) {
		snprintf(id, sizeof(id), ":%llu\r\n", (unsigned long long)query->session->id);
		query_reply_string(query, id);
	} else if ((words->count == 4 && local_is(words, 1, "setinfo")) ||
		   (words->count == 3 && (local_is(words, 1, "no-evict") || local_is(words, 1, "no-touch")))) {
		query_reply(query, "+OK\r\n", 5);
	} else if (words->count < 2) {
		local_wrong_number(query);
	} else {
		unknown_subcommand(query, words);
	}
}

static void forward_any(struct query *query, struct words *words)
{
	static const char *const key = "";

	/* Every server has the same table; in a pool the one of the empty key tells. */
	forward_by(query, words, key, 0);
}

void local_command(struct query *query, struct words *words)
{
	forward_any(query, words);
}

void local_flush(struct query *query, struct words *words)
{
	if (options.flush_allowed)
		forward(query, words);
	else
		query_error(query, "ERR %s would empty all servers of %s: rproxy does it only where it was started with "
				       "--allow-flush", query->command->name, query->service->config->name);
}

void local_info(struct query *query, struct words *words)
{
	struct bytes *scratch = &query->service->worker->scratch, text = {0};
	const struct service *service = query->service;

	(void)words;
	bytes_format(&text, "# Server\r\nrproxy_version:%s\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n", SHARD_VERSION);
	bytes_format(&text, "# Clients\r\nconnected_clients:%zu\r\n", service->session_count);
	bytes_format(&text, "# Proxy\r\npool:%s\r\nkind:%s\r\nrequests:%llu\r\nforward_errors:%llu\r\n",
		     service->config->name, service->config->cluster ? "cluster" : "pool",
		     (unsigned long long)service->stats.requests, (unsigned long long)service->stats.forward_error);
	bytes_format(&text, "pending_requests:%zu\r\n", shard_client_pending(service->client));
	if (text.bad)
		scratch->bad = true;
	bytes_bulk(scratch, text.at, text.len);
	bytes_finish(&text);
	query_reply_bytes(query, scratch);
}
