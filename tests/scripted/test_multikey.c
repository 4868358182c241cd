/* SPDX-License-Identifier: MIT */
/* Commands whose keys are in several slots: split, sent at once, put together again. */
#include "scripted.h"

/* Every key has the value "v:KEY"; "no..." is missing. */
static char *give(void *ctx, struct node *node, const struct command *command)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (strcasecmp(word(command, 0), "MGET") == 0)
		fprintf(out, "*%d\r\n", words(command) - 1);
	for (int i = 1; i < words(command); i++) {
		if (strncmp(word(command, i), "no", 2) == 0)
			fprintf(out, "$-1\r\n");
		else
			fprintf(out, "$%zu\r\nv:%s\r\n", strlen(word(command, i)) + 2, word(command, i));
	}
	fclose(out);
	return text;
}

/* Counts the keys that do not begin with "no". */
static char *count(void *ctx, struct node *node, const struct command *command)
{
	char *reply;
	int n = 0;

	for (int i = 1; i < words(command); i++)
		n += strncmp(word(command, i), "no", 2) != 0;
	if (asprintf(&reply, ":%d\r\n", n) < 0)
		return NULL;
	return reply;
}

static void want_values(struct ask *mget, const char *const *keys)
{
	size_t n = 0;

	while (keys[n])
		n++;
	want_array(mget, n);
	for (size_t i = 0; i < n; i++) {
		const shard_reply *value = &mget->reply->element[i];

		if (strncmp(keys[i], "no", 2) == 0) {
			check(value->type == SHARD_REPLY_NIL, "%s: not nil", keys[i]);
			continue;
		}
		check(value->type == SHARD_REPLY_STRING && strcmp(value->str + 2, keys[i]) == 0, "%s: %s", keys[i], said(mget));
	}
}

static void mget_is_put_together_in_the_callers_order(void **state)
{
	static const char *const words_[] = {"MGET", "foo", "b", "a",   "nothing", "bar", "foo", "c", "d",
					     "b",    "foo", "x", "{b}", "none",    "",    NULL};
	struct ask *mget;

	start("0-5460 n0; 5461-10922 n1; 10923-16383 n2");
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	mget = ask_words(NULL, words_, NULL);
	want_values(mget, words_ + 1);
	check_count(mget->slot, -1);
	assert_string_equal(mget->node, "");
}

static void all_parts_are_sent_before_any_is_answered(void **state)
{
	struct ask *mget;

	start("0-5460 n0; 5461-10922 n1; 10923-16383 n2");
	mget = ask("MGET", "foo", "b", "c", "bar");
	/* No node answers before all have heard all. */
	until(heard(NULL, "MGET") + heard(NULL, "GET") == 4);
	check_count(heard(n0, "MGET") + heard(n0, "GET"), 2); /* b and bar: one node, two slots */
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	want_values(mget, (const char *const[]){"foo", "b", "c", "bar", NULL});
}

static void keys_of_one_slot_stay_one_command(void **state)
{
	struct ask *mget;

	start(TWO);
	mget = ask("MGET", "{foo}1", "{foo}2", "{foo}1");
	expect(n1, "MGET", "{foo}1", "{foo}2", "{foo}1");
	say(n1, "*3\r\n+a\r\n+b\r\n+c\r\n");
	want_array(mget, 3);
	check_count(mget->slot, 12182);
}

static void keys_of_one_slot_are_grouped(void **state)
{
	struct ask *mget;

	start(TWO);
	mget = ask("MGET", "{foo}1", "b", "{foo}2");
	expect(n1, "MGET", "{foo}1", "{foo}2");
	say(n1, "*2\r\n+1\r\n+2\r\n");
	on(n0, "MGET b", "*1\r\n+b\r\n");
	on(n0, "GET b", "+b\r\n");
	want_array(mget, 3);
	assert_string_equal(mget->reply->element[0].str, "1");
	assert_string_equal(mget->reply->element[1].str, "b");
	assert_string_equal(mget->reply->element[2].str, "2");
}

