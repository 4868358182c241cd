/* SPDX-License-Identifier: MIT */
/*
 * The operations, by theme: what the table in ops.c points to, and what they
 * share.
 */
#ifndef FUSEFS_OPS_H
#define FUSEFS_OPS_H

#include "fs.h"
#include "handle.h"
#include "op.h"

/* lookup.c */
void lookup_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void lookup_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups);
void lookup_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void lookup_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* The entry that the kernel gets for an inode; its look-up is counted by the caller. */
void lookup_entry(const struct fs *fs, const struct inode *inode, size_t size, struct fuse_entry_param *entry);

/* LOOKUP of a key. */
void lookup_key(fuse_req_t req, const char *key, size_t key_len);

void lookup_member(fuse_req_t req, fuse_ino_t parent, const char *name);

/* open.c */
void open_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void open_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void open_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void open_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* A new file of INODE's, whose look-up is counted, opened; or an error. */
void open_created(fuse_req_t req, struct inode *inode, enum transaction_origin origin, struct fuse_file_info *fi);

/* member.c */
void member_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void member_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void member_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void member_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		   unsigned flags);

/* members.c */
void members_close(struct members *members);
void members_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void members_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void members_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void members_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* mkdir.c */
void mkdir_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void mkdir_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);

/* read.c */
void read_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);

/* write.c */
void write_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		 struct fuse_file_info *fi);
/* Whether REQ is by the process that opened a file as OPENER; the kernel tells threads. */
bool write_by_opener(fuse_req_t req, pid_t opener);
void write_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void write_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* setattr.c */
void setattr_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);

/* remove.c */
void remove_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);

/* rename.c */
void rename_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		   unsigned flags);

/* dir.c */
void dir_close(struct dir *dir);
void dir_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dir_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void dir_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void dir_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* feed.c: %push and %log */
void feed_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void feed_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void feed_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void feed_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void feed_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		struct fuse_file_info *fi);
void feed_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void feed_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void feed_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph);
void feed_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* control.c, control_dir.c, control_file.c: what is in .shardfs */
bool control_is_in(struct fs *fs, fuse_ino_t ino);
void control_lookup_top(fuse_req_t req);
void control_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void control_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void control_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void control_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void control_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void control_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void control_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void control_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void control_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		   struct fuse_file_info *fi);
void control_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* statfs.c */
void statfs_statfs(fuse_req_t req, fuse_ino_t ino);

/* xattr.c */
void xattr_none(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size); /* of a file that has none */
void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size);
void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name);

/* Answers that a file can be read and written now. */
void ops_poll_ready(fuse_req_t req, struct fuse_pollhandle *ph);

#endif
