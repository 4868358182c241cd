/* SPDX-License-Identifier: MIT */
#include "know/pool.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"

struct setting {
	struct pool_reader *reader;
	struct pool_draft *draft;
	int directive;
	struct shard__text value;
	unsigned line;
};

static const struct directive {
	const char *name;
	bool (*set)(struct setting *s); /* returns whether the value is right, else it has told what is wrong */
	size_t offset;                  /* in shard_pool */
	const char *allowed;
} directives[POOL_DIRECTIVES];

static void *field(const struct setting *s)
{
	return (char *)&s->draft->pool + directives[s->directive].offset;
}

/* IS is what the value is not. */
static bool refuse(struct setting *s, const char *is, const char *allowed)
{
	pool_mistake(s->reader, s->draft, s->line, "directive \"%s\" %s: '%s'; allowed: %s",
		     directives[s->directive].name, is, pool_quote(s->value).text, allowed);
	return false;
}

/* ---- kinds of values ---- */

/*
 * nutcracker adds up digits in an int, however many there are: it takes 4294967297 for 1. Nobody means that.
 * A field is an int or unsigned: what fits both is allowed.
 */
static bool set_number(struct setting *s)
{
	uint64_t number;

	if (!shard__number(s->value, INT_MAX, &number))
		return refuse(s, "is not a number", directives[s->directive].allowed);
	*(unsigned *)field(s) = (unsigned)number;
	return true;
}

static bool set_bool(struct setting *s)
{
	bool yes = shard__text_is(s->value, "true");

	if (!yes && !shard__text_is(s->value, "false"))
		return refuse(s, "is not \"true\" or \"false\"", "true, false");
	*(bool *)field(s) = yes;
	return true;
}

/* The words of the N names that NAME_OF knows. */
static bool set_word(struct setting *s, const char *(*name_of)(int), int n, const char *is)
{
	struct strbuf allowed = {0};
	char *text;

	for (int i = 0; i < n; i++) {
		if (shard__text_is(s->value, name_of(i))) {
			*(int *)field(s) = i;
			return true;
		}
	}
	for (int i = 0; i < n; i++) {
		strbuf_string(&allowed, i ? ", " : "");
		strbuf_string(&allowed, name_of(i));
	}
	text = strbuf_take(&allowed);
	if (text)
		refuse(s, is, text);
	else
		s->reader->no_memory = true;
	free(text);
	return false;
}

static bool set_hash(struct setting *s)
{
	return set_word(s, shard_hash_name, SHARD_HASH_COUNT, "is not a valid hash");
}

static bool set_distribution(struct setting *s)
{
	return set_word(s, shard_distribution_name, SHARD_DISTRIBUTION_COUNT, "is not a valid distribution");
}

static bool set_hash_tag(struct setting *s)
{
	if (s->value.len != 2)
		return refuse(s, "is not a valid hash tag string with two characters", "two bytes, as \"{}\"");
	memcpy(field(s), s->value.at, 2);
	return true;
}

static bool set_secret(struct setting *s)
{
	char *copy = pool_reader_copy(s->reader, s->value);

	*(char **)field(s) = copy;
	return copy;
}

static bool set_listen(struct setting *s)
{
	return pool_address_listen(s->reader, s->draft, s->value, s->line);
}

static bool add_server(struct setting *s)
{
	return pool_address_server(s->reader, s->draft, s->value, s->line);
}

#define NUMBER "0 to 2147483647"

