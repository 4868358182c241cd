/* SPDX-License-Identifier: MIT */
/*
 * File names of keys: a bijection between all byte strings and legal names.
 *
 * '%', '/' and NUL are written %25, %2F and %00; the keys ".", ".." and
 * ".shardfs" have %2E for their dots that count; the empty key is "%". '%'
 * that is followed by anything else is reserved. A name that would be longer
 * than NAME_LISTED_MAX is listed as %~SSSS-HHHHHHHHHHHHHHHH: the slot and the
 * XXH3_64 of the key, in hex; the long name itself works too.
 *
 * Pure functions: no I/O, no allocation.
 */
#ifndef FUSEFS_NAME_H
#define FUSEFS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_LISTED_MAX 255

enum name_kind {
	NAME_KEY,      /* stands for a key */
	NAME_HASHED,   /* stands for the key with that slot and hash */
	NAME_RESERVED, /* never a key */
	NAME_BAD       /* not how any key is written: there is no such file, and none can be made */
};

struct name {
	enum name_kind kind;
	size_t key_len; /* NAME_KEY */
	unsigned slot;  /* NAME_HASHED */
	uint64_t hash;  /* NAME_HASHED */
};

/* The length of KEY's whole name. */
size_t name_length(const char *key, size_t key_len);

/* Writes KEY's whole name, name_length() bytes and no NUL. */
void name_encode(const char *key, size_t key_len, char *name);

/* Writes the name that a listing shows, with a NUL. Returns its length. */
size_t name_listed(const char *key, size_t key_len, char name[NAME_LISTED_MAX + 1]);

/* The same of a PART of a key; one that is too long is told by its KEY. */
size_t name_listed_part(const char *part, size_t part_len, const char *key, size_t key_len,
			char name[NAME_LISTED_MAX + 1]);

/* Reads a name. KEY has room for LEN bytes (a key is never longer than its name) and may be NAME itself. */
struct name name_decode(const char *name, size_t len, char *key);

/* Whether KEY is the one that is listed under this slot and hash. */
bool name_matches(const struct name *hashed, const char *key, size_t key_len);

/* The hash in names and in inode numbers; of a member of the key that has the hash KEY. */
uint64_t name_hash(const char *key, size_t key_len);
uint64_t name_hash_member(uint64_t key, const char *member, size_t member_len);

#endif
