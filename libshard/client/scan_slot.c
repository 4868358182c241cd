/* SPDX-License-Identifier: MIT */
/*
 * Listing slot by slot: CLUSTER GETKEYSINSLOT, many slots ahead, over all
 * nodes at once.
 *
 * A slot's owner is asked for its keys and then about a key that is not there.
 * Its answer to that tells whether the keys were all: it owns the slot (nil),
 * does not own it (MOVED), or is giving it away (ASK). Then the node that is
 * importing it is asked, too, and what both have is the slot: a key leaves the
 * first only after it came to the second.
 *
 * Slots take their turns in the order of their numbers' bits reversed, so that
 * neighbours in time are far apart in number, and all nodes have work.
 */
#include "client/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pure/glob.h"

#define KEYS_MAX 16384   /* of a slot; the answer holds its node up for some 8 ms */
#define KEYS_MIN 64      /* to ask for */
#define AHEAD_KEYS 16384 /* what all jobs together may bring */
#define JOBS_MAX 512
#define HOPS_MAX 5 /* redirects of one job without a pause */

enum job_state { JOB_IDLE, JOB_ASKED, JOB_READY };

/* What the answers to one job mean together: the greatest of them. */
enum outcome {
	OUTCOME_WHOLE, /* these are the slot's keys */
	OUTCOME_ASK,   /* some may be at `to` */
	OUTCOME_MOVED, /* the slot is `to`'s */
	OUTCOME_FULL,  /* there may be more than were asked for */
	OUTCOME_RETRY,
	OUTCOME_REFUSED,
	OUTCOME_FAILED
};

struct job {
	struct list link; /* in walk->jobs */
	shard_scan *scan; /* NULL: given up, the last answer frees it */
	shard_request *req[2];
	unsigned turn, slot;
	unsigned count;   /* keys asked for */
	uint64_t give_up; /* ms; 0: not begun */
	enum job_state state;
	enum outcome outcome;
	unsigned answers; /* to come */
	unsigned hops;
	bool counting;                         /* only how many keys it has is asked */
	bool large;                            /* may bring more than its share */
	bool importing;                        /* `owner` has answered; its importing node is asked now */
	struct client_node *node, *owner, *to; /* each with a reference, or NULL */
	shard_reply *part[2];                  /* keys: the owner's, the importing node's */
	int error;                             /* the cause of OUTCOME_RETRY and FAILED */
	char *message;
};

/* ---- the walk ---- */

void slot_walk_init(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;

	list_init(&walk->jobs);
	walk->usual = KEYS_MIN / 2 * 16;
	walk->only = scan->match ? glob_slot(scan->match, scan->match_len) : -1;
}

void slot_walk_from(struct shard_scan *scan, uint64_t place)
{
	struct slot_walk *walk = &scan->walk;

	slot_walk_drop(scan);
	if (!place) {
		memset(&walk->listed, 0, sizeof(walk->listed));
		memset(&walk->left, 0, sizeof(walk->left));
		walk->left_count = 0;
		walk->refused = false;
	}
	walk->from = place;
	walk->next = place >> PLACE_HASH_BITS < SHARD_SLOTS ? (unsigned)(place >> PLACE_HASH_BITS) : SHARD_SLOTS;
	walk->counted = 0;
}

static void leave_to_scan(struct slot_walk *walk, unsigned slot)
{
	if (slot_in(&walk->left, slot) || slot_in(&walk->listed, slot))
		return;
	slot_add(&walk->left, slot);
	walk->left_count++;
}

/* ---- jobs ---- */

static void set_node(struct client_node **at, struct client_node *node)
{
	if (node)
		node_ref(node);
	node_unref(*at);
	*at = node;
}

static void drop_parts(struct job *job)
{
	for (int i = 0; i < 2; i++) {
		shard_reply_free(job->part[i]);
		job->part[i] = NULL;
	}
}

static void free_job(struct job *job)
{
	drop_parts(job);
	set_node(&job->node, NULL);
	set_node(&job->owner, NULL);
	set_node(&job->to, NULL);
	free(job->message);
	free(job);
}

static void set_state(struct job *job, enum job_state state)
{
	job->scan->walk.idle += (state == JOB_IDLE) - (job->state == JOB_IDLE);
	job->state = state;
}

