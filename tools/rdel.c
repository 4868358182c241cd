/* SPDX-License-Identifier: MIT */
/* rdel: deletes keys. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "format.h"
#include "stream.h"

struct rdel {
	struct cli_connect connect;
	enum record_format format;
	struct words keys;
	long long deleted;
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct rdel *rdel = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &rdel->connect;
		state->child_inputs[1] = &rdel->format;
		return 0;
	case ARGP_KEY_ARG:
		words_add(&rdel->keys, arg, state);
		return 0;
	case ARGP_KEY_NO_ARGS:
		cli_usage("a KEY is missing");
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	.parser = parse_option,
	.args_doc = "KEY...\n-",
	.doc = "Deletes keys (UNLINK) and prints how many were there.\v"
	       "-: keys from standard input.\n\n"
	       "Exit status: 0 deleted, 1 none of the keys was there, 2 usage or a failure.",
	.children = format_children,
};

static bool submit(struct stream *stream)
{
	const struct record_field *key = &stream->field[0];
	const char *const argv[] = {"UNLINK", key->data};
	const size_t argvlen[] = {6, key->len};
	uint64_t hash = busy_hash(key->data, key->len);
	struct stream_job *job;

	if (busy_blocks(&stream->busy, hash, true))
		return false;
	job = stream_job_new(stream, key->data, key->len);
	stream_claim(job, hash, true);
	stream_send(job, &(shard_args){2, argv, argvlen}, NULL);
	return true;
}

static void answer(struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	struct rdel *rdel = stream->ctx;
	shard_result misfit;

	if (!cli_fits(result, SHARD_REPLY_INTEGER, &misfit))
		stream_fail(stream, job, &misfit);
	else if (result->reply->type == SHARD_REPLY_INTEGER)
		rdel->deleted += result->reply->integer;
}

static const struct stream_tool tool = {
	.unit = "keys",
	.parse = stream_parse_record,
	.submit = submit,
	.answer = answer,
};

static void print_deleted(long long deleted)
{
	struct out out;

	out_init(&out, STDOUT_FILENO);
	out_number(&out, deleted);
	out_char(&out, '\n');
	out_flush(&out);
	out_finish(&out);
}

static int delete (struct rdel *rdel)
{
	static const char *const names[] = {"key"};
	bool input = words_are_input(&rdel->keys);
	struct stream stream = {
		.client = rdel->connect.client,
		.tool = &tool,
		.ctx = rdel,
		.args = input ? NULL : rdel->keys.word,
		.arg_count = rdel->keys.count,
		.writer.format = rdel->format,
		.names = names,
		.fields = 1,
		.out.fd = STDOUT_FILENO,
	};
	int status = stream_run(&stream);

	print_deleted(rdel->deleted);
	if (!input)
		cli_connect_remember(&rdel->connect);
	return rdel->deleted || status > CLI_NO ? status : CLI_NO;
}

int main(int argc, char *argv[])
{
	struct rdel rdel = {0};
	int status = CLI_FAILED;

	cli_start(argv);
	cli_parse(&argp, argc, argv, 0, &rdel);
	if (cli_connect_open(&rdel.connect, words_mode(&rdel.keys)))
		status = delete (&rdel);
	cli_connect_close(&rdel.connect);
	free(rdel.keys.word);
	return status;
}
