/* SPDX-License-Identifier: MIT */
/* Rule 10: blocking commands have a connection and a time-out of their own. */
#include "scripted.h"

static void a_blpop_holds_up_no_get(void **state)
{
	struct ask *blpop, *get;
	unsigned own;

	start(TWO);
	blpop = ask("BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	own = connection(n1);
	on(n1, "GET", "+x\r\n");
	for (int i = 0; i < 20; i++) {
		get = ask("GET", "foo");
		want_status(get, "x");
		want_took(get, 0, 200);
	}
	check(connections(n1) >= 2, "no connection of its own");
	check_count(connection(n1), own);
	want_open(blpop);
	say(n1, "*2\r\n$3\r\nfoo\r\n$1\r\nv\r\n");
	want_array(blpop, 2);
}

static void two_of_them_do_not_wait_for_each_other(void **state)
{
	struct ask *first, *second;
	unsigned one;

	start(TWO);
	first = ask("BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	one = connection(n1);
	second = ask("BRPOP", "a", "1");
	expect(n1, "BRPOP", "a", "1");
	check(connection(n1) != one, "both on one connection");
	say(n1, "*-1\r\n");
	want_nil(first);
	say(n1, "*2\r\n$1\r\na\r\n$1\r\nv\r\n");
	want_array(second, 2);
}

static void its_own_time_out_comes_on_top(void **state)
{
	struct ask *blpop, *get;

	options.timeout_ms = 200;
	start(TWO);
	blpop = ask("BLPOP", "foo", "0.5");
	expect(n1, "BLPOP", "foo", "0.5");
	run_for(520);
	want_open(blpop);
	say(n1, "*-1\r\n");
	want_nil(blpop);
	/* And ends: a node that never answers is given up after both. */
	blpop = ask("BLPOP", "foo", "0.3");
	get = ask("XREAD", "BLOCK", "300", "STREAMS", "foo", "$");
	want_done(blpop);
	check(blpop->error == SHARD_EUNKNOWN, "%s", said(blpop));
	want_took(blpop, 500, 900);
	want_error(get, SHARD_ETIMEDOUT);
	want_took(get, 500, 900);
}

static void for_ever_is_for_ever(void **state)
{
	struct ask *blpop, *flagged;

	options.timeout_ms = 150;
	start(TWO);
	blpop = ask("BLPOP", "foo", "0");
	flagged = ask_flags(SHARD_NO_DEADLINE, "BLPOP", "foo", "0.01");
	expect(n1, "BLPOP", "foo", "0");
	expect(n1, "BLPOP", "foo", "0.01");
	run_for(400);
	want_open(blpop);
	want_open(flagged);
	say(n1, "*-1\r\n");
	say(n1, "*-1\r\n");
	want_nil(blpop);
	want_nil(flagged);
}

static void when_the_slot_leaves_it_follows(void **state)
{
	struct ask *blpop;

	start(TWO);
	blpop = ask("BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "BLPOP", "foo", "1");
	say(n2, "-ASK 12182 127.0.0.1:%d\r\n", port(n3));
	expect(n3, "ASKING");
	expect(n3, "BLPOP", "foo", "1");
	say(n3, "+OK\r\n");
	say(n3, "-CLUSTERDOWN The cluster is down\r\n");
	for (;;) {
		struct node *node = expect_somewhere("BLPOP", "foo", "1");

		say(node, "*2\r\n$3\r\nfoo\r\n$1\r\nv\r\n");
		break;
	}
	want_array(blpop, 2);
}

static void a_break_leaves_the_outcome_unknown(void **state)
{
	struct ask *blpop;

	start(TWO);
	blpop = ask("BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	hang_up(n1);
	want_error(blpop, SHARD_EUNKNOWN);
	run_for(30);
	check_count(heard(NULL, "BLPOP"), 1);
}

/* What is popped for a request that was given up would be lost: the connection must go at once. */
static void a_cancelled_one_closes_its_connection(void **state)
{
	struct ask *blpop;
	unsigned open;

	start(TWO);
	want_done((on(n1, "GET", "+x\r\n"), ask("GET", "foo")));
	blpop = ask("BLPOP", "foo", "10");
	expect(n1, "BLPOP", "foo", "10");
	open = connections(n1);
	shard_cancel(client, blpop->handle);
	want_error(blpop, SHARD_EUNKNOWN);
	until(connections(n1) < open);
}

static void a_connection_of_its_own_is_greeted_too(void **state)
{
	struct ask *blpop;

	seeds("redis://:pw@%s", addr(n0));
	start(TWO);
	want_done((on(n1, "GET", "+x\r\n"), ask("GET", "foo")));
	check_count(heard(n1, "AUTH pw"), 1);
	blpop = ask("BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	check_count(heard(n1, "AUTH pw"), 2);
	say(n1, "*-1\r\n");
	want_nil(blpop);
}

static void many_in_turn_do_not_pile_up_connections(void **state)
{
	start(TWO);
	on(n1, "BLPOP", "*-1\r\n");
	for (int i = 0; i < 100; i++)
		want_nil(ask("BLPOP", "foo", "0.01"));
	settle();
	check(connections(n1) <= 4, "%u connections are open", connections(n1));
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_blpop_holds_up_no_get),
		scripted(two_of_them_do_not_wait_for_each_other),
		scripted(its_own_time_out_comes_on_top),
		scripted(for_ever_is_for_ever),
		scripted(when_the_slot_leaves_it_follows),
		scripted(a_break_leaves_the_outcome_unknown),
		scripted(a_cancelled_one_closes_its_connection),
		scripted(a_connection_of_its_own_is_greeted_too),
		scripted(many_in_turn_do_not_pile_up_connections),
	};
	return run(tests);
}
