/* SPDX-License-Identifier: MIT */
#include "ops.h"

#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "notice.h"

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

	fs_stat(fs, fs_inode(fs, ino), 0, &st);
	fuse_reply_err(req, (mask & X_OK) && !(st.st_mode & 0111) ? EACCES : 0);
}

/* ---- what files of each kind do; what is not there is refused ---- */

static void no_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	fuse_reply_err(req, EPERM);
}

/* The directory of all keys, or of those that begin in the same way. */
static const struct fuse_lowlevel_ops keys_ops = {
	.lookup = lookup_lookup,
	.getattr = lookup_getattr,
	.setattr = setattr_setattr,
	.create = open_create,
	.mknod = open_mknod,
	.unlink = remove_unlink,
	.mkdir = mkdir_mkdir,
	.rmdir = mkdir_rmdir,
	.rename = rename_rename,
	.opendir = dir_opendir,
	.readdir = dir_readdir,
	.readdirplus = dir_readdirplus,
	.releasedir = dir_releasedir,
	.getxattr = xattr_none,
};

/* A key's value. */
static const struct fuse_lowlevel_ops key_ops = {
	.getattr = lookup_getattr,
	.setattr = setattr_setattr,
	.open = open_open,
	.release = open_release,
	.read = read_read,
	.write = write_write,
	.flush = write_flush,
	.fsync = write_fsync,
	.getxattr = xattr_get,
	.setxattr = xattr_set,
	.removexattr = xattr_remove,
};

/* A key that is a directory. */
static const struct fuse_lowlevel_ops typed_ops = {
	.lookup = lookup_member,
	.getattr = lookup_getattr,
	.setattr = setattr_setattr,
	.create = member_create,
	.mknod = member_mknod,
	.unlink = member_unlink,
	.rename = member_rename,
	.opendir = members_opendir,
	.readdir = members_readdir,
	.readdirplus = members_readdirplus,
	.releasedir = members_releasedir,
	.getxattr = xattr_get,
	.setxattr = xattr_set,
	.removexattr = xattr_remove,
};

static const struct fuse_lowlevel_ops member_ops = {
	.getattr = lookup_getattr,
	.setattr = setattr_setattr,
	.open = open_open,
	.release = open_release,
	.read = read_read,
	.write = write_write,
	.flush = write_flush,
	.fsync = write_fsync,
	.getxattr = xattr_none,
};

static const struct fuse_lowlevel_ops feed_ops = {
	.getattr = feed_getattr,
	.setattr = feed_setattr,
	.open = feed_open,
	.release = feed_release,
	.read = feed_read,
	.write = feed_write,
	.flush = feed_flush,
	.fsync = feed_fsync,
	.poll = feed_poll,
	.getxattr = xattr_none,
};

/* What is in .shardfs. */
static const struct fuse_lowlevel_ops control_dir_ops = {
	.lookup = control_lookup,
	.getattr = control_getattr,
	.create = control_create,
	.mknod = control_mknod,
	.opendir = control_opendir,
	.readdir = control_readdir,
	.readdirplus = control_readdirplus,
	.releasedir = control_releasedir,
	.getxattr = xattr_none,
};

static const struct fuse_lowlevel_ops control_ops = {
	.getattr = control_getattr,
	.setattr = control_setattr,
	.open = control_open,
	.release = control_release,
	.read = control_read,
	.write = control_write,
	.getxattr = xattr_none,
};

static const struct fuse_lowlevel_ops *const ops_of_kind[KIND_COUNT] = {
	[KIND_STRING] = &key_ops,      [KIND_HASH] = &typed_ops,
	[KIND_LIST] = &typed_ops,      [KIND_SET] = &typed_ops,
	[KIND_ZSET] = &typed_ops,      [KIND_STREAM] = &typed_ops,
	[KIND_OTHER] = &key_ops,       [KIND_ROOT] = &keys_ops,
	[KIND_PREFIX] = &keys_ops,
	[KIND_MEMBER] = &member_ops,   [KIND_TOKEN] = &member_ops,
	[KIND_PUSH] = &feed_ops,       [KIND_LOG] = &feed_ops,
	[KIND_CONTROL] = &control_ops, [KIND_CONTROL_DIR] = &control_dir_ops,
};

static const struct fuse_lowlevel_ops *ops_of(fuse_req_t req, fuse_ino_t ino)
{
	const struct fuse_lowlevel_ops *ops = fs_of(req)->notice ? notice_ops(req) : NULL;

	return ops ? ops : ops_of_kind[fs_inode(fs_of(req), ino)->kind];
}

