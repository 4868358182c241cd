/* SPDX-License-Identifier: MIT */
/* Pools of plain servers: where keys go, what happens to a server that fails, and when it comes back. */
#include <unistd.h>

#include "scripted.h"

#define SERVERS 3
#define RETRY_MS 300

static shard_pool_server server[SERVERS];
static shard_pool pool;

/* Of n0, n1, n2, named a, b, c; modula over xxh3. */
static void prepare(void)
{
	struct node *node[SERVERS] = {n0, n1, n2};
	static const char *const names[SERVERS] = {"a", "b", "c"};

	for (int i = 0; i < SERVERS; i++)
		server[i] = (shard_pool_server){
			.host = "127.0.0.1",
			.port = (uint16_t)port(node[i]),
			.weight = 1,
			.name = names[i],
			.addr = addr(node[i]),
		};
	pool = (shard_pool){
		.name = "alpha",
		.hash = SHARD_HASH_XXH3,
		.distribution = SHARD_MODULA,
		.timeout_ms = 1000,
		.redis = true,
		.server_connections = 1,
		.server_retry_timeout = RETRY_MS,
		.server_failure_limit = 2,
		.server = server,
		.server_count = SERVERS,
	};
	options.timeout_ms = 0;
}

/* A key of a server while all are there: "k" and a number. */
static const char *key_of(struct node *node, int nth)
{
	static char text[8][16];
	static int turn;
	shard_ring *ring;
	char *key = text[turn++ % 8];
	int found = -1;

	assert_int_equal(shard_pool_ring(&pool, NULL, &ring), SHARD_OK);
	for (int i = 0; found < nth; i++) {
		snprintf(key, sizeof(text[0]), "k%d", i);
		found += server[shard_ring_route(ring, key, strlen(key))].port == port(node);
	}
	shard_ring_free(ring);
	return key;
}

/* ---- where to ---- */

static void keys_go_to_their_servers(void **state)
{
	struct node *node[SERVERS] = {n0, n1, n2};

	prepare();
	start_pool(&pool);
	for (int i = 0; i < SERVERS; i++) {
		const char *key = key_of(node[i], i);
		struct ask *get = ask("GET", key);

		expect(node[i], "GET", key);
		say(node[i], "$1\r\nx\r\n");
		want_string(get, "x");
		assert_string_equal(get->node, addr(node[i]));
		check_count(get->slot, -1);
		assert_string_equal(shard_client_node_of(client, key, strlen(key)), addr(node[i]));
	}
	check(shard_topology_is_pool(shard_client_topology(client)), "not a pool's map");
	check_count(heard(NULL, "CLUSTER"), 0);
	check_count(connections_ever(n0), 1);
}

static void commands_are_split_by_server(void **state)
{
	const char *a, *b, *a2;
	struct ask *mget;

	prepare();
	a = key_of(n0, 0);
	b = key_of(n1, 0);
	a2 = key_of(n0, 1);
	start_pool(&pool);
	mget = ask("MGET", a, b, a2);
	expect(n0, "MGET", a, a2);
	say(n0, "*2\r\n+1\r\n+3\r\n");
	expect(n1, "MGET", b);
	say(n1, "*1\r\n+2\r\n");
	want_array(mget, 3);
	assert_string_equal(mget->reply->element[1].str, "2");
	assert_string_equal(mget->reply->element[2].str, "3");
	check_count(mget->slot, -1);
}

static void what_cannot_be_split_is_refused_or_kept_together(void **state)
{
	const char *a, *b, *a2;

	prepare();
	a = key_of(n0, 0);
	b = key_of(n1, 0);
	a2 = key_of(n0, 1);
	start_pool(&pool);
	check_count(ask_try(NULL, (const char *const[]){"RENAME", a, b, NULL})->submitted, SHARD_ECROSSSLOT);
	check(!shard_client_together(client, a, strlen(a), b, strlen(b)), "two servers are taken for one");
	check(shard_client_together(client, a, strlen(a), a2, strlen(a2)), "one server is taken for two");
	struct ask *rename = ask("RENAME", a, a2);
	expect(n0, "RENAME", a, a2);
	say(n0, "+OK\r\n");
	want_status(rename, "OK");
}

static void keyless_commands_go_to_all(void **state)
{
	struct ask *size;

	prepare();
	start_pool(&pool);
	on(NULL, "DBSIZE", ":5\r\n");
	size = ask("DBSIZE");
	want_integer(size, 15);
}

