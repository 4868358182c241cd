/* SPDX-License-Identifier: MIT */
/* When the map is fetched: single flight, spacing, whom it asks. */
#include "scripted.h"

static unsigned fetches(void)
{
	return heard(NULL, "CLUSTER SLOTS");
}

static void one_fetch_serves_all_who_ask(void **state)
{
	struct ask *refresh[10];
	struct node *asked;

	start(TWO);
	on(NULL, "CLUSTER SLOTS", NULL);
	for (int i = 0; i < 10; i++)
		refresh[i] = ask_refresh();
	asked = expect_somewhere("CLUSTER", "SLOTS");
	refresh[9]->then = NULL;
	run_for(50);
	check_count(fetches(), 1);
	say(asked, "%s", slots(TWO));
	for (int i = 0; i < 10; i++)
		want_error(refresh[i], SHARD_OK);
	check_count(fetches(), 1);
}

static void refresh_now_is_now(void **state)
{
	struct ask *refresh;

	start(TWO);
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
	want_took(refresh, 0, 200);
	check(refresh->reply == NULL, "a reply");
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
}

static char *moved_on(void *ctx, struct node *node, const struct command *command)
{
	char *reply;
	unsigned slot = shard_slot(word(command, 1), strlen(word(command, 1)));

	if (asprintf(&reply, "-MOVED %u 127.0.0.1:%d\r\n", slot, port(n2)) < 0)
		return NULL;
	return reply;
}

/* 900 clients and 300 nodes make a storm otherwise. */
static void a_steady_stream_of_moved_is_no_storm(void **state)
{
	char key[16];
	struct ask *get;
	uint64_t end;
	int i = 0;

	start(TWO);
	layout(TWO); /* the map never learns */
	on_call(n0, "GET", moved_on, NULL);
	on_call(n1, "GET", moved_on, NULL);
	on(n2, "GET", "+x\r\n");
	for (end = now_ms() + 2300; now_ms() < end; i++) {
		snprintf(key, sizeof(key), "%d", i);
		get = ask("GET", key);
		want_status(get, "x");
	}
	check(i > 300, "%d requests only", i);
	check(fetches() >= 1 && fetches() <= 3, "%u fetches in 2.3 s", fetches());
}

static void a_node_that_is_down_is_no_storm(void **state)
{
	struct ask *get[20];

	options.timeout_ms = 2200;
	start(TWO);
	node_down(n1);
	for (int i = 0; i < 20; i++)
		get[i] = ask("GET", "foo");
	run_for(2000);
	check(fetches() >= 2 && fetches() <= 4, "%u fetches in 2 s", fetches());
	check(heard(n0, "") <= 60, "%u commands to the other node", heard(n0, ""));
	want_done(get[0]);
}

/* Full jitter: many clients that see the same MOVED at once do not ask at once. */
static void what_can_wait_is_spread(void **state)
{
	shard_client *clients[8];
	struct ask *get;
	uint64_t began = now_ms(), first = 0, last = 0;

	on(n1, "GET", NULL);
	on(n2, "GET", "+x\r\n");
	for (int i = 0; i < 8; i++) {
		start(TWO);
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
		want_status(get, "x");
		clients[i] = client;
	}
	for (unsigned seen = 0; seen < 8 && now_ms() - began < 3000;) {
		for (int i = 0; i < 8; i++) {
			client = clients[i];
			turn(1);
		}
		if (fetches() > seen) {
			seen = fetches();
			last = now_ms();
			first = first ? first : last;
		}
	}
	check_count(fetches(), 8);
	check(last - first > 100, "all of them within %d ms", (int)(last - first));
	for (int i = 0; i < 8; i++)
		shard_client_destroy(clients[i]);
	client = NULL;
}

static void the_slow_timer_refreshes(void **state)
{
	struct ask *ping;

	options.refresh_ms = 600;
	start(TWO);
	on(NULL, "PING", "+PONG\r\n");
	ping = ask("PING");
	want_done(ping);
	run_for(1900);
	check(fetches() >= 2 && fetches() <= 7, "%u fetches in 1.9 s", fetches());
}

static void without_it_an_idle_client_is_quiet(void **state)
{
	options.refresh_ms = 0;
	start(TWO);
	on(NULL, "PING", "+PONG\r\n");
	want_done(ask("PING"));
	run_for(800);
	check_count(fetches(), 0);
	check_count(heard(NULL, ""), 2);
}

static void a_node_that_does_not_answer_is_passed_over(void **state)
{
	struct ask *refresh;

	options.connect_timeout_ms = 200;
	start("0-5000 n0; 5001-10000 n1; 10001-16383 n2");
	on(NULL, "PING", "+PONG\r\n");
	want_done(ask_flags(SHARD_EACH_MASTER, "PING"));
	on(n0, "CLUSTER SLOTS", NULL);
	on(n1, "CLUSTER SLOTS", "-LOADING Redis is loading the dataset in memory\r\n");
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
}

