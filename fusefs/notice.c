/* SPDX-License-Identifier: MIT */
#include "notice.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "op.h"
#include "ops.h"
#include "toucher.h"

#define BUCKETS 1024
#define LOOKS 32      /* at a time */
#define OWN 256       /* keys that this mount has written last, ... */
#define OWN_MS 1000   /* ... and how long the servers may take to tell of that */
#define AGAIN_MS 500  /* until a key whose node is not tracked now is looked at again, ... */
#define AGAIN_MAX 40  /* ... and how often */

/* A key that is to be told of. */
struct note {
	struct note *next;      /* in a queue */
	struct note *next_same; /* in its bucket */
	uint64_t hash;
	bool busy;    /* it is looked at, or touched, or is to be */
	bool again;   /* and has changed meanwhile */
	bool own;     /* by this mount */
	bool printed; /* the value that it had before is known */
	bool twice;   /* it was told of just now: that its expiry changed, too, is no news */
	bool unsure;  /* its node was not tracked for a while */
	unsigned tries;
	enum touch what;
	enum kind kind; /* what it is now */
	size_t size;
	uint64_t print;
	char name[NAME_LISTED_MAX + 1];
	size_t len;
	char key[];
};

struct queue {
	struct note *first, **end;
};

struct notice {
	struct fs *fs;
	struct toucher toucher;
	bool hello, known; /* its first call is awaited; it has come: so its calls can be told from others' */
	bool off;
	bool told;         /* that there was too much */
	shard_watch *watch;
	shard_timer *timer; /* for `later` */
	struct note *bucket[BUCKETS];
	unsigned count, looking;
	struct queue waiting, ready, later;
	struct note *touched; /* at this moment */
	struct {
		uint64_t hash, at;
	} own[OWN];
	uint64_t events, dropped;
};

static void pump(struct notice *notice);

/* ---- notes ---- */

static void put(struct queue *queue, struct note *note)
{
	note->next = NULL;
	*queue->end = note;
	queue->end = &note->next;
}

static struct note *take(struct queue *queue)
{
	struct note *note = queue->first;

	if (note)
		queue->first = note->next;
	if (!queue->first)
		queue->end = &queue->first;
	return note;
}

static struct note **place_of(struct notice *notice, uint64_t hash, const char *key, size_t len)
{
	struct note **at = &notice->bucket[hash % BUCKETS];

	while (*at && ((*at)->hash != hash || (*at)->len != len || memcmp((*at)->key, key, len) != 0))
		at = &(*at)->next_same;
	return at;
}

static void drop(struct notice *notice, struct note *note)
{
	*place_of(notice, note->hash, note->key, note->len) = note->next_same;
	notice->count--;
	free(note);
}

static struct note *make(struct notice *notice, struct note **at, uint64_t hash, const char *key, size_t len)
{
	struct note *note = notice->count < NOTES_MAX ? calloc(1, sizeof(*note) + len) : NULL;

	if (!note) {
		notice->dropped++;
		if (!notice->told)
			fs_say(notice->fs, "more changes than can be told to inotify: some are left out");
		notice->told = true;
		return NULL;
	}
	note->hash = hash;
	note->len = len;
	memcpy(note->key, key, len);
	name_listed(key, len, note->name);
	*at = note;
	notice->count++;
	return note;
}

static void add(struct fs *fs, const char *key, size_t len, bool unsure)
{
	struct notice *notice = fs->notice;
	uint64_t hash = name_hash(key, len);

	if (notice->off)
		return;
	struct note **at = place_of(notice, hash, key, len), *note = *at;
	if (note && note->busy) {
		note->again = true;
		return;
	}
	if (note)
		return;
	note = make(notice, at, hash, key, len);
	if (!note)
		return;
	const struct inode *inode = inode_find(&fs->inodes, key, len);
	note->printed = inode && inode->has_print;
	note->unsure = unsure;
	put(&notice->waiting, note);
	pump(notice);
}

void notice_changed(struct fs *fs, const char *key, size_t len)
{
	if (fs->notice)
		add(fs, key, len, false);
}

void notice_unsure(struct fs *fs, const struct inode *inode)
{
	if (fs->notice && inode->lookups && !inode->parent && !inode->gone)
		add(fs, inode->key, inode->key_len, true);
}

