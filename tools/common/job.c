/* SPDX-License-Identifier: MIT */
#include "job.h"

#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct stream_job *job_new(struct stream_job **pool, const void *name, size_t len)
{
	struct stream_job *job = *pool;

	if (job && len <= JOB_SHORT)
		*pool = job->next;
	else
		job = cli_alloc(sizeof(*job) + (len > JOB_SHORT ? len : JOB_SHORT));
	memset(job, 0, offsetof(struct stream_job, value));
	job->name_len = len;
	if (len)
		memcpy(job->name, name, len);
	return job;
}

/* ---- results ---- */

static char *copy_text(const char *text)
{
	return strcpy(cli_alloc(strlen(text ? text : "") + 1), text ? text : "");
}

static void copy_result(shard_result *to, const shard_result *from)
{
	shard_result *part = from->part_count ? cli_alloc(from->part_count * sizeof(*part)) : NULL;

	*to = (shard_result){.error = from->error, .slot = from->slot, .part = part, .part_count = from->part_count};
	if (from->reply)
		to->reply = shard_reply_copy(from->reply);
	if (from->reply && !to->reply)
		cli_alloc((size_t)-1); /* says so and ends */
	to->node = copy_text(from->node);
	to->message = copy_text(from->message);
	for (size_t i = 0; i < from->part_count; i++)
		copy_result(&part[i], &from->part[i]);
}

/* Most results are short and without error: their copy has its place in the job. */
static bool keep_short(struct stream_job *job, const shard_result *result)
{
	const shard_reply *reply = result->reply;
	bool text = reply && (reply->type == SHARD_REPLY_STRING || reply->type == SHARD_REPLY_STATUS);

	if (result->error || !reply || reply->type == SHARD_REPLY_ARRAY || result->part_count ||
	    (text && reply->len >= JOB_SHORT))
		return false;
	job->reply = *reply;
	if (text) {
		job->reply.str = memcpy(job->value, reply->str, reply->len);
		job->value[reply->len] = '\0';
	}
	job->result = (shard_result){.reply = &job->reply, .message = "", .node = "", .slot = result->slot};
	job->short_reply = true;
	return true;
}

void job_keep(struct stream_job *job, const shard_result *result)
{
	if (!keep_short(job, result))
		copy_result(&job->result, result);
	job->done = true;
}

static void free_result(shard_result *result)
{
	shard_reply_free((shard_reply *)result->reply);
	free((char *)result->message);
	free((char *)result->node);
	for (size_t i = 0; i < result->part_count; i++)
		free_result((shard_result *)&result->part[i]);
	free((shard_result *)result->part);
}

void job_free(struct stream_job **pool, struct stream_job *job)
{
	if (job->done && !job->short_reply)
		free_result(&job->result);
	free(job->hashes);
	free(job->extra);
	if (job->name_len > JOB_SHORT)
		return free(job);
	job->next = *pool;
	*pool = job;
}

void job_pool_free(struct stream_job **pool)
{
	while (*pool) {
		struct stream_job *job = *pool;

		*pool = job->next;
		free(job);
	}
}
