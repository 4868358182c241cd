/* SPDX-License-Identifier: MIT */
#include "waiter.h"

#include <stdlib.h>
#include <string.h>

#define AGAIN_MS 1000

struct waiter *waiter_create(struct fs *fs, struct inode *inode)
{
	struct waiter *waiter = calloc(1, sizeof(*waiter));

	if (!waiter)
		return NULL;
	waiter->fs = fs;
	waiter->inode = inode_hold(inode);
	waiter->holds = 1;
	return waiter;
}

struct waiter *waiter_hold(struct waiter *waiter)
{
	waiter->holds++;
	return waiter;
}

void waiter_drop(struct waiter *waiter)
{
	if (!waiter || --waiter->holds)
		return;
	waiter_expect(waiter, NULL);
	inode_drop(waiter->inode);
	free(waiter);
}

void waiter_expect(struct waiter *waiter, struct fuse_pollhandle *handle)
{
	struct fs *fs = waiter->fs;

	if (waiter->handle) {
		if (waiter->next)
			waiter->next->prev = waiter->prev;
		*(waiter->prev ? &waiter->prev->next : &fs->waiters) = waiter->next;
		fuse_pollhandle_destroy(waiter->handle);
	}
	waiter->handle = handle;
	if (!handle)
		return;
	waiter->prev = NULL;
	waiter->next = fs->waiters;
	if (waiter->next)
		waiter->next->prev = waiter;
	fs->waiters = waiter;
}

/* Who still sleeps then leaves a new handle. */
static void wake(struct waiter *waiter)
{
	fuse_lowlevel_notify_poll(waiter->handle);
	waiter_expect(waiter, NULL);
}

void waiter_changed(struct fs *fs, const char *key, size_t key_len)
{
	for (struct waiter *waiter = fs->waiters, *next; waiter; waiter = next) {
		const struct inode *inode = waiter->inode;
		next = waiter->next;
		if (inode->key_len == key_len && !memcmp(inode->key, key, key_len))
			wake(waiter);
	}
}

void waiter_unsure(struct fs *fs)
{
	while (fs->waiters)
		wake(fs->waiters);
}

static void on_again(void *ctx)
{
	struct fs *fs = ctx;

	fs->waiters_again = false;
	waiter_unsure(fs);
}

/* One timer for all. It is not cancelled: when it comes, it is for whoever sleeps by then. */
void waiter_look_later(struct waiter *waiter)
{
	struct fs *fs = waiter->fs;

	if (waiter->handle && !fs->waiters_again)
		fs->waiters_again = shard_timer_add(fs_client(fs), AGAIN_MS, on_again, fs) != NULL;
}
