/* SPDX-License-Identifier: MIT */
/* Listing slot by slot: what nodes may answer, and where the keys of a slot are then. */
#include "scripted.h"

#define KEYS_MAX 64

struct listing {
	shard_scan *scan;
	shard_scan_options how;
	int error;
	char message[256];
	bool done;
	char *keys[KEYS_MAX];
	uint64_t place[KEYS_MAX];
	size_t count;
};

static struct listing listing;

static void batch(void *ctx, const shard_scan_batch *got)
{
	for (size_t i = 0; i < got->count && listing.count < KEYS_MAX; i++) {
		listing.keys[listing.count] = strndup(got->keys[i].str, got->keys[i].len);
		listing.place[listing.count++] = got->place ? got->place[i] : UINT64_MAX;
	}
	listing.done = got->done;
	listing.error = got->error;
	snprintf(listing.message, sizeof(listing.message), "%s", got->message);
	if (!got->done)
		check_count(shard_scan_next(listing.scan, batch, NULL), SHARD_OK);
}

static void next(void)
{
	check_count(shard_scan_next(listing.scan, batch, NULL), SHARD_OK);
}

static void begin(const char *match, bool ordered)
{
	shard_scan_options how = {.match = match, .match_len = match ? strlen(match) : 0, .ordered = ordered};

	memset(&listing, 0, sizeof(listing));
	listing.scan = shard_scan_create(client, &how);
	check(listing.scan, "no scan");
	next();
}

static void forget_keys(void)
{
	while (listing.count)
		free(listing.keys[--listing.count]);
}

static void end(void)
{
	shard_scan_destroy(listing.scan);
	forget_keys();
}

static unsigned times(const char *key)
{
	unsigned n = 0;

	for (size_t i = 0; i < listing.count; i++)
		n += strcmp(listing.keys[i], key) == 0;
	return n;
}

/* These keys, each once, and no error. */
static void want_keys(const char *const *keys)
{
	size_t n = 0;

	until(listing.done);
	check(listing.error == SHARD_OK, "%s: %s", shard_strerror(listing.error), listing.message);
	for (; keys[n]; n++)
		check(times(keys[n]) == 1, "%s came %u times", keys[n], times(keys[n]));
	check_count(listing.count, n);
}

#define want(...) want_keys((const char *const[]){__VA_ARGS__, NULL})

static void want_failed(int error)
{
	until(listing.done);
	check(listing.error == error, "%s: %s", shard_strerror(listing.error), listing.message);
	check(listing.message[0], "no message");
}

/* ---- nodes that list slots ---- */

/* The words of each node, a key's each: it lists those of the slot that is asked for, as many as are wanted. */
static const char *there[NODES];
static unsigned most; /* keys that one was asked for */

static char *list_slot(void *ctx, struct node *node, const struct command *command)
{
	unsigned slot = (unsigned)atoi(word(command, 2)), room = (unsigned)atoi(word(command, 3)), n = 0;
	const char *keys = there[number(node)];
	char *copy = strdup(keys ? keys : ""), *save, *text = NULL, *body = NULL;
	size_t size;
	FILE *out = open_memstream(&body, &size);

	most = room > most ? room : most;
	for (char *key = strtok_r(copy, " ", &save); key && n < room; key = strtok_r(NULL, " ", &save))
		if (shard_slot(key, strlen(key)) == slot && ++n)
			fprintf(out, "$%zu\r\n%s\r\n", strlen(key), key);
	fclose(out);
	if (asprintf(&text, "*%u\r\n%s", n, body) < 0)
		text = NULL;
	free(body);
	free(copy);
	return text;
}

static int setup(void **state)
{
	int error = world_setup(state);

	memset(there, 0, sizeof(there));
	most = 0;
	on_call(NULL, "CLUSTER GETKEYSINSLOT", list_slot, NULL);
	on(NULL, "MEMORY USAGE", "$-1\r\n");
	return error;
}

static void every_key_of_every_slot_comes_once(void **state)
{
	start(TWO);
	there[0] = "b bar c {b}1 {b}2";
	there[1] = "foo a d {a}1";
	begin(NULL, false);
	want("b", "bar", "c", "{b}1", "{b}2", "foo", "a", "d", "{a}1");
	check_count(heard(NULL, "SCAN"), 0);
	check_count(heard(NULL, "CLUSTER GETKEYSINSLOT"), SHARD_SLOTS);
	check_count(heard(n0, "CLUSTER GETKEYSINSLOT"), 8192);
	check_count(shard_scan_next(listing.scan, batch, NULL), SHARD_EINVAL);
	end();
}

