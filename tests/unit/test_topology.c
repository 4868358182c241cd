/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "literal.h"
#include "topology_help.h"

/* ---- every version's replies ---- */

static const char *const slots_samples[] = {"slots-redis-3.0", "slots-redis-4", "slots-redis-5",    "slots-redis-6",
					    "slots-redis-7",   "slots-redis-8", "slots-valkey-7.2", "slots-valkey-8"};
static const char *const shards_samples[] = {"shards-redis-7", "shards-redis-8", "shards-valkey-7.2",
					     "shards-valkey-8"};
static const char *const nodes_samples[] = {"nodes-redis-3.0", "nodes-redis-4", "nodes-redis-5",    "nodes-redis-6",
					    "nodes-redis-7",   "nodes-redis-8", "nodes-valkey-7.2", "nodes-valkey-8"};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Masters 30001 to 30003 of a third of the slots each, 30004 to 30006 their replicas in this order. */
static void assert_sample_map(const shard_topology *t)
{
	static const unsigned first[] = {0, 5461, 10923, SHARD_SLOTS};
	assert_int_equal(shard_topology_node_count(t), 6);
	assert_int_equal(shard_topology_covered(t), SHARD_SLOTS);
	assert_false(shard_topology_is_single(t));
	for (unsigned i = 0; i < 3; i++) {
		unsigned last;
		int index;
		shard_topology_range(t, first[i], &last, &index);
		assert_int_equal(last, first[i + 1] - 1);
		assert_int_equal(index, shard_topology_find_addr(t, "127.0.0.1", (uint16_t)(30001 + i)));
		const shard_node *master = shard_topology_node(t, (size_t)index);
		assert_true(master->flags & SHARD_NODE_MASTER);
		assert_int_equal(master->master, -1);

		int replica = shard_topology_find_addr(t, "127.0.0.1", (uint16_t)(30004 + i));
		assert_int_not_equal(replica, -1);
		assert_true(shard_topology_node(t, (size_t)replica)->flags & SHARD_NODE_REPLICA);
		assert_int_equal(shard_topology_node(t, (size_t)replica)->master, index);
	}
}

static void each_sample(const char *const *names, size_t count, shard_topology *(*parse)(const char *text))
{
	for (size_t i = 0; i < count; i++) {
		char *text = sample(names[i]);
		shard_topology *t = parse(text);
		assert_sample_map(t);
		shard_topology_unref(t);
		free(text);
	}
}

static void slots_of_every_version_give_the_same_map(void **state)
{
	each_sample(slots_samples, COUNT(slots_samples), slots);
}

static void shards_of_every_version_give_the_same_map(void **state)
{
	each_sample(shards_samples, COUNT(shards_samples), shards);
}

static void nodes_of_every_version_give_the_same_map(void **state)
{
	each_sample(nodes_samples, COUNT(nodes_samples), nodes);
}

static void ids_are_found(void **state)
{
	char *text = sample("slots-redis-7");
	shard_topology *t = slots(text);
	int index = shard_topology_find_id(t, "c63949dac0fcfb3a80fba5d93d80100d13c7dfbf");
	assert_string_equal(shard_topology_node(t, (size_t)index)->addr, "127.0.0.1:30002");
	assert_int_equal(shard_topology_find_id(t, "c63949dac0fcfb3a80fba5d93d80100d13c7dfb"), -1);
	assert_int_equal(shard_topology_find_id(t, ""), -1);
	assert_int_equal(shard_topology_find_addr(t, "127.0.0.1", 30007), -1);
	shard_topology_unref(t);
	free(text);
}

static void hostnames_and_flags_are_read(void **state)
{
	char *text = sample("nodes-redis-7");
	shard_topology *t = nodes(text);
	const shard_node *node = owner(t, 0);
	assert_string_equal(node->hostname, "node-30001.example");
	assert_int_equal(node->flags, SHARD_NODE_MASTER | SHARD_NODE_MYSELF);
	assert_int_equal(shard_topology_epoch(t), 4);
	shard_topology_unref(t);
	free(text);
}

/* ---- CLUSTER SLOTS ---- */

