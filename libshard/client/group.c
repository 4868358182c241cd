/* SPDX-License-Identifier: MIT */
/*
 * One call that becomes several requests: a command split by slot, or sent to
 * many nodes. Its children go out together; the last answer puts the whole
 * together.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/aggregate.h"
#include "client/internal.h"
#include "pure/resp.h"

enum group_kind { GROUP_SPLIT, GROUP_EACH };

struct child {
	struct group *group;
	struct list link; /* in group->children */
	struct shard_request *req;
	size_t count;  /* of its keys, or 1 */
	size_t part[]; /* their places */
};

struct group {
	struct shard_request self; /* the caller's handle; first */
	struct list link;          /* in client->group_waiting until the map is known */
	struct list children;
	const shard_command *command; /* NULL: not in the table (GROUP_EACH only) */
	enum group_kind kind;
	bool all_nodes, aggregate, started;
	shard_key_range range;
	int argc;
	const char **argv;
	size_t *argvlen;
	char *words;
	size_t count;
	struct part *part;
	long long sum; /* of the counting commands */
	bool raw;      /* MGET, whose elements are passed on as they came */
	struct raw_reply *raws;
};

/* What a child was answered. */
struct raw_reply {
	struct raw_reply *next;
	char bytes[];
};

static void child_done(void *ctx, const shard_result *result);
static void group_expired(struct timer *timer);

/* ---- making ---- */

static void free_group(struct group *group)
{
	timer_stop(&group->self.timer);
	list_remove(&group->link);
	for (size_t i = 0; i < group->count; i++) {
		shard_reply_free(group->part[i].reply);
		free(group->part[i].message);
		free(group->part[i].node);
	}
	for (struct raw_reply *raw = group->raws, *next; raw; raw = next) {
		next = raw->next;
		free(raw);
	}
	free(group->part);
	free(group->argv);
	free(group->argvlen);
	free(group->words);
	free(group);
}

static bool copy_words(struct group *group, int argc, const char *const argv[], const size_t argvlen[])
{
	size_t size = 1;
	char *at;

	for (int i = 0; i < argc; i++)
		size += argvlen[i];
	group->argc = argc;
	group->argv = malloc((size_t)argc * sizeof(*group->argv));
	group->argvlen = malloc((size_t)argc * sizeof(*group->argvlen));
	group->words = at = malloc(size);
	if (!group->argv || !group->argvlen || !at)
		return false;
	for (int i = 0; i < argc; i++) {
		group->argv[i] = at;
		group->argvlen[i] = argvlen[i];
		if (argvlen[i])
			memcpy(at, argv[i], argvlen[i]);
		at += argvlen[i];
	}
	return true;
}

static struct group *create(shard_client *client, const shard_command *command, enum group_kind kind, int argc,
			    const char *const argv[], const size_t argvlen[], const shard_call *how,
			    shard_callback callback, void *ctx)
{
	struct group *group = calloc(1, sizeof(*group));
	unsigned timeout = how && how->timeout_ms ? how->timeout_ms : client->timeout_ms;
	long long blocks;

	if (!group)
		return NULL;
	list_init(&group->link);
	list_init(&group->children);
	list_init(&group->self.item.link);
	list_init(&group->self.end_link);
	timer_init(&group->self.timer, group_expired);
	group->self.client = client;
	group->self.callback = callback;
	group->self.ctx = ctx;
	group->self.group = group;
	group->self.is_group = true;
	group->self.slot = -1;
	group->self.flags = how ? how->flags : 0;
	if (command && (command->flags & SHARD_CMD_BLOCKING) &&
	    shard_command_blocks(command, argc, argv, argvlen, &blocks)) {
		group->self.flags |= blocks ? 0 : SHARD_NO_DEADLINE;
		timeout = timeout_with_block(timeout, blocks);
	}
	group->self.deadline = group->self.flags & SHARD_NO_DEADLINE || !timeout
				       ? UINT64_MAX
				       : loop_now(&client->loop) + timeout;
	group->command = command;
	group->kind = kind;
	if (copy_words(group, argc, argv, argvlen))
		return group;
	free_group(group);
	return NULL;
}

