/* SPDX-License-Identifier: MIT */
#include "cache.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/fuse.h>

#include "cli.h"
#include "notice.h"
#include "op.h"
#include "prefix.h"
#include "waiter.h"

/* What the kernel keeps is taken back when it is no longer true; this is for when nobody is left to do so. */
#define KERNEL_S 30.0
#define KERNEL_MS ((uint64_t)(KERNEL_S * 1000))
/* An answer of ours is taken up by then. */
#define ON_ITS_WAY_MS 1000
#define CHECK_MS 1000

/* So often those are told of again that the kernel did not have yet, so many at once. */
#define LATE_MS 1
#define LATE_AT_ONCE 2000
/* What an inode costs, so many are let go of at once. */
#define INODE_COST 600
#define PRUNE_AT_ONCE 2048
/* So many of one moment are told of without waiting. */
#define AT_ONCE 256

static void told(struct cache *cache, uint64_t hash)
{
	cache->recent[hash % CACHE_RECENT] = ++cache->turn;
}

/* ---- looks under way ---- */

bool cache_look_begins(struct fs *fs, struct look_mark *look, const char *key, size_t key_len)
{
	const struct cache *cache = &fs->cache;

	look->good = cache->tracking && shard_tracking_mark(cache->tracking, key, key_len, &look->mark);
	look->hash = look->good ? name_hash(key, key_len) : 0;
	look->turn = cache->turn;
	return look->good;
}

void cache_look_came(const struct fs *fs, struct look_mark *look, const char *key, size_t key_len, const char *node)
{
	const char *owner = look->good ? shard_client_node_of(fs->client, key, key_len) : NULL;

	look->good = owner && !strcmp(owner, node);
}

/* That another key has the same place in `recent` only costs. */
bool cache_look_holds(const struct fs *fs, const struct look_mark *look)
{
	const struct cache *cache = &fs->cache;

	return cache->tracking && look->good && cache->recent[look->hash % CACHE_RECENT] <= look->turn &&
	       shard_tracking_holds(cache->tracking, &look->mark);
}

bool cache_is_late(const struct fs *fs, const char *key, size_t key_len, uint64_t turn)
{
	return fs->cache.turn != turn && fs->cache.recent[name_hash(key, key_len) % CACHE_RECENT] > turn;
}

/* ---- what is kept ---- */

uint64_t cache_expires(long long pttl, uint64_t at)
{
	return pttl >= 0 ? at + (uint64_t)pttl : UINT64_MAX;
}

/*
 * The kernel is to let go of the inodes that nobody has looked at for longest,
 * by FUSE_NOTIFY_PRUNE (Linux 6.18): it sends FORGETs for those that it can.
 */
static bool prune(struct fs *fs)
{
	struct {
		struct fuse_out_header header;
		uint32_t count, padding;
		uint64_t spare;
		uint64_t ino[PRUNE_AT_ONCE];
	} notice = {.header = {.error = 9}};

	while (notice.count < PRUNE_AT_ONCE && fs->inodes.oldest) {
		struct inode *oldest = fs->inodes.oldest;

		inode_stale(oldest);
		if (!oldest->holds && !oldest->handles)
			notice.ino[notice.count++] = fs_ino(fs, oldest);
	}
	notice.header.len = (uint32_t)(sizeof(notice) - sizeof(notice.ino) + notice.count * sizeof(notice.ino[0]));
	return write(fuse_session_fd(fs->session), &notice, notice.header.len) == (ssize_t)notice.header.len;
}

static void limit_inodes(struct fs *fs)
{
	size_t count = fs->inodes.count, limit = fs->inodes.fresh_limit / INODE_COST;
	size_t *at = &fs->cache.prune_at;

	if (*at == SIZE_MAX)
		return;
	if (count <= limit)
		*at = limit;
	if (count <= *at)
		return;
	/* The FORGETs are still to come. A listing that the kernel keeps has names without inodes now. */
	fs->cache.pruned_turn = ++fs->cache.turn;
	*at = prune(fs) ? count + PRUNE_AT_ONCE / 2 : SIZE_MAX;
}

