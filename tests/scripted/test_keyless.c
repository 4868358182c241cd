/* SPDX-License-Identifier: MIT */
/* Commands without keys by Redis 7's policies; SHARD_EACH_*; commands that the table does not have. */
#include "scripted.h"

#define THREE "0-5460 n0 n3; 5461-10922 n1 n4; 10923-16383 n2 n5"

static void each_says(const char *pattern, const char *first, const char *second, const char *third)
{
	on(n0, pattern, first);
	on(n1, pattern, second);
	on(n2, pattern, third);
}

static void dbsize_is_summed_over_all_masters(void **state)
{
	struct ask *dbsize;

	start(THREE);
	each_says("DBSIZE", ":1\r\n", ":20\r\n", ":300\r\n");
	dbsize = ask("DBSIZE");
	want_integer(dbsize, 321);
	check_count(dbsize->slot, -1);
	check_count(heard(n3, "DBSIZE") + heard(n4, "DBSIZE") + heard(n5, "DBSIZE"), 0);
}

static void flushall_succeeds_where_all_do(void **state)
{
	start(THREE);
	each_says("FLUSHALL", "+OK\r\n", "+OK\r\n", "+OK\r\n");
	want_status(ask("FLUSHALL"), "OK");
	on(n1, "FLUSHALL", "-NOPERM no\r\n");
	want_server_error(ask("FLUSHALL"), "NOPERM no");
	check_count(heard(NULL, "FLUSHALL"), 6);
}

static void keys_are_appended(void **state)
{
	struct ask *keys;

	start(THREE);
	each_says("KEYS", "*2\r\n+a\r\n+b\r\n", "*0\r\n", "*1\r\n+c\r\n");
	keys = ask("KEYS", "*");
	want_array(keys, 3);
}

static void wait_gives_the_least(void **state)
{
	start(THREE);
	each_says("WAIT", ":2\r\n", ":1\r\n", ":2\r\n");
	want_integer(ask("WAIT", "1", "100"), 1);
}

static void script_exists_is_true_where_it_is_for_all(void **state)
{
	struct ask *exists;

	start(THREE);
	each_says("SCRIPT EXISTS", "*2\r\n:1\r\n:1\r\n", "*2\r\n:0\r\n:1\r\n", "*2\r\n:1\r\n:1\r\n");
	exists = ask("SCRIPT", "EXISTS", "a", "b");
	want_array(exists, 2);
	check_count(exists->reply->element[0].integer, 0);
	check_count(exists->reply->element[1].integer, 1);
}

static void script_load_goes_to_all_nodes(void **state)
{
	start(THREE);
	on(NULL, "SCRIPT LOAD", "$2\r\nab\r\n");
	want_string(ask("SCRIPT", "LOAD", "return 1"), "ab");
	check_count(heard(NULL, "SCRIPT LOAD"), 6);
}

static void config_set_goes_to_all_nodes(void **state)
{
	start(THREE);
	on(NULL, "CONFIG SET", "+OK\r\n");
	want_status(ask("CONFIG", "SET", "maxmemory", "1"), "OK");
	check_count(heard(NULL, "CONFIG SET"), 6);
}

static void script_kill_needs_one_that_succeeds(void **state)
{
	start(THREE);
	each_says("SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n", "+OK\r\n",
		  "-NOTBUSY No scripts in execution right now.\r\n");
	want_status(ask("SCRIPT", "KILL"), "OK");
	on(NULL, "SCRIPT KILL", "-NOTBUSY No scripts in execution right now.\r\n");
	want_server_error(ask("SCRIPT", "KILL"), "NOTBUSY No scripts in execution right now.");
}

static void randomkey_asks_all_and_takes_one_that_has_keys(void **state)
{
	start(THREE);
	each_says("RANDOMKEY", "$-1\r\n", "$1\r\nk\r\n", "$-1\r\n");
	for (int i = 0; i < 5; i++)
		want_string(ask("RANDOMKEY"), "k");
	on(NULL, "RANDOMKEY", "$-1\r\n");
	want_nil(ask("RANDOMKEY"));
}