static bool make_parts(struct group *group, size_t count)
{
	group->part = calloc(count + 1, sizeof(*group->part));
	if (!group->part)
		return false;
	group->count = count;
	for (size_t i = 0; i < count; i++)
		group->part[i].place.slot = -1;
	return true;
}

/* ---- the whole ---- */

/* There is one for every failure, also where there was no memory to keep it. */
static const char *message_of(const struct part *part)
{
	if (!part->error)
		return "";
	return part->message ? part->message : shard_strerror(part->error);
}

static void set_part(struct part *part, const shard_result *result, const shard_reply *reply)
{
	part->error = result->error;
	part->reply = reply ? shard_reply_copy(reply) : NULL;
	part->message = result->error ? strdup(result->message) : NULL;
	part->node = strdup(result->node);
	if (result->slot >= 0)
		part->place.slot = result->slot;
	if (reply && !part->reply)
		part->error = SHARD_ENOMEM;
}

/* The failure that stands for the whole: one whose outcome is not known says more than one that did nothing. */
static const struct part *worst_failure(const struct group *group)
{
	const struct part *found = NULL;

	for (size_t i = 0; i < group->count; i++)
		if (group->part[i].error && (!found || group->part[i].error == SHARD_EUNKNOWN))
			found = &group->part[i];
	return found;
}

/* A write that failed in part before anything was executed there, and was done elsewhere. */
static bool half_done(const struct group *group, const struct part *failure)
{
	if (failure->error == SHARD_ESERVER || failure->error == SHARD_EPROTOCOL || failure->error == SHARD_EUNKNOWN ||
	    group->kind != GROUP_SPLIT || !(group->command->flags & SHARD_CMD_WRITE))
		return false;
	for (size_t i = 0; i < group->count; i++)
		if (!group->part[i].error)
			return true;
	return false;
}

/* The elements of all children in the caller's order. */
static const shard_reply *whole_of_raw(const struct group *group, struct arena *arena)
{
	shard_reply *whole = arena_alloc(arena, sizeof(*whole));
	size_t size = resp_header_size(group->count);
	char *bytes, *at;

	for (size_t i = 0; i < group->count; i++)
		size += group->part[i].raw.len;
	bytes = whole ? arena_alloc(arena, size) : NULL;
	if (!bytes)
		return NULL;
	at = resp_header_write(bytes, group->count);
	for (size_t i = 0; i < group->count; i++) {
		memcpy(at, group->part[i].raw.str, group->part[i].raw.len);
		at += group->part[i].raw.len;
	}
	*whole = (shard_reply){.type = SHARD_REPLY_RAW, .len = size, .str = bytes};
	return whole;
}

static const shard_reply *whole_of_split(struct group *group, struct arena *arena)
{
	shard_reply *whole;

	if (group->raw)
		return whole_of_raw(group, arena);
	if (!strcmp(group->command->name, "mget"))
		return aggregate_array(group->part, group->count, arena);
	whole = arena_alloc(arena, sizeof(*whole));
	if (!whole)
		return NULL;
	if (!strcmp(group->command->name, "mset"))
		*whole = (shard_reply){.type = SHARD_REPLY_STATUS, .len = 2, .str = "OK"};
	else
		*whole = (shard_reply){.type = SHARD_REPLY_INTEGER, .integer = group->sum};
	return whole;
}

static bool one_success_is_enough(const struct group *group)
{
	return group->aggregate && group->command->response_policy == SHARD_AGG_ONE_SUCCEEDED;
}

/* With ONE_SUCCEEDED the parts that failed do not count where another did not. */
static void drop_failures(struct group *group)
{
	for (size_t i = 0; i < group->count; i++) {
		struct part swap = group->part[i];

		if (swap.error)
			continue;
		group->part[i] = group->part[0];
		group->part[0] = swap;
		return;
	}
}

static shard_result *results_of_parts(const struct group *group, struct arena *arena)
{
	shard_result *results = arena_alloc(arena, (group->count + 1) * sizeof(*results));

	for (size_t i = 0; results && i < group->count; i++) {
		const struct part *part = &group->part[i];

		results[i] = (shard_result){
			.error = part->error,
			.reply = part->raw.str ? &part->raw : part->reply,
			.message = message_of(part),
			.node = part->node ? part->node : "",
			.slot = client_slot(group->self.client, part->place.slot),
		};
	}
	return results;
}

