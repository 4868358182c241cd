/* SPDX-License-Identifier: MIT */
/*
 * Many requests from arguments or standard input: pipelined over all nodes,
 * answered in the order of the input, in constant memory.
 *
 * A record becomes a job when it is submitted; jobs wait in a queue until
 * their turn to be answered. The window is bounded in jobs and in bytes, and
 * opens slowly, so that values turn out to be large before many are asked for.
 */
#ifndef STREAM_H
#define STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>

#include "busy.h"
#include "input.h"
#include "job.h"
#include "out.h"
#include "progress.h"
#include "record.h"

#define STREAM_FIELDS_MAX 2
#define STREAM_TITLE_SIZE 128

struct stream_tool {
	const char *unit; /* what a record is: "keys" */
	bool numbered;    /* errors tell the number of the line */
	/*
	 * Takes a raw record; it stays readable until it has been submitted.
	 * Returns NULL, or what is wrong with it. Not called for arguments.
	 */
	const char *(*parse)(struct stream *stream, char *data, size_t len);
	/* Submits what was parsed last. Returns false where it has to wait for a job under way: it is called again. */
	bool (*submit)(struct stream *stream);
	/* A job's turn: RESULT is lent. Not called for failures unless errors is set. */
	void (*answer)(struct stream *stream, const struct stream_job *job, const shard_result *result);
	bool errors; /* answer() gets the failures too, and reports them by stream_fail() */
};

struct stream {
	/* Set by the caller before stream_run(); the rest zero. */
	shard_client *client;
	const struct stream_tool *tool;
	void *ctx;         /* the tool's */
	char *const *args; /* keys, each a record; NULL: standard input */
	size_t arg_count;
	struct record_writer writer;
	const char *const *names; /* fields of a record */
	unsigned fields;
	struct out out;

	/* The record under way. */
	struct record_field field[STREAM_FIELDS_MAX];
	uint64_t number;
	bool ready; /* parsed, not submitted */

	struct input input;
	size_t next_arg;
	bool plain_input, starved; /* read() when needed; a watch is needed to go on */
	uint64_t input_size;       /* 0: not known */
	shard_watch *in_watch;
	uint32_t in_events;

	struct stream_job *head, **tail;
	struct stream_job *pool;
	size_t open, bytes; /* jobs not answered yet, and what they hold */
	size_t window, reply_size;
	struct busy busy;
	struct progress progress;
	uint64_t answered;
	uint64_t failures; /* of the way there; the first are reported one by one */
	bool stopped;      /* after such a failure nothing more is read */
	int status;        /* enum cli_status */
};

/* Runs to the end of the input and of all jobs. Returns the exit status. */
int stream_run(struct stream *stream);

/* Raises the exit status. */
void stream_status(struct stream *stream, int status);

/* parse() for tools whose records are stream->fields fields. */
const char *stream_parse_record(struct stream *stream, char *data, size_t len);

/* ---- for submit() ---- */

/* A new job, last in the queue. NAME is copied. */
struct stream_job *stream_job_new(struct stream *stream, const void *name, size_t len);

/* Keeps others from the key with this hash until JOB is done. The caller asked busy_blocks() before. */
void stream_claim(struct stream_job *job, uint64_t hash, bool writes);

/* Submits a job's one command. A refusal becomes the job's answer. */
void stream_send(struct stream_job *job, const shard_args *command, const shard_call *how);

/* The callback and its job for what a tool submits itself. */
void stream_on_result(void *job, const shard_result *result);

/* A job that needs no request, or whose submission was refused: its result (copied). */
void stream_settle(struct stream_job *job, const shard_result *result);

/* ---- for answer() ---- */

/* What errors call a job of a numbered tool: its line and its name. Returns TITLE. */
const char *stream_title(const struct stream_job *job, char title[STREAM_TITLE_SIZE]);

/* Reports a failed job, and stops the stream where going on is pointless. */
void stream_fail(struct stream *stream, const struct stream_job *job, const shard_result *result);

#endif