/* clang-format off */
static const struct directive directives[POOL_DIRECTIVES] = {
	[POOL_LISTEN]               = {"listen", set_listen, 0, NULL},
	[POOL_HASH]                 = {"hash", set_hash, offsetof(shard_pool, hash), NULL},
	[POOL_HASH_TAG]             = {"hash_tag", set_hash_tag, offsetof(shard_pool, hash_tag), NULL},
	[POOL_DISTRIBUTION]         = {"distribution", set_distribution, offsetof(shard_pool, distribution), NULL},
	[POOL_TIMEOUT]              = {"timeout", set_number, offsetof(shard_pool, timeout_ms), NUMBER " (ms; 0: none)"},
	[POOL_BACKLOG]              = {"backlog", set_number, offsetof(shard_pool, backlog), NUMBER},
	[POOL_CLIENT_CONNECTIONS]   = {"client_connections", set_number, offsetof(shard_pool, client_connections),
	                               NUMBER " (0: no limit)"},
	[POOL_REDIS]                = {"redis", set_bool, offsetof(shard_pool, redis), NULL},
	[POOL_REDIS_AUTH]           = {"redis_auth", set_secret, offsetof(shard_pool, redis_auth), NULL},
	[POOL_REDIS_USER]           = {"redis_user", set_secret, offsetof(shard_pool, redis_user), NULL},
	[POOL_REDIS_DB]             = {"redis_db", set_number, offsetof(shard_pool, redis_db), NUMBER},
	[POOL_PRECONNECT]           = {"preconnect", set_bool, offsetof(shard_pool, preconnect), NULL},
	[POOL_AUTO_EJECT_HOSTS]     = {"auto_eject_hosts", set_bool, offsetof(shard_pool, auto_eject_hosts), NULL},
	[POOL_TCPKEEPALIVE]         = {"tcpkeepalive", set_bool, offsetof(shard_pool, tcpkeepalive), NULL},
	/* These and redis_user are unknown to nutcracker 0.5.0. */
	[POOL_REUSEPORT]            = {"reuseport", set_bool, offsetof(shard_pool, reuseport), NULL},
	[POOL_EJECT_KEEPS_RING]     = {"eject_keeps_ring", set_bool, offsetof(shard_pool, eject_keeps_ring), NULL},
	[POOL_CLUSTER]              = {"cluster", set_bool, offsetof(shard_pool, cluster), NULL},
	[POOL_STRICT]               = {"strict", set_bool, offsetof(shard_pool, strict), NULL},
	[POOL_SERVER_CONNECTIONS]   = {"server_connections", set_number, offsetof(shard_pool, server_connections),
	                               "1 to 2147483647"},
	[POOL_SERVER_RETRY_TIMEOUT] = {"server_retry_timeout", set_number, offsetof(shard_pool, server_retry_timeout),
	                               NUMBER " (ms)"},
	[POOL_SERVER_FAILURE_LIMIT] = {"server_failure_limit", set_number, offsetof(shard_pool, server_failure_limit),
	                               NUMBER},
	[POOL_SERVERS]              = {"servers", add_server, 0, NULL},
};
/* clang-format on */

const char *pool_directive_name(int directive)
{
	return directives[directive].name;
}

int pool_directive_find(struct shard__text name)
{
	for (int i = 0; i < POOL_DIRECTIVES; i++)
		if (shard__text_is(name, directives[i].name))
			return i;
	return -1;
}

/* ---- one line ---- */

/* What holds for values of every kind. */
static bool is_value(struct setting *s)
{
	const char *wrong = NULL;

	if (!s->value.len)
		wrong = "it is empty";
	/* nutcracker takes it, and then its rings and its system calls see less of it than its comparisons do. */
	else if (memchr(s->value.at, 0, s->value.len))
		wrong = "it has a NUL byte in it";
	if (wrong)
		pool_mistake(s->reader, s->draft, s->line, "directive \"%s\" has an invalid value: %s",
			     directives[s->directive].name, wrong);
	return !wrong;
}

void pool_directive_set(struct pool_reader *reader, struct pool_draft *draft, int directive, struct shard__text value,
			unsigned line)
{
	struct setting s = {reader, draft, directive, value, line};
	unsigned *seen = &draft->seen[directive];

	if (*seen && directive != POOL_SERVERS) {
		pool_mistake(reader, draft, line, "directive \"%s\" is a duplicate: it stands on line %u already",
			     directives[directive].name, *seen);
		return;
	}
	if (!*seen)
		*seen = line;
	if (!is_value(&s) || !directives[directive].set(&s))
		draft->bad[directive] = true;
}

void pool_directive_unknown(struct pool_reader *reader, struct pool_draft *draft, struct shard__text name,
			    unsigned line)
{
	struct strbuf allowed = {0};
	char *text;

	for (int i = 0; i < POOL_DIRECTIVES; i++) {
		strbuf_string(&allowed, i ? ", " : "");
		strbuf_string(&allowed, directives[i].name);
	}
	text = strbuf_take(&allowed);
	if (!text)
		reader->no_memory = true;
	else
		pool_mistake(reader, draft, line, "directive \"%s\" is unknown; allowed: %s", pool_quote(name).text,
			     text);
	free(text);
}
