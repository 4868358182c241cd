/* SPDX-License-Identifier: MIT */
#include "name.h"

#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <shard/slot.h>

static const char upper_hex[] = "0123456789ABCDEF";

static bool is_key(const char *key, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(key, text, len) == 0;
}

/* How many dots at the start of KEY must be escaped. */
static size_t escaped_dots(const char *key, size_t len)
{
	if (is_key(key, len, ".") || is_key(key, len, ".shardfs"))
		return 1;
	return is_key(key, len, "..") ? 2 : 0;
}

static bool escaped(char c)
{
	return c == '%' || c == '/' || c == '\0';
}

size_t name_length(const char *key, size_t key_len)
{
	if (!key_len)
		return 1;
	size_t len = key_len + 2 * escaped_dots(key, key_len);
	for (size_t i = 0; i < key_len; i++)
		len += escaped(key[i]) ? 2 : 0;
	return len;
}

void name_encode(const char *key, size_t key_len, char *name)
{
	size_t dots = escaped_dots(key, key_len);

	if (!key_len)
		*name = '%';
	for (size_t i = 0; i < key_len; i++) {
		if (i >= dots && !escaped(key[i])) {
			*name++ = key[i];
			continue;
		}
		*name++ = '%';
		*name++ = upper_hex[(unsigned char)key[i] >> 4];
		*name++ = upper_hex[(unsigned char)key[i] & 15];
	}
}

size_t name_listed_part(const char *part, size_t part_len, const char *key, size_t key_len,
			char name[NAME_LISTED_MAX + 1])
{
	size_t len = name_length(part, part_len);

	if (len > NAME_LISTED_MAX)
		return (size_t)snprintf(name, NAME_LISTED_MAX + 1, "%%~%04X-%016llX", shard_slot(key, key_len),
					(unsigned long long)name_hash(key, key_len));
	name_encode(part, part_len, name);
	name[len] = '\0';
	return len;
}

size_t name_listed(const char *key, size_t key_len, char name[NAME_LISTED_MAX + 1])
{
	return name_listed_part(key, key_len, key, key_len, name);
}

static int hex_digit(char c)
{
	const char *at = c ? strchr(upper_hex, c) : NULL;
	return at ? (int)(at - upper_hex) : -1;
}

static bool hex_number(const char *text, size_t digits, uint64_t *number)
{
	*number = 0;
	for (size_t i = 0; i < digits; i++) {
		int digit = hex_digit(text[i]);
		if (digit < 0)
			return false;
		*number = *number << 4 | (unsigned)digit;
	}
	return true;
}

static struct name decode_hashed(const char *name, size_t len)
{
	struct name out = {.kind = NAME_RESERVED};
	uint64_t slot, hash;

	if (len != 2 + 4 + 1 + 16 || name[6] != '-' || !hex_number(name + 2, 4, &slot) || slot >= SHARD_SLOTS ||
	    !hex_number(name + 7, 16, &hash))
		return out;
	out.kind = NAME_HASHED;
	out.slot = (unsigned)slot;
	out.hash = hash;
	return out;
}

struct name name_decode(const char *name, size_t len, char *key)
{
	struct name out = {.kind = NAME_KEY};
	size_t n = 0, dots = 0;

	if (len == 1 && *name == '%')
		return out;
	if (len >= 2 && name[0] == '%' && name[1] == '~')
		return decode_hashed(name, len);
	if (!len || escaped_dots(name, len)) {
		out.kind = NAME_RESERVED;
		return out;
	}
	for (size_t i = 0; i < len; i++) {
		uint64_t byte = (unsigned char)name[i];
		if (byte == '%') {
			if (len - i < 3 || !hex_number(name + i + 1, 2, &byte)) {
				out.kind = NAME_RESERVED;
				return out;
			}
			i += 2;
			dots += byte == '.';
			if (!escaped((char)byte) && byte != '.')
				out.kind = NAME_BAD;
		} else if (escaped((char)byte)) {
			out.kind = NAME_BAD;
		}
		key[n++] = (char)byte;
	}
	out.key_len = n;
	if (out.kind == NAME_KEY && dots != escaped_dots(key, n))
		out.kind = NAME_BAD;
	return out;
}

bool name_matches(const struct name *hashed, const char *key, size_t key_len)
{
	return name_length(key, key_len) > NAME_LISTED_MAX && shard_slot(key, key_len) == hashed->slot &&
	       name_hash(key, key_len) == hashed->hash;
}

uint64_t name_hash(const char *key, size_t key_len)
{
	return XXH3_64bits(key, key_len);
}

uint64_t name_hash_member(uint64_t key, const char *member, size_t member_len)
{
	return XXH3_64bits_withSeed(member, member_len, key);
}
