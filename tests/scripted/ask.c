/* SPDX-License-Identifier: MIT */
/* Requests, and what became of them. */
#include "scripted.h"
#include "node.h"
#include "ask.h"

static struct ask *asks;
static unsigned callbacks;

static void take_part(struct ask_part *part, const shard_result *result)
{
	part->error = result->error;
	part->reply = result->reply ? shard_reply_copy(result->reply) : NULL;
	part->slot = result->slot;
	snprintf(part->message, sizeof(part->message), "%s", result->message ? result->message : "(null)");
	snprintf(part->node, sizeof(part->node), "%s", result->node ? result->node : "(null)");
}

static void called(void *ctx, const shard_result *result)
{
	struct ask *ask = ctx;

	if (ask->calls++ > 0)
		return;
	ask->ended = now_ms();
	ask->order = ++callbacks;
	ask->handle = NULL;
	ask->error = result->error;
	ask->reply = result->reply ? shard_reply_copy(result->reply) : NULL;
	ask->slot = result->slot;
	snprintf(ask->message, sizeof(ask->message), "%s", result->message ? result->message : "(null)");
	snprintf(ask->node, sizeof(ask->node), "%s", result->node ? result->node : "(null)");
	if (result->part_count > 0)
		ask->part = calloc(result->part_count, sizeof(*ask->part));
	ask->part_count = result->part_count;
	for (size_t i = 0; i < result->part_count; i++)
		take_part(&ask->part[i], &result->part[i]);
	note("%s: %s", ask->text, said(ask));
	if (ask->then)
		ask->then(ask);
}

static struct ask *ask_new(const char *text)
{
	struct ask *ask = calloc(1, sizeof(*ask)), **end = &asks;

	snprintf(ask->text, sizeof(ask->text), "%s", text);
	ask->began = now_ms();
	while (*end)
		end = &(*end)->next;
	*end = ask;
	return ask;
}

static struct ask *submit(const shard_call *how, const char *const argv[], const size_t argvlen[])
{
	char text[64] = "";
	struct ask *ask;
	int argc;

	for (argc = 0; argv[argc]; argc++)
		if (strlen(text) + 20 < sizeof(text))
			snprintf(text + strlen(text), 20, argc ? " %s" : "%s", argv[argc]);
	ask = ask_new(text);
	ask->submitted = shard_submit(client, argc, argv, argvlen, how, called, ask, &ask->handle);
	return ask;
}

struct ask *ask_words(const shard_call *how, const char *const argv[], const size_t argvlen[])
{
	struct ask *ask = submit(how, argv, argvlen);

	if (ask->submitted != SHARD_OK)
		blame(__FILE__, __LINE__, "%s: refused: %s", ask->text, shard_strerror(ask->submitted));
	return ask;
}

struct ask *ask_try(const shard_call *how, const char *const argv[])
{
	return submit(how, argv, NULL);
}

#define BLOCK_MAX 16
#define WORDS_MAX 16

struct ask *ask_multi(const shard_call *how, size_t count, const char *const commands[])
{
	const char *argv[BLOCK_MAX][WORDS_MAX];
	shard_args args[BLOCK_MAX];
	char *copy[BLOCK_MAX], *save;
	struct ask *ask = ask_new("MULTI");

	for (size_t i = 0; i < count; i++) {
		copy[i] = strdup(commands[i]);
		args[i] = (shard_args){.argv = argv[i]};
		for (char *w = strtok_r(copy[i], " ", &save); w; w = strtok_r(NULL, " ", &save))
			argv[i][args[i].argc++] = w;
	}
	ask->submitted = shard_submit_multi(client, count, args, how, called, ask, &ask->handle);
	for (size_t i = 0; i < count; i++)
		free(copy[i]);
	return ask;
}

struct ask *ask_refresh(void)
{
	struct ask *ask = ask_new("refresh");

	ask->submitted = shard_refresh(client, called, ask);
	if (ask->submitted != SHARD_OK)
		blame(__FILE__, __LINE__, "refresh: refused: %s", shard_strerror(ask->submitted));
	return ask;
}

int asks_check(void)
{
	int status = 0;

	for (struct ask *ask = asks; ask; ask = ask->next) {
		if (ask->calls == (ask->submitted == SHARD_OK))
			continue;
		print_error("%s: %u callbacks (shard_submit returned %d)\n", ask->text, ask->calls, ask->submitted);
		status = -1;
	}
	return status;
}

void asks_free(void)
{
	struct ask *ask;

	while ((ask = asks)) {
		asks = ask->next;
		for (size_t i = 0; i < ask->part_count; i++)
			shard_reply_free(ask->part[i].reply);
		free(ask->part);
		shard_reply_free(ask->reply);
		free(ask);
	}
	callbacks = 0;
}

/* ---- what became of it ---- */

