/* SPDX-License-Identifier: MIT */
#include "rcmd_stream.h"

#include <stdlib.h>
#include <unistd.h>

#include "cli.h"
#include "rcmd_args.h"
#include "rcmd_line.h"
#include "rcmd_plan.h"
#include "rcmd_print.h"
#include "stream.h"

/*
 * Commands travel together as far as nobody can tell: one that shares a key
 * with one under way (and either writes) waits for it; one without keys waits
 * for all, and all wait for it.
 */
struct commands {
	struct stream stream;
	struct line_words words; /* of the line under way */
	bool alone;              /* a command without keys is under way */
	bool in_block;           /* between MULTI and EXEC */
	bool spoilt;             /* a line of the block was bad */
	uint64_t block_line;
	struct args_list block;
};

/* What stands in a job's extra where there is one. */
struct extra {
	bool per_node;
	bool block; /* it is EXEC */
	size_t queued;
};

static shard_args current(const struct commands *commands)
{
	return (shard_args){(int)commands->words.count, commands->words.word, commands->words.len};
}

static const char *parse(struct stream *stream, char *data, size_t len)
{
	struct commands *commands = stream->ctx;
	const char *why = line_split(&commands->words, data, len);

	commands->spoilt |= why && commands->in_block;
	return why;
}

/* ---- keys ---- */

struct keys {
	uint64_t *hash;
	size_t count, room;
	bool writes, unknown;
};

static void add_keys(struct keys *keys, const struct plan *plan, const shard_args *command)
{
	keys->writes |= !plan->command || !(plan->command->flags & SHARD_CMD_READONLY);
	keys->unknown |= !plan->command || plan->ranges < 0;
	for (int r = 0; r < plan->ranges; r++) {
		const shard_key_range *range = &plan->range[r];

		for (int i = range->first; i <= range->last; i += range->step) {
			if (keys->count == keys->room) {
				keys->room = keys->room ? keys->room * 2 : 4;
				keys->hash = cli_realloc(keys->hash, keys->room * sizeof(*keys->hash));
			}
			keys->hash[keys->count++] = busy_hash(command->argv[i], command->argvlen[i]);
		}
	}
}

static bool has_to_wait(const struct commands *commands, const struct keys *keys)
{
	const struct stream *stream = &commands->stream;

	if (commands->alone || ((keys->unknown || !keys->count) && stream->open))
		return true;
	for (size_t i = 0; i < keys->count; i++)
		if (busy_blocks(&stream->busy, keys->hash[i], keys->writes))
			return true;
	return false;
}

static struct stream_job *start_job(struct commands *commands, const char *name, size_t len, struct keys *keys)
{
	struct stream_job *job = stream_job_new(&commands->stream, name, len);

	commands->alone = keys->unknown || !keys->count;
	job->hashes = keys->hash;
	for (size_t i = 0; i < keys->count; i++)
		stream_claim(job, keys->hash[i], keys->writes);
	return job;
}

static void weigh(struct stream_job *job, size_t bytes)
{
	job->bytes += bytes;
	job->stream->bytes += bytes;
}

static struct extra *extra_new(struct extra extra)
{
	struct extra *copy = cli_alloc(sizeof(*copy));

	*copy = extra;
	return copy;
}

static void settle_refused(struct stream_job *job, int error)
{
	if (error)
		stream_settle(job, &(shard_result){.error = error, .message = shard_strerror(error), .slot = -1});
}

/* ---- one command ---- */

static bool submit_command(struct commands *commands)
{
	shard_args args = current(commands);
	struct keys keys = {0};
	struct plan plan;
	struct stream_job *job;

	plan_make(&plan, &args);
	add_keys(&keys, &plan, &args);
	if (has_to_wait(commands, &keys)) {
		free(keys.hash);
		return false;
	}
	job = start_job(commands, args.argv[0], args.argvlen[0], &keys);
	weigh(job, args_bytes(&args));
	if (plan.per_node)
		job->extra = extra_new((struct extra){.per_node = true});
	settle_refused(job, plan_submit(commands->stream.client, &plan, &args, stream_on_result, job));
	return true;
}

/* ---- MULTI ... EXEC ---- */

