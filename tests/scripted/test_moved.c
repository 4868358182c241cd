/* SPDX-License-Identifier: MIT */
/* Rule 1: MOVED. Rule 11: budgets. */
#include "scripted.h"

#define FOO_ON_N2 "0-8191 n0; 8192-12181 n1; 12182-12182 n2; 12183-16383 n1"

static void moved_is_followed_at_once(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
	assert_string_equal(get->node, addr(n2));
	check_count(get->slot, 12182);
	want_took(get, 0, 200);
}

static void moved_patches_that_slot_alone(void **state)
{
	struct ask *get;

	on(NULL, "CLUSTER SLOTS", NULL); /* no refresh helps */
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, "$1\r\n1\r\n");
	want_string(get, "1");
	get = ask("GET", "foo");
	expect(n2, "GET", "foo");
	say(n2, "$1\r\n2\r\n");
	want_string(get, "2");
	for (const char *const *key = (const char *const[]){"a", "d", NULL}; *key; key++) {
		get = ask("GET", *key);
		expect(n1, "GET", *key);
		say(n1, "$1\r\n3\r\n");
		want_string(get, "3");
	}
	check_count(shard_topology_owner(shard_client_topology(client), 12182),
		    shard_topology_find_addr(shard_client_topology(client), "127.0.0.1", port(n2)));
}

static void moved_writes_are_sent_again(void **state)
{
	struct ask *incr;

	start(TWO);
	incr = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "INCR", "foo");
	say(n2, ":1\r\n");
	want_integer(incr, 1);
}

static void a_burst_of_moved_asks_for_one_refresh(void **state)
{
	struct ask *get[40];
	char key[40][16];

	start(TWO);
	layout("0-8191 n0; 8192-16383 n2");
	for (int i = 0; i < 40; i++) {
		snprintf(key[i], sizeof(key[i]), "{foo}%d", i);
		get[i] = ask("GET", key[i]);
	}
	for (int i = 0; i < 40; i++)
		expect(n1, "GET", key[i]);
	for (int i = 0; i < 40; i++)
		say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	for (int i = 0; i < 40; i++)
		expect(n2, "GET", key[i]);
	for (int i = 0; i < 40; i++)
		say(n2, ":%d\r\n", i);
	for (int i = 0; i < 40; i++)
		want_integer(get[i], i);
	run_for(1800);
	check_count(heard(NULL, "CLUSTER SLOTS"), 1);
	get[0] = ask("GET", "a"); /* which no MOVED named */
	expect(n2, "GET", "a");
	say(n2, ":7\r\n");
	want_integer(get[0], 7);
}

static void a_map_asked_for_before_a_moved_does_not_undo_it(void **state)
{
	struct ask *refresh, *get;
	struct node *asked;

	on(NULL, "CLUSTER SLOTS", NULL);
	start(TWO);
	refresh = ask_refresh();
	asked = expect_somewhere("CLUSTER", "SLOTS");
	get = ask("GET", "foo");
	if (asked == n1) { /* its answers come in order: the map would come first */
		expect(n1, "GET", "foo");
		hang_up(n1);
		asked = expect_somewhere("CLUSTER", "SLOTS");
		if (asked == n1)
			asked = NULL;
	}
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, ":1\r\n");
	want_integer(get, 1);
	if (!asked)
		skip();
	say(asked, "%s", slots(TWO)); /* the state of affairs before the MOVED */
	settle();
	get = ask("GET", "foo");
	expect(n2, "GET", "foo");
	say(n2, ":2\r\n");
	want_integer(get, 2);
	/* And a map that was asked for afterwards is believed. */
	asked = expect_somewhere("CLUSTER", "SLOTS");
	say(asked, "%s", slots("0-8191 n0; 8192-16383 n3"));
	want_error(refresh, SHARD_OK);
	settle();
	get = ask("GET", "foo");
	expect(n3, "GET", "foo");
	say(n3, ":3\r\n");
	want_integer(get, 3);
}

