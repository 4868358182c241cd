/* SPDX-License-Identifier: MIT */
#include "rslots_keys.h"

#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "input.h"

struct walk {
	enum record_format format;
	struct out *out;
	keys_each each;
	void *ctx;
};

bool keys_can(const struct record_writer *writer, const char *key, size_t len)
{
	if (record_can(writer, key, len))
		return true;
	cli_error_about(key, len, "holds a NUL, which -0 cannot carry");
	return false;
}

static int walk_args(const struct walk *walk, const struct words *words)
{
	int status = CLI_OK;

	for (size_t i = 0; i < words->count; i++)
		if (walk->each(walk->ctx, words->word[i], strlen(words->word[i])))
			status = CLI_FAILED;
	return status;
}

static int walk_record(const struct walk *walk, const struct input *input, char *data, size_t len)
{
	static const char *const names[] = {"key"};
	struct record_field key;
	const char *why = record_split(walk->format, data, len, names, 1, &key);

	if (!why)
		return walk->each(walk->ctx, key.data, key.len);
	cli_error("%s %llu: %s", input->delimiter ? "line" : "record", (unsigned long long)input->number, why);
	return CLI_FAILED;
}

static int walk_input(const struct walk *walk)
{
	struct input input;
	int status = CLI_OK;

	input_init(&input, STDIN_FILENO, walk->format == RECORD_NUL ? '\0' : '\n', 1);
	for (;;) {
		char *data = NULL;
		size_t len = 0;
		enum input_status next = input_next(&input, &data, &len);

		if (next == INPUT_END)
			break;
		if (next == INPUT_MORE) {
			out_flush(walk->out);
			input_fill(&input);
		} else if (next == INPUT_BROKEN) {
			cli_error("record %llu: not complete: it does not end in NUL",
				  (unsigned long long)input.number);
			status = CLI_FAILED;
		} else if (walk_record(walk, &input, data, len)) {
			status = CLI_FAILED;
		}
	}
	status = input.failed ? CLI_FAILED : status;
	input_finish(&input);
	return status;
}

int keys_walk(const struct words *words, enum record_format format, struct out *out, keys_each each, void *ctx)
{
	struct walk walk = {format, out, each, ctx};

	return words_are_input(words) ? walk_input(&walk) : walk_args(&walk, words);
}
