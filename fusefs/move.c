/* SPDX-License-Identifier: MIT */
#include "move.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define COPIES 4

/* The serialized value, its expiry and its digest; nil: no such key; 0: too large. */
static const char dump_script[] = "local value = redis.call('DUMP', KEYS[1])\n"
				  "if not value then return false end\n"
				  "if #value > tonumber(ARGV[1]) then return 0 end\n"
				  "return {value, redis.call('PTTL', KEYS[1]), redis.sha1hex(value)}\n";

/* Removes what still has this digest. 1: it is gone; 0: it has changed. */
static const char remove_script[] = "local value = redis.call('DUMP', KEYS[1])\n"
				    "if not value then return 1 end\n"
				    "if redis.sha1hex(value) ~= ARGV[1] then return 0 end\n"
				    "return redis.call('UNLINK', KEYS[1])\n";

/* Whether it has this digest. */
static const char compare_script[] = "local value = redis.call('DUMP', KEYS[1])\n"
				     "return value and redis.sha1hex(value) == ARGV[1] and 1 or 0\n";

struct move {
	struct fs *fs;
	struct move_options how;
	void (*done)(void *ctx, int error);
	void *ctx;
	void (*step)(struct move *move, const shard_result *result);
	unsigned copies;
	char digest[41];
	char keys[]; /* of both */
};

static void end(struct move *move, int error)
{
	void (*done)(void *ctx, int error) = move->done;
	void *ctx = move->ctx;

	free(move);
	done(ctx, error);
}

static void came(void *ctx, const shard_result *result)
{
	struct move *move = ctx;

	move->step(move, result);
}

static unsigned left_ms(const struct move *move)
{
	unsigned timeout = fs_timeout_ms(move->fs);
	uint64_t spent = (stats_now_us() - move->how.began_us) / 1000;

	return spent < timeout ? timeout - (unsigned)spent : 1;
}

static void submit(struct move *move, int count, const char *const word[], const size_t len[], unsigned flags,
		   void (*step)(struct move *move, const shard_result *result))
{
	const shard_call how = {.timeout_ms = left_ms(move), .flags = flags};

	move->step = step;
	move->fs->stats.commands++;
	int error = shard_submit(fs_client(move->fs), count, word, len, &how, came, move, NULL);
	if (error)
		end(move, errors_of_code(error));
}

static bool failed(struct move *move, const shard_result *result)
{
	int error = errors_of_result(result);

	if (error)
		end(move, error);
	return error;
}

static bool is_one(const shard_result *result)
{
	return result->reply->type == SHARD_REPLY_INTEGER && result->reply->integer;
}

/* ---- within a slot ---- */

static void renamed(struct move *move, const shard_result *result)
{
	if (failed(move, result))
		return;
	end(move, result->reply->type == SHARD_REPLY_INTEGER && !result->reply->integer ? EEXIST : 0);
}

static void rename_in_slot(struct move *move)
{
	const char *const word[] = {move->how.replace ? "RENAME" : "RENAMENX", move->how.from, move->how.to};
	const size_t len[] = {strlen(word[0]), move->how.from_len, move->how.to_len};

	submit(move, 3, word, len, 0, renamed);
}

/* ---- across slots ---- */

static void copy(struct move *move);

static void submit_script(struct move *move, const char *script, bool source, const char *arg,
			  void (*step)(struct move *move, const shard_result *result))
{
	const struct move_options *how = &move->how;
	const char *const word[] = {"EVAL", script, "1", source ? how->from : how->to, arg};
	const size_t len[] = {4, strlen(script), 1, source ? how->from_len : how->to_len, strlen(arg)};

	submit(move, 5, word, len, SHARD_IDEMPOTENT, step);
}

static void source_removed(struct move *move, const shard_result *result)
{
	if (failed(move, result))
		return;
	if (is_one(result)) {
		end(move, 0);
	} else if (++move->copies < COPIES) {
		move->how.replace = true; /* it is our copy by now */
		copy(move);
	} else {
		end(move, EBUSY);
	}
}

static void remove_source(struct move *move)
{
	submit_script(move, remove_script, true, move->digest, source_removed);
}

static void compared(struct move *move, const shard_result *result)
{
	if (failed(move, result))
		return;
	if (is_one(result))
		remove_source(move);
	else
		end(move, EEXIST);
}

static void restored(struct move *move, const shard_result *result)
{
	bool there = result->error == SHARD_ESERVER && errors_of_result(result) == EEXIST;

	if (there && move->how.again)
		submit_script(move, compare_script, false, move->digest, compared);
	else if (!failed(move, result))
		remove_source(move);
}

static void restore(struct move *move, const shard_reply *value, long long pttl)
{
	const struct move_options *how = &move->how;
	char expiry[24];

	/* For RESTORE 0 is "never". */
	snprintf(expiry, sizeof(expiry), "%lld", pttl < 0 ? 0 : pttl ? pttl : 1);
	const char *const word[] = {"RESTORE", how->to, expiry, value->str, "REPLACE"};
	const size_t len[] = {7, how->to_len, strlen(expiry), value->len, 7};
	submit(move, how->replace ? 5 : 4, word, len, 0, restored);
}

static void dumped(struct move *move, const shard_result *result)
{
	const shard_reply *reply = result->reply;

	if (failed(move, result))
		return;
	if (reply->type == SHARD_REPLY_NIL) {
		end(move, ENOENT);
	} else if (reply->type == SHARD_REPLY_INTEGER) {
		end(move, E2BIG);
	} else if (reply->type != SHARD_REPLY_ARRAY || reply->len != 3 ||
		   reply->element[0].type != SHARD_REPLY_STRING || reply->element[1].type != SHARD_REPLY_INTEGER ||
		   reply->element[2].type != SHARD_REPLY_STRING || reply->element[2].len != 40) {
		end(move, EIO);
	} else {
		memcpy(move->digest, reply->element[2].str, 40);
		restore(move, &reply->element[0], reply->element[1].integer);
	}
}

static void copy(struct move *move)
{
	char most[24];

	snprintf(most, sizeof(most), "%zu", move->how.most ? move->how.most : SIZE_MAX / 2);
	submit_script(move, dump_script, true, most, dumped);
}

/* ---- */

void move_start(struct fs *fs, const struct move_options *how, void (*done)(void *ctx, int error), void *ctx)
{
	struct move *move = calloc(1, sizeof(*move) + how->from_len + how->to_len);

	if (!move) {
		done(ctx, ENOMEM);
		return;
	}
	move->fs = fs;
	move->how = *how;
	move->done = done;
	move->ctx = ctx;
	move->how.from = memcpy(move->keys, how->from, how->from_len);
	move->how.to = memcpy(move->keys + how->from_len, how->to, how->to_len);
	if (shard_client_together(fs_client(fs), how->from, how->from_len, how->to, how->to_len))
		rename_in_slot(move);
	else
		copy(move);
}
