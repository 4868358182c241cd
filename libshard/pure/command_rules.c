/* SPDX-License-Identifier: MIT */
/*
 * What the arguments of a command decide: whether it may be sent twice, and
 * how long it waits on the server.
 */
#include <stdlib.h>

#include "pure/command.h"

/* Time-outs end here (285,000 years), so that callers may add to them. */
#define TIMEOUT_MAX (1ll << 53)

static unsigned rule_of(const shard_command *command)
{
	return command->flags & SHARD_CMD_CONTAINER ? 0 : command->extra & RULE_MASK;
}

static bool has_word(const struct command_line *line, int from, const char *word)
{
	for (int i = from; i < line->argc; i++)
		if (command_is(line, i, word))
			return true;
	return false;
}

/* SET k v: NX, XX, GET and the comparisons of newer servers answer otherwise the second time. */
static bool set_is_idempotent(const struct command_line *line)
{
	for (int i = 3; i < line->argc; i++) {
		if (command_is(line, i, "ex") || command_is(line, i, "px") || command_is(line, i, "exat") ||
		    command_is(line, i, "pxat"))
			i++;
		else if (!command_is(line, i, "keepttl"))
			return false;
	}
	return true;
}

/* EXPIRE k n and its like. A time before now deletes, and the second time there is no key any more. */
static bool expire_is_idempotent(const struct command_line *line)
{
	return line->argc == 3 && command_len(line, 2) > 0 && line->argv[2][0] >= '1' && line->argv[2][0] <= '9';
}

/* GETEX with EXAT, PXAT: as for EXPIRE; here it would lose the value. */
static bool getex_is_idempotent(const struct command_line *line)
{
	return line->argc == 2 || (line->argc == 3 && command_is(line, 2, "persist")) ||
	       (line->argc == 4 && (command_is(line, 2, "ex") || command_is(line, 2, "px")));
}

static bool is_same_word(const struct command_line *line, int i, int j)
{
	size_t len = command_len(line, i);
	return len == command_len(line, j) && memcmp(line->argv[i], line->argv[j], len) == 0;
}

/* ZUNIONSTORE d ... and its like: the first key is written, the others are read; twice is once where they differ. */
static bool destination_is_no_source(const shard_command *command, const struct command_line *line)
{
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	int count = shard_command_keys(command, line->argc, line->argv, line->argvlen, ranges);
	for (int n = 1; n < count; n++)
		for (int i = ranges[n].first; i <= ranges[n].last; i += ranges[n].step)
			if (is_same_word(line, ranges[0].first, i))
				return false;
	return count > 0;
}

static bool stores_nothing(const shard_command *command, const struct command_line *line)
{
	shard_key_range ranges[SHARD_KEY_RANGES_MAX];
	return shard_command_keys(command, line->argc, line->argv, line->argvlen, ranges) == 1;
}

bool shard_command_idempotent(const shard_command *command, int argc, const char *const argv[], const size_t argvlen[])
{
	const struct command_line line = {argc, argv, argvlen};
	if (command->flags & (SHARD_CMD_READONLY | SHARD_CMD_IDEMPOTENT))
		return true;
	switch (rule_of(command)) {
	case RULE_SET:
		return set_is_idempotent(&line);
	case RULE_EXPIRE:
		return expire_is_idempotent(&line);
	case RULE_GETEX:
		return getex_is_idempotent(&line);
	case RULE_REPLACE:
		return has_word(&line, abs(command->arity), "replace");
	case RULE_REPLACE_CODE:
		return argc == 4 && command_is(&line, 2, "replace");
	case RULE_NO_STORE:
		return stores_nothing(command, &line);
	case RULE_BITFIELD:
		return !has_word(&line, 2, "set") && !has_word(&line, 2, "incrby");
	case RULE_DESTINATION:
		return destination_is_no_source(command, &line);
	}
	return false;
}

/*
 * A decimal fraction, times 10 to the SCALE, rounded up; 0 for anything else
 * (exponents and hexadecimal digits, which the server would take, included:
 * waiting for ever is the side to err on).
 */
static long long read_decimal(const struct command_line *line, int i, int scale)
{
	const char *text = line->argv[i];
	size_t len = command_len(line, i), pos = 0;
	long long value = 0;
	bool point = false, more = false;
	for (; pos < len; pos++) {
		char c = text[pos];
		if (c == '.' && !point) {
			point = true;
		} else if (c < '0' || c > '9') {
			return 0;
		} else if (point && scale == 0) {
			more |= c != '0';
		} else if (value < TIMEOUT_MAX) {
			value = value * 10 + (c - '0');
			scale -= point;
		}
	}
	for (; scale > 0 && value < TIMEOUT_MAX; scale--)
		value *= 10;
	value += more;
	return value < TIMEOUT_MAX ? value : TIMEOUT_MAX;
}

bool shard_command_blocks(const shard_command *command, int argc, const char *const argv[], const size_t argvlen[],
			  long long *timeout_ms)
{
	const struct command_line line = {argc, argv, argvlen};
	int place = 0, scale = 3;
	long long ignored;
	if (!timeout_ms)
		timeout_ms = &ignored;
	*timeout_ms = 0;
	switch (rule_of(command)) {
	case RULE_LAST_SECONDS:
		place = argc - 1;
		break;
	case RULE_FIRST_SECONDS:
		place = 1;
		break;
	case RULE_LAST_MS:
		place = argc - 1;
		scale = 0;
		break;
	case RULE_BLOCK:
		command_streams(&line, &place);
		if (place < 0)
			return false;
		scale = 0;
		break;
	}
	if (place > 0 && place < argc)
		*timeout_ms = read_decimal(&line, place, scale);
	return command->flags & SHARD_CMD_BLOCKING;
}
