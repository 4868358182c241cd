/* SPDX-License-Identifier: MIT */
/* nutcracker.yml: what is taken, what is refused and in which words; pools found in it, and their rings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include <shard/pool.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Lines 1 and 2; then two more. */
#define POOL "a:\n  listen: 127.0.0.1:1\n"
#define SERVERS "  servers:\n   - h:1:1\n"

static shard_pool_file *parse(const char *text)
{
	shard_pool_file *file;
	char *why;

	if (shard_pool_file_parse("f", text, strlen(text), &file, &why) != SHARD_OK)
		fail_msg("%s\n%s", text, why);
	assert_null(why);
	assert_string_equal(file->path, "f");
	return file;
}

static void assert_refused(const char *text, size_t len, const char *should_be)
{
	shard_pool_file *file;
	char *why;

	assert_int_equal(shard_pool_file_parse("f", text, len, &file, &why), SHARD_EPOOL);
	assert_null(file);
	if (strcmp(why, should_be) != 0)
		fail_msg("%s\nis refused with:\n%s\nand not:\n%s", text, why, should_be);
	free(why);
	assert_int_equal(shard_pool_file_parse("f", text, len, &file, NULL), SHARD_EPOOL);
}

/* ---- what is accepted ---- */

static void absent_directives_have_their_defaults(void **state)
{
	shard_pool_file *file = parse("\n" POOL SERVERS);
	const shard_pool *pool = file->pool;

	assert_int_equal(file->pool_count, 1);
	assert_string_equal(pool->name, "a");
	assert_int_equal(pool->line, 2);
	assert_string_equal(pool->listen, "127.0.0.1:1");
	assert_string_equal(pool->listen_host, "127.0.0.1");
	assert_int_equal(pool->listen_port, 1);
	assert_int_equal(pool->listen_mode, 0);
	assert_int_equal(pool->hash, SHARD_HASH_FNV1A_64);
	assert_memory_equal(pool->hash_tag, "\0", 2);
	assert_int_equal(pool->distribution, SHARD_KETAMA);
	assert_int_equal(pool->timeout_ms, 5000);
	assert_int_equal(pool->backlog, 512);
	assert_int_equal(pool->client_connections, 0);
	assert_false(pool->redis || pool->preconnect || pool->auto_eject_hosts || pool->tcpkeepalive);
	assert_false(pool->reuseport || pool->eject_keeps_ring);
	assert_null(pool->redis_auth);
	assert_int_equal(pool->redis_db, 0);
	assert_int_equal(pool->server_connections, 1);
	assert_int_equal(pool->server_retry_timeout, 30000);
	assert_int_equal(pool->server_failure_limit, 2);
	assert_int_equal(pool->server_count, 1);
	assert_int_equal(pool->server[0].line, 5);
	shard_pool_file_free(file);
	shard_pool_file_free(NULL);
}

static void every_directive_is_read(void **state)
{
	shard_pool_file *file = parse("a:\n"
				      "  listen: \"/tmp/a 0660\"\n"
				      "  hash: murmur\n"
				      "  hash_tag: \"{}\"\n"
				      "  distribution: modula\n"
				      "  timeout: 0\n"
				      "  backlog: 1024\n"
				      "  client_connections: 007\n"
				      "  redis: true\n"
				      "  redis_auth: 'pass word'\n"
				      "  redis_db: 3\n"
				      "  preconnect: true\n"
				      "  auto_eject_hosts: true\n"
				      "  tcpkeepalive: true\n"
				      "  reuseport: true\n"
				      "  eject_keeps_ring: true\n"
				      "  server_connections: 4\n"
				      "  server_retry_timeout: 2000\n"
				      "  server_failure_limit: 2147483647\n" SERVERS);
	const shard_pool *pool = file->pool;

	assert_string_equal(pool->listen, "/tmp/a");
	assert_string_equal(pool->listen_host, "/tmp/a");
	assert_int_equal(pool->listen_port, 0);
	assert_int_equal(pool->listen_mode, 0660);
	assert_int_equal(pool->hash, SHARD_HASH_MURMUR);
	assert_memory_equal(pool->hash_tag, "{}", 2);
	assert_int_equal(pool->distribution, SHARD_MODULA);
	assert_int_equal(pool->timeout_ms, 0);
	assert_int_equal(pool->backlog, 1024);
	assert_int_equal(pool->client_connections, 7);
	assert_true(pool->redis && pool->preconnect && pool->auto_eject_hosts && pool->tcpkeepalive);
	assert_true(pool->reuseport && pool->eject_keeps_ring);
	assert_string_equal(pool->redis_auth, "pass word");
	assert_int_equal(pool->redis_db, 3);
	assert_int_equal(pool->server_connections, 4);
	assert_int_equal(pool->server_retry_timeout, 2000);
	assert_int_equal(pool->server_failure_limit, 2147483647);
	shard_pool_file_free(file);
}

