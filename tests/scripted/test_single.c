/* SPDX-License-Identifier: MIT */
/* One server, no cluster: found out by asking; unix sockets. */
#include "scripted.h"

#define NO_CLUSTER "-ERR This instance has cluster support disabled\r\n"

static void start_single(void)
{
	on(n0, "CLUSTER", NO_CLUSTER);
	start_cold("");
}

static void a_single_server_is_found_out(void **state)
{
	struct ask *get;

	start_single();
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "+x\r\n");
	want_status(get, "x");
	check(shard_topology_is_single(shard_client_topology(client)), "not single");
	check_count(heard(n0, "CLUSTER SLOTS"), 1);
	check_count(connections_ever(n0), 1);
}

static void its_commands_are_not_split(void **state)
{
	struct ask *ask_it;

	start_single();
	on(n0, "PING", "+PONG\r\n");
	want_done(ask("PING"));
	ask_it = ask("MGET", "foo", "b", "foo");
	expect(n0, "MGET", "foo", "b", "foo");
	say(n0, "*3\r\n+1\r\n+2\r\n+1\r\n");
	want_array(ask_it, 3);
	ask_it = ask("MSETNX", "foo", "1", "b", "2");
	expect(n0, "MSETNX", "foo", "1", "b", "2");
	say(n0, ":1\r\n");
	want_integer(ask_it, 1);
	ask_it = ask("SINTER", "foo", "b");
	expect(n0, "SINTER", "foo", "b");
	say(n0, "*0\r\n");
	want_array(ask_it, 0);
	ask_it = ask("DBSIZE");
	expect(n0, "DBSIZE");
	say(n0, ":5\r\n");
	want_integer(ask_it, 5);
}

/* Before it is known what the server is: nothing is lost, and nothing wrong is sent. */
static void the_first_command_may_have_keys_of_several_slots(void **state)
{
	struct ask *mget, *msetnx;

	start_single();
	mget = ask("MGET", "foo", "b");
	msetnx = ask("MSETNX", "foo", "1", "b", "2");
	on(n0, "MGET foo b", "*2\r\n+1\r\n+2\r\n");
	on(n0, "MGET foo", "*1\r\n+1\r\n");
	on(n0, "MGET b", "*1\r\n+2\r\n");
	on(n0, "MGET foo b", "*2\r\n+1\r\n+2\r\n");
	on(n0, "MSETNX", ":1\r\n");
	want_array(mget, 2);
	assert_string_equal(mget->reply->element[0].str, "1");
	assert_string_equal(mget->reply->element[1].str, "2");
	want_integer(msetnx, 1);
}

static void parts_work_on_a_single_server_too(void **state)
{
	struct ask *del;

	start_single();
	on(n0, "DEL foo", ":1\r\n");
	on(n0, "DEL b", ":0\r\n");
	del = ask_flags(SHARD_PARTS, "DEL", "foo", "b");
	want_integer(del, 1);
	check_count(del->part_count, 2);
	want_part(del, 0, SHARD_OK, ":1");
	want_part(del, 1, SHARD_OK, ":0");
}

static void each_master_is_the_one_server(void **state)
{
	struct ask *ping;

	start_single();
	on(n0, "PING", "+PONG\r\n");
	ping = ask_flags(SHARD_EACH_MASTER, "PING");
	want_done(ping);
	check_count(ping->part_count, 1);
	want_part(ping, 0, SHARD_OK, "+PONG");
	ping = ask_flags(SHARD_EACH_NODE, "PING");
	want_done(ping);
	check_count(ping->part_count, 1);
}

static void one_that_turns_out_to_be_a_cluster(void **state)
{
	struct ask *get;

	start_single();
	on(n0, "PING", "+PONG\r\n");
	want_done(ask("PING"));
	layout(TWO);
	on(n0, "CLUSTER SLOTS", slots(TWO));
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	on(n0, "GET", "+0\r\n");
	on(n1, "GET", "+1\r\n");
	want_status(get, "1");
	want_status(ask("GET", "foo"), "1");
	want_status(ask("GET", "b"), "0");
	want_status(ask("GET", "a"), "1");
}

