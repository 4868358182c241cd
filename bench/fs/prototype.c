/* SPDX-License-Identifier: MIT */
/*
 * bench-fs-prototype HOST PORT MOUNTPOINT: the least that a file system on a cluster can do, with
 * blocking calls: one connection a node, a command and its answer at a time. LOOKUP and GETATTR are a STRLEN, READ is
 * a GETRANGE, what was written is SET at the first FLUSH, UNLINK is UNLINK. No listing, no redirects, no deadlines, no
 * transactions, no other types; an empty value does not exist. $BENCH_THREADS: libfuse's loop with so many threads,
 * else its loop with one.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>

#include "client/cluster.h"

#define BUCKETS 65536
#define KEY_MAX 255

struct inode {
	struct inode *next;
	uint64_t lookups;
	size_t len;
	char key[];
};

struct handle {
	char *data;
	size_t size, room;
	bool dirty;
};

static struct cluster cluster;
static redisContext *server[CLUSTER_NODES_MAX];
static pthread_mutex_t server_lock[CLUSTER_NODES_MAX];
static struct inode *bucket[BUCKETS];
static pthread_mutex_t inodes_lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- inodes ---- */

static struct inode *inode_of(fuse_ino_t ino)
{
	return (struct inode *)(uintptr_t)ino;
}

static struct inode **bucket_of(const char *key, size_t len)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * 1099511628211u;
	return &bucket[hash % BUCKETS];
}

static struct inode *inode_get(const char *key)
{
	size_t len = strlen(key);
	struct inode **first = bucket_of(key, len);
	struct inode *inode;

	pthread_mutex_lock(&inodes_lock);
	for (inode = *first; inode; inode = inode->next)
		if (inode->len == len && memcmp(inode->key, key, len) == 0)
			break;
	if (!inode) {
		inode = calloc(1, sizeof(*inode) + len + 1);
		memcpy(inode->key, key, len);
		inode->len = len;
		inode->next = *first;
		*first = inode;
	}
	inode->lookups++;
	pthread_mutex_unlock(&inodes_lock);
	return inode;
}

static void inode_forget(struct inode *inode, uint64_t lookups)
{
	pthread_mutex_lock(&inodes_lock);
	inode->lookups -= lookups;
	if (!inode->lookups) {
		struct inode **at = bucket_of(inode->key, inode->len);
		while (*at != inode)
			at = &(*at)->next;
		*at = inode->next;
		free(inode);
	}
	pthread_mutex_unlock(&inodes_lock);
}

/* ---- commands ---- */

/* The answer of KEY's node; the caller frees it. NULL: that failed, in whatever way. */
static redisReply *ask(const char *key, size_t len, int argc, const char **argv, const size_t *lens)
{
	int node = cluster.owner[shard_slot(key, len)];
	redisReply *reply;

	pthread_mutex_lock(&server_lock[node]);
	reply = redisCommandArgv(server[node], argc, argv, lens);
	pthread_mutex_unlock(&server_lock[node]);
	if (reply && reply->type == REDIS_REPLY_ERROR) {
		freeReplyObject(reply);
		reply = NULL;
	}
	return reply;
}

/* The number that `COMMAND KEY` answers; -1 where that failed. */
static long long ask_number(const char *command, const char *key)
{
	size_t len = strlen(key);
	redisReply *reply = ask(key, len, 2, (const char *[]){command, key}, (size_t[]){strlen(command), len});
	long long number = reply ? reply->integer : -1;

	freeReplyObject(reply);
	return number;
}

static int set(const struct inode *inode, const struct handle *handle)
{
	redisReply *reply = ask(inode->key, inode->len, 3, (const char *[]){"SET", inode->key, handle->data},
				(size_t[]){3, inode->len, handle->size});

	if (!reply)
		return EIO;
	freeReplyObject(reply);
	return 0;
}

/* ---- operations ---- */

static struct stat stat_of(fuse_ino_t ino, long long size)
{
	return (struct stat){.st_ino = ino, .st_mode = S_IFREG | 0600, .st_nlink = 1, .st_size = size};
}

static struct fuse_entry_param entry_of(struct inode *inode, long long size)
{
	fuse_ino_t ino = (uintptr_t)inode;

	return (struct fuse_entry_param){.ino = ino, .attr = stat_of(ino, size)};
}

static void do_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	long long size = ask_number("STRLEN", name);
	struct fuse_entry_param entry;

	if (size <= 0) {
		fuse_reply_err(req, size ? EIO : ENOENT);
		return;
	}
	entry = entry_of(inode_get(name), size);
	fuse_reply_entry(req, &entry);
}

static void do_forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups)
{
	inode_forget(inode_of(ino), lookups);
	fuse_reply_none(req);
}