static void mget_with_parts_has_a_result_for_each_key(void **state)
{
	struct ask *mget;

	start(TWO);
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	on(n1, "MGET", "-ERR ohno\r\n");
	on(n1, "GET", "-ERR ohno\r\n");
	mget = ask_flags(SHARD_PARTS, "MGET", "b", "foo", "nokey", "b", "a");
	want_done(mget);
	check_count(mget->part_count, 5);
	want_part(mget, 0, SHARD_OK, "\"v:b");
	want_part(mget, 1, SHARD_ESERVER, "-ERR ohno");
	check_count(mget->part[1].slot, 12182);
	assert_string_equal(mget->part[1].node, addr(n1));
	want_part(mget, 3, SHARD_OK, "\"v:b");
	want_part(mget, 4, SHARD_ESERVER, "-ERR ohno");
	check(mget->error == SHARD_ESERVER, "%s", said(mget));
}

static void an_error_of_one_part_is_the_error_of_the_whole(void **state)
{
	struct ask *mget, *del, *mset;

	start(TWO);
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	on_call(NULL, "DEL", count, NULL);
	on(n0, "MSET", "+OK\r\n");
	on(n0, "SET", "+OK\r\n");
	on(n1, "", "-NOPERM no\r\n");
	mget = ask("MGET", "b", "foo");
	del = ask("DEL", "b", "foo");
	mset = ask("MSET", "b", "1", "foo", "2");
	want_server_error(mget, "NOPERM no");
	want_server_error(del, "NOPERM no");
	want_server_error(mset, "NOPERM no");
}

static void what_counts_is_summed(void **state)
{
	static const char *const names[] = {"DEL", "UNLINK", "EXISTS", "TOUCH", "unlink"};

	start(TWO);
	for (int i = 0; i < 5; i++) {
		struct ask *sum;

		on_call(NULL, names[i], count, NULL);
		sum = ask(names[i], "foo", "b", "nokey", "a", "foo", "bar", "c", "d");
		want_integer(sum, 7);
	}
}

static void what_counts_goes_out_key_by_key_with_parts(void **state)
{
	struct ask *del;

	start(TWO);
	on_call(NULL, "DEL", count, NULL);
	del = ask_flags(SHARD_PARTS, "DEL", "{foo}1", "nokey", "{foo}2", "b");
	want_integer(del, 3);
	check_count(del->part_count, 4);
	want_part(del, 0, SHARD_OK, ":1");
	want_part(del, 1, SHARD_OK, ":0");
	want_part(del, 2, SHARD_OK, ":1");
	want_part(del, 3, SHARD_OK, ":1");
	check_count(heard(NULL, "DEL"), 4);
}

static void mset_goes_to_all_slots(void **state)
{
	struct ask *mset;

	start(TWO);
	mset = ask("MSET", "{foo}1", "a", "b", "x", "{foo}2", "c");
	expect(n1, "MSET", "{foo}1", "a", "{foo}2", "c");
	say(n1, "+OK\r\n");
	expect_somewhere(heard(n0, "SET") ? "SET" : "MSET", "b", "x");
	say(n0, "+OK\r\n");
	want_status(mset, "OK");
}