static void a_restart_is_waited_for(void **state)
{
	struct ask *incr, *get;

	start_single();
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	node_down(n0);
	settle();
	incr = ask("INCR", "foo");
	run_for(200);
	want_open(incr);
	want_open(get);
	node_up(n0);
	on(n0, "GET", "+x\r\n");
	on(n0, "INCR", ":1\r\n");
	want_status(get, "x");
	want_integer(incr, 1);
}

static void loading_is_waited_for(void **state)
{
	struct ask *get;

	start_single();
	on(n0, "GET", "-LOADING Redis is loading the dataset in memory\r\n");
	on(n0, "CLUSTER", "-LOADING Redis is loading the dataset in memory\r\n");
	get = ask("GET", "foo");
	run_for(100);
	want_open(get);
	on(n0, "CLUSTER", NO_CLUSTER);
	on(n0, "GET", "+x\r\n");
	want_status(get, "x");
}

static void readonly_of_a_replica_is_the_callers(void **state)
{
	struct ask *incr;

	start_single();
	incr = ask("INCR", "foo");
	expect(n0, "INCR", "foo");
	say(n0, "-READONLY You can't write against a read only replica.\r\n");
	want_server_error(incr, "READONLY You can't write against a read only replica.");
}

static void servers_that_know_no_cluster_command(void **state)
{
	static const char *const errors[] = {NO_CLUSTER, "-ERR unknown command 'CLUSTER', with args beginning with: 'SLOTS' \r\n",
					     "-ERR unknown command `CLUSTER`, with args beginning with: `SLOTS`, \r\n"};

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct ask *get;

		on(n0, "CLUSTER", errors[i]);
		on(n0, "GET", "+x\r\n");
		start_cold("");
		get = ask("GET", "foo");
		want_status(get, "x");
		stop();
	}
}

/* ACL without CLUSTER: whatever it is, redirects show the way. */
static void a_map_that_may_not_be_asked_for(void **state)
{
	struct ask *get;

	on(n0, "CLUSTER", "-NOPERM this user has no permissions to run the 'cluster|slots' command\r\n");
	start_cold("");
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

/* ---- unix sockets ---- */

static void a_unix_socket_serves(void **state)
{
	struct ask *get;

	on(n0, "CLUSTER", NO_CLUSTER);
	seeds("unix://%s", unix_path(n0));
	start_cold("");
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "+x\r\n");
	want_status(get, "x");
	assert_string_equal(get->node, unix_path(n0));
	hang_up_all(n0);
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "+y\r\n");
	want_status(get, "y");
}

static void a_unix_socket_that_is_not_there_is_named(void **state)
{
	struct ask *get;

	options.timeout_ms = 300;
	seeds("unix:///no/such/dir/redis.sock");
	start_cold("");
	get = ask("GET", "foo");
	want_error(get, SHARD_ECONNECT);
	check(strstr(get->message, "/no/such/dir/redis.sock"), "%s", said(get));
}

static void a_cluster_by_its_unix_socket(void **state)
{
	struct ask *get;

	seeds("unix://%s", unix_path(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void a_lazy_client_by_unix_socket_follows_moved(void **state)
{
	struct ask *get;

	options.lazy = true;
	seeds("unix://%s", unix_path(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n0, "GET", "foo");
	say(n0, "-MOVED 12182 127.0.0.1:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_single_server_is_found_out),
		scripted(its_commands_are_not_split),
		scripted(the_first_command_may_have_keys_of_several_slots),
		scripted(parts_work_on_a_single_server_too),
		scripted(each_master_is_the_one_server),
		scripted(one_that_turns_out_to_be_a_cluster),
		scripted(a_restart_is_waited_for),
		scripted(loading_is_waited_for),
		scripted(readonly_of_a_replica_is_the_callers),
		scripted(servers_that_know_no_cluster_command),
		scripted(a_map_that_may_not_be_asked_for),
		scripted(a_unix_socket_serves),
		scripted(a_unix_socket_that_is_not_there_is_named),
		scripted(a_cluster_by_its_unix_socket),
		scripted(a_lazy_client_by_unix_socket_follows_moved),
	};
	return run(tests);
}
