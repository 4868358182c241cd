/* SPDX-License-Identifier: MIT */
/*
 * Listings of what is in .shardfs: the names are those of the opendir().
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_place.h"
#include "dir_plus.h"

#define BEHIND_DOTS 2

struct control_list {
	struct control_list *prev, *next; /* of all open ones */
	struct fs *fs;
	struct inode *dir; /* held */
	char **name;       /* of nodes; else NULL */
	size_t count;
};

static struct control_list *list_of(const struct fuse_file_info *fi)
{
	return (struct control_list *)(uintptr_t)fi->fh;
}

void control_list_close(struct control_list *list)
{
	if (list->next)
		list->next->prev = list->prev;
	*(list->prev ? &list->prev->next : &list->fs->control.lists) = list->next;
	for (size_t i = 0; i < list->count && list->name; i++)
		free(list->name[i]);
	free(list->name);
	inode_drop(list->dir);
	free(list);
}

/* 0 or ENOMEM. */
static int take_nodes(struct control_list *list)
{
	shard_topology *map = shard_client_topology(fs_client(list->fs));
	size_t count = map ? shard_topology_node_count(map) : 0;
	char listed[NAME_LISTED_MAX + 1];

	list->name = calloc(count + 1, sizeof(*list->name));
	for (size_t i = 0; i < count && list->name; i++) {
		const shard_node *node = shard_topology_node(map, i);

		if (node->flags & SHARD_NODE_NOADDR)
			continue;
		name_listed(node->addr, strlen(node->addr), listed);
		list->name[list->count] = strdup(listed);
		if (!list->name[list->count++])
			return ENOMEM;
	}
	return list->name ? 0 : ENOMEM;
}

void control_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct control_list *list = calloc(1, sizeof(*list));

	if (!list) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	list->fs = fs;
	list->dir = inode_hold(fs_inode(fs, ino));
	list->next = fs->control.lists;
	if (list->next)
		list->next->prev = list;
	fs->control.lists = list;
	fi->fh = (uintptr_t)list;
	int error = control_is_nodes(fs, list->dir) ? take_nodes(list) : 0;
	if (error)
		fuse_reply_err(req, error);
	if (error || fuse_reply_open(req, fi))
		control_list_close(list);
}

/* The name of number AT, from 0 on; NULL: there are no more. */
static const char *name_at(const struct control_list *list, uint64_t at, bool *dir)
{
	const struct control_entry *entries = control_entries(list->fs, list->dir);

	*dir = true;
	if (at < BEHIND_DOTS)
		return at ? ".." : ".";
	at -= BEHIND_DOTS;
	if (list->name)
		return at < list->count ? list->name[at] : NULL;
	for (uint64_t i = 0; i < at && entries->name; i++)
		entries++;
	*dir = entries->dir;
	return entries->name;
}

static uint64_t number_of(const struct control_list *list, const char *name, uint64_t at)
{
	if (at == 0)
		return fs_number(list->dir->hash);
	if (at == 1)
		return list->dir->parent ? fs_number(list->dir->parent->hash) : FUSE_ROOT_ID;
	return control_number(list->dir, name);
}

static void read_list(fuse_req_t req, size_t size, uint64_t at, const struct control_list *list, bool plus)
{
	struct listing *listing = op_create(req, sizeof(*listing), list->dir, NULL, 0);
	const char *name;
	bool dir, room = true;

	if (!listing)
		return;
	listing->op.finish = listing_finish;
	listing->bytes = malloc(size);
	listing->size = size;
	listing->plus = plus;
	if (!listing->bytes) {
		op_error(&listing->op, ENOMEM);
		op_drop(&listing->op);
		return;
	}
	for (; room && (name = name_at(list, at, &dir)); at++)
		room = listing_add(listing, name, number_of(list, name, at), dir ? KIND_CONTROL_DIR : KIND_CONTROL,
				   at + 1);
	listing_answer(listing);
}

void control_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_list(req, size, (uint64_t)offset, list_of(fi), false);
}

void control_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	read_list(req, size, (uint64_t)offset, list_of(fi), true);
}

void control_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	control_list_close(list_of(fi));
	fuse_reply_err(req, 0);
}
