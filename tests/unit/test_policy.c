/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "know/policy.h"

/* ---- redirects ---- */

static struct policy_redirect parse(const char *text)
{
	struct policy_redirect redirect;

	policy_parse_redirect(text, strlen(text), &redirect);
	return redirect;
}

static void check_redirect(const char *text, enum policy_redirect_kind kind, unsigned slot, const char *host,
			   unsigned port)
{
	struct policy_redirect redirect = parse(text);

	assert_int_equal(redirect.kind, kind);
	assert_int_equal(redirect.slot, slot);
	assert_string_equal(redirect.host, host);
	assert_int_equal(redirect.port, port);
}

static void redirects_are_read(void **state)
{
	check_redirect("MOVED 3999 127.0.0.1:6381", REDIRECT_MOVED, 3999, "127.0.0.1", 6381);
	check_redirect("ASK 0 10.0.0.1:1", REDIRECT_ASK, 0, "10.0.0.1", 1);
	check_redirect("MOVED 16383 ::1:7000", REDIRECT_MOVED, 16383, "::1", 7000);
	check_redirect("MOVED 1 fe80::aede:48ff:fe00:1122:65535", REDIRECT_MOVED, 1, "fe80::aede:48ff:fe00:1122", 65535);
	check_redirect("MOVED 1 :7000", REDIRECT_MOVED, 1, "", 7000);
	check_redirect("MOVED 1 node-1.example:7000", REDIRECT_MOVED, 1, "node-1.example", 7000);
	check_redirect("REDIRECT 10.0.0.1:7000", REDIRECT_PLAIN, 0, "10.0.0.1", 7000);
}

