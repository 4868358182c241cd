/* SPDX-License-Identifier: MIT */
/*
 * Commands, their keys and where they may be sent. The table is made from
 * Redis's own COMMAND output (key specifications, flags, and the tips
 * request_policy and response_policy of Redis 7).
 * Pure functions over static data: safe from any thread.
 */
#ifndef SHARD_COMMAND_H
#define SHARD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/error.h>

#ifdef __cplusplus
extern "C" {
#endif

enum shard_command_flag {
	SHARD_CMD_READONLY = 1 << 0,   /* changes nothing: may be sent again, may go to a replica */
	SHARD_CMD_WRITE = 1 << 1,
	SHARD_CMD_IDEMPOTENT = 1 << 2, /* twice is the same as once, the reply too (see shard_command_idempotent) */
	SHARD_CMD_BLOCKING = 1 << 3,   /* may wait on the server (shard_command_blocks): gets a connection of its own */
	SHARD_CMD_STATE = 1 << 4,      /* changes the connection (SELECT, SUBSCRIBE, MULTI, ...): refused on shared ones */
	SHARD_CMD_MOVABLE = 1 << 5,    /* keys are found by looking at the arguments (numkeys, STREAMS, ...) */
	SHARD_CMD_SPLIT = 1 << 6,      /* may be split by slot: MGET, MSET, DEL, UNLINK, EXISTS, TOUCH */
	SHARD_CMD_CONTAINER = 1 << 7   /* has subcommands; its entry is for an unknown one */
};

enum shard_request_policy {
	SHARD_TO_DEFAULT,     /* by its keys; without keys: any node */
	SHARD_TO_ALL_NODES,
	SHARD_TO_ALL_SHARDS,  /* all masters */
	SHARD_TO_MULTI_SHARD, /* split by slot */
	SHARD_TO_SPECIAL      /* SCAN and its like: the caller's business */
};

enum shard_response_policy {
	SHARD_AGG_DEFAULT, /* keyless: arrays are appended; with keys: in the order of the keys */
	SHARD_AGG_ONE_SUCCEEDED,
	SHARD_AGG_ALL_SUCCEEDED,
	SHARD_AGG_LOGICAL_AND,
	SHARD_AGG_LOGICAL_OR,
	SHARD_AGG_MIN,
	SHARD_AGG_MAX,
	SHARD_AGG_SUM,
	SHARD_AGG_SPECIAL /* no rule: each node's reply stands for itself */
};

typedef struct shard_command {
	const char *name; /* lower case; "config|set" for a subcommand */
	uint16_t flags;   /* enum shard_command_flag */
	int8_t arity;     /* words with the name; negative: at least that many */
	uint8_t request_policy;
	uint8_t response_policy;
	uint16_t first_spec; /* private: its key specifications */
	uint8_t spec_count;
	uint8_t extra; /* private */
} shard_command;

/* A key found in a command: its place among the words. */
typedef struct shard_key_range {
	int first; /* index of the first key in argv */
	int last;  /* index of the last key */
	int step;  /* distance between keys (MSET: 2) */
} shard_key_range;

#define SHARD_KEY_RANGES_MAX 8

/*
 * The entry of a command line, by its first word or first two words, in any
 * case of letters. ARGVLEN NULL means strings, here and below. Returns NULL for
 * a command that the table does not have.
 */
SHARD_API const shard_command *shard_command_find(int argc, const char *const argv[], const size_t argvlen[]);

/* The number of entries, and entry I (0 <= I < count): subcommands and their containers included. */
SHARD_API size_t shard_command_count(void);
SHARD_API const shard_command *shard_command_at(size_t i);

/*
 * Finds the keys of a command line, as COMMAND GETKEYS would; where that errs
 * (PFMERGE without sources, XREADGROUP with a group named "streams", GEORADIUS
 * with both STORE and STOREDIST), as the server itself does when it routes.
 * The channels of SPUBLISH and SSUBSCRIBE, which live in slots too, count as
 * keys. Too many words are the server's business.
 * Out: RANGES, at most SHARD_KEY_RANGES_MAX, in the order of the command's
 * key specifications. Returns the number of ranges; 0 where it has no keys
 * (EVAL and FCALL with a numkeys that is wrong, too: the server answers);
 * -1 where the line is malformed (a numkeys that is no number, too few words).
 */
SHARD_API int shard_command_keys(const shard_command *command, int argc, const char *const argv[],
				 const size_t argvlen[], shard_key_range ranges[SHARD_KEY_RANGES_MAX]);

/*
 * Whether this very command line may be executed twice with the same effect
 * and the same reply: read-only ones, SET without NX, XX, GET; never INCR,
 * APPEND, LPUSH, SET NX.
 */
SHARD_API bool shard_command_idempotent(const shard_command *command, int argc, const char *const argv[],
					const size_t argvlen[]);

/*
 * Whether this very command line may wait on the server: a command with
 * SHARD_CMD_BLOCKING, but XREAD and XREADGROUP only with their BLOCK option.
 * Out: *TIMEOUT_MS (TIMEOUT_MS may be NULL), the time-out that the line names
 * in milliseconds, rounded up and at most 2^53; 0: it waits for ever, or it
 * does not wait. A time-out that cannot be read, which the server refuses at
 * once, is 1.
 */
SHARD_API bool shard_command_blocks(const shard_command *command, int argc, const char *const argv[],
				    const size_t argvlen[], long long *timeout_ms);

#ifdef __cplusplus
}
#endif
#endif
