/* SPDX-License-Identifier: MIT */
/* SCAN over the whole cluster as one iterator: of nodes that do not list their slots, or have none. */
#include "scripted.h"

struct listing {
	shard_scan *scan;
	unsigned batches, after_end;
	int error;
	char message[128];
	bool done, outstanding, hold, destroy_at_once;
	char *keys[4096];
	char *nodes[4096];
	size_t count;
};

static void next(struct listing *listing);

static void batch(void *ctx, const shard_scan_batch *got)
{
	struct listing *listing = ctx;

	listing->outstanding = false;
	listing->batches++;
	listing->after_end += listing->done;
	for (size_t i = 0; i < got->count && listing->count < 4096; i++) {
		listing->keys[listing->count] = strndup(got->keys[i].str, got->keys[i].len);
		listing->nodes[listing->count++] = strdup(got->node);
	}
	listing->done = got->done;
	listing->error = got->error;
	snprintf(listing->message, sizeof(listing->message), "%s", got->message ? got->message : "");
	note("scan: %zu keys of '%s'%s%s", got->count, got->node, got->done ? ", the end " : "", listing->message);
	if (listing->destroy_at_once) {
		shard_scan_destroy(listing->scan);
		listing->scan = NULL;
	} else if (!got->done && !listing->hold) {
		next(listing);
	}
}

static void next(struct listing *listing)
{
	int error = shard_scan_next(listing->scan, batch, listing);

	check(error == SHARD_OK, "shard_scan_next: %s", shard_strerror(error));
	listing->outstanding = true;
}

static void scan_start(struct listing *listing, const shard_scan_options *how)
{
	memset(listing, 0, sizeof(*listing));
	listing->scan = shard_scan_create(client, how);
	check(listing->scan, "no scan");
	next(listing);
}

static void scan_end(struct listing *listing)
{
	shard_scan_destroy(listing->scan);
	for (size_t i = 0; i < listing->count; i++) {
		free(listing->keys[i]);
		free(listing->nodes[i]);
	}
	check_count(listing->after_end, 0);
}

static unsigned times(const struct listing *listing, const char *key)
{
	unsigned n = 0;

	for (size_t i = 0; i < listing->count; i++)
		n += strcmp(listing->keys[i], key) == 0;
	return n;
}

static void want_each_once(struct listing *listing, const char *const *keys)
{
	size_t n = 0;

	until(listing->done);
	check(listing->error == SHARD_OK, "%s: %s", shard_strerror(listing->error), listing->message);
	for (; keys[n]; n++)
		check(times(listing, keys[n]) == 1, "%s came %u times", keys[n], times(listing, keys[n]));
	check_count(listing->count, n);
}

/* ---- nodes that list: batches of a node, one a cursor ---- */

struct pages {
	const char *page[8]; /* words; the cursor of page i is i * 100 */
	unsigned asked[8];
};

static struct pages pages[NODES];

static char *list_page(void *ctx, struct node *node, const struct command *command)
{
	struct pages *mine = &pages[number(node)];
	size_t at = (size_t)atoi(word(command, 1)) / 100, size, n = 0;
	char *text = NULL, *copy, *save, cursor[16] = "0";
	FILE *out;

	if (at >= 8 || !mine->page[at])
		return strdup("-ERR invalid cursor\r\n");
	mine->asked[at]++;
	if (at < 7 && mine->page[at + 1])
		snprintf(cursor, sizeof(cursor), "%zu", (at + 1) * 100);
	copy = strdup(mine->page[at]);
	for (const char *p = copy; *p; p++)
		n += (*p != ' ') && (p == copy || p[-1] == ' ');
	out = open_memstream(&text, &size);
	fprintf(out, "*2\r\n$%zu\r\n%s\r\n*%zu\r\n", strlen(cursor), cursor, n);
	for (char *key = strtok_r(copy, " ", &save); key; key = strtok_r(NULL, " ", &save))
		fprintf(out, "$%zu\r\n%s\r\n", strlen(key), key);
	fclose(out);
	free(copy);
	return text;
}