static void every_hash_and_distribution_has_its_name(void **state)
{
	char text[128];

	for (int hash = 0; hash < SHARD_HASH_COUNT; hash++) {
		snprintf(text, sizeof(text), POOL "  hash: %s\n" SERVERS, shard_hash_name(hash));
		shard_pool_file *file = parse(text);
		assert_int_equal(file->pool->hash, hash);
		shard_pool_file_free(file);
	}
	for (int i = 0; i < SHARD_DISTRIBUTION_COUNT; i++) {
		snprintf(text, sizeof(text), POOL "  distribution: %s\n" SERVERS, shard_distribution_name(i));
		shard_pool_file *file = parse(text);
		assert_int_equal(file->pool->distribution, i);
		shard_pool_file_free(file);
	}
}

static const struct {
	const char *line, *host, *name, *addr;
	uint16_t port;
	unsigned weight;
} servers[] = {
	{"127.0.0.1:6379:1", "127.0.0.1", "127.0.0.1:6379", "127.0.0.1:6379", 6379, 1},
	{"127.0.0.1:6379:1 alpha", "127.0.0.1", "alpha", "127.0.0.1:6379", 6379, 1},
	{"127.0.0.1:6379:1 a:b", "127.0.0.1", "a:b", "127.0.0.1:6379", 6379, 1},
	{"h:1:1 # a comment", "h", "h:1", "h:1", 1, 1},
	{"h:1:1 a#b", "h", "a#b", "h:1", 1, 1},
	{"'h:1:1'", "h", "h:1", "h:1", 1, 1},
	{"\"h:1:1\\x20n\"", "h", "n", "h:1", 1, 1},
	{"h:1:1\n     n", "h", "n", "h:1", 1, 1},
	{"|-\n     h:1:1", "h", "h:1", "h:1", 1, 1},
	{"h:11211:5", "h", "h", "h:11211", 11211, 5},
	{"h:011211:5", "h", "h", "h:11211", 11211, 5},
	{"h:11211:5 n", "h", "n", "h:11211", 11211, 5},
	{"h:06379:010", "h", "h:06379", "h:6379", 6379, 10},
	{"under_score-1.example.com:65535:2147483647", "under_score-1.example.com", "under_score-1.example.com:65535",
	 "under_score-1.example.com:65535", 65535, 2147483647},
	{"::1:6379:1", "::1", "::1:6379", "[::1]:6379", 6379, 1},
	{"2001:db8::7:6379:1 v6", "2001:db8::7", "v6", "[2001:db8::7]:6379", 6379, 1},
	{"fe80::1%eth0:6379:1", "fe80::1%eth0", "fe80::1%eth0:6379", "[fe80::1%eth0]:6379", 6379, 1},
	{"/tmp/redis.sock:1", "/tmp/redis.sock", "/tmp/redis.sock:", "/tmp/redis.sock", 0, 1},
	{"/tmp/redis.sock:7 n", "/tmp/redis.sock", "n", "/tmp/redis.sock", 0, 7},
	{"/tmp/a b:7 n", "/tmp/a b", "n", "/tmp/a b", 0, 7},
};

static void servers_are_read_from_the_right(void **state)
{
	char text[256];

	for (size_t i = 0; i < COUNT(servers); i++) {
		snprintf(text, sizeof(text), POOL "  servers:\n   - %s\n", servers[i].line);
		shard_pool_file *file = parse(text);
		const shard_pool_server *server = file->pool->server;
		assert_int_equal(file->pool->server_count, 1);
		assert_string_equal(server->host, servers[i].host);
		assert_string_equal(server->name, servers[i].name);
		assert_string_equal(server->addr, servers[i].addr);
		assert_int_equal(server->port, servers[i].port);
		assert_int_equal(server->weight, servers[i].weight);
		assert_int_equal(server->line, 4);
		shard_pool_file_free(file);
	}
}

static const struct {
	const char *value, *listen, *host;
	unsigned mode;
	uint16_t port;
} listens[] = {
	{"0.0.0.0:22121", "0.0.0.0:22121", "0.0.0.0", 0, 22121},
	{"localhost:022121", "localhost:022121", "localhost", 0, 22121},
	{"'*:1'", "*:1", "*", 0, 1},
	{"127.1:1", "127.1:1", "127.1", 0, 1},
	{"0x7f.1:1", "0x7f.1:1", "0x7f.1", 0, 1},
	{"::1:65535", "::1:65535", "::1", 0, 65535},
	{"not.yet.known:1", "not.yet.known:1", "not.yet.known", 0, 1},
	{"/tmp/a", "/tmp/a", "/tmp/a", 0, 0},
	{"/tmp/a 0777", "/tmp/a", "/tmp/a", 0777, 0},
	{"/tmp/a 600", "/tmp/a", "/tmp/a", 0600, 0},
	{"/tmp/a 0", "/tmp/a", "/tmp/a", 0, 0},
	{"/tmp/a b:5 7", "/tmp/a b:5", "/tmp/a b:5", 7, 0},
};

static void listen_is_a_host_and_a_port_or_a_path(void **state)
{
	char text[256];

	for (size_t i = 0; i < COUNT(listens); i++) {
		snprintf(text, sizeof(text), "a:\n  listen: %s\n" SERVERS, listens[i].value);
		shard_pool_file *file = parse(text);
		assert_string_equal(file->pool->listen, listens[i].listen);
		assert_string_equal(file->pool->listen_host, listens[i].host);
		assert_int_equal(file->pool->listen_port, listens[i].port);
		assert_int_equal(file->pool->listen_mode, listens[i].mode);
		shard_pool_file_free(file);
	}
}

