/* SPDX-License-Identifier: MIT */
#include "load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "cli.h"
#include "keys.h"
#include "text.h"

#define SAMPLE "4" /* keys of a slot that are looked at */

const char *const load_names[LOAD_KINDS] = {"slots", "keys", "bytes", "traffic"};

static void add_keys(const struct view *view, int node, const long long keys[], double load[])
{
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		if (view->owner[slot] == node)
			load[slot] = (double)keys[slot];
}

/* ---- CLUSTER SLOT-STATS ---- */

static bool counts_for(enum load_kind kind, const char *name)
{
	if (kind == LOAD_KEYS)
		return !strcmp(name, "key-count");
	if (kind == LOAD_BYTES)
		return !strcmp(name, "memory-bytes");
	return !strcmp(name, "network-bytes-in") || !strcmp(name, "network-bytes-out");
}

/* [[SLOT, [NAME, NUMBER, ...]], ...]. Whether it has what KIND wants. */
static bool take_stats(const shard_reply *reply, enum load_kind kind, const struct view *view, int node, double load[])
{
	bool any = false;

	for (size_t i = 0; reply->type == SHARD_REPLY_ARRAY && i < reply->len; i++) {
		const shard_reply *row = &reply->element[i], *stats = &row->element[1];

		if (row->type != SHARD_REPLY_ARRAY || row->len != 2 || row->element[0].type != SHARD_REPLY_INTEGER ||
		    stats->type != SHARD_REPLY_ARRAY || row->element[0].integer < 0 ||
		    row->element[0].integer >= SHARD_SLOTS || view->owner[row->element[0].integer] != node)
			continue;
		for (size_t j = 0; j + 1 < stats->len; j += 2) {
			if (stats->element[j].type != SHARD_REPLY_STRING ||
			    stats->element[j + 1].type != SHARD_REPLY_INTEGER ||
			    !counts_for(kind, stats->element[j].str))
				continue;
			load[row->element[0].integer] += (double)stats->element[j + 1].integer;
			any = true;
		}
	}
	return any;
}

static bool from_stats(const struct admin *admin, int node, enum load_kind kind, double load[])
{
	struct ask ask = {
		.to = admin->view.node[node].addr,
		.argc = 5,
		.argv = {"CLUSTER", "SLOT-STATS", "SLOTSRANGE", "0", "16383"},
	};
	bool any = ask_all(admin->client, NULL, &ask, 1, admin->timeout_ms) &&
		   take_stats(ask.reply, kind, &admin->view, node, load);

	ask_finish(&ask, 1);
	return any;
}

/* ---- samples ---- */

struct sample {
	unsigned slot;
	struct ask ask;
	size_t lens[3];
};

/* A few keys of every slot that has some, and a question about each: COMMAND WORD KEY. */
static struct sample *take_samples(const struct admin *admin, int node, const long long keys[], struct ask list[],
				   char (*word)[8], size_t *lists)
{
	*lists = 0;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++) {
		if (!keys[slot] || admin->view.owner[slot] != node)
			continue;
		snprintf(word[*lists], sizeof(*word), "%u", slot);
		list[*lists] = (struct ask){
			.node = slot,
			.to = admin->view.node[node].addr,
			.argc = 4,
			.argv = {"CLUSTER", "GETKEYSINSLOT", word[*lists], SAMPLE},
		};
		(*lists)++;
	}
	return ask_all(admin->client, NULL, list, *lists, admin->timeout_ms) ? allocate(4 * *lists + 1, sizeof(struct sample))
									     : NULL;
}

static size_t ask_about(const struct admin *admin, int node, const struct ask list[], size_t lists,
			struct sample sample[], const char *command, const char *word)
{
	size_t count = 0;

	for (size_t i = 0; i < lists; i++) {
		const shard_reply *reply = list[i].reply;

		for (size_t k = 0; reply->type == SHARD_REPLY_ARRAY && k < reply->len && k < 4; k++) {
			struct sample *s = &sample[count++];

			*s = (struct sample){
				.slot = list[i].node,
				.ask = {.to = admin->view.node[node].addr,
					.argc = 3,
					.argv = {command, word, reply->element[k].str}},
				.lens = {strlen(command), strlen(word), reply->element[k].len},
			};
			s->ask.lens = s->lens;
		}
	}
	return count;
}

