/* SPDX-License-Identifier: MIT */
/*
 * LOOKUP and GETATTR in .shardfs, and what is refused there.
 */
#include "control.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control_place.h"

/* ---- what there is ---- */

static const struct control_entry top_entries[] = {
	{.name = "nodes", .print = control_print_nodes},
	{.name = "slots", .print = control_print_slots},
	{.name = "stats", .print = control_print_stats},
	{.name = "config", .writable = true, .print = control_print_config},
	{.name = "keyslot", .dir = true},
	{.name = "node", .dir = true},
	{0},
};
static const struct control_entry node_entries[] = {
	{.name = "info", .open = control_open_info},
	{.name = "keys", .open = control_open_keys},
	{0},
};
static const struct control_entry keyslot_entry = {.print = control_print_keyslot};
static const struct control_entry any_directory = {.dir = true};
static const struct control_entry none[] = {{0}};

static bool is_in_top(const struct fs *fs, const struct inode *inode, const char *name)
{
	return inode->parent == fs->control.top && strcmp(inode->member, name) == 0;
}

bool control_is_nodes(const struct fs *fs, const struct inode *dir)
{
	return is_in_top(fs, dir, "node");
}

const struct control_entry *control_entries(const struct fs *fs, const struct inode *dir)
{
	if (dir == fs->control.top)
		return top_entries;
	return dir->parent == fs->control.top ? none : node_entries;
}

static const struct control_entry *find(const struct control_entry *entries, const char *name)
{
	while (entries->name && strcmp(entries->name, name) != 0)
		entries++;
	return entries->name ? entries : NULL;
}

/* By its name in DIR. NULL: there is none. */
static const struct control_entry *entry_in(struct fs *fs, const struct inode *dir, const char *name)
{
	if (control_is_nodes(fs, dir))
		return control_node_named(fs, name) ? &any_directory : NULL;
	if (!is_in_top(fs, dir, "keyslot"))
		return find(control_entries(fs, dir), name);

	char *key = malloc(strlen(name) + 1);
	enum name_kind kind = key ? name_decode(name, strlen(name), key).kind : NAME_BAD;
	bool pool = fs->options->connect.pool;
	free(key);
	/* A hash does not tell a pool's server. */
	return kind == NAME_KEY || (kind == NAME_HASHED && !pool) ? &keyslot_entry : NULL;
}

const struct control_entry *control_entry_of(const struct fs *fs, const struct inode *inode)
{
	if (inode == fs->control.top || control_is_nodes(fs, inode->parent))
		return &any_directory;
	return is_in_top(fs, inode->parent, "keyslot") ? &keyslot_entry
						       : find(control_entries(fs, inode->parent), inode->member);
}

uint64_t control_number(const struct inode *dir, const char *name)
{
	return fs_number(inode_member_hash(dir, name, strlen(name)));
}

const char *control_node_named(struct fs *fs, const char *name)
{
	shard_topology *map = shard_client_topology(fs_client(fs));
	char listed[NAME_LISTED_MAX + 1];

	for (size_t i = 0; map && i < shard_topology_node_count(map); i++) {
		const shard_node *node = shard_topology_node(map, i);

		name_listed(node->addr, strlen(node->addr), listed);
		if (!(node->flags & SHARD_NODE_NOADDR) && strcmp(listed, name) == 0)
			return node->addr;
	}
	return NULL;
}

/* ---- LOOKUP, GETATTR ---- */

static void set_mode(const struct fs *fs, struct inode *inode, const struct control_entry *entry)
{
	inode->has_mode = true;
	inode->mode = (entry->dir ? 0555 : entry->writable ? 0644 : 0444) & ~fs->options->umask;
}

static void reply_entry(fuse_req_t req, struct inode *inode)
{
	struct fuse_entry_param entry;

	lookup_entry(fs_of(req), inode, 0, &entry);
	inode->lookups++;
	if (fuse_reply_entry(req, &entry))
		inode_forget(inode, 1);
}

void control_lookup_top(fuse_req_t req)
{
	reply_entry(req, fs_of(req)->control.top);
}

void control_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct inode *dir = fs_inode(fs, parent);
	const struct control_entry *entry = entry_in(fs, dir, name);

	if (!entry) {
		fuse_reply_err(req, ENOENT);
		return;
	}
	struct inode *inode =
		inode_get_member(dir, entry->dir ? KIND_CONTROL_DIR : KIND_CONTROL, name, strlen(name), fs->mounted);
	if (!inode) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	set_mode(fs, inode, entry);
	reply_entry(req, inode);
	inode_drop(inode);
}

void control_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;

	fs_stat(fs_of(req), fs_inode(fs_of(req), ino), 0, &st);
	fuse_reply_attr(req, &st, 0);
}

/* ---- what is refused ---- */

/* A program that truncates what it writes may do so; there is nothing else to set. */
void control_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
	const struct fs *fs = fs_of(req);
	const int times = FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW | FUSE_SET_ATTR_CTIME;

	if (control_entry_of(fs, fs_inode(fs_of(req), ino))->writable && to_set & FUSE_SET_ATTR_SIZE &&
	    !(to_set & ~(FUSE_SET_ATTR_SIZE | times)))
		control_getattr(req, ino, fi);
	else
		fuse_reply_err(req, EPERM);
}

void control_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	fuse_reply_err(req, EPERM);
}

void control_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	fuse_reply_err(req, EPERM);
}

bool control_is_in(struct fs *fs, fuse_ino_t ino)
{
	return fs_inode(fs, ino)->kind == KIND_CONTROL_DIR;
}

/* ---- the start and the end ---- */

int control_start(struct fs *fs, struct options *options)
{
	struct inode *top = inode_alone(KIND_CONTROL_DIR, fs->mounted);

	if (!top)
		return ENOMEM;
	top->table = &fs->inodes; /* that of its members */
	top->hash = name_hash_member(FUSE_ROOT_ID, CONTROL_NAME, strlen(CONTROL_NAME));
	set_mode(fs, top, &any_directory);
	fs->control.top = top;
	fs->control.options = options;
	return 0;
}

void control_close_all(struct fs *fs)
{
	while (fs->control.files)
		control_file_close(fs->control.files);
	while (fs->control.lists)
		control_list_close(fs->control.lists);
}

/* The table's end knows of one level of members alone. */
static void forget_members(struct inode *dir)
{
	for (struct inode *child = dir->children, *older; child; child = older) {
		older = child->older_sibling;
		forget_members(child);
		inode_forget(child, UINT64_MAX);
	}
}

void control_finish(struct fs *fs)
{
	struct inode *top = fs->control.top;

	if (!top)
		return;
	forget_members(top);
	top->table = NULL;
	top->lookups = 0;
	inode_drop(top);
	fs->control.top = NULL;
}