static void what_has_no_rule_stands_for_itself(void **state)
{
	struct ask *info;

	start(THREE);
	each_says("INFO", "$1\r\na\r\n", "$1\r\nb\r\n", "$1\r\nc\r\n");
	info = ask("INFO");
	want_array(info, 3);
}

static void what_has_no_policy_goes_to_one_master(void **state)
{
	start(THREE);
	for (int i = 0; i < 10; i++) {
		on(NULL, "TIME", "*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
		want_array(ask("TIME"), 2);
	}
	check_count(heard(NULL, "TIME"), 10);
	check_count(heard(n3, "TIME") + heard(n4, "TIME") + heard(n5, "TIME"), 0);
}

static void parts_of_a_keyless_command_are_the_nodes(void **state)
{
	struct ask *info;
	unsigned seen = 0;

	start(THREE);
	each_says("PING", "+n0\r\n", "+n1\r\n", "-ERR n2\r\n");
	info = ask_flags(SHARD_EACH_MASTER, "PING");
	want_done(info);
	check_count(info->part_count, 3);
	for (size_t i = 0; i < 3; i++) {
		struct node *nodes_[] = {n0, n1, n2};
		const char *texts[] = {"+n0", "+n1", "-ERR n2"};

		for (int j = 0; j < 3; j++)
			if (strcmp(info->part[i].node, addr(nodes_[j])) == 0) {
				want_part(info, i, j == 2 ? SHARD_ESERVER : SHARD_OK, texts[j]);
				seen |= 1u << j;
			}
	}
	check_count(seen, 7);
}

static void each_master_hears_a_command_whatever_its_keys(void **state)
{
	struct ask *get;

	start(THREE);
	on(NULL, "GET", "-MOVED 12182 127.0.0.1:7\r\n");
	get = ask_flags(SHARD_EACH_MASTER, "GET", "foo");
	want_done(get);
	check_count(get->part_count, 3);
	check_count(heard(NULL, "GET"), 3); /* no redirects */
}

static void each_node_means_replicas_too(void **state)
{
	struct ask *ping;

	start(THREE);
	on(NULL, "PING", "+PONG\r\n");
	ping = ask_flags(SHARD_EACH_NODE, "PING");
	want_done(ping);
	check_count(ping->part_count, 6);
	for (size_t i = 0; i < 6; i++)
		want_part(ping, i, SHARD_OK, "+PONG");
	check_count(heard(n4, "PING"), 1);
}

static void a_node_that_is_down_fails_its_part_alone(void **state)
{
	struct ask *ping;

	options.timeout_ms = 300;
	start(THREE);
	node_down(n1);
	on(NULL, "PING", "+PONG\r\n");
	ping = ask_flags(SHARD_EACH_MASTER, "PING");
	want_done(ping);
	check_count(ping->part_count, 3);
	for (size_t i = 0; i < 3; i++) {
		if (strcmp(ping->part[i].node, addr(n1)) == 0)
			want_part(ping, i, SHARD_ECONNECT, NULL);
		else
			want_part(ping, i, SHARD_OK, "+PONG");
	}
	want_took(ping, 0, 700);
}

static void dbsize_with_a_node_down_is_an_error(void **state)
{
	struct ask *dbsize;

	options.timeout_ms = 300;
	start(THREE);
	node_down(n1);
	on(NULL, "DBSIZE", ":1\r\n");
	dbsize = ask("DBSIZE");
	want_error(dbsize, SHARD_ECONNECT);
}

static void sums_of_the_wrong_shape_are_errors(void **state)
{
	start(THREE);
	each_says("DBSIZE", ":1\r\n", "+OK\r\n", ":300\r\n");
	want_error(ask("DBSIZE"), SHARD_EPROTOCOL);
	each_says("KEYS", "*1\r\n+a\r\n", ":1\r\n", "*0\r\n");
	want_error(ask("KEYS", "*"), SHARD_EPROTOCOL);
	each_says("SCRIPT EXISTS", "*2\r\n:1\r\n:1\r\n", "*1\r\n:0\r\n", "*2\r\n:1\r\n+x\r\n");
	want_error(ask("SCRIPT", "EXISTS", "a", "b"), SHARD_EPROTOCOL);
}

/* ---- commands that the table does not have ---- */

static void an_unknown_command_is_asked_about(void **state)
{
	struct ask *foo;
	struct node *asked;

	start(TWO);
	foo = ask("MY.CMD", "x", "foo");
	asked = expect_somewhere("COMMAND", "GETKEYS", "MY.CMD", "x", "foo");
	say(asked, "*1\r\n$3\r\nfoo\r\n");
	expect(n1, "MY.CMD", "x", "foo");
	say(n1, "+1\r\n");
	want_status(foo, "1");
	check_count(foo->slot, 12182);
	foo = ask("MY.CMD", "y", "b"); /* other arguments may have other keys */
	asked = expect_somewhere("COMMAND", "GETKEYS", "MY.CMD", "y", "b");
	say(asked, "*1\r\n$1\r\nb\r\n");
	expect(n0, "MY.CMD", "y", "b");
	say(n0, "+2\r\n");
	want_status(foo, "2");
}

static void many_at_once_all_find_their_nodes(void **state)
{
	struct ask *first, *second, *third;

	start(TWO);
	on(NULL, "COMMAND GETKEYS MY.CMD foo", "*1\r\n$3\r\nfoo\r\n");
	on(NULL, "COMMAND GETKEYS MY.CMD b", "*1\r\n$1\r\nb\r\n");
	on(n0, "MY.CMD", "+n0\r\n");
	on(n1, "MY.CMD", "+n1\r\n");
	first = ask("MY.CMD", "foo");
	second = ask("MY.CMD", "b");
	third = ask("MY.CMD", "foo");
	want_status(first, "n1");
	want_status(second, "n0");
	want_status(third, "n1");
}

static void an_unknown_command_without_keys_goes_to_one_master(void **state)
{
	start(TWO);
	on(NULL, "COMMAND GETKEYS", "-ERR The command has no key arguments\r\n");
	on(NULL, "MY.CMD", "+x\r\n");
	want_status(ask("MY.CMD", "1"), "x");
	check_count(heard(NULL, "MY.CMD"), 1);
}

static void what_the_server_does_not_know_either_is_its_error(void **state)
{
	start(TWO);
	on(NULL, "COMMAND GETKEYS", "-ERR Invalid command specified\r\n");
	on(NULL, "MY.CMD", "-ERR unknown command 'MY.CMD'\r\n");
	want_server_error(ask("MY.CMD", "1"), "ERR unknown command 'MY.CMD'");
}

static void odd_answers_to_getkeys_end_well(void **state)
{
	static const char *const answers[] = {"*0\r\n", "+OK\r\n", "*-1\r\n", "*1\r\n:5\r\n", "*1\r\n$5\r\nother\r\n",
					      "*1\r\n*0\r\n", "*2\r\n$3\r\nfoo\r\n$1\r\nb\r\n"};
	char name[16];

	start(TWO);
	on(NULL, "", "+x\r\n");
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct ask *odd;

		snprintf(name, sizeof(name), "MY.%zu", i);
		on(NULL, "COMMAND GETKEYS", answers[i]);
		odd = ask(name, "foo", "b");
		want_done(odd);
		check(odd->error == SHARD_OK || odd->error == SHARD_EPROTOCOL || odd->error == SHARD_ECROSSSLOT, "%s", said(odd));
	}
}

