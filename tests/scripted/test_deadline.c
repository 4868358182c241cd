/* SPDX-License-Identifier: MIT */
/* Rules 8 and 11: every request ends at its deadline; late replies belong to nobody. */
#include "scripted.h"

#define SLACK_MS 150

static void want_ended(struct ask *ask_it, unsigned after)
{
	want_took(ask_it, after, after + SLACK_MS);
}

static void the_defaults_are_finite(void **state)
{
	check_count(options.timeout_ms, 5000);
	check_count(options.connect_timeout_ms, 1000);
	check_count(options.refresh_ms, 60000);
	check_count(options.pause_ms, 1000);
}

static void a_silent_node_ends_a_whole_pipeline_at_its_deadline(void **state)
{
	struct ask *get[20], *incr[20];

	options.timeout_ms = 250;
	start(TWO);
	on(n1, "", NULL);
	for (int i = 0; i < 20; i++) {
		get[i] = ask("GET", "foo");
		incr[i] = ask("INCR", "foo");
	}
	for (int i = 0; i < 20; i++) {
		want_ended(get[i], 250);
		want_error(get[i], SHARD_ETIMEDOUT);
		want_ended(incr[i], 250);
		want_error(incr[i], SHARD_EUNKNOWN);
		assert_string_equal(incr[i]->node, addr(n1));
	}
	check_count(heard(n1, "INCR"), 20);
}

static void a_request_has_a_deadline_of_its_own(void **state)
{
	shard_call short_one = {.timeout_ms = 100}, long_one = {.timeout_ms = 600};
	struct ask *first, *second, *third;

	options.timeout_ms = 300;
	start(TWO);
	first = ask_how(&short_one, "GET", "foo");
	second = ask("GET", "b");
	third = ask_how(&long_one, "GET", "{b}");
	want_ended(first, 100);
	want_ended(second, 300);
	want_ended(third, 600);
}

/* The neighbours of a request that times out live on: the connection may be closed, then they are sent again. */
static void a_short_deadline_does_not_end_its_neighbours(void **state)
{
	shard_call short_one = {.timeout_ms = 100};
	struct ask *first, *second;

	options.timeout_ms = 1500;
	start(TWO);
	first = ask_how(&short_one, "GET", "foo");
	second = ask("GET", "a");
	expect(n1, "GET", "foo");
	expect(n1, "GET", "a");
	want_ended(first, 100);
	run_for(20);
	want_open(second);
	say(n1, "+foo\r\n"); /* late, or to a closed connection */
	say(n1, "+a\r\n");
	run_for(50);
	if (!second->calls) {
		expect(n1, "GET", "a");
		say(n1, "+a\r\n");
	}
	want_status(second, "a");
}

static void a_late_reply_is_not_taken_for_anothers(void **state)
{
	shard_call short_one = {.timeout_ms = 60};
	static const char *const keys[] = {"{foo}1", "{foo}2", "{foo}3"};
	struct ask *late[3], *get[3];

	start(TWO);
	for (int i = 0; i < 3; i++)
		late[i] = ask_how(&short_one, i == 1 ? "INCR" : "GET", keys[i]);
	for (int i = 0; i < 3; i++)
		expect(n1, i == 1 ? "INCR" : "GET", keys[i]);
	for (int i = 0; i < 3; i++)
		want_done(late[i]);
	for (int i = 0; i < 3; i++)
		get[i] = ask("GET", keys[i]);
	settle();
	for (int i = 0; i < 3; i++)
		say(n1, "+late %d\r\n", i);
	for (int i = 0; i < 3; i++) {
		expect(n1, "GET", keys[i]);
		say(n1, "+%s\r\n", keys[i]);
	}
	for (int i = 0; i < 3; i++)
		want_status(get[i], keys[i]);
}

static void half_a_reply_is_late_too(void **state)
{
	shard_call short_one = {.timeout_ms = 60};
	struct ask *late, *get;

	start(TWO);
	late = ask_how(&short_one, "GET", "foo");
	expect(n1, "GET", "foo");
	say_part(n1, "$10\r\n01234", 10);
	want_error(late, SHARD_ETIMEDOUT);
	get = ask("GET", "a");
	settle();
	say(n1, "56789\r\n");
	expect(n1, "GET", "a");
	say(n1, "+a\r\n");
	want_status(get, "a");
}