static void ordered_keys_come_by_their_places(void **state)
{
	start(TWO);
	there[0] = "b bar c {b}1 {b}2";
	there[1] = "foo a d {a}1";
	begin(NULL, true);
	want("b", "bar", "c", "{b}1", "{b}2", "foo", "a", "d", "{a}1");
	for (size_t i = 0; i < listing.count; i++) {
		check(listing.place[i] == shard_place(listing.keys[i], strlen(listing.keys[i])), "%s: another place",
		      listing.keys[i]);
		check(!i || listing.place[i - 1] < listing.place[i], "%s comes too late", listing.keys[i]);
	}
	end();
}

static void it_goes_on_at_any_place(void **state)
{
	uint64_t place[9];
	char *keys[9];

	start(TWO);
	there[0] = "b bar c {b}1 {b}2";
	there[1] = "foo a d {a}1";
	begin(NULL, true);
	until(listing.done);
	check_count(listing.count, 9);
	memcpy(place, listing.place, sizeof(place));
	memcpy(keys, listing.keys, sizeof(keys));
	for (size_t i = 0; i < 9; i++) {
		listing.count = 0;
		listing.done = false;
		check_count(shard_scan_seek(listing.scan, place[i] + 1), SHARD_OK);
		next();
		check_count(shard_scan_seek(listing.scan, 0), SHARD_EINVAL);
		until(listing.done);
		check_count(listing.count, 8 - i);
		for (size_t j = 0; j < listing.count; j++)
			check(listing.place[j] == place[i + 1 + j], "other places behind %s", keys[i]);
		forget_keys();
	}
	check_count(shard_scan_seek(listing.scan, 0), SHARD_OK);
	next();
	until(listing.done && listing.count == 9);
	for (size_t i = 0; i < 9; i++)
		free(keys[i]);
	end();
}

static void an_unordered_listing_goes_nowhere(void **state)
{
	start(TWO);
	begin("{b}*", false);
	until(listing.done);
	check_count(shard_scan_seek(listing.scan, 0), SHARD_EINVAL);
	end();
}

static void a_pattern_is_matched_here(void **state)
{
	start(TWO);
	there[0] = "b bar c {b}1 {b}2";
	there[1] = "foo a d {a}1";
	begin("[a-c]*", false);
	want("b", "bar", "c", "a");
	end();
}

static void a_pattern_with_a_hash_tag_asks_one_slot(void **state)
{
	start(TWO);
	there[0] = "b {b}1 {b}2";
	begin("{b}*", false);
	want("{b}1", "{b}2");
	check_count(heard(NULL, "CLUSTER GETKEYSINSLOT"), 1);
	end();
	begin("b", false);
	want("b");
	check_count(heard(NULL, "CLUSTER GETKEYSINSLOT"), 2);
	end();
}

/* ---- slots that are elsewhere ---- */

static void a_slot_that_is_being_moved_is_asked_of_both(void **state)
{
	char asked[64], moved[64];

	start(TWO);
	snprintf(asked, sizeof(asked), "-ASK 3300 127.0.0.1:%d\r\n", port(n1));
	snprintf(moved, sizeof(moved), "-MOVED 3300 127.0.0.1:%d\r\n", port(n0));
	on(n0, "MEMORY USAGE", asked);
	on(n1, "MEMORY USAGE", moved);
	there[0] = "b {b}1 {b}3";
	there[1] = "{b}2 {b}3 {b}4";
	for (int ordered = 0; ordered < 2; ordered++) {
		begin("{b}*", ordered);
		want("{b}1", "{b}2", "{b}3", "{b}4");
		end();
	}
}

/* The source has to have answered before the other is asked: what moves in between is then at one of them. */
static void the_importing_node_is_asked_last(void **state)
{
	start(TWO);
	on(NULL, "CLUSTER GETKEYSINSLOT", NULL);
	on(NULL, "MEMORY USAGE", NULL);
	begin("{b}*", true);
	expect(n0, "CLUSTER", "GETKEYSINSLOT", "3300", "96");
	quiet(n1, 50);
	say(n0, "*1\r\n$4\r\n{b}1\r\n");
	on(n1, "MEMORY USAGE", "$-1\r\n");
	char probe[64];
	snprintf(probe, sizeof(probe), "-ASK 3300 127.0.0.1:%d\r\n", port(n1));
	on(n0, "MEMORY USAGE", probe);
	expect(n1, "CLUSTER", "GETKEYSINSLOT", "3300", "96");
	say(n1, "*2\r\n$4\r\n{b}1\r\n$4\r\n{b}2\r\n");
	want("{b}1", "{b}2");
	end();
}

