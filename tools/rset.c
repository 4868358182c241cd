/* SPDX-License-Identifier: MIT */
/* rset: sets keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "stream.h"

#define VALUE_MAX ((size_t)512 << 20)
#define SET_WORDS_MAX 8
#define EXPIRE_MAX 9000000000000000LL /* what the server takes: its clock in milliseconds added, less than 2^63 */

enum { OPTION_EX = 0x200, OPTION_PX, OPTION_NX, OPTION_XX, OPTION_KEEPTTL };

struct rset {
	struct cli_connect connect;
	enum record_format format;
	struct words words;
	long long ex, px;
	const char *condition; /* "NX", "XX" or NULL */
	bool keepttl;
	char expire[24];
	uint64_t unmet;
};

static const struct argp_option options[] = {
	{"ex", OPTION_EX, "S", 0, "Expire after S seconds", 0},
	{"px", OPTION_PX, "MS", 0, "Expire after MS milliseconds", 0},
	{"nx", OPTION_NX, NULL, 0, "Only keys that are not there yet", 0},
	{"xx", OPTION_XX, NULL, 0, "Only keys that are there", 0},
	{"keepttl", OPTION_KEEPTTL, NULL, 0, "Keep the time to live that a key has", 0},
	{0},
};

static bool is_input(const struct rset *rset)
{
	return rset->words.count == 1 && words_are_input(&rset->words);
}

static void check_options(const struct rset *rset)
{
	if (!!rset->ex + !!rset->px + rset->keepttl > 1)
		cli_usage("--ex, --px and --keepttl exclude each other");
	if (!rset->words.count)
		cli_usage("a KEY is missing");
	if (rset->words.count > 2)
		cli_usage("a KEY and a VALUE are all");
	if (rset->words.count == 2 && !strcmp(rset->words.word[0], "-"))
		cli_usage("\"-\" must be the only word (a key of that name is given on standard input)");
	if (rset->format != RECORD_LINES && !is_input(rset))
		cli_usage("-0 and -j are for records: rset -");
}

static void set_condition(struct rset *rset, const char *condition)
{
	if (rset->condition && rset->condition != condition)
		cli_usage("--nx and --xx exclude each other");
	rset->condition = condition;
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	static const char nx[] = "NX", xx[] = "XX";
	struct rset *rset = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rset->connect;
		state->child_inputs[1] = &rset->format;
		return 0;
	case OPTION_EX:
		rset->ex = cli_number("--ex", arg, 1, EXPIRE_MAX / 1000);
		return 0;
	case OPTION_PX:
		rset->px = cli_number("--px", arg, 1, EXPIRE_MAX);
		return 0;
	case OPTION_NX:
		set_condition(rset, nx);
		return 0;
	case OPTION_XX:
		set_condition(rset, xx);
		return 0;
	case OPTION_KEEPTTL:
		rset->keepttl = true;
		return 0;
	case ARGP_KEY_ARG:
		words_add(&rset->words, arg, state);
		return 0;
	case ARGP_KEY_END:
		check_options(rset);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "KEY VALUE\nKEY\n-",
	.doc = "Sets keys.\v"
	       "KEY alone: the value is standard input's exact bytes. -: records KEY TAB VALUE from standard input, as "
	       "rget - prints them. A value that begins with - comes after --.\n\n"
	       "Exit status: 0 all set, 1 --nx or --xx was not met, 2 usage or a failure.",
	.children = format_children,
};

/* ---- the command ---- */

struct command {
	const char *argv[SET_WORDS_MAX];
	size_t argvlen[SET_WORDS_MAX];
	shard_args args;
};

static void add_word(struct command *command, const char *word, size_t len)
{
	command->argv[command->args.argc] = word;
	command->argvlen[command->args.argc++] = len;
}

static void make_command(struct command *command, struct rset *rset, const struct record_field field[2])
{
	command->args = (shard_args){0, command->argv, command->argvlen};
	add_word(command, "SET", 3);
	add_word(command, field[0].data, field[0].len);
	add_word(command, field[1].data, field[1].len);
	if (rset->ex || rset->px) {
		add_word(command, rset->ex ? "EX" : "PX", 2);
		add_word(command, rset->expire, strlen(rset->expire));
	}
	if (rset->keepttl)
		add_word(command, "KEEPTTL", 7);
	if (rset->condition)
		add_word(command, rset->condition, 2);
}

