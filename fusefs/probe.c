/* SPDX-License-Identifier: MIT */
#include "probe.h"

#include <errno.h>

#include "errors.h"
#include "op.h"
#include "type.h"

/* The commands are not atomic; a key that changes between them again and again is given up. */
#define TRIES 5

static void submit_all(struct op *op);

/* What the answers show of a string or nothing; false: too little, or they do not belong to one state of the key. */
static bool conclude(struct probe *probe)
{
	struct sight *sight = &probe->sight;
	size_t got = sight->start ? buffer_size(sight->start) : 0;

	sight->kind = KIND_STRING;
	sight->whole = got < PROBE_BYTES;
	sight->size = got;
	if (got && sight->whole)
		return true;
	if (probe->alone)
		return false;
	if (got) {
		sight->size = (size_t)probe->length;
		return sight->size >= got;
	}
	/* PTTL came between the two that tell of an empty value: no single change looks like one. */
	if (probe->pttl != -2)
		return probe->length == 0;
	sight->kind = KIND_NONE;
	sight->whole = false;
	return true;
}

static void join(struct op *op)
{
	struct probe *probe = &op->probe;

	if (--probe->left)
		return;
	if (probe->error) {
		probe->done(op, probe->error);
	} else if (probe->typed ? probe->sight.kind != KIND_STRING : !probe->wrong && conclude(probe)) {
		probe_date(op);
		probe->done(op, 0);
	} else if (++probe->tries < TRIES) {
		probe->typed = probe->wrong && !probe->typed;
		probe->alone = false;
		submit_all(op);
	} else {
		probe->done(op, ESTALE);
	}
}

static bool failed(struct probe *probe, const shard_result *result)
{
	int error = errors_of_result(result);

	if (error == ESTALE) /* WRONGTYPE */
		probe->wrong++;
	else if (error)
		probe->error = error;
	return error != 0;
}

static long long number_of(const shard_reply *reply)
{
	return reply->type == SHARD_REPLY_INTEGER ? reply->integer : -1;
}

static void came(struct op *op, const shard_result *result)
{
	cache_look_came(op->fs, &op->probe.look, op->key, op->key_len, result->node);
}

static void length_came(struct op *op, const shard_result *result)
{
	came(op, result);
	if (!failed(&op->probe, result))
		op->probe.length = number_of(result->reply);
	join(op);
}

static void pttl_came(struct op *op, const shard_result *result)
{
	came(op, result);
	if (!failed(&op->probe, result))
		op->probe.pttl = number_of(result->reply);
	join(op);
}

static void start_came(struct op *op, const shard_result *result)
{
	struct probe *probe = &op->probe;

	came(op, result);
	if (!failed(probe, result)) {
		const shard_reply *reply = result->reply;
		bool bytes = reply->type == SHARD_REPLY_STRING;

		probe->sight.start = bytes ? buffer_create(reply->str, reply->len) : buffer_create(NULL, 0);
		if (!probe->sight.start)
			probe->error = ENOMEM;
	}
	join(op);
}

static void type_came(struct op *op, const shard_result *result)
{
	struct probe *probe = &op->probe;

	came(op, result);
	if (!failed(probe, result) && result->reply->type == SHARD_REPLY_STATUS)
		probe->sight.kind = kind_of_type(result->reply->str);
	join(op);
}

static unsigned submit_looks(struct op *op)
{
	struct words range = {0};
	unsigned count = 0;

	if (op->probe.typed) {
		count += op_submit_key(op, "TYPE", type_came);
		return count + (op->probe.look.good && op_submit_key(op, "PTTL", pttl_came));
	}
	if (!op->probe.alone) {
		count += op_submit_key(op, "STRLEN", length_came);
		count += op_submit_key(op, "PTTL", pttl_came);
	}
	words_text(&range, "GETRANGE");
	words_key(&range, op);
	words_text(&range, "0");
	words_text(&range, "65535");
	return count + op_submit(op, &range, NULL, start_came);
}

static void submit_all(struct op *op)
{
	struct probe *probe = &op->probe;

	probe_finish(op);
	/* What is kept must end when the key does. */
	bool kept = cache_look_begins(op->fs, &probe->look, op->key, op->key_len);
	if (kept)
		probe->alone = false;
	unsigned wanted = probe->typed ? 2 + kept : probe->alone ? 2 : 4;
	probe->error = 0;
	probe->wrong = 0;
	probe->length = probe->pttl = 0;
	/* More than are submitted, so that the join waits for all, and for this function. */
	probe->turn = op->fs->cache.turn;
	probe->left = 1;
	probe->left += submit_looks(op);
	if (probe->left < wanted)
		probe->error = ENOMEM;
	if (probe->left > 1)
		probe->left--;
}

void probe_expect(struct probe *probe, const struct inode *inode)
{
	probe->alone = inode && !inode->odd;
	probe->typed = inode && inode->kind != KIND_STRING;
}

void probe_start(struct op *op, void (*done)(struct op *op, int error))
{
	op->probe.done = done;
	op->probe.tries = 0;
	op->probe.turn = op->fs->cache.turn;
	if (op->member) {
		if (op->inode->parent) {
			inode_stale(op->inode);
			probe_expect(&op->probe, op->inode);
		}
		type_look(op);
		return;
	}
	if (op->inode) {
		inode_stale(op->inode);
		probe_expect(&op->probe, op->inode);
	}
	submit_all(op);
}

void probe_date(struct op *op)
{
	struct probe *probe = &op->probe;

	probe->sight.at = fs_now_ms();
	probe->sight.late = cache_is_late(op->fs, op->key, op->key_len, probe->turn);
}

void probe_finish(struct op *op)
{
	struct probe *probe = &op->probe;

	buffer_unref(probe->sight.start);
	probe->sight = (struct sight){.kind = KIND_NONE};
}
