/* SPDX-License-Identifier: MIT */
/* Tracking: what is said to each node, what invalidations do, and when marks hold. */
#include "scripted.h"

static shard_tracking *tracking;
static shard_tracking_options how;
static char changed_keys[256]; /* with a space behind each */
static unsigned losses, refusals;
static char refusal[256];

static void on_changed(void *ctx, const char *key, size_t len)
{
	size_t at = strlen(changed_keys);

	snprintf(changed_keys + at, sizeof(changed_keys) - at, "%.*s ", (int)len, key);
}

static void on_lost(void *ctx)
{
	losses++;
}

static void on_refused(void *ctx, const char *why)
{
	refusals++;
	snprintf(refusal, sizeof(refusal), "%s", why);
}

static void prepare(void)
{
	changed_keys[0] = refusal[0] = 0;
	losses = refusals = 0;
	shard_tracking_options_init(&how);
	how.changed = on_changed;
	how.lost = on_lost;
	how.refused = on_refused;
}

static void track(void)
{
	assert_int_equal(shard_tracking_create(client, &how, &tracking), SHARD_OK);
}

static void untrack(void)
{
	shard_tracking_destroy(tracking);
	tracking = NULL;
}

static char *id_reply(void *ctx, struct node *node, const struct command *command)
{
	char *text;

	return asprintf(&text, ":%u\r\n", 100 + connection_of(command)) < 0 ? NULL : text;
}

#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n"
#define PONG "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
#define MESSAGE "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"

static void answer_all(struct node *node)
{
	on_call(node, "CLIENT ID", id_reply, NULL);
	on(node, "CLIENT TRACKING", "+OK\r\n");
	on(node, "CLIENT NO-EVICT", "+OK\r\n");
	on(node, "PING", PONG);
}

/* All nodes answer; SUBSCRIBE is heard by the test, so that blurt() finds its connection. */
static void arm(struct node *node)
{
	expect(node, "SUBSCRIBE", "__redis__:invalidate");
	say(node, SUBSCRIBED);
}

static bool marked(const char *key, shard_mark *mark)
{
	return shard_tracking_mark(tracking, key, strlen(key), mark);
}

static void begin(const char *layout)
{
	prepare();
	answer_all(NULL);
	start(layout);
	track();
}

/* ---- the handshake ---- */

static void a_connection_redirects_to_itself(void **state)
{
	shard_mark mark;
	unsigned nodes, tracked;

	prepare();
	on_call(NULL, "CLIENT ID", id_reply, NULL);
	start(TWO);
	track();
	check(!marked("b", &mark), "watched before anything was said");
	expect(n0, "CLIENT", "TRACKING", "ON", "REDIRECT", "101", "BCAST");
	say(n0, "+OK\r\n");
	expect(n0, "CLIENT", "NO-EVICT", "ON");
	say(n0, "-ERR unknown subcommand\r\n");
	expect(n0, "SUBSCRIBE", "__redis__:invalidate");
	check(!marked("b", &mark), "watched before the subscription was acknowledged");
	say(n0, SUBSCRIBED);
	until(marked("b", &mark));
	check(!marked("foo", &mark), "n1's key is watched by n0");
	shard_tracking_count(tracking, &nodes, &tracked);
	check_count(nodes, 2);
	check_count(tracked, 1);
	untrack();
}

static void a_node_that_refuses_is_told_once(void **state)
{
	shard_mark mark;

	prepare();
	answer_all(NULL);
	on(n1, "CLIENT TRACKING", "-ERR unknown subcommand 'TRACKING'\r\n");
	start(TWO);
	track();
	arm(n0);
	until(refusals == 1);
	check(strstr(refusal, addr(n1)) && strstr(refusal, "unknown subcommand"), "%s", refusal);
	until(marked("b", &mark));
	check(!marked("foo", &mark), "watched by whom?");
	run_for(300);
	check_count(refusals, 1);
	check_count(heard(n1, "CLIENT TRACKING"), 1);
	untrack();
}

/* ---- what is told ---- */

