/* SPDX-License-Identifier: MIT */
/* shard_cancel() at every stage; a client destroyed with open requests: each callback comes exactly once. */
#include "scripted.h"

static void cancel(struct ask *ask_it)
{
	check(ask_it->handle, "no handle");
	shard_cancel(client, ask_it->handle);
	check(ask_it->calls == 0, "called back from within shard_cancel()");
}

static void before_it_was_sent(void **state)
{
	struct ask *get, *incr, *other;

	start(TWO);
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	other = ask("GET", "a");
	cancel(get);
	cancel(incr);
	want_error(get, SHARD_ECANCELED);
	want_error(incr, SHARD_ECANCELED);
	expect(n1, "GET", "a");
	say(n1, "+a\r\n");
	want_status(other, "a");
	check_count(heard(n1, "INCR"), 0);
}

static void while_connecting(void **state)
{
	struct ask *incr;

	start(TWO);
	node_deaf(n1);
	incr = ask("INCR", "foo");
	run_for(30);
	cancel(incr);
	want_error(incr, SHARD_ECANCELED);
}

static void while_the_greeting_is_awaited(void **state)
{
	struct ask *incr, *other;

	seeds("redis://:pw@%s", addr(n0));
	on(n1, "AUTH", NULL);
	start(TWO);
	incr = ask("INCR", "foo");
	other = ask("INCR", "a");
	expect(n1, "AUTH", "pw");
	cancel(incr);
	want_error(incr, SHARD_ECANCELED);
	say(n1, "+OK\r\n");
	expect(n1, "INCR", "a");
	say(n1, ":1\r\n");
	want_integer(other, 1);
	check_count(heard(n1, "INCR"), 1);
}

static void after_it_was_sent(void **state)
{
	struct ask *get, *incr, *set;

	start(TWO);
	get = ask("GET", "foo");
	incr = ask("INCR", "foo");
	set = ask("SET", "foo", "1");
	expect(n1, "GET", "foo");
	expect(n1, "INCR", "foo");
	expect(n1, "SET", "foo", "1");
	cancel(get);
	cancel(incr);
	cancel(set);
	want_error(get, SHARD_ECANCELED);
	want_error(incr, SHARD_EUNKNOWN);
	want_error(set, SHARD_EUNKNOWN);
}

static void the_reply_of_a_cancelled_one_is_not_taken_for_anothers(void **state)
{
	struct ask *gone, *get[4];

	start(TWO);
	get[0] = ask("GET", "{foo}0");
	gone = ask("GET", "foo");
	get[1] = ask("GET", "{foo}1");
	expect(n1, "GET", "{foo}0");
	expect(n1, "GET", "foo");
	expect(n1, "GET", "{foo}1");
	cancel(gone);
	want_error(gone, SHARD_ECANCELED);
	get[2] = ask("GET", "{foo}2");
	settle();
	say(n1, "+0\r\n");
	say(n1, "+gone\r\n");
	say(n1, "+1\r\n");
	get[3] = ask("GET", "{foo}3");
	on(n1, "GET {foo}0", "+0\r\n");
	on(n1, "GET {foo}1", "+1\r\n");
	on(n1, "GET {foo}2", "+2\r\n");
	on(n1, "GET {foo}3", "+3\r\n");
	for (int i = 0; i < 4; i++)
		want_status(get[i], ((char[]){(char)('0' + i), 0}));
}

static void in_a_pause(void **state)
{
	struct ask *incr;
	unsigned before;

	start(TWO);
	on(n1, "INCR", "-CLUSTERDOWN The cluster is down\r\n");
	incr = ask("INCR", "foo");
	until(heard(n1, "INCR") >= 2);
	settle();
	cancel(incr);
	want_error(incr, SHARD_ECANCELED);
	before = heard(n1, "INCR");
	run_for(400);
	check_count(heard(n1, "INCR"), before);
}

