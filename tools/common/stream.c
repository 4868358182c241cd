/* SPDX-License-Identifier: MIT */
#include "stream.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"

#define WINDOW_FIRST 16
#define WINDOW_LEAST 4
#define WINDOW_MAX 1536 /* open at once: more no longer fits the second-level cache */
#define BYTES_MAX ((size_t)16 * 1024 * 1024)
#define OUT_HIGH (1024 * 1024)
#define FAILURES_SHOWN 10

void stream_status(struct stream *stream, int status)
{
	if (status > stream->status)
		stream->status = status;
}

/* ---- jobs ---- */

struct stream_job *stream_job_new(struct stream *stream, const void *name, size_t len)
{
	struct stream_job *job = job_new(&stream->pool, name, len);

	job->stream = stream;
	job->number = stream->number;
	job->bytes = sizeof(*job) + len;
	stream->bytes += job->bytes;
	stream->open++;
	*stream->tail = job;
	stream->tail = &job->next;
	return job;
}

void stream_claim(struct stream_job *job, uint64_t hash, bool writes)
{
	if (job->claims++)
		job->hashes[job->claims - 1] = hash;
	else
		job->hash = hash;
	job->writes = writes;
	busy_add(&job->stream->busy, hash, writes);
}

static void release_claims(struct stream_job *job)
{
	for (size_t i = 0; i < job->claims; i++)
		busy_remove(&job->stream->busy, i ? job->hashes[i] : job->hash, job->writes);
	job->claims = 0;
}

/* ---- answers ---- */

/* What the server says about this key is the key's affair; a way that fails will fail for the next one too. */
static bool is_hopeless(int error)
{
	return error != SHARD_ESERVER && error != SHARD_EINVAL && error != SHARD_ECROSSSLOT &&
	       error != SHARD_EUNSUPPORTED;
}

const char *stream_title(const struct stream_job *job, char title[STREAM_TITLE_SIZE])
{
	char shown[STREAM_TITLE_SIZE / 2];

	snprintf(title, STREAM_TITLE_SIZE, "line %llu: %s", (unsigned long long)job->number,
		 job->name_len ? cli_show(job->name, job->name_len, shown, sizeof(shown)) : "\"\"");
	return title;
}

static void stream_report(const struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	char title[STREAM_TITLE_SIZE];

	if (stream->tool->numbered)
		cli_result_error(title, strlen(stream_title(job, title)), result);
	else
		cli_result_error(job->name, job->name_len, result);
}

void stream_fail(struct stream *stream, const struct stream_job *job, const shard_result *result)
{
	stream_status(stream, CLI_FAILED);
	if (is_hopeless(result->error)) {
		stream->stopped = true;
		if (++stream->failures > FAILURES_SHOWN)
			return;
	}
	stream_report(stream, job, result);
}

static void answer(struct stream_job *job, const shard_result *result)
{
	struct stream *stream = job->stream;

	if (result->error && !stream->tool->errors)
		stream_fail(stream, job, result);
	else
		stream->tool->answer(stream, job, result);
	stream->head = job->next;
	if (!stream->head)
		stream->tail = &stream->head;
	stream->open--;
	stream->bytes -= job->bytes;
	stream->answered++;
	job_free(&stream->pool, job);
}

/* Values that prove large make the window small at once, small ones open it by one each. */
static void adapt_window(struct stream *stream, const shard_result *result)
{
	size_t size = result->reply && result->reply->type == SHARD_REPLY_STRING ? result->reply->len : 0;
	size_t limit;

	if (size >= stream->reply_size)
		stream->reply_size = size;
	else
		stream->reply_size -= (stream->reply_size - size + 15) / 16;
	limit = BYTES_MAX / (stream->reply_size + 1);
	if (limit > WINDOW_MAX)
		limit = WINDOW_MAX;
	if (limit < WINDOW_LEAST)
		limit = WINDOW_LEAST;
	stream->window = stream->window < limit ? stream->window + 1 : limit;
}

void stream_settle(struct stream_job *job, const shard_result *result)
{
	struct stream *stream = job->stream;

	release_claims(job);
	if (job != stream->head) {
		job_keep(job, result);
		return;
	}
	answer(job, result);
	while (stream->head && stream->head->done)
		answer(stream->head, &stream->head->result);
}

/* ---- records ---- */

static bool next_arg(struct stream *stream)
{
	const char *arg;

	if (stream->next_arg == stream->arg_count)
		return false;
	arg = stream->args[stream->next_arg++];
	stream->field[0] = (struct record_field){arg, strlen(arg)};
	return true;
}

const char *stream_parse_record(struct stream *stream, char *data, size_t len)
{
	return record_split(stream->writer.format, data, len, stream->names, stream->fields, stream->field);
}

static void bad_record(struct stream *stream, const char *why)
{
	const char *unit = stream->input.delimiter ? "line" : "record";

	cli_error("%s %llu: %s", unit, (unsigned long long)stream->input.number, why);
	stream_status(stream, CLI_FAILED);
}

