/* SPDX-License-Identifier: MIT */
/* What travels in pieces: an argument out of a file, a reply into a sink. */
#include <unistd.h>

#include "scripted.h"

/* ---- a file ---- */

static int file_of(const char *bytes, size_t len)
{
	FILE *file = tmpfile();
	int fd;

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	assert_int_equal(fflush(file), 0);
	fd = dup(fileno(file));
	assert_true(fd >= 0);
	fclose(file);
	return fd;
}

static char *pattern(size_t len)
{
	char *bytes = malloc(len + 1);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (char)('a' + i % 23);
	bytes[len] = 0;
	return bytes;
}

static void set_of(size_t size)
{
	char *bytes = pattern(size + 5);
	int fd = file_of(bytes, size + 5);
	shard_body body = {.argument = 2, .fd = fd, .offset = 5, .len = size};
	shard_call how = {.body = &body};
	const char *words[] = {"SET", "foo", bytes + 5, "KEEPTTL", NULL};
	struct ask *set;

	start(TWO);
	set = ask_how(&how, "SET", "foo", "", "KEEPTTL");
	expect_words(__FILE__, __LINE__, n1, words, NULL);
	say(n1, "+OK\r\n");
	want_status(set, "OK");
	stop();
	close(fd);
	free(bytes);
}

static void an_argument_comes_from_a_file(void **state)
{
	static const size_t sizes[] = {0, 1, 10, 4096, 65535, 65536, 65537, 3000000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		set_of(sizes[i]);
}

static void it_is_sent_again_from_its_beginning(void **state)
{
	char *bytes = pattern(300000);
	int fd = file_of(bytes, 300000);
	shard_body body = {.argument = 2, .fd = fd, .len = 300000};
	shard_call how = {.body = &body};
	struct ask *set;

	start(TWO);
	set = ask_how(&how, "SET", "foo", "");
	expect(n1, "SET", "foo", bytes);
	hang_up(n1);
	expect(n1, "SET", "foo", bytes);
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "SET", "foo", bytes);
	say(n2, "-ASK 12182 127.0.0.1:%d\r\n", port(n3));
	on(n3, "ASKING", "+OK\r\n");
	expect(n3, "SET", "foo", bytes);
	say(n3, "+OK\r\n");
	want_status(set, "OK");
	close(fd);
	free(bytes);
}

static void nothing_waits_behind_it(void **state)
{
	int fd = file_of("xyz", 3);
	shard_body body = {.argument = 2, .fd = fd, .len = 3};
	shard_call how = {.body = &body};
	struct ask *set, *get;

	start(TWO);
	set = ask_how(&how, "SET", "foo", "");
	get = ask("GET", "foo");
	expect(n1, "SET", "foo", "xyz");
	on(n1, "GET", "+x\r\n");
	want_status(get, "x");
	want_open(set);
	say(n1, "+OK\r\n");
	want_status(set, "OK");
	check_count(connections(n1), 2);
	close(fd);
}

static void a_connection_of_its_own_may_be_asked_for(void **state)
{
	struct ask *own, *get;

	start(TWO);
	own = ask_flags(SHARD_OWN_CONNECTION, "GET", "foo");
	get = ask("GET", "a");
	expect(n1, "GET", "foo");
	on(n1, "GET a", "+x\r\n");
	want_status(get, "x");
	want_open(own);
	say(n1, "+y\r\n");
	want_status(own, "y");
	check_count(connections(n1), 2);
}

static void a_file_that_is_too_short_is_told(void **state)
{
	int fd = file_of("xyz", 3);
	shard_body body = {.argument = 2, .fd = fd, .len = 4};
	shard_call how = {.body = &body};
	struct ask *set;

	start(TWO);
	set = ask_how(&how, "SET", "foo", "");
	want_error(set, SHARD_EPROTOCOL);
	check(strstr(set->message, "shorter"), "%s", said(set));
	check_count(heard(n1, "SET"), 0);
	close(fd);
}