static void two_names_at_one_address_are_one_server(void **state)
{
	struct ask *size;

	prepare();
	server[1].port = server[0].port;
	server[1].addr = server[0].addr;
	start_pool(&pool);
	on(NULL, "DBSIZE", ":5\r\n");
	size = ask("DBSIZE");
	want_integer(size, 10);
	check_count(connections_ever(n0), 1);
}

/* ---- the file's settings ---- */

static void auth_comes_before_select(void **state)
{
	static char password[] = "secret";
	struct ask *get;

	prepare();
	pool.redis_auth = password;
	pool.redis_db = 3;
	start_pool(&pool);
	on(NULL, "AUTH", NULL);
	on(NULL, "SELECT", NULL);
	get = ask("GET", key_of(n0, 0));
	expect(n0, "AUTH", "secret");
	say(n0, "+OK\r\n");
	expect(n0, "SELECT", "3");
	say(n0, "+OK\r\n");
	expect(n0, "GET", key_of(n0, 0));
	say(n0, "$1\r\nx\r\n");
	want_string(get, "x");
}

static void all_are_dialled_at_once(void **state)
{
	prepare();
	pool.preconnect = true;
	pool.server_connections = 2;
	start_pool(&pool);
	until(connections(n0) == 2 && connections(n1) == 2 && connections(n2) == 2);
}

static void commands_of_one_key_share_a_connection(void **state)
{
	unsigned seen = 0, first;

	prepare();
	pool.server_connections = 4;
	start_pool(&pool);
	for (int i = 0; i < 16; i++) {
		const char *key = key_of(n0, i);

		ask("GET", key);
		expect(n0, "GET", key);
		first = connection(n0);
		say(n0, "$1\r\nx\r\n");
		ask("INCR", key);
		expect(n0, "INCR", key);
		check_count(connection(n0), first);
		say(n0, ":1\r\n");
		seen |= 1u << first;
	}
	check_count(connections_ever(n0), 4);
	check_count(__builtin_popcount(seen), 4);
}

static void the_pool_says_how_long(void **state)
{
	struct ask *get;

	prepare();
	pool.timeout_ms = 200;
	start_pool(&pool);
	get = ask("GET", key_of(n0, 0));
	expect(n0, "GET", key_of(n0, 0));
	want_took(get, 190, 300);
	want_error(get, SHARD_ETIMEDOUT);
}

static void none_is_none(void **state)
{
	struct ask *get;

	prepare();
	pool.timeout_ms = 0;
	start_pool(&pool);
	get = ask("GET", key_of(n0, 0));
	expect(n0, "GET", key_of(n0, 0));
	run_for(1500);
	want_open(get);
	say(n0, "$1\r\nx\r\n");
	want_string(get, "x");
}

static void what_cannot_be_served_is_refused(void **state)
{
	shard_client *none = NULL;
	shard_options how;

	prepare();
	how = options;
	how.uri = NULL;
	how.pool = &pool;
	pool.redis = false;
	assert_int_equal(shard_client_create(&none, &how), SHARD_EUNSUPPORTED);
	pool.redis = true;
	pool.distribution = SHARD_RANDOM;
	assert_int_equal(shard_client_create(&none, &how), SHARD_EUNSUPPORTED);
	pool.distribution = SHARD_KETAMA;
	assert_int_equal(shard_client_create(&none, &how), SHARD_OK);
	shard_client_destroy(none);
	start_pool(&pool);
}

static void the_file_may_be_named(void **state)
{
	char path[] = "/tmp/shard-test-XXXXXX", uri[64];
	int fd = mkstemp(path);
	struct ask *get;

	prepare();
	assert_true(fd >= 0);
	dprintf(fd, "alpha:\n  listen: 127.0.0.1:1\n  redis: true\n  hash: xxh3\n  distribution: modula\n  servers:\n");
	for (int i = 0; i < SERVERS; i++)
		dprintf(fd, "   - %s:1 %s\n", server[i].addr, server[i].name);
	close(fd);
	snprintf(uri, sizeof(uri), "twemproxy:%s#alpha", path);
	seeds("%s", uri);
	start_pool(NULL);
	unlink(path);
	get = ask("GET", key_of(n1, 0));
	expect(n1, "GET", key_of(n1, 0));
	say(n1, "$1\r\nx\r\n");
	want_string(get, "x");
}

