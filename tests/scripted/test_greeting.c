/* SPDX-License-Identifier: MIT */
/* What a connection says first: AUTH, SELECT, READONLY; at every connect anew. Rule 7: NOAUTH. */
#include "scripted.h"

static void manual_greeting(void)
{
	on(NULL, "AUTH", NULL);
	on(NULL, "SELECT", NULL);
	on(NULL, "READONLY", NULL);
}

static void auth_comes_before_the_first_command(void **state)
{
	struct ask *get;

	manual_greeting();
	seeds("redis://:s3cr3t@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "AUTH", "s3cr3t");
	say(n1, "+OK\r\n");
	expect(n1, "GET", "foo");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void auth_with_user_and_password(void **state)
{
	struct ask *get;

	manual_greeting();
	seeds("redis://me%%20too:p%%40ss@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "AUTH", "me too", "p@ss");
	say(n1, "+OK\r\n");
	expect(n1, "GET", "foo");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void every_node_is_greeted(void **state)
{
	struct ask *get;

	manual_greeting();
	seeds("redis://:s3cr3t@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "AUTH", "s3cr3t");
	say(n1, "+OK\r\n");
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n5));
	on(NULL, "AUTH", "+OK\r\n");
	expect(n5, "GET", "foo");
	check_count(heard(n5, "AUTH s3cr3t"), 1);
	say(n5, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void auth_comes_again_at_every_reconnect(void **state)
{
	seeds("redis://:s3cr3t@%s", addr(n0));
	start(TWO);
	for (unsigned i = 1; i <= 3; i++) {
		struct ask *get = ask("GET", "foo");

		expect(n1, "GET", "foo");
		check_count(heard(n1, "AUTH s3cr3t"), i);
		say(n1, "$3\r\nbar\r\n");
		want_string(get, "bar");
		hang_up_all(n1);
		settle();
	}
}

static void auth_comes_again_after_a_break_in_flight(void **state)
{
	struct ask *get;

	seeds("redis://:s3cr3t@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	hang_up(n1);
	expect(n1, "GET", "foo");
	check_count(heard(n1, "AUTH s3cr3t"), 2);
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void a_wrong_password_is_told_at_once(void **state)
{
	struct ask *get, *incr;

	on(NULL, "AUTH", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	seeds("redis://:s3cr3t@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	incr = ask("INCR", "a");
	want_error(get, SHARD_EAUTH);
	want_error(incr, SHARD_EAUTH);
	want_took(get, 0, 1000);
	check(strstr(get->message, "WRONGPASS"), "the message does not tell the cause: %s", said(get));
	check(!strstr(get->message, "s3cr3t"), "the message tells the password: %s", said(get));
	check_count(heard(NULL, "GET"), 0);
	check_count(heard(NULL, "INCR"), 0);
}

static void a_wrong_password_is_told_when_the_map_is_fetched_first(void **state)
{
	struct ask *get;

	on(NULL, "AUTH", "-WRONGPASS invalid username-password pair or user is disabled.\r\n");
	seeds("redis://:s3cr3t@%s", addr(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	want_error(get, SHARD_EAUTH);
	want_took(get, 0, 1000);
}

/* ---- SELECT ---- */

static void start_single(int db)
{
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	seeds("redis://%s/%d", addr(n0), db);
	start_cold("");
}

static void select_comes_at_every_connect(void **state)
{
	start_single(7);
	for (unsigned i = 1; i <= 3; i++) {
		struct ask *get = ask("GET", "foo");
		unsigned before = heard(n0, "SELECT 7");

		expect(n0, "GET", "foo");
		check(i == 1 ? heard(n0, "SELECT 7") > 0 : heard(n0, "SELECT 7") > before, "no SELECT before GET");
		say(n0, "$3\r\nbar\r\n");
		want_string(get, "bar");
		hang_up_all(n0);
		settle();
	}
}

/* Pipelined behind a SELECT that is refused, a SET would change database 0. */
static void nothing_goes_out_before_select_is_acknowledged(void **state)
{
	struct ask *set;

	manual_greeting();
	start_single(7);
	set = ask("SET", "foo", "1");
	for (;;) {
		struct node *node = expect_somewhere("SELECT", "7");

		run_for(50);
		check_count(heard(node, "SET"), 0);
		say(node, "-ERR DB index is out of range\r\n");
		run_for(20);
		if (set->calls)
			break;
	}
	want_error(set, SHARD_EAUTH);
	check(strstr(set->message, "DB index"), "the message does not tell the cause: %s", said(set));
	check_count(heard(NULL, "SET"), 0);
}

static void a_database_of_a_cluster_is_an_error(void **state)
{
	struct ask *get;

	on(NULL, "SELECT", "-ERR SELECT is not allowed in cluster mode\r\n");
	seeds("redis://%s/3", addr(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	want_done(get);
	check(get->error == SHARD_EAUTH || get->error == SHARD_EINVAL || get->error == SHARD_EUNSUPPORTED, "%s", said(get));
	want_took(get, 0, 1000);
}

static void auth_comes_before_select(void **state)
{
	struct ask *get;

	manual_greeting();
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	seeds("redis://:s3cr3t@%s/2", addr(n0));
	start_cold("");
	get = ask("GET", "foo");
	expect(n0, "AUTH", "s3cr3t");
	say(n0, "+OK\r\n");
	expect(n0, "SELECT", "2");
	say(n0, "+OK\r\n");
	on(NULL, "AUTH", "+OK\r\n");
	on(NULL, "SELECT", "+OK\r\n");
	expect(n0, "GET", "foo");
	say(n0, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

/* ---- READONLY ---- */

static void readonly_comes_first_on_a_replica_and_again_at_every_reconnect(void **state)
{
	start("0-8191 n0; 8192-16383 n1 n2");
	for (unsigned i = 1; i <= 3; i++) {
		struct ask *get = ask_flags(SHARD_REPLICA, "GET", "foo");

		expect(n2, "GET", "foo");
		check_count(heard(n2, "READONLY"), i);
		check_count(connection(n2), i);
		say(n2, "$3\r\nbar\r\n");
		want_string(get, "bar");
		hang_up_all(n2);
		settle();
	}
	check_count(heard(n1, "READONLY"), 0);
}

static void readonly_that_is_refused_does_not_end_the_read(void **state)
{
	struct ask *get;

	on(n2, "READONLY", "-ERR This instance has cluster support disabled\r\n");
	on(n2, "GET", "-MOVED 12182 127.0.0.1:0\r\n");
	start("0-8191 n0; 8192-16383 n1 n2");
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	run_for(50);
	if (!get->calls) {
		expect(n1, "GET", "foo");
		say(n1, "$3\r\nbar\r\n");
	}
	want_done(get);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(auth_comes_before_the_first_command),
		scripted(auth_with_user_and_password),
		scripted(every_node_is_greeted),
		scripted(auth_comes_again_at_every_reconnect),
		scripted(auth_comes_again_after_a_break_in_flight),
		scripted(a_wrong_password_is_told_at_once),
		scripted(a_wrong_password_is_told_when_the_map_is_fetched_first),
		scripted(select_comes_at_every_connect),
		scripted(nothing_goes_out_before_select_is_acknowledged),
		scripted(a_database_of_a_cluster_is_an_error),
		scripted(auth_comes_before_select),
		scripted(readonly_comes_first_on_a_replica_and_again_at_every_reconnect),
		scripted(readonly_that_is_refused_does_not_end_the_read),
	};
	return run(tests);
}
