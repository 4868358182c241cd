/* SPDX-License-Identifier: MIT */
/*
 * .shardfs in the root: files that tell of the mount and its servers, read
 * like those of /proc. A listing of the root does not show it. What is in one
 * of its files is made when it is opened; its size is 0.
 *
 * The inodes are members of .shardfs (which no table has), by their names.
 */
#ifndef FUSEFS_CONTROL_H
#define FUSEFS_CONTROL_H

#include <stdbool.h>

#define CONTROL_NAME ".shardfs"

struct control_file;
struct control_list;
struct fs;
struct inode;
struct options;

struct control {
	struct inode *top;
	struct options *options;    /* the mount's own, to be changed */
	struct control_file *files; /* all open ones */
	struct control_list *lists; /* all open listings */
};

/* 0 or ENOMEM. After the table of inodes is there. */
int control_start(struct fs *fs, struct options *options);
void control_close_all(struct fs *fs); /* as if all programs had ended */
void control_finish(struct fs *fs);    /* before the table of inodes is finished; nothing is held any more */

#endif