static bool one_slot(const struct group *group)
{
	for (size_t i = 1; i < group->count; i++)
		if (group->part[i].place.slot != group->part[0].place.slot)
			return false;
	return group->count > 0;
}

static void finish(struct group *group)
{
	shard_result result = {.error = SHARD_OK, .message = "", .node = "", .slot = -1};
	const struct part *failure = worst_failure(group);
	struct arena arena;
	char message[512];

	arena_init(&arena);
	if (failure && one_success_is_enough(group)) {
		drop_failures(group);
		failure = group->part[0].error ? failure : NULL;
	}
	if (group->kind == GROUP_SPLIT && one_slot(group)) {
		result.slot = client_slot(group->self.client, group->part[0].place.slot);
		result.node = group->part[0].node ? group->part[0].node : "";
	}
	if (failure) {
		result.error = failure->error;
		result.reply = failure->reply;
		result.message = message_of(failure);
		result.node = failure->node ? failure->node : "";
		result.slot = client_slot(group->self.client, failure->place.slot);
		if (half_done(group, failure)) {
			result.error = SHARD_EUNKNOWN;
			snprintf(message, sizeof(message), "done in part: %s", result.message);
			result.message = message;
		}
	} else if (group->kind == GROUP_SPLIT) {
		result.reply = whole_of_split(group, &arena);
	} else if (group->count && group->aggregate) {
		result.reply = aggregate_replies(group->command, group->part, group->count, client_random(group->self.client), &arena);
	} else {
		result.reply = aggregate_array(group->part, group->count, &arena);
	}
	if (!failure && !result.reply) {
		result.error = SHARD_EPROTOCOL;
		result.message = "the replies of the nodes do not fit together";
	}
	if (group->kind == GROUP_EACH || ((group->self.flags & SHARD_PARTS) && (failure || !group->raw))) {
		result.part = results_of_parts(group, &arena);
		result.part_count = result.part ? group->count : 0;
	}
	group->self.client->pending--;
	group->self.callback(group->self.ctx, &result);
	arena_finish(&arena);
	free_group(group);
}

/* ---- children ---- */

static struct child *create_child(struct group *group, size_t count)
{
	struct child *child = malloc(sizeof(*child) + count * sizeof(child->part[0]));

	if (!child)
		return NULL;
	child->group = group;
	child->req = NULL;
	child->count = count;
	list_push(&group->children, &child->link);
	return child;
}

static void fail_child(struct child *child, int error)
{
	shard_result result = {.error = error, .message = shard_strerror(error), .node = "", .slot = -1};

	child_done(child, &result);
}

static void start_child(struct child *child, struct shard_request *req)
{
	struct group *group = child->group;
	shard_client *client = group->self.client;
	uint64_t now = loop_now(&client->loop);
	uint32_t keep = SHARD_REPLICA | SHARD_IDEMPOTENT | SHARD_ONCE | SHARD_RETRY_NOREPLICAS | SHARD_NO_DEADLINE;

	child->req = req;
	req->item.raw = group->raw;
	req->callback = child_done;
	req->ctx = child;
	req->group = group;
	request_traits(req, req->flags | REQ_INTERNAL | REQ_NEEDS_MAP | (group->self.flags & keep), group->command,
		       group->argc, group->argv, group->argvlen);
	if (group->self.deadline == UINT64_MAX)
		request_start(req, 0);
	else
		request_start(req, group->self.deadline > now ? (unsigned)(group->self.deadline - now) : 1);
}

static int word_of(const struct group *group, size_t part)
{
	return group->range.first + (int)part * group->range.step;
}