static void what_is_out_of_range_or_cut_is_none(void **state)
{
	static const char *const bad[] = {
		"", "MOVED", "MOVED ", "MOVED 5", "MOVED 5 ", "MOVED 5 h", "MOVED 5 h:", "MOVED 5 h:0", "MOVED 5 h:65536",
		"MOVED 5 h:99999999999", "MOVED 16384 h:1", "MOVED 99999 h:1", "MOVED -1 h:1", "MOVED x h:1",
		"MOVED 18446744073709551617 h:1", "MOVED  5 h:1", "MOVED5 h:1", "MOVEDX 5 h:1", "moved 5 h:1", "ASK", "ASK 5",
		"ASKING 5 h:1", "ASK 5 ?:1", "MOVED 5 ?:7000", "REDIRECT", "REDIRECT h", "MOVED 5 h:1x",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (parse(bad[i]).kind != REDIRECT_NONE)
			fail_msg("taken for a redirect: %s", bad[i]);
}

static void a_host_that_does_not_fit_is_none(void **state)
{
	char text[600] = "MOVED 1 ";

	memset(text + 8, 'h', 400);
	strcpy(text + 408, ":7000");
	assert_int_equal(parse(text).kind, REDIRECT_NONE);
}

/* ---- decisions ---- */

static struct policy_decision decide(struct policy_request *request, enum policy_event_kind kind, const char *text)
{
	struct policy_event event = {.kind = kind, .text = text, .len = text ? strlen(text) : 0};
	struct policy_decision decision;

	policy_decide(request, &event, 12345, &decision);
	return decision;
}

static enum policy_verdict verdict_on(const char *text)
{
	struct policy_request request = {0};

	return decide(&request, EVENT_ERROR_REPLY, text).verdict;
}

static void each_error_has_its_verdict(void **state)
{
	assert_int_equal(verdict_on("MOVED 1 h:1"), VERDICT_REDIRECT);
	assert_int_equal(verdict_on("ASK 1 h:1"), VERDICT_ASK);
	assert_int_equal(verdict_on("TRYAGAIN Multiple keys request during rehashing of slot"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("CLUSTERDOWN The cluster is down"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("CLUSTERDOWN Hash slot not served"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("CLUSTERDOWN The cluster is down and only accepts read commands"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("LOADING Redis is loading the dataset in memory"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("MASTERDOWN Link with MASTER is down"), VERDICT_PAUSE);
	assert_int_equal(verdict_on("READONLY You can't write against a read only replica."), VERDICT_PAUSE);
	assert_int_equal(verdict_on("CROSSSLOT Keys in request don't hash to the same slot"), VERDICT_DONE);
	assert_int_equal(verdict_on("BUSY Redis is busy"), VERDICT_DONE);
	assert_int_equal(verdict_on("OOM command not allowed"), VERDICT_DONE);
	assert_int_equal(verdict_on("MISCONF Redis is configured to save"), VERDICT_DONE);
	assert_int_equal(verdict_on("NOREPLICAS Not enough good replicas to write."), VERDICT_DONE);
	assert_int_equal(verdict_on("WRONGTYPE Operation"), VERDICT_DONE);
	assert_int_equal(verdict_on("NOPERM this user"), VERDICT_DONE);
	assert_int_equal(verdict_on("NOAUTH Authentication required."), VERDICT_DONE);
	assert_int_equal(verdict_on("ASKING"), VERDICT_DONE);
	assert_int_equal(verdict_on("ERR"), VERDICT_DONE);
	assert_int_equal(verdict_on(""), VERDICT_DONE);
}

static void once_means_once(void **state)
{
	static const char *const errors[] = {"MOVED 1 h:1", "ASK 1 h:1", "TRYAGAIN x", "CLUSTERDOWN x", "LOADING x"};
	struct policy_request request = {.once = true, .safe = true};

	for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++)
		assert_int_equal(decide(&request, EVENT_ERROR_REPLY, errors[i]).verdict, VERDICT_DONE);
	assert_int_equal(decide(&request, EVENT_CONNECT, NULL).error, SHARD_ECONNECT);
	assert_int_equal(decide(&request, EVENT_RESOLVE, NULL).error, SHARD_ERESOLVE);
	assert_int_equal(decide(&request, EVENT_NO_OWNER, NULL).error, SHARD_ENOROUTE);
}

static void a_cluster_that_is_down_is_not_a_slot_that_nobody_serves(void **state)
{
	struct policy_request request = {0};

	assert_true(decide(&request, EVENT_ERROR_REPLY, "CLUSTERDOWN The cluster is down").down);
	assert_true(decide(&request, EVENT_ERROR_REPLY,
			   "CLUSTERDOWN The cluster is down and only accepts read commands").down);
	assert_false(decide(&request, EVENT_ERROR_REPLY, "CLUSTERDOWN Hash slot not served").down);
	assert_false(decide(&request, EVENT_ERROR_REPLY, "CLUSTERDOWN").down);
	assert_false(decide(&request, EVENT_ERROR_REPLY, "LOADING Redis is loading the dataset in memory").down);
	request.once = true;
	assert_false(decide(&request, EVENT_ERROR_REPLY, "CLUSTERDOWN The cluster is down").down);
}

static void only_ask_asks_for_no_refresh(void **state)
{
	struct policy_request request = {0};

	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "ASK 1 h:1").refresh, REFRESH_NO);
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "MOVED 1 h:1").refresh, REFRESH_SOON);
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "CLUSTERDOWN x").refresh, REFRESH_NOW);
	assert_int_equal(decide(&request, EVENT_CONNECT, NULL).refresh, REFRESH_NOW);
	assert_int_equal(decide(&request, EVENT_LOST_UNSENT, NULL).refresh, REFRESH_NOW);
	assert_int_equal(decide(&request, EVENT_NO_OWNER, NULL).refresh, REFRESH_NOW);
}

static void what_was_sent_is_sent_again_only_where_that_is_safe(void **state)
{
	struct policy_request incr = {.safe = false}, get = {.safe = true};
	struct policy_decision decision = decide(&incr, EVENT_LOST_SENT, NULL);

	assert_int_equal(decision.verdict, VERDICT_FAIL);
	assert_int_equal(decision.error, SHARD_EUNKNOWN);
	assert_int_equal(decide(&get, EVENT_LOST_SENT, NULL).verdict, VERDICT_PAUSE);
	/* Nothing was sent: anything may be sent again. */
	assert_int_equal(decide(&incr, EVENT_LOST_UNSENT, NULL).verdict, VERDICT_PAUSE);
	assert_int_equal(decide(&incr, EVENT_CONNECT, NULL).verdict, VERDICT_PAUSE);
}

