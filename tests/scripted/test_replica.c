/* SPDX-License-Identifier: MIT */
/* Reads that a replica may answer. */
#include "scripted.h"

#define ONE_REPLICA "0-8191 n0; 8192-16383 n1 n2"

static void a_read_goes_to_a_replica_and_a_write_to_the_master(void **state)
{
	struct ask *get, *set;

	start(ONE_REPLICA);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	set = ask_flags(SHARD_REPLICA, "SET", "foo", "1");
	expect(n2, "GET", "foo");
	expect(n1, "SET", "foo", "1");
	say(n2, "+x\r\n");
	say(n1, "+OK\r\n");
	want_status(get, "x");
	want_status(set, "OK");
	assert_string_equal(get->node, addr(n2));
}

static void without_the_flag_the_master_is_asked(void **state)
{
	struct ask *get;

	start(ONE_REPLICA);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	check_count(connections_ever(n2), 0);
}

static void replicas_share_the_reads(void **state)
{
	start(TWO_WITH_REPLICAS);
	on(NULL, "GET", "+x\r\n");
	for (int i = 0; i < 60; i++)
		want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	check(heard(n4, "GET") > 5 && heard(n5, "GET") > 5, "%u and %u", heard(n4, "GET"), heard(n5, "GET"));
	check_count(heard(n4, "READONLY"), 1);
	check_count(heard(NULL, "GET"), 60);
}

