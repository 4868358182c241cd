/* SPDX-License-Identifier: MIT */
/* Rule 12: the same rules inside a pipeline; every request gets its own answer. */
#include "scripted.h"

static char *echo_key(void *ctx, struct node *node, const struct command *command)
{
	char *reply;

	if (asprintf(&reply, "+%s\r\n", word(command, 1)) < 0)
		return NULL;
	return reply;
}

static void all_nodes_hear_theirs_before_any_has_answered(void **state)
{
	struct ask *get[3];

	start("0-5460 n0; 5461-10922 n1; 10923-16383 n2");
	get[0] = ask("GET", "b");
	get[1] = ask("GET", "c");
	get[2] = ask("GET", "foo");
	expect(n0, "GET", "b");
	expect(n1, "GET", "c");
	expect(n2, "GET", "foo");
	say(n2, "+3\r\n");
	want_status(get[2], "3");
	say(n1, "+2\r\n");
	want_status(get[1], "2");
	say(n0, "+1\r\n");
	want_status(get[0], "1");
}

static void requests_submitted_together_travel_together(void **state)
{
	struct ask *get[200];
	unsigned before;

	start(TWO);
	on(n1, "GET", "+x\r\n");
	get[0] = ask("GET", "foo");
	want_done(get[0]);
	before = reads(n1);
	for (int i = 0; i < 200; i++)
		get[i] = ask("GET", "foo");
	for (int i = 0; i < 200; i++)
		want_status(get[i], "x");
	check(reads(n1) - before <= 3, "200 requests came in %u reads", reads(n1) - before);
	check_count(connections_ever(n1), 1);
}

static void a_thousand_get_their_own_answers_in_order(void **state)
{
	struct ask *get[1000];
	char key[1000][16];
	unsigned last[3] = {0};

	start("0-5460 n0; 5461-10922 n1; 10923-16383 n2");
	on_call(NULL, "GET", echo_key, NULL);
	for (int i = 0; i < 1000; i++) {
		snprintf(key[i], sizeof(key[i]), "key:%d", i);
		get[i] = ask("GET", key[i]);
	}
	for (int i = 0; i < 1000; i++) {
		int part;

		want_status(get[i], key[i]);
		part = get[i]->slot <= 5460 ? 0 : get[i]->slot <= 10922 ? 1 : 2;
		check(get[i]->order > last[part], "%s was called back before an earlier one of its node", key[i]);
		last[part] = get[i]->order;
	}
}

static void every_kind_of_answer_in_one_pipeline(void **state)
{
	static const char *const keys[] = {"{foo}0", "{foo}1", "{foo}2", "{foo}3", "{foo}4",
					   "{foo}5", "{foo}6", "{foo}7", "{foo}8"};
	struct ask *get[9];

	start(TWO);
	layout("0-8191 n0; 8192-12181 n1; 12182-12182 n3; 12183-16383 n1");
	for (int i = 0; i < 9; i++)
		get[i] = ask("GET", keys[i]);
	for (int i = 0; i < 9; i++)
		expect(n1, "GET", keys[i]);
	on(n2, "ASKING", "+OK\r\n");
	on_call(n2, "GET", echo_key, NULL);
	on_call(n3, "GET", echo_key, NULL);
	on_call(n1, "GET", echo_key, NULL);
	say(n1, "$1\r\n0\r\n");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
	say(n1, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n3));
	say(n1, "$-1\r\n");
	say(n1, "-CLUSTERDOWN The cluster is down\r\n");
	say(n1, "-LOADING Redis is loading the dataset in memory\r\n");
	say(n1, "$1\r\n8\r\n");
	want_string(get[0], "0");
	want_status(get[1], keys[1]);
	assert_string_equal(get[1]->node, addr(n2));
	want_server_error(get[2], "WRONGTYPE Operation against a key holding the wrong kind of value");
	want_status(get[3], keys[3]);
	want_status(get[4], keys[4]);
	assert_string_equal(get[4]->node, addr(n3));
	want_nil(get[5]);
	want_status(get[6], keys[6]);
	want_status(get[7], keys[7]);
	want_string(get[8], "8");
}

static void writes_to_a_moved_key_keep_their_order(void **state)
{
	struct ask *set[10];
	char value[10][4];

	start(TWO);
	layout("0-8191 n0; 8192-16383 n2");
	for (int i = 0; i < 10; i++) {
		snprintf(value[i], sizeof(value[i]), "%d", i);
		set[i] = ask("SET", "foo", value[i]);
	}
	for (int i = 0; i < 10; i++)
		expect(n1, "SET", "foo", value[i]);
	for (int i = 0; i < 10; i++)
		say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	for (int i = 0; i < 10; i++) {
		expect(n2, "SET", "foo", value[i]);
		say(n2, "+OK\r\n");
	}
	for (int i = 0; i < 10; i++)
		want_status(set[i], "OK");
}

#define SIX "0-100 n0; 101-200 n2; 201-300 n3; 301-400 n4; 401-500 n5; 501-16383 n1"