/* ---- connecting ---- */

static void what_was_never_sent_is_not_unknown(void **state)
{
	struct ask *get, *incr;

	options.timeout_ms = 300;
	start(TWO);
	node_deaf(n1);
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	want_ended(get, 300);
	want_ended(incr, 300);
	check(get->error == SHARD_ECONNECT || get->error == SHARD_ETIMEDOUT, "%s", said(get));
	check(incr->error == SHARD_ECONNECT || incr->error == SHARD_ETIMEDOUT, "%s", said(incr));
}

static void an_attempt_to_connect_is_given_up_and_made_again(void **state)
{
	struct ask *incr;

	options.connect_timeout_ms = 150;
	options.timeout_ms = 2500;
	start(TWO);
	node_deaf(n1);
	incr = ask("INCR", "foo");
	run_for(80);
	layout("0-8191 n0; 8192-16383 n2");
	expect(n2, "INCR", "foo");
	say(n2, ":1\r\n");
	want_integer(incr, 1);
	check(incr->ended - incr->began >= 140, "%s", said(incr));
}

static void a_greeting_that_is_not_answered_is_a_failed_connect(void **state)
{
	struct ask *incr;

	options.connect_timeout_ms = 150;
	options.timeout_ms = 500;
	seeds("redis://:pw@%s", addr(n0));
	start(TWO);
	on(n1, "AUTH", NULL);
	incr = ask("INCR", "foo");
	want_ended(incr, 500);
	check(incr->error == SHARD_ECONNECT, "%s", said(incr));
	check_count(heard(n1, "INCR"), 0);
	check(heard(n1, "AUTH") >= 2, "one attempt only");
}

/* ---- a node that falls silent ---- */

static void a_silent_node_makes_the_client_look_at_the_map(void **state)
{
	struct ask *get;

	options.pause_ms = 200;
	options.timeout_ms = 1500;
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	layout("0-8191 n0; 8192-16383 n2");
	on(n1, "CLUSTER SLOTS", NULL);
	until(heard(n0, "CLUSTER SLOTS") > 0);
	check(now_ms() - get->began >= 190, "looked after %d ms", (int)(now_ms() - get->began));
	run_for(200);
	if (get->calls == 0 && heard(n2, "GET")) {
		expect(n2, "GET", "foo");
		say(n2, "+x\r\n");
	} else {
		say(n1, "+x\r\n"); /* a pause is not a dead node */
	}
	want_status(get, "x");
}

static void a_pause_is_not_a_dead_node(void **state)
{
	struct ask *incr;

	options.pause_ms = 100;
	options.timeout_ms = 2000;
	start(TWO);
	incr = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	run_for(700);
	want_open(incr);
	say(n1, ":1\r\n");
	want_integer(incr, 1);
	check_count(heard(NULL, "INCR"), 1);
}

static void each_part_has_the_deadline_of_the_whole(void **state)
{
	struct ask *mget, *dbsize, *multi, *refresh;
	static const char *const block[] = {"INCR foo"};

	options.timeout_ms = 250;
	start(TWO);
	on(n1, "", NULL);
	mget = ask("MGET", "foo", "b", "a");
	dbsize = ask("DBSIZE");
	multi = ask_multi(NULL, 1, block);
	on(n0, "", ":1\r\n");
	want_ended(mget, 250);
	want_ended(dbsize, 250);
	want_ended(multi, 250);
	want_error(multi, SHARD_EUNKNOWN);
	on(NULL, "CLUSTER SLOTS", NULL);
	refresh = ask_refresh();
	want_done(refresh);
	check(refresh->error != SHARD_OK, "%s", said(refresh));
	want_took(refresh, 0, 250 + SLACK_MS);
}

static void no_deadline_waits(void **state)
{
	struct ask *get;

	options.timeout_ms = 100;
	start(TWO);
	get = ask_flags(SHARD_NO_DEADLINE, "BLPOP", "foo", "0");
	expect(n1, "BLPOP", "foo", "0");
	run_for(400);
	want_open(get);
	say(n1, "*-1\r\n");
	want_nil(get);
}

