/* SPDX-License-Identifier: MIT */
/*
 * What an open listing of members keeps: the names of the last ones, with what
 * was told of them, and how the servers are asked for more.
 */
#ifndef FUSEFS_MEMBERS_KEPT_H
#define FUSEFS_MEMBERS_KEPT_H

#include "op.h"

struct entry {
	uint64_t number; /* of its inode */
	char *name;
	size_t size; /* of the value, ... */
	uint64_t at; /* ... in ms; 0: it is not known */
	struct buffer *value; /* or NULL */
	size_t place; /* in the reply that told of it */
	struct look_mark look;
};

struct members {
	struct members *prev, *next; /* of all open ones */
	struct fs *fs;
	struct inode *dir; /* held */
	unsigned holds;
	bool begun, done;
	uint64_t turn; /* how many answers were taken */
	char cursor[24];
	struct look_mark look; /* under which the answer that is to come was asked for */
	size_t bytes;    /* of the values */
	struct entry *entry; /* from number `first` on */
	uint64_t first;
	uint64_t scanned; /* so many came before the last reply */
	size_t count, room;
	uint64_t length; /* of a list */
	size_t piece;    /* how many of its elements are asked for next, or were last */
	uint64_t *seen;  /* hashes, open addressing; 0: free */
	size_t seen_count, seen_room;
};

/* To the beginning: nothing is kept. */
void members_begin_anew(struct members *members);
void members_drop(struct members *members);

/* 0 or ENOMEM. AT: when SIZE was told; or 0. */
int members_add_entry(struct members *members, const char *name, uint64_t number, size_t size, uint64_t at);

/* Of HSCAN and its kin: the members, and where to go on. NULL: it is something else. */
const shard_reply *members_scanned(const shard_reply *reply, char cursor[24]);
bool members_submit_scan(struct op *op, const struct inode *dir, const char *cursor, op_step step);

/* VALUES: those are wanted, too. 0 or an errno. */
int members_take_scan(struct members *members, const shard_reply *reply, bool values);

/* The entries of the last scan whose scores it has not told as files have them: the next one from *AT on; or NULL. */
struct entry *members_next_unscored(struct members *members, size_t *at);
void members_take_scores(struct members *members, const shard_reply *scores);

/* The number that a list's element has for a name, and that of its inode, for number AT of the listing. */
uint64_t members_list_name(const struct members *members, uint64_t at, char name[24]);

/* LLEN, and LRANGE of the piece at AT; what that does not tell is looked up. 0 or ENOMEM. */
int members_take_length(struct members *members, const shard_reply *reply);
bool members_submit_piece(struct op *op, const struct members *members, uint64_t at, op_step step);
int members_take_piece(struct members *members, uint64_t at, const shard_reply *reply);

#endif
