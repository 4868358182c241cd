/* SPDX-License-Identifier: MIT */
/*
 * What the files in .shardfs say that can be said without asking a server.
 */
#ifndef FUSEFS_CONTROL_TEXT_H
#define FUSEFS_CONTROL_TEXT_H

#include "fs.h"
#include "out.h"

typedef void (*control_print)(struct fs *fs, const struct inode *inode, struct out *out);

void control_print_nodes(struct fs *fs, const struct inode *inode, struct out *out);
void control_print_slots(struct fs *fs, const struct inode *inode, struct out *out);
void control_print_stats(struct fs *fs, const struct inode *inode, struct out *out);
void control_print_config(struct fs *fs, const struct inode *inode, struct out *out);
void control_print_keyslot(struct fs *fs, const struct inode *inode, struct out *out);

#endif
