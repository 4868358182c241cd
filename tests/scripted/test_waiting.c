/* SPDX-License-Identifier: MIT */
/* Rules 3 to 7: TRYAGAIN, CLUSTERDOWN, LOADING, MASTERDOWN, READONLY, and what is the caller's. */
#include "scripted.h"

#define TRYAGAIN "-TRYAGAIN Multiple keys request during rehashing of slot\r\n"

/* ---- rule 3 ---- */

static void tryagain_is_sent_again_after_a_pause(void **state)
{
	struct ask *sinter;

	start(TWO);
	sinter = ask("SINTERSTORE", "{foo}", "{foo}1", "{foo}2");
	for (int i = 0; i < 3; i++) {
		expect(n1, "SINTERSTORE", "{foo}", "{foo}1", "{foo}2");
		say(n1, TRYAGAIN);
	}
	expect(n1, "SINTERSTORE", "{foo}", "{foo}1", "{foo}2");
	say(n1, ":2\r\n");
	want_integer(sinter, 2);
	check(sinter->ended - sinter->began >= 10, "no pause: %s", said(sinter));
	check_count(heard(NULL, "CLUSTER"), 0);
}

/* A node whose slot is half moved: {foo}1 is here, {foo}2 is at n2; several keys at once get TRYAGAIN. */
static char *half_moved(void *ctx, struct node *node, const struct command *command)
{
	const char *name = word(command, 0);
	bool pairs = strcmp(name, "MSET") == 0;
	const char *key = word(command, 1);
	char *reply;

	if (words(command) > (pairs ? 3 : 2))
		return strdup(TRYAGAIN);
	if (node == n1 && strcmp(key, "{foo}2") == 0)
		return asprintf(&reply, "-ASK 12182 127.0.0.1:%d\r\n", port(n2)) < 0 ? NULL : reply;
	if (strcmp(name, "MGET") == 0)
		return asprintf(&reply, "*1\r\n$1\r\n%c\r\n", key[5]) < 0 ? NULL : reply;
	if (strcmp(name, "GET") == 0)
		return asprintf(&reply, "$1\r\n%c\r\n", key[5]) < 0 ? NULL : reply;
	return strdup(pairs || strcmp(name, "SET") == 0 ? "+OK\r\n" : ":1\r\n");
}

static void start_half_moved(void)
{
	start(TWO);
	on_call(n1, "", half_moved, NULL);
	on_call(n2, "", half_moved, NULL);
	on(n2, "ASKING", "+OK\r\n");
}

static void tryagain_splits_mget_into_single_keys(void **state)
{
	struct ask *mget;

	start_half_moved();
	mget = ask("MGET", "{foo}1", "{foo}2", "{foo}1");
	want_array(mget, 3);
	assert_string_equal(mget->reply->element[0].str, "1");
	assert_string_equal(mget->reply->element[1].str, "2");
	assert_string_equal(mget->reply->element[2].str, "1");
}

static void tryagain_splits_mset_into_single_pairs(void **state)
{
	struct ask *mset;

	start_half_moved();
	mset = ask("MSET", "{foo}1", "a", "{foo}2", "b");
	want_status(mset, "OK");
}

static void tryagain_splits_what_counts_and_sums(void **state)
{
	static const char *const names[] = {"DEL", "UNLINK", "EXISTS", "TOUCH"};

	start_half_moved();
	for (int i = 0; i < 4; i++) {
		struct ask *count = ask(names[i], "{foo}1", "{foo}2", "{foo}3");

		want_integer(count, 3);
	}
}

static void tryagain_splits_mget_inside_a_larger_one(void **state)
{
	struct ask *mget;

	start_half_moved();
	on(n0, "MGET", "*1\r\n$1\r\nb\r\n");
	on(n0, "GET", "$1\r\nb\r\n");
	mget = ask_flags(SHARD_PARTS, "MGET", "b", "{foo}1", "{foo}2");
	want_array(mget, 3);
	want_part(mget, 0, SHARD_OK, "\"b");
	want_part(mget, 1, SHARD_OK, "\"1");
	want_part(mget, 2, SHARD_OK, "\"2");
}

