/* SPDX-License-Identifier: MIT */
/* A request's life by bytes: each event is a kind, its facts, and an error text up to a NUL. */
#include <stdlib.h>
#include <string.h>

#include "know/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct policy_request *request, const struct policy_event *event,
		  const struct policy_decision *decision)
{
	const struct policy_redirect *redirect = &decision->redirect;

	if (redirect->kind != REDIRECT_NONE) {
		require(event->kind == EVENT_ERROR_REPLY);
		require(redirect->slot < 16384 && redirect->port);
		require(memchr(redirect->host, 0, sizeof(redirect->host)) != NULL);
	}
	if (decision->verdict == VERDICT_REDIRECT || decision->verdict == VERDICT_ASK)
		require(redirect->kind != REDIRECT_NONE && !request->once);
	if (decision->verdict == VERDICT_FAIL)
		require(decision->error != SHARD_OK);
	if (decision->verdict == VERDICT_PAUSE)
		require(decision->pause_ms <= POLICY_PAUSE_MAX);
	/* What may have been executed is never sent again unless that is safe. */
	if (event->kind == EVENT_LOST_SENT && !request->safe)
		require(decision->verdict == VERDICT_FAIL && decision->error == SHARD_EUNKNOWN);
	require(request->redirects <= POLICY_REDIRECTS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_request request = {0};

	if (!size)
		return 0;
	request.safe = data[0] & 1;
	request.once = data[0] & 2;
	request.splittable = data[0] & 4;
	request.on_replica = data[0] & 8;
	request.single = data[0] & 16;
	request.credentials = data[0] & 32;
	request.retry_noreplicas = data[0] & 64;
	data++;
	size--;
	while (size) {
		struct policy_event event = {
			.kind = data[0] % (EVENT_NO_OWNER + 1), .same_address = data[0] & 64, .ping_pong = data[0] & 128};
		const uint8_t *text = data + 1, *end = memchr(text, 0, size - 1);
		struct policy_decision decision;
		size_t len = end ? (size_t)(end - text) : size - 1;
		char *copy = malloc(len ? len : 1); /* of its own: reads past the end are seen */

		memcpy(copy, text, len);
		event.text = copy;
		event.len = len;
		policy_decide(&request, &event, (uint32_t)size * 2654435761u, &decision);
		check(&request, &event, &decision);
		free(copy);
		size -= len + 1;
		data += len + 1;
		if (end) {
			size--;
			data++;
		}
	}
	return 0;
}
