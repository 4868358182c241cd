/* SPDX-License-Identifier: MIT */
#include "handover.h"

#include <stdio.h>

#include <shard/topology.h>

#include "ask.h"
#include "wait.h"

#define ANSWER_MS 1000
#define POLL_MS 5
#define AGAIN_MS 6000 /* the server itself gives a manual failover up after 5 s */

int handover_find(const struct health *health, const struct layout *layout, unsigned node)
{
	for (unsigned i = 0; i < health->count; i++) {
		const struct node_view *view = &health->node[i];
		int self = view->map && view->replica && view->link_up ? health_index_of(layout, view->map, i) : -1;
		int master = self < 0 ? -1 : shard_topology_node(view->map, (size_t)self)->master;

		if (health_node_of(layout, view->map, master) == (int)node && health_owns_slots(view->map, master))
			return (int)i;
	}
	return -1;
}

static bool is_replica(shard_client *client, const struct layout *layout, unsigned node)
{
	struct ask ask = {.node = node, .argc = 2, .argv = {"INFO", "replication"}};
	bool is;

	ask_all(client, layout, &ask, 1, ANSWER_MS);
	is = ask.reply && ask_says(ask.reply, "role:slave");
	ask_finish(&ask, 1);
	return is;
}

/* One try. Returns whether NODE has become a replica. */
static bool try_handover(shard_client *client, const struct layout *layout, unsigned node, unsigned replica,
			 int64_t end, char why[WHY_SIZE])
{
	struct ask ask = {.node = replica, .argc = 2, .argv = {"CLUSTER", "FAILOVER"}};
	bool done = false;

	if (ask_all(client, layout, &ask, 1, ANSWER_MS))
		snprintf(why, WHY_SIZE, "does not take over from %u", layout_port(layout, node));
	else
		snprintf(why, WHY_SIZE, "CLUSTER FAILOVER: %s", ask.error);
	ask_finish(&ask, 1);
	while (!(done = is_replica(client, layout, node)) && now_ms() < end && pause_ms(POLL_MS))
		;
	return done;
}

int handover_to(shard_client *client, const struct layout *layout, unsigned node, unsigned replica, int64_t end,
		char why[WHY_SIZE])
{
	for (;;) {
		int64_t again = now_ms() + AGAIN_MS;

		if (try_handover(client, layout, node, replica, again < end ? again : end, why))
			return health_wait(client, layout, end, why);
		if (now_ms() >= end || interrupted())
			return (int)replica;
	}
}
