/* SPDX-License-Identifier: MIT */
/*
 * The topology: fetched from one node at a time, one fetch at a time, at
 * least about a second apart; patched by every MOVED in between.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/internal.h"

#define SPACING_MS 1000  /* between two fetches */
#define SPREAD_MS 1000   /* a MOVED can wait: its own slot is patched */
#define URGENT_MS 50     /* jitter where requests wait for the answer */
#define FAILED_MS 100    /* after a fetch that failed; doubled up to 1600 */
#define PROMOTED_MS 20   /* between two fetches that a promotion asks for */
#define TRIES 5          /* nodes asked before the seeds */

static const char *const cluster_slots[] = {"CLUSTER", "SLOTS"};

static void ask_next(shard_client *client);
static void refresh_due(struct timer *timer);

/* ---- who is where ---- */

struct client_node *node_any_master(shard_client *client)
{
	struct client_node *found = NULL;
	size_t seen = 0;

	if (client->single)
		return client->node_of_count ? client->node_of[0] : NULL;
	for (size_t i = 0; i < client->node_of_count; i++) {
		const shard_node *node = shard_topology_node(client->topology, i);
		struct client_node *own = client->node_of[i];

		if (!own || !(node->flags & SHARD_NODE_MASTER) || (found && own->sick && !found->sick))
			continue;
		/* One that answers is better than one that does not; among equals chance decides. */
		if (found && found->sick && !own->sick)
			seen = 0;
		if (client_random(client) % ++seen == 0)
			found = own;
	}
	return found;
}

struct client_node *map_replica(shard_client *client, int slot)
{
	unsigned owner = client->owners[slot];
	uint64_t now = loop_now(&client->loop);
	struct client_node *found = NULL;
	unsigned seen = 0;

	for (size_t i = 0; i < client->node_of_count; i++) {
		const shard_node *node = shard_topology_node(client->topology, i);
		struct client_node *own = client->node_of[i];

		if (node->master != (int)owner || !own || node->flags & (SHARD_NODE_FAIL | SHARD_NODE_LOADING))
			continue;
		/* A sick one has another try now and then: nothing else would find out that it is well. */
		if ((own->sick && now < own->retry_at) || now < own->no_reads_until)
			continue;
		if (client_random(client) % ++seen == 0)
			found = own;
	}
	return found;
}

/* ---- installing ---- */

static bool index_nodes(shard_client *client, shard_topology *topology)
{
	size_t count = shard_topology_node_count(topology);
	struct client_node **node_of = calloc(count + 1, sizeof(struct client_node *));

	if (!node_of)
		return false;
	for (size_t i = 0; i < count; i++) {
		const shard_node *node = shard_topology_node(topology, i);

		if (!(node->flags & SHARD_NODE_NOADDR))
			node_of[i] = node_get(client, node->host, node->port);
	}
	for (struct list *l = client->nodes.next; l != &client->nodes; l = l->next)
		list_entry(l, struct client_node, all)->in_map = false;
	for (size_t i = 0; i < count; i++)
		if (node_of[i])
			node_of[i]->in_map = true;
	free(client->node_of);
	client->node_of = node_of;
	client->node_of_count = count;
	return true;
}

static void drop_patches(shard_client *client, uint64_t seq)
{
	size_t kept = 0;

	for (size_t i = 0; i < client->patch_count; i++) {
		if (client->patch[i].seq > seq)
			client->patch[kept++] = client->patch[i];
		else
			node_unref(client->patch[i].node);
	}
	client->patch_count = kept;
}

/* What was learnt after the map had been asked for is newer than the map. */
static int apply_patches(shard_client *client, shard_topology **topology)
{
	drop_patches(client, client->refresh_seq);
	for (size_t i = 0; i < client->patch_count; i++) {
		struct client_node *node = client->patch[i].node;
		int error = shard__topology_patch_own(topology, client->patch[i].slot, node->host, node->port);

		if (error)
			return error;
	}
	return SHARD_OK;
}