void notice_wrote(struct fs *fs, uint64_t hash)
{
	struct notice *notice = fs->notice;

	if (!notice)
		return;
	notice->own[hash % OWN].hash = hash;
	notice->own[hash % OWN].at = fs_now_ms();
	for (struct note *note = notice->bucket[hash % BUCKETS]; note; note = note->next_same)
		note->own |= note->hash == hash;
}

static bool is_own(const struct notice *notice, const struct note *note)
{
	uint64_t hash = note->hash;

	return note->own || (notice->own[hash % OWN].hash == hash && fs_now_ms() - notice->own[hash % OWN].at < OWN_MS);
}

static void later_due(void *ctx)
{
	struct notice *notice = ctx;

	notice->timer = NULL;
	while (notice->later.first)
		put(&notice->waiting, take(&notice->later));
	pump(notice);
}

static void put_off(struct notice *notice, struct note *note)
{
	put(&notice->later, note);
	if (!notice->timer)
		notice->timer = shard_timer_add(fs_client(notice->fs), AGAIN_MS, later_due, notice);
}

/* It was told of, or there was nothing to tell. */
static void done(struct notice *notice, struct note *note)
{
	bool again = note->again;

	note->busy = note->again = false;
	note->twice = true;
	if (notice->off || !(again || (note->unsure && note->tries++ < AGAIN_MAX)))
		drop(notice, note);
	else if (again)
		put(&notice->waiting, note);
	else
		put_off(notice, note);
}

/* ---- looking ---- */

struct look {
	struct op op;
	struct notice *notice;
	struct note *note; /* NULL: it goes on by itself */
};

static void send_next(struct notice *notice);

static enum touch removed(struct notice *notice, struct note *note, struct inode *inode)
{
	bool dir = inode && kind_is_dir(inode->kind);

	note->unsure = false;
	if (inode && (inode->kept || inode->pending || inode->scratch))
		return TOUCH_NOTHING;
	if (inode)
		inode_missed(inode, fs_now());
	if (is_own(notice, note))
		return TOUCH_NOTHING;
	return dir ? TOUCH_REMOVED_DIR : TOUCH_REMOVED;
}

static enum touch modified(struct notice *notice, struct note *note, struct inode *inode, bool own)
{
	bool news = inode->seen != inode->noted || (!note->printed && !own);

	inode->noted = inode->seen;
	if (news && !kind_is_dir(inode->kind))
		return TOUCH_MODIFIED;
	return own || note->twice || note->unsure ? TOUCH_NOTHING : TOUCH_ATTRIB;
}

/* What there is to tell after a look. */
static enum touch decide(struct look *look)
{
	struct note *note = look->note;
	struct fs *fs = look->op.fs;
	const struct sight *sight = &look->op.probe.sight;
	struct inode *inode = inode_find(&fs->inodes, note->key, note->len);
	bool known = inode && inode->lookups, own = is_own(look->notice, note);

	note->kind = sight->kind;
	note->size = sight->size;
	if (sight->kind == KIND_NONE)
		return removed(look->notice, note, inode);
	note->print = inode_fingerprint(sight);
	if (inode && (inode->pending || inode->scratch))
		return TOUCH_NOTHING;
	if (known && inode->kind != sight->kind) {
		note->again = true; /* as what it is now, when it is no longer what it was */
		return kind_is_dir(inode->kind) ? TOUCH_REMOVED_DIR : TOUCH_REMOVED;
	}
	if (!known)
		return own ? TOUCH_NOTHING : kind_is_dir(sight->kind) ? TOUCH_CREATED_DIR : TOUCH_CREATED;
	inode_saw(inode, sight, fs_now());
	if (sight->kind == KIND_STRING && cache_keep_true(&look->op, inode))
		note->unsure = false;
	return modified(look->notice, note, inode, own);
}

static void looked(struct op *op, int error)
{
	struct look *look = (struct look *)op;
	struct notice *notice = look->notice;
	struct note *note = look->note;

	if (error && !notice->off) {
		note->unsure = true; /* it is looked at again */
		return;
	}
	note->what = notice->off ? TOUCH_NOTHING : decide(look);
	if (note->what == TOUCH_NOTHING)
		return;
	look->note = NULL;
	put(&notice->ready, note);
	send_next(notice);
}

