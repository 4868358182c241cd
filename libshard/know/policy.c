/* SPDX-License-Identifier: MIT */
#include "know/policy.h"

#include <string.h>

#include <shard/slot.h>
#include <shard/uri.h>

static bool number(const char **p, const char *end, unsigned max, unsigned *value)
{
	const char *start = *p;
	unsigned n = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++) {
		n = n * 10 + (unsigned)(**p - '0');
		if (n > max)
			return false;
	}
	*value = n;
	return *p > start;
}

static bool begins_with(const char *text, size_t len, const char *words)
{
	size_t n = strlen(words);

	return len >= n && !memcmp(text, words, n);
}

static bool first_word_is(const char *text, size_t len, const char *word)
{
	size_t n = strlen(word);

	return begins_with(text, len, word) && (len == n || text[n] == ' ');
}

void policy_parse_redirect(const char *text, size_t len, struct policy_redirect *redirect)
{
	const char *p, *end = text + len, *addr;
	enum policy_redirect_kind kind;

	redirect->kind = REDIRECT_NONE;
	if (first_word_is(text, len, "MOVED"))
		kind = REDIRECT_MOVED;
	else if (first_word_is(text, len, "ASK"))
		kind = REDIRECT_ASK;
	else if (first_word_is(text, len, "REDIRECT"))
		kind = REDIRECT_PLAIN;
	else
		return;
	p = memchr(text, ' ', len);
	if (!p)
		return;
	p++;
	redirect->slot = 0;
	if (kind != REDIRECT_PLAIN && (!number(&p, end, SHARD_SLOTS - 1, &redirect->slot) || p == end || *p++ != ' '))
		return;
	/* Newer servers may add words behind the address. */
	addr = p;
	p = memchr(addr, ' ', (size_t)(end - addr));
	if (!p)
		p = end;
	if (!shard_split_addr(addr, (size_t)(p - addr), 0, redirect->host, sizeof(redirect->host), &redirect->port))
		return;
	if (!strcmp(redirect->host, "?"))
		return;
	redirect->kind = kind;
}

unsigned policy_pause(unsigned tries, uint32_t random)
{
	unsigned top = tries < 5 ? (unsigned)POLICY_PAUSE_MIN << tries : POLICY_PAUSE_MAX;

	return top / 2 + random % (top / 2 + 1);
}

static void pause_then(struct policy_request *request, struct policy_decision *decision, enum policy_refresh refresh,
		       uint32_t random)
{
	decision->verdict = VERDICT_PAUSE;
	decision->refresh = refresh;
	decision->pause_ms = policy_pause(request->pauses, random);
	if (request->pauses < 255)
		request->pauses++;
	request->redirects = request->ping_pongs = 0;
}

/* Whether one more redirect may be followed without a pause (rule 11). */
static bool within_budget(struct policy_request *request, const struct policy_event *event)
{
	if (event->ping_pong)
		request->ping_pongs++;
	return ++request->redirects <= POLICY_REDIRECTS && request->ping_pongs < POLICY_PING_PONG;
}

static void decide_redirect(struct policy_request *request, const struct policy_event *event, uint32_t random,
			    struct policy_decision *decision)
{
	bool moved = decision->redirect.kind == REDIRECT_MOVED;

	if (!within_budget(request, event)) {
		pause_then(request, decision, REFRESH_NOW, random);
		return;
	}
	decision->refresh = moved ? REFRESH_SOON : REFRESH_NO;
	if (event->same_address)
		decision->verdict = VERDICT_RECONNECT;
	else
		decision->verdict = decision->redirect.kind == REDIRECT_ASK ? VERDICT_ASK : VERDICT_REDIRECT;
}

static void decide_readonly(struct policy_request *request, uint32_t random, struct policy_decision *decision)
{
	if (request->single || request->readonly >= POLICY_READONLY_TRIES) {
		decision->verdict = VERDICT_DONE;
		return;
	}
	request->readonly++;
	pause_then(request, decision, REFRESH_NOW, random);
	decision->pause_ms = policy_pause(UINT8_MAX, random);
}

static void decide_reply(struct policy_request *request, const struct policy_event *event, uint32_t random,
			 struct policy_decision *decision)
{
	const char *text = event->text;
	size_t len = event->len;

	decision->verdict = VERDICT_DONE;
	if (request->once)
		return;
	if (decision->redirect.kind != REDIRECT_NONE) {
		decide_redirect(request, event, random, decision);
	} else if (first_word_is(text, len, "TRYAGAIN")) {
		if (request->splittable)
			decision->verdict = VERDICT_SPLIT;
		else
			pause_then(request, decision, REFRESH_NO, random);
	} else if (first_word_is(text, len, "CLUSTERDOWN")) {
		pause_then(request, decision, REFRESH_NOW, random);
		decision->down = begins_with(text, len, "CLUSTERDOWN The cluster is down");
	} else if (first_word_is(text, len, "LOADING")) {
		if (request->on_replica)
			decision->verdict = VERDICT_MASTER;
		else
			pause_then(request, decision, REFRESH_NO, random);
	} else if (first_word_is(text, len, "MASTERDOWN")) {
		if (request->on_replica)
			decision->verdict = VERDICT_MASTER;
		else
			pause_then(request, decision, REFRESH_NOW, random);
	} else if (first_word_is(text, len, "READONLY")) {
		decide_readonly(request, random, decision);
	} else if (first_word_is(text, len, "NOREPLICAS")) {
		if (request->retry_noreplicas)
			pause_then(request, decision, REFRESH_NO, random);
	} else if (first_word_is(text, len, "NOAUTH") && request->credentials && !request->reauths++) {
		decision->verdict = VERDICT_RECONNECT;
	}
}

void policy_decide(struct policy_request *request, const struct policy_event *event, uint32_t random,
		   struct policy_decision *decision)
{
	decision->refresh = REFRESH_NO;
	decision->redirect.kind = REDIRECT_NONE;
	decision->down = false;
	decision->pause_ms = 0;
	decision->error = SHARD_OK;
	switch (event->kind) {
	case EVENT_ERROR_REPLY:
		policy_parse_redirect(event->text, event->len, &decision->redirect);
		decide_reply(request, event, random, decision);
		return;
	case EVENT_AUTH:
		decision->verdict = VERDICT_FAIL;
		decision->error = SHARD_EAUTH;
		return;
	case EVENT_LOST_SENT:
		if (!request->safe) {
			decision->verdict = VERDICT_FAIL;
			decision->refresh = REFRESH_NOW;
			decision->error = SHARD_EUNKNOWN;
			return;
		}
		break;
	case EVENT_CONNECT:
	case EVENT_RESOLVE:
	case EVENT_LOST_UNSENT:
	case EVENT_NO_OWNER:
		break;
	}
	if (request->once) {
		decision->verdict = VERDICT_FAIL;
		decision->refresh = REFRESH_NOW;
		decision->error = event->kind == EVENT_NO_OWNER   ? SHARD_ENOROUTE
				  : event->kind == EVENT_RESOLVE  ? SHARD_ERESOLVE
								  : SHARD_ECONNECT;
		return;
	}
	/* The master has what a replica that is gone would have said. */
	if (request->on_replica && event->kind != EVENT_NO_OWNER) {
		decision->verdict = VERDICT_MASTER;
		decision->refresh = REFRESH_NOW;
		return;
	}
	pause_then(request, decision, REFRESH_NOW, random);
	/* The first break of a connection is often that of one connection only. */
	if ((event->kind == EVENT_LOST_SENT || event->kind == EVENT_LOST_UNSENT) && request->pauses == 1)
		decision->pause_ms = 0;
}