static void a_key_that_the_caller_names_needs_no_question(void **state)
{
	shard_call how = {.key = "foo", .key_len = 3};
	struct ask *ask_it;

	start(TWO);
	ask_it = ask_how(&how, "MY.CMD", "1");
	expect(n1, "MY.CMD", "1");
	say(n1, "+x\r\n");
	want_status(ask_it, "x");
	check_count(ask_it->slot, 12182);
	how.key_len = 0; /* the empty key is a key */
	ask_it = ask_how(&how, "MY.CMD", "2");
	expect(n0, "MY.CMD", "2");
	say(n0, "+x\r\n");
	want_status(ask_it, "x");
	check_count(heard(NULL, "COMMAND"), 0);
}

static void a_break_while_asking_about_keys_is_retried(void **state)
{
	struct ask *my;
	struct node *asked;

	start(TWO);
	my = ask("MY.INCR", "foo");
	asked = expect_somewhere("COMMAND", "GETKEYS", "MY.INCR", "foo");
	hang_up(asked);
	asked = expect_somewhere("COMMAND", "GETKEYS", "MY.INCR", "foo");
	say(asked, "*1\r\n$3\r\nfoo\r\n");
	expect(n1, "MY.INCR", "foo");
	hang_up(n1);
	want_error(my, SHARD_EUNKNOWN); /* nobody knows whether it may be sent twice */
	check_count(heard(NULL, "MY.INCR"), 1);
}