/* ---- rule 4 ---- */

static void clusterdown_waits_refreshes_and_tries_again(const char *text)
{
	struct ask *incr;

	options.pause_ms = 60000; /* nothing but the error is a reason to look at the map */
	start(TWO);
	incr = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	say(n1, "-%s\r\n", text);
	until(heard(NULL, "CLUSTER SLOTS") > 0);
	expect(n1, "INCR", "foo");
	say(n1, "-%s\r\n", text);
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
	check(incr->ended - incr->began >= 10, "no pause: %s", said(incr));
}

static void clusterdown_the_cluster_is_down(void **state)
{
	clusterdown_waits_refreshes_and_tries_again("CLUSTERDOWN The cluster is down");
}

static void clusterdown_only_accepts_reads(void **state)
{
	clusterdown_waits_refreshes_and_tries_again("CLUSTERDOWN The cluster is down and only accepts read commands");
}

static void clusterdown_slot_not_served(void **state)
{
	clusterdown_waits_refreshes_and_tries_again("CLUSTERDOWN Hash slot not served");
}

static void clusterdown_ends_at_the_deadline_with_its_cause(void **state)
{
	struct ask *get;
	unsigned tries;

	options.timeout_ms = 400;
	start(TWO);
	on(n1, "GET", "-CLUSTERDOWN The cluster is down\r\n");
	get = ask("GET", "foo");
	want_error(get, SHARD_ENOROUTE);
	want_took(get, 400, 700);
	check(strstr(get->message, "CLUSTERDOWN"), "the message does not tell the cause: %s", said(get));
	tries = heard(n1, "GET");
	check(tries >= 2 && tries <= 40, "%u tries in 400 ms", tries);
	check(heard(NULL, "CLUSTER SLOTS") <= 2, "%u refreshes in 400 ms", heard(NULL, "CLUSTER SLOTS"));
}

/* However long it was down: one goes to see, and the others follow at once. */
static void clusterdown_all_go_on_as_soon_as_one_is_served(void **state)
{
	struct ask *incr[50];
	unsigned late;
	uint64_t up;

	options.timeout_ms = 20000;
	start(TWO);
	on(n1, "INCR", "-CLUSTERDOWN The cluster is down\r\n");
	for (int i = 0; i < 50; i++)
		incr[i] = ask("INCR", "foo");
	run_for(1500); /* their pauses are as long as they get */
	on(n1, "INCR", ":1\r\n");
	up = now_ms();
	late = late_ms();
	for (int i = 0; i < 50; i++)
		want_integer(incr[i], 1);
	check(now_ms() - up < 100 + late_ms() - late, "the last one is served %d ms later", (int)(now_ms() - up));
}

/* Whoever waits long asks seldom: the one that goes to see stands for all. */
static void clusterdown_is_no_storm(void **state)
{
	struct ask *incr[50];
	unsigned before;

	options.timeout_ms = 20000;
	start(TWO);
	on(n1, "INCR", "-CLUSTERDOWN The cluster is down\r\n");
	for (int i = 0; i < 50; i++)
		incr[i] = ask("INCR", "foo");
	run_for(1500);
	before = heard(n1, "INCR");
	run_for(1000);
	/* 50 of them after 160 to 320 ms each, and one in 20 ms. */
	check(heard(n1, "INCR") - before < 50 * 7 + 60, "%u tries in a second", heard(n1, "INCR") - before);
	on(n1, "INCR", ":1\r\n");
	for (int i = 0; i < 50; i++)
		want_integer(incr[i], 1);
}

/* ---- rule 5 ---- */

#define LOADING "-LOADING Redis is loading the dataset in memory\r\n"

static void loading_is_waited_for(void **state)
{
	struct ask *incr;

	start(TWO);
	incr = ask("INCR", "foo");
	for (int i = 0; i < 2; i++) {
		expect(n1, "INCR", "foo");
		say(n1, LOADING);
	}
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
}

static struct node *replica_asked(const char *name, const char *key)
{
	return expect_somewhere(name, key);
}