static void keep(struct fs *fs, struct inode *inode, const struct sight *sight, const shard_mark *mark,
		 uint64_t expires)
{
	inode_keep(inode, sight);
	inode->watched = true;
	inode->mark = *mark;
	inode->expires = expires;
	inode_set_active(inode);
	limit_inodes(fs);
}

/* What is known of the directory of a member says when both end. */
static bool expiry_of(const struct op *op, const struct inode *inode, uint64_t *expires)
{
	struct inode *dir = inode->parent;

	if (!dir) {
		*expires = cache_expires(op->probe.pttl, op->probe.sight.at);
		return op->probe.pttl != 0;
	}
	if (dir->gone || !cache_peek(op->fs, dir))
		return false;
	inode_used(dir);
	*expires = dir->expires;
	return true;
}

bool cache_keep_true(struct op *op, struct inode *inode)
{
	const struct look_mark *look = &op->probe.look;
	enum kind kind = op->probe.sight.kind;
	uint64_t expires;

	if (kind == KIND_NONE || kind == KIND_OTHER || inode->gone || !cache_look_holds(op->fs, look) ||
	    !expiry_of(op, inode, &expires))
		return false;
	keep(op->fs, inode, &op->probe.sight, &look->mark, expires);
	return true;
}

void cache_keep(struct op *op, struct inode *inode)
{
	if (!cache_keep_true(op, inode))
		inode_keep(inode, &op->probe.sight);
}

const struct sight *cache_keep_listed(struct fs *fs, struct inode *inode, const struct look_mark *look,
				      const struct sight *sight, uint64_t expires)
{
	const struct sight *kept = cache_peek(fs, inode);

	if (kept)
		inode_used(inode);
	if (kept || inode_in_memory(inode) || inode->pending || sight->kind != inode->kind ||
	    !cache_look_holds(fs, look) || fs_now_ms() >= expires)
		return kept;
	inode_saw(inode, sight, fs_now());
	keep(fs, inode, sight, &look->mark, expires);
	return cache_peek(fs, inode);
}

const struct sight *cache_peek(const struct fs *fs, const struct inode *inode)
{
	return inode->has_fresh && inode->watched && fs_now_ms() < inode->expires &&
			       shard_tracking_holds(fs->cache.tracking, &inode->mark)
		       ? &inode->fresh
		       : NULL;
}

const struct sight *cache_hit(struct fs *fs, struct inode *inode)
{
	struct cache *cache = &fs->cache;

	if (!cache->tracking)
		return NULL;
	if (!cache_peek(fs, inode)) {
		inode->changed |= inode->watched && !shard_tracking_holds(cache->tracking, &inode->mark);
		cache->misses++;
		return NULL;
	}
	cache->hits++;
	inode->fresh.at = fs_now_ms(); /* it is true now */
	inode_used(inode);
	return &inode->fresh;
}

double cache_grant(struct fs *fs, struct inode *inode, const struct sight *told)
{
	uint64_t now = fs_now_ms();
	double left = KERNEL_S;

	/* Another look than the one that is kept may have shown something older. */
	if (!fs->cache.tracking || told != &inode->fresh || !inode->has_fresh || !inode->watched ||
	    inode_in_memory(inode) || inode->pending || now >= inode->expires ||
	    !shard_tracking_holds(fs->cache.tracking, &inode->mark))
		return 0;
	if (inode->expires != UINT64_MAX && (double)(inode->expires - now) / 1000 < left)
		left = (double)(inode->expires - now) / 1000;
	if (inode_grant(inode, &inode->mark))
		return 0;
	inode->granted_size = told->size;
	inode->looked = true;
	inode_set_active(inode);
	return left;
}

/* ---- names ---- */

