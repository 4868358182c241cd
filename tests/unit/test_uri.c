/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <shard/uri.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static shard_uri *parse(const char *text)
{
	shard_uri *uri;
	char *why;
	if (shard_uri_parse(text, &uri, &why) != SHARD_OK)
		fail_msg("%s: %s", text, why);
	assert_null(why);
	return uri;
}

static void assert_text(const char *is, const char *should_be)
{
	if (!should_be)
		assert_null(is);
	else
		assert_string_equal(is, should_be);
}

/* ---- what is accepted ---- */

static const struct {
	const char *text, *user, *password, *host, *public;
	uint16_t port;
	int db;
	shard_scheme scheme;
} single[] = {
	{"redis://h", NULL, NULL, "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://h/", NULL, NULL, "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://h/0", NULL, NULL, "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://h:7000/3", NULL, NULL, "h", "redis://h:7000/3", 7000, 3, SHARD_SCHEME_REDIS},
	{"REDIS://h:1", NULL, NULL, "h", "redis://h:1", 1, 0, SHARD_SCHEME_REDIS},
	{"rediss://h:65535", NULL, NULL, "h", "rediss://h:65535", 65535, 0, SHARD_SCHEME_REDISS},
	{"redis://:secret@h", NULL, "secret", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://me:secret@h", "me", "secret", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://me:@h", "me", "", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://:@h", NULL, NULL, "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://a%40b:%3A%2f%3F%25@h", "a@b", ":/?%", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://u:a:b@c@h", "u", "a:b@c", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://:p#,@h", NULL, "p#,", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://:%ff%01@h", NULL, "\xff\x01", "h", "redis://h:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://[::1]", NULL, NULL, "::1", "redis://[::1]:6379", 6379, 0, SHARD_SCHEME_REDIS},
	{"redis://u:p@[fe80::1%eth0]:7000/1", "u", "p", "fe80::1%eth0", "redis://[fe80::1%eth0]:7000/1", 7000, 1,
	 SHARD_SCHEME_REDIS},
	{"unix:///run/redis.sock", NULL, NULL, "/run/redis.sock", "unix:///run/redis.sock", 0, 0, SHARD_SCHEME_UNIX},
	{"unix:///a%20b@c", NULL, NULL, "/a b@c", "unix:///a%20b%40c", 0, 0, SHARD_SCHEME_UNIX},
};

static void parts_of_a_uri_are_told_apart(void **state)
{
	for (size_t i = 0; i < COUNT(single); i++) {
		shard_uri *uri = parse(single[i].text);
		assert_int_equal(uri->scheme, single[i].scheme);
		assert_text(uri->user, single[i].user);
		assert_text(uri->password, single[i].password);
		assert_int_equal(uri->seed_count, 1);
		assert_string_equal(uri->seed[0].host, single[i].host);
		assert_int_equal(uri->seed[0].port, single[i].port);
		assert_int_equal(uri->db, single[i].db);
		assert_null(uri->file);
		assert_null(uri->pool);
		shard_uri_free(uri);
	}
}

static void the_public_form_has_no_secret_and_is_a_uri(void **state)
{
	for (size_t i = 0; i < COUNT(single); i++) {
		shard_uri *uri = parse(single[i].text);
		char *public = shard_uri_public(uri);
		assert_string_equal(public, single[i].public);
		shard_uri *again = parse(public);
		char *twice = shard_uri_public(again);
		assert_string_equal(public, twice);
		free(public);
		free(twice);
		shard_uri_free(again);
		shard_uri_free(uri);
	}
}

static void several_hosts_are_seeds(void **state)
{
	shard_uri *uri = parse("redis://:p@a,b:7000,[::1]:7001,10.0.0.1/0");
	static const struct {
		const char *host;
		uint16_t port;
	} seeds[] = {{"a", 6379}, {"b", 7000}, {"::1", 7001}, {"10.0.0.1", 6379}};
	assert_int_equal(uri->seed_count, COUNT(seeds));
	for (size_t i = 0; i < COUNT(seeds); i++) {
		assert_string_equal(uri->seed[i].host, seeds[i].host);
		assert_int_equal(uri->seed[i].port, seeds[i].port);
	}
	char *public = shard_uri_public(uri);
	assert_string_equal(public, "redis://a:6379,b:7000,[::1]:7001,10.0.0.1:6379");
	free(public);
	shard_uri_free(uri);
}

static void a_pool_is_named_after_the_last_hash(void **state)
{
	static const struct {
		const char *text, *file, *pool, *public;
	} pools[] = {
		{"twemproxy:nutcracker.yml", "nutcracker.yml", NULL, "twemproxy:nutcracker.yml"},
		{"twemproxy:/etc/n.yml#alpha", "/etc/n.yml", "alpha", "twemproxy:/etc/n.yml#alpha"},
		{"twemproxy:a#b.yml#p", "a#b.yml", "p", "twemproxy:a%23b.yml#p"},
		{"twemproxy:a%23b%3f#", "a#b?", NULL, "twemproxy:a%23b%3F"},
		{"twemproxy:f#p%20q", "f", "p q", "twemproxy:f#p%20q"},
	};
	for (size_t i = 0; i < COUNT(pools); i++) {
		shard_uri *uri = parse(pools[i].text);
		assert_int_equal(uri->scheme, SHARD_SCHEME_TWEMPROXY);
		assert_text(uri->file, pools[i].file);
		assert_text(uri->pool, pools[i].pool);
		assert_int_equal(uri->seed_count, 0);
		char *public = shard_uri_public(uri);
		assert_string_equal(public, pools[i].public);
		free(public);
		shard_uri_free(uri);
	}
}

/* ---- what is refused ---- */

static const char *const bad[] = {
	"",
	"h",
	"h:6379",
	"redis:",
	"redis:/h",
	"redis:h",
	"http://h",
	"redisx://h",
	"unix",
	"://",
	"redis://",
	"redis:///",
	"redis:///3",
	"redis://:7000",
	"redis://h:",
	"redis://h:0",
	"redis://h:65536",
	"redis://h:x",
	"redis://h:-1",
	"redis://h:+1",
	"redis://h: 1",
	"redis://h:99999999999999999999",
	"redis://,",
	"redis://h,",
	"redis://,h",
	"redis://h,,g",
	"redis://h,g:x",
	"redis://h h",
	"redis://h\x01",
	"redis://h%41",
	"redis://h\xc3\xbc",
	"redis://::1",
	"redis://::1:7000",
	"redis://[::1",
	"redis://::1]",
	"redis://[]",
	"redis://[h]",
	"redis://[1.2.3.4]",
	"redis://[::1]x",
	"redis://[::1]:",
	"redis://[::1]7000",
	"redis://[::1]:x",
	"redis://[fe80::1%]",
	"redis://h/x",
	"redis://h/-1",
	"redis://h/1/",
	"redis://h/0/1",
	"redis://h/ 1",
	"redis://h/2147483648",
	"redis://a,b/1",
	"redis://h?x=1",
	"redis://h/0?x",
	"redis://:a?b@h",
	"unix:///a?b",
	"twemproxy:a?b",
	"redis://secret@h",
	"redis://@h",
	"redis://:%@h",
	"redis://:%4@h",
	"redis://:%zz@h",
	"redis://:%00@h",
	"redis://%:p@h",
	"redis://u:p@",
	"redis://u:p@/0",
	"unix://",
	"unix:/a",
	"unix://a",
	"unix://h/a",
	"unix:///a%0",
	"unix:///a%00b",
	"twemproxy:",
	"twemproxy:#p",
	"twemproxy:%",
	"twemproxy:a#%",
};

static void malformed_uris_are_refused_with_a_reason(void **state)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		shard_uri *uri = NULL;
		char *why = NULL;
		if (shard_uri_parse(bad[i], &uri, &why) != SHARD_EURI)
			fail_msg("taken: %s", bad[i]);
		assert_null(uri);
		assert_non_null(why);
		free(why);
		assert_int_equal(shard_uri_parse(bad[i], &uri, NULL), SHARD_EURI);
	}
}

