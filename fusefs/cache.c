/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "cli.h"
#include "notice.h"
#include "op.h"

/* What the kernel keeps is taken back when it is no longer true; this is for when nobody is left to do so. */
#define KERNEL_S 30.0

static uint64_t now_ms(void)
{
	return fs_now_ms();
}

/* ---- looks under way ---- */

static struct look_mark **bucket_of(struct cache *cache, uint64_t hash)
{
	return &cache->looks[hash % CACHE_LOOKS];
}

bool cache_look_begins(struct op *op)
{
	struct cache *cache = &op->fs->cache;
	struct look_mark *look = &op->probe.look;

	cache_look_ends(op);
	look->good = cache->tracking && shard_tracking_mark(cache->tracking, op->key, op->key_len, &look->mark);
	if (!look->good)
		return false;
	look->hash = name_hash(op->key, op->key_len);
	look->head = bucket_of(cache, look->hash);
	look->prev = NULL;
	look->next = *look->head;
	if (look->next)
		look->next->prev = look;
	*look->head = look;
	return true;
}

void cache_look_came(struct op *op, const char *node)
{
	struct look_mark *look = &op->probe.look;
	const char *owner = look->good ? shard_client_node_of(op->fs->client, op->key, op->key_len) : NULL;

	look->good = owner && !strcmp(owner, node);
}

void cache_look_ends(struct op *op)
{
	struct look_mark *look = &op->probe.look;

	if (!look->head)
		return;
	*(look->prev ? &look->prev->next : look->head) = look->next;
	if (look->next)
		look->next->prev = look->prev;
	look->head = NULL;
}

static void void_looks(struct cache *cache, uint64_t hash)
{
	for (struct look_mark *look = *bucket_of(cache, hash); look; look = look->next)
		if (look->hash == hash)
			look->good = false;
}

bool cache_is_late(const struct fs *fs, const char *key, size_t key_len, uint64_t began)
{
	const struct cache *cache = &fs->cache;

	return cache->writes != began && cache->wrote[name_hash(key, key_len) % CACHE_LOOKS] > began;
}

void cache_wrote(struct fs *fs, const char *key, size_t key_len)
{
	struct cache *cache = &fs->cache;
	uint64_t hash = name_hash(key, key_len);

	cache->wrote[hash % CACHE_LOOKS] = ++cache->writes;
	if (!cache->tracking)
		return;
	void_looks(cache, hash);
	notice_wrote(fs, hash);
}

/* ---- what is kept ---- */

static bool is_watched(const struct op *op)
{
	const struct cache *cache = &op->fs->cache;
	const struct look_mark *look = &op->probe.look;

	return cache->tracking && look->good && op->probe.pttl != 0 && op->probe.sight.kind == KIND_STRING &&
	       shard_tracking_holds(cache->tracking, &look->mark);
}

bool cache_keep_true(struct op *op, struct inode *inode)
{
	long long pttl = op->probe.pttl;

	if (!is_watched(op))
		return false;
	inode_keep(inode, &op->probe.sight);
	inode->watched = true;
	inode->mark = op->probe.look.mark;
	inode->expires = pttl > 0 ? op->probe.sight.at + (uint64_t)pttl : UINT64_MAX;
	return true;
}

void cache_keep(struct op *op, struct inode *inode)
{
	if (!cache_keep_true(op, inode))
		inode_keep(inode, &op->probe.sight);
}

const struct sight *cache_hit(struct fs *fs, struct inode *inode)
{
	struct cache *cache = &fs->cache;

	if (!cache->tracking)
		return NULL;
	if (inode->has_fresh && inode->watched && now_ms() < inode->expires &&
	    shard_tracking_holds(cache->tracking, &inode->mark)) {
		cache->hits++;
		inode->fresh.at = now_ms(); /* it is true now */
		inode_used(inode);
		return &inode->fresh;
	}
	cache->misses++;
	return NULL;
}

