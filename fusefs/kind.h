/* SPDX-License-Identifier: MIT */
/*
 * What a file is: it decides which operations it has (ops.c).
 */
#ifndef FUSEFS_KIND_H
#define FUSEFS_KIND_H

#include <stdbool.h>

enum kind {
	KIND_NONE, /* no such key */
	KIND_STRING,
	/* Keys that are directories. */
	KIND_HASH,
	KIND_LIST,
	KIND_SET,
	KIND_ZSET,
	KIND_STREAM,
	KIND_OTHER,  /* a key of a type that we do not know: a file that cannot be opened */
	KIND_ROOT,   /* the directory of all keys */
	KIND_PREFIX, /* one of those that begin in the same way (prefix.h) */
	KIND_MEMBER, /* a file in a key that is a directory */
	KIND_TOKEN,  /* the same, of a set: always empty */
	KIND_PUSH,   /* what is written to it is appended to a list */
	KIND_LOG,    /* the entries of a stream */
	/* In .shardfs. */
	KIND_CONTROL,
	KIND_CONTROL_DIR,
	KIND_COUNT
};

static inline bool kind_is_typed(enum kind kind)
{
	return kind >= KIND_HASH && kind <= KIND_STREAM;
}

static inline bool kind_is_dir(enum kind kind)
{
	return kind == KIND_ROOT || kind == KIND_PREFIX || kind == KIND_CONTROL_DIR || kind_is_typed(kind);
}

/* Whether a file of this kind has bytes that can be written anywhere. */
static inline bool kind_has_value(enum kind kind)
{
	return kind == KIND_STRING || kind == KIND_MEMBER;
}

/* Of a key, by what TYPE says. */
enum kind kind_of_type(const char *type);

#endif