static void a_slot_that_has_moved_is_asked_of_its_owner(void **state)
{
	char moved[64];

	start(TWO);
	snprintf(moved, sizeof(moved), "-MOVED 3300 127.0.0.1:%d\r\n", port(n1));
	on(n0, "MEMORY USAGE", moved);
	there[1] = "{b}1 {b}2";
	begin("{b}*", true);
	want("{b}1", "{b}2");
	end();
}

static void nodes_that_send_to_each_other_end_it(void **state)
{
	char to0[64], to1[64];

	options.timeout_ms = 400;
	start(TWO);
	snprintf(to0, sizeof(to0), "-MOVED 3300 127.0.0.1:%d\r\n", port(n0));
	snprintf(to1, sizeof(to1), "-MOVED 3300 127.0.0.1:%d\r\n", port(n1));
	on(n0, "MEMORY USAGE", to1);
	on(n1, "MEMORY USAGE", to0);
	begin("{b}*", true);
	want_failed(SHARD_ENOROUTE);
	check(heard(NULL, "MEMORY USAGE") < 100, "%u questions", heard(NULL, "MEMORY USAGE"));
	end();
}

static void a_cluster_that_is_down_is_waited_for(void **state)
{
	start(TWO);
	on(n0, "MEMORY USAGE", "-CLUSTERDOWN The cluster is down\r\n");
	there[0] = "{b}1";
	begin("{b}*", true);
	run_for(150);
	check(!listing.done, "%s", listing.message);
	on(n0, "MEMORY USAGE", "$-1\r\n");
	want("{b}1");
	end();
	options.timeout_ms = 400;
	stop();
	start(TWO);
	on(n0, "MEMORY USAGE", "-CLUSTERDOWN The cluster is down\r\n");
	begin("{b}*", true);
	want_failed(SHARD_ENOROUTE);
	end();
}

static void a_lost_master_is_listed_where_its_slots_are_now(void **state)
{
	start("0-8191 n0; 8192-16383 n1 n2");
	there[0] = "b bar";
	there[2] = "foo a";
	on(n1, "CLUSTER GETKEYSINSLOT", NULL);
	begin(NULL, true);
	run_for(30);
	layout("0-8191 n0; 8192-16383 n2");
	node_down(n1);
	want("b", "bar", "foo", "a");
	end();
}

static void a_node_that_stays_away_ends_it(void **state)
{
	options.timeout_ms = 400;
	start(TWO);
	node_down(n1);
	begin(NULL, false);
	want_failed(SHARD_ECONNECT);
	end();
}

static void a_slot_of_nobody_has_no_keys(void **state)
{
	start("0-8191 n0; 8200-16383 n1");
	there[0] = "b";
	there[1] = "foo";
	begin(NULL, true);
	want("b", "foo");
	end();
}

/* ---- odd answers ---- */

static void nonsense_ends_it(void **state)
{
	static const char *const answers[] = {
		"+OK\r\n", ":1\r\n", "$1\r\nb\r\n", "*-1\r\n", "*1\r\n:5\r\n", "*1\r\n$-1\r\n", "*1\r\n*0\r\n",
		"*1\r\n$3\r\nfoo\r\n", "*2\r\n$4\r\n{b}1\r\n$3\r\nfoo\r\n"};

	start(TWO);
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		on(n0, "CLUSTER GETKEYSINSLOT", answers[i]);
		begin("{b}*", i % 2);
		want_failed(SHARD_EPROTOCOL);
		check_count(listing.count, 0);
		end();
	}
}

static void who_may_not_look_at_keys_is_believed(void **state)
{
	start(TWO);
	on(n0, "MEMORY USAGE", "-NOPERM this user has no permissions to run the 'memory|usage' command\r\n");
	there[0] = "{b}1";
	begin("{b}*", true);
	want("{b}1");
	end();
}

static void more_keys_than_asked_for(void **state)
{
	static char text[20000];
	int at = snprintf(text, sizeof(text), "*200\r\n");

	for (int i = 0; i < 200; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "$6\r\n{b}%03d\r\n", i % 60);
	start(TWO);
	on(n0, "CLUSTER GETKEYSINSLOT", text);
	begin("{b}*", true);
	until(listing.done);
	check_count(listing.error, SHARD_OK);
	/* Asked again for as many as there may be, it was believed; the repeated ones were not. */
	check_count(listing.count, 60);
	end();
}