/*
 * All names are to be looked up again, by FUSE_NOTIFY_INC_EPOCH (Linux 6.16).
 * The other way, inval_entry, waits for whoever looks up a name of the
 * directory, and so for ourselves.
 */
static bool forget_names(struct fs *fs)
{
	const struct fuse_out_header notice = {.len = sizeof(notice), .error = 8};

	fs->cache.forgot_at = fs_now_ms();
	return write(fuse_session_fd(fs->session), &notice, sizeof(notice)) == sizeof(notice);
}

/* Names in an answer that was on its way when the others were forgotten are not. */
static bool is_named(const struct fs *fs, const struct inode *inode)
{
	return fs->cache.epochs == EPOCHS_THERE && inode->named_at &&
	       inode->named_at + ON_ITS_WAY_MS >= fs->cache.forgot_at &&
	       fs_now_ms() <= inode->named_at + ON_ITS_WAY_MS + KERNEL_MS;
}

double cache_grant_name(struct fs *fs, struct inode *inode, double seconds)
{
	if (!seconds)
		return 0;
	if (fs->cache.epochs == EPOCHS_UNKNOWN)
		fs->cache.epochs = forget_names(fs) ? EPOCHS_THERE : EPOCHS_NONE;
	if (fs->cache.epochs == EPOCHS_NONE)
		return 0;
	inode->named_at = fs_now_ms();
	inode->looked = true;
	return seconds;
}

/* Whether a key is still a file of the kind that its name stands for. */
struct check {
	struct fs *fs;
	struct inode *inode; /* held */
};

static bool start_check(struct fs *fs, struct inode *inode);

static void checked(void *ctx, const shard_result *result)
{
	struct check *check = ctx;
	struct fs *fs = check->fs;
	struct inode *inode = check->inode;
	bool same = !result->error && result->reply->type == SHARD_REPLY_STATUS &&
		    kind_of_type(result->reply->str) == inode->kind;

	free(check);
	inode->checking = false;
	if (is_named(fs, inode) && (!same || (inode->recheck && !start_check(fs, inode))))
		forget_names(fs);
	inode_drop(inode);
}

static bool start_check(struct fs *fs, struct inode *inode)
{
	const char *const argv[] = {"TYPE", inode->key};
	const size_t argvlen[] = {4, inode->key_len};
	const shard_call how = {.timeout_ms = CHECK_MS};
	struct check *check = malloc(sizeof(*check));

	if (!check)
		return false;
	*check = (struct check){fs, inode_hold(inode)};
	inode->recheck = false;
	inode->checking = shard_submit(fs_client(fs), 2, argv, argvlen, &how, checked, check, NULL) == SHARD_OK;
	if (inode->checking)
		return true;
	inode_drop(inode);
	free(check);
	return false;
}

/*
 * A key has changed whose name the kernel has: the name is forgotten, and
 * with it all others, where it may stand for something else by now. A file that
 * has become a directory is walked through by its name alone; one that is gone
 * stands in the way of O_EXCL.
 */
static void check_name(struct fs *fs, struct inode *inode)
{
	if (!is_named(fs, inode))
		return;
	if (inode->checking)
		inode->recheck = true;
	/* Where nobody has looked since it changed last, or we change it, it is not asked at each change. */
	else if (!inode->looked || inode->pending || !start_check(fs, inode))
		forget_names(fs);
	inode->looked = false;
}

/* ---- what changes ---- */

static void on_late(void *ctx);

/*
 * The kernel is to ask again about INODE. With the offset -1 this does not wait
 * for anything. False: the kernel has not made the inode yet. What it is told
 * with attributes by an answer that is on its way would be kept.
 */
static bool tell(struct fs *fs, struct inode *inode)
{
	inode->unmade = fuse_lowlevel_notify_inval_inode(fs->session, fs_ino(fs, inode), -1, 0) == -ENOENT;
	return !inode->unmade;
}

static void tell_later(struct fs *fs, struct inode *inode, uint64_t until)
{
	inode_set_late(inode, until);
	if (!fs->cache.late)
		fs->cache.late = shard_timer_add(fs_client(fs), LATE_MS, on_late, fs);
}

