/* SPDX-License-Identifier: MIT */
/* Replies cut at every byte; binary and empty keys and values; large ones. */
#include "scripted.h"

static char *show(const shard_reply *reply)
{
	char *text = NULL, *inner;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (reply->type == SHARD_REPLY_INTEGER)
		fprintf(out, ":%lld", reply->integer);
	else if (reply->type == SHARD_REPLY_NIL)
		fprintf(out, "nil");
	else if (reply->type == SHARD_REPLY_ARRAY)
		for (size_t i = 0; i < reply->len; i++) {
			inner = show(&reply->element[i]);
			fprintf(out, "%s%s", i ? "," : "[", inner);
			free(inner);
		}
	else
		fprintf(out, "%c%s", "?+-?$"[reply->type], reply->str);
	fprintf(out, reply->type == SHARD_REPLY_ARRAY ? reply->len ? "]" : "[]" : "");
	fclose(out);
	return text;
}

static const struct {
	const char *bytes, *shown;
} replies[] = {
	{"+OK\r\n", "+OK"},
	{"+\r\n", "+"},
	{":0\r\n", ":0"},
	{":-9223372036854775808\r\n", ":-9223372036854775808"},
	{":9223372036854775807\r\n", ":9223372036854775807"},
	{"$-1\r\n", "nil"},
	{"*-1\r\n", "nil"},
	{"$0\r\n\r\n", "$"},
	{"$5\r\nhello\r\n", "$hello"},
	{"$6\r\n\r\n\r\n\r\n\r\n", "$\r\n\r\n\r\n"},
	{"*0\r\n", "[]"},
	{"*3\r\n:1\r\n$-1\r\n$2\r\nab\r\n", "[:1,nil,$ab]"},
	{"*2\r\n*2\r\n+a\r\n-b c\r\n*1\r\n*0\r\n", "[[+a,-b c],[[]]]"},
	{"*2\r\n$2\r\n17\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", "[$17,[$a,$b]]"},
	{"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:7\r\n", "[[[[[[:7]]]]]]"},
};
#define REPLIES (sizeof(replies) / sizeof(replies[0]))

static void want_shown(struct ask *get, const char *wanted)
{
	char *came;

	want_done(get);
	check(get->error == SHARD_OK && get->reply, "expected %s, got: %s", wanted, said(get));
	came = show(get->reply);
	if (strcmp(came, wanted) != 0)
		blame(__FILE__, __LINE__, "expected %s, got %s", wanted, came);
	free(came);
}

static void a_reply_may_be_cut_at_every_byte(void **state)
{
	start(TWO);
	for (size_t i = 0; i < REPLIES; i++) {
		size_t len = strlen(replies[i].bytes);

		for (size_t cut = 1; cut < len; cut++) {
			struct ask *get = ask("GET", "foo");

			expect(n1, "GET", "foo");
			say_part(n1, replies[i].bytes, cut);
			settle();
			want_open(get);
			say_bytes(n1, replies[i].bytes + cut, len - cut);
			want_shown(get, replies[i].shown);
		}
	}
	check_count(connections_ever(n1), 1);
}

static void a_reply_may_come_byte_by_byte(void **state)
{
	start(TWO);
	for (size_t i = 0; i < REPLIES; i++) {
		struct ask *get = ask("GET", "foo");
		size_t len = strlen(replies[i].bytes);

		expect(n1, "GET", "foo");
		for (size_t at = 0; at + 1 < len; at++) {
			say_part(n1, replies[i].bytes + at, 1);
			settle();
		}
		want_open(get);
		say_bytes(n1, replies[i].bytes + len - 1, 1);
		want_shown(get, replies[i].shown);
	}
}

static void replies_of_a_pipeline_may_be_cut_at_every_byte(void **state)
{
	char all[1024] = "";
	struct ask *get[REPLIES];

	for (size_t i = 0; i < REPLIES; i++)
		strcat(all, replies[i].bytes);
	start(TWO);
	for (size_t cut = 0; cut <= strlen(all); cut++) {
		for (size_t i = 0; i < REPLIES; i++)
			get[i] = ask("GET", "foo");
		for (size_t i = 0; i < REPLIES; i++)
			expect(n1, "GET", "foo");
		say_part(n1, all, cut);
		settle();
		say_bytes(n1, all + cut, strlen(all) - cut);
		for (size_t i = 1; i < REPLIES; i++)
			say_bytes(n1, "", 0);
		for (size_t i = 0; i < REPLIES; i++)
			want_shown(get[i], replies[i].shown);
	}
}