static const char *const accepted[] = {
	/* Ways to write it. */
	"a: # c\r\n  listen: 127.0.0.1:1\r\n  servers:\r\n   - h:1:1\r\n",
	"a:\r  listen: 127.0.0.1:1\r  servers:\r  - h:1:1",
	"\xef\xbb\xbf" POOL SERVERS,
	"  a:\n    listen: 127.0.0.1:1\n    servers:\n    - h:1:1\n",
	"'a':\n  \"listen\" : 127.0.0.1:1\n  servers:\n  - h:1:1\n",
	"? a\n: ? listen\n  : 127.0.0.1:1\n  ? servers\n  : - h:1:1\n",
	"a:\n  servers:\n  - h:1:1\n  listen: 127.0.0.1:1\n",
	"a:\n  listen:\n    127.0.0.1:1\n" SERVERS,
	/* The one list of a pool may be any directive's: so it is with nutcracker. */
	"a:\n  listen:\n   - 127.0.0.1:1\n  servers: h:1:1\n  servers: h:2:1\n",
	POOL "  servers: h:2:1\n" SERVERS,
	/* Of different pools, and of servers with names, the same is allowed. */
	POOL SERVERS "b:\n  listen: 127.0.0.1:2\n" SERVERS,
	POOL "  servers:\n   - h:1:1 x\n   - h:1:1 y\n   - h:1:1\n   - h:01:1\n",
	POOL "  redis: true\n  redis_auth: redis_auth\n" SERVERS,
	POOL "  hash_tag: \xc3\xa9\n" SERVERS,
};

static void what_nutcracker_takes_is_taken(void **state)
{
	for (size_t i = 0; i < COUNT(accepted); i++)
		shard_pool_file_free(parse(accepted[i]));
}

/* ---- what is refused ---- */

#define DIRECTIVES                                                                                                     \
	"listen, hash, hash_tag, distribution, timeout, backlog, client_connections, redis, redis_auth, redis_user, "  \
	"redis_db, preconnect, auto_eject_hosts, tcpkeepalive, reuseport, eject_keeps_ring, cluster, strict, "         \
	"server_connections, server_retry_timeout, server_failure_limit, servers"
#define HASHES                                                                                                         \
	"one_at_a_time, md5, crc16, crc32, crc32a, fnv1_64, fnv1a_64, fnv1_32, fnv1a_32, hsieh, murmur, jenkins, xxh3"
#define DISTRIBUTIONS "ketama, modula, random, jump, rendezvous"
#define NO_SERVERS "has no servers; below \"servers:\" stands a list of them, \"- HOST:PORT:WEIGHT [NAME]\" each"
#define NO_LISTEN "directive \"listen:\" is missing; allowed: HOST:PORT, or /PATH or \"/PATH MODE\" of a unix socket"
#define SERVER_FORM "\"hostname:port:weight [name]\" format string"
#define NO_POOL "has no \"key:\" at depth 0: a file is pools, \"NAME:\" and below it, indented, their directives"
#define NO_DIRECTIVES                                                                                                  \
	"has invalid mapping \"key:\" at depth 1: below it, indented, stand its directives, \"key: value\" each"
#define ONE_LIST "and only one is allowed, that of the servers"

