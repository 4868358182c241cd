/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/wheel.h"

enum { COUNT = 2000 };

struct probe {
	struct timer timer;
	uint64_t fired; /* 0: not yet */
};

static struct wheel wheel;
static uint64_t now;

static void fire(struct timer *timer)
{
	list_entry(timer, struct probe, timer)->fired = now;
}

static void start(uint64_t at)
{
	memset(&wheel, 0, sizeof(wheel));
	now = at;
	wheel_init(&wheel, now);
}

/* Timers fire at their time, by one step of the wheel and the step of the clock at the latest, never before. */
static void random_timers_fire_in_time(void **state)
{
	struct probe *probe = calloc(COUNT, sizeof(*probe));
	unsigned seed = 7;

	start(123456789);
	for (int i = 0; i < COUNT; i++) {
		timer_init(&probe[i].timer, fire);
		timer_start(&wheel, &probe[i].timer, now + (unsigned)rand_r(&seed) % 20000);
	}
	for (int i = 0; i < COUNT; i += 7)
		timer_stop(&probe[i].timer);
	for (uint64_t end = now + 20100; now < end;) {
		uint64_t next = wheel_next(&wheel);

		for (int i = 0; i < COUNT; i++)
			if (i % 7 && !probe[i].fired)
				assert_true(next <= probe[i].timer.due + 8);
		now += 1 + (unsigned)rand_r(&seed) % 60;
		wheel_expire(&wheel, now);
		for (int i = 0; i < COUNT; i++) {
			if (i % 7 == 0)
				assert_int_equal(probe[i].fired, 0);
			else if (probe[i].timer.due + 8 <= now)
				assert_true(probe[i].fired && probe[i].fired <= probe[i].timer.due + 70);
			if (probe[i].fired)
				assert_true(probe[i].fired >= probe[i].timer.due);
		}
	}
	assert_int_equal(wheel_next(&wheel), UINT64_MAX);
	free(probe);
}

static void a_long_sleep_loses_none(void **state)
{
	struct probe probe[3] = {0};

	start(1000);
	for (int i = 0; i < 3; i++) {
		timer_init(&probe[i].timer, fire);
		timer_start(&wheel, &probe[i].timer, now + 100 + (uint64_t)i * 3000000);
	}
	now += 5000000;
	wheel_expire(&wheel, now);
	assert_true(probe[0].fired && probe[1].fired && !probe[2].fired);
	assert_true(wheel_next(&wheel) < now + 5000);
}

static void again(struct timer *timer)
{
	fire(timer);
	timer_start(&wheel, timer, 0); /* overdue: at the next turn, not for ever in this one */
}

static void a_timer_may_start_itself_anew(void **state)
{
	struct probe probe = {0};

	start(5000);
	timer_init(&probe.timer, again);
	timer_start(&wheel, &probe.timer, now);
	for (int i = 0; i < 10; i++) {
		now += 8;
		wheel_expire(&wheel, now);
		assert_int_equal(probe.fired, now);
		assert_true(timer_armed(&probe.timer));
	}
	timer_stop(&probe.timer);
	assert_int_equal(wheel_next(&wheel), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_timers_fire_in_time),
		cmocka_unit_test(a_long_sleep_loses_none),
		cmocka_unit_test(a_timer_may_start_itself_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
