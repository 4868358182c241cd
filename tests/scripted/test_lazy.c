/* SPDX-License-Identifier: MIT */
/* Clients that fetch no map first: one-shot tools. What redirects drew is not the map. */
#include "scripted.h"

static void start_lazy(const char *text)
{
	options.lazy = true;
	start_cold(text);
}

/* One MOVED has been followed: a scrap of a map is known. */
static void start_drawn(void)
{
	struct ask *get;

	start_lazy(TWO);
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void a_scrap_of_a_map_is_not_all_masters(void **state)
{
	struct ask *flush;

	start_drawn();
	on(NULL, "DBSIZE", ":5\r\n");
	on(NULL, "FLUSHALL", "+OK\r\n");
	want_integer(ask("DBSIZE"), 10);
	flush = ask_flags(SHARD_EACH_MASTER, "FLUSHALL");
	want_done(flush);
	check_count(flush->part_count, 2);
	check_count(heard(n0, "FLUSHALL"), 1);
	check_count(heard(n1, "FLUSHALL"), 1);
}

static void what_waits_for_the_map_does_not_take_a_scrap_for_it(void **state)
{
	struct ask *dbsize, *get;
	struct node *asked;
	char moved[64];

	on(NULL, "CLUSTER SLOTS", NULL);
	on(NULL, "DBSIZE", ":5\r\n");
	start_lazy(TWO);
	dbsize = ask("DBSIZE");
	asked = expect_somewhere("CLUSTER", "SLOTS");
	hang_up(asked); /* its queue would hold the GET up */
	snprintf(moved, sizeof(moved), "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	on(n0, "GET", moved);
	on(n1, "GET", "+x\r\n");
	get = ask("GET", "foo");
	run_for(100);
	want_open(dbsize);
	on(NULL, "CLUSTER SLOTS", slots(TWO));
	want_integer(dbsize, 10);
	want_status(get, "x");
}

static void a_listing_asks_all_masters(void **state)
{
	struct ask *keys;

	start_drawn();
	on(n0, "KEYS", "*1\r\n+b\r\n");
	on(n1, "KEYS", "*1\r\n+foo\r\n");
	keys = ask("KEYS", "*");
	want_array(keys, 2);
}

static void split_commands_work_from_a_scrap(void **state)
{
	struct ask *mget;

	start_drawn();
	on(n0, "MGET b", "*1\r\n+b\r\n");
	on(n0, "GET b", "+b\r\n");
	on(n1, "MGET foo", "*1\r\n+foo\r\n");
	on(n1, "GET foo", "+foo\r\n");
	mget = ask("MGET", "b", "foo");
	want_array(mget, 2);
	assert_string_equal(mget->reply->element[0].str, "b");
	assert_string_equal(mget->reply->element[1].str, "foo");
}

static void every_seed_has_its_turn_however_many_requests_wait(void **state)
{
	for (int count = 1; count <= 5; count++) {
		struct ask *get[5];

		options.lazy = true;
		seeds("redis://%s,%s,%s", addr(n0), addr(n3), addr(n1));
		start_cold("0-16383 n1");
		node_down(n0);
		node_down(n3);
		on(n1, "GET", "+x\r\n");
		for (int i = 0; i < count; i++)
			get[i] = ask("GET", "foo");
		for (int i = 0; i < count; i++)
			want_status(get[i], "x");
		stop();
	}
}

static void a_silent_seed_is_left_for_the_next(void **state)
{
	struct ask *get[4];

	options.connect_timeout_ms = 150;
	seeds("redis://%s,%s", addr(n0), addr(n1));
	start_lazy("0-16383 n1");
	node_deaf(n0);
	on(n1, "GET", "+x\r\n");
	for (int i = 0; i < 4; i++)
		get[i] = ask("GET", "foo");
	for (int i = 0; i < 4; i++) {
		want_status(get[i], "x");
		want_took(get[i], 0, 1500);
	}
}

static void no_map_is_fetched_for_single_keys(void **state)
{
	start_drawn();
	on(NULL, "GET", "+x\r\n");
	want_status(ask("GET", "foo"), "x");
	want_status(ask("GET", "b"), "x");
	run_for(1200);
	check_count(heard(NULL, "CLUSTER"), 0);
}

static void a_single_server_is_scanned_and_summed(void **state)
{
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	on(n0, "DBSIZE", ":5\r\n");
	on(n0, "GET", "+x\r\n");
	start_lazy("");
	want_status(ask("GET", "foo"), "x");
	want_integer(ask("DBSIZE"), 5);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_scrap_of_a_map_is_not_all_masters),
		scripted(what_waits_for_the_map_does_not_take_a_scrap_for_it),
		scripted(a_listing_asks_all_masters),
		scripted(split_commands_work_from_a_scrap),
		scripted(every_seed_has_its_turn_however_many_requests_wait),
		scripted(a_silent_seed_is_left_for_the_next),
		scripted(no_map_is_fetched_for_single_keys),
		scripted(a_single_server_is_scanned_and_summed),
	};
	return run(tests);
}