static const struct {
	const char *text, *why;
} refusals[] = {
	/* Directives. */
	{POOL "  nosuch: 1\n" SERVERS, "f:3: pool 'a': directive \"nosuch\" is unknown; allowed: " DIRECTIVES},
	{POOL "  Listen: h:1\n" SERVERS, "f:3: pool 'a': directive \"Listen\" is unknown; allowed: " DIRECTIVES},
	{POOL "  hash: md5\n  hash: md5\n" SERVERS,
	 "f:4: pool 'a': directive \"hash\" is a duplicate: it stands on line 3 already"},
	{POOL "  redis: true\n  redis_auth: p1\n  redis_auth: p2\n" SERVERS,
	 "f:5: pool 'a': directive \"redis_auth\" is a duplicate: it stands on line 4 already"},
	{POOL "  timeout: -1\n" SERVERS,
	 "f:3: pool 'a': directive \"timeout\" is not a number: '-1'; allowed: 0 to 2147483647 (ms; 0: none)"},
	{POOL "  backlog: 0x10\n" SERVERS,
	 "f:3: pool 'a': directive \"backlog\" is not a number: '0x10'; allowed: 0 to 2147483647"},
	{POOL "  client_connections: ~\n" SERVERS,
	 "f:3: pool 'a': directive \"client_connections\" is not a number: '~'; allowed: 0 to 2147483647 (0: no "
	 "limit)"},
	{POOL "  redis_db: 2147483648\n" SERVERS,
	 "f:3: pool 'a': directive \"redis_db\" is not a number: '2147483648'; allowed: 0 to 2147483647"},
	{POOL "  server_retry_timeout: 4294967296\n" SERVERS,
	 "f:3: pool 'a': directive \"server_retry_timeout\" is not a number: '4294967296'; allowed: 0 to 2147483647 "
	 "(ms)"},
	{POOL "  server_failure_limit: 1.5\n" SERVERS,
	 "f:3: pool 'a': directive \"server_failure_limit\" is not a number: '1.5'; allowed: 0 to 2147483647"},
	{POOL "  redis: yes\n" SERVERS,
	 "f:3: pool 'a': directive \"redis\" is not \"true\" or \"false\": 'yes'; allowed: true, false"},
	{POOL "  preconnect: True\n" SERVERS,
	 "f:3: pool 'a': directive \"preconnect\" is not \"true\" or \"false\": 'True'; allowed: true, false"},
	{POOL "  hash: MD5\n" SERVERS,
	 "f:3: pool 'a': directive \"hash\" is not a valid hash: 'MD5'; allowed: " HASHES},
	{POOL "  distribution: ketam\n" SERVERS,
	 "f:3: pool 'a': directive \"distribution\" is not a valid distribution: 'ketam'; allowed: " DISTRIBUTIONS},
	{POOL "  hash_tag: '{'\n" SERVERS,
	 "f:3: pool 'a': directive \"hash_tag\" is not a valid hash tag string with two characters: '{'; allowed: two "
	 "bytes, as \"{}\""},
	{POOL "  hash_tag: '{}}'\n" SERVERS,
	 "f:3: pool 'a': directive \"hash_tag\" is not a valid hash tag string with two characters: '{}}'; allowed: "
	 "two bytes, as \"{}\""},
	{POOL "  hash_tag: \"\\0\\0\"\n" SERVERS,
	 "f:3: pool 'a': directive \"hash_tag\" has an invalid value: it has a NUL byte in it"},
	{POOL "  hash:\n" SERVERS, "f:3: pool 'a': directive \"hash\" has an invalid value: it is empty"},
	{POOL "  redis: true\n  redis_auth: ''\n" SERVERS,
	 "f:4: pool 'a': directive \"redis_auth\" has an invalid value: it is empty"},
	{POOL "  server_connections: 0\n" SERVERS,
	 "f:3: pool 'a': directive \"server_connections:\" cannot be 0; allowed: 1 to 2147483647"},
	{POOL "  redis_auth: hunter2\n" SERVERS,
	 "f:3: pool 'a': directive \"redis_auth:\" is only valid for a redis pool: write \"redis: true\" too"},
	/* listen */
	{"a:\n" SERVERS, "f:1: pool 'a': " NO_LISTEN},
	{"a:\n  listen: h\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid \"hostname:port\" format string: 'h'; allowed: HOST:PORT, "
	 "or /PATH or \"/PATH MODE\" of a unix socket"},
	{"a:\n  listen: h:0\n" SERVERS, "f:2: pool 'a': directive \"listen\" has an invalid port in \"hostname:port\" "
					"format string: 'h:0'; allowed: 1 "
					"to 65535"},
	{"a:\n  listen: h:65536\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid port in \"hostname:port\" format string: 'h:65536'; "
	 "allowed: 1 to 65535"},
	{"a:\n  listen: 300.1.1.1:1\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid value: '300.1.1.1:1'; what is before the port is no host "
	 "name and no address"},
	{"a:\n  listen: :1\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid value: ':1'; there is no host before the port"},
	{"a:\n  listen: '[::1]:1'\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid value: '[::1]:1'; an IPv6 address stands without brackets "
	 "here"},
	{"a:\n  listen: /a 1000\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid file permission in \"socket_path permission\" format "
	 "string: '/a 1000'; allowed: octal, 0 to 0777"},
	{"a:\n  listen: /a 0888\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid file permission in \"socket_path permission\" format "
	 "string: '/a 0888'; allowed: octal, 0 to 0777"},
	{"a:\n  listen: '/a '\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid file permission in \"socket_path permission\" format "
	 "string: '/a '; there is a space and no mode behind it"},
	/* servers */
	{POOL, "f:1: pool 'a' " NO_SERVERS},
	{POOL "  servers:\n", "f:3: pool 'a': directive \"servers\" has an invalid value: it is empty"},
	{POOL "  servers: h:1:1\n",
	 "f:3: pool 'a': missing sequence directive: directive \"servers\" must be a list, \"- HOST:PORT:WEIGHT "
	 "[NAME]\" each"},
	{POOL SERVERS "   - h:1\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid \"hostname:port:weight [name]\" or "
	 "\"/path/unix_socket:weight [name]\" format string: 'h:1'; allowed: HOST:PORT:WEIGHT or /PATH:WEIGHT, then a "
	 "space and a name or nothing"},
	{POOL SERVERS "   - /a:b:1\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid \"hostname:port:weight [name]\" or "
	 "\"/path/unix_socket:weight [name]\" format string: '/a:b:1'; allowed: HOST:PORT:WEIGHT or /PATH:WEIGHT, then "
	 "a space and a name or nothing"},
	{POOL SERVERS "   - h:2:0\n",
	 "f:5: pool 'a': directive \"servers\" has a zero weight in " SERVER_FORM ": 'h:2:0'; allowed: 1 to "
	 "2147483647"},
	{POOL SERVERS "   - h:2:1 a b\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid weight in " SERVER_FORM ": 'h:2:1 a b'; allowed: 1 to "
	 "2147483647"},
	{POOL SERVERS "   - h:2:4294967297\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid weight in " SERVER_FORM
	 ": 'h:2:4294967297'; allowed: 1 to "
	 "2147483647"},
	{POOL SERVERS "   - h:0:1\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid port in " SERVER_FORM ": 'h:0:1'; allowed: 1 to 65535"},
	{POOL SERVERS "   - h:65536:1\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid port in " SERVER_FORM ": 'h:65536:1'; allowed: 1 to "
	 "65535"},
	{POOL SERVERS "   - '[::1]:1:1'\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid value: '[::1]:1:1'; an IPv6 address stands without "
	 "brackets here"},
	{POOL SERVERS "   - :1:1\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid value: ':1:1'; there is no host before the port"},
	{POOL SERVERS "   - 'h:1:1 '\n",
	 "f:5: pool 'a': directive \"servers\" has an invalid value: 'h:1:1 '; there is a space and no name behind it"},
	{POOL "  servers:\n   - h:1:1 n\n   - i:1:1 n\n",
	 "f:5: pool 'a' has servers with same name 'n'; the other is on line 4"},
	{POOL SERVERS "   - h:1:2\n", "f:5: pool 'a' has servers with same name 'h:1'; the other is on line 4"},
	{POOL SERVERS "   - h:2:2147483647\n",
	 "f:4: pool 'a': directive \"servers\" has an invalid value: the weights add up to 2147483648; allowed: up to "
	 "2147483647"},
	{POOL SERVERS "   - h: 2:1\n", "f:5: pool 'a': has a depth greater than 2: directive \"servers\" cannot hold "
				       "\"key: value\"; is there a space "
				       "behind a colon?"},
	{POOL SERVERS "   -\n", "f:5: pool 'a': directive \"servers\" has an invalid value: it is empty"},
	{POOL SERVERS "   - - h:2:1\n",
	 "f:5: pool 'a': has more than one sequence directive: directive \"servers\" has a list in its list"},
	{POOL SERVERS "  servers:\n   - h:2:1\n",
	 "f:6: pool 'a': has more than one sequence directive: there is a list on line 4, " ONE_LIST},
	{POOL "  hash:\n   - md5\n" SERVERS,
	 "f:6: pool 'a': has more than one sequence directive: there is a list on line 4, " ONE_LIST},
	/* Pools. */
	{POOL SERVERS "b:\n  listen: 127.0.0.1:1\n" SERVERS,
	 "f:6: pools 'a' and 'b' have the same listen address '127.0.0.1:1'; the first is on line 2"},
	{POOL SERVERS "b:\n  listen: 127.0.0.1:01\n" SERVERS,
	 "f:6: pools 'a' and 'b' have the same listen address '127.0.0.1:01'; the first is on line 2"},
	{"a:\n  listen: /s\n" SERVERS "b:\n  listen: /s 0777\n" SERVERS,
	 "f:6: pools 'a' and 'b' have the same listen address '/s'; the first is on line 2"},
	{POOL SERVERS "a:\n  listen: 127.0.0.1:2\n" SERVERS,
	 "f:5: has pools with same name 'a'; the other is on line 1"},
	{"a:\n", "f:1: pool 'a': " NO_DIRECTIVES},
	{"a:\n - b\n", "f:1: pool 'a': " NO_DIRECTIVES},
	{"'':\n  listen: h:1\n" SERVERS, "f:1: a pool has no name"},
	{"\"a\\0\":\n  listen: h:1\n" SERVERS, "f:1: pool 'a': its name has a NUL byte in it"},
	/* The file. */
	{"", "f:1: must contain only 1 document; found 0 documents: it is empty"},
	{"# nothing\n", "f:1: must contain only 1 document; found 0 documents: it is empty"},
	{"a\n", "f:1: " NO_POOL},
	{"- a\n", "f:1: " NO_POOL},
	{"? - a\n: b\n" POOL SERVERS, "f:1: has invalid \"key:value\" at depth 1: a pool's name is a word"},
	{POOL "  ? - a\n  : b\n" SERVERS, "f:3: pool 'a': has invalid \"key:value\" at depth 2: a key is a word"},
	{"---\n" POOL SERVERS, "f:1: document start token is disallowed: leave out the line \"---\""},
	{POOL SERVERS "...\n", "f:5: pool 'a': document end token is disallowed: leave out the line \"...\""},
	{POOL SERVERS "---\nb:\n  listen: h:2\n" SERVERS,
	 "f:5: must contain only 1 document; this is number 2\n"
	 "f:5: pool 'a': document start token is disallowed: leave out the line \"---\""},
	{"%YAML 1.1\n---\n" POOL SERVERS, "f:1: version directive token is disallowed: leave out the line \"%YAML\"\n"
					  "f:2: document start token is disallowed: leave out the line \"---\""},
	{POOL "  servers: [h:1:1]\n",
	 "f:3: pool 'a': flow sequence start token is disallowed: write a list as lines \"- ELEMENT\", or quote the "
	 "\"[\""},
	{POOL "  hash_tag: {}\n" SERVERS,
	 "f:3: pool 'a': has a depth greater than 2: directive \"hash_tag\" cannot hold \"key: value\"; is there a "
	 "space "
	 "behind a colon?\n"
	 "f:3: pool 'a': flow mapping start token is disallowed: write a line for each \"key: value\", or quote the "
	 "\"{\""},
	{POOL "  timeout: &t 4\n  backlog: *t\n" SERVERS,
	 "f:3: pool 'a': anchor token is disallowed: leave it out, or quote the \"&\"\n"
	 "f:4: pool 'a': alias token is disallowed: write out what it stands for, or quote the \"*\""},
	{POOL "  timeout: !!int 4\n" SERVERS,
	 "f:3: pool 'a': tag token is disallowed: leave it out, or quote the \"!\""},
	/* YAML itself, in libyaml's words. */
	{POOL "\thash: md5\n" SERVERS, "f:3: pool 'a': not YAML: found a tab character that violates indentation, at "
				       "column 1, while scanning a plain scalar from line 2"},
	{"# \xe9 b\n", "f:1: not YAML: invalid trailing UTF-8 octet, at byte 3"},
	{POOL "  hash: 'md5\n" SERVERS,
	 "f:6: pool 'a': not YAML: found unexpected end of stream, at column 1, while scanning a quoted scalar from "
	 "line 3"},
	/* What comes before it is told all the same, what may come after it is not missed. */
	{POOL "  hash: nix\n  hash: 'md5\n",
	 "f:3: pool 'a': directive \"hash\" is not a valid hash: 'nix'; allowed: " HASHES
	 "\nf:5: pool 'a': not YAML: found unexpected end of stream, at column 1, while scanning a quoted scalar from "
	 "line 4"},
	/* Several at once, in the order of lines. */
	{"a:\n  redis: 1\n  redis_auth: hunter2\n  hash: x\n  servers:\n   - h:y:z\n   - h:1:1\n   - h:1:1\nb: 5\na:\n",
	 "f:1: pool 'a': " NO_LISTEN "\n"
	 "f:2: pool 'a': directive \"redis\" is not \"true\" or \"false\": '1'; allowed: true, false\n"
	 "f:4: pool 'a': directive \"hash\" is not a valid hash: 'x'; allowed: " HASHES "\n"
	 "f:6: pool 'a': directive \"servers\" has an invalid weight in " SERVER_FORM
	 ": 'h:y:z'; allowed: 1 to 2147483647\n"
	 "f:6: pool 'a': directive \"servers\" has an invalid port in " SERVER_FORM ": 'h:y:z'; allowed: 1 to 65535\n"
	 "f:8: pool 'a' has servers with same name 'h:1'; the other is on line 7\n"
	 "f:9: pool 'b': " NO_DIRECTIVES "\n"
	 "f:10: pool 'a': " NO_DIRECTIVES "\n"
	 "f:10: has pools with same name 'a'; the other is on line 1"},
	/* Passwords are not shown wherever they run to. */
	{POOL "  redis_auth:hunter2: true\n" SERVERS,
	 "f:3: pool 'a': directive \"redis_auth...\" is unknown; allowed: " DIRECTIVES},
	{"a:\n  listen: h:1\n    redis_auth:hunter2\n" SERVERS,
	 "f:2: pool 'a': directive \"listen\" has an invalid port in \"hostname:port\" format string: 'h:1 "
	 "redis_auth...'; allowed: 1 to 65535"},
	/* What would move a terminal's cursor, and what is too long, is not shown as it is. */
	{POOL "  hash: \"\\e[31m\\u009b\\n\\t\\\\\"\n" SERVERS,
	 "f:3: pool 'a': directive \"hash\" is not a valid hash: '\\x1b[31m\\xc2\\x9b\\n\\t\\'; allowed: " HASHES},
	{POOL "  timeout: "
	      "0123456789012345678901234567890123456789012345678901234567890123456789012345678\xe2\x82\xac.\n" SERVERS,
	 "f:3: pool 'a': directive \"timeout\" is not a number: "
	 "'0123456789012345678901234567890123456789012345678901234567890123456789012345678...'; allowed: 0 to "
	 "2147483647 (ms; 0: none)"},
};

