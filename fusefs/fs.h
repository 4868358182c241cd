/* SPDX-License-Identifier: MIT */
/*
 * The file system: one FUSE session; one client and one thread, or several (crew.h).
 */
#ifndef FUSEFS_FS_H
#define FUSEFS_FS_H

#define FUSE_USE_VERSION 312

#include <stdbool.h>
#include <stdint.h>
#include <sys/statvfs.h>
#include <time.h>

#include <fuse_lowlevel.h>

#include <shard/client.h>

#include "cache.h"
#include "control.h"
#include "inode.h"
#include "options.h"
#include "stats.h"
#include "survey.h"
#include "tree.h"

/*
 * The kernel lets one LOOKUP of a name go on at a time. Those that waited
 * behind one that has failed are told so for this long: each would wait for
 * a deadline of its own else, one after the other, and could not be
 * interrupted.
 */
#define FS_FAILED_MS 100
#define FS_FAILURES 64

#define FS_TIMEOUT_MS 5000 /* the library's default */

/* How long what a LOOKUP has fetched may serve the GETATTR and the OPEN that follow it. */
#define FS_FRESH_MS 50

struct dir;
struct handle;
struct members;
struct feed;
struct crew;
struct notice;
struct waiter;

struct fs {
	const struct options *options;
	shard_client *client; /* the first thread's */
	struct crew *crew;
	struct fuse_session *session;
	struct inode_table inodes;
	struct cache cache;
	struct control control;
	struct stats stats;
	struct inode *root;
	struct tree tree;     /* how names make keys */
	struct survey survey; /* with a tree: which keys there are */
	struct inode *prefixes; /* what its directories are members of; or NULL */
	struct handle *handles; /* all open files */
	struct dir *dirs;       /* all open listings */
	struct members *members; /* the same, of directories of members */
	struct feed *feeds;     /* all open %push and %log */
	struct waiter *waiters; /* those %log that somebody sleeps at in poll(), ... */
	bool waiters_again;     /* ... and whether a timer wakes them */
	struct pending *scratch; /* those that are kept in memory */
	struct notice *notice;   /* -o inotify; or NULL */
	struct timespec mounted;
	unsigned commits;       /* SETs under way for transactions */
	struct fs_failure {
		uint64_t hash;
		uint64_t at;
		int error;
	} failure[FS_FAILURES]; /* of LOOKUPs, by hash */
	bool answers;           /* the kernel has made itself known: the mount is of use */
	uint64_t statfs_at;     /* when `statfs` came, in ms; 0: never */
	struct statvfs statfs;
};

/* The operations, for fuse_session_new(); their userdata is the struct fs. */
extern const struct fuse_lowlevel_ops fs_ops;

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/* Errors are counted where they are told. */
static inline int fs_reply_err(fuse_req_t req, int error)
{
	stats_error(&fs_of(req)->stats, error);
	return fuse_reply_err(req, error);
}
#define fuse_reply_err fs_reply_err

extern _Thread_local shard_client *fs_thread_client;

/* The client that requests of this thread go through. What is asked of it is answered in this thread. */
static inline shard_client *fs_client(const struct fs *fs)
{
	return fs_thread_client;
}

/* The deadline of a call, in ms. */
static inline unsigned fs_timeout_ms(const struct fs *fs)
{
	const struct cli_connect *connect = &fs->options->connect;

	if (connect->timeout_ms)
		return connect->timeout_ms;
	return connect->pool && connect->pool->timeout_ms ? connect->pool->timeout_ms : FS_TIMEOUT_MS;
}

uint64_t fs_now_ms(void); /* monotonic */
struct timespec fs_now(void);

/* The inode of a number that the kernel has from us. */
struct inode *fs_inode(struct fs *fs, fuse_ino_t ino);
fuse_ino_t fs_ino(const struct fs *fs, const struct inode *inode);

/* The number that stat() and readdir() show, from the key's hash: never 0 or that of the root. */
static inline uint64_t fs_number(uint64_t hash)
{
	return hash > FUSE_ROOT_ID ? hash : hash + 2;
}

/* What stat() shows of a file of SIZE bytes. */
void fs_stat(const struct fs *fs, const struct inode *inode, size_t size, struct stat *st);

/*
 * The key of a name in a directory of keys, for operations that come after a LOOKUP of it. malloc'ed
 * into *KEY, with a NUL behind it. Returns 0, or ENOENT, EINVAL, EPERM, ENOMEM; MAKE: for a name to create.
 */
int fs_key_of_name(struct fs *fs, fuse_ino_t parent, const char *name, bool make, char **key, size_t *key_len);

/* A line on stderr; for a daemon in the background, in the system's log. */
void fs_say(const struct fs *fs, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The same of a key. */
void fs_log(const struct fs *fs, const struct inode *inode, const char *what, int error);

#endif
