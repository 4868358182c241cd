/* SPDX-License-Identifier: MIT */
/* The loop: one descriptor in somebody else's poll(), watches, timers, run, wait, and blocking calls. */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "scripted.h"
#include "node.h"

static bool readable(int wait_ms)
{
	struct pollfd fd = {.fd = shard_client_fd(client), .events = POLLIN};

	return poll(&fd, 1, wait_ms) == 1;
}

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void a_submit_makes_the_descriptor_readable(void **state)
{
	struct ask *get;

	start(TWO);
	settle();
	check(!readable(30), "readable with nothing to do");
	get = ask("GET", "foo");
	check(readable(1000), "not readable after a submit");
	expect(n1, "GET", "foo");
	settle();
	check(!readable(30), "readable while waiting");
	say(n1, "+x\r\n");
	check(readable(1000), "not readable after a reply");
	want_status(get, "x");
	settle();
	check(!readable(30), "readable with nothing to do");
}

static void cancel_refresh_and_deadlines_make_it_readable(void **state)
{
	struct ask *get, *refresh;
	uint64_t began;
	int wakings = 0;

	options.timeout_ms = 150;
	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	settle();
	shard_cancel(client, get->handle);
	check(readable(1000), "not readable after a cancel");
	want_error(get, SHARD_ECANCELED);
	say(n1, "+late\r\n");
	settle();
	refresh = ask_refresh();
	check(readable(1000), "not readable after a refresh");
	want_done(refresh);
	get = ask("GET", "b");
	expect(n0, "GET", "b");
	settle();
	for (began = now_ms(); !get->calls && now_ms() - began < 1000; wakings++) {
		check(readable(1000), "not readable at a deadline");
		shard_client_process(client);
	}
	want_error(get, SHARD_ETIMEDOUT);
	want_took(get, 0, 300);
	check(wakings < 10, "woken %d times", wakings);
}

static void ticks(void *ctx)
{
	++*(int *)ctx;
}

static void timers_make_it_readable_and_come_in_time(void **state)
{
	int first = 0, second = 0, gone = 0;
	uint64_t began;
	shard_timer *timer;

	start(TWO);
	began = now_ms();
	assert_non_null(shard_timer_add(client, 120, ticks, &second));
	assert_non_null(shard_timer_add(client, 40, ticks, &first));
	timer = shard_timer_add(client, 60, ticks, &gone);
	shard_timer_cancel(timer);
	shard_timer_cancel(NULL);
	until(first);
	want_time(began, 38, 110);
	check_count(second, 0);
	until(second);
	want_time(began, 118, 250);
	run_for(50);
	check_count(first + second, 2);
	check_count(gone, 0);
}

