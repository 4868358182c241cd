/* SPDX-License-Identifier: MIT */
/* rget: the values of keys. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "stream.h"

struct rget {
	struct cli_connect connect;
	enum record_format format;
	struct words keys;
	bool values_only;
	uint64_t missing;
};

static const struct argp_option options[] = {
	{"values", 'v', NULL, 0, "Print values only, without their keys", 0},
	{0},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rget *rget = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rget->connect;
		state->child_inputs[1] = &rget->format;
		return 0;
	case 'v':
		rget->values_only = true;
		return 0;
	case ARGP_KEY_ARG:
		words_add(&rget->keys, arg, state);
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("a KEY is missing");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.options = options,
	.parser = parse_option,
	.args_doc = "KEY\nKEY KEY...\n-",
	.doc = "Prints the values of keys.\v"
	       "One KEY: the value's exact bytes. Several: a record each, KEY TAB VALUE, in the order asked; "
	       "missing keys are left out. -: keys from standard input.\n\n"
	       "Exit status: 0 all found, 1 a key is missing, 2 usage or a failure.",
	.children = format_children,
};

/* ---- one key ---- */

struct one {
	const char *key;
	int status;
};

static void print_exact(const shard_reply *reply)
{
	struct out out;

	out_init(&out, STDOUT_FILENO);
	out_direct(&out, reply->str, reply->len);
	if (isatty(STDOUT_FILENO))
		out_direct(&out, "\n", 1);
}

static void on_value(void *ctx, const shard_result *result)
{
	struct one *one = ctx;
	shard_result misfit;

	if (!result->error && !cli_fits(result, SHARD_REPLY_STRING, &misfit))
		result = &misfit;
	if (result->error) {
		cli_result_error(one->key, strlen(one->key), result);
		one->status = CLI_FAILED;
	} else if (result->reply->type == SHARD_REPLY_NIL) {
		cli_error_about(one->key, strlen(one->key), "no such key");
		one->status = CLI_NO;
	} else {
		print_exact(result->reply);
		one->status = CLI_OK;
	}
}

static int get_one(struct rget *rget)
{
	struct one one = {rget->keys.word[0], CLI_FAILED};
	const char *const argv[] = {"GET", one.key};

	cli_once(&rget->connect, one.key, &(shard_args){2, argv, NULL}, NULL, on_value, &one);
	cli_connect_remember(&rget->connect);
	return one.status;
}

/* ---- many ---- */

static bool submit(struct stream *stream)
{
	const struct record_field *key = &stream->field[0];
	const char *const argv[] = {"GET", key->data};
	const size_t argvlen[] = {3, key->len};

	stream_send(stream_job_new(stream, key->data, key->len), &(shard_args){2, argv, argvlen}, NULL);
	return true;
}

static bool can_print(struct stream *stream, const struct stream_job *job, const shard_reply *value)
{
	const struct record_writer *writer = &stream->writer;

	if (record_can(writer, job->name, job->name_len) && record_can(writer, value->str, value->len))
		return true;
	cli_error_about(job->name, job->name_len, "holds a NUL, which -0 cannot carry");
	stream_status(stream, CLI_FAILED);
	return false;
}

static void answer(struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	struct rget *rget = stream->ctx;
	const shard_reply *value = result->reply;
	shard_result misfit;

	if (!cli_fits(result, SHARD_REPLY_STRING, &misfit)) {
		stream_fail(stream, job, &misfit);
		return;
	}
	if (value->type == SHARD_REPLY_NIL) {
		rget->missing++;
		return;
	}
	if (!can_print(stream, job, value))
		return;
	record_begin(&stream->writer);
	if (!rget->values_only)
		record_text(&stream->writer, "key", job->name, job->name_len);
	record_text(&stream->writer, "value", value->str, value->len);
	record_end(&stream->writer);
}

static const struct stream_tool tool = {
	.unit = "keys",
	.parse = stream_parse_record,
	.submit = submit,
	.answer = answer,
};

static int get_many(struct rget *rget)
{
	static const char *const names[] = {"key"};
	bool input = words_are_input(&rget->keys);
	struct stream stream = {
		.client = rget->connect.client,
		.tool = &tool,
		.ctx = rget,
		.args = input ? NULL : rget->keys.word,
		.arg_count = rget->keys.count,
		.writer.format = rget->format,
		.names = names,
		.fields = 1,
		.out.fd = STDOUT_FILENO,
	};
	int status = stream_run(&stream);

	if (rget->missing)
		cli_error("%llu of %llu keys are missing", (unsigned long long)rget->missing,
			  (unsigned long long)stream.answered);
	if (!input)
		cli_connect_remember(&rget->connect);
	return rget->missing && status < CLI_NO ? CLI_NO : status;
}

int main(int argc, char *argv[])
{
	struct rget rget = {0};
	int status = CLI_FAILED;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rget);
	if (cli_connect_open(&rget.connect, words_mode(&rget.keys))) {
		bool one = rget.keys.count == 1 && rget.format == RECORD_LINES && !words_are_input(&rget.keys);

		status = one ? get_one(&rget) : get_many(&rget);
	}
	cli_connect_close(&rget.connect);
	free(rget.keys.word);
	return status;
}