static bool next_input(struct stream *stream)
{
	char *data;
	size_t len;
	const char *why;

	for (;;) {
		switch (input_next(&stream->input, &data, &len)) {
		case INPUT_RECORD:
			stream->number = stream->input.number;
			why = stream->tool->parse(stream, data, len);
			if (!why)
				return true;
			bad_record(stream, why);
			break;
		case INPUT_MORE:
			stream->starved = !stream->plain_input;
			if (stream->starved)
				return false;
			input_fill(&stream->input);
			break;
		case INPUT_BROKEN:
			bad_record(stream, "not complete: it does not end in NUL");
			return false;
		case INPUT_END:
			return false;
		}
	}
}

static bool next_record(struct stream *stream)
{
	return stream->args ? next_arg(stream) : next_input(stream);
}

static bool has_room(const struct stream *stream)
{
	return stream->open < stream->window && stream->bytes < BYTES_MAX && out_waiting(&stream->out) < OUT_HIGH;
}

static void pump(struct stream *stream)
{
	stream->starved = false;
	while (!stream->stopped && has_room(stream)) {
		if (!stream->ready && !next_record(stream))
			return;
		stream->ready = true;
		if (!stream->tool->submit(stream))
			return;
		stream->ready = false;
	}
}

void stream_on_result(void *ctx, const shard_result *result)
{
	struct stream_job *job = ctx;
	struct stream *stream = job->stream;

	adapt_window(stream, result);
	stream_settle(job, result);
	if (stream->open <= stream->window / 2)
		pump(stream);
}

void stream_send(struct stream_job *job, const shard_args *command, const shard_call *how)
{
	struct stream *stream = job->stream;
	int error = shard_submit(stream->client, command->argc, command->argv, command->argvlen, how, stream_on_result,
				 job, NULL);

	if (error)
		stream_settle(job, &(shard_result){.error = error, .message = shard_strerror(error), .slot = -1});
}

/* ---- the loop ---- */

static void on_input(void *ctx, uint32_t events)
{
	struct stream *stream = ctx;

	if (stream->ready)
		return; /* the record that waits lies in the block */
	input_fill(&stream->input);
	pump(stream);
}

/*
 * Input is watched only while there is room for it: a full window holds the writer of the pipe back.
 * Returns false where it cannot be watched: then it is to be read now.
 */
static bool watch_input(struct stream *stream)
{
	uint32_t events = stream->starved && !stream->input.ended && !stream->stopped ? EPOLLIN : 0;

	if (!stream->in_watch || events == stream->in_events)
		return true;
	stream->in_events = events;
	if (!shard_watch_set(stream->in_watch, events))
		return true;
	shard_watch_remove(stream->in_watch);
	stream->in_watch = NULL;
	stream->plain_input = true;
	return false;
}

static void open_input(struct stream *stream)
{
	char delimiter = stream->writer.format == RECORD_NUL ? '\0' : '\n';
	struct stat st;

	input_init(&stream->input, STDIN_FILENO, delimiter, delimiter ? 1 : stream->fields);
	if (!fstat(STDIN_FILENO, &st) && S_ISREG(st.st_mode))
		stream->input_size = (uint64_t)st.st_size;
	/* epoll refuses regular files, which never make one wait; with no events to watch it would tell only later. */
	stream->in_events = EPOLLIN;
	stream->in_watch = shard_watch_add(stream->client, STDIN_FILENO, stream->in_events, on_input, stream);
	stream->plain_input = !stream->in_watch;
}

static bool is_over(const struct stream *stream)
{
	bool more = stream->args ? stream->next_arg < stream->arg_count
				 : !stream->input.ended || stream->input.start < stream->input.end;

	return !stream->open && (stream->stopped || (!more && !stream->ready));
}

static void show_progress(struct stream *stream)
{
	uint64_t used = stream->input.taken - (stream->input.end - stream->input.start);

	if (stream->args)
		progress_show(&stream->progress, stream->answered, stream->answered, stream->arg_count);
	else
		progress_show(&stream->progress, stream->answered, used, stream->input_size);
}

static void loop(struct stream *stream)
{
	pump(stream);
	while (!is_over(stream)) {
		out_drain(&stream->out, stream->client);
		if (!watch_input(stream)) {
			pump(stream);
			continue;
		}
		if (shard_client_wait(stream->client, progress_wait_ms(&stream->progress)))
			return stream_status(stream, CLI_FAILED);
		show_progress(stream);
		pump(stream);
	}
}

static void report_stop(const struct stream *stream)
{
	if (stream->failures > FAILURES_SHOWN)
		cli_error("%llu more %s failed", (unsigned long long)(stream->failures - FAILURES_SHOWN),
			  stream->tool->unit);
	if (stream->stopped && !stream->args && stream->number)
		cli_error("stopped: %s %llu was the last one sent", stream->input.delimiter ? "line" : "record",
			  (unsigned long long)stream->number);
}

int stream_run(struct stream *stream)
{
	stream->tail = &stream->head;
	stream->window = WINDOW_FIRST;
	stream->writer.out = &stream->out;
	if (!stream->args)
		open_input(stream);
	progress_init(&stream->progress, stream->tool->unit);
	loop(stream);
	progress_end(&stream->progress);
	out_flush(&stream->out);
	report_stop(stream);
	if (stream->input.failed)
		stream_status(stream, CLI_FAILED);
	shard_watch_remove(stream->in_watch);
	input_finish(&stream->input);
	out_finish(&stream->out);
	busy_finish(&stream->busy);
	job_pool_free(&stream->pool);
	return stream->status;
}
