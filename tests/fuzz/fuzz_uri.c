/* SPDX-License-Identifier: MIT */
/* URIs: any string is one or is refused with a reason, and the public form names the same place. */
#include <shard/uri.h>

#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static void check_parts(const shard_uri *uri)
{
	MUST(!uri->user || *uri->user);
	MUST(!uri->user || uri->password);
	MUST(!uri->pool || *uri->pool);
	MUST((uri->scheme == SHARD_SCHEME_TWEMPROXY) == !!uri->file);
	MUST(!!uri->file == !uri->seed_count);
	MUST(uri->db >= 0 && (!uri->db || uri->seed_count == 1));
	for (size_t i = 0; i < uri->seed_count; i++) {
		MUST(*uri->seed[i].host);
		MUST(!uri->seed[i].port == (uri->scheme == SHARD_SCHEME_UNIX));
	}
}

static void check_public(const shard_uri *uri)
{
	char *public = shard_uri_public(uri), *twice;
	shard_uri *again;
	MUST(public && !strchr(public, '@') && !strchr(public, '?'));
	MUST(shard_uri_parse(public, &again, NULL) == SHARD_OK);
	check_parts(again);
	MUST(again->scheme == uri->scheme && again->seed_count == uri->seed_count && again->db == uri->db);
	MUST(!again->user && !again->password);
	for (size_t i = 0; i < uri->seed_count; i++)
		MUST(strcmp(again->seed[i].host, uri->seed[i].host) == 0 && again->seed[i].port == uri->seed[i].port);
	twice = shard_uri_public(again);
	MUST(twice && strcmp(public, twice) == 0);
	free(public);
	free(twice);
	shard_uri_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *why;
	shard_uri *uri;
	if (!text)
		return 0;
	int error = shard_uri_parse(text, &uri, &why);
	free(text);
	if (error) {
		MUST(error == SHARD_EURI && why && *why);
		free(why);
		return 0;
	}
	MUST(!why);
	check_parts(uri);
	check_public(uri);
	shard_uri_free(uri);
	return 0;
}