static void every_mistake_is_told_with_its_line(void **state)
{
	for (size_t i = 0; i < COUNT(refusals); i++)
		assert_refused(refusals[i].text, strlen(refusals[i].text), refusals[i].why);
}

static void a_nul_byte_is_no_yaml(void **state)
{
	static const char text[] = POOL SERVERS "\n";

	assert_refused(text, sizeof(text), "f:6: not YAML: control characters are not allowed, at byte 48");
}

/* A line of POOL with COUNT times C in it. */
static char *stretched(const char *before, char c, size_t count, const char *after)
{
	char *text;

	assert_true(asprintf(&text, "%s%*s%s", before, (int)count, "", after) > 0);
	memset(text + strlen(before), c, count);
	return text;
}

static bool is_accepted(char *text)
{
	shard_pool_file *file;
	int error = shard_pool_file_parse("f", text, strlen(text), &file, NULL);

	shard_pool_file_free(file);
	free(text);
	return !error;
}

static void lengths_have_their_limits(void **state)
{
	/* What of a name and "-39" is behind the 272nd byte is not what nutcracker hashes. */
	assert_true(is_accepted(stretched(POOL "  servers:\n   - h:1:1 ", 'n', 269, "\n")));
	assert_false(is_accepted(stretched(POOL "  servers:\n   - h:1:1 ", 'n', 270, "\n")));
	assert_true(is_accepted(stretched(POOL "  distribution: modula\n  servers:\n   - h:1:1 ", 'n', 900, "\n")));
	assert_true(is_accepted(stretched(POOL "  servers:\n   - /", 'p', 106, ":1\n")));
	assert_false(is_accepted(stretched(POOL "  servers:\n   - /", 'p', 107, ":1\n")));
	assert_true(is_accepted(stretched("a:\n  listen: /", 'p', 106, " 0777\n" SERVERS)));
	assert_false(is_accepted(stretched("a:\n  listen: /", 'p', 107, " 0777\n" SERVERS)));
	assert_true(is_accepted(stretched(POOL "  servers:\n   - ", 'h', 255, ":1:1\n")));
	assert_false(is_accepted(stretched(POOL "  servers:\n   - ", 'h', 256, ":1:1\n")));
}