static void look_ended(struct op *op)
{
	struct look *look = (struct look *)op;

	look->notice->looking--;
	if (look->note)
		done(look->notice, look->note);
	pump(look->notice);
}

static void look_at(struct notice *notice, struct note *note)
{
	struct fs *fs = notice->fs;
	struct inode *inode = inode_find(&fs->inodes, note->key, note->len);
	struct look *look = op_create_own(fs, sizeof(*look), inode, note->key, note->len);

	if (!look) {
		drop(notice, note);
		return;
	}
	note->busy = true;
	if (note->twice)
		note->printed = inode && inode->has_print;
	notice->looking++;
	look->notice = notice;
	look->note = note;
	look->op.finish = look_ended;
	probe_start(&look->op, looked);
	op_drop(&look->op);
}

static void pump(struct notice *notice)
{
	while (!notice->off && notice->known && notice->looking < LOOKS && notice->waiting.first)
		look_at(notice, take(&notice->waiting));
}

/* ---- the toucher ---- */

static void turn_off(struct notice *notice)
{
	struct queue *const queues[] = {&notice->waiting, &notice->ready, &notice->later};

	notice->off = true;
	shard_watch_remove(notice->watch);
	notice->watch = NULL;
	shard_timer_cancel(notice->timer);
	notice->timer = NULL;
	toucher_stop(&notice->toucher);
	for (size_t i = 0; i < sizeof(queues) / sizeof(*queues); i++)
		while (queues[i]->first)
			drop(notice, take(queues[i]));
	if (notice->touched)
		drop(notice, notice->touched);
	notice->touched = NULL;
}

static void send_next(struct notice *notice)
{
	struct note *note = notice->touched || notice->off ? NULL : take(&notice->ready);

	if (!note)
		return;
	notice->touched = note;
	notice->events++;
	if (toucher_ask(&notice->toucher, note->what, note->name))
		return;
	fs_say(notice->fs, "cannot tell inotify of changes any more: %s", strerror(errno));
	turn_off(notice);
}

static void answered(void *ctx, uint32_t events)
{
	struct notice *notice = ctx;
	struct note *note = notice->touched;

	notice->touched = NULL;
	if (!toucher_answered(&notice->toucher)) {
		fs_say(notice->fs, "cannot tell inotify of changes any more: the process that does it has ended");
		notice->touched = note;
		turn_off(notice);
		return;
	}
	if (!note && !notice->known) {
		fs_say(notice->fs, "cannot tell inotify of changes: another PID namespace");
		turn_off(notice);
		return;
	}
	notice->hello = false;
	if (note)
		done(notice, note);
	send_next(notice);
	pump(notice);
}

/* ---- its calls ---- */

static const struct note *current(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	const struct note *note = fs_of(req)->notice->touched;

	return note && parent == FUSE_ROOT_ID && !strcmp(name, note->name) ? note : NULL;
}

static void reply_entry(fuse_req_t req, const struct note *note, enum kind kind)
{
	struct fs *fs = fs_of(req);
	struct inode *inode = inode_find(&fs->inodes, note->key, note->len);
	struct fuse_entry_param entry;

	if (inode && (note->what == TOUCH_REMOVED || note->what == TOUCH_REMOVED_DIR))
		inode_hold(inode);
	else
		inode = inode_get(&fs->inodes, kind, note->key, note->len, fs_now());
	if (!inode) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	if (note->kind != KIND_NONE && inode->kind == note->kind) {
		inode->print = note->print;
		inode->has_print = true;
	}
	lookup_entry(fs, inode, note->size, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
	inode_drop(inode);
}

/* What is to be removed is there, what is to be made is not. */
static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	const struct note *note = current(req, parent, name);
	const struct inode *inode = note ? inode_find(&fs->inodes, note->key, note->len) : NULL;

	if (fs->notice->hello) {
		fs->notice->known = true;
		fuse_reply_err(req, ENOENT);
	} else if (note && note->what == TOUCH_REMOVED_DIR) {
		reply_entry(req, note, KIND_HASH);
	} else if (note && note->what == TOUCH_REMOVED) {
		reply_entry(req, note, KIND_STRING);
	} else if (note && (note->what == TOUCH_CREATED || note->what == TOUCH_CREATED_DIR) &&
		   (!inode || !inode->lookups)) {
		fuse_reply_err(req, ENOENT);
	} else {
		lookup_lookup(req, parent, name);
	}
}