static void an_endpoint_that_is_nil_or_empty_is_where_we_asked(void **state)
{
	shard_topology *t = slots("[[0 9 [nil 7000 \"a\" [\"ip\" \"10.0.0.1\" \"hostname\" \"one\"]]]"
				  " [10 19 [\"\" 7001 \"b\" []]] [20 29 [nil 0 \"c\"]]]");
	assert_string_equal(owner(t, 0)->addr, "127.0.0.1:7000");
	assert_string_equal(owner(t, 0)->hostname, "one");
	assert_string_equal(owner(t, 10)->addr, "127.0.0.1:7001");
	assert_string_equal(owner(t, 20)->addr, "127.0.0.1:30001");
	shard_topology_unref(t);
}

static void where_we_asked_behind_a_unix_socket_is_this_machine(void **state)
{
	static const char text[] = "[[0 9 [nil 7000 \"a\"]] [10 19 [\"\" 0 \"b\"]]]";
	shard_topology *t;
	shard_reply *reply = literal_parse(text, strlen(text));
	assert_int_equal(shard_topology_from_slots(reply, "/run/redis.sock", 0, &t, NULL), SHARD_OK);
	assert_string_equal(owner(t, 0)->addr, "127.0.0.1:7000");
	assert_string_equal(owner(t, 10)->addr, "/run/redis.sock");
	assert_int_equal(shard_topology_find_addr(t, "/run/redis.sock", 0), 1);
	shard_topology_unref(t);
	literal_free(reply);
}

static void an_unknown_endpoint_is_not_dialled(void **state)
{
	shard_topology *t = slots("[[0 9 [\"?\" 7000 \"a\" [\"ip\" \"10.0.0.1\"]]]]");
	assert_int_equal(owner(t, 0)->flags, SHARD_NODE_MASTER | SHARD_NODE_NOADDR);
	assert_string_equal(owner(t, 0)->host, "");
	assert_string_equal(owner(t, 0)->hostname, "");
	assert_string_equal(owner(t, 0)->addr, "?:7000");
	assert_int_equal(shard_topology_find_addr(t, "", 7000), -1);
	shard_topology_unref(t);
}

static void a_preferred_host_name_is_dialled(void **state)
{
	shard_topology *t = slots("[[0 9 [\"one.example\" 7000 \"a\" [\"ip\" \"10.0.0.1\"]]]]");
	assert_string_equal(owner(t, 0)->host, "one.example");
	assert_string_equal(owner(t, 0)->hostname, "one.example");
	shard_topology_unref(t);
}

static void new_fields_are_passed_over(void **state)
{
	shard_topology *t = slots("[[0 9 [\"h\" 7000 \"a\" [\"zone\" [1 2] 5 nil \"odd\"] \"more\" 1 nil]]]");
	assert_string_equal(owner(t, 9)->addr, "h:7000");
	shard_topology_unref(t);
	t = shards(
		"[[\"new\" [] \"slots\" [0 9] \"nodes\" [[\"id\" \"a\" \"port\" 7000 \"ip\" \"h\" \"role\" \"master\""
		" \"health\" \"new\" \"x\" nil 3 4]] 7 8 \"odd\"]]");
	assert_string_equal(owner(t, 9)->addr, "h:7000");
	shard_topology_unref(t);
}

static void of_overlapping_ranges_the_last_one_wins(void **state)
{
	shard_topology *t = slots("[[0 100 [\"h\" 1 \"a\"]] [50 60 [\"h\" 2 \"b\"]] [0 100 [\"h\" 1 \"a\"]]"
				  " [60 70 [\"h\" 2 \"b\"]]]");
	assert_int_equal(shard_topology_node_count(t), 2);
	assert_int_equal(owner(t, 50)->port, 1);
	assert_int_equal(owner(t, 60)->port, 2);
	assert_int_equal(owner(t, 70)->port, 2);
	assert_int_equal(owner(t, 71)->port, 1);
	shard_topology_unref(t);
}

