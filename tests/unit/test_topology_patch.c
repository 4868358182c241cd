/* SPDX-License-Identifier: MIT */
/* What a client does with a map: patches after MOVED, sharing, address maps; and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "literal.h"
#include "topology_help.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define TWO "[[0 9 [\"h\" 1 \"a\"] [\"h\" 3 \"c\"]] [10 19 [\"h\" 2 \"b\"]]]"

/* ---- patches ---- */

static void a_patch_gives_one_slot_and_leaves_the_old_map(void **state)
{
	shard_topology *old = slots(TWO), *before = slots(TWO), *t;
	assert_int_equal(shard__topology_patch(old, 5, "h", 2, &t), SHARD_OK);
	assert_same(old, before);
	assert_int_equal(owner(t, 4)->port, 1);
	assert_int_equal(owner(t, 5)->port, 2);
	assert_int_equal(owner(t, 6)->port, 1);
	assert_int_equal(shard_topology_node_count(t), 3);
	assert_int_equal(shard_topology_node(t, 1)->master, 0);
	shard_topology_unref(old);
	shard_topology_unref(before);
	shard_topology_unref(t);
}

static void a_patch_takes_an_unknown_node_in(void **state)
{
	shard_topology *old = slots(TWO), *t;
	assert_int_equal(shard__topology_patch(old, 9000, "::1", 7, &t), SHARD_OK);
	assert_string_equal(owner(t, 9000)->addr, "::1:7");
	assert_string_equal(owner(t, 9000)->id, "");
	assert_int_equal(owner(t, 9000)->flags, SHARD_NODE_MASTER);
	assert_int_equal(shard_topology_covered(t), 21);
	shard_topology_unref(old);
	shard_topology_unref(t);
}

static void a_replica_that_slots_moved_to_is_a_master(void **state)
{
	shard_topology *t =
		nodes("a h:1@2 master,fail - 0 0 1 disconnected 0-9\nc h:3@4 slave,fail? a 0 0 1 connected\n");
	assert_int_equal(shard__topology_patch_own(&t, 3, "h", 3), SHARD_OK);
	assert_int_equal(owner(t, 3)->flags, SHARD_NODE_MASTER);
	assert_int_equal(owner(t, 3)->master, -1);
	shard_topology_unref(t);
}

static void a_map_of_ones_own_is_patched_in_place(void **state)
{
	shard_topology *t = slots(TWO), *same = t;
	const shard_node *node = shard_topology_node(t, 0);
	const uint16_t *owners = shard__topology_owners(t);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(shard__topology_patch_own(&t, i, "10.0.0.1", (uint16_t)(1000 + i)), SHARD_OK);
	assert_ptr_equal(t, same);
	assert_ptr_equal(shard_topology_node(t, 0), node);
	assert_ptr_equal(shard__topology_owners(t), owners);
	assert_int_equal(shard_topology_node_count(t), 1003);
	assert_int_equal(owner(t, 999)->port, 1999);
	assert_int_equal(shard_topology_find_addr(t, "10.0.0.1", 1500), 503);
	shard_topology_unref(t);
}

static void a_shared_map_is_copied_once(void **state)
{
	shard_topology *t = slots(TWO), *shared = shard_topology_ref(t);
	assert_int_equal(shard__topology_patch_own(&t, 5, "h", 2), SHARD_OK);
	assert_ptr_not_equal(t, shared);
	assert_int_equal(owner(shared, 5)->port, 1);
	shard_topology *copy = t;
	assert_int_equal(shard__topology_patch_own(&t, 6, "h", 2), SHARD_OK);
	assert_ptr_equal(t, copy);
	shard_topology_unref(shared);
	shard_topology_unref(t);
}

static void no_map_at_all_can_be_patched(void **state)
{
	shard_topology *t = NULL;
	assert_int_equal(shard__topology_patch_own(&t, 16383, "h", 1), SHARD_OK);
	assert_int_equal(shard_topology_covered(t), 1);
	shard_topology_unref(t);
}

static void a_single_server_that_redirects_is_a_cluster(void **state)
{
	shard_topology *t;
	assert_int_equal(shard_topology_single("h", 1, &t), SHARD_OK);
	assert_int_equal(shard__topology_patch_own(&t, 7, "h", 2), SHARD_OK);
	assert_false(shard_topology_is_single(t));
	assert_int_equal(owner(t, 8)->port, 1);
	shard_topology_unref(t);
}

