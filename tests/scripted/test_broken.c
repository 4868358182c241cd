/* SPDX-License-Identifier: MIT */
/* Rule 8: connections that break, before and after a command was sent. */
#include "scripted.h"

static void a_read_is_sent_again_on_a_new_connection(void **state)
{
	struct ask *get;
	unsigned first;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	first = connection(n1);
	hang_up(n1);
	expect(n1, "GET", "foo");
	check(connection(n1) != first, "the same connection");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void an_idempotent_write_is_sent_again(void **state)
{
	static const char *const commands[][6] = {
		{"SET", "foo", "1", NULL},       {"SET", "foo", "1", "PX", "1000", NULL}, {"SETEX", "foo", "10", "1", NULL},
		{"MSET", "foo", "1", NULL}};

	start(TWO);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ask *set = ask_words(NULL, commands[i], NULL);

		expect_bytes(n1, commands[i], NULL);
		hang_up(n1);
		expect_bytes(n1, commands[i], NULL);
		say(n1, "+OK\r\n");
		want_status(set, "OK");
	}
}

static void what_is_not_idempotent_is_sent_once_and_its_outcome_unknown(void **state)
{
	static const char *const commands[][6] = {
		{"INCR", "foo", NULL},           {"INCRBY", "foo", "5", NULL},         {"APPEND", "foo", "x", NULL},
		{"SET", "foo", "1", "NX", NULL}, {"SET", "foo", "1", "XX", NULL},      {"SET", "foo", "1", "GET", NULL},
		{"SETNX", "foo", "1", NULL},     {"LPUSH", "foo", "1", NULL},          {"LPOP", "foo", NULL},
		{"GETDEL", "foo", NULL},         {"SPOP", "foo", NULL},                {"XADD", "foo", "*", "a", "b", NULL},
		{"GETSET", "foo", "1", NULL},    {"HINCRBY", "foo", "f", "1", NULL},   {"EVAL", "return 1", "1", "foo", NULL},
		{"DEL", "foo", NULL},            {"RENAME", "foo", "{foo}", NULL},     {"SADD", "foo", "1", NULL},
		{"set", "foo", "1", "nx", NULL}, {"ZINCRBY", "foo", "1", "m", NULL},   {"LINSERT", "foo", "BEFORE", "a", "b", NULL}};

	start(TWO);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ask *ask = ask_words(NULL, commands[i], NULL);
		unsigned before = heard(NULL, "");

		expect_bytes(n1, commands[i], NULL);
		before = heard(NULL, "") - heard(NULL, "CLUSTER");
		hang_up(n1);
		want_error(ask, SHARD_EUNKNOWN);
		run_for(30);
		check(heard(NULL, "") - heard(NULL, "CLUSTER") == before, "%s was sent again", commands[i][0]);
	}
}

static void the_caller_may_vouch_for_a_second_try(void **state)
{
	struct ask *incr;

	start(TWO);
	incr = ask_flags(SHARD_IDEMPOTENT, "INCR", "foo");
	expect(n1, "INCR", "foo");
	hang_up(n1);
	expect(n1, "INCR", "foo");
	say(n1, ":2\r\n");
	want_integer(incr, 2);
}

static void once_means_once(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask_flags(SHARD_ONCE, "GET", "foo");
	expect(n1, "GET", "foo");
	hang_up(n1);
	want_done(get);
	check(get->error == SHARD_ECONNECT || get->error == SHARD_ETIMEDOUT, "%s", said(get));
	check_count(heard(NULL, "GET"), 1);
}

/* The connection is found broken before anything was sent on it. */
static void an_idle_connection_that_was_closed_costs_nothing(void **state)
{
	struct ask *incr;

	start(TWO);
	for (int i = 0; i < 5; i++) {
		incr = ask("INCR", "foo");
		expect(n1, "INCR", "foo");
		say(n1, ":%d\r\n", i);
		want_integer(incr, i);
		hang_up_all(n1);
		settle();
	}
}

/* The same, but the end of file comes in the tick that would write. */
static void an_end_of_file_is_read_before_the_tick_writes(void **state)
{
	struct ask *incr;

	start(TWO);
	for (int i = 0; i < 20; i++) {
		incr = ask("INCR", "foo");
		expect(n1, "INCR", "foo");
		say(n1, ":%d\r\n", i);
		want_integer(incr, i);
		hang_up_all(n1);
		incr = ask("INCR", "foo");
		expect(n1, "INCR", "foo");
		say(n1, ":%d\r\n", i);
		want_integer(incr, i);
	}
}