/* Makes TOPOLOGY, whose reference is the client's, the one of now. */
static void use(shard_client *client, shard_topology *topology)
{
	client->topology = topology;
	client->owners = shard__topology_owners(topology);
	client->single = shard_topology_is_single(topology);
}

static void changed(shard_client *client, const shard_topology *before, int slot)
{
	client->map_changed = true;
	tracking_map_changed(client, slot);
	if (map_known(client))
		group_map_known(client);
	request_wake(client, before, slot);
}

void map_tell(shard_client *client)
{
	if (!client->map_changed)
		return;
	client->map_changed = false;
	if (client->on_topology)
		client->on_topology(client->on_topology_ctx, client->topology);
}

bool map_install(shard_client *client, shard_topology *topology, uint64_t seq)
{
	shard_topology *before = client->topology;

	client->refresh_seq = seq;
	if (apply_patches(client, &topology) != SHARD_OK || !index_nodes(client, topology)) {
		shard_topology_unref(topology);
		return false;
	}
	use(client, topology);
	client->drawn = false;
	if (!client->single)
		node_map_changed(client);
	changed(client, before, -1);
	shard_topology_unref(before);
	return true;
}

static bool remember_patch(shard_client *client, unsigned slot, struct client_node *node)
{
	if (client->patch_count == client->patch_room) {
		size_t room = client->patch_room ? client->patch_room * 2 : 16;
		struct map_patch *patch = realloc(client->patch, room * sizeof(*patch));

		if (!patch)
			return false;
		client->patch = patch;
		client->patch_room = room;
	}
	client->patch[client->patch_count++] = (struct map_patch){++client->map_seq, slot, node};
	node_ref(node);
	return true;
}

void map_moved(shard_client *client, unsigned slot, struct client_node *node)
{
	/* What was taken for one server turns out to be a cluster. */
	shard_topology *single = client->single ? client->topology : NULL;
	shard_topology *topology = single ? NULL : client->topology;
	bool first = !topology;
	size_t count;

	if (topology && map_owner(client, (int)slot) == node)
		return;
	/* Patches matter only to a map that was asked for before them. */
	if (!client->refreshing)
		drop_patches(client, UINT64_MAX);
	if (!remember_patch(client, slot, node))
		return;
	count = topology ? shard_topology_node_count(topology) : 0;
	if (shard__topology_patch_own(&topology, slot, node->host, node->port) != SHARD_OK)
		return;
	use(client, topology);
	client->drawn |= first;
	if (single || shard_topology_node_count(topology) != count)
		index_nodes(client, topology);
	shard_topology_unref(single);
	changed(client, NULL, (int)slot);
}

/* ---- fetching ---- */

static void call_waiters(shard_client *client, int error, const char *message)
{
	struct list waiters;
	shard_result result = {.error = error, .message = message, .node = "", .slot = -1};

	list_init(&waiters);
	list_splice(&waiters, &client->refresh_waiters);
	while (!list_empty(&waiters)) {
		struct map_waiter *waiter = list_entry(list_pop(&waiters), struct map_waiter, link);
		shard_callback callback = waiter->callback;
		void *ctx = waiter->ctx;

		timer_stop(&waiter->timer);
		free(waiter);
		client->pending--;
		callback(ctx, &result);
	}
}

static void waiter_expired(struct timer *timer)
{
	struct map_waiter *waiter = list_entry(timer, struct map_waiter, timer);
	struct shard_client *client = waiter->client;
	shard_result result = {.error = SHARD_ETIMEDOUT, .node = "", .slot = -1};
	shard_callback callback = waiter->callback;
	void *ctx = waiter->ctx;

	result.message = client->refresh_why ? client->refresh_why : "no node told the map of the cluster in time";
	list_remove(&waiter->link);
	free(waiter);
	client->pending--;
	callback(ctx, &result);
}

static void schedule(shard_client *client, unsigned after_ms)
{
	uint64_t due = loop_now(&client->loop) + after_ms;

	if (timer_armed(&client->refresh_timer) && client->refresh_timer.due <= due)
		return;
	timer_start(&client->loop.wheel, &client->refresh_timer, due);
	client_touched(client);
}