static void a_file_that_is_not_there(void **state)
{
	shard_options how = options;
	shard_client *none;
	shard_uri *uri;

	assert_int_equal(shard_uri_parse("twemproxy:/nonexistent/nutcracker.yml", &uri, NULL), SHARD_OK);
	how.uri = uri;
	assert_int_equal(shard_client_create(&none, &how), SHARD_EPOOL);
	assert_null(none);
	shard_uri_free(uri);
	start(TWO);
}

/* ---- trouble ---- */

static void a_server_that_refuses_is_told_at_once(void **state)
{
	struct ask *get, *set, *other;

	prepare();
	node_down(n0);
	start_pool(&pool);
	get = ask("GET", key_of(n0, 0));
	set = ask("SET", key_of(n0, 1), "v");
	other = ask("GET", key_of(n1, 0));
	want_error(get, SHARD_ECONNECT);
	want_error(set, SHARD_ECONNECT);
	want_took(get, 0, 150);
	expect(n1, "GET", key_of(n1, 0));
	say(n1, "$1\r\nx\r\n");
	want_string(other, "x");
	node_up(n0);
	on(n0, "GET", "$1\r\ny\r\n");
	run_for(50);
	want_string(ask("GET", key_of(n0, 0)), "y");
}

static void a_restart_is_waited_for(void **state)
{
	struct ask *get;

	prepare();
	start_pool(&pool);
	on(n0, "GET", "$1\r\nx\r\n");
	want_string(ask("GET", key_of(n0, 0)), "x");
	on(n0, "GET", NULL);
	get = ask("GET", key_of(n0, 0));
	expect(n0, "GET", key_of(n0, 0));
	hang_up(n0);
	expect(n0, "GET", key_of(n0, 0));
	say(n0, "$1\r\ny\r\n");
	want_string(get, "y");
	check_count(connections_ever(n0), 2);
}

static void redirects_are_the_callers(void **state)
{
	struct ask *get;
	char moved[64];

	prepare();
	start_pool(&pool);
	snprintf(moved, sizeof(moved), "MOVED 7 %s", addr(n1));
	get = ask("GET", key_of(n0, 0));
	expect(n0, "GET", key_of(n0, 0));
	say(n0, "-%s\r\n", moved);
	want_server_error(get, moved);
	get = ask("GET", key_of(n0, 0));
	expect(n0, "GET", key_of(n0, 0));
	say(n0, "-CLUSTERDOWN Hash slot not served\r\n");
	want_server_error(get, "CLUSTERDOWN Hash slot not served");
	get = ask("SET", key_of(n0, 0), "v");
	expect(n0, "SET", key_of(n0, 0), "v");
	say(n0, "-READONLY You can't write against a read only replica.\r\n");
	want_server_error(get, "READONLY You can't write against a read only replica.");
	check_count(heard(NULL, "CLUSTER"), 0);
	quiet(n1, 20);
}

/* ---- ejection ---- */

static shard_ring *ring_without(int gone)
{
	bool ejected[SERVERS] = {false};
	shard_ring *ring;

	ejected[gone] = true;
	assert_int_equal(shard_pool_ring(&pool, ejected, &ring), SHARD_OK);
	return ring;
}

static struct node *heir_of(const char *key, int gone)
{
	struct node *node[SERVERS] = {n0, n1, n2};
	shard_ring *ring = ring_without(gone);
	int index = shard_ring_route(ring, key, strlen(key));

	shard_ring_free(ring);
	return node[index];
}

static void keys_of_a_dead_server_move(void **state)
{
	const char *key;
	struct ask *get;
	struct node *heir;

	prepare();
	pool.auto_eject_hosts = true;
	node_down(n0);
	start_pool(&pool);
	key = key_of(n0, 0);
	heir = heir_of(key, 0);
	get = ask("GET", key);
	expect(heir, "GET", key);
	say(heir, "$1\r\nx\r\n");
	want_string(get, "x");
	assert_string_equal(get->node, addr(heir));
	assert_string_equal(shard_client_node_of(client, key, strlen(key)), addr(heir));
}

static void one_failure_is_not_enough(void **state)
{
	struct ask *get;

	prepare();
	pool.auto_eject_hosts = true;
	start_pool(&pool);
	/* A failure, an answer, a failure: never two in a row. */
	for (int i = 0; i < 3; i++) {
		get = ask("GET", key_of(n0, 0));
		expect(n0, "GET", key_of(n0, 0));
		hang_up(n0);
		expect(n0, "GET", key_of(n0, 0));
		say(n0, "$1\r\nx\r\n");
		want_string(get, "x");
	}
	assert_string_equal(shard_client_node_of(client, key_of(n0, 0), strlen(key_of(n0, 0))), addr(n0));
}

