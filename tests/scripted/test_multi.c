/* SPDX-License-Identifier: MIT */
/* Rule 9: MULTI blocks. */
#include "scripted.h"

static const char *const block[] = {"SET {foo}1 a", "INCR {foo}2"};
static const char *const safe_block[] = {"SET {foo}1 a", "SET {foo}2 b"};

static void expect_block(struct node *node)
{
	expect(node, "MULTI");
	expect(node, "SET", "{foo}1", "a");
	expect(node, "INCR", "{foo}2");
	expect(node, "EXEC");
}

static void answer_block(struct node *node)
{
	say(node, "+OK\r\n");
	say(node, "+QUEUED\r\n");
	say(node, "+QUEUED\r\n");
	say(node, "*2\r\n+OK\r\n:7\r\n");
}

static void want_block(struct ask *multi)
{
	want_array(multi, 2);
	check_count(multi->reply->element[1].integer, 7);
}

static void a_block_goes_out_whole_and_answers_with_execs_array(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	answer_block(n1);
	want_block(multi);
	assert_string_equal(multi->node, addr(n1));
	check_count(multi->slot, 12182);
}

static void nothing_comes_between_its_commands(void **state)
{
	struct ask *get[20], *multi[5];

	start(TWO);
	for (int i = 0; i < 5; i++) {
		get[i] = ask("GET", "foo");
		multi[i] = ask_multi(NULL, 2, block);
		get[i + 5] = ask("GET", "a");
	}
	for (int i = 0; i < 5; i++) {
		expect(n1, "GET", "foo");
		expect_block(n1);
		expect(n1, "GET", "a");
	}
	for (int i = 0; i < 5; i++) {
		say(n1, "+foo\r\n");
		answer_block(n1);
		say(n1, "+a\r\n");
	}
	for (int i = 0; i < 5; i++) {
		want_status(get[i], "foo");
		want_block(multi[i]);
		want_status(get[i + 5], "a");
	}
}

static void moved_while_queueing_sends_the_whole_block_anew(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_block(n2);
	answer_block(n2);
	want_block(multi);
}

static void moved_by_exec_itself_sends_the_whole_block_anew(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect_block(n2);
	answer_block(n2);
	want_block(multi);
}

static void moved_after_the_first_command_sends_the_whole_block_anew(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_block(n2);
	answer_block(n2);
	want_block(multi);
}

static void ask_while_queueing_puts_one_asking_before_multi(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-ASK 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect(n2, "ASKING");
	expect_block(n2);
	say(n2, "+OK\r\n");
	answer_block(n2);
	want_block(multi);
	run_for(50);
	check_count(heard(n2, "ASKING"), 1);
	check_count(heard(NULL, "CLUSTER"), 0);
}

static void retried_as_a_whole(const char *error)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "-%s\r\n", error);
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_block(n1);
	answer_block(n1);
	want_block(multi);
}

static void tryagain_while_queueing_retries_the_block(void **state)
{
	retried_as_a_whole("TRYAGAIN Multiple keys request during rehashing of slot");
}

static void clusterdown_while_queueing_retries_the_block(void **state)
{
	retried_as_a_whole("CLUSTERDOWN The cluster is down");
}

static void loading_refuses_multi_and_the_block_is_retried(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n"); /* MULTI is allowed while loading */
	say(n1, "-LOADING Redis is loading the dataset in memory\r\n");
	say(n1, "-LOADING Redis is loading the dataset in memory\r\n");
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_block(n1);
	answer_block(n1);
	want_block(multi);
}

static void an_error_while_queueing_is_the_answers_error(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "-ERR wrong number of arguments for 'set' command\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	want_server_error(multi, "ERR wrong number of arguments for 'set' command");
}

static void an_error_inside_exec_is_in_its_array(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "*2\r\n+OK\r\n-MOVED 12182 127.0.0.1:%d\r\n", port(n2)); /* not ours to follow: it was executed */
	want_array(multi, 2);
	check_count(multi->reply->element[1].type, SHARD_REPLY_ERROR);
	run_for(50);
	check_count(connections_ever(n2), 0);
}

static void nil_of_exec_is_handed_out(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "*-1\r\n");
	want_nil(multi);
}

static void a_break_leaves_the_outcome_unknown(void **state)
{
	/* After how many answers it breaks: EXEC had been sent with the rest. */
	for (int answers = 0; answers < 4; answers++) {
		struct ask *multi;

		start(TWO);
		multi = ask_multi(NULL, 2, block);
		expect_block(n1);
		for (int i = 0; i < answers; i++)
			say(n1, i ? "+QUEUED\r\n" : "+OK\r\n");
		settle();
		hang_up(n1);
		want_error(multi, SHARD_EUNKNOWN);
		run_for(30);
		check_count(heard(n1, "EXEC"), answers + 1);
		stop();
	}
}

