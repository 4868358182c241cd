/* SPDX-License-Identifier: MIT */
/*
 * STATFS: the memory and the keys of all masters.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define BLOCK 4096
#define CACHED_MS 1000
#define PATIENCE_MS 200 /* umount(8) asks before it unmounts: a dead node must not keep it */
/* What a small key costs, to say how many more there is room for. */
#define KEY_COST 128

struct totals {
	struct op op;
	unsigned left;
	unsigned answers; /* of masters, to INFO */
	int error;        /* the last one */
	unsigned asked;
	unsigned long long total, used, keys;
};

static unsigned long long field(const shard_reply *info, const char *name)
{
	const char *at = strstr(info->str, name);
	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

static void reply(struct totals *totals)
{
	struct fs *fs = totals->op.fs;
	unsigned long long free_bytes = totals->total > totals->used ? totals->total - totals->used : 0;
	fuse_req_t req = op_answer(&totals->op);

	fs->statfs = (struct statvfs){
		.f_bsize = BLOCK,
		.f_frsize = BLOCK,
		.f_blocks = totals->total / BLOCK,
		.f_bfree = free_bytes / BLOCK,
		.f_bavail = free_bytes / BLOCK,
		.f_files = totals->keys + free_bytes / KEY_COST,
		.f_ffree = free_bytes / KEY_COST,
		.f_favail = free_bytes / KEY_COST,
		.f_namemax = NAME_LISTED_MAX,
	};
	fs->statfs_at = fs_now_ms();
	if (req)
		fuse_reply_statfs(req, &fs->statfs);
}

static void reply_last(struct totals *totals)
{
	fuse_req_t req = op_answer(&totals->op);

	if (req)
		fuse_reply_statfs(req, &totals->op.fs->statfs);
}

static void join(struct totals *totals)
{
	if (--totals->left)
		return;
	/* What all said once is better than what some say; those are better than nothing. */
	if (totals->answers < totals->asked && totals->op.fs->statfs_at)
		reply_last(totals);
	else if (totals->answers)
		reply(totals);
	else
		op_error(&totals->op, totals->error ? totals->error : EIO);
}

static void add_info(struct totals *totals, const shard_result *result)
{
	totals->error = errors_of_result(result);
	if (totals->error || result->reply->type != SHARD_REPLY_STRING)
		return;
	unsigned long long limit = field(result->reply, "\nmaxmemory:");
	totals->total += limit ? limit : field(result->reply, "\ntotal_system_memory:");
	totals->used += field(result->reply, "\nused_memory:");
	totals->answers++;
}

static void add_keys(struct totals *totals, const shard_result *result)
{
	if (result->error == SHARD_OK && result->reply->type == SHARD_REPLY_INTEGER)
		totals->keys += (unsigned long long)result->reply->integer;
}

static void each(struct op *op, const shard_result *result, void (*add)(struct totals *, const shard_result *))
{
	struct totals *totals = (struct totals *)op;

	for (size_t i = 0; i < result->part_count; i++)
		add(totals, &result->part[i]);
	if (!result->part_count)
		add(totals, result);
	join(totals);
}

static void info_came(struct op *op, const shard_result *result)
{
	((struct totals *)op)->asked = result->part_count ? (unsigned)result->part_count : 1;
	each(op, result, add_info);
}

static void keys_came(struct op *op, const shard_result *result)
{
	each(op, result, add_keys);
}

static void submit_all(struct totals *totals)
{
	shard_call how = {.flags = SHARD_EACH_MASTER, .timeout_ms = PATIENCE_MS};
	struct words info = {0}, keys = {0};

	words_text(&info, "INFO");
	words_text(&info, "memory");
	words_text(&keys, "DBSIZE");
	totals->left = 1;
	totals->left += op_submit(&totals->op, &info, &how, info_came);
	totals->left += op_submit(&totals->op, &keys, &how, keys_came);
	join(totals);
}

void statfs_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct fs *fs = fs_of(req);

	if (fs->statfs_at && fs_now_ms() - fs->statfs_at < CACHED_MS) {
		fuse_reply_statfs(req, &fs->statfs);
		return;
	}
	struct totals *totals = op_create(req, sizeof(*totals), NULL, "", 0);
	if (!totals)
		return;
	submit_all(totals);
	op_drop(&totals->op);
}