static void what_nests_deep_is_left_in_time(void **state)
{
	char *text = stretched("a: ", '[', 1 << 20, ""), *why;
	shard_pool_file *file;

	assert_int_equal(shard_pool_file_parse("f", text, strlen(text), &file, &why), SHARD_EPOOL);
	assert_non_null(strstr(why, "has a depth greater than 2: it is 17, and what follows has not been looked at"));
	free(text);
	free(why);
}

static void a_file_of_nothing_but_mistakes_is_told_in_bounds(void **state)
{
	char *text = stretched(POOL "  servers:\n", 'x', 1200 * 5, ""), *why, *last;
	shard_pool_file *file;

	for (char *at = text + strlen(text) - 1200 * 5; *at; at += 5)
		memcpy(at, "   -\n", 5);
	assert_int_equal(shard_pool_file_parse("a\nb", text, strlen(text), &file, &why), SHARD_EPOOL);
	last = strrchr(why, '\n');
	assert_string_equal(last, "\na\\nb: there are more mistakes, which are not shown");
	assert_memory_equal(why, "a\\nb:4: pool", 12);
	free(text);
	free(why);
}

/* ---- files ---- */

struct place {
	char dir[64], path[80];
};

static int make_place(void **state)
{
	struct place *place = calloc(1, sizeof(*place));

	*state = place;
	snprintf(place->dir, sizeof(place->dir), "/tmp/shard-pool.XXXXXX");
	if (!mkdtemp(place->dir))
		return -1;
	snprintf(place->path, sizeof(place->path), "%s/f", place->dir);
	return 0;
}

