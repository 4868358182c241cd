/* SPDX-License-Identifier: MIT */
#include "base/wheel.h"

void wheel_init(struct wheel *wheel, uint64_t now)
{
	wheel->turn = now >> WHEEL_SHIFT;
}

static void expire_bucket(struct wheel *wheel, unsigned b, uint64_t now)
{
	struct list later, *bucket = &wheel->bucket[b];

	if (!(wheel->used[b / 64] & 1ULL << (b % 64)))
		return;
	list_init(&later);
	while (!list_empty(bucket)) {
		struct timer *timer = list_entry(list_pop(bucket), struct timer, link);

		if (timer->due > now)
			list_push(&later, &timer->link);
		else
			timer->expire(timer);
	}
	list_splice(bucket, &later);
	if (list_empty(bucket))
		wheel->used[b / 64] &= ~(1ULL << (b % 64));
}

void wheel_expire(struct wheel *wheel, uint64_t now)
{
	uint64_t until = now >> WHEEL_SHIFT;

	/* After a long sleep one turn sees every bucket. */
	if (until > wheel->turn + WHEEL_SIZE)
		wheel->turn = until - WHEEL_SIZE;
	while (wheel->turn < until) {
		wheel->turn++;
		expire_bucket(wheel, wheel->turn & (WHEEL_SIZE - 1), now);
	}
}

uint64_t wheel_next(struct wheel *wheel)
{
	for (unsigned i = 1; i <= WHEEL_SIZE;) {
		unsigned b = (wheel->turn + i) & (WHEEL_SIZE - 1);
		uint64_t bits = wheel->used[b / 64] >> (b % 64);

		if (!bits) {
			i += 64 - b % 64;
			continue;
		}
		i += (unsigned)__builtin_ctzll(bits);
		if (i > WHEEL_SIZE)
			break;
		b = (wheel->turn + i) & (WHEEL_SIZE - 1);
		if (!list_empty(&wheel->bucket[b]))
			return (wheel->turn + i) << WHEEL_SHIFT;
		wheel->used[b / 64] &= ~(1ULL << (b % 64));
	}
	return UINT64_MAX;
}