static void mset_with_parts_tells_which_pairs_failed(void **state)
{
	struct ask *mset;

	start(TWO);
	on(n0, "MSET", "+OK\r\n");
	on(n0, "SET", "+OK\r\n");
	on(n1, "MSET", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	on(n1, "SET", "-OOM command not allowed when used memory > 'maxmemory'.\r\n");
	mset = ask_flags(SHARD_PARTS, "MSET", "foo", "1", "b", "2", "a", "3");
	want_done(mset);
	check_count(mset->part_count, 3);
	want_part(mset, 0, SHARD_ESERVER, NULL);
	want_part(mset, 1, SHARD_OK, "+OK");
	want_part(mset, 2, SHARD_ESERVER, NULL);
	check(mset->error == SHARD_ESERVER, "%s", said(mset));
}

static void a_dead_node_fails_its_parts_alone(void **state)
{
	struct ask *mget, *del;

	options.timeout_ms = 300;
	start(TWO);
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	on_call(NULL, "DEL", count, NULL);
	node_down(n1);
	mget = ask_flags(SHARD_PARTS, "MGET", "b", "foo", "bar");
	del = ask_flags(SHARD_PARTS, "DEL", "b", "foo");
	want_done(mget);
	want_part(mget, 0, SHARD_OK, "\"v:b");
	want_part(mget, 1, SHARD_ECONNECT, NULL);
	want_part(mget, 2, SHARD_OK, "\"v:bar");
	want_done(del);
	want_part(del, 0, SHARD_OK, ":1");
	want_part(del, 1, SHARD_ECONNECT, NULL);
	check(mget->error == SHARD_ECONNECT, "%s", said(mget));
	/* Half of it is done: that is not "nothing was executed". */
	check(del->error == SHARD_EUNKNOWN, "%s", said(del));
}

static void a_part_whose_outcome_is_unknown_says_so(void **state)
{
	struct ask *del;

	start(TWO);
	on_call(n0, "DEL", count, NULL);
	del = ask_flags(SHARD_PARTS, "DEL", "b", "foo");
	expect(n1, "DEL", "foo");
	hang_up(n1);
	want_done(del);
	want_part(del, 0, SHARD_OK, ":1");
	want_part(del, 1, SHARD_EUNKNOWN, NULL);
}

static void a_part_is_redirected_by_itself(void **state)
{
	struct ask *mget;

	start(TWO);
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	on(n1, "MGET", NULL);
	mget = ask("MGET", "{foo}1", "b", "{foo}2", "{a}1", "{a}2");
	expect(n1, "MGET", "{foo}1", "{foo}2");
	expect(n1, "MGET", "{a}1", "{a}2");
	on(n3, "ASKING", "+OK\r\n");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	say(n1, "-ASK 15495 127.0.0.1:%d\r\n", port(n3));
	want_values(mget, (const char *const[]){"{foo}1", "b", "{foo}2", "{a}1", "{a}2", NULL});
	check_count(heard(n2, "MGET"), 1);
	check_count(heard(n3, "MGET"), 1);
}

static void what_cannot_be_split_is_refused(void **state)
{
	static const char *const commands[][6] = {
		{"MSETNX", "foo", "1", "b", "2", NULL}, {"SINTER", "foo", "b", NULL},       {"RENAME", "foo", "b", NULL},
		{"PFMERGE", "foo", "b", NULL},          {"EVAL", "", "2", "foo", "b", NULL}, {"ZUNIONSTORE", "foo", "1", "b", NULL}};

	start(TWO);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ask *ask = ask_try(NULL, commands[i]);

		check(ask->submitted == SHARD_ECROSSSLOT, "%s: %s", ask->text, said(ask));
	}
	settle();
	check_count(heard(NULL, ""), 0);
}

static void what_is_malformed_is_refused(void **state)
{
	static const char *const commands[][6] = {{"MGET", NULL},      {"GET", NULL},       {"MSET", "foo", NULL},
						  {"DEL", NULL},       {"MSET", "foo", "1", "b", NULL},
						  {"EVAL", "", "x", "foo", NULL}, {"EVAL", "", "-1", NULL}};

	start(TWO);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		struct ask *ask = ask_try(NULL, commands[i]);

		/* Refused, or sent so that the server says it: never a crash, never an OK. */
		if (ask->submitted != SHARD_OK) {
			check(ask->submitted == SHARD_EINVAL, "%s: %s", ask->text, said(ask));
			continue;
		}
		on(NULL, commands[i][0], "-ERR wrong number of arguments\r\n");
		want_server_error(ask, "ERR wrong number of arguments");
	}
	check_count(shard_submit(client, 0, (const char *const[]){NULL}, NULL, NULL, NULL, NULL, NULL), SHARD_EINVAL);
}