static void an_idle_connection_that_closes_is_no_failure(void **state)
{
	prepare();
	pool.auto_eject_hosts = true;
	pool.server_failure_limit = 1;
	start_pool(&pool);
	on(n0, "GET", "$1\r\nx\r\n");
	for (int i = 0; i < 3; i++) {
		want_string(ask("GET", key_of(n0, 0)), "x");
		hang_up_all(n0);
		settle();
	}
	assert_string_equal(shard_client_node_of(client, key_of(n0, 0), strlen(key_of(n0, 0))), addr(n0));
	check_count(connections_ever(n0), 3);
}

static void it_comes_back_when_it_answers_ping(void **state)
{
	const char *key;
	struct node *heir;
	uint64_t ejected;

	prepare();
	pool.auto_eject_hosts = true;
	pool.server_failure_limit = 1;
	node_down(n0);
	start_pool(&pool);
	key = key_of(n0, 0);
	heir = heir_of(key, 0);
	on(heir, "GET", "$1\r\nx\r\n");
	want_string(ask("GET", key), "x");
	ejected = now_ms();
	/* Still down at the first look; up, but loading at the second; then well. */
	run_for(RETRY_MS + 50);
	assert_string_equal(shard_client_node_of(client, key, strlen(key)), addr(heir));
	node_up(n0);
	expect(n0, "PING");
	say(n0, "-LOADING Redis is loading the dataset in memory\r\n");
	expect(n0, "PING");
	say(n0, "+PONG\r\n");
	until(!strcmp(shard_client_node_of(client, key, strlen(key)), addr(n0)));
	want_time(ejected, 2 * RETRY_MS - 20, 5 * RETRY_MS);
	on(n0, "GET", "$1\r\ny\r\n");
	want_string(ask("GET", key), "y");
}

static void a_ring_may_be_kept(void **state)
{
	const char *key;
	struct ask *get;

	prepare();
	pool.auto_eject_hosts = true;
	pool.eject_keeps_ring = true;
	start_pool(&pool);
	key = key_of(n0, 0);
	get = ask("SET", key, "v", "NX");
	expect(n0, "SET", key, "v", "NX");
	hang_up(n0);
	want_error(get, SHARD_EUNKNOWN);
	node_down(n0);
	want_error(ask("GET", key), SHARD_ECONNECT);
	/* It is ejected by now: nobody is even asked. */
	get = ask("GET", key);
	want_error(get, SHARD_ECONNECT);
	want_took(get, 0, 50);
	quiet(n1, 20);
	quiet(n2, 20);
	on(n0, "PING", "+PONG\r\n");
	on(n0, "GET", "$1\r\ny\r\n");
	node_up(n0);
	run_for(RETRY_MS + 100);
	want_string(ask("GET", key), "y");
}

static void all_may_be_gone(void **state)
{
	struct ask *get, *mget;

	prepare();
	pool.auto_eject_hosts = true;
	pool.server_failure_limit = 1;
	node_down(n0);
	node_down(n1);
	node_down(n2);
	start_pool(&pool);
	get = ask("GET", key_of(n0, 0));
	mget = ask("MGET", key_of(n0, 0), key_of(n1, 0), key_of(n2, 0));
	want_error(get, SHARD_ECONNECT);
	want_error(mget, SHARD_ECONNECT);
	check(strstr(get->message, "all servers of the pool are ejected"), "%s", said(get));
	check(!shard_client_node_of(client, "k", 1), "somebody has the key");
	want_error(ask("MGET", key_of(n0, 0), key_of(n1, 0)), SHARD_ECONNECT);
}

/* The keys of one part belong to two servers when theirs is gone. */
static void parts_are_parted(void **state)
{
	const char *x = NULL, *y = NULL;
	struct ask *mget;

	prepare();
	pool.auto_eject_hosts = true;
	pool.server_failure_limit = 1;
	node_down(n0);
	start_pool(&pool);
	for (int i = 0; !x || !y; i++) {
		const char *key = key_of(n0, i);

		if (heir_of(key, 0) == n1 && !x)
			x = strdup(key);
		else if (heir_of(key, 0) == n2 && !y)
			y = strdup(key);
	}
	mget = ask("MGET", x, y);
	expect(n1, "MGET", x);
	say(n1, "*1\r\n+1\r\n");
	expect(n2, "MGET", y);
	say(n2, "*1\r\n+2\r\n");
	want_array(mget, 2);
	assert_string_equal(mget->reply->element[0].str, "1");
	assert_string_equal(mget->reply->element[1].str, "2");
	free((char *)x);
	free((char *)y);
}

