/* SPDX-License-Identifier: MIT */
/* Names of keys: any bytes as a key come back from their name; any name that is a key's is the one that the key has. */
#include "../../fusefs/name.h"

#include <stdlib.h>
#include <string.h>

#define MUST(condition)                                                                                                \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			__builtin_trap();                                                                              \
	} while (0)

static void check_key(const char *key, size_t len)
{
	size_t name_len = name_length(key, len);
	char *name = malloc(name_len), *back = malloc(name_len);
	char listed[NAME_LISTED_MAX + 1];
	MUST(name && back);
	name_encode(key, len, name);
	MUST(!memchr(name, '/', name_len) && !memchr(name, 0, name_len));
	struct name decoded = name_decode(name, name_len, back);
	MUST(decoded.kind == NAME_KEY && decoded.key_len == len && memcmp(back, key, len) == 0);
	size_t listed_len = name_listed(key, len, listed);
	decoded = name_decode(listed, listed_len, back);
	if (name_len > NAME_LISTED_MAX)
		MUST(decoded.kind == NAME_HASHED && name_matches(&decoded, key, len));
	else
		MUST(listed_len == name_len && memcmp(listed, name, name_len) == 0);
	free(name);
	free(back);
}

static void check_name(const char *name, size_t len)
{
	char *key = malloc(len + 1), *again = malloc(len + 1);
	MUST(key && again);
	struct name decoded = name_decode(name, len, key);
	if (decoded.kind == NAME_KEY) {
		MUST(name_length(key, decoded.key_len) == len);
		name_encode(key, decoded.key_len, again);
		MUST(memcmp(again, name, len) == 0);
	}
	free(key);
	free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* Never out of bounds, in a block of exactly this size. */
	char *copy = malloc(size + !size);
	MUST(copy);
	memcpy(copy, data, size);
	check_key(copy, size);
	check_name(copy, size);
	free(copy);
	return 0;
}
