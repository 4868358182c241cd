/* SPDX-License-Identifier: MIT */
#include "keys.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"
#include "cli.h"
#include "text.h"

bool keys_count(const struct admin *admin, unsigned node, long long keys[])
{
	struct ask *ask = allocate(SHARD_SLOTS, sizeof(*ask));
	char(*word)[8] = allocate(SHARD_SLOTS, sizeof(*word));
	const char *addr = admin->view.node[node].addr;
	bool ok;

	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		snprintf(word[slot], sizeof(word[slot]), "%u", slot);
		ask[slot] = (struct ask){
			.to = addr, .argc = 3, .argv = {"CLUSTER", "COUNTKEYSINSLOT", word[slot]}};
	}
	ok = ask_all(admin->client, NULL, ask, SHARD_SLOTS, admin->timeout_ms);
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (ok && ask[slot].reply->type == SHARD_REPLY_INTEGER) {
			keys[slot] = ask[slot].reply->integer;
			continue;
		}
		cli_error("%s: CLUSTER COUNTKEYSINSLOT %u: %s", addr, slot, ok ? "not a number" : ask[slot].error);
		ok = false;
		break;
	}
	ask_finish(ask, SHARD_SLOTS);
	free(word);
	free(ask);
	return ok;
}