double cache_grant(struct fs *fs, struct inode *inode, const struct sight *told)
{
	uint64_t now = now_ms();
	double left = KERNEL_S;

	/* Another look than the one that is kept may have shown something older. */
	if (!fs->cache.tracking || told != &inode->fresh || !inode->has_fresh || !inode->watched || inode_in_memory(inode) || inode->pending ||
	    now >= inode->expires || !shard_tracking_holds(fs->cache.tracking, &inode->mark))
		return 0;
	if (inode->expires != UINT64_MAX && (double)(inode->expires - now) / 1000 < left)
		left = (double)(inode->expires - now) / 1000;
	inode->granted = true;
	inode->grant = inode->mark;
	return left;
}

/* ---- what changes ---- */

/*
 * All names are to be looked up again, by FUSE_NOTIFY_INC_EPOCH (Linux 6.16).
 * The other way, inval_entry, waits for whoever looks up a name of the
 * directory, and so for ourselves.
 */
static bool forget_names(struct fs *fs)
{
	const struct fuse_out_header notice = {.len = sizeof(notice), .error = 8};

	return write(fuse_session_fd(fs->session), &notice, sizeof(notice)) == sizeof(notice);
}

double cache_grant_name(struct fs *fs, double seconds)
{
	if (!seconds)
		return 0;
	if (fs->cache.epochs == EPOCHS_UNKNOWN)
		fs->cache.epochs = forget_names(fs) ? EPOCHS_THERE : EPOCHS_NONE;
	return fs->cache.epochs == EPOCHS_THERE ? seconds : 0;
}

/* The kernel is to ask again. With the offset -1 this does not wait for anything. */
void cache_revoke(struct fs *fs, struct inode *inode)
{
	if (!inode->granted)
		return;
	inode->granted = false;
	fuse_lowlevel_notify_inval_inode(fs->session, fs_ino(fs, inode), -1, 0);
	/* A file that has become a directory is walked through by its name alone. */
	if (fs->cache.epochs == EPOCHS_THERE)
		forget_names(fs);
}

static void changed(void *ctx, const char *key, size_t len)
{
	struct fs *fs = ctx;
	uint64_t hash = name_hash(key, len);
	struct inode *inode = inode_find(&fs->inodes, key, len);

	fs->cache.changes++;
	void_looks(&fs->cache, hash);
	if (inode && inode->watched)
		inode_stale(inode);
	if (inode)
		cache_revoke(fs, inode);
	notice_changed(fs, key, len);
}

static void check(void *ctx, struct inode *inode)
{
	struct fs *fs = ctx;

	bool stale = inode->has_fresh && inode->watched && !shard_tracking_holds(fs->cache.tracking, &inode->mark);
	bool granted = inode->granted && !shard_tracking_holds(fs->cache.tracking, &inode->grant);

	if (stale)
		inode_stale(inode);
	if (granted)
		cache_revoke(fs, inode);
	if (stale || granted)
		notice_unsure(fs, inode);
}

static void lost(void *ctx)
{
	struct fs *fs = ctx;

	inode_each(&fs->inodes, check, fs);
}

static void refused(void *ctx, const char *why)
{
	struct fs *fs = ctx;

	if (fs->cache.told)
		return;
	fs->cache.told = true;
	fs_say(fs, "no caching of what is on a node that cannot be tracked: %s", why);
}

int cache_start(struct fs *fs)
{
	shard_tracking_options how;
	int error;

	if (!fs->options->cache)
		return 0;
	shard_tracking_options_init(&how);
	how.changed = changed;
	how.lost = lost;
	how.refused = refused;
	how.ctx = fs;
	error = shard_tracking_create(fs_client(fs), &how, &fs->cache.tracking);
	return error == SHARD_OK ? 0 : ENOMEM;
}

void cache_stop(struct fs *fs)
{
	shard_tracking_destroy(fs->cache.tracking);
	fs->cache.tracking = NULL;
}