static void moved_without_a_host_means_the_sender(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 :%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void moved_to_ipv6_is_split_at_the_last_colon(void **state)
{
	struct ask *get;

	if (!port6(n2))
		skip();
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 ::1:%d\r\n", port6(n2));
	expect(n2, "GET", "foo");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void moved_may_name_a_host(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 localhost:%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void is_the_callers(const char *error)
{
	struct ask *get = ask("GET", "foo"), *next;

	expect(n1, "GET", "foo");
	say(n1, "-%s\r\n", error);
	want_server_error(get, error);
	next = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "$2\r\nok\r\n");
	want_string(next, "ok");
}

static void moved_out_of_range_changes_nothing(void **state)
{
	static const char *const targets[] = {
		"99999 127.0.0.1:%d", "16384 127.0.0.1:%d",      "-1 127.0.0.1:%d",         "4294979478 127.0.0.1:%d",
		"18446744073709551615 127.0.0.1:%d",             "12182 127.0.0.1:0",       "12182 127.0.0.1:65536",
		"12182 127.0.0.1:-1",                            "12182 127.0.0.1:4294967297"};
	char error[128], target[100];

	start(TWO);
	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(target, sizeof(target), targets[i], port(n2));
#pragma GCC diagnostic pop
		snprintf(error, sizeof(error), "MOVED %s", target);
		is_the_callers(error);
		snprintf(error, sizeof(error), "ASK %s", target);
		is_the_callers(error);
	}
	check_count(connections_ever(n2), 0);
	check_count(heard(NULL, "CLUSTER SLOTS"), 0);
}

static void errors_that_only_look_like_redirects_are_the_callers(void **state)
{
	static const char *const errors[] = {
		"MOVED",       "MOVED ",        "MOVED 5",     "MOVED 5 ",  "MOVED 12182 127.0.0.1", "MOVED x 127.0.0.1:7000",
		"MOVED 12182", "MOVED 12182 :", "ASK",         "ASK ",      "ASK 12182",             "ASK 12182 127.0.0.1:",
		"ASKING 12182 127.0.0.1:7000",  "MOVEDX 12182 127.0.0.1:7000",  "moved 12182 127.0.0.1:7000",
		"M",           "ASK 1",         "TRYAGAINST",  "LOADINGX",  "CLUSTERDOWNX"};

	start(TWO);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		is_the_callers(errors[i]);
	check_count(heard(NULL, "CLUSTER SLOTS"), 0);
}

static void moved_to_the_same_address_reconnects(void **state)
{
	struct ask *get;
	unsigned first;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	first = connection(n1);
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	check(connection(n1) != first, "the same connection again");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void moved_to_a_dead_node_waits_for_a_better_map(void **state)
{
	struct ask *incr;

	start(TWO);
	node_down(n2);
	incr = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	layout("0-8191 n0; 8192-16383 n3");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n3, "INCR", "foo");
	say(n3, ":1\r\n");
	want_integer(incr, 1);
}

static void once_takes_the_redirect_for_the_answer(void **state)
{
	char error[64];
	struct ask *get;

	start(TWO);
	get = ask_flags(SHARD_ONCE, "GET", "foo");
	expect(n1, "GET", "foo");
	snprintf(error, sizeof(error), "MOVED 12182 127.0.0.1:%d", port(n2));
	say(n1, "-%s\r\n", error);
	want_server_error(get, error);
	check_count(connections_ever(n2), 0);
}

static void a_named_node_gets_it_and_no_other(void **state)
{
	shard_call how = {.node = addr(n0)};
	char error[64];
	struct ask *get;

	start(TWO);
	get = ask_how(&how, "GET", "foo");
	expect(n0, "GET", "foo");
	snprintf(error, sizeof(error), "MOVED 12182 127.0.0.1:%d", port(n1));
	say(n0, "-%s\r\n", error);
	want_server_error(get, error);
	check_count(heard(n1, "GET"), 0);
}

static void a_named_node_need_not_be_in_the_map(void **state)
{
	shard_call how = {.node = addr(n5)};
	struct ask *ping;

	start(TWO);
	ping = ask_how(&how, "PING");
	expect(n5, "PING");
	say(n5, "+PONG\r\n");
	want_status(ping, "PONG");
	assert_string_equal(ping->node, addr(n5));
}

/* ---- rule 11 ---- */

static void five_redirects_are_followed(void **state)
{
	struct node *way[] = {n1, n2, n3, n4, n5, n0};
	struct ask *get;

	on(NULL, "CLUSTER SLOTS", NULL);
	start("0-16383 n1");
	get = ask("GET", "foo");
	for (int i = 0; i < 5; i++) {
		expect(way[i], "GET", "foo");
		say(way[i], "-MOVED 12182 127.0.0.1:%d\r\n", port(way[i + 1]));
	}
	expect(n0, "GET", "foo");
	say(n0, "$3\r\nbar\r\n");
	want_string(get, "bar");
	want_took(get, 0, 4); /* less than the shortest pause */
}

static char *to_the_other(void *ctx, struct node *node, const struct command *command)
{
	char *reply;

	if (asprintf(&reply, "-%s 12182 127.0.0.1:%d\r\n", (const char *)ctx, port(node == n1 ? n2 : n1)) < 0)
		return NULL;
	return reply;
}

static void ping_pong(const char *kind)
{
	unsigned tries;
	struct ask *get;

	start(TWO);
	on_call(n1, "GET", to_the_other, (void *)kind);
	on_call(n2, "GET", to_the_other, (void *)kind);
	on(NULL, "ASKING", "+OK\r\n");
	get = ask("GET", "foo");
	run_for(500);
	want_open(get);
	tries = heard(NULL, "GET foo");
	/* Five without a pause, then pauses that grow: nothing like a storm, and not given up either. */
	check(tries >= 4 && tries <= 80, "%u tries in 500 ms", tries);
	on(n2, "GET", "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void moved_ping_pong_is_bounded_then_paused(void **state)
{
	ping_pong("MOVED");
}

static void ask_ping_pong_is_bounded_then_paused(void **state)
{
	ping_pong("ASK");
}

static void ping_pong_ends_at_the_deadline(void **state)
{
	struct ask *get, *incr;

	options.timeout_ms = 300;
	start(TWO);
	on_call(n1, "", to_the_other, (void *)"MOVED");
	on_call(n2, "", to_the_other, (void *)"MOVED");
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	want_done(get);
	want_done(incr);
	check(get->error == SHARD_ENOROUTE || get->error == SHARD_ETIMEDOUT, "%s", said(get));
	check(incr->error == SHARD_ENOROUTE || incr->error == SHARD_ETIMEDOUT, "%s", said(incr));
	check(strstr(get->message, "MOVED"), "the message does not tell the cause: %s", said(get));
	want_took(get, 300, 600);
}

static unsigned answers_given;

static char *moved_to_itself_every_other_time(void *ctx, struct node *node, const struct command *command)
{
	char *reply;

	if (strcmp(word(command, 1), "a") == 0)
		return not_yet; /* never */
	if (answers_given++ % 2)
		return strdup("+x\r\n");
	return asprintf(&reply, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1)) < 0 ? NULL : reply;
}

/* The connections that it leaves behind still owe an answer that never comes. */
static void reconnecting_again_and_again_piles_up_no_connections(void **state)
{
	options.timeout_ms = 150;
	options.pause_ms = 50;
	answers_given = 0;
	start(TWO);
	on(NULL, "ROLE", "*1\r\n$5\r\nslave\r\n");
	on_call(n1, "GET", moved_to_itself_every_other_time, NULL);
	for (int i = 0; i < 6; i++) {
		struct ask *get = ask("GET", "foo"), *never = ask("GET", "a");

		want_done(never);
		want_done(get);
		run_for(50);
	}
	run_for(600);
	check(connections(n1) <= 3, "%u connections are open", connections(n1));
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(moved_is_followed_at_once),
		scripted(moved_patches_that_slot_alone),
		scripted(moved_writes_are_sent_again),
		scripted(a_burst_of_moved_asks_for_one_refresh),
		scripted(a_map_asked_for_before_a_moved_does_not_undo_it),
		scripted(moved_without_a_host_means_the_sender),
		scripted(moved_to_ipv6_is_split_at_the_last_colon),
		scripted(moved_may_name_a_host),
		scripted(moved_out_of_range_changes_nothing),
		scripted(errors_that_only_look_like_redirects_are_the_callers),
		scripted(moved_to_the_same_address_reconnects),
		scripted(moved_to_a_dead_node_waits_for_a_better_map),
		scripted(once_takes_the_redirect_for_the_answer),
		scripted(a_named_node_gets_it_and_no_other),
		scripted(a_named_node_need_not_be_in_the_map),
		scripted(five_redirects_are_followed),
		scripted(moved_ping_pong_is_bounded_then_paused),
		scripted(ask_ping_pong_is_bounded_then_paused),
		scripted(ping_pong_ends_at_the_deadline),
		scripted(reconnecting_again_and_again_piles_up_no_connections),
	};
	return run(tests);
}