static void schedule_slow(shard_client *client)
{
	unsigned ms = client->refresh_ms;

	if (ms && !client->lazy && client_has_slots(client))
		schedule(client, ms / 2 + client_random(client) % (ms / 2 + 1));
}

static bool somebody_waits(const shard_client *client)
{
	return !list_empty(&client->map_waiting) || !list_empty(&client->group_waiting) ||
	       !list_empty(&client->waiting) || !list_empty(&client->refresh_waiters);
}

static void end_refresh(shard_client *client, int error, const char *message)
{
	client->refreshing = false;
	client->refresh_tries = client->refresh_refused = client->refresh_unnamed = 0;
	if (error == SHARD_OK) {
		client->refresh_failures = 0;
		schedule_slow(client);
	} else if (!client->refresh_denied && somebody_waits(client)) {
		unsigned wait = FAILED_MS << (client->refresh_failures < 4 ? client->refresh_failures++ : 4);

		schedule(client, wait / 2 + client_random(client) % (wait / 2 + 1));
	}
	if (client->refresh_again) {
		client->refresh_again = false;
		map_refresh(client, REFRESH_NOW);
	}
	call_waiters(client, error, message);
}

/* Nobody could be asked. */
static void refresh_failed(shard_client *client)
{
	char message[512];
	bool nobody = client->refresh_refused && client->refresh_refused == client->refresh_tries;
	int error = !nobody				       ? SHARD_ENOROUTE
		    : client->refresh_unnamed == client->refresh_tries ? SHARD_ERESOLVE
								       : SHARD_ECONNECT;

	snprintf(message, sizeof(message), "cannot get the map of the cluster: %s",
		 client->refresh_why ? client->refresh_why : "no node is known");
	/* At the first contact nobody is there: no use to wait until the deadline. */
	if (nobody && !client->ever_up)
		request_fail_all_waiting(client, error, client->refresh_why);
	end_refresh(client, error, message);
	/* It answers commands, but not this one: follow its redirects. */
	if (client->refresh_denied && !client->topology && !client->lazy) {
		client->lazy = true;
		request_wake_waiting(client);
	}
}

static void keep_why(shard_client *client, const char *node, const char *why)
{
	size_t size = strlen(node) + strlen(why) + 3;
	char *text = malloc(size);

	if (!text)
		return;
	snprintf(text, size, "%s%s%s", node, *node ? ": " : "", why);
	free(client->refresh_why);
	client->refresh_why = text;
}

static bool no_cluster(const shard_result *result)
{
	if (result->error != SHARD_ESERVER)
		return false;
	return strstr(result->reply->str, "cluster support disabled") || strstr(result->reply->str, "unknown command") ||
	       strstr(result->reply->str, "unknown subcommand");
}

/* No map, and no use to ask for it again. */
static void refused(shard_client *client, const shard_result *result)
{
	char why[512];

	client->refresh_denied |= shard_reply_is_error(result->reply, "NOPERM");
	if (client->topology)
		return;
	if (result->error == SHARD_EAUTH) {
		request_fail_all_waiting(client, SHARD_EAUTH, result->message); /* which begins with the node */
	} else if (shard_reply_is_error(result->reply, "NOAUTH")) {
		snprintf(why, sizeof(why), "%s: %s", result->node, result->message);
		request_fail_all_waiting(client, SHARD_EAUTH, why);
	}
}

/* Makes *TOPOLOGY of NODE's answer; or returns an error, and *WHY (WHY may be NULL). */
static int read_map(shard_client *client, const struct client_node *node, const shard_reply *reply,
		    shard_topology **topology, const char **why)
{
	const char *unused;
	int error = shard__topology_from_slots(reply, node->host, node->port, client->address_map,
					       client->address_ctx, topology, why ? why : &unused);

	if (error || shard_topology_covered(*topology))
		return error;
	if (why)
		*why = "the cluster has no slots assigned";
	shard_topology_unref(*topology);
	return SHARD_ENOROUTE;
}