static void an_idle_client_costs_no_cpu(void **state)
{
	struct ask *get;
	uint64_t before;

	start(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo"); /* one open request, connections open, timers armed */
	settle();
	before = cpu_us();
	for (uint64_t end = now_ms() + 300; now_ms() < end;)
		shard_client_wait(client, 50);
	check(cpu_us() - before < 30000, "%d us of CPU in 300 ms", (int)(cpu_us() - before));
	say(n1, "+x\r\n");
	want_status(get, "x");
}

/* ---- watches ---- */

struct watcher {
	int fd;
	unsigned calls;
	uint32_t events;
	shard_watch *watch, *other;
	bool remove_self, remove_other, stop;
};

static void watched(void *ctx, uint32_t events)
{
	struct watcher *watcher = ctx;
	char byte;

	watcher->calls++;
	watcher->events = events;
	if (watcher->remove_other) {
		shard_watch_remove(watcher->other);
		watcher->remove_other = false;
	}
	if (watcher->remove_self) {
		shard_watch_remove(watcher->watch);
		watcher->watch = NULL;
		return;
	}
	if (watcher->stop)
		shard_client_stop(client);
	if ((events & EPOLLIN) && read(watcher->fd, &byte, 1) != 1)
		note("read: %s", strerror(errno));
}

static void watch(struct watcher *watcher, int fd, uint32_t events)
{
	*watcher = (struct watcher){.fd = fd};
	watcher->watch = shard_watch_add(client, fd, events, watched, watcher);
	check(watcher->watch, "no watch: %s", strerror(errno));
}

static void a_watch_is_called_while_its_events_last(void **state)
{
	struct watcher in;
	int fds[2];

	start(TWO);
	assert_int_equal(pipe(fds), 0);
	watch(&in, fds[0], EPOLLIN);
	settle();
	check_count(in.calls, 0);
	assert_int_equal(write(fds[1], "abc", 3), 3);
	until(in.calls == 3); /* level triggered */
	check(in.events & EPOLLIN, "events %x", in.events);
	settle();
	check_count(in.calls, 3);
	assert_int_equal(write(fds[1], "d", 1), 1);
	assert_int_equal(shard_watch_set(in.watch, 0), 0);
	run_for(30);
	check_count(in.calls, 3);
	assert_int_equal(shard_watch_set(in.watch, EPOLLIN), 0);
	until(in.calls == 4);
	shard_watch_remove(in.watch);
	assert_int_equal(write(fds[1], "e", 1), 1);
	run_for(30);
	check_count(in.calls, 4);
	check(!readable(10), "readable for a watch that is gone");
	close(fds[0]);
	close(fds[1]);
	shard_watch_remove(NULL);
}

static void watches_may_be_removed_in_callbacks(void **state)
{
	struct watcher first, second;
	int a[2], b[2];

	start(TWO);
	assert_int_equal(pipe(a), 0);
	assert_int_equal(pipe(b), 0);
	watch(&first, a[0], EPOLLIN);
	watch(&second, b[0], EPOLLIN);
	/* Whichever is called first removes the other, whose event is in the same batch. */
	first.remove_other = second.remove_other = true;
	first.other = second.watch;
	second.other = first.watch;
	assert_int_equal(write(a[1], "x", 1), 1);
	assert_int_equal(write(b[1], "x", 1), 1);
	settle();
	check_count(first.calls + second.calls, 1);
	if (first.calls) {
		first.remove_self = true;
		assert_int_equal(write(a[1], "x", 1), 1);
		until(!first.watch);
	} else {
		second.remove_self = true;
		assert_int_equal(write(b[1], "x", 1), 1);
		until(!second.watch);
	}
	settle();
	for (int i = 0; i < 2; i++) {
		close(a[i]);
		close(b[i]);
	}
}

static void a_file_cannot_be_watched(void **state)
{
	FILE *file = tmpfile();

	start(TWO);
	assert_null(shard_watch_add(client, fileno(file), EPOLLIN, watched, NULL));
	assert_null(shard_watch_add(client, -1, EPOLLIN, watched, NULL));
	fclose(file);
}

/* ---- run and wait ---- */

static void nodes_turn(void *ctx, uint32_t events)
{
	nodes_step();
}

static void run_ends_when_nothing_is_left(void **state)
{
	start(TWO);
	assert_int_equal(shard_client_run(client), SHARD_OK);
}

static void run_ends_on_stop(void **state)
{
	struct watcher in;
	int fds[2];

	start(TWO);
	assert_int_equal(pipe(fds), 0);
	watch(&in, fds[0], EPOLLIN);
	in.stop = true;
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(shard_client_run(client), SHARD_OK);
	check_count(in.calls, 1);
	shard_watch_remove(in.watch);
	close(fds[0]);
	close(fds[1]);
}

static void stop_it(struct ask *ask_it)
{
	shard_client_stop(client);
}

static void run_answers_requests(void **state)
{
	shard_watch *nodes_watch;
	struct ask *get;

	start(TWO);
	nodes_watch = shard_watch_add(client, nodes_fd(), EPOLLIN, nodes_turn, NULL);
	assert_non_null(nodes_watch);
	on(n1, "GET", "+x\r\n");
	get = ask("GET", "foo");
	get->then = stop_it;
	assert_int_equal(shard_client_run(client), SHARD_OK);
	check_count(get->calls, 1);
	shard_watch_remove(nodes_watch);
}

static void wait_waits_no_longer_than_asked(void **state)
{
	uint64_t began;
	int fired = 0;

	start(TWO);
	settle();
	began = now_ms();
	assert_int_equal(shard_client_wait(client, 60), SHARD_OK);
	want_time(began, 55, 200);
	began = now_ms();
	assert_int_equal(shard_client_wait(client, 0), SHARD_OK);
	want_time(began, 0, 50);
	assert_non_null(shard_timer_add(client, 50, ticks, &fired));
	while (!fired)
		assert_int_equal(shard_client_wait(client, -1), SHARD_OK);
	want_time(began, 0, 300);
}

/* ---- blocking calls: the nodes live in the client's loop ---- */

static void blocking_calls_answer(void **state)
{
	shard_watch *nodes_watch;
	shard_answer *answer;
	shard_call parts = {.flags = SHARD_PARTS};

	start(TWO);
	nodes_watch = shard_watch_add(client, nodes_fd(), EPOLLIN, nodes_turn, NULL);
	on(n1, "GET", "-MOVED 12182 127.0.0.1:1\r\n");
	layout("0-8191 n0; 8192-16383 n2");
	on(n2, "GET", "$3\r\nbar\r\n");
	answer = shard_dol(client, NULL, "GET", "foo", (char *)NULL);
	check(answer->error == SHARD_OK, "%s: %s", shard_strerror(answer->error), answer->message);
	assert_string_equal(answer->reply->str, "bar");
	assert_string_equal(answer->node, addr(n2));
	check_count(answer->slot, 12182);
	shard_answer_free(answer);

	on(NULL, "MGET", "*1\r\n$1\r\nv\r\n");
	on(NULL, "GET", "$1\r\nv\r\n");
	answer = shard_dol(client, &parts, "MGET", "foo", "b", (char *)NULL);
	check_count(answer->part_count, 2);
	assert_string_equal(answer->part[1].reply->str, "v");
	check_count(answer->part[0].slot, 12182);
	shard_answer_free(answer);

	on(n2, "MULTI", "+OK\r\n");
	on(n2, "INCR", "+QUEUED\r\n");
	on(n2, "EXEC", "*1\r\n:7\r\n");
	answer = shard_do_multi(client, 1, &(shard_args){2, (const char *const[]){"INCR", "foo"}, NULL}, NULL);
	check(answer->error == SHARD_OK, "%s: %s", shard_strerror(answer->error), answer->message);
	check_count(answer->reply->element[0].integer, 7);
	shard_answer_free(answer);

	answer = shard_dol(client, NULL, "SINTER", "foo", "b", (char *)NULL);
	check_count(answer->error, SHARD_ECROSSSLOT);
	check(answer->message && answer->message[0], "no message");
	shard_answer_free(answer);

	answer = shard_dol(client, NULL, "SUBSCRIBE", "foo", (char *)NULL);
	check_count(answer->error, SHARD_EUNSUPPORTED);
	shard_answer_free(answer);
	shard_answer_free(NULL);

	assert_int_equal(shard_do_refresh(client), SHARD_OK);
	shard_watch_remove(nodes_watch);
}

/* Not embedded: nothing but the client's own wait. */
static void a_blocking_call_after_an_idle_close_does_not_sleep(void **state)
{
	static const unsigned pauses[] = {1000, 60000};

	for (int i = 0; i < 2; i++) {
		shard_watch *nodes_watch;
		shard_answer *answer;
		uint64_t began;

		options.refresh_ms = 0;
		options.pause_ms = pauses[i];
		start(TWO);
		nodes_watch = shard_watch_add(client, nodes_fd(), EPOLLIN, nodes_turn, NULL);
		on(n1, "GET", "+x\r\n");
		for (int j = 0; j < 3; j++) {
			began = now_ms();
			answer = shard_dol(client, NULL, "GET", "foo", (char *)NULL);
			check(answer->error == SHARD_OK, "%s", answer->message);
			shard_answer_free(answer);
			want_time(began, 0, 150);
			for (uint64_t end = now_ms() + 400; now_ms() < end;)
				shard_client_wait(client, 50);
			hang_up_all(n1);
		}
		shard_watch_remove(nodes_watch);
		stop();
	}
}

static void a_blocking_call_ends_at_its_deadline(void **state)
{
	shard_call how = {.timeout_ms = 200};
	shard_watch *nodes_watch;
	shard_answer *answer;
	uint64_t began = now_ms();

	start(TWO);
	nodes_watch = shard_watch_add(client, nodes_fd(), EPOLLIN, nodes_turn, NULL);
	answer = shard_dol(client, &how, "INCR", "foo", (char *)NULL);
	check_count(answer->error, SHARD_EUNKNOWN);
	check(answer->message && answer->message[0], "no message");
	want_time(began, 195, 450);
	shard_answer_free(answer);
	shard_watch_remove(nodes_watch);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scripted(a_submit_makes_the_descriptor_readable),
		scripted(cancel_refresh_and_deadlines_make_it_readable),
		scripted(timers_make_it_readable_and_come_in_time),
		scripted(an_idle_client_costs_no_cpu),
		scripted(a_watch_is_called_while_its_events_last),
		scripted(watches_may_be_removed_in_callbacks),
		scripted(a_file_cannot_be_watched),
		scripted(run_ends_when_nothing_is_left),
		scripted(run_ends_on_stop),
		scripted(run_answers_requests),
		scripted(wait_waits_no_longer_than_asked),
		scripted(blocking_calls_answer),
		scripted(a_blocking_call_after_an_idle_close_does_not_sleep),
		scripted(a_blocking_call_ends_at_its_deadline),
	};
	return run(tests);
}