static void a_partial_map_has_gaps(void **state)
{
	shard_topology *t = slots("[[5 9 [\"h\" 1]]]");
	unsigned last;
	int index;
	shard_topology_range(t, 0, &last, &index);
	assert_int_equal(last, 4);
	assert_int_equal(index, -1);
	shard_topology_range(t, 7, &last, &index);
	assert_int_equal(last, 9);
	assert_int_equal(index, 0);
	shard_topology_range(t, 10, &last, &index);
	assert_int_equal(last, SHARD_SLOTS - 1);
	assert_int_equal(index, -1);
	assert_int_equal(shard_topology_covered(t), 5);
	assert_int_equal(shard_topology_owner(t, SHARD_SLOTS), -1);
	assert_int_equal(shard__topology_owners(t)[4], SHARD__NOBODY);
	shard_topology_unref(t);
	t = slots("[]");
	assert_int_equal(shard_topology_covered(t), 0);
	shard_topology_unref(t);
}

static void nodes_without_ids_are_told_by_their_address(void **state)
{
	shard_topology *t = slots("[[0 9 [\"h\" 1] [\"h\" 2]] [20 29 [\"h\" 1] [\"h\" 2]] [30 39 [\"h\" 1 \"id\"]]]");
	assert_int_equal(shard_topology_node_count(t), 2);
	assert_string_equal(owner(t, 0)->id, "id");
	assert_int_equal(shard_topology_find_id(t, "id"), 0);
	shard_topology_unref(t);
}

static void a_replica_that_leads_elsewhere_is_a_master(void **state)
{
	shard_topology *t = slots("[[0 9 [\"h\" 1] [\"h\" 2]] [20 29 [\"h\" 2]] [30 39 [\"h\" 1] [\"h\" 2]]]");
	assert_int_equal(shard_topology_node(t, 1)->flags, SHARD_NODE_MASTER);
	assert_int_equal(shard_topology_node(t, 1)->master, -1);
	shard_topology_unref(t);
}

static void ipv6_stands_without_brackets(void **state)
{
	shard_topology *t = slots("[[0 9 [\"2001:db8::1\" 7000 \"a\"]]]");
	assert_string_equal(owner(t, 0)->host, "2001:db8::1");
	assert_string_equal(owner(t, 0)->addr, "2001:db8::1:7000");
	shard_topology_unref(t);
	t = nodes("a ::1:7000@17000 master - 0 0 1 connected 0-9\n");
	assert_int_equal(shard_topology_find_addr(t, "::1", 7000), 0);
	shard_topology_unref(t);
}

/* ---- CLUSTER SHARDS ---- */

#define NODE(id, port, role, health)                                                                                   \
	"[\"id\" \"" id "\" \"port\" " #port " \"ip\" \"h\" \"endpoint\" \"h\" \"role\" \"" role                       \
	"\" \"health\" \"" health "\"]"

static void a_failed_master_beside_its_successor_owns_nothing(void **state)
{
	shard_topology *t = shards("[[\"slots\" [0 9 20 29] \"nodes\" [" NODE("a", 1, "master", "fail")
					   NODE("c", 3, "replica", "loading") NODE("b", 2, "master", "online") "]]]");
	assert_int_equal(owner(t, 0)->port, 2);
	assert_int_equal(owner(t, 29)->port, 2);
	int failed = shard_topology_find_id(t, "a"), replica = shard_topology_find_id(t, "c");
	assert_int_equal(shard_topology_node(t, (size_t)failed)->flags, SHARD_NODE_MASTER | SHARD_NODE_FAIL);
	assert_int_equal(shard_topology_node(t, (size_t)replica)->flags, SHARD_NODE_REPLICA | SHARD_NODE_LOADING);
	assert_int_equal(shard_topology_node(t, (size_t)replica)->master, shard_topology_find_id(t, "b"));
	shard_topology_unref(t);
}

static void a_failed_master_alone_keeps_its_slots(void **state)
{
	shard_topology *t = shards("[[\"slots\" [0 9] \"nodes\" [" NODE("a", 1, "master", "fail") "]]]");
	assert_int_equal(owner(t, 0)->flags, SHARD_NODE_MASTER | SHARD_NODE_FAIL);
	shard_topology_unref(t);
}

static void a_shard_without_slots_is_read(void **state)
{
	shard_topology *t = shards("[[\"slots\" [] \"nodes\" [" NODE(
		"a", 1, "master", "fail") "]]"
					  " [\"nodes\" [" NODE("b", 2, "replica", "online") "] \"slots\" [5 5]]]");
	assert_int_equal(shard_topology_node_count(t), 2);
	assert_int_equal(shard_topology_covered(t), 0);
	shard_topology_unref(t);
}