/* Takes the reference. Another may have come by a shorter way meanwhile. */
static int install_newer(shard_client *client, shard_topology *topology)
{
	if (client->refresh_seq >= client->newest_seq)
		return map_install(client, topology, client->refresh_seq) ? SHARD_OK : SHARD_ENOMEM;
	shard_topology_unref(topology);
	return SHARD_OK;
}

static void got_map(void *ctx, const shard_result *result)
{
	shard_client *client = ctx;
	struct client_node *node = client->refresh_asked;
	shard_topology *topology = NULL;
	const char *why = result->message;
	int error = result->error;

	client->refresh_asked = NULL;
	if (error == SHARD_OK)
		error = read_map(client, node, result->reply, &topology, &why);
	else if (no_cluster(result) && (!map_known(client) || client->single))
		error = shard_topology_single(node->host, node->port, &topology);
	else
		refused(client, result);
	if (error == SHARD_OK)
		error = install_newer(client, topology);
	if (error == SHARD_OK) {
		node_unref(node);
		end_refresh(client, SHARD_OK, "");
		return;
	}
	if (result->error && node->refused)
		client->refresh_refused++;
	if (result->error == SHARD_ERESOLVE)
		client->refresh_unnamed++;
	keep_why(client, result->error == SHARD_OK || result->error == SHARD_ESERVER ? node->addr : "", why);
	node_unref(node);
	if (!client->destroying)
		ask_next(client);
}

static bool healthy(const struct client_node *node)
{
	return node->greeted && !node->sick && node->data && !node->data->hold;
}

static bool troubled(const struct client_node *node)
{
	return node->sick || (node->data && node->data->hold);
}

/* Of the map's nodes that were not asked yet: one that is well, else one of which nothing bad is known, else any. */
static struct client_node *random_node(shard_client *client)
{
	struct client_node *found = NULL;
	unsigned seen = 0, best = 0;

	for (size_t i = 0; i < client->node_of_count; i++) {
		struct client_node *node = client->node_of[i];
		unsigned rank;

		if (!node || node->asked == client->refresh_round)
			continue;
		rank = healthy(node) ? 2 : !troubled(node);
		if (rank > best)
			seen = 0;
		if (rank >= best && client_random(client) % ++seen == 0)
			found = node;
		best = rank > best ? rank : best;
	}
	return found;
}

static struct client_node *next_to_ask(shard_client *client)
{
	size_t try = client->refresh_tries++;
	struct client_node *node = NULL;

	if (client->topology && try < TRIES)
		node = random_node(client);
	for (size_t i = 0; !node && i < client->seed_count; i++) {
		node = client->seeds[(client->seed_at + i) % client->seed_count];
		if (node->asked == client->refresh_round)
			node = NULL;
	}
	return node;
}

static void ask_next(shard_client *client)
{
	struct client_node *node = next_to_ask(client);

	if (!node) {
		client->refresh_tries--;
		refresh_failed(client);
		return;
	}
	client->refresh_seq = client->map_seq;
	client->refresh_asked = node;
	node->asked = client->refresh_round;
	node_ref(node);
	if (submit_internal(client, node, client->connect_timeout_ms, got_map, client, 2, cluster_slots,
			    NULL) == SHARD_OK)
		return;
	client->refresh_asked = NULL;
	node_unref(node);
	refresh_failed(client);
}

void map_init(shard_client *client)
{
	timer_init(&client->refresh_timer, refresh_due);
	list_init(&client->refresh_waiters);
	schedule_slow(client);
}

static void refresh_due(struct timer *timer)
{
	shard_client *client = list_entry(timer, shard_client, refresh_timer);

	if (client->refreshing)
		return;
	/* A pool is as its file says. */
	if (client->pool) {
		end_refresh(client, SHARD_OK, "");
		return;
	}
	client->refreshing = true;
	client->refresh_round++;
	client->refresh_started = client->loop.now;
	client->refresh_tries = client->refresh_refused = client->refresh_unnamed = 0;
	ask_next(client);
}