static void between_an_ask_and_its_answer(void **state)
{
	struct ask *get, *next;

	start("0-8191 n2; 8192-16383 n1");
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "ASKING");
	expect(n2, "GET", "foo");
	cancel(get);
	want_error(get, SHARD_ECANCELED);
	next = ask("GET", "b");
	settle();
	say(n2, "+OK\r\n");
	say(n2, "+foo\r\n");
	on(n2, "GET b", "+b\r\n");
	want_status(next, "b");
}

static void a_split_command(void **state)
{
	struct ask *mget, *del, *next;

	start(TWO);
	mget = ask("MGET", "b", "foo", "bar");
	del = ask_flags(SHARD_PARTS, "DEL", "b", "foo");
	until(heard(NULL, "DEL") == 2);
	cancel(mget);
	cancel(del);
	want_error(mget, SHARD_ECANCELED);
	want_error(del, SHARD_EUNKNOWN);
	on(NULL, "MGET", "*1\r\n+x\r\n");
	on(NULL, "DEL", ":1\r\n");
	on(NULL, "GET", "+y\r\n");
	next = ask("GET", "foo");
	want_status(next, "y");
	want_status(ask("GET", "b"), "y");
}

static void a_block(void **state)
{
	static const char *const block[] = {"INCR foo"};
	struct ask *multi, *next;

	start(TWO);
	multi = ask_multi(NULL, 1, block);
	expect(n1, "MULTI");
	expect(n1, "INCR", "foo");
	expect(n1, "EXEC");
	say(n1, "+OK\r\n");
	settle();
	cancel(multi);
	want_error(multi, SHARD_EUNKNOWN);
	next = ask("GET", "foo");
	settle();
	say(n1, "+QUEUED\r\n");
	say(n1, "*1\r\n:1\r\n");
	on(n1, "GET", "+x\r\n");
	want_status(next, "x");
}

static void while_the_map_is_awaited(void **state)
{
	struct ask *get, *mget, *ping, *next;

	on(n0, "CLUSTER SLOTS", NULL);
	start_cold(TWO);
	get = ask("INCR", "foo");
	mget = ask("MSET", "foo", "1", "b", "2");
	ping = ask_flags(SHARD_EACH_MASTER, "PING");
	next = ask("INCR", "a");
	run_for(30);
	cancel(get);
	cancel(mget);
	cancel(ping);
	want_error(get, SHARD_ECANCELED);
	want_error(mget, SHARD_ECANCELED);
	want_error(ping, SHARD_ECANCELED);
	on(n0, "CLUSTER SLOTS", slots(TWO));
	expect(n1, "INCR", "a");
	say(n1, ":1\r\n");
	want_integer(next, 1);
}

static void while_its_keys_are_asked_for(void **state)
{
	struct ask *my;
	struct node *asked;

	start(TWO);
	my = ask("MY.CMD", "foo");
	asked = expect_somewhere("COMMAND", "GETKEYS", "MY.CMD", "foo");
	cancel(my);
	want_error(my, SHARD_ECANCELED);
	say(asked, "*1\r\n$3\r\nfoo\r\n");
	run_for(30);
	check_count(heard(NULL, "MY.CMD"), 0);
}

static struct ask *victim;

static void cancel_the_victim(struct ask *ask_it)
{
	shard_cancel(client, victim->handle);
}

static void in_anothers_callback(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	victim = ask("GET", "a");
	get->then = cancel_the_victim;
	expect(n1, "GET", "foo");
	expect(n1, "GET", "a");
	say_part(n1, "+foo\r\n+a\r\n", 10); /* both in one read */
	want_status(get, "foo");
	want_error(victim, SHARD_ECANCELED);
	victim = ask("GET", "b");
	get = ask("GET", "c");
	get->then = cancel_the_victim;
	expect(n0, "GET", "b");
	expect(n0, "GET", "c");
	cancel(victim);
	want_error(victim, SHARD_ECANCELED);
	get->then = NULL;
}

/* ---- destroy ---- */

/* Called back in destroy(). ERROR: SHARD_ECANCELED, or SHARD_EUNKNOWN where it was sent and may change something. */
static void want_gone(struct ask *ask_it, int error)
{
	check(ask_it->calls == 1, "%s: %u callbacks", ask_it->text, ask_it->calls);
	check(ask_it->error == error, "%s: %s", ask_it->text, said(ask_it));
	check(ask_it->message[0], "%s: an error without a message", ask_it->text);
}