static int remove_place(void **state)
{
	struct place *place = *state;

	unlink(place->path);
	rmdir(place->dir);
	free(place);
	return 0;
}

static void write_file(const char *path, const char *text, off_t size)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	assert_int_equal(fputs(text, out) >= 0, 1);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(truncate(path, size ? size : (off_t)strlen(text)), 0);
}

static void a_whole_file_is_read(void **state)
{
	struct place *place = *state;
	shard_pool_file *file;
	char *why;

	write_file(place->path, POOL SERVERS, 0);
	assert_int_equal(shard_pool_file_load(place->path, &file, &why), SHARD_OK);
	assert_null(why);
	assert_string_equal(file->path, place->path);
	assert_string_equal(file->pool->name, "a");
	shard_pool_file_free(file);
	write_file(place->path, "a:\n" SERVERS, 0);
	assert_int_equal(shard_pool_file_load(place->path, &file, NULL), SHARD_EPOOL);
	assert_null(file);
}

static void assert_unread(const char *path, const char *what)
{
	shard_pool_file *file;
	char *why, *should_be;

	assert_true(asprintf(&should_be, "%s: %s", path, what) > 0);
	assert_int_equal(shard_pool_file_load(path, &file, &why), SHARD_EPOOL);
	assert_null(file);
	assert_string_equal(why, should_be);
	assert_int_equal(shard_pool_file_load(path, &file, NULL), SHARD_EPOOL);
	free(should_be);
	free(why);
}

static void what_is_no_file_is_not_waited_for(void **state)
{
	struct place *place = *state;

	assert_unread(place->path, "cannot be read: No such file or directory");
	assert_unread(place->dir, "is a directory, not a file");
	assert_unread("/dev/null", "is no regular file (a pipe, a socket or a device)");
	assert_int_equal(mkfifo(place->path, 0600), 0);
	assert_unread(place->path, "is no regular file (a pipe, a socket or a device)");
}

static void a_file_has_at_most_16_mib(void **state)
{
	struct place *place = *state;

	write_file(place->path, POOL SERVERS, (16 << 20) + 1);
	assert_unread(place->path, "is larger than 16 MiB");
}

/* ---- finding ---- */

static void assert_not_found(const shard_pool_file *file, const char *name, const char *should_be)
{
	char *why;

	assert_null(shard_pool_find(file, name, &why));
	assert_string_equal(why, should_be);
	assert_null(shard_pool_find(file, name, NULL));
	free(why);
}

