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

static void at_a_named_node_it_has_a_connection_of_its_own_too(void **state)
{
	shard_call how = {.node = addr(n1)};
	struct ask *blpop;
	unsigned own;

	options.timeout_ms = 300;
	options.pause_ms = 100;
	start(TWO);
	blpop = ask_how(&how, "BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "1");
	own = connection(n1);
	on(n1, "GET", "+x\r\n");
	want_status(ask("GET", "foo"), "x");
	check(connections(n1) >= 2, "no connection of its own");
	run_for(700); /* longer than the client's time-out, shorter than its own */
	want_open(blpop);
	check_count(connection(n1), own);
	say(n1, "*-1\r\n");
	want_nil(blpop);
}

static void wait_has_its_own_time_out_on_top(void **state)
{
	struct ask *wait;

	options.timeout_ms = 300;
	options.pause_ms = 100;
	start(TWO);
	wait = ask("WAIT", "1", "600");
	until(heard(NULL, "WAIT") == 2);
	run_for(500);
	want_open(wait);
	on(NULL, "WAIT", ":1\r\n");
	want_integer(wait, 1);
}

static void wait_stays_on_the_connection_that_wrote(void **state)
{
	struct ask *wait;
	unsigned wrote;

	start("0-16383 n0");
	want_done((on(n0, "SET", "+OK\r\n"), ask("SET", "foo", "1")));
	wait = ask("WAIT", "1", "100");
	expect(n0, "WAIT", "1", "100");
	wrote = connection(n0);
	check_count(wrote, 1);
	check_count(connections_ever(n0), 1);
	say(n0, ":1\r\n");
	want_integer(wait, 1);
}

static void a_blocking_read_of_a_replica_holds_nobody_up(void **state)
{
	struct ask *xread, *get;

	options.pause_ms = 100;
	options.timeout_ms = 500;
	start("0-8191 n0; 8192-16383 n1 n2");
	xread = ask_flags(SHARD_REPLICA, "XREAD", "BLOCK", "800", "STREAMS", "foo", "$");
	until(heard(NULL, "XREAD") == 1);
	on(NULL, "GET", "+x\r\n");
	for (int i = 0; i < 5; i++) {
		get = ask_flags(SHARD_REPLICA, "GET", "foo");
		want_status(get, "x");
		get = ask("GET", "foo");
		want_status(get, "x");
		run_for(100);
	}
	want_open(xread);
	check_count(heard(NULL, "XREAD"), 1);
	on(NULL, "XREAD", "*-1\r\n");
	want_nil(xread);
}

static void the_longest_time_outs_do_not_wrap(void **state)
{
	shard_call how = {.timeout_ms = UINT32_MAX};
	struct ask *blpop, *longer;

	start(TWO);
	blpop = ask_how(&how, "BLPOP", "foo", "1");
	longer = ask("BLPOP", "foo", "99999999");
	expect(n1, "BLPOP", "foo", "1");
	expect(n1, "BLPOP", "foo", "99999999");
	run_for(1200);
	want_open(blpop);
	want_open(longer);
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
		scripted(at_a_named_node_it_has_a_connection_of_its_own_too),
		scripted(wait_has_its_own_time_out_on_top),
		scripted(wait_stays_on_the_connection_that_wrote),
		scripted(a_blocking_read_of_a_replica_holds_nobody_up),
		scripted(the_longest_time_outs_do_not_wrap),
	};
	return run(tests);
}