/* A slow command has the time that its caller gave it, on the master and on a replica. */
static void a_longer_deadline_than_the_clients_is_kept(void **state)
{
	shard_call patient = {.timeout_ms = 3000};
	shard_call patient_replica = {.timeout_ms = 3000, .flags = SHARD_REPLICA};
	struct ask *lpush, *sort, *get;

	options.timeout_ms = 250;
	options.pause_ms = 100;
	start("0-8191 n0; 8192-16383 n1 n2");
	lpush = ask_how(&patient, "LPUSH", "foo", "x");
	get = ask("GET", "b");
	sort = ask_how(&patient_replica, "GETRANGE", "foo", "0", "-1");
	expect(n1, "LPUSH", "foo", "x");
	expect(n2, "GETRANGE", "foo", "0", "-1");
	run_for(700);
	want_open(lpush);
	want_error(get, SHARD_ETIMEDOUT);
	say(n1, ":1\r\n");
	want_integer(lpush, 1);
	check_count(heard(NULL, "LPUSH"), 1);
	if (!sort->calls)
		on(n2, "GETRANGE", "+x\r\n"), on(n1, "GETRANGE", "+x\r\n");
	forget(n2);
	stop();
	check(sort->error == SHARD_OK || sort->error == SHARD_ECANCELED, "%s", said(sort));
}

static void a_node_that_refuses_is_the_cause_though_nothing_is_tried_just_now(void **state)
{
	shard_call named = {.timeout_ms = 60, .node = addr(n1)}, by_key = {.timeout_ms = 60};
	struct ask *get, *short_one, *short_named;

	start(TWO);
	node_down(n1);
	get = ask("GET", "foo");
	run_for(1200); /* its attempts are far apart by now */
	short_one = ask_how(&by_key, "GET", "foo");
	short_named = ask_how(&named, "GET", "foo");
	want_error(short_one, SHARD_ECONNECT);
	want_error(short_named, SHARD_ECONNECT);
	check(strstr(short_named->message, "refused"), "%s", said(short_named));
	check(strstr(short_one->message, "refused"), "%s", said(short_one));
	want_open(get);
	stop();
}

static void a_question_about_keys_that_is_not_answered_says_so(void **state)
{
	struct ask *my;

	options.timeout_ms = 200;
	start(TWO);
	my = ask("MY.CMD", "foo");
	want_done(my);
	check(my->error == SHARD_ETIMEDOUT && strstr(my->message, "GETKEYS"), "%s", said(my));
}

/* What is not sent yet to a silent node goes where its slot is now. */
static void what_waits_for_a_silent_node_follows_its_slot(void **state)
{
	struct ask *silent, *waiting;

	options.timeout_ms = 2500;
	options.pause_ms = 150;
	start(TWO);
	on(NULL, "CLUSTER SLOTS", NULL);
	on(NULL, "ROLE", "*1\r\n$5\r\nslave\r\n");
	silent = ask("GET", "a");
	expect(n1, "GET", "a");
	run_for(400);
	waiting = ask("GET", "foo");
	on(n2, "GET", "+x\r\n");
	on(NULL, "CLUSTER SLOTS", slots("0-8191 n0; 8192-12181 n1; 12182-12182 n2; 12183-16383 n1"));
	want_status(waiting, "x");
	want_took(waiting, 0, 2000);
	want_open(silent);
	say(n1, "+a\r\n");
	want_status(silent, "a");
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(the_defaults_are_finite),
		scripted(a_silent_node_ends_a_whole_pipeline_at_its_deadline),
		scripted(a_request_has_a_deadline_of_its_own),
		scripted(a_short_deadline_does_not_end_its_neighbours),
		scripted(a_late_reply_is_not_taken_for_anothers),
		scripted(half_a_reply_is_late_too),
		scripted(what_was_never_sent_is_not_unknown),
		scripted(an_attempt_to_connect_is_given_up_and_made_again),
		scripted(a_greeting_that_is_not_answered_is_a_failed_connect),
		scripted(a_silent_node_makes_the_client_look_at_the_map),
		scripted(a_pause_is_not_a_dead_node),
		scripted(each_part_has_the_deadline_of_the_whole),
		scripted(no_deadline_waits),
		scripted(a_longer_deadline_than_the_clients_is_kept),
		scripted(a_node_that_refuses_is_the_cause_though_nothing_is_tried_just_now),
		scripted(a_question_about_keys_that_is_not_answered_says_so),
		scripted(what_waits_for_a_silent_node_follows_its_slot),
	};
	return run(tests);
}
