/* SPDX-License-Identifier: MIT */
/* Servers that send what is not RESP2: an error, a new connection, and nothing taken for another's. */
#include <sys/resource.h>

#include "scripted.h"

/* The head of the queue gets SHARD_EPROTOCOL; what stands behind it is sent again where that is safe. */
static void is_refused(const char *bytes, size_t len)
{
	struct ask *get, *behind, *incr, *next;
	unsigned first;

	get = ask("GET", "foo");
	behind = ask("GET", "a");
	incr = ask("INCR", "d");
	expect(n1, "GET", "foo");
	first = connection(n1);
	expect(n1, "GET", "a");
	expect(n1, "INCR", "d");
	say_bytes(n1, bytes, len);
	want_error(get, SHARD_EPROTOCOL);
	want_error(incr, SHARD_EUNKNOWN);
	until(connections(n1) == 0 || connections_ever(n1) > first);
	forget(n1);
	on(n1, "GET a", "+a\r\n");
	want_status(behind, "a");
	next = ask("INCR", "foo");
	on(n1, "INCR foo", ":1\r\n");
	want_integer(next, 1);
	check(connections(n1) == 1, "%u connections", connections(n1));
	check(connections_ever(n1) > first, "the same connection");
	on(n1, "GET", NULL);
	on(n1, "INCR", NULL);
	on(n1, "CLUSTER SLOTS", slots(TWO));
}

static void what_is_not_resp2_is_a_protocol_error(void **state)
{
	static const char *const bytes[] = {
		"garbage\r\n", "\r\n", "\0\0\0\0\r\n", "$-2\r\n", "*-2\r\n", "*-5\r\n", "$abc\r\n", "*abc\r\n", ":abc\r\n",
		":12x\r\n", "HTTP/1.1 400 Bad Request\r\n", "$99999999999999999999\r\n",
		"*99999999999999999999\r\n", ":99999999999999999999\r\n", "*2147483648\r\n", "%1\r\n+a\r\n+b\r\n", "_\r\n", "#t\r\n",
		">2\r\n+a\r\n+b\r\n", "(123\r\n", ",1.5\r\n", "~1\r\n+a\r\n", "=5\r\ntxt:a\r\n", "*1\r\ngarbage\r\n", "$\r\n", ":\r\n",
		"*\r\n", "*9223372036854775807\r\n", "$ 5\r\nhello\r\n", "*+1\r\n:1\r\n"};

	start(TWO);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		note("---- %s", bytes[i]);
		is_refused(bytes[i], bytes[i][0] ? strlen(bytes[i]) : 6);
	}
}

static void huge_announcements_cost_no_memory(void **state)
{
	static const char *const bytes[] = {"$536870912\r\nabc", "*536870912\r\n", "*1048576\r\n*1048576\r\n*1048576\r\n",
					    "*2147483647\r\n:1\r\n", "$4294967296\r\nx", "$99999999999\r\nx",
					    "$9223372036854775807\r\nx", "$9223372036854775806\r\n\r\n\r\n", "*65536\r\n$-1\r\n"};
	struct rusage before, after;

	options.timeout_ms = 200;
	getrusage(RUSAGE_SELF, &before);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		struct ask *get;

		start(TWO);
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "%s", bytes[i]);
		want_done(get);
		check(get->error == SHARD_EPROTOCOL || get->error == SHARD_ETIMEDOUT || get->error == SHARD_ENOMEM, "%s", said(get));
		get = ask("GET", "b");
		expect(n0, "GET", "b");
		say(n0, "+b\r\n");
		want_status(get, "b");
		stop();
	}
	getrusage(RUSAGE_SELF, &after);
	check(after.ru_maxrss - before.ru_maxrss < 200 << 10, "%ld MB more", (after.ru_maxrss - before.ru_maxrss) >> 10);
}

