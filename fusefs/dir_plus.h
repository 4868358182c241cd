/* SPDX-License-Identifier: MIT */
/*
 * READDIRPLUS: attributes beside the names.
 *
 * The kernel asks for them once at the start, and again while names that it
 * does not know, or attributes that it had this way, are looked up (ls -l). So
 * the first answer of a long listing has those of one entry: whether they are
 * looked up decides. Attributes are what is kept (cache.h), what the listing knows
 * already, or had with one STRLEN (of a directory: TYPE) and PTTL a key, all at
 * once. They are kept as those of a look are, and granted for as long; where the
 * key is not watched they serve for FS_FRESH_MS. Where that does not tell (a key that is open, empty or
 * gone), an entry has none, and is looked up.
 */
#ifndef FUSEFS_DIR_PLUS_H
#define FUSEFS_DIR_PLUS_H

#include "op.h"

/* An answer that is being made. */
struct listing {
	struct op op;
	char *bytes;
	size_t size, used;
	bool full;
	bool plus;         /* it is a READDIRPLUS */
	bool looks;        /* its attributes are wanted */
	bool bait;         /* only those of one entry, where the answer is full */
	struct look *look; /* an entry's each */
	size_t look_count, look_room;
	size_t looks_left;
	bool sent;         /* the kernel has it */
};

/* Adds an entry; KIND_NONE: of a key whose type is not known. False: there is no room for it; the answer is full. */
bool listing_add(struct listing *listing, const char *name, uint64_t number, enum kind kind, uint64_t next);

/* What is known of a key by a listing. */
struct listed {
	size_t size;
	uint64_t at;      /* since then, in ms; 0: it is not known */
	uint64_t expires; /* ms; 0: not known, so that it cannot be kept */
	struct look_mark look;
};

/* What was just added, and has NEXT behind it, is KNOWN: it need not be asked for. */
void listing_know(struct listing *listing, const struct listed *known, uint64_t next);

/* The same with the attributes of INODE, in a READDIRPLUS: what is kept of it, or, with KEPT NULL, the SIZE it has. */
bool listing_tell(struct listing *listing, const char *name, struct inode *inode, const struct sight *kept,
		  size_t size, uint64_t next);

/* Answers, after a look at the keys where that is wanted. Takes the caller's hold. */
void listing_answer(struct listing *listing);

void listing_finish(struct op *op);

#endif
