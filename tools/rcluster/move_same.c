/* SPDX-License-Identifier: MIT */
/*
 * Keys that are on both sides: a MIGRATE whose answer was lost has copied them
 * and not removed them, or whoever moved the slot has crashed then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "move_job.h"
#include "text.h"

enum { IN_SOURCE, IN_TARGET, SIDES };

static struct ask question(const struct move *move, const struct job *job, int side, const char *name,
			   const shard_reply *key, size_t lens[2])
{
	struct ask ask = {
		.to = move_node(move, side == IN_SOURCE ? job->task->source : job->task->target)->addr,
		.argc = 2,
		.argv = {name, key->str},
		.lens = lens,
		.flags = SHARD_ASKING,
	};

	lens[0] = strlen(name);
	lens[1] = key->len;
	return ask;
}

static bool ask_one(const struct move *move, struct ask *ask, struct job *job, int node, const char *what)
{
	if (ask_all(move->admin->client, NULL, ask, 1, move->admin->timeout_ms))
		return true;
	move_fail((struct move *)move, job, node, what, ask->error);
	return false;
}

/* The owner's copy counts, and the same is on the other side: of a left-over the source's goes, else it is sent. */
static bool settle_equal(struct move *move, struct job *job, const shard_reply *key, bool replace)
{
	const struct view_node *target = move_node(move, job->task->target);
	const shard_uri *uri = move->admin->connect.uri;
	char port[8], ms[12];
	const char *words[13] = {"MIGRATE", target->host, port, "", "0", ms, "REPLACE"};
	size_t lens[13], unlink_lens[2];
	struct ask ask;
	int n = 7;
	bool ok;

	if (job->task->kind != MOVE_OWNED && !replace) {
		ask = question(move, job, IN_SOURCE, "UNLINK", key, unlink_lens);
	} else {
		snprintf(port, sizeof(port), "%u", target->port);
		snprintf(ms, sizeof(ms), "%u", move->options->migrate_ms ? move->options->migrate_ms : 60000);
		if (uri->password)
			words[n++] = uri->user ? "AUTH2" : "AUTH";
		if (uri->password && uri->user)
			words[n++] = uri->user;
		if (uri->password)
			words[n++] = uri->password;
		words[n++] = "KEYS";
		for (int i = 0; i < n; i++)
			lens[i] = strlen(words[i]);
		words[n] = key->str;
		lens[n++] = key->len;
		ask = (struct ask){.to = move_node(move, job->task->source)->addr, .argc = n, .words = words, .lens = lens};
	}
	ok = ask_one(move, &ask, job, job->task->source, "a key on both sides");
	ask_finish(&ask, 1);
	return ok;
}

static bool differs(struct move *move, struct job *job, const shard_reply *key)
{
	char shown[200];
	char *why;

	cli_show(key->str, key->len, shown, sizeof(shown));
	why = text("\"%s\" is on %s, too, and differs there: %s", shown, move_node(move, job->task->target)->addr,
		   job->task->kind == MOVE_OWNED ? "--replace takes the owner's, which is the former"
						 : "the owner's, which is the latter, counts; remove the other by hand");
	move_fail(move, job, job->task->source, "a key", why);
	free(why);
	return false;
}

static bool settle(struct move *move, struct job *job, const shard_reply *key)
{
	struct ask ask[SIDES];
	size_t lens[SIDES][2];
	bool ok, both, same;

	for (int side = 0; side < SIDES; side++)
		ask[side] = question(move, job, side, "DUMP", key, lens[side]);
	ok = ask_all(move->admin->client, NULL, ask, SIDES, move->admin->timeout_ms);
	if (!ok)
		move_fail(move, job, ask[IN_SOURCE].reply ? job->task->target : job->task->source, "DUMP",
			  ask[ask[IN_SOURCE].reply ? IN_TARGET : IN_SOURCE].error);
	both = ok && ask[0].reply->type == SHARD_REPLY_STRING && ask[1].reply->type == SHARD_REPLY_STRING;
	same = both && ask[0].reply->len == ask[1].reply->len && !memcmp(ask[0].reply->str, ask[1].reply->str, ask[0].reply->len);
	ask_finish(ask, SIDES);
	if (!ok || !both)
		return ok;
	if (same)
		return settle_equal(move, job, key, false);
	if (move->options->replace && job->task->kind == MOVE_OWNED)
		return settle_equal(move, job, key, true);
	return differs(move, job, key);
}

bool same_settle(struct move *move, struct job *job)
{
	bool ok = true;

	for (size_t i = 0; ok && job->list && i < job->list->len; i++)
		ok = settle(move, job, &job->list->element[i]);
	job->busy = false;
	if (ok)
		job->stage = STAGE_AGAIN;
	return ok;
}
