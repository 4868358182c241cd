/* SPDX-License-Identifier: MIT */
/*
 * OPENDIR, READDIR, RELEASEDIR: a SCAN of the whole cluster as a sequence of
 * the handle's own. An offset is a place in that sequence; batches that lie
 * far behind are let go, so memory does not grow with the keys.
 */
#include "ops.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

#define KEPT_BYTES ((size_t)8 << 20)

struct entry {
	uint64_t number;
	uint32_t name; /* where its name begins in the batch's bytes */
};

struct batch {
	struct batch *next;
	size_t count;
	size_t bytes;
	struct entry *entry;
	char *names;
};

struct dir {
	struct dir *prev, *next; /* of all open listings */
	struct fs *fs;
	shard_scan *scan;
	struct batch *first, *last;
	size_t start; /* the place of the first entry of the first batch */
	size_t end;   /* one past the last entry */
	size_t bytes;
	bool used, done;
	int error;
	struct op *waiting;  /* held */
	size_t size, offset; /* of the READDIR that waits */
};

static void free_batch(struct batch *batch)
{
	if (!batch)
		return;
	free(batch->entry);
	free(batch->names);
	free(batch);
}

static void let_go_first(struct dir *dir)
{
	struct batch *batch = dir->first;

	dir->first = batch->next;
	if (!dir->first)
		dir->last = NULL;
	dir->start += batch->count;
	dir->bytes -= batch->bytes;
	free_batch(batch);
}

static struct batch *make_batch(const shard_reply *keys, size_t count)
{
	struct batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->count = count;
	batch->entry = calloc(count, sizeof(*batch->entry));
	batch->names = malloc(count * (NAME_LISTED_MAX + 1));
	if (!batch->entry || !batch->names) {
		free_batch(batch);
		return NULL;
	}
	size_t at = 0;
	for (size_t i = 0; i < count; i++) {
		batch->entry[i].number = fs_number(name_hash(keys[i].str, keys[i].len));
		batch->entry[i].name = (uint32_t)at;
		at += name_listed(keys[i].str, keys[i].len, batch->names + at) + 1;
	}
	char *fitted = realloc(batch->names, at);
	batch->names = fitted ? fitted : batch->names;
	batch->bytes = at + count * sizeof(*batch->entry);
	return batch;
}

static int add_batch(struct dir *dir, const shard_reply *keys, size_t count)
{
	struct batch *batch = count ? make_batch(keys, count) : NULL;

	if (!batch)
		return count ? ENOMEM : 0;
	*(dir->last ? &dir->last->next : &dir->first) = batch;
	dir->last = batch;
	dir->end += count;
	dir->bytes += batch->bytes;
	while (dir->bytes > KEPT_BYTES && dir->first != dir->last)
		let_go_first(dir);
	return 0;
}

/* ---- READDIR ---- */

struct listing {
	fuse_req_t req;
	char *bytes;
	size_t size, used;
};

static bool list(struct listing *listing, const char *name, uint64_t number, mode_t type, size_t place)
{
	struct stat st = {.st_ino = number, .st_mode = type};
	size_t room = listing->size - listing->used;
	size_t need =
		fuse_add_direntry(listing->req, listing->bytes + listing->used, room, name, &st, (off_t)(place + 1));

	if (need > room)
		return false;
	listing->used += need;
	return true;
}

/* The keys from PLACE on, as far as they are here and fit. */
static void list_keys(struct listing *listing, const struct dir *dir, size_t place)
{
	size_t first = dir->start;

	for (const struct batch *batch = dir->first; batch; first += batch->count, batch = batch->next) {
		for (; place < first + batch->count; place++) {
			const struct entry *entry = &batch->entry[place - first];
			if (!list(listing, batch->names + entry->name, entry->number, S_IFREG, place))
				return;
		}
	}
}

static void fill(struct listing *listing, const struct dir *dir, size_t place)
{
	if (place == 0) {
		if (!list(listing, ".", FUSE_ROOT_ID, S_IFDIR, 0))
			return;
		place++;
	}
	if (place == 1) {
		if (!list(listing, "..", FUSE_ROOT_ID, S_IFDIR, 1))
			return;
		place++;
	}
	if (place >= dir->start)
		list_keys(listing, dir, place);
}