static void a_read_goes_elsewhere_when_its_replica_loads(void **state)
{
	struct node *first, *second;
	struct ask *get;

	start(TWO_WITH_REPLICAS);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	first = replica_asked("GET", "foo");
	check(first == n4 || first == n5, "not a replica of its master");
	say(first, LOADING);
	second = replica_asked("GET", "foo");
	check(second != first && (second == n1 || second == n4 || second == n5), "the same one, or a stranger");
	say(second, "$3\r\nbar\r\n");
	want_string(get, "bar");
	want_took(get, 0, 400);
}

static void masterdown_goes_to_the_master(void **state)
{
	struct node *replica;
	struct ask *get;

	start(TWO_WITH_REPLICAS);
	get = ask_flags(SHARD_REPLICA, "GET", "foo");
	replica = replica_asked("GET", "foo");
	say(replica, "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n");
	expect(n1, "GET", "foo");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
}

/* ---- rule 6 ---- */

static void readonly_refreshes_and_tries_by_slot(void **state)
{
	struct ask *set;

	start(TWO);
	set = ask("INCR", "foo");
	expect(n1, "INCR", "foo");
	layout("0-8191 n0; 8192-16383 n2 n1"); /* n1 was failed over */
	say(n1, "-READONLY You can't write against a read only replica.\r\n");
	for (;;) {
		struct node *node = expect_somewhere("INCR", "foo");

		if (node == n2)
			break;
		say(node, "-READONLY You can't write against a read only replica.\r\n");
		check(heard(n1, "INCR") < 10, "still asks the old master");
	}
	check(heard(NULL, "CLUSTER SLOTS") > 0, "no refresh");
	say(n2, ":1\r\n");
	want_integer(set, 1);
}

/* ---- rule 7 ---- */

static void the_callers_errors_are_the_callers(void **state)
{
	static const char *const errors[] = {
		"CROSSSLOT Keys in request don't hash to the same slot",
		"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"NOREPLICAS Not enough good replicas to write.",
		"WRONGTYPE Operation against a key holding the wrong kind of value",
		"NOPERM this user has no permissions to run the 'incr' command",
		"ERR value is not an integer or out of range",
		"EXECABORT Transaction discarded because of previous errors.",
		"NOSCRIPT No matching script. Please use EVAL.",
		"UNBLOCKED the stream key no longer exists",
		"-",
		"",
		"a b  c ",
	};

	start(TWO);
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct ask *incr = ask("INCR", "foo");

		expect(n1, "INCR", "foo");
		say(n1, "-%s\r\n", errors[i]);
		want_server_error(incr, errors[i]);
		want_took(incr, 0, 300);
	}
	run_for(100);
	check_count(heard(NULL, "INCR"), sizeof(errors) / sizeof(errors[0]));
	check_count(heard(NULL, "CLUSTER"), 0);
	check_count(connections_ever(n1), 1);
}

static void noreplicas_is_tried_again_where_asked_for(void **state)
{
	struct ask *incr;

	start(TWO);
	incr = ask_flags(SHARD_RETRY_NOREPLICAS, "INCR", "foo");
	expect(n1, "INCR", "foo");
	say(n1, "-NOREPLICAS Not enough good replicas to write.\r\n");
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
}

static void noauth_with_nothing_to_say_is_the_callers(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-NOAUTH Authentication required.\r\n");
	want_server_error(get, "NOAUTH Authentication required.");
}

static void noauth_authenticates_again(void **state)
{
	struct ask *get, *next;
	unsigned before;

	seeds("redis://:secret@%s", addr(n0));
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	before = heard(n1, "AUTH secret");
	say(n1, "-NOAUTH Authentication required.\r\n");
	expect(n1, "GET", "foo");
	check(heard(n1, "AUTH secret") > before, "no AUTH before the second try");
	say(n1, "$3\r\nbar\r\n");
	want_string(get, "bar");
	/* And does not go on for ever. */
	on(n1, "GET", "-NOAUTH Authentication required.\r\n");
	next = ask("GET", "foo");
	want_done(next);
	check(next->error == SHARD_ESERVER || next->error == SHARD_EAUTH, "%s", said(next));
	check(heard(n1, "GET") < 20, "%u tries", heard(n1, "GET"));
}

