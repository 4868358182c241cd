/* SPDX-License-Identifier: MIT */
/* The event loop of one client: an epoll descriptor, a timing wheel, the time. */
#ifndef SHARD_IO_LOOP_H
#define SHARD_IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/wheel.h"

struct loop_source {
	void (*ready)(struct loop_source *source, uint32_t events); /* NULL: removed */
	int fd;
	uint32_t events; /* as registered; 0 with fd registered: quiet */
};

#define LOOP_BUFFER 65536

struct loop {
	int epoll_fd;
	int wake_fd;         /* -1 until the loop is shared */
	int timer_fd;        /* -1 until the loop is embedded */
	uint64_t timer_due;  /* what timer_fd is armed for; UINT64_MAX: nothing */
	uint64_t now;        /* ms, CLOCK_MONOTONIC, of this tick */
	bool in_tick;
	bool all_seen; /* in a tick: every source that was ready at its start has been called */
	bool forked; /* in a child that inherited it: the parent's epoll set is left alone */
	unsigned sources;
	char *buffer; /* LOOP_BUFFER bytes for whoever reads */
	struct loop_source timer_source, wake_source;
	/* Shared: called around each wait. */
	void (*leave)(void *ctx), (*enter)(void *ctx);
	void *share_ctx;
	bool left; /* between the two: whoever touches it has to wake it */
	struct list graveyard; /* blocks to free when no event of this tick can name them any more */
	struct wheel wheel;
};

int loop_init(struct loop *loop); /* 0, or -1 with errno */
void loop_finish(struct loop *loop);

int loop_add(struct loop *loop, struct loop_source *source, uint32_t events);
int loop_set(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Frees BLOCK (malloc'ed, two pointers long at least) at the end of the tick. */
void loop_bury(struct loop *loop, void *block);

/* Waits at most TIMEOUT_MS (-1: for ever) for events, calls their sources, expires timers. */
void loop_tick(struct loop *loop, int timeout_ms);

/* A tick of which the caller makes the events itself, between these two. */
void loop_enter(struct loop *loop);
void loop_leave(struct loop *loop);

/* The time of now: exact within a tick, cheap outside of one. */
uint64_t loop_now_outside(struct loop *loop);
static inline uint64_t loop_now(struct loop *loop)
{
	return loop->in_tick ? loop->now : loop_now_outside(loop);
}

/* From now on others may touch the loop between LEAVE and ENTER, which are called around each wait. 0, or -1 with errno. */
int loop_share(struct loop *loop, void (*leave)(void *ctx), void (*enter)(void *ctx), void *ctx);

/* Ends a wait of a shared loop; nothing where there is none. */
void loop_wake(struct loop *loop);

/* Embedding: the descriptor to watch, -1 with errno where it cannot be had. */
int loop_embed(struct loop *loop);

/* Embedded: makes the descriptor readable at the next timer, or at once. */
void loop_arm(struct loop *loop, bool at_once);

#endif