static void patches_out_of_range_are_refused(void **state)
{
	shard_topology *t = slots(TWO), *out = NULL, *same = t;
	char long_host[300];
	memset(long_host, 'h', sizeof(long_host) - 1);
	long_host[sizeof(long_host) - 1] = '\0';
	assert_int_equal(shard__topology_patch(t, SHARD_SLOTS, "h", 1, &out), SHARD_EINVAL);
	assert_int_equal(shard__topology_patch(t, 99999, "h", 1, &out), SHARD_EINVAL);
	assert_int_equal(shard__topology_patch(t, 1, "", 1, &out), SHARD_EINVAL);
	assert_int_equal(shard__topology_patch(t, 1, "h", 0, &out), SHARD_EINVAL);
	assert_int_equal(shard__topology_patch(t, 1, long_host, 1, &out), SHARD_EINVAL);
	assert_int_equal(shard__topology_patch_own(&t, SHARD_SLOTS, "h", 1), SHARD_EINVAL);
	assert_null(out);
	assert_ptr_equal(t, same);
	shard_topology_unref(t);
}

/* ---- address maps ---- */

static void behind_a_gate(void *ctx, char *host, size_t size, uint16_t *port)
{
	++*(int *)ctx;
	assert_int_equal(size, SHARD__HOST_SIZE);
	if (*port == 9)
		*host = '\0';
	else
		snprintf(host, size, "gate.example");
	*port = (uint16_t)(*port + 10000);
}

static void every_address_passes_the_map(void **state)
{
	static const char text[] =
		"[[0 9 [nil 1 \"a\"] [\"10.0.0.1\" 2 \"b\"]] [10 19 [\"?\" 3 \"c\"]] [20 29 [\"h\" 9 \"d\"]]]";
	int calls = 0;
	shard_topology *t;
	shard_reply *reply = literal_parse(text, strlen(text));
	assert_int_equal(shard__topology_from_slots(reply, "asked", 5, behind_a_gate, &calls, &t, NULL), SHARD_OK);
	assert_int_equal(calls, 3);
	assert_string_equal(owner(t, 0)->addr, "gate.example:10001");
	assert_string_equal(shard_topology_node(t, 1)->addr, "gate.example:10002");
	assert_true(owner(t, 10)->flags & SHARD_NODE_NOADDR);
	assert_true(owner(t, 20)->flags & SHARD_NODE_NOADDR);
	shard_topology_unref(t);
	literal_free(reply);
}

static void addresses_of_nodes_and_shards_pass_it_too(void **state)
{
	static const char line[] = "a h:1@2 master - 0 0 1 connected 0-9\n";
	static const char shard[] = "[[\"slots\" [0 9] \"nodes\" [[\"ip\" \"h\" \"port\" 1 \"role\" \"master\"]]]]";
	int calls = 0;
	shard_topology *t;
	assert_int_equal(shard__topology_from_nodes(line, strlen(line), "", 0, behind_a_gate, &calls, &t, NULL),
			 SHARD_OK);
	assert_string_equal(owner(t, 0)->addr, "gate.example:10001");
	shard_topology_unref(t);
	shard_reply *reply = literal_parse(shard, strlen(shard));
	assert_int_equal(shard__topology_from_shards(reply, "", 0, behind_a_gate, &calls, &t, NULL), SHARD_OK);
	assert_string_equal(owner(t, 0)->addr, "gate.example:10001");
	assert_int_equal(calls, 2);
	shard_topology_unref(t);
	literal_free(reply);
}

/* ---- what is refused ---- */