static void end_block(struct commands *commands)
{
	args_list_clear(&commands->block);
	commands->in_block = commands->spoilt = false;
}

static bool submit_block(struct commands *commands)
{
	const struct args_list *block = &commands->block;
	struct keys keys = {0};
	shard_call how = {0};
	struct stream_job *job;

	for (size_t i = 0; i < block->count; i++) {
		struct plan plan;

		plan_make(&plan, &block->command[i]);
		add_keys(&keys, &plan, &block->command[i]);
	}
	if (has_to_wait(commands, &keys)) {
		free(keys.hash);
		return false;
	}
	if (!keys.count)
		how.key = ""; /* any node will do */
	job = start_job(commands, "EXEC", 4, &keys);
	job->extra = extra_new((struct extra){.block = true, .queued = block->count});
	for (size_t i = 0; i < block->count; i++)
		weigh(job, args_bytes(&block->command[i]));
	settle_refused(job, shard_submit_multi(commands->stream.client, block->count, block->command, &how,
					       stream_on_result, job, NULL));
	end_block(commands);
	return true;
}

/* Nothing is sent, but the lines have their answers. */
static void discard_block(struct commands *commands)
{
	static const shard_reply ok = {.type = SHARD_REPLY_STATUS, .len = 2, .str = "OK"};
	struct stream_job *job = stream_job_new(&commands->stream, "DISCARD", 7);

	job->extra = extra_new((struct extra){.block = true, .queued = commands->block.count});
	stream_settle(job, &(shard_result){.reply = &ok, .message = "", .node = "", .slot = -1});
	end_block(commands);
}

static void drop_block(struct commands *commands, const char *why)
{
	cli_error("line %llu: %s; nothing of the block that begins in line %llu was executed",
		  (unsigned long long)commands->stream.number, why, (unsigned long long)commands->block_line);
	stream_status(&commands->stream, CLI_FAILED);
	end_block(commands);
}

/* A line inside of a block. */
static bool gather(struct commands *commands)
{
	shard_args args = current(commands);

	if (args.argc == 1 && args_word_is(&args, 0, "DISCARD")) {
		discard_block(commands);
	} else if (args.argc == 1 && args_word_is(&args, 0, "EXEC")) {
		if (!commands->spoilt)
			return submit_block(commands);
		drop_block(commands, "a line of it is bad");
	} else {
		args_list_add(&commands->block, &args);
	}
	return true;
}

static bool submit(struct stream *stream)
{
	struct commands *commands = stream->ctx;
	shard_args args = current(commands);

	if (!args.argc)
		return true;
	if (commands->in_block)
		return gather(commands);
	if (args.argc > 1 || !args_word_is(&args, 0, "MULTI"))
		return submit_command(commands);
	commands->in_block = true;
	commands->block_line = stream->number;
	return true;
}

/* ---- answers ---- */

/* What redis-cli shows for the lines of a block. */
static void print_queued(struct out *out, size_t queued)
{
	out_text(out, "OK\n");
	for (size_t i = 0; i < queued; i++)
		out_text(out, "QUEUED\n");
}

static void answer(struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	struct commands *commands = stream->ctx;
	const struct extra *extra = job->extra;
	char title[STREAM_TITLE_SIZE];

	commands->alone = false;
	if (result->error && !result->part_count)
		return stream_fail(stream, job, result);
	if (extra && extra->block)
		print_queued(&stream->out, extra->queued);
	if (!print_result(&stream->out, stream_title(job, title), result, extra && extra->per_node,
			  shard_client_topology(stream->client)))
		stream_status(stream, CLI_FAILED);
}

static const struct stream_tool tool = {
	.unit = "commands",
	.numbered = true,
	.parse = parse,
	.submit = submit,
	.answer = answer,
	.errors = true,
};

int run_stream(shard_client *client)
{
	struct commands commands = {
		.stream.client = client,
		.stream.tool = &tool,
		.stream.out.fd = STDOUT_FILENO,
		.stream.out.closed_status = CLI_FAILED, /* commands are left that nobody executed */
	};

	commands.stream.ctx = &commands;
	stream_run(&commands.stream);
	if (commands.in_block)
		drop_block(&commands, "MULTI without EXEC");
	line_words_finish(&commands.words);
	return commands.stream.status;
}