static void on_late(void *ctx)
{
	struct fs *fs = ctx;
	struct inode *inode;
	uint64_t now = fs_now_ms();
	bool names = false;

	fs->cache.late = NULL;
	for (unsigned i = 0; i < LATE_AT_ONCE && (inode = fs->inodes.late); i++) {
		bool unmade = inode->unmade;
		uint64_t until = inode->late_until;

		inode_unset_late(inode);
		if (!tell(fs, inode) && now < until)
			tell_later(fs, inode, until);
		else
			names |= unmade && is_named(fs, inode); /* it came with the inode */
	}
	if (names)
		forget_names(fs);
	if (fs->inodes.late && !fs->cache.late)
		fs->cache.late = shard_timer_add(fs_client(fs), LATE_MS, on_late, fs);
}

void cache_revoke(struct fs *fs, struct inode *inode)
{
	if (!inode->granted)
		return;
	inode_ungrant(inode);
	if (!tell(fs, inode))
		tell_later(fs, inode, fs_now_ms() + KERNEL_MS);
}

void cache_settle(struct fs *fs, struct inode *inode)
{
	uint64_t until = inode->late_until;

	if (!until)
		return;
	inode_unset_late(inode);
	if (!tell(fs, inode))
		tell_later(fs, inode, until);
}

void cache_saw(struct fs *fs, struct inode *inode, const struct sight *sight)
{
	struct timespec before = inode->mtime;

	inode_saw(inode, sight, fs_now());
	if (sight->size != inode->granted_size || before.tv_sec != inode->mtime.tv_sec ||
	    before.tv_nsec != inode->mtime.tv_nsec)
		cache_revoke(fs, inode);
}

/* The same of many: of those that are not told of at once the kernel has attributes a little longer. */
static void revoke_one_of(struct fs *fs, struct inode *inode, unsigned *count)
{
	if (!inode->granted || ++*count <= AT_ONCE) {
		cache_revoke(fs, inode);
		return;
	}
	inode_ungrant(inode);
	inode->unmade = false;
	tell_later(fs, inode, fs_now_ms() + KERNEL_MS);
}

/* A key tells of its members, too. Those of which nothing is kept come last. */
static void drop_members(struct fs *fs, struct inode *dir)
{
	unsigned count = 0;
	bool names = false;

	for (struct inode *child = dir->children; child && child->active; child = child->older_sibling) {
		child->active = false;
		child->changed = true;
		names |= is_named(fs, child);
		if (child->watched)
			inode_stale(child);
		revoke_one_of(fs, child, &count);
	}
	if (names)
		forget_names(fs);
}

void cache_wrote(struct fs *fs, const char *key, size_t key_len)
{
	struct inode *inode = fs->cache.tracking ? inode_find(&fs->inodes, key, key_len) : NULL;

	told(&fs->cache, name_hash(key, key_len));
	if (inode)
		drop_members(fs, inode);
	waiter_changed(fs, key, key_len);
	survey_changed(&fs->survey, key, key_len);
	if (fs->cache.tracking)
		notice_wrote(fs, name_hash(key, key_len));
}

static void inode_changed(struct fs *fs, struct inode *inode)
{
	inode->changed = true;
	if (inode->watched)
		inode_stale(inode);
	cache_revoke(fs, inode);
	check_name(fs, inode);
	drop_members(fs, inode);
}

/* A key below it: what has the name of a directory is no file any more (-o tree). */
static void directory_changed(struct fs *fs, const char *name, size_t len)
{
	struct inode *inode = inode_find(&fs->inodes, name, len);

	told(&fs->cache, name_hash(name, len));
	if (!inode)
		return;
	cache_revoke(fs, inode);
	if (is_named(fs, inode))
		forget_names(fs);
}