/* "MGET", then the child's keys, each with what belongs to it. */
static void start_split_child(struct child *child)
{
	struct group *group = child->group;
	size_t step = (size_t)group->range.step, size = resp_word_size(group->argvlen[0]);
	struct shard_request *req;
	char *at;

	size += resp_header_size(1 + child->count * step);
	for (size_t i = 0; i < child->count; i++)
		for (size_t k = 0; k < step; k++)
			size += resp_word_size(group->argvlen[word_of(group, child->part[i]) + (int)k]);
	req = request_create(group->self.client, size);
	if (!req) {
		fail_child(child, SHARD_ENOMEM);
		return;
	}
	at = resp_header_write(request_bytes(req), 1 + child->count * step);
	at = resp_word_write(at, group->argv[0], group->argvlen[0]);
	for (size_t i = 0; i < child->count; i++) {
		int word = word_of(group, child->part[i]);

		for (size_t k = 0; k < step; k++, word++)
			at = resp_word_write(at, group->argv[word], group->argvlen[word]);
	}
	req->slot = group->part[child->part[0]].place.slot;
	req->hash = group->part[child->part[0]].place.hash;
	req->policy.splittable = child->count > 1;
	start_child(child, req);
}

static shard_reply_type expected_type(const struct group *group)
{
	if (!strcmp(group->command->name, "mget"))
		return SHARD_REPLY_ARRAY;
	return strcmp(group->command->name, "mset") ? SHARD_REPLY_INTEGER : SHARD_REPLY_STATUS;
}

/* Whether the child's reply is an array of so many strings, which become its parts' own. */
static bool cut_raw(struct child *child, const shard_reply *reply)
{
	struct group *group = child->group;
	struct raw_reply *raw = malloc(sizeof(*raw) + reply->len);
	size_t at = resp_header_size(child->count);
	char head[32];

	if (!raw)
		return false;
	raw->next = group->raws;
	group->raws = raw;
	memcpy(raw->bytes, reply->str, reply->len);
	resp_header_write(head, child->count);
	if (reply->len < at || memcmp(raw->bytes, head, at))
		return false;
	for (size_t i = 0; i < child->count; i++) {
		struct resp_frame frame;

		resp_frame_begin(&frame);
		if (resp_frame_scan(&frame, raw->bytes + at, reply->len - at, SIZE_MAX) != FRAME_WHOLE)
			return false;
		group->part[child->part[i]].raw =
			(shard_reply){.type = SHARD_REPLY_RAW, .len = frame.at, .str = raw->bytes + at};
		at += frame.at;
	}
	return at == reply->len;
}

static void split_raw_reply(struct child *child, const shard_reply *reply)
{
	bool ok = cut_raw(child, reply);

	for (size_t i = 0; i < child->count && !ok; i++) {
		struct part *part = &child->group->part[child->part[i]];

		part->error = SHARD_EPROTOCOL;
		part->message = strdup("the reply is not one for these keys");
	}
}

static void split_reply(struct child *child, const shard_result *result)
{
	struct group *group = child->group;
	const shard_reply *reply = result->reply;
	bool ok = result->error == SHARD_OK, each = ok && reply->type == SHARD_REPLY_ARRAY;

	for (size_t i = 0; i < child->count; i++) {
		const shard_reply *own = each && i < reply->len ? &reply->element[i] : reply;
		struct part *part = &group->part[child->part[i]];

		if (ok && (reply->type != expected_type(group) || (each && reply->len != child->count))) {
			part->error = SHARD_EPROTOCOL;
			part->message = strdup("the reply is not one for these keys");
			continue;
		}
		set_part(part, result, own);
	}
	if (result->error == SHARD_OK && reply->type == SHARD_REPLY_INTEGER)
		group->sum = aggregate_sum(group->sum, reply->integer);
}

static void child_done(void *ctx, const shard_result *result)
{
	struct child *child = ctx;
	struct group *group = child->group;

	if (group->raw && result->error == SHARD_OK)
		split_raw_reply(child, result->reply);
	else if (group->kind == GROUP_SPLIT)
		split_reply(child, result);
	else
		set_part(&group->part[child->part[0]], result, result->reply);
	list_remove(&child->link);
	free(child);
	/* While children are still being started the group holds itself. */
	if (group->started && list_empty(&group->children))
		finish(group);
}

void group_resplit(struct shard_request *req)
{
	struct child *child = req->ctx;
	struct group *group = child->group;

	timer_stop(&req->timer);
	request_free(req);
	for (size_t i = 0; i < child->count; i++) {
		struct child *own = create_child(group, 1);

		if (!own) {
			group->part[child->part[i]].error = SHARD_ENOMEM;
			continue;
		}
		own->part[0] = child->part[i];
		start_split_child(own);
	}
	list_remove(&child->link);
	free(child);
	if (list_empty(&group->children))
		finish(group);
}