static void destroy_calls_every_open_request_back(void **state)
{
	static const char *const block[] = {"INCR foo"};
	struct ask *canceled[16], *unknown[16];
	int n = 0, m = 0;

	start("0-5000 n0; 5001-8191 n3; 8192-16383 n1");
	node_deaf(n3);
	on(NULL, "CLUSTER SLOTS", NULL);
	canceled[n++] = ask("GET", "foo"); /* sent */
	unknown[m++] = ask("INCR", "foo");
	canceled[n++] = ask("GET", "c"); /* connecting */
	canceled[n++] = ask("INCR", "c");
	canceled[n++] = ask("MGET", "foo", "b", "c");
	unknown[m++] = ask_flags(SHARD_PARTS, "DEL", "foo", "b", "c");
	canceled[n++] = ask("DBSIZE");
	canceled[n++] = ask_flags(SHARD_EACH_MASTER, "GET", "foo");
	unknown[m++] = ask("BLPOP", "foo", "0");
	canceled[n++] = ask("MY.CMD", "foo"); /* its keys are asked for */
	unknown[m++] = ask_multi(NULL, 1, block);
	canceled[n++] = ask_refresh();
	run_for(150);
	canceled[n++] = ask("GET", "a"); /* not even sent */
	canceled[n++] = ask("INCR", "a");
	stop();
	for (int i = 0; i < n; i++)
		want_gone(canceled[i], SHARD_ECANCELED);
	for (int i = 0; i < m; i++)
		want_gone(unknown[i], SHARD_EUNKNOWN);
}

static void destroy_calls_back_what_pauses(void **state)
{
	struct ask *incr;

	start(TWO);
	on(n1, "INCR", "-CLUSTERDOWN The cluster is down\r\n");
	incr = ask("INCR", "foo");
	until(heard(n1, "INCR") >= 3);
	settle();
	stop();
	want_gone(incr, SHARD_ECANCELED);
}

static void destroy_before_the_first_tick(void **state)
{
	struct ask *get, *mget, *refresh;

	start_cold(TWO);
	get = ask("GET", "foo");
	mget = ask("MGET", "foo", "b");
	refresh = ask_refresh();
	stop();
	want_gone(get, SHARD_ECANCELED);
	want_gone(mget, SHARD_ECANCELED);
	want_gone(refresh, SHARD_ECANCELED);
}

static void destroy_of_a_client_that_did_nothing(void **state)
{
	start(TWO);
	stop();
	start_cold(TWO);
	stop();
	shard_client_destroy(NULL);
}

static void ask_again(struct ask *ask_it)
{
	/* A callback of destroy() may submit: it is refused, or called back as well. */
	ask_try(NULL, (const char *const[]){"GET", "foo", NULL});
}

static void a_callback_of_destroy_may_submit(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	get->then = ask_again;
	expect(n1, "GET", "foo");
	stop();
	want_gone(get, SHARD_ECANCELED);
}

static void destroy_with_half_a_reply_read(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say_part(n1, "*3\r\n$3\r\nabc\r\n$10\r\nab", 20);
	settle();
	stop();
	want_gone(get, SHARD_ECANCELED);
}

/* ---- in the callback of the map: the request is in nobody's hands just then ---- */

static struct ask *watched_ask;
static unsigned cancel_at;

static void cancel_at_a_change(void *ctx, shard_topology *map)
{
	if (cancel_at > 0 && --cancel_at == 0 && watched_ask && watched_ask->handle)
		shard_cancel(client, watched_ask->handle);
}