/* NODE lists these pages from now on. */
#define give_pages(node, ...)                                                                                          \
	pages[node] = (struct pages)                                                                                   \
	{                                                                                                              \
		.page = { __VA_ARGS__ }                                                                                \
	}

static void pages_reset(void)
{
	memset(pages, 0, sizeof(pages));
	on_call(NULL, "SCAN", list_page, NULL);
}

static void all_keys_of_all_nodes_come_once(void **state)
{
	struct listing listing;

	start(TWO);
	pages_reset();
	give_pages(0, "b bar", "", "c");
	give_pages(1, "foo", "a d");
	scan_start(&listing, NULL);
	want_each_once(&listing, (const char *const[]){"b", "bar", "c", "foo", "a", "d", NULL});
	for (size_t i = 0; i < listing.count; i++) {
		unsigned slot = shard_slot(listing.keys[i], strlen(listing.keys[i]));

		assert_string_equal(listing.nodes[i], addr(slot < 8192 ? n0 : n1));
	}
	check_count(shard_scan_next(listing.scan, batch, &listing), SHARD_EINVAL);
	scan_end(&listing);
}

static void what_scan_repeats_comes_once(void **state)
{
	struct listing listing;

	start(TWO);
	pages_reset();
	give_pages(0, "b bar b", "bar", "b c");
	give_pages(1, "foo foo", "foo a");
	scan_start(&listing, NULL);
	want_each_once(&listing, (const char *const[]){"b", "bar", "c", "foo", "a", NULL});
	scan_end(&listing);
}

static void duplicates_come_where_the_caller_does_not_mind(void **state)
{
	shard_scan_options how = {.duplicates = true};
	struct listing listing;

	start(TWO);
	pages_reset();
	give_pages(0, "b bar b", "bar", "b c");
	give_pages(1, "foo");
	scan_start(&listing, &how);
	until(listing.done);
	check_count(listing.count, 7);
	scan_end(&listing);
}

static void match_and_count_are_passed_on(void **state)
{
	shard_scan_options how = {.match = "f*", .match_len = 2, .count = 77};
	struct listing listing;
	struct ask *get;

	start("0-16383 n0");
	scan_start(&listing, &how);
	expect(n0, "SCAN", "0", "COUNT", "77", "MATCH", "f*");
	/* Meanwhile other requests go on. */
	get = ask("GET", "foo");
	say(n0, "*2\r\n$1\r\n5\r\n*1\r\n$3\r\nfoo\r\n");
	on(n0, "GET", "+x\r\n");
	want_status(get, "x");
	expect(n0, "SCAN", "5", "COUNT", "77", "MATCH", "f*");
	say(n0, "*2\r\n$1\r\n0\r\n*0\r\n");
	want_each_once(&listing, (const char *const[]){"foo", NULL});
	scan_end(&listing);
}

static void the_largest_cursor_is_passed_back_as_it_came(void **state)
{
	struct listing listing;

	start("0-16383 n0");
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	say(n0, "*2\r\n$20\r\n18446744073709551615\r\n*1\r\n$3\r\nfoo\r\n");
	expect(n0, "SCAN", "18446744073709551615", "COUNT", "1000");
	say(n0, "*2\r\n$1\r\n0\r\n*0\r\n");
	want_each_once(&listing, (const char *const[]){"foo", NULL});
	scan_end(&listing);
}