static void five_redirects_then_a_pause_and_five_more(void **state)
{
	struct policy_request request = {0};

	for (int round = 0; round < 3; round++) {
		struct policy_decision decision;

		for (int i = 0; i < POLICY_REDIRECTS; i++)
			assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "MOVED 1 h:1").verdict, VERDICT_REDIRECT);
		decision = decide(&request, EVENT_ERROR_REPLY, "MOVED 1 h:1");
		assert_int_equal(decision.verdict, VERDICT_PAUSE);
		assert_int_equal(decision.refresh, REFRESH_NOW);
		assert_true(decision.pause_ms > 0);
		/* The patch is still to be made. */
		assert_int_equal(decision.redirect.kind, REDIRECT_MOVED);
	}
}

static void a_ping_pong_ends_sooner(void **state)
{
	struct policy_request request = {0};
	struct policy_event event = {.kind = EVENT_ERROR_REPLY, .text = "ASK 1 h:1", .len = 9, .ping_pong = true};
	struct policy_decision decision;

	for (int i = 1; i < POLICY_PING_PONG; i++) {
		policy_decide(&request, &event, 0, &decision);
		assert_int_equal(decision.verdict, VERDICT_ASK);
	}
	policy_decide(&request, &event, 0, &decision);
	assert_int_equal(decision.verdict, VERDICT_PAUSE);
}

static void pauses_grow_to_a_bound_with_jitter(void **state)
{
	unsigned least = UINT32_MAX, most = 0;

	for (unsigned tries = 0; tries < 300; tries++) {
		unsigned top = tries < 5 ? 10u << tries : 320;

		for (uint32_t random = 0; random < 50; random++) {
			unsigned ms = policy_pause(tries, random * 2654435761u);

			assert_in_range(ms, top / 2, top);
			if (tries == 7) {
				least = ms < least ? ms : least;
				most = ms > most ? ms : most;
			}
		}
	}
	assert_true(most - least > 80);
}

static void special_cases(void **state)
{
	struct policy_request request = {.splittable = true};
	struct policy_event same = {.kind = EVENT_ERROR_REPLY, .text = "MOVED 1 h:1", .len = 11, .same_address = true};
	struct policy_decision decision;

	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "TRYAGAIN x").verdict, VERDICT_SPLIT);
	request = (struct policy_request){.on_replica = true};
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "LOADING x").verdict, VERDICT_MASTER);
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "MASTERDOWN x").verdict, VERDICT_MASTER);
	request = (struct policy_request){.retry_noreplicas = true};
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "NOREPLICAS x").verdict, VERDICT_PAUSE);
	request = (struct policy_request){.credentials = true};
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "NOAUTH x").verdict, VERDICT_RECONNECT);
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "NOAUTH x").verdict, VERDICT_DONE);
	request = (struct policy_request){.single = true};
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "READONLY x").verdict, VERDICT_DONE);
	policy_decide(&request, &same, 0, &decision);
	assert_int_equal(decision.verdict, VERDICT_RECONNECT);
	assert_int_equal(decide(&request, EVENT_AUTH, NULL).error, SHARD_EAUTH);
}

static void readonly_is_the_callers_in_the_end(void **state)
{
	struct policy_request request = {0};
	unsigned waited = 0;

	for (int i = 0; i < POLICY_READONLY_TRIES; i++) {
		struct policy_decision decision = decide(&request, EVENT_ERROR_REPLY, "READONLY x");

		assert_int_equal(decision.verdict, VERDICT_PAUSE);
		waited += decision.pause_ms;
	}
	assert_true(waited >= 800); /* long enough for a refresh */
	assert_int_equal(decide(&request, EVENT_ERROR_REPLY, "READONLY x").verdict, VERDICT_DONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(redirects_are_read),
		cmocka_unit_test(what_is_out_of_range_or_cut_is_none),
		cmocka_unit_test(a_host_that_does_not_fit_is_none),
		cmocka_unit_test(each_error_has_its_verdict),
		cmocka_unit_test(once_means_once),
		cmocka_unit_test(a_cluster_that_is_down_is_not_a_slot_that_nobody_serves),
		cmocka_unit_test(only_ask_asks_for_no_refresh),
		cmocka_unit_test(what_was_sent_is_sent_again_only_where_that_is_safe),
		cmocka_unit_test(five_redirects_then_a_pause_and_five_more),
		cmocka_unit_test(a_ping_pong_ends_sooner),
		cmocka_unit_test(pauses_grow_to_a_bound_with_jitter),
		cmocka_unit_test(special_cases),
		cmocka_unit_test(readonly_is_the_callers_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
