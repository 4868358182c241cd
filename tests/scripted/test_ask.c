/* SPDX-License-Identifier: MIT */
/* Rule 2: ASK. */
#include "scripted.h"

static void ask_sends_asking_and_the_command_back_to_back(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo"); /* before ASKING is answered */
	say(n2, "+OK\r\n");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
	assert_string_equal(get->node, addr(n2));
	check_count(connections_ever(n2), 1);
}

static void ask_leaves_the_map_and_asks_for_no_refresh(void **state)
{
	struct ask *get;

	start(TWO);
	on(n2, "ASKING", "+OK\r\n");
	for (int i = 0; i < 3; i++) {
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
		expect(n2, "GET", "foo");
		say(n2, ":%d\r\n", i);
		want_integer(get, i);
	}
	run_for(1200);
	check_count(heard(NULL, "CLUSTER"), 0);
	check_count(shard_topology_owner(shard_client_topology(client), 12182),
		    shard_topology_find_addr(shard_client_topology(client), "127.0.0.1", port(n1)));
}

static void each_asked_command_has_an_asking_of_its_own(void **state)
{
	struct ask *get[4];
	char key[4][16];

	start(TWO);
	for (int i = 0; i < 4; i++) {
		snprintf(key[i], sizeof(key[i]), "{foo}%d", i);
		get[i] = ask("INCR", key[i]);
	}
	for (int i = 0; i < 4; i++)
		expect(n1, "INCR", key[i]);
	for (int i = 0; i < 4; i++)
		say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	for (int i = 0; i < 4; i++) {
		expect(n2, "ASKING");
		expect(n2, "INCR", key[i]);
	}
	for (int i = 0; i < 4; i++) {
		say(n2, "+OK\r\n");
		say(n2, ":%d\r\n", i);
	}
	for (int i = 0; i < 4; i++)
		want_integer(get[i], i);
}

/* As a node that imports foo's slot: ASKING holds for the next command of its connection. */
static char *imports_foo(void *ctx, struct node *node, const struct command *command)
{
	unsigned *asked = ctx;
	bool may = *asked == connection_of(command);
	char *reply;

	*asked = 0;
	if (strcmp(word(command, 0), "ASKING") == 0) {
		*asked = connection_of(command);
		return strdup("+OK\r\n");
	}
	if (strcmp(word(command, 1), "foo") == 0 && !may)
		return strdup("-ERR not asked\r\n");
	if (asprintf(&reply, "+%s\r\n", word(command, 1)) < 0)
		return NULL;
	return reply;
}

static void asking_stays_with_its_command_among_others(void **state)
{
	static const char *const keys[] = {"b", "bar", "foo", "c", "foo", "hello", "foo", "foo"};
	struct ask *get[8];
	unsigned asked = 0;

	start("0-8191 n2; 8192-16383 n1");
	on_call(n2, "", imports_foo, &asked);
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 8; i++)
			get[i] = ask("GET", keys[i]);
		for (int i = 0; i < 4; i++)
			expect(n1, "GET", "foo");
		for (int i = 0; i < 4; i++) {
			say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
			if (i == 1)
				ask("GET", "bar"); /* more of them while redirected ones are under way */
			settle();
		}
		for (int i = 0; i < 8; i++)
			want_status(get[i], keys[i]);
	}
}

static void ask_dials_a_node_that_no_map_knows(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("SET", "foo", "1");
	expect(n1, "SET", "foo", "1");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n5));
	expect(n5, "ASKING");
	expect(n5, "SET", "foo", "1");
	say(n5, "+OK\r\n");
	say(n5, "+OK\r\n");
	want_status(get, "OK");
	check_count(shard_topology_find_addr(shard_client_topology(client), "127.0.0.1", port(n5)), -1);
}

static void ask_without_a_host_means_the_sender(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 :%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	say(n2, "+OK\r\n");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void ask_to_ipv6(void **state)
{
	struct ask *get;

	if (!port6(n2))
		skip();
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 ::1:%d\r\n", port6(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	say(n2, "+OK\r\n");
	say(n2, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void ask_to_a_dead_node_goes_back_to_the_owner(void **state)
{
	struct ask *incr;

	start(TWO);
	node_down(n2);
	incr = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
}

static void a_target_that_hangs_up_after_asking_is_retried_where_that_is_safe(void **state)
{
	struct ask *get, *incr;

	start(TWO);
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	expect(n1, "GET", "foo");
	expect(n1, "INCR", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	expect(n2, "ASKING");
	expect(n2, "INCR", "foo");
	say(n2, "+OK\r\n");
	hang_up(n2);
	want_error(incr, SHARD_EUNKNOWN);
	expect(n1, "GET", "foo");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
	check_count(heard(NULL, "INCR"), 2); /* the one that was asked on, and the one that was lost */
}

static void moved_by_the_target_of_an_ask_is_followed(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	say(n2, "+OK\r\n");
	say(n2, "-MOVED 12182 127.0.0.1:%d\r\n", port(n3));
	expect(n3, "GET", "foo"); /* no ASKING */
	say(n3, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

static void tryagain_by_the_target_of_an_ask_starts_again_at_the_owner(void **state)
{
	struct ask *sinter;

	start(TWO);
	sinter = ask("SINTER", "{foo}1", "{foo}2");
	expect(n1, "SINTER", "{foo}1", "{foo}2");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "SINTER", "{foo}1", "{foo}2");
	say(n2, "+OK\r\n");
	say(n2, "-TRYAGAIN Multiple keys request during rehashing of slot\r\n");
	expect(n1, "SINTER", "{foo}1", "{foo}2");
	say(n1, "*0\r\n");
	want_array(sinter, 0);
}

/* A node too old or too odd for ASKING: its error is not taken for the answer of the command. */
static void an_error_to_asking_does_not_shift_the_replies(void **state)
{
	struct ask *get, *next;

	start("0-8191 n2; 8192-16383 n1");
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	say(n2, "-ERR This instance has cluster support disabled\r\n");
	say(n2, "$3\r\nbar\r\n");
	next = ask("GET", "b");
	expect(n2, "GET", "b");
	say(n2, "$1\r\nb\r\n");
	want_string(next, "b");
	want_done(get);
	check(get->error != SHARD_OK || (get->reply->type == SHARD_REPLY_STRING && !strcmp(get->reply->str, "bar")),
	      "%s", said(get));
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(ask_sends_asking_and_the_command_back_to_back),
		scripted(ask_leaves_the_map_and_asks_for_no_refresh),
		scripted(each_asked_command_has_an_asking_of_its_own),
		scripted(asking_stays_with_its_command_among_others),
		scripted(ask_dials_a_node_that_no_map_knows),
		scripted(ask_without_a_host_means_the_sender),
		scripted(ask_to_ipv6),
		scripted(ask_to_a_dead_node_goes_back_to_the_owner),
		scripted(a_target_that_hangs_up_after_asking_is_retried_where_that_is_safe),
		scripted(moved_by_the_target_of_an_ask_is_followed),
		scripted(tryagain_by_the_target_of_an_ask_starts_again_at_the_owner),
		scripted(an_error_to_asking_does_not_shift_the_replies),
	};
	return run(tests);
}
