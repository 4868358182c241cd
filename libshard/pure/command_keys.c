/* SPDX-License-Identifier: MIT */
/*
 * The keys of a command line. Mostly by key specifications; for the commands
 * whose keys they cannot find, or find wrongly, the way the server does it.
 */
#include <limits.h>
#include <stdlib.h>
#include <strings.h>

#include "pure/command.h"

bool command_is(const struct command_line *line, int i, const char *keyword)
{
	size_t len = strlen(keyword), have = command_len(line, i);
	return have >= len && strncasecmp(line->argv[i], keyword, len) == 0 &&
	       (have == len || line->argv[i][len] == '\0');
}

/*
 * A numkeys as servers read it (atoi, in the end): the digits that come
 * first, so that the line goes to the keys which the server will see. 0
 * where there are none.
 */
static int read_count(const struct command_line *line, int i)
{
	const char *text = line->argv[i], *end = text + command_len(line, i);
	while (text < end && (*text == ' ' || (*text >= '\t' && *text <= '\r')))
		text++;
	if (text < end && *text == '+')
		text++;
	int count = 0;
	for (; text < end && *text >= '0' && *text <= '9'; text++) {
		if (count > (INT_MAX - 9) / 10)
			return INT_MAX;
		count = count * 10 + (*text - '0');
	}
	return count;
}

static int find_keyword(const struct command_spec *spec, const struct command_line *line)
{
	if (spec->position < 0) {
		for (int i = line->argc + spec->position; i > 0; i--)
			if (command_is(line, i, spec->keyword))
				return i;
		return -1;
	}
	for (int i = spec->position; i < line->argc - 1; i++)
		if (command_is(line, i, spec->keyword))
			return i;
	return -1;
}

static bool apply_range(const struct command_spec *spec, int first, int argc, shard_key_range *range)
{
	int last = first + spec->a;
	if (spec->a < 0)
		last = spec->b ? first + (argc - first) / spec->b + spec->a : argc + spec->a;
	if (first >= argc || last >= argc || last < first)
		return false;
	*range = (shard_key_range){first, last - (last - first) % spec->step, spec->step};
	return true;
}

static bool apply_keynum(const struct command_spec *spec, int position, const struct command_line *line,
			 shard_key_range *range)
{
	if (position + spec->a >= line->argc)
		return false;
	int count = read_count(line, position + spec->a);
	int first = position + spec->b;
	if (count < 1 || count > (line->argc - first) / spec->step)
		return false;
	*range = (shard_key_range){first, first + (count - 1) * spec->step, spec->step};
	return true;
}

static bool apply(const struct command_spec *spec, int position, const struct command_line *line,
		  shard_key_range *range)
{
	if (spec->find == SPEC_KEYNUM)
		return apply_keynum(spec, position, line, range);
	return apply_range(spec, position, line->argc, range);
}

/* A list that goes to the end of the line, and has nothing in it: as good as none where the arity allows it. */
static bool is_empty_list(const struct command_spec *spec, int position, int argc)
{
	return spec->find == SPEC_RANGE && spec->a == -1 && spec->b == 0 && position == argc;
}

static int find_by_specs(const shard_command *command, const struct command_line *line,
			 shard_key_range ranges[SHARD_KEY_RANGES_MAX])
{
	const struct command_spec *spec = &command_specs[command->first_spec];
	bool is_empty = false;
	int count = 0;
	for (int i = 0; i < command->spec_count && count < SHARD_KEY_RANGES_MAX; i++, spec++) {
		int position = spec->keyword ? find_keyword(spec, line) + 1 : spec->position;
		if (position == 0)
			continue;
		if (apply(spec, position, line, &ranges[count]))
			count++;
		else if (is_empty_list(spec, position, line->argc))
			is_empty = true;
		else
			return -1;
	}
	return count > 0 || is_empty ? count : -1;
}

static int one_key(shard_key_range ranges[], int count, int place)
{
	ranges[count] = (shard_key_range){place, place, 1};
	return count + 1;
}

