/* SPDX-License-Identifier: MIT */
/*
 * -o inotify: what was changed elsewhere is told to inotify(7) on this mount.
 *
 * When a server tells of a key, it is looked at; what differs from what this
 * mount knew decides what its toucher does to the file (toucher.h), whose
 * calls change nothing here. What this mount has written itself made its
 * events already. Nothing waits for the toucher: a key that changes again
 * meanwhile is told of once, and of more keys than NOTES_MAX none.
 */
#ifndef FUSEFS_NOTICE_H
#define FUSEFS_NOTICE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "fs.h"

#define NOTES_MAX 4096

/* Where the options want it. 0 or an errno. DEVICE: of the mount, which is served from now on. */
int notice_start(struct fs *fs, const char *mountpoint, dev_t device);
void notice_stop(struct fs *fs);   /* nothing is told any more */
void notice_finish(struct fs *fs); /* when the mount and the client are gone */

/* A server has told of KEY. */
void notice_changed(struct fs *fs, const char *key, size_t key_len);

/* Whether INODE's key has changed is not known. */
void notice_unsure(struct fs *fs, const struct inode *inode);

/* This mount has changed the key that has HASH. */
void notice_wrote(struct fs *fs, uint64_t hash);

/* What is done for REQ where it is the toucher's; else NULL. */
const struct fuse_lowlevel_ops *notice_ops(fuse_req_t req);

/* How often the toucher was asked, and how many changes were too many. */
uint64_t notice_events(const struct fs *fs);
uint64_t notice_dropped(const struct fs *fs);

#endif
