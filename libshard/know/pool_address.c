/* SPDX-License-Identifier: MIT */
/* Where a pool listens and where its servers are: parsed from the right, as nutcracker does it. */
#include "know/pool.h"

#include <arpa/inet.h>
#include <limits.h>
#include <string.h>
#include <sys/un.h>

#include "base/strbuf.h"

#define PATH_MAX_UNIX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define KETAMA_PORT 11211

struct address {
	struct pool_reader *reader;
	struct pool_draft *draft;
	const char *directive;
	struct shard__text value;
	unsigned line;
};

/* WRONG are nutcracker's words, WHY ours. */
static bool refuse(const struct address *a, const char *wrong, const char *why)
{
	pool_mistake(a->reader, a->draft, a->line, "directive \"%s\" %s: '%s'; %s", a->directive, wrong,
		     pool_quote(a->value).text, why);
	return false;
}

static bool parse_port(struct shard__text text, uint16_t *port)
{
	uint64_t number;

	if (!shard__number(text, UINT16_MAX, &number) || !number)
		return false;
	*port = (uint16_t)number;
	return true;
}

static bool is_path(struct shard__text text)
{
	return text.len && *text.at == '/';
}

static bool check_path(const struct address *a, struct shard__text path)
{
	return path.len <= PATH_MAX_UNIX ||
	       refuse(a, "has an invalid value", "the path of a unix socket has at most 107 bytes");
}

static const char *why_no_host(struct shard__text host)
{
	if (!host.len)
		return "there is no host before the port";
	if (*host.at == '[')
		return "an IPv6 address stands without brackets here";
	return "what is before the port is no host name and no address";
}

/* ---- listen ---- */

#define MODE_IS "has an invalid file permission in \"socket_path permission\" format string"

/*
 * nutcracker takes what begins with no octal digit for no mode at all, and ignores what follows the digits: the socket
 * would be open to others than the file says.
 */
static bool parse_mode(const struct address *a, struct shard__text text)
{
	unsigned mode = 0;

	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '7')
			return refuse(a, MODE_IS, "allowed: octal, 0 to 0777");
		mode = mode * 8 + (unsigned)(text.at[i] - '0');
		if (mode > 0777)
			return refuse(a, MODE_IS, "allowed: octal, 0 to 0777");
	}
	a->draft->pool.listen_mode = mode;
	return text.len || refuse(a, MODE_IS, "there is a space and no mode behind it");
}

static bool listen_path(const struct address *a)
{
	struct shard__text path = a->value, mode;
	char *copy;

	if (shard__cut_last(a->value, ' ', &path, &mode) && !parse_mode(a, mode))
		return false;
	if (!check_path(a, path))
		return false;
	copy = pool_reader_copy(a->reader, path);
	a->draft->pool.listen = a->draft->pool.listen_host = copy;
	return copy;
}

/*
 * nutcracker resolves the name and refuses the file where that fails. Here it is only looked at: whether a name can be
 * resolved is a matter of the machine and of the moment, and whoever routes keys does not listen.
 */
static bool is_listen_host(struct shard__text host)
{
	char text[SHARD__HOST_SIZE];
	const char *label;
	struct in_addr in;

	if (shard__text_is(host, "*"))
		return true;
	if (!shard__host_ok(host))
		return false;
	memcpy(text, host.at, host.len);
	text[host.len] = 0;
	label = strrchr(text, '.') ? strrchr(text, '.') + 1 : text;
	/* What ends in a number is an address, never a name. */
	return strchr(text, ':') || !*label || label[strspn(label, "0123456789")] || inet_aton(text, &in);
}

static bool listen_port(const struct address *a)
{
	struct shard__text host, port;
	shard_pool *pool = &a->draft->pool;

	if (!shard__cut_last(a->value, ':', &host, &port))
		return refuse(a, "has an invalid \"hostname:port\" format string",
			      "allowed: HOST:PORT, or /PATH or \"/PATH MODE\" of a unix socket");
	if (!parse_port(port, &pool->listen_port))
		return refuse(a, "has an invalid port in \"hostname:port\" format string", "allowed: 1 to 65535");
	if (!is_listen_host(host))
		return refuse(a, "has an invalid value", why_no_host(host));
	pool->listen = pool_reader_copy(a->reader, a->value);
	pool->listen_host = pool_reader_copy(a->reader, host);
	return pool->listen && pool->listen_host;
}