/* An operation that the kind of the inode INO decides on. */
#define BY_KIND(NAME, ERROR, PARAMS, ARGS)                                                                             \
	static void do_##NAME PARAMS                                                                                   \
	{                                                                                                              \
		const struct fuse_lowlevel_ops *ops = ops_of(req, ino);                                                \
                                                                                                                       \
		stats_count(&fs_of(req)->stats, STATS_##NAME);                                                         \
		if (ops->NAME)                                                                                         \
			ops->NAME ARGS;                                                                                \
		else                                                                                                   \
			fuse_reply_err(req, ERROR);                                                                    \
	}

/* clang-format off */
#define NODE fuse_req_t req, fuse_ino_t ino
#define FILE_INFO struct fuse_file_info *fi
BY_KIND(lookup, ENOTDIR, (NODE, const char *name), (req, ino, name))
BY_KIND(getattr, EIO, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(setattr, EPERM, (NODE, struct stat *attr, int to_set, FILE_INFO), (req, ino, attr, to_set, fi))
BY_KIND(open, EISDIR, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(create, ENOTDIR, (NODE, const char *name, mode_t mode, FILE_INFO), (req, ino, name, mode, fi))
BY_KIND(mknod, ENOTDIR, (NODE, const char *name, mode_t mode, dev_t rdev), (req, ino, name, mode, rdev))
BY_KIND(mkdir, EPERM, (NODE, const char *name, mode_t mode), (req, ino, name, mode))
BY_KIND(release, 0, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(read, EISDIR, (NODE, size_t size, off_t offset, FILE_INFO), (req, ino, size, offset, fi))
BY_KIND(write, EISDIR, (NODE, const char *data, size_t size, off_t offset, FILE_INFO),
	(req, ino, data, size, offset, fi))
BY_KIND(flush, 0, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(fsync, 0, (NODE, int datasync, FILE_INFO), (req, ino, datasync, fi))
BY_KIND(unlink, EPERM, (NODE, const char *name), (req, ino, name))
BY_KIND(rmdir, EPERM, (NODE, const char *name), (req, ino, name))
BY_KIND(rename, EPERM, (NODE, const char *name, fuse_ino_t to, const char *new_name, unsigned flags),
	(req, ino, name, to, new_name, flags))
BY_KIND(link, EPERM, (NODE, fuse_ino_t parent, const char *name), (req, ino, parent, name))
BY_KIND(opendir, ENOTDIR, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(readdir, ENOTDIR, (NODE, size_t size, off_t offset, FILE_INFO), (req, ino, size, offset, fi))
BY_KIND(readdirplus, ENOTDIR, (NODE, size_t size, off_t offset, FILE_INFO), (req, ino, size, offset, fi))
BY_KIND(releasedir, 0, (NODE, FILE_INFO), (req, ino, fi))
BY_KIND(getxattr, EOPNOTSUPP, (NODE, const char *name, size_t size), (req, ino, name, size))
BY_KIND(setxattr, EOPNOTSUPP, (NODE, const char *name, const char *value, size_t size, int flags),
	(req, ino, name, value, size, flags))
BY_KIND(removexattr, EOPNOTSUPP, (NODE, const char *name), (req, ino, name))
/* clang-format on */

void ops_poll_ready(fuse_req_t req, struct fuse_pollhandle *ph)
{
	if (ph)
		fuse_pollhandle_destroy(ph);
	fuse_reply_poll(req, POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM);
}

/* As all files are ready. ENOSYS would be for the whole mount. */
static void do_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *ph)
{
	const struct fuse_lowlevel_ops *ops = ops_of(req, ino);

	stats_count(&fs_of(req)->stats, STATS_poll);
	if (ops->poll)
		ops->poll(req, ino, fi, ph);
	else
		ops_poll_ready(req, ph);
}

const struct fuse_lowlevel_ops fs_ops = {
	.init = init,
	.lookup = do_lookup,
	.forget = lookup_forget,
	.forget_multi = lookup_forget_multi,
	.access = check_access,
	.getattr = do_getattr,
	.setattr = do_setattr,
	.open = do_open,
	.create = do_create,
	.mknod = do_mknod,
	.release = do_release,
	.read = do_read,
	.write = do_write,
	.flush = do_flush,
	.fsync = do_fsync,
	.unlink = do_unlink,
	.rename = do_rename,
	.mkdir = do_mkdir,
	.rmdir = do_rmdir,
	.symlink = no_symlink,
	.link = do_link,
	.opendir = do_opendir,
	.readdir = do_readdir,
	.readdirplus = do_readdirplus,
	.releasedir = do_releasedir,
	.statfs = statfs_statfs,
	.getxattr = do_getxattr,
	.setxattr = do_setxattr,
	.listxattr = xattr_list,
	.removexattr = do_removexattr,
	.poll = do_poll,
};
