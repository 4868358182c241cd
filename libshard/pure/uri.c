/* SPDX-License-Identifier: MIT */
#include <shard/uri.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>

#include "base/strbuf.h"
#include "pure/addr.h"

/* A URI that is being parsed. What goes wrong is told without a word of the text: any part may hold a secret. */
struct parser {
	shard_uri *uri;
	char **why;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct parser *p, const char *format, ...)
{
	if (!p->why)
		return SHARD_EURI;
	va_list args;
	va_start(args, format);
	if (vasprintf(p->why, format, args) < 0)
		*p->why = NULL;
	va_end(args);
	return SHARD_EURI;
}

/* ---- percent-encoding ---- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The next byte of TEXT, which moves on; -1 where '%' is not %HH, or it is a NUL. */
static int decode_byte(struct shard__text *text)
{
	int c = (unsigned char)*text->at;
	size_t size = 1;
	if (c == '%') {
		int high = text->len < 3 ? -1 : hex_digit(text->at[1]);
		int low = text->len < 3 ? -1 : hex_digit(text->at[2]);
		if (high < 0 || low < 0)
			return -1;
		c = high << 4 | low;
		size = 3;
	}
	text->at += size;
	text->len -= size;
	return c ? c : -1;
}

/* Out: *OUT, malloc'ed, a string on failure too. WHAT names the part. */
static int decode(struct parser *p, const char *what, struct shard__text text, char **out)
{
	char *to = *out = calloc(1, text.len + 1);
	if (!to)
		return SHARD_ENOMEM;
	while (text.len) {
		int c = decode_byte(&text);
		if (c < 0)
			return refuse(p, "%s: a '%%' is not followed by two hex digits (or is %%00)", what);
		*to++ = (char)c;
	}
	return SHARD_OK;
}

static void encode(struct strbuf *out, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		bool plain = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || strchr("-._~/", c);
		char escaped[3] = {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]};

		strbuf_bytes(out, plain ? text : escaped, plain ? 1 : 3);
	}
}

/* ---- parsing ---- */

static size_t count(struct shard__text text, char c)
{
	size_t n = 0;
	for (size_t i = 0; i < text.len; i++)
		n += text.at[i] == c;
	return n;
}

/* The part of TEXT before the first C; *REST is what follows it. Returns whether there is a C. */
static bool cut(struct shard__text text, char c, struct shard__text *head, struct shard__text *rest)
{
	const char *at = text.len ? memchr(text.at, c, text.len) : NULL;
	*head = (struct shard__text){text.at, at ? (size_t)(at - text.at) : text.len};
	*rest = at ? (struct shard__text){at + 1, text.len - head->len - 1} : (struct shard__text){"", 0};
	return at;
}

/* [user]:password */
static int parse_user(struct parser *p, struct shard__text text)
{
	struct shard__text user, password;
	if (!cut(text, ':', &user, &password))
		return refuse(p, "the part before '@' is not USER:PASSWORD or :PASSWORD");
	if (!user.len && !password.len)
		return SHARD_OK;
	int error = user.len ? decode(p, "the user", user, &p->uri->user) : SHARD_OK;
	return error ? error : decode(p, "the password", password, &p->uri->password);
}

#define DEFAULT_PORT 6379

static int parse_seed(struct parser *p, struct shard__text text)
{
	shard_uri *uri = p->uri;
	char host[SHARD__HOST_SIZE];
	uint16_t port;
	size_t number = uri->seed_count + 1;
	if (text.len && *text.at != '[' && count(text, ':') > 1)
		return refuse(p, "host %zu: an IPv6 address must stand in brackets", number);
	if (!text.len || *text.at == ':')
		return refuse(p, "host %zu is empty", number);
	if (!shard_split_addr(text.at, text.len, DEFAULT_PORT, host, sizeof(host), &port))
		return refuse(p, "host %zu is not HOST or HOST:PORT (1 to 65535)", number);
	char *copy = strdup(host);
	if (!copy)
		return SHARD_ENOMEM;
	uri->seed[uri->seed_count++] = (shard_endpoint){copy, port};
	return SHARD_OK;
}

static int parse_seeds(struct parser *p, struct shard__text text)
{
	p->uri->seed = calloc(count(text, ',') + 1, sizeof(*p->uri->seed));
	int error = p->uri->seed ? SHARD_OK : SHARD_ENOMEM;
	for (bool more = true; !error && more;) {
		struct shard__text seed;
		more = cut(text, ',', &seed, &text);
		error = parse_seed(p, seed);
	}
	return error;
}

static int parse_db(struct parser *p, struct shard__text text)
{
	uint64_t db = 0;
	if (text.len && !shard__number(text, INT_MAX, &db))
		return refuse(p, "the database (after '/') is not a number");
	if (db && p->uri->seed_count > 1)
		return refuse(p, "a database other than 0 goes with one host: a cluster has none but 0");
	p->uri->db = (int)db;
	return SHARD_OK;
}