static void a_node_that_speaks_tls_alone_has_that_port(void **state)
{
	shard_topology *t = shards("[[\"slots\" [0 9] \"nodes\" [[\"id\" \"a\" \"tls-port\" 7443 \"endpoint\" nil"
				   " \"role\" \"master\"]]]]");
	assert_string_equal(owner(t, 0)->addr, "127.0.0.1:7443");
	shard_topology_unref(t);
}

/* ---- CLUSTER NODES ---- */

static void open_slots_are_told(void **state)
{
	shard_topology *t = nodes("a h:1@2 myself,master - 0 0 1 connected 0-9 12 [7->-b] [13-<-c]\n");
	const shard_open_slot *open;
	assert_int_equal(shard_topology_open_slots(t, &open), 2);
	assert_int_equal(open[0].slot, 7);
	assert_false(open[0].importing);
	assert_string_equal(open[0].peer, "b");
	assert_int_equal(open[1].slot, 13);
	assert_true(open[1].importing);
	assert_string_equal(open[1].peer, "c");
	assert_int_equal(shard_topology_covered(t), 11);
	shard_topology_unref(t);
}

static void states_of_nodes_are_told(void **state)
{
	shard_topology *t = nodes("a :0@0 slave,fail,noaddr b 1 1 3 disconnected\n"
				  "b h:2@3 master,fail? - 1 1 18446744073709551615 connected\n"
				  "c :7000@17000 myself,master,nofailover - 0 0 0 connected 5\n"
				  "d h:4@5 handshake - 0 0 0 connected\n"
				  "e h:5@6,name,shard-id=x noflags - 0 0 0 connected\n"
				  "f h:6@7,shard-id=x slave gone 0 0 0 connected\n");
	assert_int_equal(shard_topology_node(t, 0)->flags,
			 SHARD_NODE_REPLICA | SHARD_NODE_FAIL | SHARD_NODE_NOADDR | SHARD_NODE_LINK_DOWN);
	assert_string_equal(shard_topology_node(t, 0)->addr, "?");
	assert_int_equal(shard_topology_node(t, 0)->master, 1);
	assert_int_equal(shard_topology_node(t, 1)->flags, SHARD_NODE_MASTER | SHARD_NODE_PFAIL);
	assert_true(shard_topology_epoch(t) == UINT64_MAX);
	assert_string_equal(shard_topology_node(t, 2)->addr, "127.0.0.1:7000");
	assert_int_equal(shard_topology_node(t, 3)->flags, SHARD_NODE_HANDSHAKE);
	assert_string_equal(shard_topology_node(t, 4)->hostname, "name");
	assert_string_equal(shard_topology_node(t, 5)->hostname, "");
	assert_int_equal(shard_topology_node(t, 5)->master, -1);
	shard_topology_unref(t);
}

static void of_two_nodes_at_an_address_the_living_one_is_meant(void **state)
{
	shard_topology *t = nodes("a h:1@2 master,fail - 0 0 1 disconnected\n"
				  "b h:1@2 master - 0 0 2 connected 0-9\n"
				  "c h:1@2 master,fail - 0 0 1 disconnected");
	assert_int_equal(shard_topology_node_count(t), 3);
	assert_int_equal(shard_topology_find_addr(t, "h", 1), 1);
	shard_topology_unref(t);
}

/* ---- text and back ---- */

static void assert_round_trip(const shard_topology *t)
{
	char *text = shard_topology_format(t);
	assert_non_null(text);
	shard_topology *again = nodes(text);
	assert_same(t, again);
	shard_topology_unref(again);
	free(text);
}

static void what_is_formatted_reads_back_whole(void **state)
{
	static const char *const texts[] = {
		("a :0@0 slave,fail,noaddr b 1 1 3 disconnected 7\n"
		 "b h:2@3,n master,fail? - 1 1 9 connected 0-5 9 [1->-a]\n"),
		"d h:4@5 handshake - 0 0 0 connected\ne ::1:5@6 noflags - 0 0 0 connected 16383\n",
		"",
	};
	for (size_t i = 0; i < COUNT(texts); i++) {
		shard_topology *t = nodes(texts[i]);
		assert_round_trip(t);
		shard_topology_unref(t);
	}
	for (size_t i = 0; i < COUNT(slots_samples); i++) {
		char *text = sample(slots_samples[i]);
		shard_topology *t = slots(text);
		assert_round_trip(t);
		shard_topology_unref(t);
		free(text);
	}
}