static void refused_is_retried_whatever_the_command(void **state)
{
	struct ask *incr, *get;

	start(TWO);
	node_down(n1);
	incr = ask("INCR", "foo");
	get = ask("GET", "foo");
	run_for(150);
	want_open(incr);
	want_open(get);
	node_up(n1);
	on(n1, "INCR", ":1\r\n");
	on(n1, "GET", ":1\r\n");
	want_integer(incr, 1);
	want_integer(get, 1);
	check_count(heard(n1, "INCR"), 1);
}

static void refused_refreshes_the_map_and_goes_where_the_slot_is_now(void **state)
{
	struct ask *incr;

	start(TWO);
	node_down(n1);
	layout("0-8191 n0; 8192-16383 n2");
	incr = ask("INCR", "foo");
	expect(n2, "INCR", "foo");
	say(n2, ":1\r\n");
	want_integer(incr, 1);
	check(heard(n0, "CLUSTER SLOTS") > 0, "no refresh");
}

static void a_break_in_flight_refreshes_the_map(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	layout("0-8191 n0; 8192-16383 n2");
	node_down(n1);
	expect(n2, "GET", "foo");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void refused_up_to_the_deadline_names_the_node(void **state)
{
	struct ask *get, *incr;

	options.timeout_ms = 300;
	start(TWO);
	node_down(n1);
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	want_error(get, SHARD_ECONNECT);
	want_error(incr, SHARD_ECONNECT);
	want_took(get, 300, 600);
	assert_string_equal(get->node, addr(n1));
	check(strstr(get->message, "refused") || strstr(get->message, addr(n1)), "%s", said(get));
}

static void all_seeds_are_tried(void **state)
{
	struct ask *get;

	node_down(n3);
	node_down(n4);
	seeds("redis://%s,%s,%s", addr(n3), addr(n4), addr(n0));
	start_cold(TWO);
	get = ask("GET", "b");
	expect(n0, "GET", "b");
	say(n0, "$1\r\nb\r\n");
	want_string(get, "b");
	want_took(get, 0, 1000);
}

static void no_server_at_all_ends_at_the_deadline(void **state)
{
	struct ask *get;

	options.timeout_ms = 300;
	node_down(n0);
	start_cold(TWO);
	get = ask("GET", "b");
	want_error(get, SHARD_ECONNECT);
	want_took(get, 0, 600);
	check(strstr(get->message, addr(n0)) || strstr(get->node, addr(n0)), "names no node: %s", said(get));
}

static void a_pipeline_that_breaks_keeps_what_was_answered(void **state)
{
	struct ask *get[6], *incr[6];
	char key[6][8];

	start(TWO);
	for (int i = 0; i < 6; i++) {
		snprintf(key[i], sizeof(key[i]), "{foo}%d", i);
		get[i] = ask("GET", key[i]);
		incr[i] = ask("INCR", key[i]);
	}
	for (int i = 0; i < 6; i++) {
		expect(n1, "GET", key[i]);
		expect(n1, "INCR", key[i]);
	}
	for (int i = 0; i < 2; i++) {
		say(n1, "$1\r\n%d\r\n", i);
		say(n1, ":%d\r\n", i);
	}
	say(n1, "$1\r\n2\r\n");
	say_part(n1, ":", 1); /* INCR {foo}2: begun and never ended */
	settle();
	hang_up(n1);
	for (int i = 2; i < 6; i++)
		want_error(incr[i], SHARD_EUNKNOWN);
	for (int i = 3; i < 6; i++) {
		expect(n1, "GET", key[i]);
		say(n1, "$1\r\n%d\r\n", i);
	}
	for (int i = 0; i < 6; i++)
		want_string(get[i], ((char[]){(char)('0' + i), 0}));
	for (int i = 0; i < 2; i++)
		want_integer(incr[i], i);
	run_for(50);
	check_count(heard(NULL, "INCR"), 6);
}

static void writes_to_a_key_are_sent_again_in_their_order(void **state)
{
	struct ask *set[8];
	char value[8][4];

	start(TWO);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 8; i++) {
			snprintf(value[i], sizeof(value[i]), "%d", i);
			set[i] = ask("SET", "foo", value[i]);
		}
		for (int i = 0; i < 8; i++)
			expect(n1, "SET", "foo", value[i]);
		hang_up(n1);
		for (int i = 0; i < 8; i++)
			expect(n1, "SET", "foo", value[i]);
		for (int i = 0; i < 8; i++)
			say(n1, "+OK\r\n");
		for (int i = 0; i < 8; i++)
			want_status(set[i], "OK");
	}
}

