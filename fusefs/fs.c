/* SPDX-License-Identifier: MIT */
#include "fs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "cli.h"

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

void fs_stat(const struct fs *fs, const struct inode *inode, size_t size, struct stat *st)
{
	*st = (struct stat){
		.st_ino = inode == fs->root ? FUSE_ROOT_ID : fs_number(inode->hash),
		.st_mode = mode_of(fs, inode),
		.st_nlink = inode->gone                ? 0
			    : kind_is_dir(inode->kind) ? 2
						       : 1,
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

static int copy(const char *key, size_t key_len, char **out, size_t *out_len)
{
	*out = malloc(key_len + 1);
	if (!*out)
		return ENOMEM;
	memcpy(*out, key, key_len);
	*out_len = key_len;
	return 0;
}

int fs_key_of_name(const struct fs *fs, const char *name, bool make, char **key, size_t *key_len)
{
	size_t len = strlen(name);

	if (strcmp(name, CONTROL_NAME) == 0)
		return EPERM;
	char *room = malloc(len + 1);

	if (!room)
		return ENOMEM;
	struct name decoded = name_decode(name, len, room);
	if (decoded.kind == NAME_KEY) {
		room[decoded.key_len] = '\0';
		*key = room;
		*key_len = decoded.key_len;
		return 0;
	}
	free(room);
	/* The kernel has just looked it up, so the inode is there. */
	struct inode *inode = decoded.kind == NAME_HASHED ? inode_find_hashed(&fs->inodes, &decoded) : NULL;
	if (inode)
		return copy(inode->key, inode->key_len, key, key_len);
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
