/* SPDX-License-Identifier: MIT */
/*
 * What there is in .shardfs, and where.
 */
#ifndef FUSEFS_CONTROL_PLACE_H
#define FUSEFS_CONTROL_PLACE_H

#include "control_text.h"
#include "ops.h"

struct control_file;

/* A file or a directory in .shardfs. */
struct control_entry {
	const char *name; /* NULL: any that there is one for */
	bool dir;
	bool writable;
	control_print print; /* makes the text at once; or */
	/* answers REQ later, with control_reply_open() or an error */
	void (*open)(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi);
};

/* What is in the directory DIR by fixed names, up to one without a name; none where the names are not fixed. */
const struct control_entry *control_entries(const struct fs *fs, const struct inode *dir);

/* What a file or directory is. */
const struct control_entry *control_entry_of(const struct fs *fs, const struct inode *inode);

/* Whether DIR is the one of all nodes. */
bool control_is_nodes(const struct fs *fs, const struct inode *dir);

/* The number in listings of what NAME is in DIR. */
uint64_t control_number(const struct inode *dir, const char *name);

/* The address of the node whose directory is called NAME, lent until the next tick; NULL: there is none. */
const char *control_node_named(struct fs *fs, const char *name);

/* control_dir.c */
void control_list_close(struct control_list *list);

/* control_file.c */
struct control_file *control_file_create(struct fs *fs, struct inode *inode);
void control_file_drop(struct control_file *file);
void control_file_close(struct control_file *file);
/* Tells the kernel that FILE is open; takes the caller's hold. */
void control_reply_open(fuse_req_t req, struct control_file *file, const struct fuse_file_info *fi);

/* control_node.c */
void control_open_info(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi);
void control_open_keys(fuse_req_t req, struct inode *inode, const struct fuse_file_info *fi);
/* READ of one whose text is not all there. */
void control_read_more(fuse_req_t req, struct control_file *file, size_t size, size_t offset);

#endif