/* What was sent to a node is answered by it, even where the map has dropped that node meanwhile. */
static void replies_are_read_by_connection_not_by_the_map(void **state)
{
	struct ask *get[20], *refresh;
	char key[20][16];
	unsigned in_flight = 0;

	for (int round = 0; round < 6; round++) {
		start(SIX);
		/* Somebody else who may be asked for the map. */
		on(NULL, "PING", "+PONG\r\n");
		want_done(ask_flags(SHARD_EACH_MASTER, "PING"));
		for (int i = 0; i < 20; i++) {
			snprintf(key[i], sizeof(key[i]), "{foo}%d", i);
			get[i] = ask("GET", key[i]);
		}
		for (int i = 0; i < 20; i++)
			expect(n1, "GET", key[i]);
		layout("0-16383 n2");
		refresh = ask_refresh();
		/* Where n1 itself was asked, the map stands behind its twenty answers. */
		until(refresh->calls || heard(n1, "CLUSTER SLOTS") > (unsigned)round - in_flight);
		in_flight += refresh->calls;
		for (int i = 0; i < 20; i++)
			say(n1, "+%s\r\n", key[i]);
		for (int i = 0; i < 20; i++)
			want_status(get[i], key[i]);
		want_error(refresh, SHARD_OK);
		check_count(heard(n2, "GET"), round);
		get[0] = ask("GET", "foo");
		expect(n2, "GET", "foo");
		say(n2, "+x\r\n");
		want_status(get[0], "x");
		stop();
	}
	check(in_flight > 0, "the map never changed while requests were in flight");
}

/* The peers' bug: a refresh that is pipelined behind a command which is retried shifts the replies. */
static void a_refresh_behind_a_retried_command_shifts_nothing(void **state)
{
	struct ask *get[6], *refresh;
	static const char *const keys[] = {"b", "bar", "c", "b", "bar", "c"};

	start("0-16383 n0");
	on(n0, "CLUSTER SLOTS", NULL);
	for (int i = 0; i < 3; i++)
		get[i] = ask("GET", keys[i]);
	refresh = ask_refresh();
	for (int i = 3; i < 6; i++)
		get[i] = ask("GET", keys[i]);
	/* In which order the map is asked for does not matter: whatever is heard is answered with its own. */
	on_call(n1, "GET", echo_key, NULL);
	for (int i = 0; i < 3; i++)
		expect(n0, "GET", keys[i]);
	say(n0, "-MOVED 3300 127.0.0.1:%d\r\n", port(n1));
	say(n0, "-CLUSTERDOWN The cluster is down\r\n");
	say(n0, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
	on_call(n0, "GET", echo_key, NULL);
	on(n0, "CLUSTER SLOTS", slots("0-3299 n0; 3300-3300 n1; 3301-16383 n0"));
	for (int i = 0; i < 6; i++)
		want_status(get[i], keys[i]);
	want_error(refresh, SHARD_OK);
}

struct chain {
	unsigned left;
	struct ask *last;
};

static void ask_another(struct ask *done)
{
	struct chain *chain = done->ctx;

	if (chain->left-- == 0)
		return;
	chain->last = ask("GET", "foo");
	chain->last->then = ask_another;
	chain->last->ctx = chain;
}

static void a_callback_may_submit(void **state)
{
	struct chain chain = {.left = 100};
	struct ask *get;

	start(TWO);
	on(n1, "GET", "+x\r\n");
	get = ask("GET", "foo");
	get->then = ask_another;
	get->ctx = &chain;
	until(chain.left == (unsigned)-1);
	check_count(shard_client_pending(client), 0);
}

static void pending_counts_what_is_open(void **state)
{
	struct ask *get, *incr;

	start(TWO);
	check_count(shard_client_pending(client), 0);
	get = ask("GET", "foo");
	incr = ask("INCR", "b");
	check_count(shard_client_pending(client), 2);
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_done(get);
	check_count(shard_client_pending(client), 1);
	expect(n0, "INCR", "b");
	say(n0, ":1\r\n");
	want_done(incr);
	check_count(shard_client_pending(client), 0);
}

/* A node that answers nothing holds nobody else up. */
static void a_slow_node_delays_only_its_own(void **state)
{
	struct ask *slow, *get;

	start(TWO);
	on_call(n0, "GET", echo_key, NULL);
	slow = ask("GET", "foo");
	expect(n1, "GET", "foo");
	for (int i = 0; i < 50; i++) {
		get = ask("GET", "b");
		want_status(get, "b");
		want_took(get, 0, 100);
	}
	want_open(slow);
	say(n1, "+foo\r\n");
	want_status(slow, "foo");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(all_nodes_hear_theirs_before_any_has_answered),
		scripted(requests_submitted_together_travel_together),
		scripted(a_thousand_get_their_own_answers_in_order),
		scripted(every_kind_of_answer_in_one_pipeline),
		scripted(writes_to_a_moved_key_keep_their_order),
		scripted(replies_are_read_by_connection_not_by_the_map),
		scripted(a_refresh_behind_a_retried_command_shifts_nothing),
		scripted(a_callback_may_submit),
		scripted(pending_counts_what_is_open),
		scripted(a_slow_node_delays_only_its_own),
	};
	return run(tests);
}