void map_refresh(shard_client *client, enum policy_refresh when)
{
	uint64_t now = loop_now(&client->loop);
	uint64_t since = now - client->refresh_started;
	unsigned wait;

	if (client->destroying || client->pool)
		return;
	if (client->refreshing) {
		client->refresh_again = true;
		return;
	}
	wait = client_random(client) % (when == REFRESH_NOW ? URGENT_MS : SPREAD_MS);
	if (client->refresh_started && since < SPACING_MS)
		wait += (unsigned)(SPACING_MS - since);
	schedule(client, wait);
}

static void got_promoted_map(void *ctx, const shard_result *result)
{
	shard_client *client = ctx;
	struct client_node *node = client->promoted;
	shard_topology *topology = NULL;

	client->promoted = NULL;
	if (result->error == SHARD_OK && read_map(client, node, result->reply, &topology, NULL) == SHARD_OK &&
	    map_install(client, topology, client->promoted_seq))
		client->newest_seq = ++client->map_seq;
	node_unref(node);
}

void map_promoted(shard_client *client, struct client_node *node)
{
	uint64_t now = loop_now(&client->loop);

	/* Whoever has seen that it is one will see it again. */
	if (client->destroying || client->promoted || now - client->promoted_at < PROMOTED_MS)
		return;
	if (submit_internal(client, node, client->connect_timeout_ms, got_promoted_map, client, 2, cluster_slots,
			    NULL) != SHARD_OK)
		return;
	client->promoted_at = now;
	client->promoted_seq = client->map_seq;
	client->promoted = node;
	node_ref(node);
}

void map_wanted(shard_client *client)
{
	/* The fetch under way answers them, too. */
	if (client->refreshing)
		return;
	if (!client->refresh_started) {
		schedule(client, 0);
		return;
	}
	map_refresh(client, REFRESH_NOW);
}

int shard_refresh(shard_client *client, shard_callback callback, void *ctx)
{
	struct map_waiter *waiter = NULL;

	if (client_forked(client))
		return client_refusal(client);
	if (callback) {
		waiter = malloc(sizeof(*waiter));
		if (!waiter)
			return SHARD_ENOMEM;
		*waiter = (struct map_waiter){.client = client, .callback = callback, .ctx = ctx};
		timer_init(&waiter->timer, waiter_expired);
		if (client->timeout_ms)
			timer_start(&client->loop.wheel, &waiter->timer, loop_now(&client->loop) + client->timeout_ms);
		list_push(&client->refresh_waiters, &waiter->link);
		client->pending++;
	}
	if (!client->refreshing)
		schedule(client, 0);
	return SHARD_OK;
}

shard_topology *shard_client_topology(shard_client *client)
{
	return client->topology;
}

const char *shard_client_node_of(shard_client *client, const void *key, size_t len)
{
	struct client_node *node = NULL;

	if (client->pool)
		node = pool_node(client->pool, pool_index(client->pool, pool_place(client->pool, key, len).hash));
	else if (client->topology)
		node = map_owner(client, (int)shard_slot(key, len));
	return node ? node->addr : NULL;
}

bool shard_client_together(shard_client *client, const void *key, size_t len, const void *other, size_t other_len)
{
	if (client->topology && client->single)
		return true;
	return client_place(client, key, len).slot == client_place(client, other, other_len).slot;
}

void shard_client_on_topology(shard_client *client, void (*callback)(void *ctx, shard_topology *topology), void *ctx)
{
	client->map_changed = false; /* only what changes from now on */
	client->on_topology = callback;
	client->on_topology_ctx = ctx;
}

void map_finish(shard_client *client)
{
	timer_stop(&client->refresh_timer);
	call_waiters(client, SHARD_ECANCELED, shard_strerror(SHARD_ECANCELED));
	drop_patches(client, UINT64_MAX);
	free(client->patch);
	free(client->refresh_why);
	free(client->node_of);
	shard_topology_unref(client->topology);
}