static void a_pool_is_found_by_its_name(void **state)
{
	shard_pool_file *one = parse(POOL SERVERS);
	shard_pool_file *two = parse(POOL SERVERS "b c:\n  listen: 127.0.0.1:2\n" SERVERS);
	char *why;

	assert_ptr_equal(shard_pool_find(one, NULL, &why), &one->pool[0]);
	assert_null(why);
	assert_ptr_equal(shard_pool_find(two, "b c", &why), &two->pool[1]);
	assert_null(why);
	assert_ptr_equal(shard_pool_find(two, "a", NULL), &two->pool[0]);
	assert_not_found(one, "A", "f: has no pool 'A'; it has a");
	assert_not_found(two, "\n", "f: has no pool '\\n'; it has a, b c");
	assert_not_found(two, NULL, "f: has several pools, name one of them: a, b c");
	shard_pool_file_free(one);
	shard_pool_file_free(two);
}

/* ---- rings ---- */

#define FOUR "  servers:\n   - h:1:1 server1\n   - h:2:1 server2\n   - h:3:1 server3\n   - h:4:1 server4\n"

static shard_ring *ring_of(const shard_pool *pool, const bool *ejected)
{
	shard_ring *ring;

	assert_int_equal(shard_pool_ring(pool, ejected, &ring), SHARD_OK);
	return ring;
}

static void assert_route(const shard_ring *ring, const char *key, int server)
{
	assert_int_equal(shard_ring_route(ring, key, strlen(key)), server);
}

static void the_default_ring_is_that_of_nutcracker(void **state)
{
	shard_pool_file *file = parse(POOL FOUR);
	shard_ring *ring = ring_of(file->pool, NULL);
	int server;

	assert_int_equal(shard_ring_point_count(ring), 640);
	assert_int_equal(shard_ring_point(ring, 0, &server), 9796559);
	assert_int_equal(server, 2);
	assert_int_equal(shard_ring_point(ring, 639, &server), 4290847573);
	assert_int_equal(server, 3);
	assert_route(ring, "apple", 0);
	assert_route(ring, "foo", 0);
	assert_route(ring, "user:1000", 0);
	assert_route(ring, "h\xc3\xa9llo", 2);
	assert_route(ring, "\xff\xfe", 2);
	shard_ring_free(ring);
	shard_pool_file_free(file);
}

static void a_ring_has_the_pools_hash_and_tag(void **state)
{
	shard_pool_file *file = parse(POOL "  hash: md5\n  hash_tag: '$$'\n" FOUR);
	shard_ring *ring = ring_of(file->pool, NULL);

	assert_route(ring, "apple", 0);
	assert_route(ring, "foo", 1);
	assert_route(ring, "user:1000", 1);
	assert_route(ring, "x$apple$", 0);
	shard_ring_free(ring);
	shard_pool_file_free(file);
}

static void a_ring_has_the_servers_weights(void **state)
{
	shard_pool_file *file =
		parse(POOL "  servers:\n   - 10.0.0.1:6379:1\n   - 10.0.0.2:6379:2\n   - 10.0.0.10:6379:7\n");
	shard_ring *ring = ring_of(file->pool, NULL);
	int points[3] = {0}, server;

	for (size_t i = 0; i < shard_ring_point_count(ring); i++) {
		shard_ring_point(ring, i, &server);
		points[server]++;
	}
	assert_int_equal(points[0], 48);
	assert_int_equal(points[1], 96);
	assert_int_equal(points[2], 336);
	assert_route(ring, "apple", 2);
	assert_route(ring, "foo", 2);
	assert_route(ring, "user:1000", 0);
	shard_ring_free(ring);
	shard_pool_file_free(file);
}

static void a_ring_is_made_of_who_is_not_ejected(void **state)
{
	shard_pool_file *file = parse(POOL "  distribution: modula\n" FOUR);
	bool ejected[4] = {true, true, false, true};
	shard_ring *ring = ring_of(file->pool, ejected);

	assert_route(ring, "apple", 2);
	assert_route(ring, "foo", 2);
	shard_ring_free(ring);
	ejected[2] = true;
	ring = ring_of(file->pool, ejected);
	assert_route(ring, "apple", -1);
	shard_ring_free(ring);
	shard_pool_file_free(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(absent_directives_have_their_defaults),
		cmocka_unit_test(every_directive_is_read),
		cmocka_unit_test(every_hash_and_distribution_has_its_name),
		cmocka_unit_test(servers_are_read_from_the_right),
		cmocka_unit_test(listen_is_a_host_and_a_port_or_a_path),
		cmocka_unit_test(what_nutcracker_takes_is_taken),
		cmocka_unit_test(every_mistake_is_told_with_its_line),
		cmocka_unit_test(a_nul_byte_is_no_yaml),
		cmocka_unit_test(lengths_have_their_limits),
		cmocka_unit_test(what_nests_deep_is_left_in_time),
		cmocka_unit_test(a_file_of_nothing_but_mistakes_is_told_in_bounds),
		cmocka_unit_test_setup_teardown(a_whole_file_is_read, make_place, remove_place),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_not_waited_for, make_place, remove_place),
		cmocka_unit_test_setup_teardown(a_file_has_at_most_16_mib, make_place, remove_place),
		cmocka_unit_test(a_pool_is_found_by_its_name),
		cmocka_unit_test(the_default_ring_is_that_of_nutcracker),
		cmocka_unit_test(a_ring_has_the_pools_hash_and_tag),
		cmocka_unit_test(a_ring_has_the_servers_weights),
		cmocka_unit_test(a_ring_is_made_of_who_is_not_ejected),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