/* Answers with what there is at OFFSET. False: nothing yet, and more may come. */
static bool answer(struct dir *dir, fuse_req_t req, size_t size, size_t offset)
{
	struct listing listing = {.req = req, .bytes = malloc(size), .size = size};

	if (!listing.bytes) {
		fuse_reply_err(req, ENOMEM);
		return true;
	}
	fill(&listing, dir, offset);
	bool known = listing.used || dir->error || dir->done || (offset > 1 && offset < dir->start);
	if (known && !listing.used && !(dir->done && offset >= dir->end))
		fuse_reply_err(req, dir->error ? dir->error : EINVAL);
	else if (known)
		fuse_reply_buf(req, listing.bytes, listing.used);
	free(listing.bytes);
	return known;
}

static void ask(struct dir *dir);

static void batch_came(void *ctx, const shard_scan_batch *batch)
{
	struct dir *dir = ctx;
	struct op *op = dir->waiting;
	int error = batch->error ? errors_of_code(batch->error) : add_batch(dir, batch->keys, batch->count);

	dir->waiting = NULL;
	dir->error = error;
	dir->done = batch->done && !error;
	if (!op)
		return;
	if (op->req && answer(dir, op->req, dir->size, dir->offset)) {
		op_answer(op);
	} else if (op->req) {
		dir->waiting = op;
		ask(dir);
		return;
	}
	op_drop(op);
}

static void ask(struct dir *dir)
{
	int error = shard_scan_next(dir->scan, batch_came, dir);

	if (!error)
		return;
	dir->error = errors_of_code(error);
	op_error(dir->waiting, dir->error);
	op_drop(dir->waiting);
	dir->waiting = NULL;
}

static void end_scan(struct dir *dir)
{
	shard_scan_destroy(dir->scan);
	dir->scan = NULL;
	while (dir->first)
		let_go_first(dir);
	if (dir->waiting)
		op_drop(dir->waiting);
	dir->waiting = NULL;
}

static int begin_scan(struct dir *dir)
{
	end_scan(dir);
	dir->scan = shard_scan_create(dir->fs->client, NULL);
	dir->start = dir->end = 2; /* after "." and ".." */
	dir->used = dir->done = false;
	dir->error = dir->scan ? 0 : ENOMEM;
	return dir->error;
}

static void wait_for_more(struct dir *dir, fuse_req_t req, size_t size, size_t offset)
{
	struct op *left = dir->waiting; /* by a READDIR that was interrupted */
	struct op *op = op_create(req, sizeof(*op), NULL, "", 0);

	if (!op)
		return;
	dir->waiting = op;
	dir->size = size;
	dir->offset = offset;
	if (left)
		op_drop(left);
	else
		ask(dir);
}

static struct dir *dir_of(const struct fuse_file_info *fi)
{
	return (struct dir *)(uintptr_t)fi->fh;
}

void dir_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct dir *dir = dir_of(fi);

	if (offset == 0 && dir->used && begin_scan(dir)) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	dir->used = true;
	if (!answer(dir, req, size, (size_t)offset))
		wait_for_more(dir, req, size, (size_t)offset);
}

/* ---- OPENDIR, RELEASEDIR ---- */

static struct dir *dir_create(struct fs *fs)
{
	struct dir *dir = calloc(1, sizeof(*dir));

	if (!dir)
		return NULL;
	dir->fs = fs;
	if (begin_scan(dir)) {
		free(dir);
		return NULL;
	}
	dir->next = fs->dirs;
	if (dir->next)
		dir->next->prev = dir;
	fs->dirs = dir;
	return dir;
}

void dir_close(struct dir *dir)
{
	end_scan(dir);
	if (dir->next)
		dir->next->prev = dir->prev;
	*(dir->prev ? &dir->prev->next : &dir->fs->dirs) = dir->next;
	free(dir);
}

void dir_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dir *dir = ino == FUSE_ROOT_ID ? dir_create(fs_of(req)) : NULL;

	if (!dir) {
		fuse_reply_err(req, ino == FUSE_ROOT_ID ? ENOMEM : ENOTDIR);
		return;
	}
	fi->fh = (uintptr_t)dir;
	if (fuse_reply_open(req, fi))
		dir_close(dir);
}

void dir_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	dir_close(dir_of(fi));
	fuse_reply_err(req, 0);
}