static void print_reply(const shard_reply *reply, char *text, size_t size)
{
	size_t at;

	if (!reply) {
		snprintf(text, size, "no reply");
		return;
	}
	switch (reply->type) {
	case SHARD_REPLY_NIL:
		snprintf(text, size, "nil");
		break;
	case SHARD_REPLY_INTEGER:
		snprintf(text, size, ":%lld", reply->integer);
		break;
	case SHARD_REPLY_ARRAY:
		at = snprintf(text, size, "*%zu", reply->len);
		for (size_t i = 0; i < reply->len && at + 40 < size; i++) {
			text[at++] = ' ';
			print_reply(&reply->element[i], text + at, size - at);
			at += strlen(text + at);
		}
		break;
	default:
		text[0] = reply->type == SHARD_REPLY_STATUS ? '+' : reply->type == SHARD_REPLY_ERROR ? '-' : '"';
		quote(reply->str, reply->len, text + 1, size - 1);
	}
}

const char *said(const struct ask *ask)
{
	static char text[1024];
	char reply[512];

	if (ask->submitted != SHARD_OK)
		snprintf(text, sizeof(text), "refused: %s", shard_strerror(ask->submitted));
	else if (ask->calls == 0)
		snprintf(text, sizeof(text), "still open after %llu ms", (unsigned long long)(now_ms() - ask->began));
	else {
		print_reply(ask->reply, reply, sizeof(reply));
		snprintf(text, sizeof(text), "%s, '%s', %s, from '%s', after %llu ms", shard_strerror(ask->error),
			 ask->message, reply, ask->node, (unsigned long long)(ask->ended - ask->began));
	}
	return text;
}

void want_end(const char *file, int line, struct ask *ask)
{
	uint64_t began = now_ms();

	if (ask->submitted != SHARD_OK)
		blame(file, line, "%s: %s", ask->text, said(ask));
	while (ask->calls == 0 && now_ms() - began <= PATIENCE_MS + late_ms())
		turn(10);
	if (ask->calls != 1)
		blame(file, line, "%s: %u callbacks; %s", ask->text, ask->calls, said(ask));
}

static bool is(const shard_reply *reply, shard_reply_type type, const char *text, long long n)
{
	if (!reply || reply->type != type)
		return false;
	if (type == SHARD_REPLY_INTEGER)
		return reply->integer == n;
	if (type == SHARD_REPLY_NIL)
		return true;
	return reply->len == strlen(text) && memcmp(reply->str, text, reply->len) == 0;
}

void want_reply(const char *file, int line, struct ask *ask, shard_reply_type type, const char *text, long long n)
{
	int code = type == SHARD_REPLY_ERROR ? SHARD_ESERVER : SHARD_OK;
	shard_reply wanted = {.type = type};
	char words_wanted[512];

	want_end(file, line, ask);
	if (ask->error == code && is(ask->reply, type, text, n))
		return;
	if (type == SHARD_REPLY_INTEGER) {
		wanted.integer = n;
	} else if (text) {
		wanted.str = text;
		wanted.len = strlen(text);
	}
	print_reply(&wanted, words_wanted, sizeof(words_wanted));
	blame(file, line, "%s: expected %s, got: %s", ask->text, words_wanted, said(ask));
}

void want_elements(const char *file, int line, struct ask *ask, size_t count)
{
	want_end(file, line, ask);
	if (ask->error != SHARD_OK || !ask->reply || ask->reply->type != SHARD_REPLY_ARRAY || ask->reply->len != count)
		blame(file, line, "%s: expected an array of %zu, got: %s", ask->text, count, said(ask));
}

void want_failure(const char *file, int line, struct ask *ask, int code)
{
	want_end(file, line, ask);
	if (ask->error != code)
		blame(file, line, "%s: expected '%s', got: %s", ask->text, shard_strerror(code), said(ask));
	if (code != SHARD_OK && !ask->message[0])
		blame(file, line, "%s: an error without a message: %s", ask->text, said(ask));
	if (code != SHARD_ESERVER && code != SHARD_OK && ask->reply)
		blame(file, line, "%s: a reply beside an error: %s", ask->text, said(ask));
}

/* TEXT: a reply as print_reply() shows it; NULL: any. */
void want_part_of(const char *file, int line, struct ask *ask, size_t i, int code, const char *text)
{
	char came[512];

	want_end(file, line, ask);
	if (i >= ask->part_count)
		blame(file, line, "%s: part %zu of %zu; %s", ask->text, i, ask->part_count, said(ask));
	print_reply(ask->part[i].reply, came, sizeof(came));
	if (ask->part[i].error != code || (text && strcmp(came, text) != 0))
		blame(file, line, "%s: part %zu: expected '%s' %s, got '%s' %s (%s)", ask->text, i, shard_strerror(code),
		      text ? text : "", shard_strerror(ask->part[i].error), came, ask->part[i].message);
}