static void remove_job(struct job *job)
{
	struct slot_walk *walk = &job->scan->walk;

	set_state(job, JOB_READY);
	list_remove(&job->link);
	walk->count--;
	walk->large &= !job->large;
	if (!job->answers) {
		free_job(job);
		return;
	}
	for (int i = 0; i < 2; i++)
		if (job->req[i] && !job->scan->client->destroying)
			shard_cancel(job->scan->client, job->req[i]);
	job->scan = NULL;
}

void slot_walk_drop(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;

	while (!list_empty(&walk->jobs))
		remove_job(list_entry(walk->jobs.next, struct job, link));
	shard_timer_cancel(walk->timer);
	walk->timer = NULL;
}

/* ---- what the answers mean ---- */

static void note(struct job *job, enum outcome outcome)
{
	if (outcome > job->outcome)
		job->outcome = outcome;
}

static void note_failure(struct job *job, enum outcome outcome, int error, const char *message)
{
	if (outcome <= job->outcome)
		return;
	job->outcome = outcome;
	job->error = error;
	free(job->message);
	job->message = strdup(message);
}

/* What cannot be had from a slot, SCAN may have; its error is then the right one to report. */
static void note_error(struct job *job, const shard_result *result, enum outcome refusal)
{
	if (scan_may_pass(result))
		note_failure(job, OUTCOME_RETRY,
			     shard_reply_is_error(result->reply, "CLUSTERDOWN") ? SHARD_ENOROUTE : result->error,
			     result->message);
	else if (result->error == SHARD_ESERVER)
		note_failure(job, refusal, result->error, result->message);
	else
		note_failure(job, OUTCOME_FAILED, result->error, result->message);
}

static void note_nonsense(struct job *job, const char *node, const char *what)
{
	char text[400];

	snprintf(text, sizeof(text), "%s: CLUSTER GETKEYSINSLOT %u: %s", node, job->slot, what);
	note_failure(job, OUTCOME_FAILED, SHARD_EPROTOCOL, text);
}

/* What is wrong with the answer, or NULL. */
static const char *nonsense(const struct job *job, const shard_reply *reply)
{
	if (job->counting)
		return reply->type == SHARD_REPLY_INTEGER ? NULL : "its COUNTKEYSINSLOT is no number";
	if (reply->type != SHARD_REPLY_ARRAY)
		return "the reply is no array";
	for (size_t i = 0; i < reply->len; i++) {
		const shard_reply *key = &reply->element[i];

		if (key->type != SHARD_REPLY_STRING)
			return "a key is no string";
		if (shard_slot(key->str, key->len) != job->slot)
			return "a key is of another slot";
	}
	return NULL;
}

