/* SPDX-License-Identifier: MIT */
/* Host names: several addresses, look-ups that fail or take long; a MOVED to the same name looks it up again. */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <time.h>

#include "scripted.h"

/* What the next look-ups of "twin.test" say: addresses, words; "" fails. Look-ups are done in threads. */
static _Atomic(const char *) addresses = "";
static atomic_uint delay_ms, lookups;

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found);
void freeaddrinfo(struct addrinfo *list);

static struct addrinfo *one_address(const char *text, const char *service)
{
	struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in6));
	struct sockaddr_in *v4 = (struct sockaddr_in *)(info + 1);
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(info + 1);
	bool is6 = strchr(text, ':') != NULL;

	info->ai_family = is6 ? AF_INET6 : AF_INET;
	info->ai_socktype = SOCK_STREAM;
	info->ai_addr = (struct sockaddr *)(info + 1);
	info->ai_addrlen = is6 ? sizeof(*v6) : sizeof(*v4);
	if (is6) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)atoi(service ? service : "0"));
		inet_pton(AF_INET6, text, &v6->sin6_addr);
	} else {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((uint16_t)atoi(service ? service : "0"));
		inet_pton(AF_INET, text, &v4->sin_addr);
	}
	return info;
}

/* In place of libc's. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	char text[128], *save, *address;
	struct addrinfo **end = found;
	struct timespec t = {.tv_sec = delay_ms / 1000, .tv_nsec = delay_ms % 1000 * 1000000L};

	lookups++;
	if (delay_ms)
		nanosleep(&t, NULL);
	*found = NULL;
	snprintf(text, sizeof(text), "%s", strcmp(name, "twin.test") == 0 ? (const char *)addresses : name);
	for (address = strtok_r(text, " ", &save); address; address = strtok_r(NULL, " ", &save)) {
		*end = one_address(address, service);
		end = &(*end)->ai_next;
	}
	return *found ? 0 : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *list)
{
	struct addrinfo *next;

	for (; list; list = next) {
		next = list->ai_next;
		free(list);
	}
}

static int names_setup(void **state)
{
	addresses = "127.0.0.1";
	delay_ms = lookups = 0;
	return world_setup(state);
}

#define named(test) cmocka_unit_test_setup_teardown(test, names_setup, world_teardown)

static void a_seed_may_be_a_name(void **state)
{
	struct ask *get;

	seeds("redis://twin.test:%d", port(n0));
	start_cold(TWO);
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	check(lookups > 0, "nothing was looked up");
}

/* As for "localhost" where the server listens on one of the two. */
static void the_second_address_is_tried(void **state)
{
	static const char *const lists[] = {"::1 127.0.0.1", "127.0.0.9 127.0.0.1", "127.0.0.9 127.0.0.8 ::1 127.0.0.1"};
	struct ask *get;

	on(n0, "GET", "+x\r\n");
	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	for (int lazy = 0; lazy < 2; lazy++) {
		for (int i = 0; i < 3; i++) {
			addresses = lists[i];
			options.lazy = lazy;
			seeds("redis://twin.test:%d", port(n0));
			start_cold("");
			get = ask("GET", "foo");
			want_status(get, "x");
			want_took(get, 0, 500);
			stop();
		}
	}
}

static void a_name_that_fails_is_told(void **state)
{
	struct ask *get;

	addresses = "";
	options.timeout_ms = 300;
	seeds("redis://twin.test:%d", port(n0));
	start_cold("");
	get = ask("GET", "foo");
	want_error(get, SHARD_ERESOLVE);
	check(strstr(get->message, "twin.test"), "%s", said(get));
	want_took(get, 0, 600);
}

static void a_name_that_fails_once_is_looked_up_again(void **state)
{
	struct ask *incr;

	start("0-8191 n0; 8192-16383 n1@twin.test");
	addresses = "";
	incr = ask("INCR", "foo");
	layout("0-8191 n0; 8192-16383 n1@twin.test");
	run_for(100);
	want_open(incr);
	addresses = "127.0.0.1";
	on(n1, "INCR", ":1\r\n");
	want_integer(incr, 1);
	check_count(heard(n1, "INCR"), 1);
}

static void a_slow_look_up_holds_nobody_up(void **state)
{
	struct ask *slow, *get;

	delay_ms = 400;
	start("0-8191 n0; 8192-16383 n1@twin.test");
	slow = ask("GET", "foo");
	on(n0, "GET", "+b\r\n");
	for (int i = 0; i < 5; i++) {
		get = ask("GET", "b");
		want_status(get, "b");
		want_took(get, 0, 200);
	}
	want_open(slow);
	on(n1, "GET", "+x\r\n");
	want_status(slow, "x");
}

static void a_look_up_that_takes_too_long_ends_at_the_deadline(void **state)
{
	shard_call how = {.timeout_ms = 150};
	struct ask *get;

	delay_ms = 600;
	start("0-8191 n0; 8192-16383 n1@twin.test");
	get = ask_how(&how, "GET", "foo");
	want_done(get);
	want_took(get, 150, 400);
	check(get->error == SHARD_ECONNECT || get->error == SHARD_ERESOLVE || get->error == SHARD_ETIMEDOUT, "%s", said(get));
}

static void the_client_may_be_destroyed_during_a_look_up(void **state)
{
	delay_ms = 300;
	for (int i = 0; i < 3; i++) {
		start("0-8191 n0; 8192-16383 n1@twin.test");
		ask("GET", "foo");
		run_for(20);
		stop();
	}
	run_for(400); /* the threads end */
}

static void moved_to_the_same_name_looks_it_up_again(void **state)
{
	struct ask *get;
	unsigned before;

	start("0-8191 n0; 8192-16383 n1@twin.test");
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	before = lookups;
	say(n1, "-MOVED 12182 twin.test:%d\r\n", port(n1));
	expect(n1, "GET", "foo");
	check(lookups > before, "not looked up again");
	say(n1, "+x\r\n");
	want_status(get, "x");
}

static void to_numbers(void *ctx, char *host, size_t host_size, uint16_t *at)
{
	snprintf(host, host_size, "127.0.0.1");
}

static void the_hook_comes_before_the_look_up(void **state)
{
	struct ask *get;

	addresses = "";
	options.address_map = to_numbers;
	start_cold("0-8191 n0@twin.test; 8192-16383 n1@twin.test");
	get = ask("GET", "foo");
	expect(n1, "GET", "foo");
	say(n1, "+x\r\n");
	want_status(get, "x");
	check_count(lookups, 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		named(a_seed_may_be_a_name),
		named(the_second_address_is_tried),
		named(a_name_that_fails_is_told),
		named(a_name_that_fails_once_is_looked_up_again),
		named(a_slow_look_up_holds_nobody_up),
		named(a_look_up_that_takes_too_long_ends_at_the_deadline),
		named(the_client_may_be_destroyed_during_a_look_up),
		named(moved_to_the_same_name_looks_it_up_again),
		named(the_hook_comes_before_the_look_up),
	};
	return run(tests);
}