static double worth(enum load_kind kind, bool frequency, long long answer)
{
	if (kind == LOAD_BYTES || frequency)
		return (double)answer;
	return 1.0 / (1.0 + (double)answer); /* seconds that it was idle */
}

static void weigh(const struct admin *admin, struct sample sample[], size_t count, enum load_kind kind, bool frequency,
		  const long long keys[], double load[])
{
	struct ask *ask = allocate(count + 1, sizeof(*ask));

	for (size_t i = 0; i < count; i++)
		ask[i] = sample[i].ask;
	ask_all(admin->client, NULL, ask, count, admin->timeout_ms);
	for (size_t i = 0, end; i < count; i = end) {
		double sum = 0;

		for (end = i; end < count && sample[end].slot == sample[i].slot; end++)
			if (ask[end].reply && ask[end].reply->type == SHARD_REPLY_INTEGER)
				sum += worth(kind, frequency, ask[end].reply->integer);
		load[sample[i].slot] = sum / (double)(end - i) * (double)keys[sample[i].slot];
	}
	ask_finish(ask, count);
	free(ask);
}

/* OBJECT FREQ is refused but under an LFU policy. */
static bool has_frequency(const struct admin *admin, int node)
{
	struct ask ask = {
		.to = admin->view.node[node].addr,
		.argc = 3,
		.argv = {"CONFIG", "GET", "maxmemory-policy"},
	};
	bool lfu = ask_all(admin->client, NULL, &ask, 1, admin->timeout_ms) &&
		   ask.reply->type == SHARD_REPLY_ARRAY && ask.reply->len == 2 &&
		   ask.reply->element[1].type == SHARD_REPLY_STRING && strstr(ask.reply->element[1].str, "lfu");

	ask_finish(&ask, 1);
	return lfu;
}

static bool from_samples(const struct admin *admin, int node, enum load_kind kind, const long long keys[], double load[])
{
	struct ask *list = allocate(SHARD_SLOTS, sizeof(*list));
	char(*word)[8] = allocate(SHARD_SLOTS, sizeof(*word));
	size_t lists, count;
	struct sample *sample = take_samples(admin, node, keys, list, word, &lists);
	bool frequency = kind == LOAD_TRAFFIC && has_frequency(admin, node);

	if (sample) {
		count = kind == LOAD_BYTES ? ask_about(admin, node, list, lists, sample, "MEMORY", "USAGE")
					   : ask_about(admin, node, list, lists, sample, "OBJECT",
						       frequency ? "FREQ" : "IDLETIME");
		weigh(admin, sample, count, kind, frequency, keys, load);
	} else {
		cli_error("%s: CLUSTER GETKEYSINSLOT failed", admin->view.node[node].addr);
	}
	ask_finish(list, lists);
	free(sample);
	free(word);
	free(list);
	return sample;
}

/* ---- all of it ---- */

bool load_look(const struct admin *admin, enum load_kind kind, double load[], bool *sampled)
{
	long long *keys = allocate(SHARD_SLOTS, sizeof(*keys));
	bool ok = true;

	*sampled = false;
	for (unsigned slot = 0; slot < SHARD_SLOTS; slot++)
		load[slot] = kind == LOAD_SLOTS ? 1 : 0;
	for (int i = 0; i < (int)admin->view.count && ok && kind != LOAD_SLOTS; i++) {
		const struct view_node *node = &admin->view.node[i];

		if (!view_is_master(node) || !node->slots || from_stats(admin, i, kind, load))
			continue;
		ok = keys_count(admin, (unsigned)i, keys);
		if (ok && kind == LOAD_KEYS) {
			add_keys(&admin->view, i, keys, load);
		} else if (ok) {
			*sampled = true;
			ok = from_samples(admin, i, kind, keys, load);
		}
	}
	free(keys);
	return ok;
}