static void take_keys(struct job *job, const shard_reply *reply)
{
	if (job->counting) {
		note(job, reply->integer > KEYS_MAX ? OUTCOME_FULL : OUTCOME_WHOLE);
		return;
	}
	if (reply->len >= job->count) {
		note(job, OUTCOME_FULL);
		return;
	}
	shard_reply_free(job->part[job->importing]);
	job->part[job->importing] = shard_reply_copy(reply);
	if (!job->part[job->importing])
		note_failure(job, OUTCOME_FAILED, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
}

static void judge(struct job *job);

/* False: nobody waits for the job any more. */
static bool answer_came(struct job *job, int which)
{
	job->req[which] = NULL;
	job->answers--;
	if (job->scan)
		return true;
	if (!job->answers)
		free_job(job);
	return false;
}

static void keys_came(void *ctx, const shard_result *result)
{
	struct job *job = ctx;
	const char *why;

	if (!answer_came(job, 0))
		return;
	if (result->error) {
		note_error(job, result, OUTCOME_REFUSED);
	} else {
		why = nonsense(job, result->reply);
		if (why)
			note_nonsense(job, result->node, why);
		else
			take_keys(job, result->reply);
	}
	if (!job->answers)
		judge(job);
}

static void note_redirect(struct job *job, struct policy_redirect *redirect)
{
	struct client_node *to = node_by_redirect(job->node, redirect);

	if (!to) {
		note_failure(job, OUTCOME_FAILED, SHARD_ENOMEM, shard_strerror(SHARD_ENOMEM));
		return;
	}
	/* That the slot is the other one's is what a node says that is importing it from there. */
	if (job->importing && redirect->kind == REDIRECT_MOVED && to == job->owner)
		return;
	set_node(&job->to, to);
	note(job, redirect->kind == REDIRECT_MOVED ? OUTCOME_MOVED : OUTCOME_ASK);
}

static void check_came(void *ctx, const shard_result *result)
{
	struct policy_redirect redirect = {.kind = REDIRECT_NONE};
	struct job *job = ctx;

	if (!answer_came(job, 1))
		return;
	if (result->error == SHARD_ESERVER)
		policy_parse_redirect(result->reply->str, result->reply->len, &redirect);
	if (redirect.kind == REDIRECT_MOVED || redirect.kind == REDIRECT_ASK)
		note_redirect(job, &redirect);
	else if (result->error)
		/* Who may not ask has to believe. */
		note_error(job, result, OUTCOME_WHOLE);
	if (!job->answers)
		judge(job);
}

/* ---- asking ---- */

static int submit(struct job *job, int which, int argc, const char *const argv[], const size_t argvlen[])
{
	shard_client *client = job->scan->client;
	uint64_t now = loop_now(&client->loop);
	shard_call how = {.node = job->node->addr, .timeout_ms = client->timeout_ms};
	int error;

	if (job->give_up > now && job->give_up - now < how.timeout_ms)
		how.timeout_ms = (unsigned)(job->give_up - now);
	error = shard_submit(client, argc, argv, argvlen, &how, which ? check_came : keys_came, job, &job->req[which]);
	if (!error)
		job->answers++;
	return error;
}

static int ask_for_keys(struct job *job)
{
	const char *argv[] = {"CLUSTER", job->counting ? "COUNTKEYSINSLOT" : "GETKEYSINSLOT", NULL, NULL};
	size_t argvlen[] = {7, strlen(argv[1]), 0, 0};
	char slot[12], count[12];

	argv[2] = slot;
	argv[3] = count;
	argvlen[2] = (size_t)snprintf(slot, sizeof(slot), "%u", job->slot);
	argvlen[3] = (size_t)snprintf(count, sizeof(count), "%u", job->count);
	return submit(job, 0, job->counting ? 3 : 4, argv, argvlen);
}

/* MEMORY USAGE, for it neither counts as a miss nor touches a key. */
static int ask_for_check(struct job *job)
{
	char key[SLOT_PROBE_LEN];
	const char *const argv[] = {"MEMORY", "USAGE", key};
	static const size_t argvlen[] = {6, 5, SLOT_PROBE_LEN};

	slot_probe_key(job->slot, key);
	return submit(job, 1, 3, argv, argvlen);
}

static void ask(struct job *job, struct client_node *node)
{
	int error;

	set_node(&job->node, node);
	set_state(job, JOB_ASKED);
	job->outcome = OUTCOME_WHOLE;
	error = ask_for_keys(job);
	if (!error && !job->counting)
		error = ask_for_check(job);
	if (error)
		scan_fail(job->scan, error, shard_strerror(error));
}

/* The owner, or NULL; then *NOBODY tells whether there is none, as far as can be known. */
static struct client_node *owner_of(const struct job *job, bool *nobody)
{
	shard_client *client = job->scan->client;
	struct client_node *node = client->topology ? map_owner(client, (int)job->slot) : NULL;

	*nobody = !node && job->scan->walk.looked;
	return node;
}

static bool may_be_asked(const struct job *job)
{
	const struct slot_walk *walk = &job->scan->walk;

	return job->state == JOB_IDLE && !walk->timer && !job->scan->busy && !(job->large && walk->large);
}

static void be_ready(struct job *job)
{
	struct slot_walk *walk = &job->scan->walk;

	set_state(job, JOB_READY);
	if (job->large)
		walk->large = false;
	job->large = false;
	if (job->scan->ordered)
		return;
	list_remove(&job->link);
	list_push(walk->jobs.next, &job->link); /* before the first */
}

static void retry(struct job *job);

static void start(struct job *job)
{
	shard_client *client = job->scan->client;
	bool nobody;
	struct client_node *node = owner_of(job, &nobody);

	job->importing = false;
	drop_parts(job);
	if (!job->give_up)
		job->give_up = loop_now(&client->loop) + client->timeout_ms;
	if (nobody) {
		be_ready(job);
		return;
	}
	if (!node) {
		note_failure(job, OUTCOME_RETRY, SHARD_ENOROUTE, "no map of the cluster tells a slot's owner");
		retry(job);
		return;
	}
	job->scan->walk.large |= job->large;
	set_node(&job->owner, node);
	ask(job, node);
}

/* ---- pauses ---- */

static void map_came(void *ctx, const shard_result *result)
{
	struct shard_scan *scan = ctx;

	scan->busy = false;
	scan->walk.looked |= !result->error;
	if (scan->destroyed)
		scan_free(scan);
	else
		scan_advance(scan);
}

static void pause_over(void *ctx)
{
	struct shard_scan *scan = ctx;

	scan->walk.timer = NULL;
	if (scan->busy)
		return;
	scan->busy = true;
	if (shard_refresh(scan->client, map_came, scan) == SHARD_OK)
		return;
	scan->busy = false;
	scan_no_memory(scan);
}

/* The job is asked again when the map has had time to tell who serves its slot now. */
static void pause_walk(struct job *job)
{
	struct shard_scan *scan = job->scan;
	struct slot_walk *walk = &scan->walk;

	set_state(job, JOB_IDLE);
	job->hops = 0;
	if (job->large)
		walk->large = false;
	if (!walk->timer && !scan->busy)
		walk->timer = shard_timer_add(scan->client, SCAN_RETRY_MS, pause_over, scan);
	if (!walk->timer && !scan->busy)
		scan_no_memory(scan);
}

/* ---- deciding ---- */

static void drop_job(struct job *job)
{
	leave_to_scan(&job->scan->walk, job->slot);
	be_ready(job);
	drop_parts(job);
}

static void fail(struct job *job)
{
	scan_fail(job->scan, job->error, job->message ? job->message : "");
}

static void retry(struct job *job)
{
	if (loop_now(&job->scan->client->loop) >= job->give_up)
		fail(job);
	else
		pause_walk(job);
}

/* A slot that was listed here once is listed here again, however large it has become: SCAN would list it twice. */
static void ask_for_more(struct job *job)
{
	bool too_many = job->count > KEYS_MAX && !slot_in(&job->scan->walk.listed, job->slot);

	if (job->counting || too_many) {
		drop_job(job);
		return;
	}
	job->count = job->count <= KEYS_MAX ? KEYS_MAX + 1 : job->count < UINT32_MAX / 16 ? job->count * 8 : job->count;
	if (job->large)
		job->scan->walk.large = false;
	job->large = true;
	set_state(job, JOB_IDLE);
}

static void go_on_at(struct job *job)
{
	struct client_node *to = job->to;
	bool ask_both = job->outcome == OUTCOME_ASK && !job->importing;

	if (job->outcome == OUTCOME_MOVED && !job->importing)
		map_moved(job->scan->client, job->slot, to);
	if (++job->hops > HOPS_MAX || job->importing) {
		note_failure(job, OUTCOME_RETRY, SHARD_ENOROUTE, "the slot's owner cannot be told");
		retry(job);
		return;
	}
	job->importing = ask_both;
	if (!ask_both)
		set_node(&job->owner, to);
	ask(job, to);
}

static void judge(struct job *job)
{
	struct shard_scan *scan = job->scan;

	switch (job->outcome) {
	case OUTCOME_WHOLE:
		be_ready(job);
		break;
	case OUTCOME_ASK:
	case OUTCOME_MOVED:
		go_on_at(job);
		break;
	case OUTCOME_FULL:
		ask_for_more(job);
		break;
	case OUTCOME_RETRY:
		retry(job);
		break;
	case OUTCOME_REFUSED:
		scan->walk.refused = true;
		if (slot_in(&scan->walk.listed, job->slot))
			fail(job);
		else
			drop_job(job);
		break;
	case OUTCOME_FAILED:
		fail(job);
		break;
	}
	scan_advance(scan);
}

/* ---- asking ahead ---- */

static unsigned usual_count(const struct slot_walk *walk)
{
	unsigned count = walk->usual / 16 * 2 + KEYS_MIN / 2;

	return count < KEYS_MIN ? KEYS_MIN : count > KEYS_MAX ? KEYS_MAX + 1 : count;
}

static size_t window(const struct slot_walk *walk)
{
	size_t jobs = AHEAD_KEYS / usual_count(walk);

	return jobs < 2 ? 2 : jobs > JOBS_MAX ? JOBS_MAX : jobs;
}

static bool add_job(struct shard_scan *scan, unsigned turn, bool counting)
{
	struct slot_walk *walk = &scan->walk;
	struct job *job = calloc(1, sizeof(*job));

	if (!job) {
		scan_no_memory(scan);
		return false;
	}
	job->scan = scan;
	job->turn = turn;
	job->slot = slot_turn(turn);
	job->counting = counting;
	job->count = usual_count(walk);
	list_push(&walk->jobs, &job->link);
	walk->count++;
	walk->idle++;
	return true;
}

/* Whether a job was added. The slots before `from` come last; of them only those that are too large are to be known. */
static bool add_next(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;
	unsigned before = (unsigned)(walk->from >> PLACE_HASH_BITS);

	while (walk->next < SHARD_SLOTS) {
		unsigned slot = slot_turn(walk->next++);

		if (walk->only >= 0 && (int)slot != walk->only)
			continue;
		if (walk->refused)
			leave_to_scan(walk, slot);
		if (!slot_in(&walk->left, slot))
			return add_job(scan, walk->next - 1, false);
	}
	while (walk->counted < before && walk->counted < SHARD_SLOTS) {
		unsigned slot = slot_turn(walk->counted++);

		if (walk->only >= 0 && (int)slot != walk->only)
			continue;
		if (walk->refused)
			leave_to_scan(walk, slot);
		if (!slot_in(&walk->left, slot) && !slot_in(&walk->listed, slot))
			return add_job(scan, walk->counted - 1, true);
	}
	return false;
}

/* Those that were put off, by a pause or for their size. */
static void ask_idle(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;

	for (struct list *l = walk->jobs.next, *next; walk->idle && !scan->error && l != &walk->jobs; l = next) {
		struct job *job = list_entry(l, struct job, link);

		next = l->next;
		if (may_be_asked(job))
			start(job);
	}
}

static void fill(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;

	if (walk->idle && !walk->timer && !scan->busy)
		ask_idle(scan);
	/* Many at once, so that a node gets them with one write. */
	if (walk->count > window(walk) / 2)
		return;
	while (!scan->error && walk->count < window(walk) && add_next(scan)) {
		struct job *job = list_entry(walk->jobs.prev, struct job, link);

		if (may_be_asked(job))
			start(job);
	}
}

/* ---- handing out ---- */

static void learn(struct slot_walk *walk, size_t keys)
{
	unsigned capped = keys > KEYS_MAX ? KEYS_MAX : (unsigned)keys;

	walk->usual += capped - walk->usual / 16;
}

static void hand_out(struct shard_scan *scan, struct job *job)
{
	struct slot_walk *walk = &scan->walk;
	size_t there = (job->part[0] ? job->part[0]->len : 0) + (job->part[1] ? job->part[1]->len : 0);
	shard_scan_batch batch = {.error = SHARD_OK, .message = "", .node = job->owner ? job->owner->addr : ""};
	bool sorted = scan->ordered || job->part[1];

	if (!slot_keys_room(walk, there)) {
		scan_no_memory(scan);
		return;
	}
	if (!job->counting && !slot_in(&walk->left, job->slot)) {
		slot_add(&walk->listed, job->slot);
		learn(walk, there);
	}
	list_remove(&job->link);
	walk->count--;
	batch.count = sorted ? slot_keys_sort(scan, job->turn, job->part) : slot_keys_pick(scan, job->part[0]);
	batch.keys = walk->key;
	batch.place = scan->ordered ? walk->place : NULL;
	if (batch.count)
		scan_deliver(scan, &batch);
	free_job(job);
}

enum scan_step slot_walk_step(struct shard_scan *scan)
{
	struct slot_walk *walk = &scan->walk;
	struct job *first;

	fill(scan);
	if (scan->error)
		return STEP_AGAIN;
	if (list_empty(&walk->jobs))
		return STEP_DONE;
	first = list_entry(walk->jobs.next, struct job, link);
	if (first->state != JOB_READY)
		return STEP_WAIT;
	hand_out(scan, first);
	return STEP_AGAIN;
}
