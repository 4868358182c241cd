/* SPDX-License-Identifier: MIT */
#include "format.h"

#include <string.h>

#include "cli.h"

static const struct argp_option options[] = {
	{"null", '0', NULL, 0, "Records: every field ends in NUL, nothing is escaped", 0},
	{"json", 'j', NULL, 0, "Records: a JSON object a line; bytes that are not UTF-8 are {\"base64\":...}", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	enum record_format *format = state->input;

	if (key != '0' && key != 'j')
		return ARGP_ERR_UNKNOWN;
	if (*format != RECORD_LINES && *format != (key == '0' ? RECORD_NUL : RECORD_JSON))
		cli_usage("-0 and -j exclude each other");
	*format = key == '0' ? RECORD_NUL : RECORD_JSON;
	return 0;
}

const struct argp format_argp = {.options = options, .parser = parse_option};

const struct argp_child format_children[] = {
	{&cli_connect_argp, 0, "Servers:", 10},
	{&format_argp, 0, "Records:", 9},
	{0},
};

const struct argp_child connect_children[] = {
	{&cli_connect_argp, 0, "Servers:", 10},
	{0},
};

void words_add(struct words *words, char *arg, const struct argp_state *state)
{
	if (!words->word)
		words->word = cli_alloc((size_t)state->argc * sizeof(*words->word));
	words->word[words->count++] = arg;
}

bool words_are_input(const struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		if (words->count > 1 && !strcmp(words->word[i], "-"))
			cli_usage("\"-\" must be the only key (a key of that name is given on standard input)");
	return words->count == 1 && !strcmp(words->word[0], "-");
}

enum cli_connect_mode words_mode(const struct words *words)
{
	return words_are_input(words) || words->count > WORDS_LAZY_MAX ? CLI_STREAM : CLI_ONE_SHOT;
}
