/* SPDX-License-Identifier: MIT */
#include "form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>
#include <shard/topology.h>

#include "ask.h"
#include "text.h"
#include "wait.h"

#define ANSWER_MS 5000
#define POLL_MS 5
#define MEET_AGAIN_MS 2500 /* a handshake is given up after node-timeout, of which this is what local clusters have */

/* Asks, blames the first question that failed ("WHAT: why") and frees the replies. */
static int ask_form(struct form *form, struct ask ask[], size_t count, const char *what, char why[FORM_WHY_SIZE])
{
	int failed = -1;

	ask_all(form->client, NULL, ask, count, ANSWER_MS);
	for (size_t i = 0; i < count && failed < 0; i++) {
		if (ask[i].reply)
			continue;
		snprintf(why, FORM_WHY_SIZE, "%s: %s", what, ask[i].error);
		failed = (int)ask[i].node;
	}
	ask_finish(ask, count);
	return failed;
}

int form_identify(struct form *form, char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	int failed = -1;

	for (unsigned i = 0; i < form->count; i++)
		ask[i] = (struct ask){.node = i, .to = form->node[i].addr, .argc = 2, .argv = {"CLUSTER", "MYID"}};
	ask_all(form->client, NULL, ask, form->count, ANSWER_MS);
	for (unsigned i = 0; i < form->count && failed < 0; i++) {
		if (ask[i].reply && ask[i].reply->type == SHARD_REPLY_STRING) {
			snprintf(form->node[i].id, FORM_ID_SIZE, "%s", ask[i].reply->str);
			continue;
		}
		snprintf(why, FORM_WHY_SIZE, "CLUSTER MYID: %s", ask[i].error);
		failed = (int)i;
	}
	ask_finish(ask, form->count);
	free(ask);
	return failed;
}

static int set_epochs(struct form *form, char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	char(*epoch)[12] = allocate(form->count, sizeof(*epoch));
	int failed;

	for (unsigned i = 0; i < form->count; i++) {
		snprintf(epoch[i], sizeof(epoch[i]), "%u", i + 1);
		ask[i] = (struct ask){.node = i,
				      .to = form->node[i].addr,
				      .argc = 3,
				      .argv = {"CLUSTER", "SET-CONFIG-EPOCH", epoch[i]}};
	}
	failed = ask_form(form, ask, form->count, "CLUSTER SET-CONFIG-EPOCH", why);
	free(epoch);
	free(ask);
	return failed;
}

unsigned form_first_slot(unsigned index, unsigned masters)
{
	return (2 * index * SHARD_SLOTS + masters) / (2 * masters);
}

/* For servers older than ADDSLOTSRANGE. */
static int add_slots_singly(struct form *form, unsigned node, char why[FORM_WHY_SIZE])
{
	unsigned first = form->node[node].first, count = form->node[node].last - first + 1;
	const char **words = allocate(count + 2, sizeof(*words));
	char(*slot)[8] = allocate(count, sizeof(*slot));
	struct ask ask = {.node = node, .to = form->node[node].addr, .argc = (int)count + 2, .words = words};
	int failed;

	words[0] = "CLUSTER";
	words[1] = "ADDSLOTS";
	for (unsigned i = 0; i < count; i++) {
		snprintf(slot[i], sizeof(slot[i]), "%u", first + i);
		words[i + 2] = slot[i];
	}
	failed = ask_form(form, &ask, 1, "CLUSTER ADDSLOTS", why);
	free(slot);
	free(words);
	return failed;
}

static bool is_too_old(const struct ask *ask)
{
	return !ask->reply && (strcasestr(ask->error, "unknown subcommand") ||
			       strcasestr(ask->error, "wrong number of arguments"));
}

static int add_slots(struct form *form, char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	char(*range)[2][12] = allocate(form->count, sizeof(*range));
	unsigned asked = 0;
	int failed = -1;

	for (unsigned i = 0; i < form->count; i++) {
		const struct form_node *node = &form->node[i];

		if (node->master >= 0)
			continue;
		snprintf(range[i][0], sizeof(range[i][0]), "%u", node->first);
		snprintf(range[i][1], sizeof(range[i][1]), "%u", node->last);
		ask[asked++] = (struct ask){.node = i,
					    .to = node->addr,
					    .argc = 4,
					    .argv = {"CLUSTER", "ADDSLOTSRANGE", range[i][0], range[i][1]}};
	}
	ask_all(form->client, NULL, ask, 1, ANSWER_MS);
	if (is_too_old(&ask[0])) {
		for (unsigned i = 0; i < asked && failed < 0; i++)
			failed = add_slots_singly(form, ask[i].node, why);
	} else if (!ask[0].reply) {
		snprintf(why, FORM_WHY_SIZE, "CLUSTER ADDSLOTSRANGE: %s", ask[0].error);
		failed = (int)ask[0].node;
	} else {
		failed = ask_form(form, ask + 1, asked - 1, "CLUSTER ADDSLOTSRANGE", why);
	}
	ask_finish(ask, 1);
	free(range);
	free(ask);
	return failed;
}

