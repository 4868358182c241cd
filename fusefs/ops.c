/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>
#include <unistd.h>

static void init(void *userdata, struct fuse_conn_info *conn)
{
	struct fs *fs = userdata;

	/* One thread copies small messages; pipes would only add system calls. */
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_PARALLEL_DIROPS);
#ifdef FUSE_CAP_DIRECT_IO_ALLOW_MMAP
	conn->want |= conn->capable & (unsigned)FUSE_CAP_DIRECT_IO_ALLOW_MMAP;
#endif
	conn->max_background = 128;
	conn->congestion_threshold = 96;
	conn->time_gran = 1;
	conn->max_read = fs->options->max_read; /* libfuse wants to hear it twice */
	fs->answers = true;
}

/* access(2), without default_permissions: nobody but a program that is to be run is refused beforehand. */
static void check_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
	struct fs *fs = fs_of(req);
	struct stat st;

	fs_stat(fs, fs_inode(fs, ino), 0, true, &st);
	fuse_reply_err(req, (mask & X_OK) && !(st.st_mode & 0111) ? EACCES : 0);
}

/* What a flat set of keys cannot have. */

static void no_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	fuse_reply_err(req, EPERM);
}

static void no_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

static void no_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = init,
	.lookup = lookup_lookup,
	.forget = lookup_forget,
	.forget_multi = lookup_forget_multi,
	.access = check_access,
	.getattr = lookup_getattr,
	.setattr = setattr_setattr,
	.open = open_open,
	.create = open_create,
	.mknod = open_mknod,
	.release = open_release,
	.read = read_read,
	.write = write_write,
	.flush = write_flush,
	.fsync = write_fsync,
	.unlink = remove_unlink,
	.rename = rename_rename,
	.mkdir = no_mkdir,
	.symlink = no_symlink,
	.link = no_link,
	.opendir = dir_opendir,
	.readdir = dir_readdir,
	.readdirplus = dir_readdirplus,
	.releasedir = dir_releasedir,
	.statfs = statfs_statfs,
	.getxattr = xattr_get,
	.setxattr = xattr_set,
	.listxattr = xattr_list,
	.removexattr = xattr_remove,
};