static void changed(void *ctx, const char *key, size_t len)
{
	struct fs *fs = ctx;
	struct inode *inode = inode_find(&fs->inodes, key, len);

	fs->cache.changes++;
	if (survey_changed(&fs->survey, key, len))
		prefix_touch(fs, key, len);
	told(&fs->cache, name_hash(key, len));
	if (inode)
		inode_changed(fs, inode);
	for (size_t end = 0; prefix_needs_keys(fs) && (end = tree_next(&fs->tree, key, len, end));)
		directory_changed(fs, key, end - fs->tree.sep_len);
	waiter_changed(fs, key, len);
	notice_changed(fs, key, len);
}

struct losing {
	struct fs *fs;
	unsigned count;
};

static void lose(void *ctx, struct inode *inode)
{
	struct losing *losing = ctx;

	inode->changed = true; /* for all we know */
	revoke_one_of(losing->fs, inode, &losing->count);
	notice_unsure(losing->fs, inode);
}

static void lost(void *ctx)
{
	struct fs *fs = ctx;
	struct losing losing = {.fs = fs};

	fs->cache.turn++;
	survey_lost(&fs->survey);
	inode_each_lost(&fs->inodes, fs->cache.tracking, lose, &losing);
	waiter_unsure(fs);
	if (losing.count && fs->cache.epochs == EPOCHS_THERE)
		forget_names(fs);
}

/* ---- the listing of all keys ---- */

/* Whether everything that changes on any node is told of now. */
static bool knows_all(const struct fs *fs)
{
	unsigned nodes, tracked;
	shard_mark mark;

	if (!fs->cache.tracking || !shard_tracking_mark(fs->cache.tracking, "", 0, &mark))
		return false;
	shard_tracking_count(fs->cache.tracking, &nodes, &tracked);
	return nodes && nodes == tracked;
}

void cache_list_opens(struct fs *fs, struct fuse_file_info *fi)
{
	struct cache *cache = &fs->cache;

	/* One moment is remembered: there is one directory of keys. */
	if (prefix_used(fs) || !knows_all(fs))
		return;
	fi->cache_readdir = 1;
	/* With names alone it would look up each of those whose attributes it keeps no more. */
	fi->keep_cache = cache->listed_turn == cache->turn && fs_now_ms() < cache->listed_until;
}

void cache_listed(struct fs *fs, uint64_t turn)
{
	fs->cache.listed_turn = turn;
	fs->cache.listed_until = fs_now_ms() + KERNEL_MS / 2;
}

void cache_members_open(struct fs *fs, struct inode *dir, struct fuse_file_info *fi)
{
	if (!dir->listed)
		dir->listed = calloc(1, sizeof(*dir->listed));
	if (!dir->listed || dir->gone)
		return;
	bool holds = cache_look_holds(fs, &dir->listed->look);

	fi->keep_cache = holds && fs_now_ms() < dir->listed->until && dir->listed->look.turn >= fs->cache.pruned_turn;
	fi->cache_readdir = fi->keep_cache || cache_look_begins(fs, &dir->listed->look, dir->key, dir->key_len);
	if (!fi->keep_cache)
		dir->listed->until = 0;
}

void cache_members_listed(struct fs *fs, struct inode *dir)
{
	if (dir->listed)
		dir->listed->until = fs_now_ms() + KERNEL_MS / 2;
}

/* A listing that the kernel has, or is still being made, is not taken for one that begins at another time. */
void cache_root_time(struct fs *fs)
{
	struct inode *root = fs->root;
	struct timespec now = fs_now();

	if (!fs->cache.tracking || (fs->cache.root_turn == fs->cache.turn && knows_all(fs)))
		return;
	fs->cache.root_turn = fs->cache.turn;
	if (now.tv_sec == root->mtime.tv_sec && now.tv_nsec == root->mtime.tv_nsec)
		now.tv_nsec += now.tv_nsec < 999999999 ? 1 : -1;
	root->mtime = root->ctime = now;
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
	shard_timer_cancel(fs->cache.late);
	fs->cache.late = NULL;
}