static void redirect_of_a_standalone_valkey_is_tolerated(void **state)
{
	struct ask *get;

	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	start_cold("");
	get = ask("SET", "foo", "1");
	expect(n0, "SET", "foo", "1");
	say(n0, "-REDIRECT 127.0.0.1:%d\r\n", port(n1));
	run_for(100);
	if (get->calls) { /* handed out as it is */
		check(get->error == SHARD_ESERVER && shard_reply_is_error(get->reply, "REDIRECT"), "%s", said(get));
		return;
	}
	expect(n1, "SET", "foo", "1");
	say(n1, "+OK\r\n");
	want_status(get, "OK");
}

static void truncated_redirect_is_the_callers(void **state)
{
	static const char *const errors[] = {"REDIRECT", "REDIRECT ", "REDIRECT 127.0.0.1", "REDIRECT :", "REDIRECT x:99999"};

	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	start_cold("");
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		struct ask *get = ask("GET", "foo");

		expect(n0, "GET", "foo");
		say(n0, "-%s\r\n", errors[i]);
		want_server_error(get, errors[i]);
	}
}

static char *moved_to_and_fro(void *ctx, struct node *node, const struct command *command)
{
	unsigned *count = ctx;
	char *reply;

	if (asprintf(&reply, "-MOVED 15495 127.0.0.1:%d\r\n", port(++*count % 2 ? n2 : n1)) < 0)
		return NULL;
	return reply;
}

/* Backing off is for the requests of a slot; what happens to other slots does not end it. */
static void redirects_of_other_slots_do_not_end_a_pause(void **state)
{
	char asked[64];
	unsigned alone, count = 0;

	on(NULL, "CLUSTER SLOTS", NULL);
	start(TWO);
	snprintf(asked, sizeof(asked), "-ASK 12182 127.0.0.1:%d\r\n", port(n3));
	on(n1, "SINTERSTORE", asked);
	on(n3, "ASKING", "+OK\r\n");
	on(n3, "SINTERSTORE", TRYAGAIN);
	for (int i = 0; i < 5; i++)
		ask("SINTERSTORE", "{foo}1", "{foo}2");
	run_for(1000);
	alone = heard(n3, "SINTERSTORE");
	on_call(n1, "GET", moved_to_and_fro, &count);
	on_call(n2, "GET", moved_to_and_fro, &count);
	for (uint64_t began = now_ms(); now_ms() - began < 1000; turn(2))
		ask("GET", "a");
	check(heard(n3, "SINTERSTORE") - alone <= alone + 20, "%u tries alone, %u among redirects of another slot", alone,
	      heard(n3, "SINTERSTORE") - alone);
	stop();
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(tryagain_is_sent_again_after_a_pause),
		scripted(tryagain_splits_mget_into_single_keys),
		scripted(tryagain_splits_mset_into_single_pairs),
		scripted(tryagain_splits_what_counts_and_sums),
		scripted(tryagain_splits_mget_inside_a_larger_one),
		scripted(clusterdown_the_cluster_is_down),
		scripted(clusterdown_only_accepts_reads),
		scripted(clusterdown_slot_not_served),
		scripted(clusterdown_ends_at_the_deadline_with_its_cause),
		scripted(clusterdown_all_go_on_as_soon_as_one_is_served),
		scripted(clusterdown_is_no_storm),
		scripted(loading_is_waited_for),
		scripted(a_read_goes_elsewhere_when_its_replica_loads),
		scripted(masterdown_goes_to_the_master),
		scripted(readonly_refreshes_and_tries_by_slot),
		scripted(the_callers_errors_are_the_callers),
		scripted(noreplicas_is_tried_again_where_asked_for),
		scripted(noauth_with_nothing_to_say_is_the_callers),
		scripted(noauth_authenticates_again),
		scripted(redirect_of_a_standalone_valkey_is_tolerated),
		scripted(truncated_redirect_is_the_callers),
		scripted(redirects_of_other_slots_do_not_end_a_pause),
	};
	return run(tests);
}