static const char *const bad_slots[] = {
	"nil",
	"5",
	"\"text\"",
	"+OK",
	"-ERR",
	"[5]",
	"[nil]",
	"[[]]",
	"[[0]]",
	"[[0 9]]",
	"[[\"0\" 9 [\"h\" 1]]]",
	"[[0 nil [\"h\" 1]]]",
	"[[0 9 nil]]",
	"[[0 9 \"h\"]]",
	"[[0 9 []]]",
	"[[0 9 [\"h\"]]]",
	"[[0 9 [\"h\" \"1\"]]]",
	"[[0 9 [1 1]]]",
	"[[0 9 [-ERR 1]]]",
	"[[0 9 [\"h\" 1 5]]]",
	"[[0 9 [\"h\" 1 nil]]]",
	"[[0 9 [\"h\" 1 \"a b\"]]]",
	"[[0 9 [\"h\" 1 \"-\"]]]",
	"[[-1 9 [\"h\" 1]]]",
	"[[0 16384 [\"h\" 1]]]",
	"[[9 0 [\"h\" 1]]]",
	"[[0 99999999999 [\"h\" 1]]]",
	"[[-9223372036854775808 9223372036854775807 [\"h\" 1]]]",
	"[[0 4294967296 [\"h\" 1]]]",
	"[[0 9 [\"h\" -1]]]",
	"[[0 9 [\"h\" 65536]]]",
	"[[0 9 [\"h\" 4294967297]]]",
	"[[0 9 [\"a b\" 1]]]",
	"[[0 9 [\"a\\x00b\" 1]]]",
	"[[0 9 [\"a\\x1b[m\" 1]]]",
	"[[0 9 [\"/tmp/s\" 1]]]",
	"[[0 9 [\"h\" 1] 7]]",
	"[[0 9 [\"h\" 1] [\"h\" 99999]]]",
	"[[0 9 [\"h\" 1]] 5]",
};

static const char *const bad_shards[] = {
	"nil",
	"5",
	"[5]",
	"[[]]",
	"[[\"slots\" []]]",
	"[[\"nodes\" []]]",
	"[[\"slots\" nil \"nodes\" []]]",
	"[[\"slots\" [] \"nodes\" 5]]",
	"[[\"slots\" [] \"nodes\"]]",
	"[[\"slots\" [] \"nodes\" [5]]]",
	"[[\"slots\" [] \"nodes\" [[]]]]",
	"[[\"slots\" [0] \"nodes\" []]]",
	"[[\"slots\" [0 \"9\"] \"nodes\" []]]",
	"[[\"slots\" [0 16384] \"nodes\" []]]",
	"[[\"slots\" [9 0] \"nodes\" []]]",
	"[[\"slots\" [0 9 -1 5] \"nodes\" []]]",
	"[[\"slots\" [] \"nodes\" [[\"ip\" \"h\" \"port\" \"1\" \"role\" \"master\"]]]]",
	"[[\"slots\" [] \"nodes\" [[\"ip\" \"h\" \"port\" 65536 \"role\" \"master\"]]]]",
	"[[\"slots\" [] \"nodes\" [[\"ip\" [] \"port\" 1 \"role\" \"master\"]]]]",
	"[[\"slots\" [] \"nodes\" [[\"port\" 1 \"role\" \"master\"]]]]",
	"[[\"slots\" [] \"nodes\" [[\"ip\" \"h\" \"port\" 1]]]]",
};

#define LINE(addr, rest) "a " addr " master - 0 0 1 connected " rest "\n"

static const char *const bad_nodes[] = {
	"a",
	"a h:1@2",
	"a h:1@2 master - 0 0 1\n",
	"\r\n",
	"ERR This instance has cluster support disabled",
	"a h:1@2 master - 0 0 x connected\n",
	"a h:1@2 master - 0 0 18446744073709551616 connected\n",
	"a h:1@2 master - 0 0 -1 connected\n",
	LINE("h", ""),
	LINE("h:", ""),
	LINE("h:x", ""),
	LINE("h:65536@1", ""),
	LINE("h:-1@1", ""),
	LINE("h:1@x", ""),
	LINE("h:1@65536", ""),
	LINE("a/b:1", ""),
	LINE("/tmp/s:0@0", ""),
	LINE("\x01:1@1", ""),
	LINE("h:1", "16384"),
	LINE("h:1", "0-16384"),
	LINE("h:1", "9-0"),
	LINE("h:1", "-5"),
	LINE("h:1", "0-"),
	LINE("h:1", "0-1-2"),
	LINE("h:1", "x"),
	LINE("h:1", "[5]"),
	LINE("h:1", "["),
	LINE("h:1", "[5->-"),
	LINE("h:1", "[5->-]"),
	LINE("h:1", "[16384->-b]"),
	LINE("h:1", "[x-<-b]"),
	LINE("h:1", "[->-b]"),
	"a/b h:1@2 master - 0 0 1 connected\n",
	"- h:1@2 single,master - 0 0 0 connected\n- h:2@3 master - 0 0 0 connected\n",
};

static void assert_refused(const char *text, int error, const shard_topology *t, const char *why)
{
	if (error != SHARD_EPROTOCOL)
		fail_msg("taken: %s", text);
	assert_null(t);
	assert_non_null(why);
}

