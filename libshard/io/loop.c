/* SPDX-License-Identifier: MIT */
#include "io/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64

static uint64_t clock_ms(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int loop_init(struct loop *loop)
{
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -1;
	loop->buffer = malloc(LOOP_BUFFER);
	if (!loop->buffer) {
		close(loop->epoll_fd);
		return -1;
	}
	loop->wake_fd = -1;
	loop->timer_fd = -1;
	loop->timer_due = UINT64_MAX;
	loop->in_tick = false;
	loop->forked = false;
	loop->sources = 0;
	list_init(&loop->graveyard);
	loop->now = clock_ms(CLOCK_MONOTONIC);
	wheel_init(&loop->wheel, loop->now);
	return 0;
}

static void empty_graveyard(struct loop *loop)
{
	while (!list_empty(&loop->graveyard))
		free(list_pop(&loop->graveyard));
}

void loop_finish(struct loop *loop)
{
	empty_graveyard(loop);
	free(loop->buffer);
	if (loop->timer_fd >= 0)
		close(loop->timer_fd);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	close(loop->epoll_fd);
}

static int control(struct loop *loop, int op, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event);
}

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events)
{
	if (events && control(loop, EPOLL_CTL_ADD, source, events) < 0)
		return -1;
	source->events = events;
	loop->sources++;
	return 0;
}

int loop_set(struct loop *loop, struct loop_source *source, uint32_t events)
{
	/* Quiet means out of the set: EPOLLHUP cannot be masked, and would have the loop spin. */
	int op = !events ? EPOLL_CTL_DEL : source->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (source->events == events)
		return 0;
	if (control(loop, op, source, events) < 0)
		return -1;
	source->events = events;
	return 0;
}

void loop_remove(struct loop *loop, struct loop_source *source)
{
	if (!loop->forked)
		control(loop, EPOLL_CTL_DEL, source, 0);
	source->ready = NULL;
	loop->sources--;
}

void loop_bury(struct loop *loop, void *block)
{
	struct list *link = block;

	list_push(&loop->graveyard, link);
}

void loop_enter(struct loop *loop)
{
	loop->in_tick = true;
	loop->all_seen = false;
	loop->now = clock_ms(CLOCK_MONOTONIC);
}

void loop_leave(struct loop *loop)
{
	wheel_expire(&loop->wheel, loop->now);
	empty_graveyard(loop);
	loop->in_tick = false;
}

static int wait_shared(struct loop *loop, struct epoll_event events[], int timeout_ms)
{
	loop->left = true;
	loop->leave(loop->share_ctx);
	int n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);
	loop->enter(loop->share_ctx);
	loop->left = false;
	return n;
}

void loop_tick(struct loop *loop, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int n;

	if (loop->leave)
		n = wait_shared(loop, events, timeout_ms);
	else
		n = epoll_wait(loop->epoll_fd, events, EVENTS_MAX, timeout_ms);
	loop_enter(loop);
	for (int i = 0; i < n; i++) {
		struct loop_source *source = events[i].data.ptr;

		loop->all_seen = i + 1 == n && n < EVENTS_MAX;
		if (source->ready)
			source->ready(source, events[i].events);
	}
	loop_leave(loop);
}

uint64_t loop_now_outside(struct loop *loop)
{
	uint64_t now = clock_ms(CLOCK_MONOTONIC_COARSE);

	if (now > loop->now)
		loop->now = now;
	return loop->now;
}

static void woken(struct loop_source *source, uint32_t events)
{
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) < 0)
		return;
}

int loop_share(struct loop *loop, void (*leave)(void *ctx), void (*enter)(void *ctx), void *ctx)
{
	if (loop->wake_fd < 0) {
		loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (loop->wake_fd < 0)
			return -1;
		loop->wake_source = (struct loop_source){.ready = woken, .fd = loop->wake_fd};
		if (loop_add(loop, &loop->wake_source, EPOLLIN) < 0) {
			close(loop->wake_fd);
			loop->wake_fd = -1;
			return -1;
		}
		loop->sources--; /* its own does not count */
	}
	loop->leave = leave;
	loop->enter = enter;
	loop->share_ctx = ctx;
	return 0;
}

void loop_wake(struct loop *loop)
{
	const uint64_t one = 1;

	/* A counter that is full wakes as well. */
	if (loop->left && write(loop->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void timer_ready(struct loop_source *source, uint32_t events)
{
	struct loop *loop = list_entry(source, struct loop, timer_source);
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		loop->timer_due = UINT64_MAX;
}

int loop_embed(struct loop *loop)
{
	if (loop->timer_fd >= 0)
		return loop->epoll_fd;
	loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (loop->timer_fd < 0)
		return -1;
	loop->timer_source = (struct loop_source){.ready = timer_ready, .fd = loop->timer_fd};
	if (loop_add(loop, &loop->timer_source, EPOLLIN) < 0) {
		close(loop->timer_fd);
		loop->timer_fd = -1;
		return -1;
	}
	loop->sources--; /* its own does not count */
	loop_arm(loop, true);
	return loop->epoll_fd;
}

void loop_arm(struct loop *loop, bool at_once)
{
	uint64_t due = at_once ? 0 : wheel_next(&loop->wheel);
	struct itimerspec spec = {0};

	/* One that fires too early costs a tick; one too late is never armed. */
	if (loop->timer_fd < 0 || due >= loop->timer_due)
		return;
	spec.it_value.tv_sec = (time_t)(due / 1000);
	spec.it_value.tv_nsec = due ? (long)(due % 1000) * 1000000 : 1;
	if (timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
		loop->timer_due = due;
}
