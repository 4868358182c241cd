/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "cli.h"
#include "prefix.h"

#define BLOCK 4096

uint64_t fs_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct timespec fs_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now;
}

struct inode *fs_inode(struct fs *fs, fuse_ino_t ino)
{
	return ino == FUSE_ROOT_ID ? fs->root : (struct inode *)(uintptr_t)ino;
}

fuse_ino_t fs_ino(const struct fs *fs, const struct inode *inode)
{
	return inode == fs->root ? FUSE_ROOT_ID : (uintptr_t)inode;
}

static mode_t mode_of(const struct fs *fs, const struct inode *inode)
{
	bool is_dir = kind_is_dir(inode->kind);
	mode_t type = is_dir ? S_IFDIR : S_IFREG;

	if (inode->kind == KIND_OTHER)
		return type;
	if (inode->kind == KIND_PUSH)
		return type | (0222 & ~fs->options->umask);
	if (inode->has_mode)
		return type | inode->mode;
	return type | ((is_dir ? 0777 : 0666) & ~fs->options->umask);
}

/* 1 for a directory says that nobody counts what is in it. */
static nlink_t links_of(const struct fs *fs, const struct inode *inode)
{
	bool counted = !prefix_used(fs) || (inode != fs->root && inode->kind != KIND_PREFIX);

	if (inode->gone)
		return 0;
	return kind_is_dir(inode->kind) && counted ? 2 : 1;
}

void fs_stat(const struct fs *fs, const struct inode *inode, size_t size, struct stat *st)
{
	*st = (struct stat){
		.st_ino = inode == fs->root ? FUSE_ROOT_ID : fs_number(inode->hash),
		.st_mode = mode_of(fs, inode),
		.st_nlink = links_of(fs, inode),
		.st_uid = fs->options->uid,
		.st_gid = fs->options->gid,
		.st_size = (off_t)size,
		/* stdio writes blocks of this size; a transaction tells the last one by its being shorter. */
		.st_blksize = BLOCK,
		.st_blocks = (blkcnt_t)((size + 511) / 512),
		.st_atim = inode->atime,
		.st_mtim = inode->mtime,
		.st_ctim = inode->ctime,
	};
}

int fs_key_of_name(struct fs *fs, fuse_ino_t parent, const char *name, bool make, char **key, size_t *key_len)
{
	struct tree_place place;

	if (parent == FUSE_ROOT_ID && strcmp(name, CONTROL_NAME) == 0)
		return EPERM;
	if (prefix_decode(fs, fs_inode(fs, parent), name, &place, key))
		return ENOMEM;
	if (place.kind == PLACE_KEY || place.kind == PLACE_EITHER) {
		(*key)[place.key_len] = '\0';
		*key_len = place.key_len;
		return 0;
	}
	free(*key);
	*key = NULL;
	if (place.kind == PLACE_DIR)
		return EISDIR;
	return make ? EINVAL : ENOENT;
}

void fs_say(const struct fs *fs, const char *format, ...)
{
	char text[512];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (fs->options->foreground)
		cli_error("%s", text);
	else
		syslog(LOG_DAEMON | LOG_WARNING, "%s", text);
}

void fs_log(const struct fs *fs, const struct inode *inode, const char *what, int error)
{
	char name[NAME_LISTED_MAX + 1];

	if (fs->options->foreground) {
		cli_error_about(inode->key, inode->key_len, "%s: %s", what, strerror(error));
		return;
	}
	name_listed(inode->key, inode->key_len, name);
	syslog(LOG_DAEMON | LOG_ERR, "%s: %s: %s", name, what, strerror(error));
}