static void do_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st = {.st_ino = ino, .st_mode = S_IFDIR | 0700, .st_nlink = 2};

	if (ino != FUSE_ROOT_ID)
		st = stat_of(ino, ask_number("STRLEN", inode_of(ino)->key));
	if (st.st_size < 0)
		fuse_reply_err(req, EIO);
	else
		fuse_reply_attr(req, &st, 0);
}

static void open_handle(struct fuse_file_info *fi, bool truncates)
{
	struct handle *handle = calloc(1, sizeof(*handle));

	handle->dirty = truncates;
	fi->fh = (uintptr_t)handle;
	fi->direct_io = 1; /* without it the kernel asks for the attributes before each read */
	fi->noflush = (fi->flags & O_ACCMODE) == O_RDONLY;
}

static void do_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	open_handle(fi, fi->flags & O_TRUNC);
	fuse_reply_open(req, fi);
}

static void do_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct fuse_entry_param entry = entry_of(inode_get(name), 0);

	open_handle(fi, true);
	fuse_reply_create(req, &entry, fi);
}

static void do_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
	const struct inode *inode = inode_of(ino);
	char first[24], last[24];
	int first_len = snprintf(first, sizeof(first), "%lld", (long long)offset);
	int last_len = snprintf(last, sizeof(last), "%lld", (long long)offset + (long long)size - 1);
	const char *argv[] = {"GETRANGE", inode->key, first, last};
	size_t lens[] = {8, inode->len, (size_t)first_len, (size_t)last_len};
	redisReply *reply = ask(inode->key, inode->len, 4, argv, lens);

	if (reply)
		fuse_reply_buf(req, reply->str, reply->len);
	else
		fuse_reply_err(req, EIO);
	freeReplyObject(reply);
}

static void do_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
		     struct fuse_file_info *fi)
{
	struct handle *handle = (struct handle *)(uintptr_t)fi->fh;
	size_t end = (size_t)offset + size;

	if (end > handle->room) {
		handle->room = end > 2 * handle->room ? end : 2 * handle->room;
		handle->data = realloc(handle->data, handle->room);
	}
	memcpy(handle->data + offset, data, size);
	handle->size = end > handle->size ? end : handle->size;
	handle->dirty = true;
	fuse_reply_write(req, size);
}

static void do_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *handle = (struct handle *)(uintptr_t)fi->fh;
	int error = 0;

	if (handle->dirty)
		error = set(inode_of(ino), handle);
	handle->dirty = false;
	fuse_reply_err(req, error);
}

static void do_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct handle *handle = (struct handle *)(uintptr_t)fi->fh;

	free(handle->data);
	free(handle);
	fuse_reply_err(req, 0);
}

static void do_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	long long removed = ask_number("UNLINK", name);

	fuse_reply_err(req, removed > 0 ? 0 : removed ? EIO : ENOENT);
}

static void do_init(void *userdata, struct fuse_conn_info *conn)
{
	conn->want &= ~(unsigned)(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
	conn->want |= conn->capable & (FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_PARALLEL_DIROPS);
}

static const struct fuse_lowlevel_ops operations = {
	.init = do_init,
	.lookup = do_lookup,
	.forget = do_forget,
	.getattr = do_getattr,
	.open = do_open,
	.create = do_create,
	.read = do_read,
	.write = do_write,
	.flush = do_flush,
	.release = do_release,
	.unlink = do_unlink,
};

static bool connect_all(const char *host, int port)
{
	if (cluster_load(&cluster, host, port))
		return false;
	for (size_t i = 0; i < cluster.count; i++) {
		server[i] = redisConnect(cluster.node[i].host, cluster.node[i].port);
		pthread_mutex_init(&server_lock[i], NULL);
		if (!server[i] || server[i]->err)
			return false;
	}
	return true;
}

static int serve(struct fuse_session *session, const char *threads)
{
	struct fuse_loop_config *config = fuse_loop_cfg_create();
	int status;

	if (threads) {
		fuse_loop_cfg_set_max_threads(config, (unsigned)atoi(threads));
		fuse_loop_cfg_set_idle_threads(config, (unsigned)atoi(threads));
	}
	status = threads ? fuse_session_loop_mt(session, config) : fuse_session_loop(session);
	fuse_loop_cfg_destroy(config);
	return status;
}

int main(int argc, char **argv)
{
	char options[] = "-ofsname=bench,subtype=bench";
	char *words[] = {argv[0], options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, words);
	struct fuse_session *session;

	if (argc != 4 || !connect_all(argv[1], atoi(argv[2]))) {
		fprintf(stderr, "usage: bench-fs-prototype HOST PORT MOUNTPOINT, of a cluster that is well\n");
		return 2;
	}
	session = fuse_session_new(&args, &operations, sizeof(operations), NULL);
	if (!session || fuse_set_signal_handlers(session) || fuse_session_mount(session, argv[3]))
		return 2;
	int status = serve(session, getenv("BENCH_THREADS"));
	fuse_session_unmount(session);
	fuse_session_destroy(session);
	return status ? 2 : 0;
}
