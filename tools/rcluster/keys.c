/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"
#include "cli.h"
#include "text.h"

bool keys_count_of(const struct admin *admin, unsigned node, const bool wanted[], long long keys[])
{
	struct ask *ask = allocate(SHARD_SLOTS, sizeof(*ask));
	char(*word)[8] = allocate(SHARD_SLOTS, sizeof(*word));
	const char *addr = admin->view.node[node].addr;
	size_t count = 0;
	bool ok;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (wanted && !wanted[slot])
			continue;
		snprintf(word[count], sizeof(word[count]), "%u", slot);
		ask[count] = (struct ask){
			.node = slot, .to = addr, .argc = 3, .argv = {"CLUSTER", "COUNTKEYSINSLOT", word[count]}};
		count++;
	}
	ok = ask_all(admin->client, NULL, ask, count, admin->timeout_ms);
	for (size_t i = 0; i < count; i++) {
		if (ok && ask[i].reply->type == SHARD_REPLY_INTEGER) {
			keys[ask[i].node] = ask[i].reply->integer;
			continue;
		}
		cli_error("%s: CLUSTER COUNTKEYSINSLOT %u: %s", addr, ask[i].node, ok ? "not a number" : ask[i].error);
		ok = false;
		break;
	}
	ask_finish(ask, count);
	free(word);
	free(ask);
	return ok;
}

bool keys_count(const struct admin *admin, unsigned node, long long keys[])
{
	return keys_count_of(admin, node, NULL, keys);
}