static void nesting_too_deep_is_refused(void **state)
{
	char bytes[4 * 4000 + 16] = "";
	struct ask *get;

	start(TWO);
	for (int i = 0; i < 4000; i++)
		memcpy(bytes + 4 * i, "*1\r\n", 4);
	strcpy(bytes + sizeof(bytes) - 16, ":1\r\n");
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say_bytes(n1, bytes, strlen(bytes));
	want_error(get, SHARD_EPROTOCOL);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void a_line_without_an_end_is_not_read_for_ever(void **state)
{
	struct rusage before, after;
	size_t size = 8 << 20;
	char *line = malloc(size);
	struct ask *get;

	memset(line, 'a', size);
	line[0] = '+';
	options.timeout_ms = 1000;
	start(TWO);
	getrusage(RUSAGE_SELF, &before);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say_part(n1, line, size);
	for (int i = 0; i < 7 && !get->calls; i++) {
		blurt(n1, "%.*s", (int)size, line + 1);
		run_for(10);
	}
	want_done(get);
	getrusage(RUSAGE_SELF, &after);
	check(get->error == SHARD_EPROTOCOL || get->error == SHARD_ETIMEDOUT, "%s", said(get));
	want_took(get, 0, 1500);
	free(line);
}

/* Whatever nobody asked for cannot be the answer to what is asked next. */
static void unasked_bytes_are_not_the_next_answer(void **state)
{
	static const char *const bytes[] = {"+late\r\n", ":1\r\n", "-ERR max number of clients reached\r\n", "$4\r\nlate\r\n", "+half", "*1\r\n"};
	struct ask *get;
	unsigned before;

	start(TWO);
	for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "+x\r\n");
		want_status(get, "x");
		before = connection(n1);
		blurt(n1, "%s", bytes[i]);
		settle();
		get = ask("INCR", "foo");
		expect(n1, "INCR", "foo");
		check(connection(n1) > before, "the connection is kept after '%s'", bytes[i]);
		say(n1, ":%zu\r\n", i + 7);
		want_integer(get, (long long)i + 7);
	}
}

/* Two answers to one question: the second is nobody's. */
static void an_answer_too_many_is_nobodys(void **state)
{
	struct ask *get, *next;

	start(TWO);
	for (int i = 0; i < 5; i++) {
		get = ask("GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "+mine\r\n+nobodys\r\n");
		want_status(get, "mine");
		next = ask("GET", "a");
		expect(n1, "GET", "a");
		say(n1, "+a\r\n");
		want_status(next, "a");
	}
}

/* A command too large for the server: it says so and hangs up before it has read the whole. */
static void an_answer_before_the_command_is_whole(void **state)
{
	size_t size = 24 << 20;
	char *value = malloc(size + 1);
	struct ask *append, *get;

	memset(value, 'x', size);
	value[size] = '\0';
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	append = ask("APPEND", "foo", value);
	shard_client_process(client); /* writes what the sockets hold */
	blurt(n1, "-ERR Protocol error: invalid bulk length\r\n");
	hang_up_all(n1);
	on(n1, "APPEND", ":1\r\n");
	want_done(append);
	/* The one that was cut off was not executed, but who knows that? */
	check(append->error == SHARD_EUNKNOWN || append->error == SHARD_ESERVER || append->error == SHARD_OK, "%s", said(append));
	check(heard(n1, "APPEND") == (append->error == SHARD_OK), "%s", said(append));
	on(n1, "GET", "+y\r\n");
	want_status(ask("GET", "foo"), "y");
	free(value);
}

/* "-ERR max number of clients reached" comes before anything was asked, then the connection ends. */
static void a_server_that_is_full_is_tried_again(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-ERR max number of clients reached\r\n");
	hang_up_all(n1);
	want_done(get);
}

/* A server of another protocol at the only address. */
static void a_stranger_at_the_seed_is_told(void **state)
{
	struct ask *get;

	options.timeout_ms = 400;
	on(n0, "", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
	start_cold("");
	get = ask("GET", "foo");
	want_done(get);
	check(get->error == SHARD_EPROTOCOL || get->error == SHARD_ENOROUTE || get->error == SHARD_ECONNECT, "%s", said(get));
	check(get->message[0], "no message");
	want_took(get, 0, 700);
}

static void a_greeting_answered_with_garbage_is_a_failed_connect(void **state)
{
	struct ask *incr;

	options.timeout_ms = 400;
	seeds("redis://:pw@%s", addr(n0));
	start(TWO);
	on(n1, "AUTH", "garbage\r\n");
	incr = ask("INCR", "foo");
	want_done(incr);
	check(incr->error == SHARD_EPROTOCOL || incr->error == SHARD_ECONNECT, "%s", said(incr));
	check_count(heard(n1, "INCR"), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(what_is_not_resp2_is_a_protocol_error),
		scripted(huge_announcements_cost_no_memory),
		scripted(nesting_too_deep_is_refused),
		scripted(a_line_without_an_end_is_not_read_for_ever),
		scripted(unasked_bytes_are_not_the_next_answer),
		scripted(an_answer_too_many_is_nobodys),
		scripted(an_answer_before_the_command_is_whole),
		scripted(a_server_that_is_full_is_tried_again),
		scripted(a_stranger_at_the_seed_is_told),
		scripted(a_greeting_answered_with_garbage_is_a_failed_connect),
	};
	return run(tests);
}