static void do_make(fuse_req_t req, fuse_ino_t parent, const char *name, enum touch what)
{
	const struct note *note = current(req, parent, name);

	if (note && note->what == what)
		reply_entry(req, note, note->kind);
	else
		fuse_reply_err(req, EPERM);
}

static void do_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	do_make(req, parent, name, TOUCH_CREATED);
}

static void do_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	do_make(req, parent, name, TOUCH_CREATED_DIR);
}

/* Unless the key has come back meanwhile: then the next look decides. */
static void do_remove(fuse_req_t req, fuse_ino_t parent, const char *name, enum touch what)
{
	struct fs *fs = fs_of(req);
	const struct note *note = current(req, parent, name);
	struct inode *inode = note ? inode_find(&fs->inodes, note->key, note->len) : NULL;
	bool other = note && note->kind != KIND_NONE; /* it is of another kind now */

	if (!note || note->what != what || note->own || (note->again && !other) ||
	    (inode && (inode->pending || inode->kept || inode->scratch))) {
		fuse_reply_err(req, ECANCELED);
		return;
	}
	if (inode)
		inode_leave(inode);
	fuse_reply_err(req, 0);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	do_remove(req, parent, name, TOUCH_REMOVED);
}

static void do_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	do_remove(req, parent, name, TOUCH_REMOVED_DIR);
}

/* Whether what seemed to be made elsewhere was made through this mount: the toucher waited until its name was there. */
static bool is_mistaken(fuse_req_t req)
{
	const struct note *note = fs_of(req)->notice->touched;

	return !note || (note->what == TOUCH_CREATED && note->own);
}

/* The kernel gets attributes as they are. */
static void do_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	if (is_mistaken(req))
		fuse_reply_err(req, ECANCELED);
	else
		lookup_getattr(req, ino, NULL);
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	if (is_mistaken(req)) {
		fuse_reply_err(req, ECANCELED);
		return;
	}
	fi->fh = 0; /* RELEASE does not tell whose it is */
	fi->direct_io = fi->noflush = 1;
	fuse_reply_open(req, fi);
}

static const struct fuse_lowlevel_ops touch_ops = {
	.lookup = do_lookup,
	.getattr = lookup_getattr,
	.mknod = do_mknod,
	.mkdir = do_mkdir,
	.unlink = do_unlink,
	.rmdir = do_rmdir,
	.setattr = do_setattr,
	.open = do_open,
};

const struct fuse_lowlevel_ops *notice_ops(fuse_req_t req)
{
	const struct notice *notice = fs_of(req)->notice;

	/* Until it is waited for, nobody else has its number. */
	return notice && fuse_req_ctx(req)->pid == notice->toucher.pid ? &touch_ops : NULL;
}

/* ---- its life ---- */

int notice_start(struct fs *fs, const char *mountpoint, dev_t device)
{
	struct notice *notice = fs->options->inotify ? calloc(1, sizeof(*notice)) : NULL;
	int error;

	if (!fs->options->inotify)
		return 0;
	if (!notice)
		return ENOMEM;
	*notice = (struct notice){.fs = fs, .hello = true};
	notice->waiting.end = &notice->waiting.first;
	notice->ready.end = &notice->ready.first;
	notice->later.end = &notice->later.first;
	error = toucher_start(&notice->toucher, mountpoint, device);
	if (error) {
		free(notice);
		return error;
	}
	fs->notice = notice;
	notice->watch = shard_watch_add(fs_client(fs), notice->toucher.fd, EPOLLIN, answered, notice);
	if (!notice->watch || !toucher_ask(&notice->toucher, TOUCH_HELLO, "%hello"))
		return errno ? errno : EIO;
	return 0;
}

void notice_stop(struct fs *fs)
{
	if (fs->notice && !fs->notice->off)
		turn_off(fs->notice);
}

void notice_finish(struct fs *fs)
{
	if (!fs->notice)
		return;
	toucher_finish(&fs->notice->toucher);
	free(fs->notice);
	fs->notice = NULL;
}

uint64_t notice_events(const struct fs *fs)
{
	return fs->notice ? fs->notice->events : 0;
}

uint64_t notice_dropped(const struct fs *fs)
{
	return fs->notice ? fs->notice->dropped : 0;
}
