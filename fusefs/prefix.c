/* SPDX-License-Identifier: MIT */
#include "prefix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int prefix_start(struct fs *fs)
{
	const struct options *options = fs->options;
	struct inode *top;

	fs->tree = (struct tree){options->separator, options->separator ? strlen(options->separator) : 0,
				 !options->tree};
	survey_start(&fs->survey, fs);
	if (!prefix_used(fs))
		return 0;
	top = fs->prefixes = inode_alone(KIND_PREFIX, fs->mounted);
	if (!top)
		return ENOMEM;
	top->table = &fs->inodes; /* that of its members */
	top->hash = name_hash(options->separator, fs->tree.sep_len); /* a directory and a key: two numbers */
	return 0;
}

void prefix_finish(struct fs *fs)
{
	struct inode *top = fs->prefixes;

	if (!top)
		return;
	top->table = NULL;
	inode_drop(top);
	fs->prefixes = NULL;
}

const char *prefix_of(const struct inode *dir, size_t *len)
{
	bool inner = dir->kind == KIND_PREFIX;

	*len = inner ? dir->member_len : 0;
	return inner ? dir->member : "";
}

struct inode *prefix_get(struct fs *fs, const char *prefix, size_t len)
{
	return inode_get_member(fs->prefixes, KIND_PREFIX, prefix, len, fs->mounted);
}

struct inode *prefix_find(const struct fs *fs, const char *prefix, size_t len)
{
	return inode_find_member(fs->prefixes, prefix, len);
}

static void touch(struct fs *fs, const char *prefix, size_t len)
{
	struct inode *dir = len ? prefix_find(fs, prefix, len) : fs->root;

	if (dir)
		dir->mtime = dir->ctime = fs_now();
}

void prefix_touch(struct fs *fs, const char *key, size_t len)
{
	touch(fs, key, tree_parent(&fs->tree, key, len));
}

void prefix_touch_dir(struct fs *fs, const char *prefix, size_t len)
{
	touch(fs, prefix, tree_parent_of_dir(&fs->tree, prefix, len));
}

/* ---- names ---- */

/* Whether KEY, or with DIR the directory, is what NAME stands for in the directory of LEN bytes of prefix. */
static bool is_hashed(const struct fs *fs, const struct name *name, const char *key, size_t key_len, const char *prefix,
		      size_t len, bool dir)
{
	size_t parent = dir ? tree_parent_of_dir(&fs->tree, key, key_len) : tree_parent(&fs->tree, key, key_len);

	return parent == len && memcmp(key, prefix, len) == 0 && name_matches(name, key, key_len);
}

static struct inode *find_hashed_dir(const struct fs *fs, const struct name *name, const char *prefix, size_t len)
{
	struct inode *dir = fs->prefixes ? fs->prefixes->children : NULL;

	while (dir && (dir->gone || !is_hashed(fs, name, dir->member, dir->member_len, prefix, len, true)))
		dir = dir->older_sibling;
	return dir;
}

/* What the kernel has looked up has an inode. */
static int find_known(const struct fs *fs, struct tree_place *place, char **path, const char *prefix, size_t len)
{
	const struct name name = place->hashed;
	struct inode *inode = inode_find_hashed(&fs->inodes, &name);
	const struct inode *dir = find_hashed_dir(fs, &name, prefix, len);
	const char *found = NULL;

	if (inode && is_hashed(fs, &name, inode->key, inode->key_len, prefix, len, false)) {
		*place = (struct tree_place){.kind = PLACE_KEY, .key_len = inode->key_len};
		found = inode->key;
	} else if (dir) {
		*place = (struct tree_place){.kind = PLACE_DIR, .dir_len = dir->member_len};
		found = dir->member;
	}
	if (!found)
		return 0;
	char *copy = realloc(*path, place->key_len + place->dir_len + 1);
	if (!copy)
		return ENOMEM;
	memcpy(copy, found, place->key_len + place->dir_len);
	*path = copy;
	return 0;
}

int prefix_decode(const struct fs *fs, const struct inode *dir, const char *name, struct tree_place *place, char **path)
{
	size_t prefix_len, len = strlen(name);
	const char *prefix = prefix_of(dir, &prefix_len);
	int error = 0;

	*path = malloc(prefix_len + len + fs->tree.sep_len + 1);
	if (!*path)
		return ENOMEM;
	*place = tree_decode(&fs->tree, prefix, prefix_len, name, len, *path);
	if (place->kind == PLACE_HASHED)
		error = find_known(fs, place, path, prefix, prefix_len);
	if (error || place->kind == PLACE_NONE) {
		free(*path);
		*path = NULL;
	}
	return error;
}