static void all_nodes_are_asked_at_once(void **state)
{
	struct listing listing;

	start(TWO);
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	expect(n1, "SCAN", "0", "COUNT", "1000");
	say(n1, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nfoo\r\n");
	say(n0, "*2\r\n$1\r\n0\r\n*0\r\n");
	want_each_once(&listing, (const char *const[]){"foo", NULL});
	scan_end(&listing);
}

static void a_caller_who_does_not_ask_holds_it_back(void **state)
{
	struct listing listing = {0};

	start(TWO);
	pages_reset();
	give_pages(0, "b", "bar", "c", "{b}1", "{b}2", "{b}3");
	give_pages(1, "foo", "a", "d", "{a}1", "{a}2", "{a}3");
	listing.hold = true;
	listing.scan = shard_scan_create(client, NULL);
	next(&listing);
	until(listing.batches == 1);
	run_for(100);
	/* One batch given, at most one a node fetched ahead. */
	check(heard(NULL, "SCAN") <= 4, "%u SCANs for one batch", heard(NULL, "SCAN"));
	check_count(listing.batches, 1);
	listing.hold = false;
	next(&listing);
	until(listing.done);
	check_count(listing.count, 12);
	scan_end(&listing);
}

static void two_requests_for_a_batch_are_refused(void **state)
{
	struct listing listing;

	start(TWO);
	scan_start(&listing, NULL);
	check_count(shard_scan_next(listing.scan, batch, &listing), SHARD_EINVAL);
	scan_end(&listing);
	run_for(20);
	check_count(listing.batches, 0);
}

static void it_may_be_destroyed_in_its_callback_and_at_any_time(void **state)
{
	struct listing listing = {.destroy_at_once = true};
	struct ask *get;

	start(TWO);
	pages_reset();
	give_pages(0, "b", "bar", "c");
	give_pages(1, "foo", "a");
	listing.scan = shard_scan_create(client, NULL);
	next(&listing);
	until(listing.batches == 1);
	run_for(50);
	check_count(listing.batches, 1);
	for (size_t i = 0; i < listing.count; i++) {
		free(listing.keys[i]);
		free(listing.nodes[i]);
	}
	on(NULL, "SCAN", NULL);
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	expect(n1, "SCAN", "0", "COUNT", "1000");
	shard_scan_destroy(listing.scan);
	get = ask("GET", "foo");
	settle();
	say(n0, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
	say(n1, "*2\r\n$1\r\n0\r\n*1\r\n$3\r\nfoo\r\n");
	on(n1, "GET", "+x\r\n");
	want_status(get, "x");
	check_count(listing.batches, 0);
	shard_scan_destroy(NULL);
}

static void a_scan_with_requests_open_may_end(void **state)
{
	struct listing listing;

	start(TWO);
	scan_start(&listing, NULL);
	run_for(20);
	shard_scan_destroy(listing.scan);
	stop();
	check_count(listing.batches, 0);
}

/* ---- nodes that are lost, slots that move ---- */

/* From its cursor or, for it may have been a restart, anew: what came before does not come twice. */
static void a_broken_connection_does_not_end_the_listing(void **state)
{
	struct listing listing;

	start("0-16383 n0");
	pages_reset();
	on(n0, "SCAN", NULL);
	give_pages(0, "b", "bar c");
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	say(n0, "*2\r\n$3\r\n100\r\n*1\r\n$1\r\nb\r\n");
	expect(n0, "SCAN", "100", "COUNT", "1000");
	on_call(n0, "SCAN", list_page, NULL);
	hang_up(n0);
	want_each_once(&listing, (const char *const[]){"b", "bar", "c", NULL});
	scan_end(&listing);
}

static void a_lost_master_is_listed_again_where_its_slots_are_now(void **state)
{
	struct listing listing;

	start("0-8191 n0; 8192-16383 n1 n2");
	pages_reset();
	give_pages(0, "b", "bar", "c");
	/* n1 lists two pages and dies; n2, promoted, lists the same keys under other cursors. */
	on(n1, "SCAN", NULL);
	give_pages(2, "d foo", "a {a}1");
	scan_start(&listing, NULL);
	expect(n1, "SCAN", "0", "COUNT", "1000");
	say(n1, "*2\r\n$3\r\n512\r\n*2\r\n$1\r\na\r\n$3\r\nfoo\r\n");
	expect(n1, "SCAN", "512", "COUNT", "1000");
	layout("0-8191 n0; 8192-16383 n2");
	node_down(n1);
	want_each_once(&listing, (const char *const[]){"a", "foo", "d", "{a}1", "b", "bar", "c", NULL});
	scan_end(&listing);
}

static void slots_that_moved_meanwhile_are_listed_again(void **state)
{
	struct listing listing;
	struct ask *get;

	start(TWO);
	pages_reset();
	/* n1 is through; then slot 3300 with b and {b}1 moves there from n0 before n0 came to them. */
	on(n0, "SCAN", NULL);
	give_pages(1, "foo a");
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	say(n0, "*2\r\n$2\r\n99\r\n*1\r\n$3\r\nbar\r\n");
	expect(n0, "SCAN", "99", "COUNT", "1000");
	until(pages[1].asked[0] && times(&listing, "foo"));
	layout("0-3299 n0; 3300-3300 n1; 3301-8191 n0; 8192-16383 n1");
	give_pages(1, "foo a b", "{b}1");
	get = ask("GET", "b");
	expect(n0, "GET", "b");
	say(n0, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nc\r\n");
	say(n0, "-MOVED 3300 127.0.0.1:%d\r\n", port(n1));
	on(n1, "GET", "+x\r\n");
	want_status(get, "x");
	on_call(n0, "SCAN", list_page, NULL);
	give_pages(0, "bar", "c");
	want_each_once(&listing, (const char *const[]){"bar", "c", "foo", "a", "b", "{b}1", NULL});
	scan_end(&listing);
}

/* A slot that is being moved: what n0 gave away before it came to it, n1 got after it was through. */
static void keys_at_an_importing_node_are_listed(void **state)
{
	struct listing listing;
	char nodes[512];

	start(TWO);
	pages_reset();
	on(n0, "SCAN", NULL);
	give_pages(1, "foo a");
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	until(pages[1].asked[0] && times(&listing, "foo"));
	give_pages(1, "foo a", "{b}1");
	snprintf(nodes, sizeof(nodes),
		 "%040d 127.0.0.1:%d@1 master - 0 0 1 connected 0-8191\n"
		 "%040d 127.0.0.1:%d@1 myself,master - 0 0 2 connected 8192-16383 [3300-<-%040d]\n",
		 1, port(n0), 2, port(n1), 1);
	on(n1, "CLUSTER NODES", bulk(nodes));
	say(n0, "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n");
	want_each_once(&listing, (const char *const[]){"b", "foo", "a", "{b}1", NULL});
	scan_end(&listing);
}

static void the_client_may_be_destroyed_with_scans_open(void **state)
{
	struct listing listing;

	start(TWO);
	scan_start(&listing, NULL);
	expect(n0, "SCAN", "0", "COUNT", "1000");
	stop();
	check(listing.batches <= 1, "%u batches", listing.batches);
	check(!listing.batches || (listing.done && listing.error == SHARD_ECANCELED), "%s", listing.message);
}

static void a_node_that_stays_away_ends_the_listing_with_an_error(void **state)
{
	struct listing listing;

	options.timeout_ms = 300;
	start(TWO);
	pages_reset();
	give_pages(0, "b", "bar");
	node_down(n1);
	scan_start(&listing, NULL);
	until(listing.done);
	check(listing.error == SHARD_ECONNECT, "%s", shard_strerror(listing.error));
	check(listing.message[0], "no message");
	scan_end(&listing);
}

static void nonsense_ends_the_listing_with_an_error(void **state)
{
	static const char *const answers[] = {
		"+OK\r\n", ":1\r\n", "*0\r\n", "*1\r\n$1\r\n0\r\n", "*2\r\n$1\r\n0\r\n$1\r\nx\r\n", "*2\r\n*0\r\n*0\r\n",
		"*2\r\n$1\r\nx\r\n*0\r\n", "*2\r\n$1\r\n0\r\n*1\r\n:5\r\n", "*2\r\n$0\r\n\r\n*0\r\n", "*-1\r\n",
		"*2\r\n$1\r\n0\r\n*1\r\n$-1\r\n", "-ERR no\r\n"};
	struct listing listing;

	options.timeout_ms = 500;
	start("0-16383 n0");
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		on(n0, "SCAN", answers[i]);
		scan_start(&listing, NULL);
		until(listing.done);
		check(listing.error != SHARD_OK, "%s passes for a listing", answers[i]);
		check_count(listing.count, 0);
		scan_end(&listing);
	}
}

static void a_single_server_is_scanned_too(void **state)
{
	struct listing listing;

	on(n0, "CLUSTER", "-ERR This instance has cluster support disabled\r\n");
	start_cold("");
	pages_reset();
	give_pages(0, "b foo", "a b");
	scan_start(&listing, NULL);
	want_each_once(&listing, (const char *const[]){"b", "foo", "a", NULL});
	scan_end(&listing);
}

static void a_scan_that_comes_first_fetches_the_map(void **state)
{
	struct listing listing;

	start_cold(TWO);
	pages_reset();
	give_pages(0, "b");
	give_pages(1, "foo");
	scan_start(&listing, NULL);
	want_each_once(&listing, (const char *const[]){"b", "foo", NULL});
	scan_end(&listing);
}

static void many_keys_and_two_scans_at_once(void **state)
{
	static char text[4][16000];
	struct listing first, second;

	start(TWO);
	pages_reset();
	for (int i = 0; i < 4; i++) {
		text[i][0] = '\0';
		for (int j = 0; j < 500; j++)
			sprintf(text[i] + strlen(text[i]), "{%s}%d ", i < 2 ? "b" : "foo", j + (i % 2) * 250);
	}
	give_pages(0, text[0], text[1]);
	give_pages(1, text[2], text[3]);
	scan_start(&first, NULL);
	scan_start(&second, NULL);
	until(first.done && second.done);
	check_count(first.count, 1500);
	check_count(second.count, 1500);
	scan_end(&first);
	scan_end(&second);
}

/* These nodes list no slots; see test_scan_slots.c for those that do. */
static int setup(void **state)
{
	int error = world_setup(state);

	on(NULL, "MEMORY", "$-1\r\n");
	return error;
}

#define scanned(test) cmocka_unit_test_setup_teardown(test, setup, world_teardown)

int main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		scanned(all_keys_of_all_nodes_come_once),
		scanned(what_scan_repeats_comes_once),
		scanned(duplicates_come_where_the_caller_does_not_mind),
		scanned(match_and_count_are_passed_on),
		scanned(the_largest_cursor_is_passed_back_as_it_came),
		scanned(all_nodes_are_asked_at_once),
		scanned(a_caller_who_does_not_ask_holds_it_back),
		scanned(two_requests_for_a_batch_are_refused),
		scanned(it_may_be_destroyed_in_its_callback_and_at_any_time),
		scanned(a_scan_with_requests_open_may_end),
		scanned(a_broken_connection_does_not_end_the_listing),
		scanned(a_lost_master_is_listed_again_where_its_slots_are_now),
		scanned(slots_that_moved_meanwhile_are_listed_again),
		scanned(keys_at_an_importing_node_are_listed),
		scanned(the_client_may_be_destroyed_with_scans_open),
		scanned(a_node_that_stays_away_ends_the_listing_with_an_error),
		scanned(nonsense_ends_the_listing_with_an_error),
		scanned(a_single_server_is_scanned_too),
		scanned(a_scan_that_comes_first_fetches_the_map),
		scanned(many_keys_and_two_scans_at_once),
	};
	return run(tests);
}
