/* SPDX-License-Identifier: MIT */
#include <shard/uri.h>

#include <arpa/inet.h>
#include <string.h>

#include "pure/addr.h"

bool shard__number(struct shard__text text, uint64_t max, uint64_t *number)
{
	if (!text.len)
		return false;
	uint64_t value = 0;
	for (size_t i = 0; i < text.len; i++) {
		unsigned digit = (unsigned char)text.at[i] - '0';
		if (digit > 9 || value > max / 10 || value * 10 > max - digit)
			return false;
		value = value * 10 + digit;
	}
	*number = value;
	return true;
}

static bool host_letter(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(".-_:%", c));
}

static bool letters_ok(struct shard__text text)
{
	if (!text.len || text.len >= SHARD__HOST_SIZE)
		return false;
	for (size_t i = 0; i < text.len; i++) {
		if (!host_letter((unsigned char)text.at[i]))
			return false;
	}
	return true;
}

bool shard__ipv6_ok(struct shard__text text)
{
	if (!letters_ok(text))
		return false;
	const char *zone = memchr(text.at, '%', text.len);
	size_t len = zone ? (size_t)(zone - text.at) : text.len;
	if (zone && len + 1 == text.len)
		return false;

	char address[INET6_ADDRSTRLEN];
	if (len >= sizeof(address))
		return false;
	memcpy(address, text.at, len);
	address[len] = '\0';
	struct in6_addr in6;
	return inet_pton(AF_INET6, address, &in6) == 1;
}

bool shard__host_ok(struct shard__text text)
{
	if (!letters_ok(text))
		return false;
	bool like_ipv6 = memchr(text.at, ':', text.len) || memchr(text.at, '%', text.len);
	return !like_ipv6 || shard__ipv6_ok(text);
}

bool shard__cut_last(struct shard__text text, char separator, struct shard__text *head, struct shard__text *tail)
{
	const char *at = text.len ? memrchr(text.at, separator, text.len) : NULL;
	if (!at)
		return false;
	*head = (struct shard__text){text.at, (size_t)(at - text.at)};
	*tail = (struct shard__text){at + 1, text.len - head->len - 1};
	return true;
}

bool shard__next_word(struct shard__text *rest, char separator, struct shard__text *word)
{
	while (rest->len && *rest->at == separator) {
		rest->at++;
		rest->len--;
	}
	if (!rest->len)
		return false;
	const char *end = memchr(rest->at, separator, rest->len);
	*word = (struct shard__text){rest->at, end ? (size_t)(end - rest->at) : rest->len};
	rest->at += word->len;
	rest->len -= word->len;
	return true;
}

bool shard__text_is(struct shard__text text, const char *string)
{
	return text.len == strlen(string) && (!text.len || memcmp(text.at, string, text.len) == 0);
}

/* Cuts "[v6]", "[v6]:port". A text without a port leaves *PORT empty. */
static bool split_bracketed(struct shard__text text, struct shard__text *host, struct shard__text *port)
{
	struct shard__text rest;
	if (!shard__cut_last(text, ']', host, &rest))
		return false;
	host->at++;
	host->len--;
	if (!shard__ipv6_ok(*host))
		return false;
	*port = (struct shard__text){NULL, 0};
	if (!rest.len)
		return true;
	*port = (struct shard__text){rest.at + 1, rest.len - 1};
	return *rest.at == ':' && port->len;
}

/*
 * Cuts "host", "host:port", "v6:port", "v6". "::1:7000" reads as port 7000 of ::1, as servers write it; "::1" cannot
 * be read like that (":" is no host), so it is a host alone.
 */
static bool split_plain(struct shard__text text, struct shard__text *host, struct shard__text *port)
{
	struct shard__text alone = text;
	*port = (struct shard__text){NULL, 0};
	*host = alone;
	if (!shard__cut_last(text, ':', host, port))
		return shard__host_ok(*host);
	if (memchr(host->at, ':', host->len) && !shard__host_ok(*host)) {
		*host = alone;
		*port = (struct shard__text){NULL, 0};
		return shard__ipv6_ok(alone);
	}
	return port->len && (!host->len || shard__host_ok(*host));
}

bool shard_split_addr(const char *text, size_t len, uint16_t default_port, char *host, size_t host_size, uint16_t *port)
{
	if (!text || !len)
		return false;
	struct shard__text whole = {text, len}, name, digits;
	bool ok = *text == '[' ? split_bracketed(whole, &name, &digits) : split_plain(whole, &name, &digits);
	if (!ok || name.len >= host_size)
		return false;

	uint64_t number = default_port;
	if (digits.len && !shard__number(digits, UINT16_MAX, &number))
		return false;
	if (!number)
		return false;
	memcpy(host, name.at, name.len);
	host[name.len] = '\0';
	*port = (uint16_t)number;
	return true;
}