static void the_seeds_are_asked_last(void **state)
{
	struct ask *refresh;

	/* The map's nodes are all gone; the seed, whom no map names, knows the new ones. */
	options.connect_timeout_ms = 200;
	start("0-8191 n2; 8192-16383 n3");
	on(NULL, "PING", "+PONG\r\n");
	want_done(ask_flags(SHARD_EACH_MASTER, "PING"));
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
	check_count(heard(n0, "CLUSTER"), 0);
	layout(TWO);
	node_down(n2);
	node_down(n3);
	settle();
	on(n1, "INCR", ":1\r\n");
	want_integer(ask("INCR", "foo"), 1);
	check(heard(n0, "CLUSTER SLOTS") > 0, "the seed was not asked");
}

static void a_map_from_a_node_is_of_its_own_host(void **state)
{
	struct ask *refresh;

	/* Each leaves its own host out. */
	start(TWO);
	layout("0-8191 n0@; 8192-16383 n1@");
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
	on(n1, "GET", "+x\r\n");
	want_status(ask("GET", "foo"), "x");
}

static void refresh_of_a_destroyed_client_is_called_back(void **state)
{
	struct ask *refresh;

	start(TWO);
	on(NULL, "CLUSTER SLOTS", NULL);
	refresh = ask_refresh();
	run_for(30);
	stop();
	check_count(refresh->calls, 1);
	check_count(refresh->error, SHARD_ECANCELED);
}

static void refresh_without_a_callback(void **state)
{
	start(TWO);
	layout("0-16383 n2");
	assert_int_equal(shard_refresh(client, NULL, NULL), SHARD_OK);
	until(shard_topology_node_count(shard_client_topology(client)) == 1);
}

static void refresh_where_nobody_answers_says_so(void **state)
{
	struct ask *refresh;

	options.timeout_ms = 500;
	options.connect_timeout_ms = 200;
	start(TWO);
	node_down(n0);
	node_down(n1);
	refresh = ask_refresh();
	want_done(refresh);
	check(refresh->error == SHARD_ECONNECT, "%s", said(refresh));
	check(refresh->message[0], "no message");
}

/* ACL without CLUSTER: redirects serve; asking again and again would be a storm. */
static void a_map_that_may_not_be_asked_for_is_not_asked_for_again_and_again(void **state)
{
	on(NULL, "CLUSTER SLOTS", "-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n");
	on(NULL, "GET", "+x\r\n");
	start_cold(TWO);
	want_status(ask("GET", "foo"), "x");
	ask("BLPOP", "foo", "0"); /* something is always open */
	run_for(1500);
	check(fetches() <= 5, "%u fetches in 1.5 s", fetches());
	stop();
}

static void a_cluster_that_gives_no_map_is_asked_with_pauses(void **state)
{
	on(NULL, "CLUSTER SLOTS", "-LOADING Redis is loading the dataset in memory\r\n");
	start_cold(TWO);
	ask("GET", "foo");
	ask("GET", "a");
	run_for(2000);
	check(fetches() >= 2 && fetches() <= 25, "%u fetches in 2 s", fetches());
	stop();
}

static void a_cold_client_with_traffic_fetches_the_map_once(void **state)
{
	struct node *asked;

	on(NULL, "CLUSTER SLOTS", NULL);
	on(NULL, "GET", "+x\r\n");
	start_cold(TWO);
	ask("GET", "foo");
	asked = expect_somewhere("CLUSTER", "SLOTS");
	for (int i = 0; i < 5; i++) {
		ask("GET", "b");
		run_for(10);
	}
	say(asked, "%s", slots(TWO));
	run_for(1800);
	check_count(fetches(), 1);
}

/* Of two masters one is silent: whom nobody has talked to yet is the better one to ask. */
static void a_silent_node_is_not_asked_for_the_map(void **state)
{
	struct ask *get;

	for (int round = 0; round < 6; round++) {
		options.pause_ms = 100;
		start(TWO);
		node_layout(n1, NULL);
		layout("0-8191 n0; 8192-16383 n2");
		on(n1, "CLUSTER SLOTS", NULL);
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		on(n2, "GET", "+x\r\n");
		want_status(get, "x");
		want_took(get, 0, 900);
		stop();
		settle();
		forget(n1);
	}
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(one_fetch_serves_all_who_ask),
		scripted(refresh_now_is_now),
		scripted(a_steady_stream_of_moved_is_no_storm),
		scripted(a_node_that_is_down_is_no_storm),
		scripted(what_can_wait_is_spread),
		scripted(the_slow_timer_refreshes),
		scripted(without_it_an_idle_client_is_quiet),
		scripted(a_node_that_does_not_answer_is_passed_over),
		scripted(the_seeds_are_asked_last),
		scripted(a_map_from_a_node_is_of_its_own_host),
		scripted(refresh_of_a_destroyed_client_is_called_back),
		scripted(refresh_without_a_callback),
		scripted(refresh_where_nobody_answers_says_so),
		scripted(a_map_that_may_not_be_asked_for_is_not_asked_for_again_and_again),
		scripted(a_cluster_that_gives_no_map_is_asked_with_pauses),
		scripted(a_cold_client_with_traffic_fetches_the_map_once),
		scripted(a_silent_node_is_not_asked_for_the_map),
	};
	return run(tests);
}