/* SORT key ... STORE key: the last STORE counts, and the arguments of other options are none. */
static int find_sort(const struct command_line *line, shard_key_range ranges[])
{
	int store = 0;
	for (int i = 2; i < line->argc; i++) {
		if (command_is(line, i, "limit"))
			i += 2;
		else if (command_is(line, i, "get") || command_is(line, i, "by"))
			i++;
		else if (command_is(line, i, "store") && i + 1 < line->argc)
			store = i + 1;
	}
	int count = one_key(ranges, 0, 1);
	return store ? one_key(ranges, count, store) : count;
}

/* MIGRATE host port key ... or MIGRATE host port "" ... KEYS key...; both at once is an error of syntax. */
static int find_migrate(const struct command_line *line, shard_key_range ranges[])
{
	for (int i = 6; i + 1 < line->argc; i++) {
		if (command_is(line, i, "keys")) {
			if (command_len(line, 3) > 0)
				return -1;
			ranges[0] = (shard_key_range){i + 1, line->argc - 1, 1};
			return 1;
		}
		if (command_is(line, i, "auth"))
			i++;
		else if (command_is(line, i, "auth2"))
			i += 2;
	}
	return one_key(ranges, 0, 3);
}

/* GEORADIUS key ... STORE key, STOREDIST key: the last one counts. */
static int find_georadius(const struct command_line *line, shard_key_range ranges[])
{
	int store = 0;
	for (int i = 5; i + 1 < line->argc; i++)
		if (command_is(line, i, "store") || command_is(line, i, "storedist"))
			store = ++i;
	int count = one_key(ranges, 0, 1);
	return store ? one_key(ranges, count, store) : count;
}

int command_streams(const struct command_line *line, int *block)
{
	*block = -1;
	for (int i = 1; i < line->argc; i++) {
		if (command_is(line, i, "streams"))
			return i;
		if (command_is(line, i, "block"))
			*block = ++i < line->argc ? i : -1;
		else if (command_is(line, i, "count") || command_is(line, i, "claim"))
			i++;
		else if (command_is(line, i, "group"))
			i += 2;
		else if (!command_is(line, i, "noack"))
			return -1;
	}
	return -1;
}

/* XREAD ... STREAMS key... id...: the specification would take a group of the name "streams" for the option. */
static int find_streams(const shard_command *command, const struct command_line *line, shard_key_range ranges[])
{
	int block, streams = command_streams(line, &block);
	int words = line->argc - streams - 1;
	if (streams < 0 || words < 2 || words % 2)
		return find_by_specs(command, line, ranges);
	ranges[0] = (shard_key_range){streams + 1, streams + words / 2, 1};
	return 1;
}

static int find_keys(const shard_command *command, const struct command_line *line, shard_key_range ranges[])
{
	switch (command->extra & FIND_MASK) {
	case FIND_SORT:
		return find_sort(line, ranges);
	case FIND_MIGRATE:
		return find_migrate(line, ranges);
	case FIND_GEORADIUS:
		return find_georadius(line, ranges);
	case FIND_STREAMS:
		return find_streams(command, line, ranges);
	}
	return find_by_specs(command, line, ranges);
}

static __attribute__((noinline)) int find_in_line(const shard_command *command, const struct command_line *line,
						  shard_key_range ranges[])
{
	int count = find_keys(command, line, ranges);
	return count < 0 && command->extra & FIND_OPTIONAL ? 0 : count;
}

int shard_command_keys(const shard_command *command, int argc, const char *const argv[], const size_t argvlen[],
		       shard_key_range ranges[SHARD_KEY_RANGES_MAX])
{
	if (command->spec_count == 0)
		return 0;
	if (argc < abs(command->arity))
		return -1;
	if ((command->extra & FIND_MASK) == FIND_FIRST)
		return argc > 1 ? one_key(ranges, 0, 1) : -1;
	const struct command_line line = {argc, argv, argvlen};
	return find_in_line(command, &line, ranges);
}
