/* SPDX-License-Identifier: MIT */
/*
 * Keys as paths: where a key is cut into the names of directories and the name
 * of a file.
 *
 * A key is cut behind each separator, from the left. With -o sep the names of
 * directories end with it: "user:1000" is user:/1000, "a::b" is a:/:/b, and
 * "x:" is x:/% ("%" is the empty rest). With -o tree they do not: "a/b" is a/b,
 * "a//b" is a/%/b, and what is not the name of a directory is a key's, so both
 * can be meant by one name; the value of such a key is %val in the directory.
 *
 * Each piece is written as name.h has it. A directory is called by its prefix:
 * the start of its keys, with the last separator; that of the root is "".
 *
 * Pure functions: no I/O, no allocation.
 */
#ifndef FUSEFS_TREE_H
#define FUSEFS_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "name.h"

#define TREE_VALUE "%val"

struct tree {
	const char *sep;
	size_t sep_len; /* 0: there are no directories, a name is a whole key */
	bool shown;     /* directories' names end with it */
};

enum place_kind {
	PLACE_NONE,   /* no key's name, and no directory's */
	PLACE_KEY,
	PLACE_DIR,
	PLACE_EITHER, /* the directory, if there is one, else the key */
	PLACE_HASHED  /* stands for what has this hash */
};

/* What a name stands for. */
struct tree_place {
	enum place_kind kind;
	size_t key_len; /* of PLACE_KEY and PLACE_EITHER */
	size_t dir_len; /* of PLACE_DIR and PLACE_EITHER: of the prefix, which begins as the key does */
	struct name hashed;
};

/* Reads NAME in the directory PREFIX. PATH, for the key and the prefix, has room for all three and the separator. */
struct tree_place tree_decode(const struct tree *tree, const char *prefix, size_t prefix_len, const char *name,
			      size_t len, char *path);

/* The length of the prefix that the piece of KEY at START ends; 0: it is the last one, which ends none. */
size_t tree_next(const struct tree *tree, const char *key, size_t len, size_t start);

/* Where the last piece of KEY begins: the length of its directory's prefix. */
size_t tree_parent(const struct tree *tree, const char *key, size_t len);

/* The same of a directory that is not the root. */
size_t tree_parent_of_dir(const struct tree *tree, const char *prefix, size_t len);

/* The names in a listing, with a NUL. Each returns its length. */
size_t tree_listed(const char *key, size_t len, size_t start, char name[NAME_LISTED_MAX + 1]);
size_t tree_listed_dir(const struct tree *tree, const char *prefix, size_t len, size_t start,
		       char name[NAME_LISTED_MAX + 1]);

#endif
