/* SPDX-License-Identifier: MIT */
/*
 * A fake cluster that really stores, moves its slots, and fails at random in
 * every way that the rules know, while a deep pipeline runs. At the end:
 * every request was answered once, with its own answer; no INCR was executed
 * twice; nothing failed but INCRs whose connection broke, with "unknown".
 *
 * CHAOS_SEED: the first round's seed (each round says its own when it fails);
 * CHAOS_ROUNDS: how many; 5.
 */
#include "scripted.h"

#define MEMBERS 4
#define KEYS 24
#define DEPTH 40
#define REQUESTS 600

/* A key: its slot, who owns it, to whom it is being moved. */
struct key {
	char name[8];
	unsigned slot;
	int owner, target; /* target -1: not being moved */
	bool moved;        /* the key itself is at its target */
	int value;         /* of SET; 0: none */
	int counter;       /* of INCR */
	/* What the client was told. */
	int written;       /* the last SET that was acknowledged */
	int writing;       /* the one under way, or that ended unknown */
	bool busy;
	int acked, unknown;
	bool seen[REQUESTS + 1];
};

struct request {
	struct key *key[3];
	int at_least[3];
	char name[8];
	int value;
};

static struct key keys[KEYS];
static unsigned asked_connection[NODES];
static unsigned fault; /* of 1000 commands */
static uint64_t seed;
static unsigned open_requests, faults;

static unsigned dice(unsigned sides)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned)((seed >> 33) % sides);
}

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...)
{
	va_list args;
	char *reply;

	va_start(args, format);
	if (vasprintf(&reply, format, args) < 0)
		reply = NULL;
	va_end(args);
	return reply;
}

/* ---- the cluster ---- */

static struct key *key_named(const char *name)
{
	return name[0] == 'k' && atoi(name + 1) < KEYS ? &keys[atoi(name + 1)] : NULL;
}

static void move_something(void)
{
	struct key *key = &keys[dice(KEYS)];

	if (key->target < 0 && dice(2)) {
		key->owner = (int)dice(MEMBERS); /* at once, as after a failover */
	} else if (key->target < 0) {
		key->target = (int)dice(MEMBERS);
		key->moved = false;
		if (key->target == key->owner)
			key->target = -1;
	} else if (!key->moved) {
		key->moved = true;
	} else {
		key->owner = key->target;
		key->target = -1;
	}
}

static char *cluster_layout(void)
{
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	for (int i = 0; i < MEMBERS; i++)
		fprintf(file, "%d-%d n%d;", i * 4096, i * 4096 + 4095, i);
	for (int i = 0; i < KEYS; i++)
		fprintf(file, "%u-%u n%d;", keys[i].slot, keys[i].slot, keys[i].owner);
	fclose(file);
	return out;
}

static char *cluster_slots(void)
{
	char *line = cluster_layout(), *reply = strdup(slots(line));

	free(line);
	return reply;
}

/* The parts of an MGET: one slot a key, but a key may come twice. */
static char *give_all(const struct command *command)
{
	char *out = NULL;
	size_t size;
	FILE *file = open_memstream(&out, &size);

	fprintf(file, "*%d\r\n", words(command) - 1);
	for (int i = 1; i < words(command); i++) {
		struct key *key = key_named(word(command, i));

		if (key->value)
			fprintf(file, "+%s:%d\r\n", key->name, key->value);
		else
			fprintf(file, "$-1\r\n");
	}
	fclose(file);
	return out;
}

static char *execute(const struct command *command)
{
	const char *name = word(command, 0);
	struct key *key = key_named(word(command, 1));

	if (strcmp(name, "INCR") == 0)
		return text(":%d\r\n", ++key->counter);
	if (strcmp(name, "SET") == 0) {
		key->value = atoi(strchr(word(command, 2), ':') + 1);
		return strdup("+OK\r\n");
	}
	if (strcmp(name, "MGET") == 0)
		return give_all(command);
	return key->value ? text("+%s:%d\r\n", key->name, key->value) : strdup("$-1\r\n");
}

