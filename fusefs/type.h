/* SPDX-License-Identifier: MIT */
/*
 * The types of keys that are directories: what their members are, and the
 * commands for them. What takes more than one command is a script, so that
 * nobody sees half of it.
 */
#ifndef FUSEFS_TYPE_H
#define FUSEFS_TYPE_H

#include "op.h"

/* Each gets the member, then what is said here. */
enum type_script {
	TYPE_SET,    /* VALUE: 1 */
	TYPE_MAKE,   /* VALUE: 1; 0: it is there already */
	TYPE_APPEND, /* BYTES: 1 */
	TYPE_RANGE,  /* OFFSET, BYTES: 1; nil: it is not there */
	TYPE_CUT,    /* SIZE: 1; nil: it is not there */
	TYPE_REMOVE, /* how many were removed, -1: that cannot be; and how many members are left */
	TYPE_MOVE,   /* TO, "1" where TO must not be there: 1; 0: it is not there; -1: TO is */
	TYPE_SCRIPTS
};

struct type {
	const char *name;    /* what TYPE says */
	enum kind member;    /* what its members are; KIND_NONE: it has none with names of their own */
	bool numbered;       /* they are called by number, from 0 on */
	const char *special; /* the reserved name of a file in it, or NULL */
	enum kind special_kind;
	const char *get;     /* a member's value; an integer: whether it is there */
	bool score;          /* the value is a number: a line */
	const char *set;     /* stores a member, whatever was there; NULL: only TYPE_SET does */
	const char *exists, *length; /* both; NULL: `get` tells */
	const char *scan;    /* lists the members; or NULL */
	unsigned scan_step;  /* what it says of each */
	const char *script[TYPE_SCRIPTS];
};

/* NULL: keys of this kind are no directories. */
const struct type *type_of(enum kind kind);

/* Of the directory that an op is about, or that its member is in. */
const struct type *type_of_op(const struct op *op);

/* What NAME, decoded into MEMBER, is in a directory of this type; KIND_NONE: nothing, ever. */
enum kind type_kind_of(const struct type *type, const char *name, const struct name *decoded, const char *member);

/* Begins one of the scripts. */
void type_words(struct words *words, enum type_script script, const struct inode *dir, const char *member,
		size_t member_len);
void type_words_of_op(struct words *words, enum type_script script, const struct op *op);

/* A member's value as a file has it; NULL when out of memory. REPLY is what `get` said: a string. */
struct buffer *type_value(const struct type *type, const shard_reply *reply);

/* Looks at the op's member: what probe_start() does for it. */
void type_look(struct op *op);

#endif
