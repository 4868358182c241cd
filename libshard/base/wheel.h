/* SPDX-License-Identifier: MIT */
/*
 * A timing wheel: adding and removing a timer costs a few instructions,
 * which is what a deadline on every request needs. Due times are kept to
 * 4 ms; a timer beyond the wheel's 4 s simply stays for another turn.
 */
#ifndef SHARD_BASE_WHEEL_H
#define SHARD_BASE_WHEEL_H

#include <stdint.h>

#include "base/list.h"

#define WHEEL_SHIFT 2
#define WHEEL_SIZE 1024

struct timer {
	struct list link; /* in a bucket */
	uint64_t due;     /* ms */
	void (*expire)(struct timer *timer);
};

struct wheel {
	uint64_t turn; /* the bucket time that was expired last: ms >> WHEEL_SHIFT */
	uint64_t used[WHEEL_SIZE / 64]; /* a bit where a bucket may hold timers */
	struct list bucket[WHEEL_SIZE]; /* made when first used: a short-lived program touches one page of them */
};

/* WHEEL is all zeros. */
void wheel_init(struct wheel *wheel, uint64_t now);

static inline void timer_init(struct timer *timer, void (*expire)(struct timer *timer))
{
	list_init(&timer->link);
	timer->expire = expire;
}

static inline bool timer_armed(const struct timer *timer)
{
	return !list_empty(&timer->link);
}

static inline void timer_stop(struct timer *timer)
{
	list_remove(&timer->link);
}

/* Arms TIMER, which is not armed; one that is due already expires at the next wheel_expire(). */
static inline void timer_start_idle(struct wheel *wheel, struct timer *timer, uint64_t due)
{
	uint64_t turn = (due >> WHEEL_SHIFT) + 1; /* never early */
	unsigned b;

	if (turn <= wheel->turn)
		turn = wheel->turn + 1;
	b = turn & (WHEEL_SIZE - 1);
	timer->due = due;
	if (!(wheel->used[b / 64] & 1ULL << (b % 64))) {
		wheel->used[b / 64] |= 1ULL << (b % 64);
		if (!wheel->bucket[b].next)
			list_init(&wheel->bucket[b]);
	}
	list_push(&wheel->bucket[b], &timer->link);
}

/* The same of any timer. */
static inline void timer_start(struct wheel *wheel, struct timer *timer, uint64_t due)
{
	if (timer_armed(timer))
		timer_stop(timer);
	timer_start_idle(wheel, timer, due);
}

/* Calls what is due at NOW. A callback may start and stop any timer. */
void wheel_expire(struct wheel *wheel, uint64_t now);

/* When to call wheel_expire() next (ms; it may turn out that nothing is due yet); UINT64_MAX: nothing is armed. */
uint64_t wheel_next(struct wheel *wheel);

#endif