/* Whether this one fails, and how. */
static bool fails(const struct command *command, char **reply)
{
	char *whole;

	if (dice(1000) >= fault)
		return false;
	faults++;
	switch (dice(7)) {
	case 0: /* the connection breaks before it is executed */
		*reply = NULL;
		return true;
	case 1: /* or after */
		free(execute(command));
		*reply = NULL;
		return true;
	case 2: /* or in the middle of the answer */
		whole = execute(command);
		interject(command, whole, dice((unsigned)strlen(whole)));
		free(whole);
		*reply = NULL;
		return true;
	case 3:
		*reply = strdup("-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
		return true;
	case 4:
		*reply = strdup("-CLUSTERDOWN The cluster is down\r\n");
		return true;
	case 5:
		*reply = strdup("-LOADING Redis is loading the dataset in memory\r\n");
		return true;
	default: /* a redirect to a node that knows better, or does not */
		*reply = text("-MOVED %u 127.0.0.1:%d\r\n", key_named(word(command, 1))->slot,
			      port((struct node *[]){n0, n1, n2, n3}[dice(MEMBERS)]));
		return true;
	}
}

static char *member(void *ctx, struct node *node, const struct command *command)
{
	static char *stale;
	struct node *members[] = {n0, n1, n2, n3};
	int me = number(node);
	const char *name = word(command, 0);
	struct key *key = key_named(word(command, 1));
	bool asked = asked_connection[me] == connection_of(command);
	char *reply;

	if (strcmp(name, "CLUSTER") == 0) {
		if (stale && dice(3) == 0)
			return stale[0] ? strdup(stale) : cluster_slots();
		free(stale);
		stale = cluster_slots();
		return strdup(stale);
	}
	if (dice(8) == 0)
		return not_yet;
	if (dice(12) == 0)
		move_something();
	asked_connection[me] = 0;
	if (strcmp(name, "ASKING") == 0) {
		asked_connection[me] = connection_of(command);
		return strdup("+OK\r\n");
	}
	if (!key)
		return strdup("-ERR what is this\r\n");
	if (key->owner == me && key->target >= 0 && key->moved)
		return text("-ASK %u 127.0.0.1:%d\r\n", key->slot, port(members[key->target]));
	if (key->owner != me && !(asked && key->target == me))
		return text("-MOVED %u 127.0.0.1:%d\r\n", key->slot, port(members[key->owner]));
	/* An importing node that was asked has the key, or takes a new one. */
	if (key->owner != me && !key->moved)
		key->moved = true;
	return fails(command, &reply) ? reply : execute(command);
}

/* ---- the client's side ---- */

static void check_value(struct request *request, int i, const shard_reply *reply)
{
	struct key *key = request->key[i];
	int value;

	if (reply->type == SHARD_REPLY_NIL) {
		check(request->at_least[i] == 0, "%s lost %d", key->name, request->at_least[i]);
		return;
	}
	check(strncmp(reply->str, key->name, strlen(key->name)) == 0 && reply->str[strlen(key->name)] == ':',
	      "%s has the value %s", key->name, reply->str);
	value = atoi(reply->str + strlen(key->name) + 1);
	check(value >= request->at_least[i] && value <= key->writing, "%s is %d, of %d to %d", key->name, value,
	      request->at_least[i], key->writing);
}

static void check_answer(struct ask *done)
{
	struct request *request = done->ctx;
	struct key *key = request->key[0];

	if (strcmp(request->name, "INCR") == 0 && done->error == SHARD_EUNKNOWN) {
		key->unknown++;
		return;
	}
	check(done->error == SHARD_OK, "%s: %s", done->text, said(done));
	if (strcmp(request->name, "INCR") == 0) {
		check(done->reply->integer >= 1 && done->reply->integer <= REQUESTS && !key->seen[done->reply->integer],
		      "%s: %lld comes twice", key->name, done->reply->integer);
		key->seen[done->reply->integer] = true;
		key->acked++;
	} else if (strcmp(request->name, "SET") == 0) {
		key->written = request->value;
		key->busy = false;
	} else if (strcmp(request->name, "GET") == 0) {
		check_value(request, 0, done->reply);
	} else {
		check(done->reply->len == 3, "%s", said(done));
		for (int i = 0; i < 3; i++)
			check_value(request, i, &done->reply->element[i]);
	}
}

static void answered(struct ask *done)
{
	open_requests--;
}

static struct ask *submit_something(struct request *request)
{
	struct ask *sent;
	char value[32];

	for (int i = 0; i < 3; i++) {
		request->key[i] = &keys[dice(KEYS)];
		request->at_least[i] = request->key[i]->written;
	}
	snprintf(request->name, sizeof(request->name), "%s", (const char *[]){"INCR", "SET", "GET", "MGET"}[dice(4)]);
	if (strcmp(request->name, "SET") == 0 && request->key[0]->busy)
		strcpy(request->name, "GET");
	if (strcmp(request->name, "SET") == 0) {
		request->key[0]->busy = true;
		request->value = ++request->key[0]->writing;
		snprintf(value, sizeof(value), "%s:%d", request->key[0]->name, request->value);
		sent = ask("SET", request->key[0]->name, value);
	} else if (strcmp(request->name, "MGET") == 0) {
		sent = ask("MGET", request->key[0]->name, request->key[1]->name, request->key[2]->name);
	} else {
		sent = ask(request->name, request->key[0]->name);
	}
	sent->then = answered;
	sent->ctx = request;
	open_requests++;
	return sent;
}

static void cluster_init(void)
{
	memset(keys, 0, sizeof(keys));
	memset(asked_connection, 0, sizeof(asked_connection));
	for (int i = 0; i < KEYS; i++) {
		snprintf(keys[i].name, sizeof(keys[i].name), "k%d", i);
		keys[i].slot = shard_slot(keys[i].name, strlen(keys[i].name));
		keys[i].owner = (int)(keys[i].slot / 4096);
		keys[i].target = -1;
	}
}

static void play(void)
{
	static struct request requests[REQUESTS];
	struct ask *sent[REQUESTS];
	uint64_t end = now_ms() + 60000;
	unsigned lost = 0;

	cluster_init();
	open_requests = faults = 0;
	on_call(NULL, "", member, NULL);
	options.timeout_ms = 60000;
	start("0-4095 n0; 4096-8191 n1; 8192-12287 n2; 12288-16383 n3");
	for (int next = 0, checked = 0; checked < REQUESTS; turn(1)) {
		while (next < REQUESTS && open_requests < DEPTH) {
			sent[next] = submit_something(&requests[next]);
			next++;
		}
		for (; checked < next && sent[checked]->calls; checked++)
			check_answer(sent[checked]);
		check(now_ms() < end, "request %d is still open: %s %s", checked, sent[checked]->text, said(sent[checked]));
	}
	for (int i = 0; i < KEYS; i++) {
		check(keys[i].counter >= keys[i].acked && keys[i].counter <= keys[i].acked + keys[i].unknown,
		      "%s was counted %d times: %d acknowledged, %d unknown", keys[i].name, keys[i].counter, keys[i].acked,
		      keys[i].unknown);
		lost += (unsigned)keys[i].unknown;
	}
	printf("%u faults, %u unknown\n", faults, lost);
}

static unsigned rounds(void)
{
	const char *count = getenv("CHAOS_ROUNDS");

	return count ? (unsigned)atoi(count) : 5;
}

static void play_all(unsigned per_mille)
{
	const char *first = getenv("CHAOS_SEED");
	uint64_t from = first ? strtoull(first, NULL, 10) : 1;

	fault = per_mille;
	for (uint64_t round = from; round < from + rounds(); round++) {
		note("---- CHAOS_SEED=%llu", (unsigned long long)round);
		seed = round * 0x9e3779b97f4a7c15u | 1;
		printf("seed %llu, %u of 1000: ", (unsigned long long)round, per_mille);
		play();
		world_teardown(NULL);
		world_setup(NULL);
	}
}

static void moving_slots(void **state)
{
	play_all(0);
}

static void moving_slots_and_few_faults(void **state)
{
	play_all(10);
}

static void moving_slots_and_many_faults(void **state)
{
	play_all(100);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(moving_slots),
		scripted(moving_slots_and_few_faults),
		scripted(moving_slots_and_many_faults),
	};
	return run(tests);
}