/* ---- a connection closed at every step of a dialogue ---- */

struct walk {
	unsigned step, fail_at; /* the how-many-th answer is not given */
	int part;               /* 0: closed at once, else after this share of the answer, in quarters */
	unsigned executed;
};

/* GET foo or INCR foo: AUTH everywhere, a map, MOVED from n1 to n2, ASK from n2 to n3. */
static char *walk_step(void *ctx, struct node *node, const struct command *command)
{
	struct walk *walk = ctx;
	const char *name = word(command, 0);
	char *reply = NULL;
	int len = -1;

	if (strcmp(name, "AUTH") == 0 || strcmp(name, "ASKING") == 0)
		len = asprintf(&reply, "+OK\r\n");
	else if (strcmp(name, "CLUSTER") == 0)
		len = asprintf(&reply, "%s", slots(TWO));
	else if (node == n1)
		len = asprintf(&reply, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	else if (node == n2)
		len = asprintf(&reply, "-ASK 12182 127.0.0.1:%d\r\n", port(n3));
	else
		len = asprintf(&reply, ":%u\r\n", ++walk->executed);
	if (walk->step++ != walk->fail_at)
		return reply;
	interject(command, reply, (size_t)(len * walk->part / 4));
	free(reply);
	return NULL;
}

static void walk_all(const char *name, bool safe)
{
	struct walk walk;
	struct ask *ask_it;
	unsigned steps = 1;

	on_call(NULL, "", walk_step, &walk);
	seeds("redis://:pw@%s", addr(n0));
	for (int part = 0; part < 4; part++) {
		for (unsigned at = 0; at <= steps; at++) {
			note("---- answer %u, %d quarters of it, then closed", at, part);
			walk = (struct walk){.fail_at = at, .part = part};
			start_cold(TWO);
			ask_it = ask(name, "foo");
			want_done(ask_it);
			if (safe || ask_it->error == SHARD_OK)
				want_error(ask_it, SHARD_OK);
			else
				want_error(ask_it, SHARD_EUNKNOWN);
			if (!safe)
				check(walk.executed == 1 || (ask_it->error != SHARD_OK && walk.executed == 0),
				      "executed %u times: %s", walk.executed, said(ask_it));
			if (at == 0 && part == 0)
				steps = walk.step + 1;
			stop();
			settle();
		}
	}
	check(steps >= 8, "a dialogue of %u steps only", steps);
}

static void closed_at_every_step_a_read_succeeds(void **state)
{
	walk_all("GET", true);
}

static void closed_at_every_step_incr_is_never_executed_twice(void **state)
{
	walk_all("INCR", false);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_read_is_sent_again_on_a_new_connection),
		scripted(an_idempotent_write_is_sent_again),
		scripted(what_is_not_idempotent_is_sent_once_and_its_outcome_unknown),
		scripted(the_caller_may_vouch_for_a_second_try),
		scripted(once_means_once),
		scripted(an_idle_connection_that_was_closed_costs_nothing),
		scripted(an_end_of_file_is_read_before_the_tick_writes),
		scripted(refused_is_retried_whatever_the_command),
		scripted(refused_refreshes_the_map_and_goes_where_the_slot_is_now),
		scripted(a_break_in_flight_refreshes_the_map),
		scripted(refused_up_to_the_deadline_names_the_node),
		scripted(all_seeds_are_tried),
		scripted(no_server_at_all_ends_at_the_deadline),
		scripted(a_pipeline_that_breaks_keeps_what_was_answered),
		scripted(writes_to_a_key_are_sent_again_in_their_order),
		scripted(closed_at_every_step_a_read_succeeds),
		scripted(closed_at_every_step_incr_is_never_executed_twice),
	};
	return run(tests);
}