static void redirects_may_be_cut_at_every_byte(void **state)
{
	static const char *const kinds[] = {"ASK", "MOVED"};
	char error[64];
	size_t len;

	on(n2, "ASKING", "+OK\r\n");
	on(n2, "GET", "$3\r\nbar\r\n");
	for (int kind = 0; kind < 2; kind++) {
		len = (size_t)snprintf(error, sizeof(error), "-%s 12182 127.0.0.1:%d\r\n", kinds[kind], port(n2));
		for (size_t cut = 1; cut < len; cut++) {
			struct ask *get;

			start(TWO);
			get = ask("GET", "foo");
			expect(n1, "GET", "foo");
			say_part(n1, error, cut);
			settle();
			say_bytes(n1, error + cut, len - cut);
			want_string(get, "bar");
			stop();
		}
	}
}

static void a_map_may_be_cut_at_every_byte(void **state)
{
	struct ask *refresh;
	const char *bytes;
	size_t len;

	on(NULL, "CLUSTER SLOTS", NULL);
	for (size_t cut = 1;; cut += 7) {
		start("0-16383 n0");
		refresh = ask_refresh();
		expect(n0, "CLUSTER", "SLOTS");
		bytes = slots("0-8191 n0 n2; 8192-16383 n1 n3");
		len = strlen(bytes);
		if (cut >= len)
			break;
		say_part(n0, bytes, cut);
		settle();
		bytes = slots("0-8191 n0 n2; 8192-16383 n1 n3");
		say_bytes(n0, bytes + cut, len - cut);
		want_error(refresh, SHARD_OK);
		check_count(shard_topology_node_count(shard_client_topology(client)), 4);
		stop();
	}
}

/* ---- keys and values are bytes ---- */

static void keys_may_be_empty_or_binary(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} keys[] = {{"", 0}, {"\0", 1}, {"a\0b", 3}, {"\r\n", 2}, {"{}", 2}, {"{\0}x", 4}, {"\xff\xfe{foo}\0", 8}, {" ", 1}};

	start(TWO);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		const char *words_[] = {"SET", keys[i].bytes, "x\0y", NULL};
		size_t lens[] = {3, keys[i].len, 3};
		unsigned slot = shard_slot(keys[i].bytes, keys[i].len);
		struct ask *set = ask_words(NULL, words_, lens);

		expect_bytes(slot < 8192 ? n0 : n1, words_, lens);
		say(slot < 8192 ? n0 : n1, "+OK\r\n");
		want_status(set, "OK");
		check_count(set->slot, slot);
	}
}

static void a_value_with_nuls_comes_whole(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say_bytes(n1, "$5\r\na\0\r\nb\r\n", 11);
	want_done(get);
	check_count(get->reply->len, 5);
	assert_memory_equal(get->reply->str, "a\0\r\nb", 6);
}

static void large_values_go_both_ways(void **state)
{
	size_t size = 5 << 20;
	char *value = malloc(size + 64), *reply = malloc(size + 64);
	const char *set_words[] = {"SET", "foo", value, NULL};
	size_t lens[] = {3, 3, size}, at;
	struct ask *set, *get, *small;

	for (size_t i = 0; i < size; i++)
		value[i] = (char)(i * 2654435761u >> 13);
	start(TWO);
	set = ask_words(NULL, set_words, lens);
	small = ask("GET", "{foo}");
	get = ask("GET", "foo");
	expect_bytes(n1, set_words, lens);
	say(n1, "+OK\r\n");
	want_status(set, "OK");
	expect(n1, "GET", "{foo}");
	say(n1, "$1\r\nx\r\n");
	want_string(small, "x");
	expect(n1, "GET", "foo");
	at = (size_t)sprintf(reply, "$%zu\r\n", size);
	memcpy(reply + at, value, size);
	memcpy(reply + at + size, "\r\n", 2);
	say_bytes(n1, reply, at + size + 2);
	want_done(get);
	check(get->error == SHARD_OK, "%s", said(get));
	check_count(get->reply->len, size);
	check(memcmp(get->reply->str, value, size) == 0, "the value is torn");
	free(value);
	free(reply);
}

static void a_reply_of_many_elements_comes_whole(void **state)
{
	struct ask *get;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fprintf(out, "*100000\r\n");
	for (int i = 0; i < 100000; i++)
		fprintf(out, ":%d\r\n", i);
	fclose(out);
	start(TWO);
	get = ask("LRANGE", "foo", "0", "-1");
	expect(n1, "LRANGE", "foo", "0", "-1");
	say_bytes(n1, text, size);
	want_array(get, 100000);
	for (int i = 0; i < 100000; i++)
		check_count(get->reply->element[i].integer, i);
	free(text);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_reply_may_be_cut_at_every_byte),
		scripted(a_reply_may_come_byte_by_byte),
		scripted(replies_of_a_pipeline_may_be_cut_at_every_byte),
		scripted(redirects_may_be_cut_at_every_byte),
		scripted(a_map_may_be_cut_at_every_byte),
		scripted(keys_may_be_empty_or_binary),
		scripted(a_value_with_nuls_comes_whole),
		scripted(large_values_go_both_ways),
		scripted(a_reply_of_many_elements_comes_whole),
	};
	return run(tests);
}