static void full_answers_are_asked_for_again(void **state)
{
	static char text[4096];
	int at = 0;

	for (int i = 0; i < 150; i++)
		at += snprintf(text + at, sizeof(text) - (size_t)at, "{b}%d ", i);
	start(TWO);
	there[0] = text;
	begin("{b}1?", true);
	until(listing.done);
	check_count(listing.error, SHARD_OK);
	check_count(listing.count, 10);
	check_count(most, 16385);
	end();
}

static char *endless(void *ctx, struct node *node, const struct command *command)
{
	int n = atoi(word(command, 3));
	char *text = malloc((size_t)n * 20 + 20);
	int at = sprintf(text, "*%d\r\n", n);

	for (int i = 0; i < n; i++)
		at += sprintf(text + at, "$8\r\n{b}%05d\r\n", i);
	return text;
}

/* Their keys have no places; and they come although the listing begins behind them. */
static void slots_that_are_too_large_are_left_to_scan(void **state)
{
	start(TWO);
	on_call(n0, "CLUSTER GETKEYSINSLOT 3300", endless, NULL);
	on(n0, "CLUSTER COUNTKEYSINSLOT", ":0\r\n");
	on(n1, "CLUSTER COUNTKEYSINSLOT", ":0\r\n");
	on(n0, "CLUSTER COUNTKEYSINSLOT 3300", ":16385\r\n");
	on(n0, "SCAN", "*2\r\n$1\r\n0\r\n*3\r\n$4\r\n{b}1\r\n$1\r\nc\r\n$4\r\n{b}1\r\n");
	there[0] = "c";
	there[1] = "foo";
	begin(NULL, true);
	want("c", "foo", "{b}1");
	check(listing.place[2] == UINT64_MAX, "{b}1 has a place");
	check_count(heard(n1, "SCAN"), 0);
	check_count(heard(n0, "CLUSTER GETKEYSINSLOT 3300"), 2);
	for (int fresh = 0; fresh < 2; fresh++) {
		if (fresh) {
			end();
			begin("{b}*", true);
			until(listing.done);
			shard_scan_destroy(listing.scan);
			forget_keys();
			shard_scan_options how = {.ordered = true};
			listing.scan = shard_scan_create(client, &how);
		}
		forget_keys();
		listing.done = false;
		check_count(shard_scan_seek(listing.scan, ((uint64_t)1 << 62) - 1), SHARD_OK);
		next();
		want("{b}1");
	}
	end();
}

static void a_node_that_lists_no_slots_is_scanned(void **state)
{
	start(TWO);
	on(n1, "CLUSTER GETKEYSINSLOT", "-NOPERM this user has no permissions to run the 'cluster|getkeysinslot' command\r\n");
	on(n0, "SCAN", "*2\r\n$1\r\n0\r\n*2\r\n$1\r\nb\r\n$1\r\nc\r\n");
	on(n1, "SCAN", "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nfoo\r\n");
	there[0] = "b c";
	begin(NULL, true);
	want("b", "c", "foo");
	end();
}

/* ---- callers ---- */

static void it_may_end_at_any_time(void **state)
{
	for (unsigned ms = 0; ms < 20; ms += 4) {
		start(TWO);
		begin(NULL, ms % 8);
		run_for(ms);
		end();
		run_for(20);
		stop();
	}
	start(TWO);
	begin(NULL, true);
	run_for(3);
	stop(); /* with the listing open */
	forget_keys();
}

int main(int argc, char *argv[])
{
#define scanned(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)
	const struct CMUnitTest tests[] = {
		scanned(every_key_of_every_slot_comes_once),
		scanned(ordered_keys_come_by_their_places),
		scanned(it_goes_on_at_any_place),
		scanned(an_unordered_listing_goes_nowhere),
		scanned(a_pattern_is_matched_here),
		scanned(a_pattern_with_a_hash_tag_asks_one_slot),
		scanned(a_slot_that_is_being_moved_is_asked_of_both),
		scanned(the_importing_node_is_asked_last),
		scanned(a_slot_that_has_moved_is_asked_of_its_owner),
		scanned(nodes_that_send_to_each_other_end_it),
		scanned(a_cluster_that_is_down_is_waited_for),
		scanned(a_lost_master_is_listed_where_its_slots_are_now),
		scanned(a_node_that_stays_away_ends_it),
		scanned(a_slot_of_nobody_has_no_keys),
		scanned(nonsense_ends_it),
		scanned(who_may_not_look_at_keys_is_believed),
		scanned(more_keys_than_asked_for),
		scanned(full_answers_are_asked_for_again),
		scanned(slots_that_are_too_large_are_left_to_scan),
		scanned(a_node_that_lists_no_slots_is_scanned),
		scanned(it_may_end_at_any_time),
	};
	return run(tests);
}
