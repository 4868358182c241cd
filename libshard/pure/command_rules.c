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

/* A decimal number without a sign, as strtod() takes it: DIGITS times 10 to the SHIFT, and a bit MORE. */
struct decimal {
	long long digits;
	long shift;
	bool more;
};

static bool read_mantissa(const char **text, const char *end, struct decimal *number)
{
	bool is_fraction = false, any = false;
	for (; *text < end; (*text)++) {
		char c = **text;
		if (c == '.' && !is_fraction) {
			is_fraction = true;
			continue;
		}
		if (c < '0' || c > '9')
			break;
		any = true;
		if (number->digits < TIMEOUT_MAX) {
			number->digits = number->digits * 10 + (c - '0');
			number->shift -= is_fraction;
		} else {
			number->more |= c != '0';
			number->shift += !is_fraction;
		}
	}
	return any;
}

static bool read_exponent(const char **text, const char *end, struct decimal *number)
{
	if (*text == end || (**text != 'e' && **text != 'E'))
		return true;
	(*text)++;
	bool is_negative = *text < end && **text == '-', any = false;
	int exponent = 0;
	if (*text < end && (**text == '-' || **text == '+'))
		(*text)++;
	for (; *text < end && **text >= '0' && **text <= '9'; (*text)++, any = true)
		if (exponent < 10000)
			exponent = exponent * 10 + (**text - '0');
	number->shift += is_negative ? -exponent : exponent;
	return any;
}

static long long round_up(struct decimal number)
{
	for (; number.shift < 0 && number.digits > 0; number.shift++) {
		number.more |= number.digits % 10 != 0;
		number.digits /= 10;
	}
	for (; number.shift > 0 && number.digits > 0 && number.digits < TIMEOUT_MAX; number.shift--)
		number.digits *= 10;
	number.digits += number.more;
	return number.digits < TIMEOUT_MAX ? number.digits : TIMEOUT_MAX;
}

/* A time-out in units of 10 to the SCALE ms. What cannot be read is refused by the server, too: it does not wait. */
static long long read_timeout(const struct command_line *line, int i, int scale)
{
	if (i < 1 || i >= line->argc)
		return 1;
	const char *text = line->argv[i], *end = text + command_len(line, i);
	struct decimal number = {.shift = scale};
	if (!read_mantissa(&text, end, &number) || !read_exponent(&text, end, &number) || text != end)
		return 1;
	return round_up(number);
}

bool shard_command_blocks(const shard_command *command, int argc, const char *const argv[], const size_t argvlen[],
			  long long *timeout_ms)
{
	const struct command_line line = {argc, argv, argvlen};
	bool blocks = true;
	long long timeout = 0;
	int block;
	switch (rule_of(command)) {
	case RULE_LAST_SECONDS:
		timeout = read_timeout(&line, argc - 1, 3);
		break;
	case RULE_FIRST_SECONDS:
		timeout = read_timeout(&line, 1, 3);
		break;
	case RULE_LAST_MS:
		timeout = read_timeout(&line, argc - 1, 0);
		break;
	case RULE_BLOCK:
		command_streams(&line, &block);
		blocks = block > 0;
		timeout = blocks ? read_timeout(&line, block, 0) : 0;
		break;
	default:
		blocks = command->flags & SHARD_CMD_BLOCKING;
	}
	if (timeout_ms)
		*timeout_ms = timeout;
	return blocks;
}