static void what_cannot_be_is_refused(void **state)
{
	shard_body body = {.argument = 2, .fd = 0, .len = 3};
	shard_call how = {.body = &body};

	start(TWO);
	check_count(ask_try(&how, (const char *const[]){"MSET", "foo", "", NULL})->submitted, SHARD_EINVAL);
	check_count(ask_try(&how, (const char *const[]){"FLUSHALL", NULL})->submitted, SHARD_EINVAL);
	check_count(ask_try(&how, (const char *const[]){"SET", "foo", "not empty", NULL})->submitted, SHARD_EINVAL);
	body.argument = 3;
	check_count(ask_try(&how, (const char *const[]){"SET", "foo", "", NULL})->submitted, SHARD_EINVAL);
	body.argument = 0;
	check_count(ask_try(&how, (const char *const[]){"SET", "foo", "", NULL})->submitted, SHARD_EINVAL);
	body.argument = 2;
	how.flags = SHARD_EACH_MASTER;
	check_count(ask_try(&how, (const char *const[]){"SET", "foo", "", NULL})->submitted, SHARD_EINVAL);
}

/* ---- sinks ---- */

static struct {
	char bytes[400000];
	size_t len, total;
	unsigned pieces, beginnings;
	struct ask *cancel;
} into;

static void sink(void *ctx, size_t offset, const char *bytes, size_t len, size_t total)
{
	into.beginnings += offset == 0;
	into.pieces++;
	check(offset == 0 || offset == into.len, "a piece at %zu, expected at %zu", offset, into.len);
	check(offset + len <= total && total <= sizeof(into.bytes), "%zu bytes at %zu of %zu", len, offset, total);
	memcpy(into.bytes + offset, bytes, len);
	into.len = offset + len;
	into.total = total;
	if (into.cancel)
		shard_cancel(client, into.cancel->handle);
}

static const shard_call sinking = {.sink = sink};

static void begin(void)
{
	memset(&into, 0, sizeof(into));
	start(TWO);
}

static void say_long(struct node *node, const char *bytes, size_t len)
{
	char head[32];
	int n = snprintf(head, sizeof(head), "$%zu\r\n", len);
	char *all = malloc((size_t)n + len + 2);

	assert_non_null(all);
	memcpy(all, head, (size_t)n);
	memcpy(all + n, bytes, len);
	memcpy(all + (size_t)n + len, "\r\n", 2);
	say_bytes(node, all, (size_t)n + len + 2);
	free(all);
}

static void a_string_goes_to_the_sink(void **state)
{
	static const size_t sizes[] = {0, 1, 2, 65530, 65536, 300000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		char *bytes = pattern(sizes[i]);
		struct ask *get;

		begin();
		get = ask_how(&sinking, "GET", "foo");
		expect(n1, "GET", "foo");
		say_long(n1, bytes, sizes[i]);
		want_integer(get, (long long)sizes[i]);
		check_count(into.len, sizes[i]);
		assert_memory_equal(into.bytes, bytes, sizes[i]);
		stop();
		free(bytes);
	}
}

static void split_at_every_byte(void **state)
{
	static const char reply[] = "$12\r\nhello\r\nworld\r\n";

	for (size_t cut = 1; cut < sizeof(reply) - 1; cut++) {
		struct ask *get, *next;
		unsigned before = connections_ever(n1);

		begin();
		get = ask_how(&sinking, "GET", "foo");
		expect(n1, "GET", "foo");
		say_part(n1, reply, cut);
		settle();
		want_open(get);
		say_bytes(n1, reply + cut, sizeof(reply) - 1 - cut);
		want_integer(get, 12);
		assert_memory_equal(into.bytes, "hello\r\nworld", 12);
		/* The connection is where it should be: it serves again. */
		next = ask_how(&sinking, "GET", "foo");
		expect(n1, "GET", "foo");
		say(n1, "$1\r\nx\r\n");
		want_integer(next, 1);
		check_count(connections_ever(n1), before + 1);
		stop();
	}
}

