/* SPDX-License-Identifier: MIT */
/*
 * What the files of the command table share: how it says where keys are, and
 * the words of a command line.
 */
#ifndef COMMAND_H
#define COMMAND_H

#include <stdbool.h>
#include <string.h>

#include <shard/command.h>

/*
 * SPEC_RANGE. a: the last key, counted from the first one; negative: from the
 * end of the line. b, with a negative a: the keys are one b-th of the words
 * that are left; 0: all of them.
 * SPEC_KEYNUM. a: where their number stands, b: where the first one stands,
 * both counted from the position.
 */
enum command_spec_find { SPEC_RANGE, SPEC_KEYNUM };

/* A key specification of Redis 7 (https://redis.io/docs/reference/key-specs). Unknown ones are not in the table. */
struct command_spec {
	const char *keyword; /* the keys begin behind this word (lower case), if it is there; NULL: at the position */
	int8_t position;     /* with a keyword: where the search begins; negative: from the end, backwards */
	uint8_t find;        /* enum command_spec_find */
	int8_t a, b;
	int8_t step;
};

extern const struct command_spec command_specs[];

/* shard_command.extra; but in the entry of a container it is the number by which its subcommands know it. */
enum {
	FIND_SPECS = 0, /* by its specifications */
	FIND_FIRST = 1, /* one key, the first argument */
	FIND_SORT = 2,
	FIND_MIGRATE = 3,
	FIND_GEORADIUS = 4,
	FIND_STREAMS = 5,
	FIND_MASK = 0x07,
	FIND_OPTIONAL = 0x08, /* a line in which no keys are found has none, whatever it looks like */

	RULE_SET = 1 << 4,
	RULE_EXPIRE = 2 << 4,
	RULE_GETEX = 3 << 4,
	RULE_REPLACE = 4 << 4,
	RULE_REPLACE_CODE = 5 << 4,
	RULE_NO_STORE = 6 << 4,
	RULE_BITFIELD = 7 << 4,
	RULE_DESTINATION = 8 << 4,
	RULE_LAST_SECONDS = 9 << 4,
	RULE_FIRST_SECONDS = 10 << 4,
	RULE_LAST_MS = 11 << 4,
	RULE_BLOCK = 12 << 4,
	RULE_MASK = 0xf0
};

/* Whether the command has one key, its first argument, and no other form. */
static inline bool command_first_only(const shard_command *command)
{
	return (command->extra & FIND_MASK) == FIND_FIRST && !(command->flags & SHARD_CMD_CONTAINER);
}

/* The words of a command line, as the caller gave them. */
struct command_line {
	int argc;
	const char *const *argv;
	const size_t *argvlen; /* NULL: strings */
};

static inline size_t command_len(const struct command_line *line, int i)
{
	return line->argvlen ? line->argvlen[i] : strlen(line->argv[i]);
}

/* Whether word I is KEYWORD (lower case) in any case of letters. Servers look no further than a NUL, nor do we. */
bool command_is(const struct command_line *line, int i, const char *keyword);

/* The options of XREAD and XREADGROUP: the index of STREAMS, or -1; *BLOCK: that of BLOCK's argument, or -1. */
int command_streams(const struct command_line *line, int *block);

#endif