static void no_replica_means_the_master(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void a_replica_that_is_down_costs_nothing_but_a_try(void **state)
{
	struct ask *get;

	start(ONE_REPLICA);
	node_down(n2);
	on(n1, "GET", "+x\r\n");
	for (int i = 0; i < 5; i++) {
		get = ask_flags(SHARD_REPLICA, "GET", "foo");
		want_status(get, "x");
		want_took(get, 0, 200);
	}
}

static void a_replica_that_breaks_in_flight_is_replaced(void **state)
{
	struct ask *get;

	start(ONE_REPLICA);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	expect(n2, "GET", "foo");
	on(n1, "GET", "+x\r\n");
	node_down(n2);
	want_status(get, "x");
}

static void a_silent_replica_is_left_for_another(void **state)
{
	struct ask *get;

	options.pause_ms = 100;
	options.timeout_ms = 3000;
	start(ONE_REPLICA);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	expect(n2, "GET", "foo");
	on(n1, "GET", "+x\r\n");
	want_status(get, "x");
	want_took(get, 100, 1000);
}

/* INCR goes to NODE, which was promoted just now. */
static void want_soon(struct node *node, struct ask *incr)
{
	uint64_t promoted = now_ms();

	expect(node, "INCR", "foo");
	want_time(promoted, 0, 100);
	say(node, ":1\r\n");
	want_integer(incr, 1);
}

/* Before all nodes agree that the master failed: the replica says that it is a master now. */
static void a_promotion_is_noticed_at_the_replica_itself(void **state)
{
	struct ask *incr;

	start("0-8191 n0; 8192-16383 n1 n2");
	on(NULL, "GET", "+x\r\n");
	want_status(ask("GET", "foo"), "x");
	node_down(n1);
	settle();
	incr = ask("INCR", "foo");
	until(heard(NULL, "CLUSTER SLOTS") > 0); /* the next one by itself comes a second later */
	run_for(100);
	on(n2, "ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
	node_layout(n2, "0-8191 n0; 8192-16383 n2"); /* the others do not know yet */
	want_soon(n2, incr);
}

#define SLAVE "*1\r\n$5\r\nslave\r\n"
#define MASTER "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
#define THREE_REPLICAS "0-8191 n0; 8192-16383 n1 n2 n3 n4"

/* Whichever it is: they are all asked each time, and each by itself. */
static void a_promotion_of_any_of_several_is_noticed_at_once(void **state)
{
	struct ask *incr;

	start(THREE_REPLICAS);
	on(NULL, "ROLE", SLAVE);
	on(n2, "ROLE", NULL); /* never answers */
	node_down(n1);
	incr = ask("INCR", "foo");
	until(heard(n3, "ROLE") > 5 && heard(n4, "ROLE") > 5);
	check_count(heard(n2, "ROLE"), 1);
	on(n4, "ROLE", MASTER);
	node_layout(n4, "0-8191 n0; 8192-16383 n4 n2 n3");
	want_soon(n4, incr);
	forget(n2);
}

/* The old master of the last failover, say, that came back as a replica. */
static void a_promotion_of_one_that_was_down_before_is_noticed(void **state)
{
	struct ask *incr;

	start("0-8191 n0; 8192-16383 n1 n2");
	on(NULL, "ROLE", SLAVE);
	on(n1, "GET", "+x\r\n");
	node_down(n2);
	want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	node_up(n2);
	node_down(n1);
	incr = ask("INCR", "foo");
	until(heard(n2, "ROLE") > 1);
	on(n2, "ROLE", MASTER);
	node_layout(n2, "0-8191 n0; 8192-16383 n2");
	want_soon(n2, incr);
}

/* It had given up: what it is asked next does not wait for the next attempt to connect. */
static void a_promotion_while_nobody_asked_is_noticed_by_the_next_request(void **state)
{
	struct ask *incr;

	start("0-8191 n0; 8192-16383 n1 n2");
	options.timeout_ms = 20000;
	on(NULL, "ROLE", SLAVE);
	node_down(n1);
	incr = ask_how((&(shard_call){.timeout_ms = 3000}), "INCR", "foo"); /* attempts are a second apart by then */
	want_error(incr, SHARD_ECONNECT);
	run_for(150);
	on(n2, "ROLE", MASTER);
	node_layout(n2, "0-8191 n0; 8192-16383 n2");
	incr = ask("INCR", "foo");
	want_soon(n2, incr);
}

/* And an answer that was under way is of the time before. */
static void a_promotion_waits_for_no_map_that_is_being_fetched(void **state)
{
	struct ask *incr;

	start("0-8191 n0; 8192-16383 n1 n2");
	on(NULL, "ROLE", SLAVE);
	on(n0, "CLUSTER SLOTS", NULL);
	on(n2, "CLUSTER SLOTS", "-LOADING Redis is loading the dataset in memory\r\n"); /* so n0 it is */
	node_down(n1);
	incr = ask("INCR", "foo");
	expect(n0, "CLUSTER", "SLOTS");
	on(n2, "CLUSTER SLOTS", slots("0-8191 n0; 8192-16383 n2"));
	on(n2, "ROLE", MASTER);
	want_soon(n2, incr);
	say(n0, "%s", slots("0-8191 n0; 8192-16383 n1 n2"));
	run_for(50);
	incr = ask("INCR", "foo");
	expect(n2, "INCR", "foo");
	say(n2, ":2\r\n");
	want_integer(incr, 2);
	want_took(incr, 0, 100);
}

static void a_replica_that_lost_its_master_or_slot_sends_on(void **state)
{
	struct ask *get;

	start(ONE_REPLICA);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	expect(n2, "GET", "foo");
	say(n2, "-MOVED 12182 127.0.0.1:%d\r\n", port(n3));
	expect(n3, "GET", "foo");
	say(n3, "+x\r\n");
	want_status(get, "x");
}

static void mget_may_be_answered_by_replicas(void **state)
{
	struct ask *mget;

	start("0-8191 n0 n3; 8192-16383 n1 n2");
	on(NULL, "MGET", "*1\r\n+x\r\n");
	on(NULL, "GET", "+x\r\n");
	mget = ask_flags(SHARD_REPLICA, "MGET", "foo", "b");
	want_array(mget, 2);
	check_count(heard(n0, "") + heard(n1, ""), 0);
}

/* The READONLY connection is not the one that writes or reads as a master use. */
static void a_replica_that_was_promoted_serves_writes(void **state)
{
	struct ask *get, *set;

	start(ONE_REPLICA);
	on(NULL, "GET", "+x\r\n");
	want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	layout("0-8191 n0; 8192-16383 n2 n1");
	want_error(ask_refresh(), SHARD_OK);
	set = ask("SET", "foo", "1");
	expect(n2, "SET", "foo", "1");
	say(n2, "+OK\r\n");
	want_status(set, "OK");
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	want_status(get, "x");
	assert_string_equal(get->node, addr(n1));
}

static void a_replica_that_came_back_is_asked_again(void **state)
{
	unsigned before;

	start("0-8191 n0; 8192-16383 n1 n2");
	on(NULL, "ROLE", "*1\r\n$5\r\nslave\r\n");
	on(NULL, "GET", "+x\r\n");
	want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	node_down(n2);
	want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	node_up(n2);
	before = heard(n2, "GET");
	for (uint64_t began = now_ms(); heard(n2, "GET") == before && now_ms() - began < 2500; run_for(20))
		want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	check(heard(n2, "GET") > before, "never asked again");
}

static void a_replica_that_was_slow_once_is_asked_again(void **state)
{
	struct ask *get;
	unsigned before;

	options.pause_ms = 100;
	start("0-8191 n0; 8192-16383 n1 n2");
	on(NULL, "ROLE", "*1\r\n$5\r\nslave\r\n");
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	expect(n2, "GET", "foo");
	on(n1, "GET", "+x\r\n");
	run_for(400);
	hang_up_all(n2);
	on(n2, "GET", "+x\r\n");
	want_status(get, "x");
	before = heard(n2, "GET");
	for (uint64_t began = now_ms(); heard(n2, "GET") == before && now_ms() - began < 2500; run_for(20))
		want_status(ask_flags(SHARD_REPLICA, "GET", "foo"), "x");
	check(heard(n2, "GET") > before, "never asked again");
}

/* "A replica may answer": where it may not, the master does. */
static void a_replica_that_refuses_readonly_is_no_obstacle(void **state)
{
	struct ask *get;

	start("0-8191 n0; 8192-16383 n1 n2");
	on(n2, "READONLY", "-NOPERM this user has no permissions to run the 'readonly' command\r\n");
	on(n1, "GET", "+x\r\n");
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	want_status(get, "x");
	want_took(get, 0, 1000);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_read_goes_to_a_replica_and_a_write_to_the_master),
		scripted(without_the_flag_the_master_is_asked),
		scripted(replicas_share_the_reads),
		scripted(no_replica_means_the_master),
		scripted(a_replica_that_is_down_costs_nothing_but_a_try),
		scripted(a_replica_that_breaks_in_flight_is_replaced),
		scripted(a_silent_replica_is_left_for_another),
		scripted(a_promotion_is_noticed_at_the_replica_itself),
		scripted(a_promotion_of_any_of_several_is_noticed_at_once),
		scripted(a_promotion_of_one_that_was_down_before_is_noticed),
		scripted(a_promotion_while_nobody_asked_is_noticed_by_the_next_request),
		scripted(a_promotion_waits_for_no_map_that_is_being_fetched),
		scripted(a_replica_that_lost_its_master_or_slot_sends_on),
		scripted(mget_may_be_answered_by_replicas),
		scripted(a_replica_that_was_promoted_serves_writes),
		scripted(a_replica_that_came_back_is_asked_again),
		scripted(a_replica_that_was_slow_once_is_asked_again),
		scripted(a_replica_that_refuses_readonly_is_no_obstacle),
	};
	return run(tests);
}