static void other_replies_are_themselves(void **state)
{
	struct ask *get;

	begin();
	get = ask_how(&sinking, "GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "$-1\r\n");
	want_nil(get);
	get = ask_how(&sinking, "GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n");
	want_server_error(get, "WRONGTYPE Operation against a key holding the wrong kind of value");
	get = ask_how(&sinking, "STRLEN", "foo");
	expect(n1, "STRLEN", "foo");
	say(n1, ":5\r\n");
	want_integer(get, 5);
	get = ask_how(&sinking, "LRANGE", "foo", "0", "-1");
	expect(n1, "LRANGE", "foo", "0", "-1");
	say(n1, "*1\r\n$1\r\nx\r\n");
	want_array(get, 1);
	check_count(into.pieces, 0);
	check_count(connections_ever(n1), 1);
}

static void redirects_and_lost_connections_begin_anew(void **state)
{
	struct ask *get;

	begin();
	get = ask_how(&sinking, "GET", "foo");
	expect(n1, "GET", "foo");
	say_part(n1, "$10\r\nhel", 8);
	until(into.len == 3);
	hang_up(n1);
	expect(n1, "GET", "foo");
	say(n1, "-MOVED 12182 127.0.0.1:%d\r\n", port(n2));
	expect(n2, "GET", "foo");
	say(n2, "$10\r\nhello12345\r\n");
	want_integer(get, 10);
	check_count(into.beginnings, 2);
	assert_memory_equal(into.bytes, "hello12345", 10);
}

static void lengths_that_are_none_close_the_connection(void **state)
{
	static const char *const replies[] = {"$x\r\n", "$\r\n", "$1x\r\n", "$-2\r\n", "$99999999999999999999999999\r\n",
					      "$9999999999\r\n", "$3\n123\r\n", "$3\r\n123xxx", "$3\r\n123\n\n", "$+3\r\n123\r\n"};

	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
		struct ask *get;

		begin();
		get = ask_how(&sinking, "GET", "foo");
		expect(n1, "GET", "foo");
		say_bytes(n1, replies[i], strlen(replies[i]));
		want_error(get, SHARD_EPROTOCOL);
		stop();
	}
}

static void a_sink_may_cancel(void **state)
{
	struct ask *get;

	begin();
	get = ask_how(&sinking, "GET", "foo");
	into.cancel = get;
	expect(n1, "GET", "foo");
	say_part(n1, "$100000\r\nhello", 14);
	want_error(get, SHARD_ECANCELED);
	into.cancel = NULL;
	until(connections(n1) == 0);
	forget(n1);
}

static void the_deadline_is_that_of_the_next_piece(void **state)
{
	struct ask *get;

	memset(&into, 0, sizeof(into));
	options.timeout_ms = 300;
	start(TWO);
	get = ask_how(&sinking, "GET", "foo");
	expect(n1, "GET", "foo");
	say_part(n1, "$100\r\n", 6);
	for (size_t i = 1; i <= 4; i++) {
		say_part(n1, "xyz", 3);
		until(into.len == 3 * i);
		run_for(150);
	}
	want_open(get);
	want_error(get, SHARD_ETIMEDOUT);
	forget(n1);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(an_argument_comes_from_a_file),
		scripted(it_is_sent_again_from_its_beginning),
		scripted(nothing_waits_behind_it),
		scripted(a_connection_of_its_own_may_be_asked_for),
		scripted(a_file_that_is_too_short_is_told),
		scripted(what_cannot_be_is_refused),
		scripted(a_string_goes_to_the_sink),
		scripted(split_at_every_byte),
		scripted(other_replies_are_themselves),
		scripted(redirects_and_lost_connections_begin_anew),
		scripted(lengths_that_are_none_close_the_connection),
		scripted(a_sink_may_cancel),
		scripted(the_deadline_is_that_of_the_next_piece),
	};
	return run(tests);
}