bool pool_address_listen(struct pool_reader *reader, struct pool_draft *draft, struct shard__text value, unsigned line)
{
	struct address a = {reader, draft, "listen", value, line};

	return is_path(value) ? listen_path(&a) : listen_port(&a);
}

/* ---- servers ---- */

#define FORM "\"hostname:port:weight [name]\" format string"

struct parts {
	struct shard__text host, port, weight, name;
	bool named;
};

/* A path with a colon in it has one too many, as with nutcracker. */
static bool cut_server(struct shard__text value, struct parts *parts)
{
	struct shard__text rest = value, head;

	parts->named = shard__cut_last(rest, ' ', &head, &parts->name);
	if (parts->named)
		rest = head;
	if (!shard__cut_last(rest, ':', &head, &parts->weight))
		return false;
	parts->host = rest = head;
	parts->port = (struct shard__text){"", 0};
	return shard__cut_last(rest, ':', &parts->host, &parts->port) != is_path(value);
}

static bool parse_weight(const struct address *a, struct shard__text text, unsigned *weight)
{
	uint64_t number;

	if (!shard__number(text, INT_MAX, &number))
		return refuse(a, "has an invalid weight in " FORM, "allowed: 1 to 2147483647");
	*weight = (unsigned)number;
	return number || refuse(a, "has a zero weight in " FORM, "allowed: 1 to 2147483647");
}

/*
 * nutcracker looks a host up when it connects, so it takes any text, and answers "Host is down" for ever. A name of no
 * bytes would give points that are not the server's.
 */
static bool check_server(const struct address *a, const struct parts *parts)
{
	if (parts->named && !parts->name.len)
		return refuse(a, "has an invalid value", "there is a space and no name behind it");
	if (is_path(a->value))
		return check_path(a, parts->host);
	return shard__host_ok(parts->host) || refuse(a, "has an invalid value", why_no_host(parts->host));
}

/* What the points are made from; libmemcached leaves memcached's port out. */
static struct shard__text point_name(const struct address *a, const struct parts *parts, uint16_t port)
{
	if (parts->named)
		return parts->name;
	if (port == KETAMA_PORT)
		return parts->host;
	/* Of a unix socket nutcracker keeps the colon, with an empty port behind it. */
	return (struct shard__text){a->value.at, parts->host.len + 1 + parts->port.len};
}

static char *make_addr(const struct address *a, struct shard__text host, uint16_t port)
{
	char text[SHARD__HOST_SIZE + sizeof("[]:65535")];
	bool brackets = memchr(host.at, ':', host.len);
	char *out = text;

	if (!port)
		return pool_reader_copy(a->reader, host);
	if (brackets)
		*out++ = '[';
	out = mempcpy(out, host.at, host.len);
	if (brackets)
		*out++ = ']';
	*out++ = ':';
	out = write_decimal(out, port);
	return pool_reader_copy(a->reader, (struct shard__text){text, (size_t)(out - text)});
}

static bool add_server(const struct address *a, const struct parts *parts, uint16_t port, unsigned weight)
{
	struct pool_draft *draft = a->draft;
	shard_pool_server server = {
		.host = pool_reader_copy(a->reader, parts->host),
		.port = port,
		.weight = weight,
		.name = pool_reader_copy(a->reader, point_name(a, parts, port)),
		.addr = make_addr(a, parts->host, port),
		.line = a->line,
	};
	shard_pool_server *grown = pool_reader_grow(a->reader, draft->server, draft->pool.server_count,
						    &draft->server_room, sizeof(server));

	if (!grown)
		return false;
	draft->server = grown;
	grown[draft->pool.server_count++] = server;
	return true;
}

bool pool_address_server(struct pool_reader *reader, struct pool_draft *draft, struct shard__text value, unsigned line)
{
	struct address a = {reader, draft, "servers", value, line};
	struct parts parts;
	uint16_t port = 0;
	unsigned weight = 0;
	bool ok;

	if (!cut_server(value, &parts))
		return refuse(&a,
			      "has an invalid \"hostname:port:weight [name]\" or \"/path/unix_socket:weight [name]\" "
			      "format string",
			      "allowed: HOST:PORT:WEIGHT or /PATH:WEIGHT, then a space and a name or nothing");
	ok = parse_weight(&a, parts.weight, &weight);
	if (!is_path(value) && !parse_port(parts.port, &port))
		ok = refuse(&a, "has an invalid port in " FORM, "allowed: 1 to 65535");
	ok &= check_server(&a, &parts);
	return ok && add_server(&a, &parts, port, weight);
}