static void a_block_that_may_run_twice_is_sent_again(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, safe_block);
	for (int i = 0; i < 2; i++) {
		expect(n1, "MULTI");
		expect(n1, "SET", "{foo}1", "a");
		expect(n1, "SET", "{foo}2", "b");
		expect(n1, "EXEC");
		if (i == 0)
			hang_up(n1);
	}
	say(n1, "+OK\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "+QUEUED\r\n");
	say(n1, "*2\r\n+OK\r\n+OK\r\n");
	want_array(multi, 2);
}

static void keys_of_several_slots_are_refused(void **state)
{
	static const char *const crossed[] = {"SET foo 1", "SET b 1"};
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, crossed);
	check_count(multi->submitted, SHARD_ECROSSSLOT);
}

static void a_block_without_keys_needs_a_place(void **state)
{
	static const char *const keyless[] = {"TIME"};
	shard_call by_key = {.key = "foo", .key_len = 3}, by_node = {.node = addr(n0)};
	struct ask *multi;

	start(TWO);
	check(ask_multi(NULL, 1, keyless)->submitted == SHARD_EINVAL, "a block without a place was accepted");
	for (int i = 0; i < 2; i++) {
		struct node *node = i ? n0 : n1;

		multi = ask_multi(i ? &by_node : &by_key, 1, keyless);
		check(multi->submitted == SHARD_OK, "%s", said(multi));
		expect(node, "MULTI");
		expect(node, "TIME");
		expect(node, "EXEC");
		say(node, "+OK\r\n");
		say(node, "+QUEUED\r\n");
		say(node, "*1\r\n*2\r\n:1\r\n:2\r\n");
		want_array(multi, 1);
	}
}

/* A node that answers less than it heard, then hangs up: no reply is taken for another's. */
static void a_strange_answer_to_a_block_ends_well(void **state)
{
	struct ask *multi, *get;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "*1\r\n:1\r\n"); /* to MULTI */
	say(n1, ":5\r\n");
	say(n1, "$-1\r\n");
	say(n1, "+OK\r\n"); /* to EXEC */
	want_done(multi);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void blocking_and_state_commands_in_a_block_are_refused_or_harmless(void **state)
{
	static const char *const odd[][2] = {{"SUBSCRIBE a", "SET foo 1"}, {"MULTI", "SET foo 1"}, {"EXEC", "SET foo 1"},
					     {"DISCARD", "SET foo 1"}, {"SELECT 1", "SET foo 1"}, {"WATCH foo", "SET foo 1"}};

	start(TWO);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		struct ask *multi = ask_multi(NULL, 2, odd[i]);

		check(multi->submitted == SHARD_EUNSUPPORTED || multi->submitted == SHARD_EINVAL, "%s: %s", odd[i][0], said(multi));
	}
}

static void an_error_of_the_second_try_is_not_hidden_by_the_first(void **state)
{
	struct ask *multi;

	start(TWO);
	multi = ask_multi(NULL, 2, block);
	expect_block(n1);
	say(n1, "+OK\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	expect_block(n2);
	say(n2, "+OK\r\n");
	say(n2, "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	say(n2, "+QUEUED\r\n");
	say(n2, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	want_server_error(multi, "OOM command not allowed when used memory > 'maxmemory'.");
}

static void noreplicas_is_tried_again_where_asked_for(void **state)
{
	static const char *const one[] = {"SET foo 1"};
	shard_call how = {.flags = SHARD_RETRY_NOREPLICAS};
	struct ask *multi;

	start(TWO);
	multi = ask_multi(&how, 1, one);
	on(n1, "MULTI", "+OK\r\n");
	on(n1, "SET", "-NOREPLICAS Not enough good replicas to write.\r\n");
	on(n1, "EXEC", "-EXECABORT Transaction discarded because of previous errors.\r\n");
	until(heard(n1, "EXEC") >= 3);
	on(n1, "SET", "+QUEUED\r\n");
	on(n1, "EXEC", "*1\r\n+OK\r\n");
	want_array(multi, 1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_block_goes_out_whole_and_answers_with_execs_array),
		scripted(nothing_comes_between_its_commands),
		scripted(moved_while_queueing_sends_the_whole_block_anew),
		scripted(moved_by_exec_itself_sends_the_whole_block_anew),
		scripted(moved_after_the_first_command_sends_the_whole_block_anew),
		scripted(ask_while_queueing_puts_one_asking_before_multi),
		scripted(tryagain_while_queueing_retries_the_block),
		scripted(clusterdown_while_queueing_retries_the_block),
		scripted(loading_refuses_multi_and_the_block_is_retried),
		scripted(an_error_while_queueing_is_the_answers_error),
		scripted(an_error_inside_exec_is_in_its_array),
		scripted(nil_of_exec_is_handed_out),
		scripted(a_break_leaves_the_outcome_unknown),
		scripted(a_block_that_may_run_twice_is_sent_again),
		scripted(keys_of_several_slots_are_refused),
		scripted(a_block_without_keys_needs_a_place),
		scripted(a_strange_answer_to_a_block_ends_well),
		scripted(blocking_and_state_commands_in_a_block_are_refused_or_harmless),
		scripted(an_error_of_the_second_try_is_not_hidden_by_the_first),
		scripted(noreplicas_is_tried_again_where_asked_for),
	};
	return run(tests);
}