/* Nodes that answer a part with something else: no crash, no value at the wrong key. */
static void a_part_of_the_wrong_shape_is_an_error(void **state)
{
	static const char *const answers[] = {"*1\r\n+x\r\n", "*3\r\n+x\r\n+y\r\n+z\r\n", "*0\r\n", "+OK\r\n", "*-1\r\n", ":2\r\n"};

	start(TWO);
	on_call(n0, "MGET", give, NULL);
	on_call(n0, "GET", give, NULL);
	on_call(n0, "DEL", count, NULL);
	on(n1, "DEL", "+OK\r\n");
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		struct ask *mget, *parts;

		on(n1, "MGET", answers[i]);
		mget = ask("MGET", "{foo}1", "{foo}2", "b");
		parts = ask_flags(SHARD_PARTS, "MGET", "{foo}1", "{foo}2", "b");
		want_error(mget, SHARD_EPROTOCOL);
		want_done(parts);
		want_part(parts, 0, SHARD_EPROTOCOL, NULL);
		want_part(parts, 1, SHARD_EPROTOCOL, NULL);
		want_part(parts, 2, SHARD_OK, "\"v:b");
	}
	want_error(ask("DEL", "foo", "b"), SHARD_EPROTOCOL);
}

static void a_large_mget_over_many_slots(void **state)
{
	static char key[5000][16];
	static const char *argv[5002];
	struct ask *mget;

	start("0-5460 n0; 5461-10922 n1; 10923-16383 n2");
	on_call(NULL, "MGET", give, NULL);
	on_call(NULL, "GET", give, NULL);
	argv[0] = "MGET";
	for (int i = 0; i < 5000; i++) {
		snprintf(key[i], sizeof(key[i]), "key:%d", i % 4000);
		argv[i + 1] = key[i];
	}
	argv[5001] = NULL;
	mget = ask_words(NULL, argv, NULL);
	want_values(mget, argv + 1);
}

/* By error.h "cannot connect" means that nothing was executed. */
static void a_write_half_done_is_not_called_unsent(void **state)
{
	shard_call how = {.timeout_ms = 300};
	struct ask *mset, *del;

	start(TWO);
	node_down(n0);
	on(n1, "MSET", "+OK\r\n");
	on(n1, "SET", "+OK\r\n");
	on(n1, "DEL", ":1\r\n");
	mset = ask_how(&how, "MSET", "b", "1", "foo", "2");
	del = ask_how(&how, "DEL", "b", "foo");
	want_error(mset, SHARD_EUNKNOWN);
	want_error(del, SHARD_EUNKNOWN);
	check(strstr(mset->message, "refused"), "the message does not tell the cause: %s", said(mset));
}

static void an_unknown_part_makes_the_whole_unknown(void **state)
{
	shard_call how = {.timeout_ms = 300};
	struct ask *del;

	start(TWO);
	node_down(n0);
	del = ask_how(&how, "DEL", "b", "foo");
	expect(n1, "DEL", "foo");
	hang_up(n1);
	want_error(del, SHARD_EUNKNOWN);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(mget_is_put_together_in_the_callers_order),
		scripted(all_parts_are_sent_before_any_is_answered),
		scripted(keys_of_one_slot_stay_one_command),
		scripted(keys_of_one_slot_are_grouped),
		scripted(mget_with_parts_has_a_result_for_each_key),
		scripted(an_error_of_one_part_is_the_error_of_the_whole),
		scripted(what_counts_is_summed),
		scripted(what_counts_goes_out_key_by_key_with_parts),
		scripted(mset_goes_to_all_slots),
		scripted(mset_with_parts_tells_which_pairs_failed),
		scripted(a_dead_node_fails_its_parts_alone),
		scripted(a_part_whose_outcome_is_unknown_says_so),
		scripted(a_part_is_redirected_by_itself),
		scripted(what_cannot_be_split_is_refused),
		scripted(what_is_malformed_is_refused),
		scripted(a_part_of_the_wrong_shape_is_an_error),
		scripted(a_large_mget_over_many_slots),
		scripted(a_write_half_done_is_not_called_unsent),
		scripted(an_unknown_part_makes_the_whole_unknown),
	};
	return run(tests);
}