/* ---- starting ---- */

struct key_place {
	int slot;
	size_t part;
};

static int by_slot(const void *a, const void *b)
{
	const struct key_place *x = a, *y = b;

	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	return x->part < y->part ? -1 : x->part > y->part;
}

static bool keys_alone(const struct group *group)
{
	return (group->self.flags & SHARD_PARTS) && strcmp(group->command->name, "mget") &&
	       strcmp(group->command->name, "mset");
}

static bool start_split(struct group *group)
{
	struct key_place *place = malloc(group->count * sizeof(*place));
	bool alone = keys_alone(group), whole = group->self.client->single && !alone;

	if (!place)
		return false;
	for (size_t i = 0; i < group->count; i++) {
		int word = word_of(group, i);

		group->part[i].place = client_place(group->self.client, group->argv[word], group->argvlen[word]);
		place[i] = (struct key_place){.slot = whole ? 0 : group->part[i].place.slot, .part = i};
	}
	if (!alone && !whole)
		qsort(place, group->count, sizeof(*place), by_slot);
	for (size_t i = 0, n; i < group->count; i += n) {
		struct child *child;

		for (n = 1; !alone && i + n < group->count && place[i + n].slot == place[i].slot; n++)
			;
		child = create_child(group, n);
		if (!child) {
			free(place);
			return false;
		}
		for (size_t k = 0; k < n; k++)
			child->part[k] = place[i + k].part;
	}
	free(place);
	for (struct list *l = group->children.next, *next; l != &group->children; l = next) {
		next = l->next;
		start_split_child(list_entry(l, struct child, link));
	}
	return true;
}

static bool takes_part(const struct group *group, size_t index)
{
	const shard_client *client = group->self.client;
	const shard_node *node = shard_topology_node(client->topology, index);

	if (!client->node_of[index] || node->flags & (SHARD_NODE_FAIL | SHARD_NODE_HANDSHAKE))
		return false;
	return group->all_nodes || (node->flags & SHARD_NODE_MASTER);
}

static int first_slot_of(shard_client *client, size_t index)
{
	for (int slot = 0; slot < SHARD_SLOTS; slot++)
		if (client->owners[slot] == index)
			return slot;
	return -1;
}

static void start_node_child(struct child *child, size_t index)
{
	struct group *group = child->group;
	shard_client *client = group->self.client;
	struct shard_request *req =
		request_create(client, resp_command_size(group->argc, group->argv, group->argvlen));

	if (!req) {
		fail_child(child, SHARD_ENOMEM);
		return;
	}
	resp_command_write(request_bytes(req), group->argc, group->argv, group->argvlen);
	/* A command for "all shards" means whoever owns these slots, through a failover too. */
	if (group->aggregate && !group->all_nodes && client_has_slots(client))
		req->slot = first_slot_of(client, index);
	if (req->slot < 0) {
		req->flags |= REQ_FIXED | SHARD_ONCE;
		req->node = client->node_of[index];
		node_ref(req->node);
	}
	start_child(child, req);
}

static bool start_each(struct group *group)
{
	shard_client *client = group->self.client;
	size_t nodes = client->node_of_count, n = 0;

	for (size_t i = 0; i < nodes; i++)
		n += takes_part(group, i);
	if (!make_parts(group, n))
		return false;
	for (size_t i = 0; i < n; i++) {
		struct child *child = create_child(group, 1);

		if (!child)
			return false;
		child->part[0] = i;
	}
	n = 0;
	for (size_t i = 0; i < nodes; i++) {
		struct list *l = group->children.next;

		if (!takes_part(group, i))
			continue;
		/* Children end no sooner than the next tick, but where memory is short: look for this one. */
		while (l != &group->children && list_entry(l, struct child, link)->part[0] != n)
			l = l->next;
		if (l != &group->children)
			start_node_child(list_entry(l, struct child, link), i);
		n++;
	}
	return true;
}