static const char *unmet_text(const struct rset *rset)
{
	return rset->condition && !strcmp(rset->condition, "NX") ? "exists already (--nx)" : "no such key (--xx)";
}

/* ---- one key ---- */

struct one {
	struct rset *rset;
	const char *key;
	int status;
};

static void on_set(void *ctx, const shard_result *result)
{
	struct one *one = ctx;
	shard_result misfit;

	if (!result->error && !cli_fits(result, SHARD_REPLY_STATUS, &misfit))
		result = &misfit;
	if (result->error) {
		cli_result_error(one->key, strlen(one->key), result);
		one->status = CLI_FAILED;
	} else if (result->reply->type == SHARD_REPLY_NIL) {
		cli_error_about(one->key, strlen(one->key), "%s", unmet_text(one->rset));
		one->status = CLI_NO;
	} else {
		one->status = CLI_OK;
	}
}

static int set_value(struct rset *rset, const char *value, size_t len)
{
	struct one one = {rset, rset->words.word[0], CLI_FAILED};
	const struct record_field field[] = {{one.key, strlen(one.key)}, {value, len}};
	struct command command;

	make_command(&command, rset, field);
	cli_once(&rset->connect, one.key, &command.args, NULL, on_set, &one);
	cli_connect_remember(&rset->connect);
	return one.status;
}

static int set_one(struct rset *rset)
{
	const char *value = rset->words.count > 1 ? rset->words.word[1] : NULL;
	struct input input;
	char *data;
	size_t len;
	int status = CLI_FAILED;

	if (value)
		return set_value(rset, value, strlen(value));
	input_init(&input, STDIN_FILENO, '\n', 1);
	if (input_all(&input, VALUE_MAX, &data, &len))
		status = set_value(rset, data, len);
	input_finish(&input);
	return status;
}

/* ---- many ---- */

static bool submit(struct stream *stream)
{
	const struct record_field *key = &stream->field[0];
	uint64_t hash = busy_hash(key->data, key->len);
	struct command command;
	struct stream_job *job;

	if (busy_blocks(&stream->busy, hash, true))
		return false;
	job = stream_job_new(stream, key->data, key->len);
	job->bytes += stream->field[1].len;
	stream->bytes += stream->field[1].len;
	stream_claim(job, hash, true);
	make_command(&command, stream->ctx, stream->field);
	stream_send(job, &command.args, NULL);
	return true;
}

static void answer(struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	struct rset *rset = stream->ctx;
	shard_result misfit;

	if (!cli_fits(result, SHARD_REPLY_STATUS, &misfit))
		stream_fail(stream, job, &misfit);
	else if (result->reply->type == SHARD_REPLY_NIL)
		rset->unmet++;
}

static const struct stream_tool tool = {
	.unit = "keys",
	.parse = stream_parse_record,
	.submit = submit,
	.answer = answer,
};

static int set_many(struct rset *rset)
{
	static const char *const names[] = {"key", "value"};
	struct stream stream = {
		.client = rset->connect.client,
		.tool = &tool,
		.ctx = rset,
		.writer.format = rset->format,
		.names = names,
		.fields = 2,
		.out.fd = STDOUT_FILENO,
	};
	int status = stream_run(&stream);

	if (rset->unmet)
		cli_error("%llu of %llu keys were not set (--%s)", (unsigned long long)rset->unmet,
			  (unsigned long long)stream.answered, !strcmp(rset->condition, "NX") ? "nx" : "xx");
	return rset->unmet && status < CLI_NO ? CLI_NO : status;
}

int main(int argc, char *argv[])
{
	struct rset rset = {0};
	int status = CLI_FAILED;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rset);
	snprintf(rset.expire, sizeof(rset.expire), "%lld", rset.ex ? rset.ex : rset.px);
	if (cli_connect_open(&rset.connect, is_input(&rset) ? CLI_STREAM : CLI_ONE_SHOT))
		status = is_input(&rset) ? set_many(&rset) : set_one(&rset);
	cli_connect_close(&rset.connect);
	free(rset.words.word);
	return status;
}