/* ---- MEET ---- */

/* What NODE is to tell of those behind it; a question each. Returns how many. */
static size_t pair(const struct form *form, size_t node, const bool outside[], struct ask ask[], char port[][8])
{
	size_t count = 0;

	for (size_t peer = node + 1; peer < form->count; peer++) {
		if (outside && !outside[node] && !outside[peer])
			continue;
		snprintf(port[count], sizeof(*port), "%u", form->node[peer].port);
		ask[count] = (struct ask){.node = (unsigned)node,
					  .to = form->node[node].addr,
					  .argc = 4,
					  .argv = {"CLUSTER", "MEET", form->node[peer].host, port[count]}};
		count++;
	}
	return count;
}

static int meet(struct form *form, const bool outside[], char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	char(*port)[8] = allocate(form->count, sizeof(*port));
	int failed = -1;

	for (size_t i = 0; i + 1 < form->count && failed < 0; i++)
		failed = ask_form(form, ask, pair(form, i, outside, ask, port), "CLUSTER MEET", why);
	free(port);
	free(ask);
	return failed;
}

/* Whether what NODE says of the cluster names every other node, none of them in handshake. */
static bool knows_all(const struct form *form, size_t node, const shard_reply *nodes, char why[FORM_WHY_SIZE])
{
	const struct form_node *self = &form->node[node];
	shard_topology *map = NULL;
	const char *missing = NULL;

	if (nodes->type != SHARD_REPLY_STRING ||
	    shard_topology_from_nodes(nodes->str, nodes->len, self->host, (uint16_t)self->port, &map, NULL)) {
		snprintf(why, FORM_WHY_SIZE, "CLUSTER NODES is not understood");
		return false;
	}
	for (size_t i = 0; i < form->count && !missing; i++) {
		int index = shard_topology_find_id(map, form->node[i].id);

		if (index < 0 ||
		    shard_topology_node(map, (size_t)index)->flags & (SHARD_NODE_HANDSHAKE | SHARD_NODE_NOADDR))
			missing = form->node[i].addr;
	}
	if (missing)
		snprintf(why, FORM_WHY_SIZE, "does not know %s yet", missing);
	shard_topology_unref(map);
	return !missing;
}

/* The first node that does not know all others, and WHY; -1: there is none. */
static int find_ignorant(struct form *form, char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	int found = -1;

	for (unsigned i = 0; i < form->count; i++)
		ask[i] = (struct ask){.node = i, .to = form->node[i].addr, .argc = 2, .argv = {"CLUSTER", "NODES"}};
	ask_all(form->client, NULL, ask, form->count, ANSWER_MS);
	for (unsigned i = 0; i < form->count && found < 0; i++) {
		if (!ask[i].reply)
			snprintf(why, FORM_WHY_SIZE, "no answer: %s", ask[i].error);
		if (!ask[i].reply || !knows_all(form, i, ask[i].reply, why))
			found = (int)i;
	}
	ask_finish(ask, form->count);
	free(ask);
	return found;
}

static int find_gone(const struct form *form, char why[FORM_WHY_SIZE])
{
	for (size_t i = 0; i < form->count && form->gone; i++)
		if (form->gone(form->ctx, i, why))
			return (int)i;
	return -1;
}

int form_join(struct form *form, const bool outside[], char why[FORM_WHY_SIZE])
{
	int64_t met = 0;

	for (;;) {
		int failed = -1;

		if (!met || now_ms() - met > MEET_AGAIN_MS) {
			failed = meet(form, outside, why);
			met = now_ms();
		}
		if (failed < 0)
			failed = find_gone(form, why);
		if (failed >= 0)
			return failed;
		failed = find_ignorant(form, why);
		if (failed < 0 || now_ms() >= form->end || !pause_ms(POLL_MS))
			return failed;
	}
}

/* ---- REPLICATE ---- */

int form_replicate(struct form *form, char why[FORM_WHY_SIZE])
{
	struct ask *ask = allocate(form->count, sizeof(*ask));
	unsigned asked = 0;
	int failed;

	for (unsigned i = 0; i < form->count; i++) {
		const struct form_node *node = &form->node[i];

		if (node->master >= 0)
			ask[asked++] = (struct ask){.node = i,
						    .to = node->addr,
						    .argc = 3,
						    .argv = {"CLUSTER", "REPLICATE", form->node[node->master].id}};
	}
	failed = ask_form(form, ask, asked, "CLUSTER REPLICATE", why);
	free(ask);
	return failed;
}

int form_cluster(struct form *form, char why[FORM_WHY_SIZE])
{
	int failed = form_identify(form, why);

	if (failed < 0)
		failed = set_epochs(form, why);
	if (failed < 0)
		failed = add_slots(form, why);
	if (failed < 0)
		failed = form_join(form, NULL, why);
	if (failed < 0)
		failed = form_replicate(form, why);
	return failed;
}