static void a_reason_names_the_part(void **state)
{
	static const char *const reasons[][2] = {
		{"http://h", "scheme"},           {"redis://a,b:x", "host 2"}, {"redis://a,,b", "host 2 is empty"},
		{"redis://::1:7000", "brackets"}, {"redis://h/x", "database"}, {"redis://:%zz@h", "the password"},
		{"redis://%zz:p@h", "the user"},  {"redis://h?a", "reserved"}, {"unix://a", "unix:///PATH"},
	};
	for (size_t i = 0; i < COUNT(reasons); i++) {
		shard_uri *uri;
		char *why;
		assert_int_equal(shard_uri_parse(reasons[i][0], &uri, &why), SHARD_EURI);
		if (!strstr(why, reasons[i][1]))
			fail_msg("%s: %s", reasons[i][0], why);
		free(why);
	}
}

static void a_reason_holds_no_secret(void **state)
{
	static const char *const secrets[] = {
		"redis://:hunter2@h:x", "redis://:hunter2@h/x",   "redis://:hunter2/x@h", "redis://hunter2@h",
		"redis://u:hunter2",    "redis://:hunter2@",      "hunter2://h",          "redis://:hunter2%zz@h",
		"redis://:hun?hunter2", "redis://hunter2%zz:p@h", "unix://u:hunter2@h",   "redis://u:x/hunter2@h",
	};
	for (size_t i = 0; i < COUNT(secrets); i++) {
		shard_uri *uri;
		char *why;
		assert_int_equal(shard_uri_parse(secrets[i], &uri, &why), SHARD_EURI);
		if (strstr(why, "hunter2"))
			fail_msg("%s: %s", secrets[i], why);
		free(why);
	}
}