static void fail(struct group *group, int error, const char *why)
{
	while (!list_empty(&group->children)) {
		struct child *child = list_entry(list_pop(&group->children), struct child, link);

		free(child);
	}
	timer_stop(&group->self.timer);
	list_remove(&group->link);
	if (why)
		group->self.cause = strdup(why);
	group->self.state = STATE_ENDED;
	group->self.end_error = (uint8_t)error;
	list_push(&group->self.client->ended, &group->self.end_link);
	client_touched(group->self.client);
}

/* Memory ran out half-way: what is on its way is waited for. */
static void drop_unstarted(struct group *group)
{
	for (struct list *l = group->children.next, *next; l != &group->children; l = next) {
		struct child *child = list_entry(l, struct child, link);

		next = l->next;
		if (child->req)
			continue;
		for (size_t i = 0; i < child->count; i++)
			group->part[child->part[i]].error = SHARD_ENOMEM;
		list_remove(&child->link);
		free(child);
	}
}

static void start(struct group *group)
{
	bool ok = group->kind == GROUP_SPLIT ? start_split(group) : start_each(group);

	group->started = true;
	if (!ok)
		drop_unstarted(group);
	if (ok && group->kind == GROUP_EACH && !group->count)
		fail(group, SHARD_ENOROUTE, "the map has no such node");
	else if (list_empty(&group->children))
		fail(group, SHARD_ENOMEM, NULL);
}

static void group_expired(struct timer *timer)
{
	struct group *group = list_entry(timer, struct group, self.timer);
	const shard_client *client = group->self.client;

	fail(group, client->ever_up ? SHARD_ENOROUTE : SHARD_ECONNECT,
	     client->refresh_why ? client->refresh_why : "no map of the cluster in time");
}

static void begin(struct group *group, shard_request **handle)
{
	shard_client *client = group->self.client;

	client->pending++;
	if (handle)
		*handle = &group->self;
	if (map_known(client)) {
		start(group);
		return;
	}
	list_push(&client->group_waiting, &group->link);
	if (group->self.deadline != UINT64_MAX)
		timer_start(&client->loop.wheel, &group->self.timer, group->self.deadline);
	map_wanted(client);
	client_touched(client);
}

void group_map_known(shard_client *client)
{
	while (!list_empty(&client->group_waiting)) {
		struct group *group = list_entry(list_pop(&client->group_waiting), struct group, link);

		timer_stop(&group->self.timer);
		start(group);
	}
}

void group_fail_waiting(shard_client *client, int error, const char *why)
{
	while (!list_empty(&client->group_waiting))
		fail(list_entry(list_pop(&client->group_waiting), struct group, link), error, why);
}

void group_cancel(struct shard_request *handle)
{
	struct group *group = handle->group;

	if (handle->state == STATE_ENDED)
		return;
	if (!group->started) {
		fail(group, SHARD_ECANCELED, NULL);
		return;
	}
	for (struct list *l = group->children.next; l != &group->children; l = l->next)
		shard_cancel(handle->client, list_entry(l, struct child, link)->req);
}

void group_free(struct group *group)
{
	free(group->self.cause);
	free_group(group);
}

/* ---- the two kinds ---- */

int group_split(shard_client *client, const shard_command *command, const shard_key_range *range, int argc,
		const char *const argv[], const size_t argvlen[], const shard_call *how, shard_callback callback,
		void *ctx, shard_request **handle)
{
	struct group *group = create(client, command, GROUP_SPLIT, argc, argv, argvlen, how, callback, ctx);

	if (!group)
		return SHARD_ENOMEM;
	group->range = *range;
	group->raw = group->self.flags & SHARD_RAW && !strcmp(command->name, "mget");
	if (!make_parts(group, (size_t)((range->last - range->first) / range->step) + 1)) {
		free_group(group);
		return SHARD_ENOMEM;
	}
	begin(group, handle);
	return SHARD_OK;
}

int group_each(shard_client *client, const shard_command *command, bool all_nodes, bool aggregate_them, int argc,
	       const char *const argv[], const size_t argvlen[], const shard_call *how, shard_callback callback,
	       void *ctx, shard_request **handle)
{
	struct group *group = create(client, command, GROUP_EACH, argc, argv, argvlen, how, callback, ctx);

	if (!group)
		return SHARD_ENOMEM;
	group->all_nodes = all_nodes;
	group->aggregate = aggregate_them;
	begin(group, handle);
	return SHARD_OK;
}