static void malformed_replies_are_refused_with_a_reason(void **state)
{
	shard_topology *t;
	const char *why;
	for (size_t i = 0; i < COUNT(bad_slots); i++) {
		int error = try_reply(shard_topology_from_slots, bad_slots[i], &t, &why);
		assert_refused(bad_slots[i], error, t, why);
	}
	for (size_t i = 0; i < COUNT(bad_shards); i++) {
		int error = try_reply(shard_topology_from_shards, bad_shards[i], &t, &why);
		assert_refused(bad_shards[i], error, t, why);
	}
	for (size_t i = 0; i < COUNT(bad_nodes); i++) {
		int error = try_nodes(bad_nodes[i], &t, &why);
		assert_refused(bad_nodes[i], error, t, why);
	}
}

/* A reply cut at any byte is a map or is refused; that nothing is read past its end is the sanitizers' business. */
static void a_text_cut_at_any_byte_does_no_harm(void **state)
{
	char *text = sample("nodes-valkey-8");
	for (size_t len = strlen(text); len-- > 0;) {
		shard_topology *t;
		const char *why;
		text[len] = '\0';
		if (try_nodes(text, &t, &why) == SHARD_OK)
			shard_topology_unref(t);
	}
	free(text);
}

static void floods_are_refused(void **state)
{
	size_t count = 70000;
	shard_reply node[] = {{.type = SHARD_REPLY_STRING, .len = 1, .str = "h"},
			      {.type = SHARD_REPLY_INTEGER, .integer = 1}};
	shard_reply range[] = {{.type = SHARD_REPLY_INTEGER, .integer = 0},
			       {.type = SHARD_REPLY_INTEGER, .integer = 1},
			       {.type = SHARD_REPLY_ARRAY, .len = 2, .element = node}};
	shard_reply reply = {.type = SHARD_REPLY_ARRAY, .len = count};
	shard_reply *ranges = calloc(count, sizeof(*ranges));
	for (size_t i = 0; i < count; i++)
		ranges[i] = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = 3, .element = range};
	reply.element = ranges;
	shard_topology *t;
	const char *why;
	assert_int_equal(shard_topology_from_slots(&reply, "h", 1, &t, &why), SHARD_EPROTOCOL);
	assert_string_equal(why, "too many ranges of slots");

	shard_reply many[] = {range[0], range[1], range[2]};
	for (size_t i = 0; i < count; i++) {
		shard_reply *pair = calloc(2, sizeof(*pair));
		pair[0] = (shard_reply){.type = SHARD_REPLY_STRING, .len = 1 + i / 60000, .str = "hh"};
		pair[1] = (shard_reply){.type = SHARD_REPLY_INTEGER, .integer = (long long)(i % 60000) + 1};
		ranges[i] = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = 2, .element = pair};
	}
	shard_reply *long_range = calloc(count + 3, sizeof(*long_range));
	memcpy(long_range, many, sizeof(many));
	memcpy(long_range + 3, ranges, count * sizeof(*ranges));
	shard_reply outer = {.type = SHARD_REPLY_ARRAY, .len = count + 3, .element = long_range};
	reply = (shard_reply){.type = SHARD_REPLY_ARRAY, .len = 1, .element = &outer};
	assert_int_equal(shard_topology_from_slots(&reply, "h", 1, &t, &why), SHARD_EPROTOCOL);
	assert_string_equal(why, "too many nodes");
	for (size_t i = 0; i < count; i++)
		free((void *)ranges[i].element);
	free(long_range);
	free(ranges);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_patch_gives_one_slot_and_leaves_the_old_map),
		cmocka_unit_test(a_patch_takes_an_unknown_node_in),
		cmocka_unit_test(a_replica_that_slots_moved_to_is_a_master),
		cmocka_unit_test(a_map_of_ones_own_is_patched_in_place),
		cmocka_unit_test(a_shared_map_is_copied_once),
		cmocka_unit_test(no_map_at_all_can_be_patched),
		cmocka_unit_test(a_single_server_that_redirects_is_a_cluster),
		cmocka_unit_test(patches_out_of_range_are_refused),
		cmocka_unit_test(every_address_passes_the_map),
		cmocka_unit_test(addresses_of_nodes_and_shards_pass_it_too),
		cmocka_unit_test(malformed_replies_are_refused_with_a_reason),
		cmocka_unit_test(a_text_cut_at_any_byte_does_no_harm),
		cmocka_unit_test(floods_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