static void canceled_when_moved_is_not_sent_on(const char *name, unsigned change)
{
	struct node *way[] = {n1, n2, n3, n4, n5, n0};
	char reply[6][64];
	struct ask *other;
	unsigned before;

	start(TWO);
	settle();
	on(NULL, "CLUSTER SLOTS", "-ERR not now\r\n"); /* an answer: nothing waits behind it */
	for (int i = 0; i < 6; i++) {
		snprintf(reply[i], sizeof(reply[i]), "-MOVED 12182 127.0.0.1:%d\r\n", port(way[(i + 1) % 6]));
		on(way[i], name, reply[i]);
	}
	cancel_at = change;
	shard_client_on_topology(client, cancel_at_a_change, NULL);
	watched_ask = strcmp(name, "BLPOP") == 0 ? ask("BLPOP", "foo", "1") : ask(name, "foo");
	want_done(watched_ask);
	check(watched_ask->error == SHARD_ECANCELED || watched_ask->error == SHARD_EUNKNOWN, "%s", said(watched_ask));
	run_for(100);
	before = heard(NULL, name);
	shard_client_on_topology(client, NULL, NULL);
	for (int i = 0; i < 6; i++) {
		on(way[i], name, ":1\r\n");
		on(way[i], "SET", "+OK\r\n");
	}
	/* A MOVED of another slot wakes what waits. */
	snprintf(reply[0], sizeof(reply[0]), "-MOVED 15495 127.0.0.1:%d\r\n", port(n3));
	on(n1, "SET", reply[0]);
	other = ask("SET", "a", "1");
	want_status(other, "OK");
	run_for(500);
	check_count(heard(NULL, name), before);
	check_count(watched_ask->calls, 1);
}

static void in_the_maps_callback_of_a_read(void **state)
{
	canceled_when_moved_is_not_sent_on("GET", 1);
}

static void in_the_maps_callback_of_a_write(void **state)
{
	canceled_when_moved_is_not_sent_on("INCR", 1);
}

static void in_the_maps_callback_of_a_blocking_command(void **state)
{
	canceled_when_moved_is_not_sent_on("BLPOP", 1);
}

static void in_the_maps_callback_when_redirects_are_used_up(void **state)
{
	canceled_when_moved_is_not_sent_on("GET", 6);
}

static void for_ever_again(struct ask *done)
{
	struct ask *next;

	if (done->order > 200)
		blame(__FILE__, __LINE__, "destroy goes on for ever");
	next = ask_try(NULL, (const char *const[]){"GET", "foo", NULL});
	next->then = for_ever_again;
}

static void destroy_ends_though_each_callback_submits_again(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	get->then = for_ever_again;
	expect(n1, "GET", "foo");
	stop();
	want_gone(get, SHARD_ECANCELED);
}

static void submit_in_a_refresh(struct ask *done)
{
	ask_try(NULL, (const char *const[]){"GET", "foo", NULL});
}

static void what_a_refreshs_callback_submits_in_destroy_is_not_lost(void **state)
{
	struct ask *refresh;

	start(TWO);
	on(NULL, "CLUSTER SLOTS", NULL);
	refresh = ask_refresh();
	refresh->then = submit_in_a_refresh;
	run_for(30);
	stop();
	want_gone(refresh, SHARD_ECANCELED);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(before_it_was_sent),
		scripted(while_connecting),
		scripted(while_the_greeting_is_awaited),
		scripted(after_it_was_sent),
		scripted(the_reply_of_a_cancelled_one_is_not_taken_for_anothers),
		scripted(in_a_pause),
		scripted(between_an_ask_and_its_answer),
		scripted(a_split_command),
		scripted(a_block),
		scripted(while_the_map_is_awaited),
		scripted(while_its_keys_are_asked_for),
		scripted(in_anothers_callback),
		scripted(destroy_calls_every_open_request_back),
		scripted(destroy_calls_back_what_pauses),
		scripted(destroy_before_the_first_tick),
		scripted(destroy_of_a_client_that_did_nothing),
		scripted(a_callback_of_destroy_may_submit),
		scripted(destroy_with_half_a_reply_read),
		scripted(in_the_maps_callback_of_a_read),
		scripted(in_the_maps_callback_of_a_write),
		scripted(in_the_maps_callback_of_a_blocking_command),
		scripted(in_the_maps_callback_when_redirects_are_used_up),
		scripted(destroy_ends_though_each_callback_submits_again),
		scripted(what_a_refreshs_callback_submits_in_destroy_is_not_lost),
	};
	return run(tests);
}
