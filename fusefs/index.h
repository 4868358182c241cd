/* SPDX-License-Identifier: MIT */
/*
 * All keys by the directories that they are in.
 *
 * A key is sure while nothing was told of it since it was seen, else unsure: it
 * may be there or not. Directories know how many of both are below them. A
 * directory is there where keys are; it costs what its keys cost.
 *
 * No I/O, no clock.
 */
#ifndef FUSEFS_INDEX_H
#define FUSEFS_INDEX_H

#include <stdbool.h>
#include <stddef.h>

#include "tree.h"

enum index_state {
	INDEX_NONE,
	INDEX_UNSURE,
	INDEX_SURE
};

struct index;
struct index_dir;

struct index *index_create(const struct tree *tree); /* NULL when out of memory */
void index_destroy(struct index *index);             /* NULL is fine */
size_t index_bytes(const struct index *index);       /* about what it takes */

/*
 * Says what KEY is from now on; INDEX_NONE takes it out. 0; or ENOMEM: then the index is of no use any more. *NEW, if
 * not NULL: whether a directory came.
 */
int index_set(struct index *index, const char *key, size_t len, enum index_state state, bool *new);
enum index_state index_get(const struct index *index, const char *key, size_t len);

/* The directory of PREFIX; NULL where there is no key in it. */
const struct index_dir *index_dir(const struct index *index, const char *prefix, size_t len);
size_t index_sure(const struct index_dir *dir);
size_t index_unsure(const struct index_dir *dir);

/* What is in DIR: a key, a directory, or (-o tree) both. */
struct index_entry {
	const char *piece; /* of the key, without the separator */
	size_t len;
	enum index_state state;
	const struct index_dir *dir; /* or NULL */
};
typedef void (*index_visit)(void *ctx, const struct index_entry *entry);
void index_each(const struct index_dir *dir, index_visit visit, void *ctx);

/*
 * The keys below DIR, whose prefix is PREFIX; only those of STATE where it is
 * not INDEX_NONE. Ends when VISIT returns false. 0 or ENOMEM.
 */
typedef bool (*index_visit_key)(void *ctx, const char *key, size_t len);
int index_each_key(const struct index *index, const struct index_dir *dir, const char *prefix, size_t prefix_len,
		   enum index_state state, index_visit_key visit, void *ctx);

#endif
