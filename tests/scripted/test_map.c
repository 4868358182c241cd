/* SPDX-License-Identifier: MIT */
/* The map: how it is asked for, what it may look like, what hostile ones do, and the hook for addresses. */
#include "scripted.h"

static void answers(struct node *node, const char *key)
{
	struct ask *get = ask("GET", key);

	expect(node, "GET", key);
	say(node, "+%s\r\n", key);
	want_status(get, key);
}

static void a_client_that_knows_nothing_fetches_the_map_first(void **state)
{
	struct ask *get;

	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	check_count(heard(n0, "CLUSTER SLOTS"), 1);
	check_count(heard(n0, "GET"), 0);
	answers(n0, "b");
}

static void a_lazy_client_asks_the_seed_and_follows_moved(void **state)
{
	struct ask *get;

	options.lazy = true;
	layout(TWO);
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	check_count(heard(n0, "CLUSTER"), 0);
	say(n0, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void a_lazy_client_of_a_single_server_never_asks_for_a_map(void **state)
{
	options.lazy = true;
	start_cold("");
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	answers(n0, "foo");
	answers(n0, "b");
	run_for(50);
	check_count(heard(n0, "CLUSTER"), 0);
}

static void a_lazy_client_tries_all_its_seeds(void **state)
{
	struct ask *incr;

	options.lazy = true;
	node_down(n3);
	node_down(n4);
	seeds("redis://%s,%s,%s", addr(n3), addr(n4), addr(n0));
	start_cold(TWO);
	incr = ask("INCR", "b");
	expect(n0, "INCR", "b");
	say(n0, ":1\r\n");
	want_integer(incr, 1);
	want_took(incr, 0, 500);
}

static void a_topology_that_is_given_is_believed(void **state)
{
	start(TWO);
	answers(n1, "foo");
	answers(n0, "b");
	run_for(50);
	check_count(heard(NULL, "CLUSTER"), 0);
}

static void maps_of_every_version_are_read(void **state)
{
	static const int styles[] = {3, 4, 7};

	for (int i = 0; i < 3; i++) {
		slots_style = styles[i];
		start_cold("0-8191 n0 n2; 8192-16383 n1 n3");
		answers(n1, "foo");
		answers(n0, "b");
		check_count(shard_topology_node_count(shard_client_topology(client)), 4);
		stop();
	}
}

static void nodes_without_a_host_are_where_the_map_came_from(void **state)
{
	start_cold("0-8191 n0@; 8192-16383 n1@nil");
	answers(n1, "foo");
	answers(n0, "b");
}

static void a_node_of_unknown_address_is_not_dialled(void **state)
{
	struct ask *get;

	options.timeout_ms = 300;
	start_cold("0-8191 n0; 8192-16383 n1@?");
	answers(n0, "b");
	get = ask("GET", "foo");
	want_done(get);
	check(get->error == SHARD_ENOROUTE || get->error == SHARD_ERESOLVE || get->error == SHARD_ECONNECT, "%s", said(get));
	check_count(connections_ever(n1), 0);
}

static void hosts_may_be_names(void **state)
{
	start_cold("0-8191 n0@localhost; 8192-16383 n1@localhost");
	answers(n1, "foo");
	answers(n0, "b");
}

static void a_name_that_does_not_resolve_is_told(void **state)
{
	struct ask *get;

	options.timeout_ms = 400;
	start_cold("0-8191 n0; 8192-16383 n1@no.such.host.invalid");
	get = ask("GET", "foo");
	answers(n0, "b");
	want_done(get);
	check(get->error == SHARD_ERESOLVE || get->error == SHARD_ECONNECT || get->error == SHARD_ETIMEDOUT, "%s", said(get));
	want_took(get, 0, 800);
	check(strstr(get->message, "no.such.host.invalid") || strstr(get->node, "no.such.host.invalid"), "%s", said(get));
}

/* ---- partial, overlapping, empty ---- */

static void slots_that_are_covered_work_in_a_partial_map(void **state)
{
	struct ask *get;

	options.timeout_ms = 400;
	start_cold("0-8191 n0; 8192-12181 n1; 12183-16383 n1");
	answers(n0, "b");
	answers(n1, "a");
	get = ask("GET", "foo");
	want_error(get, SHARD_ENOROUTE);
	check_count(get->slot, 12182);
	want_took(get, 400, 700);
}

static void a_slot_without_an_owner_waits_for_one(void **state)
{
	struct ask *incr;

	start_cold("0-8191 n0");
	incr = ask("INCR", "foo");
	run_for(100);
	want_open(incr);
	layout(TWO);
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
}

static void overlapping_and_repeated_ranges_do_not_refuse_the_map(void **state)
{
	start_cold("0-8191 n0; 0-8191 n0; 8192-16383 n2; 12000-13000 n1; 5000-5000 n0; 8000-9000 n2");
	answers(n1, "foo");
	answers(n2, "a");
	answers(n0, "b");
}

static void an_empty_map_waits_for_a_better_one(void **state)
{
	struct ask *get;

	start_cold("");
	get = ask("GET", "foo");
	run_for(50);
	want_open(get);
	layout(TWO);
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void an_empty_map_ends_at_the_deadline(void **state)
{
	options.timeout_ms = 300;
	start_cold("");
	want_error(ask("GET", "foo"), SHARD_ENOROUTE);
	stop();
	start_cold("");
	want_done(ask("PING"));
}

static void a_node_that_knows_no_map_is_not_the_last_word(void **state)
{
	struct ask *get;

	seeds("redis://%s,%s", addr(n0), addr(n1));
	node_layout(n0, "");
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

/* ---- hostile ---- */

static void hostile_maps_are_refused_or_harmless(void **state)
{
	static const char *const maps[] = {
		"+OK\r\n", ":1\r\n", "$-1\r\n", "*1\r\n:1\r\n", "*1\r\n*0\r\n", "*1\r\n*1\r\n:0\r\n", "*1\r\n*2\r\n:0\r\n:16383\r\n",
		"*1\r\n*3\r\n:0\r\n:99999\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:-5\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:5\r\n:1\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:0\r\n:16384\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:0\r\n:9223372036854775807\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:99999\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:-1\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:0\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n:1\r\n:7000\r\n", "*1\r\n*3\r\n:0\r\n:16383\r\n*0\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*1\r\n$9\r\n127.0.0.1\r\n", "*1\r\n*3\r\n:0\r\n:16383\r\n$3\r\nabc\r\n",
		"*1\r\n*3\r\n$1\r\n0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:7000\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$9\r\n127.0.0.1\r\n:7000\r\n:5\r\n",
		"*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.\n\r\n:7000\r\n"};
	struct ask *refresh;

	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++) {
		options.timeout_ms = 150;
		start("0-16383 n0");
		on(n0, "CLUSTER SLOTS", NULL);
		refresh = ask_refresh();
		expect(n0, "CLUSTER", "SLOTS");
		say(n0, "%s", maps[i]);
		on(n0, "CLUSTER SLOTS", maps[i][0] == '*' ? "*0\r\n" : maps[i]);
		want_done(refresh);
		stop();
	}
}

static void a_host_with_a_nul_in_it_is_not_cut_short(void **state)
{
	static const char map[] = "*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$10\r\n127.0.0.1\0\r\n:7000\r\n";
	struct ask *refresh;

	options.timeout_ms = 150;
	start("0-16383 n0");
	on(n0, "CLUSTER SLOTS", NULL);
	refresh = ask_refresh();
	expect(n0, "CLUSTER", "SLOTS");
	say_bytes(n0, map, sizeof(map) - 1);
	on(n0, "CLUSTER SLOTS", "*0\r\n");
	want_done(refresh);
	check_count(shard_topology_find_addr(shard_client_topology(client), "127.0.0.1", 7000), -1);
}

static void a_map_that_is_refused_leaves_the_old_one(void **state)
{
	struct ask *refresh;

	options.timeout_ms = 300;
	start(TWO);
	on(NULL, "CLUSTER SLOTS", "*1\r\n*3\r\n:0\r\n:99999\r\n:5\r\n");
	refresh = ask_refresh();
	want_done(refresh);
	check(refresh->error != SHARD_OK, "%s", said(refresh));
	answers(n1, "foo");
	answers(n0, "b");
}

/* ---- watching it ---- */

static unsigned changes;
static int owner_seen;

static void changed(void *ctx, shard_topology *map)
{
	changes++;
	owner_seen = shard_topology_node(map, (size_t)shard_topology_owner(map, 12182))->port;
	check(map == shard_client_topology(client), "not the client's map");
}

static void a_watcher_is_told_of_refreshes_and_moved(void **state)
{
	struct ask *get;

	changes = 0;
	start(TWO);
	on(NULL, "CLUSTER SLOTS", NULL);
	shard_client_on_topology(client, changed, NULL);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	until(owner_seen == port(n2));
	on(n2, "GET", "+x\r\n");
	want_status(get, "x");
	on(NULL, "CLUSTER SLOTS", slots("0-8191 n0; 8192-16383 n3"));
	until(owner_seen == port(n3));
	shard_client_on_topology(client, NULL, NULL);
}

static void a_map_that_is_held_lives_on(void **state)
{
	shard_topology *old;
	struct ask *refresh;

	start(TWO);
	old = shard_topology_ref(shard_client_topology(client));
	layout("0-16383 n0");
	refresh = ask_refresh();
	want_error(refresh, SHARD_OK);
	check(old != shard_client_topology(client), "the map did not change");
	check_count(shard_topology_node(old, (size_t)shard_topology_owner(old, 12182))->port, port(n1));
	stop();
	check_count(shard_topology_node(old, (size_t)shard_topology_owner(old, 12182))->port, port(n1));
	shard_topology_unref(old);
}

/* ---- the hook ---- */

static unsigned mapped, seeds_mapped;

/* 10.0.0.N:port is really 127.0.0.1:port+1 (of a list). */
static void nat(void *ctx, char *host, size_t host_size, uint16_t *at)
{
	mapped++;
	seeds_mapped += strcmp(host, "127.0.0.1") == 0;
	if (strncmp(host, "10.0.0.", 7) != 0)
		return;
	*at = (uint16_t)port((struct node *[]){n0, n1, n2, n3, n4, n5}[host[7] - '0']);
	snprintf(host, host_size, "127.0.0.1");
}

static void the_hook_maps_addresses_of_maps_moved_and_ask(void **state)
{
	struct ask *get;

	mapped = seeds_mapped = 0;
	options.address_map = nat;
	start_cold("0-8191 n0@10.0.0.0:1000; 8192-16383 n1@10.0.0.1:1000 n4@10.0.0.4:1000");
	answers(n1, "foo");
	answers(n0, "b");
	check(mapped >= 3, "called %u times", mapped);
	check_count(seeds_mapped, 0);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 10.0.0.2:1000\r\n");
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	say(n2, "+OK\r\n");
	say(n2, "-MOVED 12182 10.0.0.3:1000\r\n");
	expect(n3, "GET", "foo");
	say(n3, "+x\r\n");
	want_status(get, "x");
	get = ask_flags(SHARD_REPLICA, "GET", "a");
	expect(n4, "GET", "a");
	say(n4, "+x\r\n");
	want_status(get, "x");
	check_count(connections_ever(n0), 1); /* the seed is the node that the map calls 10.0.0.0 */
}

/* A node's address that belongs to a plain server now: one that is not of the cluster tells nothing about it. */
static void a_stray_server_does_not_replace_the_map(void **state)
{
	struct ask *set;

	start(TWO);
	on(NULL, "PING", "+PONG\r\n");
	want_done(ask_flags(SHARD_EACH_MASTER, "PING"));
	for (int i = 0; i < 4; i++) {
		on(n1, "CLUSTER SLOTS", "-ERR This instance has cluster support disabled\r\n");
		want_done(ask_refresh());
		check(!shard_topology_is_single(shard_client_topology(client)), "taken for a single server");
	}
	set = ask("SET", "b", "1");
	expect(n0, "SET", "b", "1");
	say(n0, "+OK\r\n");
	want_status(set, "OK");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_client_that_knows_nothing_fetches_the_map_first),
		scripted(a_lazy_client_asks_the_seed_and_follows_moved),
		scripted(a_lazy_client_of_a_single_server_never_asks_for_a_map),
		scripted(a_lazy_client_tries_all_its_seeds),
		scripted(a_topology_that_is_given_is_believed),
		scripted(maps_of_every_version_are_read),
		scripted(nodes_without_a_host_are_where_the_map_came_from),
		scripted(a_node_of_unknown_address_is_not_dialled),
		scripted(hosts_may_be_names),
		scripted(a_name_that_does_not_resolve_is_told),
		scripted(slots_that_are_covered_work_in_a_partial_map),
		scripted(a_slot_without_an_owner_waits_for_one),
		scripted(overlapping_and_repeated_ranges_do_not_refuse_the_map),
		scripted(an_empty_map_waits_for_a_better_one),
		scripted(an_empty_map_ends_at_the_deadline),
		scripted(a_node_that_knows_no_map_is_not_the_last_word),
		scripted(hostile_maps_are_refused_or_harmless),
		scripted(a_host_with_a_nul_in_it_is_not_cut_short),
		scripted(a_map_that_is_refused_leaves_the_old_one),
		scripted(a_watcher_is_told_of_refreshes_and_moved),
		scripted(a_map_that_is_held_lives_on),
		scripted(the_hook_maps_addresses_of_maps_moved_and_ask),
		scripted(a_stray_server_does_not_replace_the_map),
	};
	return run(tests);
}