static void what_changes_the_connection_is_refused(void **state)
{
	static const char *const commands[][4] = {
		{"SELECT", "1", NULL}, {"MULTI", NULL},         {"SUBSCRIBE", "a", NULL}, {"MONITOR", NULL}, {"READONLY", NULL},
		{"ASKING", NULL},      {"AUTH", "x", NULL},     {"WATCH", "foo", NULL},   {"EXEC", NULL},    {"PSUBSCRIBE", "a", NULL},
		{"HELLO", "3", NULL},  {"SSUBSCRIBE", "a", NULL}, {"RESET", NULL},        {"QUIT", NULL},    {"CLIENT", "REPLY", "OFF", NULL},
		{"SYNC", NULL},        {"PSYNC", "?", "-1", NULL}, {"subscribe", "a", NULL}};

	start(TWO);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ask *ask_it = ask_try(NULL, commands[i]);

		check(ask_it->submitted == SHARD_EUNSUPPORTED, "%s: %s", ask_it->text, said(ask_it));
	}
	settle();
	check_count(heard(NULL, ""), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(dbsize_is_summed_over_all_masters),
		scripted(flushall_succeeds_where_all_do),
		scripted(keys_are_appended),
		scripted(wait_gives_the_least),
		scripted(script_exists_is_true_where_it_is_for_all),
		scripted(script_load_goes_to_all_nodes),
		scripted(config_set_goes_to_all_nodes),
		scripted(script_kill_needs_one_that_succeeds),
		scripted(randomkey_asks_all_and_takes_one_that_has_keys),
		scripted(what_has_no_rule_stands_for_itself),
		scripted(what_has_no_policy_goes_to_one_master),
		scripted(parts_of_a_keyless_command_are_the_nodes),
		scripted(each_master_hears_a_command_whatever_its_keys),
		scripted(each_node_means_replicas_too),
		scripted(a_node_that_is_down_fails_its_part_alone),
		scripted(dbsize_with_a_node_down_is_an_error),
		scripted(sums_of_the_wrong_shape_are_errors),
		scripted(an_unknown_command_is_asked_about),
		scripted(many_at_once_all_find_their_nodes),
		scripted(an_unknown_command_without_keys_goes_to_one_master),
		scripted(what_the_server_does_not_know_either_is_its_error),
		scripted(odd_answers_to_getkeys_end_well),
		scripted(a_key_that_the_caller_names_needs_no_question),
		scripted(a_break_while_asking_about_keys_is_retried),
		scripted(what_changes_the_connection_is_refused),
	};
	return run(tests);
}
