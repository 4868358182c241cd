/* SPDX-License-Identifier: MIT */
/*
 * OPEN, READ, WRITE, RELEASE of the files in .shardfs.
 */
#include "control_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "setting.h"

static struct control_file *file_of(const struct fuse_file_info *fi)
{
	return (struct control_file *)(uintptr_t)fi->fh;
}

struct control_file *control_file_create(struct fs *fs, struct inode *inode)
{
	struct control_file *file = calloc(1, sizeof(*file));

	if (!file)
		return NULL;
	file->fs = fs;
	file->inode = inode_hold(inode);
	file->holds = 1;
	file->next = fs->control.files;
	if (file->next)
		file->next->prev = file;
	fs->control.files = file;
	return file;
}

void control_file_drop(struct control_file *file)
{
	if (--file->holds)
		return;
	buffer_unref(file->text);
	free(file->node);
	inode_drop(file->inode);
	free(file);
}

void control_file_close(struct control_file *file)
{
	if (file->next)
		file->next->prev = file->prev;
	*(file->prev ? &file->prev->next : &file->fs->control.files) = file->next;
	control_file_drop(file);
}

void control_reply_open(fuse_req_t req, struct control_file *file, const struct fuse_file_info *fi)
{
	struct fuse_file_info open = *fi;

	open.fh = (uintptr_t)file;
	open.direct_io = true;
	open.noflush = true;
	if (fuse_reply_open(req, &open))
		control_file_close(file);
}

static void open_printed(fuse_req_t req, struct inode *inode, control_print print, const struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct control_file *file = control_file_create(fs, inode);
	struct out out;

	out_init(&out, -1);
	if (file) {
		print(fs, inode, &out);
		file->text = buffer_create(out.data, out.len);
	}
	out_finish(&out);
	if (file && file->text) {
		control_reply_open(req, file, fi);
		return;
	}
	if (file)
		control_file_close(file);
	fuse_reply_err(req, ENOMEM);
}

void control_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode *inode = fs_inode(fs_of(req), ino);
	const struct control_entry *entry = control_entry_of(fs_of(req), inode);

	if ((fi->flags & O_ACCMODE) != O_RDONLY && !entry->writable)
		fuse_reply_err(req, EACCES);
	else if (entry->print)
		open_printed(req, inode, entry->print, fi);
	else
		entry->open(req, inode, fi);
}

void control_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	struct control_file *file = file_of(fi);
	size_t there = buffer_size(file->text);

	if (file->grows && (size_t)offset >= there) {
		control_read_more(req, file, size, (size_t)offset);
		return;
	}
	char *bytes = malloc(size + !size);
	long got = bytes ? buffer_read(file->text, (size_t)offset, bytes, size) : -1;
	if (got < 0)
		fuse_reply_err(req, bytes ? errno : ENOMEM);
	else
		fuse_reply_buf(req, bytes, (size_t)got);
	free(bytes);
}

/* Whatever the offset: each write says what is to change. */
void control_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		   struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);

	if (!setting_take_lines(fs->control.options, data, size)) {
		fuse_reply_err(req, EINVAL);
		return;
	}
	fs->inodes.fresh_limit = fs->options->cache_size;
	inode_expire(&fs->inodes, fs_now_ms());
	fuse_reply_write(req, size);
}

void control_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	control_file_close(file_of(fi));
	fuse_reply_err(req, 0);
}
