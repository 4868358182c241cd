/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <errno.h>

#include "errors.h"
#include "op.h"

/* The four commands are not atomic; a key that changes between them again and again is given up. */
#define TRIES 5

static void submit_all(struct op *op);

/* Whether the four answers belong to one state of the key. */
static bool consistent(const struct probe *probe)
{
	if (probe->raced || !probe->sight.start)
		return false;
	return buffer_size(probe->sight.start) || (probe->length == 0 && probe->pttl != -2);
}

static void join(struct op *op)
{
	struct probe *probe = &op->probe;
	struct sight *sight = &probe->sight;

	if (--probe->left)
		return;
	if (probe->error || sight->type != SIGHT_STRING) {
		probe->done(op, probe->error);
		return;
	}
	if (!consistent(probe)) {
		if (++probe->tries < TRIES)
			submit_all(op);
		else
			probe->done(op, ESTALE);
		return;
	}
	sight->at = fs_now_ms();
	sight->size = buffer_size(sight->start);
	sight->whole = sight->size < PROBE_BYTES;
	if (!sight->whole && (size_t)probe->length > sight->size)
		sight->size = (size_t)probe->length;
	probe->done(op, 0);
}

static bool failed(struct probe *probe, const shard_result *result)
{
	int error = errors_of_result(result);

	if (error == ESTALE) /* WRONGTYPE: TYPE tells, or told, what it is */
		probe->raced = true;
	else if (error)
		probe->error = error;
	return error != 0;
}

static void type_came(struct op *op, const shard_result *result)
{
	struct probe *probe = &op->probe;

	if (!failed(probe, result)) {
		if (shard_reply_is(result->reply, "none"))
			probe->sight.type = SIGHT_NONE;
		else
			probe->sight.type = shard_reply_is(result->reply, "string") ? SIGHT_STRING : SIGHT_OTHER;
	}
	join(op);
}

static long long number_of(const shard_reply *reply)
{
	return reply->type == SHARD_REPLY_INTEGER ? reply->integer : -1;
}

static void length_came(struct op *op, const shard_result *result)
{
	if (!failed(&op->probe, result))
		op->probe.length = number_of(result->reply);
	join(op);
}

static void pttl_came(struct op *op, const shard_result *result)
{
	if (!failed(&op->probe, result))
		op->probe.pttl = number_of(result->reply);
	join(op);
}

static void start_came(struct op *op, const shard_result *result)
{
	struct probe *probe = &op->probe;

	if (!failed(probe, result)) {
		const shard_reply *reply = result->reply;
		bool bytes = reply->type == SHARD_REPLY_STRING;

		probe->sight.start = bytes ? buffer_create(reply->str, reply->len) : buffer_create(NULL, 0);
		if (!probe->sight.start)
			probe->error = ENOMEM;
	}
	join(op);
}

static void submit_all(struct op *op)
{
	struct probe *probe = &op->probe;
	struct words range = {0};

	probe_finish(probe);
	probe->error = 0;
	probe->raced = false;
	probe->length = probe->pttl = 0;
	words_text(&range, "GETRANGE");
	words_key(&range, op);
	words_text(&range, "0");
	words_text(&range, "65535");
	/* More than are submitted, so that the join waits for all, and for this function. */
	probe->left = 1;
	probe->left += op_submit_key(op, "TYPE", type_came);
	probe->left += op_submit_key(op, "STRLEN", length_came);
	probe->left += op_submit_key(op, "PTTL", pttl_came);
	probe->left += op_submit(op, &range, NULL, start_came);
	if (probe->left < 5)
		probe->error = ENOMEM;
	if (probe->left > 1)
		probe->left--;
}

void probe_start(struct op *op, void (*done)(struct op *op, int error))
{
	op->probe.done = done;
	op->probe.tries = 0;
	if (op->inode)
		inode_stale(op->inode);
	submit_all(op);
}

void probe_finish(struct probe *probe)
{
	buffer_unref(probe->sight.start);
	probe->sight = (struct sight){.type = SIGHT_NONE};
}
