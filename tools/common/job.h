/* SPDX-License-Identifier: MIT */
/*
 * A record of a stream that is under way, from its submission to its answer.
 * Short names and values have their place in the job, and jobs are used again:
 * most records cost no malloc().
 */
#ifndef JOB_H
#define JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shard/client.h>

#define JOB_SHORT 64

struct stream;

struct stream_job {
	struct stream_job *next; /* in the order of the input */
	struct stream *stream;
	uint64_t number;  /* of its record; 0: an argument */
	size_t bytes;     /* what it takes of the window */
	uint64_t hash;    /* claimed, where claims is 1 */
	uint64_t *hashes; /* claimed, where claims is greater; freed with the job */
	size_t claims;
	bool writes;      /* how they are claimed */
	void *extra;      /* the tool's; freed with the job */
	bool done;        /* result is a copy, to be answered in its turn */
	bool short_reply; /* it is in reply, and its bytes in value */
	shard_result result;
	shard_reply reply;
	size_t name_len;
	char value[JOB_SHORT];
	char name[]; /* what errors call it: the key; room for JOB_SHORT bytes at least */
};

/* A job called NAME (copied); all else is zero. From POOL, where there is one that fits. */
struct stream_job *job_new(struct stream_job **pool, const void *name, size_t len);

/* Keeps a copy of RESULT for the job's turn. */
void job_keep(struct stream_job *job, const shard_result *result);

/* Frees the job, or gives it to the pool. */
void job_free(struct stream_job **pool, struct stream_job *job);

void job_pool_free(struct stream_job **pool);

#endif