static void changes_are_told(void **state)
{
	shard_mark mark;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &mark) && marked("foo", &mark));
	blurt(n0, MESSAGE "*2\r\n$1\r\nb\r\n$3\r\nbar\r\n");
	until(changed_keys[0]);
	assert_string_equal(changed_keys, "b bar ");
	check(shard_tracking_holds(tracking, &mark), "a change of one key takes another's mark");
	blurt(n1, MESSAGE "*0\r\n" MESSAGE "*1\r\n$3\r\nfoo\r\n");
	until(!strcmp(changed_keys, "b bar foo "));
	check_count(losses, 1); /* when the slots got their trackers */
	untrack();
}

static void flushall_is_all_keys_of_a_node(void **state)
{
	shard_mark b, foo;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &b) && marked("foo", &foo));
	losses = 0;
	blurt(n0, MESSAGE "*-1\r\n");
	until(losses);
	check(!shard_tracking_holds(tracking, &b), "it was flushed");
	check(shard_tracking_holds(tracking, &foo), "n1 was not flushed");
	check(marked("b", &b), "what comes after it may be kept");
	check_count(losses, 1);
	untrack();
}

static void what_anybody_publishes_is_no_news(void **state)
{
	shard_mark mark;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &mark));
	blurt(n0, MESSAGE "$1\r\nb\r\n");
	blurt(n0, MESSAGE "*1\r\n$3\r\nbar\r\n");
	until(changed_keys[0]);
	assert_string_equal(changed_keys, "bar ");
	check(shard_tracking_holds(tracking, &mark), "the connection went on");
	untrack();
}

/* ---- marks ---- */

static void a_lost_connection_ends_marks(void **state)
{
	shard_mark old, now;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &old));
	losses = 0;
	hang_up(n0);
	until(!shard_tracking_holds(tracking, &old));
	until(losses);
	check(!marked("b", &now), "nobody watches");
	arm(n0);
	until(marked("b", &now));
	check(!shard_tracking_holds(tracking, &old), "what was missed in between?");
	untrack();
}

static void silence_ends_marks(void **state)
{
	shard_mark mark;
	uint64_t began;

	prepare();
	how.ping_ms = 200;
	answer_all(NULL);
	start(TWO);
	track();
	arm(n0);
	arm(n1);
	until(marked("b", &mark));
	run_for(500);
	check(heard(n0, "PING") >= 1, "it was not asked");
	check(shard_tracking_holds(tracking, &mark), "it answers");
	on(n0, "PING", NULL);
	began = now_ms();
	until(!shard_tracking_holds(tracking, &mark));
	want_time(began, 150, 800);
	forget(n0);
	untrack();
}

static void a_moved_slot_ends_its_marks_alone(void **state)
{
	shard_mark b, bar;
	struct ask *get;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &b) && marked("bar", &bar));
	losses = 0;
	get = ask("GET", "b");
	expect(n0, "GET", "b");
	say(n0, "-MOVED 3300 %s\r\n", addr(n1));
	expect(n1, "GET", "b");
	say(n1, "$1\r\nx\r\n");
	want_string(get, "x");
	check(!shard_tracking_holds(tracking, &b), "its owner is another");
	check(shard_tracking_holds(tracking, &bar), "bar's is the same");
	check(losses, "that is to be told");
	check(marked("b", &b), "n1 watches it");
	untrack();
}

static void a_node_that_loses_all_is_left(void **state)
{
	unsigned nodes, tracked;
	shard_mark mark;

	begin(TWO);
	arm(n0);
	arm(n1);
	until(marked("b", &mark));
	layout("0-16383 n1");
	want_done(ask_refresh());
	check(!shard_tracking_holds(tracking, &mark), "n0 has nothing any more");
	check(marked("b", &mark), "n1 watches it");
	shard_tracking_count(tracking, &nodes, &tracked);
	check_count(nodes, 1);
	until(connections(n0) < 2); /* one may have been asked for the map */
	untrack();
}

static void a_failover_ends_marks(void **state)
{
	shard_mark mark;

	begin("0-8191 n0 n2; 8192-16383 n1");
	arm(n0);
	arm(n1);
	until(marked("b", &mark));
	layout("0-8191 n2 n0; 8192-16383 n1");
	want_done(ask_refresh());
	check(!shard_tracking_holds(tracking, &mark), "its master is another");
	check(!marked("b", &mark), "n2 does not watch yet");
	arm(n2);
	until(marked("b", &mark));
	untrack();
}