static void a_long_path_of_a_socket_is_refused(void **state)
{
	char text[200] = "unix:///";
	memset(text + 8, 'a', 106);
	shard_uri *uri = parse(text);
	assert_int_equal(strlen(uri->seed[0].host), 107);
	shard_uri_free(uri);
	text[8 + 106] = 'a';
	assert_int_equal(shard_uri_parse(text, &uri, NULL), SHARD_EURI);
}

/* ---- addresses ---- */

static const struct {
	const char *text;
	uint16_t default_port;
	const char *host; /* NULL: refused */
	uint16_t port;
} addresses[] = {
	{"h:7000", 0, "h", 7000},
	{"127.0.0.1:1", 0, "127.0.0.1", 1},
	{":7000", 0, "", 7000},
	{"::1:7000", 0, "::1", 7000},
	{"[::1]:7000", 0, "::1", 7000},
	{"2001:db8::1:7000", 6379, "2001:db8::1", 7000},
	{"fe80::1%eth0:7000", 0, "fe80::1%eth0", 7000},
	{"::ffff:10.0.0.1:7000", 0, "::ffff:10.0.0.1", 7000},
	{"h", 6379, "h", 6379},
	{"[::1]", 6379, "::1", 6379},
	{"::1", 6379, "::1", 6379},
	{"2001:db8::", 6379, "2001:db8::", 6379},
	{"h:07000", 0, "h", 7000},
	{"h", 0, NULL, 0},
	{"[::1]", 0, NULL, 0},
	{"::1", 0, NULL, 0},
	{"", 6379, NULL, 0},
	{":", 6379, NULL, 0},
	{"h:", 6379, NULL, 0},
	{"h:0", 6379, NULL, 0},
	{"h:65536", 6379, NULL, 0},
	{"h:x", 6379, NULL, 0},
	{"h:1x", 6379, NULL, 0},
	{"h:-1", 6379, NULL, 0},
	{"h: 1", 6379, NULL, 0},
	{"a:b:7000", 6379, NULL, 0},
	{"[h]:7000", 6379, NULL, 0},
	{"[]:7000", 6379, NULL, 0},
	{"[::1]7000", 6379, NULL, 0},
	{"[::1]:", 6379, NULL, 0},
	{"[::1", 6379, NULL, 0},
	{"[", 6379, NULL, 0},
	{"[]", 6379, NULL, 0},
	{"a b:1", 6379, NULL, 0},
	{"/a:1", 6379, NULL, 0},
};

static void addresses_are_split_at_the_last_colon(void **state)
{
	for (size_t i = 0; i < COUNT(addresses); i++) {
		char host[64] = "";
		uint16_t port = 0;
		size_t len = strlen(addresses[i].text);
		char *exact = malloc(len + 1);
		memcpy(exact, addresses[i].text, len);
		bool ok = shard_split_addr(exact, len, addresses[i].default_port, host, sizeof(host), &port);
		free(exact);
		if (ok != !!addresses[i].host)
			fail_msg("%s: %s", addresses[i].text, ok ? "taken" : "refused");
		if (!ok)
			continue;
		assert_string_equal(host, addresses[i].host);
		assert_int_equal(port, addresses[i].port);
	}
}

static void an_address_is_its_bytes_and_no_more(void **state)
{
	char host[4];
	uint16_t port;
	assert_true(shard_split_addr("abc:7000garbage", 8, 0, host, sizeof(host), &port));
	assert_int_equal(port, 7000);
	assert_false(shard_split_addr("abcd:7000", 9, 0, host, sizeof(host), &port));
	assert_false(shard_split_addr("a\0b:7000", 8, 0, host, sizeof(host), &port));
	assert_false(shard_split_addr(NULL, 0, 1, host, sizeof(host), &port));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_a_uri_are_told_apart),
		cmocka_unit_test(the_public_form_has_no_secret_and_is_a_uri),
		cmocka_unit_test(several_hosts_are_seeds),
		cmocka_unit_test(a_pool_is_named_after_the_last_hash),
		cmocka_unit_test(malformed_uris_are_refused_with_a_reason),
		cmocka_unit_test(a_reason_names_the_part),
		cmocka_unit_test(a_reason_holds_no_secret),
		cmocka_unit_test(a_long_path_of_a_socket_is_refused),
		cmocka_unit_test(addresses_are_split_at_the_last_colon),
		cmocka_unit_test(an_address_is_its_bytes_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