/* A server that is silent: its connection is closed when the first has waited long enough, and that is a failure. */
static void silence_ejects_too(void **state)
{
	const char *key, *later;
	struct ask *first, *second, *third;
	struct node *heir;

	prepare();
	pool.auto_eject_hosts = true;
	pool.server_failure_limit = 1;
	pool.timeout_ms = 400;
	options.pause_ms = 100;
	start_pool(&pool);
	key = key_of(n0, 0);
	later = key_of(n0, 1);
	heir = heir_of(later, 0);
	first = ask("GET", key);
	expect(n0, "GET", key);
	run_for(200);
	second = ask("GET", later);
	want_error(first, SHARD_ETIMEDOUT);
	expect(heir, "GET", later);
	say(heir, "$1\r\nx\r\n");
	want_string(second, "x");
	third = ask("GET", later);
	expect(heir, "GET", later);
	say(heir, "$1\r\ny\r\n");
	want_string(third, "y");
}

/* ---- listing ---- */

struct listing {
	shard_scan *scan;
	char keys[64]; /* with a space behind each */
	bool done;
};

static void batch(void *ctx, const shard_scan_batch *got)
{
	struct listing *listing = ctx;

	assert_int_equal(got->error, SHARD_OK);
	for (size_t i = 0; i < got->count; i++)
		snprintf(listing->keys + strlen(listing->keys), sizeof(listing->keys) - strlen(listing->keys), "%s ",
			 got->keys[i].str);
	listing->done = got->done;
	if (!got->done)
		assert_int_equal(shard_scan_next(listing->scan, batch, listing), SHARD_OK);
}

static void a_listing_has_what_would_be_found(void **state)
{
	struct listing listing = {0};
	char reply[256], wanted[64];

	prepare();
	start_pool(&pool);
	/* n0 holds a key of its own and one of n1's, which nobody would look for here. */
	snprintf(reply, sizeof(reply), "*2\r\n$1\r\n0\r\n*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(key_of(n0, 0)),
		 key_of(n0, 0), strlen(key_of(n1, 0)), key_of(n1, 0));
	on(n0, "SCAN", reply);
	on(n1, "SCAN", "*2\r\n$1\r\n0\r\n*0\r\n");
	on(n2, "SCAN", "*2\r\n$1\r\n0\r\n*0\r\n");
	listing.scan = shard_scan_create(client, NULL);
	assert_int_equal(shard_scan_next(listing.scan, batch, &listing), SHARD_OK);
	until(listing.done);
	shard_scan_destroy(listing.scan);
	snprintf(wanted, sizeof(wanted), "%s ", key_of(n0, 0));
	assert_string_equal(listing.keys, wanted);
	check_count(heard(NULL, "CLUSTER"), 0);
}

int main(int argc, char *argv[])
{
	const struct CMUnitTest pools[] = {
		scripted(keys_go_to_their_servers),
		scripted(commands_are_split_by_server),
		scripted(what_cannot_be_split_is_refused_or_kept_together),
		scripted(keyless_commands_go_to_all),
		scripted(two_names_at_one_address_are_one_server),
		scripted(auth_comes_before_select),
		scripted(all_are_dialled_at_once),
		scripted(commands_of_one_key_share_a_connection),
		scripted(the_pool_says_how_long),
		scripted(none_is_none),
		scripted(what_cannot_be_served_is_refused),
		scripted(the_file_may_be_named),
		scripted(a_file_that_is_not_there),
		scripted(a_server_that_refuses_is_told_at_once),
		scripted(a_restart_is_waited_for),
		scripted(redirects_are_the_callers),
		scripted(keys_of_a_dead_server_move),
		scripted(one_failure_is_not_enough),
		scripted(an_idle_connection_that_closes_is_no_failure),
		scripted(it_comes_back_when_it_answers_ping),
		scripted(a_ring_may_be_kept),
		scripted(all_may_be_gone),
		scripted(parts_are_parted),
		scripted(silence_ejects_too),
		scripted(a_listing_has_what_would_be_found),
	};

	return run(pools);
}