static int parse_redis(struct parser *p, struct shard__text text)
{
	struct shard__text authority, path, user, hosts;
	cut(text, '/', &authority, &path);
	int error = SHARD_OK;
	if (shard__cut_last(authority, '@', &user, &hosts))
		error = parse_user(p, user);
	else
		hosts = authority;
	if (!error)
		error = parse_seeds(p, hosts);
	return error ? error : parse_db(p, path);
}

static int parse_unix(struct parser *p, struct shard__text text)
{
	if (!text.len || *text.at != '/')
		return refuse(p, "the path of the socket is not absolute: write unix:///PATH");
	p->uri->seed = calloc(1, sizeof(*p->uri->seed));
	if (!p->uri->seed)
		return SHARD_ENOMEM;
	p->uri->seed_count = 1;
	int error = decode(p, "the path of the socket", text, &p->uri->seed[0].host);
	size_t room = sizeof(((struct sockaddr_un *)NULL)->sun_path);
	if (!error && strlen(p->uri->seed[0].host) >= room)
		return refuse(p, "the path of the socket is longer than %zu bytes", room - 1);
	return error;
}

static int parse_twemproxy(struct parser *p, struct shard__text text)
{
	struct shard__text file = text, pool = {"", 0};
	shard__cut_last(text, '#', &file, &pool);
	if (!file.len)
		return refuse(p, "no file: write twemproxy:FILE or twemproxy:FILE#POOL");
	int error = decode(p, "the file", file, &p->uri->file);
	if (!error && pool.len)
		error = decode(p, "the pool", pool, &p->uri->pool);
	return error;
}

static const struct {
	const char *prefix;
	int (*parse)(struct parser *p, struct shard__text rest);
} schemes[] = {
	[SHARD_SCHEME_REDIS] = {"redis://", parse_redis},
	[SHARD_SCHEME_REDISS] = {"rediss://", parse_redis},
	[SHARD_SCHEME_UNIX] = {"unix://", parse_unix},
	[SHARD_SCHEME_TWEMPROXY] = {"twemproxy:", parse_twemproxy},
};

static int parse(struct parser *p, const char *text)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		size_t len = strlen(schemes[i].prefix);
		if (strncasecmp(text, schemes[i].prefix, len) != 0)
			continue;
		if (strchr(text, '?'))
			return refuse(p, "'?' is reserved; in a password or a path write %%3F");
		p->uri->scheme = (shard_scheme)i;
		return schemes[i].parse(p, (struct shard__text){text + len, strlen(text + len)});
	}
	return refuse(p, "the scheme is none of redis://, rediss://, unix://, twemproxy:");
}

int shard_uri_parse(const char *text, shard_uri **uri, char **why)
{
	struct parser p = {.uri = calloc(1, sizeof(**uri)), .why = why};
	if (why)
		*why = NULL;
	int error = p.uri ? parse(&p, text) : SHARD_ENOMEM;
	if (!error) {
		*uri = p.uri;
		return SHARD_OK;
	}
	if (error == SHARD_ENOMEM && why)
		*why = strdup(shard_strerror(error));
	shard_uri_free(p.uri);
	return error;
}

static void free_secret(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
	free(secret);
}

void shard_uri_free(shard_uri *uri)
{
	if (!uri)
		return;
	free_secret(uri->user);
	free_secret(uri->password);
	for (size_t i = 0; i < uri->seed_count; i++)
		free(uri->seed[i].host);
	free(uri->seed);
	free(uri->file);
	free(uri->pool);
	free(uri);
}

/* ---- writing ---- */

static void write_seeds(struct strbuf *out, const shard_uri *uri)
{
	for (size_t i = 0; i < uri->seed_count; i++) {
		const shard_endpoint *seed = &uri->seed[i];
		bool brackets = strchr(seed->host, ':');

		strbuf_string(out, i ? "," : "");
		strbuf_string(out, brackets ? "[" : "");
		strbuf_string(out, seed->host);
		strbuf_string(out, brackets ? "]:" : ":");
		strbuf_number(out, seed->port);
	}
	if (uri->db) {
		strbuf_string(out, "/");
		strbuf_number(out, (unsigned long)uri->db);
	}
}

char *shard_uri_public(const shard_uri *uri)
{
	struct strbuf out = {0};

	strbuf_string(&out, schemes[uri->scheme].prefix);
	if (uri->scheme == SHARD_SCHEME_UNIX)
		encode(&out, uri->seed[0].host);
	else if (uri->scheme == SHARD_SCHEME_TWEMPROXY)
		encode(&out, uri->file);
	else
		write_seeds(&out, uri);
	if (uri->pool) {
		strbuf_string(&out, "#");
		encode(&out, uri->pool);
	}
	return strbuf_take(&out);
}