static void an_unconfirmed_map_ends_all_marks(void **state)
{
	shard_mark mark;
	uint64_t began;

	prepare();
	how.lease_ms = 600;
	answer_all(NULL);
	start(TWO);
	track();
	arm(n0);
	arm(n1);
	until(marked("b", &mark));
	run_for(1500);
	check(shard_tracking_holds(tracking, &mark), "the map is confirmed again and again");
	check(heard(NULL, "CLUSTER SLOTS") >= 2, "is it?");
	losses = 0;
	on(NULL, "CLUSTER SLOTS", "-ERR no\r\n");
	began = now_ms();
	until(!shard_tracking_holds(tracking, &mark));
	want_time(began, 0, 900);
	until(losses);
	layout(TWO);
	on(NULL, "CLUSTER SLOTS", slots(TWO));
	until(shard_tracking_holds(tracking, &mark)); /* nothing was missed */
	untrack();
}

static void a_single_server_needs_no_map(void **state)
{
	shard_mark mark;

	prepare();
	how.lease_ms = 200;
	answer_all(NULL);
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	start_cold("");
	track();
	arm(n0);
	until(marked("b", &mark));
	run_for(600);
	check(shard_tracking_holds(tracking, &mark), "there is nothing to confirm");
	check_count(heard(n0, "CLUSTER SLOTS"), 1);
	untrack();
}

static void the_password_comes_first(void **state)
{
	shard_mark mark;

	prepare();
	on(NULL, "AUTH", NULL);
	answer_all(NULL);
	seeds("redis://:secret@127.0.0.1:%d", port(n0));
	start("0-16383 n0");
	track();
	expect(n0, "AUTH", "secret");
	on(NULL, "AUTH", "+OK\r\n"); /* for those that come after */
	say(n0, "+OK\r\n");
	arm(n0);
	until(marked("b", &mark));
	untrack();
}

static void a_pool_is_tracked_by_its_servers(void **state)
{
	static shard_pool_server server[2];
	shard_pool pool = {.hash = SHARD_HASH_XXH3, .distribution = SHARD_MODULA, .redis = true, .timeout_ms = 1000};
	struct node *node[2] = {n0, n1};
	shard_mark mark;

	prepare();
	for (int i = 0; i < 2; i++)
		server[i] = (shard_pool_server){
			.host = "127.0.0.1", .port = (uint16_t)port(node[i]), .weight = 1, .name = i ? "b" : "a"};
	pool.server = server;
	pool.server_count = 2;
	pool.server_connections = 1;
	options.timeout_ms = 0;
	answer_all(NULL);
	start_pool(&pool);
	track();
	arm(n0);
	arm(n1);
	until(marked("b", &mark) && marked("c", &mark) && marked("d", &mark) && marked("foo", &mark));
	check_count(heard(NULL, "CLUSTER SLOTS"), 0);
	untrack();
}

static void it_ends_cleanly_at_any_time(void **state)
{
	shard_tracking *other;

	begin(TWO);
	assert_int_equal(shard_tracking_create(client, &how, &other), SHARD_EINVAL);
	untrack();
	track();
	turn(10);
	untrack();
	track();
	expect(n0, "SUBSCRIBE", "__redis__:invalidate");
	untrack();
	settle();
	forget(n0);
	forget(n1);
	/* Where the map was fetched meanwhile, that connection stays. */
	until(connections(n0) + connections(n1) <= heard(NULL, "CLUSTER SLOTS"));
	shard_tracking_destroy(NULL);
	how.lease_ms = 1;
	assert_int_equal(shard_tracking_create(client, &how, &other), SHARD_EINVAL);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_connection_redirects_to_itself),
		scripted(a_node_that_refuses_is_told_once),
		scripted(changes_are_told),
		scripted(flushall_is_all_keys_of_a_node),
		scripted(what_anybody_publishes_is_no_news),
		scripted(a_lost_connection_ends_marks),
		scripted(silence_ends_marks),
		scripted(a_moved_slot_ends_its_marks_alone),
		scripted(a_node_that_loses_all_is_left),
		scripted(a_failover_ends_marks),
		scripted(an_unconfirmed_map_ends_all_marks),
		scripted(a_single_server_needs_no_map),
		scripted(the_password_comes_first),
		scripted(a_pool_is_tracked_by_its_servers),
		scripted(it_ends_cleanly_at_any_time),
	};

	return run(tests);
}
