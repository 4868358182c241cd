/* SPDX-License-Identifier: MIT */
/*
 * Who serves the mount: one loop, or, with -o threads=N, several that read
 * one /dev/fuse.
 *
 * Each loop has a thread and a client of its own; all else (inodes, handles,
 * transactions, the cache) they share, under one lock. It is held by whoever
 * runs anything here, and let go only while a loop waits and while it reads
 * from /dev/fuse; replies are written under it, so that the kernel hears of
 * an inode in the order in which things are known of it. So no other file
 * needs to know: a function goes on undisturbed until it returns. What it has
 * asked its client for is answered in the same thread, by the client that
 * fs_client() gave; another thread may cancel it, by that client.
 *
 * One loop takes no lock.
 */
#ifndef FUSEFS_CREW_H
#define FUSEFS_CREW_H

#include <pthread.h>

#include "fs.h"

#define CREW_MAX 64

struct worker {
	struct crew *crew;
	pthread_t thread;
	shard_client *client;
	shard_watch *watch; /* of /dev/fuse; NULL: it reads no more */
	struct fuse_buf buf;
	int alone; /* for so many ticks a program is taken to be the only one */
};

struct crew {
	struct fs *fs;
	unsigned count; /* wanted */
	unsigned there; /* of worker[]; the first is the calling thread */
	unsigned reading;
	struct worker worker[CREW_MAX];
	pthread_mutex_t lock;
	pthread_cond_t left; /* one reads no more */
	bool ending, finished;
	bool given_up;       /* by libfuse: it said why */
	void (*ready)(void); /* called once, when the mount answers; or NULL */
};

/* The calling thread is the first of it, and has the lock from here on. 0 or an errno. */
int crew_start(struct crew *crew, struct fs *fs, void (*ready)(void));

/* Watches /dev/fuse. 0 or an errno. */
int crew_watch(struct crew *crew);

/*
 * Serves until crew_end(), or until the mount is gone; the others begin when it answers. Nobody reads
 * when it returns.
 */
void crew_serve(struct crew *crew);
void crew_end(struct crew *crew);

/* One tick of the first client; what the others have under way goes on meanwhile. Whether it went well. */
bool crew_wait(struct crew *crew);

/* Ends the other threads, and their clients with what they have under way; frees all. Before the first client ends. */
void crew_finish(struct crew *crew);

/* Requests to servers under way. */
size_t crew_pending(const struct crew *crew);

#endif