static void a_single_server_reads_back_as_one(void **state)
{
	static const struct {
		const char *host;
		uint16_t port;
		const char *addr;
	} servers[] = {
		{"127.0.0.1", 6379, "127.0.0.1:6379"}, {"::1", 1, "::1:1"}, {"/run/redis.sock", 0, "/run/redis.sock"}};
	for (size_t i = 0; i < COUNT(servers); i++) {
		shard_topology *t;
		assert_int_equal(shard_topology_single(servers[i].host, servers[i].port, &t), SHARD_OK);
		assert_true(shard_topology_is_single(t));
		assert_int_equal(shard_topology_covered(t), SHARD_SLOTS);
		assert_string_equal(owner(t, 1234)->id, "");
		assert_string_equal(owner(t, 1234)->addr, servers[i].addr);
		assert_round_trip(t);
		shard_topology_unref(t);
	}
}

static void what_no_line_can_hold_is_not_formatted(void **state)
{
	shard_topology *t;
	assert_int_equal(shard_topology_single("/tmp/a b", 0, &t), SHARD_OK);
	assert_null(shard_topology_format(t));
	shard_topology_unref(t);
	assert_int_equal(shard_topology_single("", 6379, &t), SHARD_EINVAL);
	assert_int_equal(shard_topology_single("h", 0, &t), SHARD_EINVAL);
}

static void a_map_of_a_thousand_nodes_is_read(void **state)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	for (unsigned i = 0; i < 1000; i++)
		fprintf(out, "%040x 10.0.%u.%u:7000@17000 master - 0 0 %u connected %u-%u\n", i, i / 256, i % 256, i,
			i * SHARD_SLOTS / 1000, (i + 1) * SHARD_SLOTS / 1000 - 1);
	fclose(out);
	shard_topology *t = nodes(text);
	assert_int_equal(shard_topology_node_count(t), 1000);
	assert_int_equal(shard_topology_covered(t), SHARD_SLOTS);
	assert_int_equal(shard_topology_find_addr(t, "10.0.3.231", 7000), 999);
	assert_int_equal(shard_topology_find_id(t, "00000000000000000000000000000000000001f4"), 500);
	assert_round_trip(t);
	shard_topology_unref(t);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slots_of_every_version_give_the_same_map),
		cmocka_unit_test(shards_of_every_version_give_the_same_map),
		cmocka_unit_test(nodes_of_every_version_give_the_same_map),
		cmocka_unit_test(ids_are_found),
		cmocka_unit_test(hostnames_and_flags_are_read),
		cmocka_unit_test(an_endpoint_that_is_nil_or_empty_is_where_we_asked),
		cmocka_unit_test(where_we_asked_behind_a_unix_socket_is_this_machine),
		cmocka_unit_test(an_unknown_endpoint_is_not_dialled),
		cmocka_unit_test(a_preferred_host_name_is_dialled),
		cmocka_unit_test(new_fields_are_passed_over),
		cmocka_unit_test(of_overlapping_ranges_the_last_one_wins),
		cmocka_unit_test(a_partial_map_has_gaps),
		cmocka_unit_test(nodes_without_ids_are_told_by_their_address),
		cmocka_unit_test(a_replica_that_leads_elsewhere_is_a_master),
		cmocka_unit_test(ipv6_stands_without_brackets),
		cmocka_unit_test(a_failed_master_beside_its_successor_owns_nothing),
		cmocka_unit_test(a_failed_master_alone_keeps_its_slots),
		cmocka_unit_test(a_shard_without_slots_is_read),
		cmocka_unit_test(a_node_that_speaks_tls_alone_has_that_port),
		cmocka_unit_test(open_slots_are_told),
		cmocka_unit_test(states_of_nodes_are_told),
		cmocka_unit_test(of_two_nodes_at_an_address_the_living_one_is_meant),
		cmocka_unit_test(what_is_formatted_reads_back_whole),
		cmocka_unit_test(a_single_server_reads_back_as_one),
		cmocka_unit_test(what_no_line_can_hold_is_not_formatted),
		cmocka_unit_test(a_map_of_a_thousand_nodes_is_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
