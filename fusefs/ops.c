/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>

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
	.releasedir = dir_releasedir,
	.statfs = statfs_statfs,
	.getxattr = xattr_get,
	.setxattr = xattr_set,
	.listxattr = xattr_list,
	.removexattr = xattr_remove,
};
