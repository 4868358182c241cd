/* SPDX-License-Identifier: MIT */
/* After a fork the child may only destroy; the parent's client is not touched. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scripted.h"

static unsigned child_callbacks;

static void in_child(void *ctx, const shard_result *result)
{
	child_callbacks++;
}

/* Runs CHILD in a fork; its exit status. */
static int forked(int (*child)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		_exit(child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int all_calls_refuse(void)
{
	const char *argv[] = {"SET", "foo", "child"};
	shard_args args = {.argc = 3, .argv = argv};
	shard_answer *answer;

	if (shard_submit(client, 3, argv, NULL, NULL, in_child, NULL, NULL) != SHARD_EFORK)
		return 1;
	if (shard_submit_multi(client, 1, &args, NULL, in_child, NULL, NULL) != SHARD_EFORK)
		return 2;
	if (shard_client_process(client) != SHARD_EFORK)
		return 3;
	if (shard_client_run(client) != SHARD_EFORK)
		return 4;
	if (shard_client_wait(client, 10) != SHARD_EFORK)
		return 5;
	if (shard_refresh(client, in_child, NULL) != SHARD_EFORK)
		return 6;
	answer = shard_do(client, 3, argv, NULL, NULL);
	if (answer->error != SHARD_EFORK)
		return 7;
	shard_answer_free(answer);
	answer = shard_dol(client, NULL, "GET", "foo", (char *)NULL);
	if (answer->error != SHARD_EFORK)
		return 8;
	shard_answer_free(answer);
	if (shard_do_refresh(client) != SHARD_EFORK)
		return 9;
	return child_callbacks ? 10 : 0;
}

static int destroys(void)
{
	shard_client_destroy(client);
	return 0;
}

static void the_child_is_refused(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	assert_int_equal(forked(all_calls_refuse), 0);
	say(n1, "+x\r\n");
	want_status(get, "x");
	check_count(heard(NULL, "SET"), 0);
	check_count(connections_ever(n1), 1);
}

/* The child's destroy must not take the parent's descriptors out of the epoll that both share. */
static void the_childs_destroy_does_not_touch_the_parents_client(void **state)
{
	struct ask *get, *incr, *timed;

	options.timeout_ms = 400;
	start(TWO);
	get = ask("GET", "foo");
	incr = ask("INCR", "b");
	expect(n1, "GET", "foo");
	expect(n0, "INCR", "b");
	assert_int_equal(forked(destroys), 0);
	say(n1, "+x\r\n");
	say(n0, ":1\r\n");
	want_status(get, "x");
	want_integer(incr, 1);
	timed = ask("GET", "foo");
	expect(n1, "GET", "foo");
	want_error(timed, SHARD_ETIMEDOUT); /* timers live too */
	want_took(timed, 0, 700);
	check_count(connections_ever(n0), 1);
}

static void what_was_queued_is_sent_by_the_parent_alone(void **state)
{
	struct ask *incr;

	start(TWO);
	want_done((on(n1, "GET", "+x\r\n"), ask("GET", "foo")));
	incr = ask("INCR", "foo"); /* queued, not written */
	assert_int_equal(forked(destroys), 0);
	expect(n1, "INCR", "foo");
	say(n1, ":1\r\n");
	want_integer(incr, 1);
	run_for(30);
	check_count(heard(n1, "INCR"), 1);
}

static int uses_a_client_of_its_own(void)
{
	shard_client *old = client;
	int status = 0;

	shard_client_destroy(old);
	start(TWO);
	/* Nobody answers here, for the nodes are the parent's too: that it may be made and destroyed is all. */
	if (shard_client_process(client) != SHARD_OK)
		status = 1;
	shard_client_destroy(client);
	return status;
}

static void the_child_may_make_a_new_one(void **state)
{
	struct ask *get;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	assert_int_equal(forked(uses_a_client_of_its_own), 0);
	say(n1, "+x\r\n");
	want_status(get, "x");
}

/* ---- watches ---- */

static shard_watch *watch;
static unsigned fired;

static void fires(void *ctx, uint32_t events)
{
	fired++;
}

static int tidies_up(void)
{
	shard_watch_remove(watch);
	shard_client_destroy(client);
	return 0;
}

static int sets_the_watch(void)
{
	return shard_watch_set(watch, 0) == 0 || shard_watch_add(client, 0, 0, fires, NULL);
}

static void the_child_does_not_take_the_parents_watches(void **state)
{
	int fds[2];

	start(TWO);
	fired = 0;
	assert_int_equal(pipe(fds), 0);
	watch = shard_watch_add(client, fds[0], EPOLLIN, fires, NULL);
	assert_non_null(watch);
	assert_int_equal(forked(tidies_up), 0);
	assert_int_equal(forked(sets_the_watch), 0);
	assert_int_equal(write(fds[1], "x", 1), 1);
	until(fired > 0);
	shard_watch_remove(watch);
	close(fds[0]);
	close(fds[1]);
}

/* ---- exec ---- */

static void nothing_is_inherited_by_a_program(void **state)
{
	bool before[256];
	struct ask *get;

	for (int fd = 0; fd < 256; fd++)
		before[fd] = fcntl(fd, F_GETFD) >= 0;
	seeds("unix://%s", unix_path(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	want_done((on(n0, "GET", "+y\r\n"), ask("GET", "b")));
	for (int fd = 0; fd < 256; fd++)
		check(before[fd] || fcntl(fd, F_GETFD) < 0 || fcntl(fd, F_GETFD) & FD_CLOEXEC, "descriptor %d outlives exec", fd);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(the_child_is_refused),
		scripted(the_childs_destroy_does_not_touch_the_parents_client),
		scripted(what_was_queued_is_sent_by_the_parent_alone),
		scripted(the_child_may_make_a_new_one),
		scripted(the_child_does_not_take_the_parents_watches),
		scripted(nothing_is_inherited_by_a_program),
	};
	return run(tests);
}
