/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory and what is kept there: the address of the local
 * cluster (written by rcluster up) and the topologies last seen. The only
 * place where the library reads the environment.
 */
#include <shard/uri.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/strbuf.h"

#define LOCAL_CLUSTER "local-cluster"
#define LOCAL_CLUSTER_MAX 4096
#define TOPOLOGY_MAX (16 << 20)

static const char *from_environment(const char *name)
{
	const char *value = secure_getenv(name);
	return value && *value ? value : NULL;
}

/* ---- the directory ---- */

static char *runtime_path(void)
{
	const char *base = from_environment("XDG_RUNTIME_DIR");
	struct strbuf path = {0};

	if (base && *base == '/') {
		strbuf_string(&path, base);
		strbuf_string(&path, "/shard");
	} else {
		strbuf_string(&path, "/tmp/shard-");
		strbuf_number(&path, geteuid());
	}
	return strbuf_take(&path);
}

static bool is_ours(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* Opens the directory. Returns a descriptor, or -1 with errno. */
static int open_checked(const char *path, bool create)
{
	if (create && mkdir(path, 0700) != 0 && errno != EEXIST)
		return -1;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		/* A link, or a file: not what we made. */
		errno = errno == ELOOP || errno == ENOTDIR ? EPERM : errno;
		return -1;
	}
	struct stat st;
	if (fstat(fd, &st) == 0 && is_ours(&st))
		return fd;
	close(fd);
	errno = EPERM;
	return -1;
}

static int open_runtime_dir(bool create)
{
	char *path = runtime_path();
	int fd = path ? open_checked(path, create) : -1;
	int saved = errno;
	free(path);
	errno = saved;
	return fd;
}

char *shard_runtime_dir(bool create)
{
	char *path = runtime_path();
	if (!path)
		return NULL;
	int fd = open_checked(path, create);
	if (fd < 0) {
		int saved = errno;
		free(path);
		errno = saved;
		return NULL;
	}
	close(fd);
	return path;
}

/* ---- its files ---- */

/* Reads up to SIZE bytes. Returns their number, or -1. */
static ssize_t read_fully(int fd, char *buffer, size_t size)
{
	size_t have = 0;
	while (have < size) {
		ssize_t n = read(fd, buffer + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

/* Opens a regular file that is ours and has at most MAX bytes. Returns a descriptor, or -1 with errno. */
static int open_ours(int dir, const char *name, off_t max, size_t *size)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_ours(&st) && st.st_size <= max) {
		*size = (size_t)st.st_size;
		return fd;
	}
	close(fd);
	errno = EBADMSG;
	return -1;
}

/* The contents of such a file as a string, malloc'ed; *LEN: their length. NULL with errno (ENOENT: there is none). */
static char *read_file(int dir, const char *name, off_t max, size_t *len)
{
	size_t size;
	int fd = open_ours(dir, name, max, &size);
	if (fd < 0)
		return NULL;
	char *text = malloc(size + 1);
	ssize_t have = text ? read_fully(fd, text, size) : -1;
	close(fd); /* leaves errno alone: nothing was written */
	if (have < 0) {
		int saved = errno;
		free(text);
		errno = saved;
		return NULL;
	}
	text[have] = '\0';
	*len = (size_t)have;
	return text;
}

static bool write_fully(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		text += n;
		len -= (size_t)n;
	}
	return true;
}

/* Puts a file in place whole, or not at all. */
static bool write_file(int dir, const char *name, const char *text, size_t len)
{
	char temporary[64];
	uint64_t random;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return false;
	snprintf(temporary, sizeof(temporary), ".new-%016" PRIx64, random);

	int fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	bool ok = write_fully(fd, text, len);
	ok = close(fd) == 0 && ok;
	ok = ok && renameat(dir, temporary, dir, name) == 0;
	if (!ok)
		unlinkat(dir, temporary, 0);
	return ok;
}

/* ---- the URI ---- */

static bool is_uri(const char *text)
{
	shard_uri *uri;
	bool ok = shard_uri_parse(text, &uri, NULL) == SHARD_OK;
	if (ok)
		shard_uri_free(uri);
	return ok;
}

/* The first line of a record, malloc'ed. A line that does not end is one that was cut short. */
static char *first_uri(const char *text)
{
	size_t line = strcspn(text, "\r\n");
	char *uri = strndup(text, line);
	if (!uri || (text[line] && is_uri(uri)))
		return uri;
	free(uri);
	errno = EBADMSG;
	return NULL;
}

/* The URI of the record, malloc'ed; NULL with errno: ENOENT (there is none), ENOMEM, EBADMSG. */
static char *recorded_cluster(void)
{
	size_t len;
	int dir = open_runtime_dir(false);
	if (dir < 0) {
		errno = ENOENT; /* rcluster records nothing in a directory that is not ours */
		return NULL;
	}
	char *text = read_file(dir, LOCAL_CLUSTER, LOCAL_CLUSTER_MAX, &len);
	int saved = errno;
	close(dir);
	if (!text) {
		errno = saved == ENOENT || saved == ENOMEM ? saved : EBADMSG;
		return NULL;
	}
	char *uri = first_uri(text);
	saved = errno;
	explicit_bzero(text, len);
	free(text);
	errno = saved;
	return uri;
}

char *shard_uri_choose(bool *recorded)
{
	bool unused;
	recorded = recorded ? recorded : &unused;
	*recorded = false;
	const char *named = from_environment("SHARD_URI");
	if (named)
		return strdup(named);
	char *uri = recorded_cluster();
	*recorded = uri;
	return uri || errno != ENOENT ? uri : strdup(SHARD_URI_DEFAULT);
}

/* ---- topologies ---- */

/* A file has a first line that says what it is and of what, then CLUSTER NODES. */
#define MAGIC "# shard topology 1 "

static void topology_name(const char *uri, char name[32])
{
	static const char prefix[] = "topology-";

	memcpy(name, prefix, sizeof(prefix) - 1);
	*write_hex(name + sizeof(prefix) - 1, XXH3_64bits(uri, strlen(uri))) = 0;
}

static shard_topology *parse_file(const char *text, size_t len, const char *uri)
{
	size_t magic = strlen(MAGIC), name = strlen(uri);
	if (len <= magic + name + 1 || memcmp(text, MAGIC, magic) != 0 || memcmp(text + magic, uri, name) != 0 ||
	    text[magic + name] != '\n' || text[len - 1] != '\n')
		return NULL;
	size_t head = magic + name + 1;
	shard_topology *topology;
	if (shard_topology_from_nodes(text + head, len - head, "", 0, &topology, NULL) != SHARD_OK)
		return NULL;
	return topology;
}

static shard_topology *load(int dir, const char *uri)
{
	char name[32];
	size_t len;
	topology_name(uri, name);
	char *text = read_file(dir, name, TOPOLOGY_MAX, &len);
	shard_topology *topology = text ? parse_file(text, len, uri) : NULL;
	free(text);
	return topology;
}

shard_topology *shard_topology_load(const shard_uri *uri)
{
	int dir = open_runtime_dir(false);
	if (dir < 0)
		return NULL;
	char *public = shard_uri_public(uri);
	shard_topology *topology = public ? load(dir, public) : NULL;
	free(public);
	close(dir);
	return topology;
}

static bool store(int dir, const char *uri, const char *nodes)
{
	char name[32], *text;
	topology_name(uri, name);
	int len = asprintf(&text, MAGIC "%s\n%s", uri, nodes);
	if (len < 0)
		return false;
	bool ok = write_file(dir, name, text, (size_t)len);
	free(text);
	return ok;
}

bool shard_topology_store(const shard_uri *uri, const shard_topology *topology)
{
	char *nodes = shard_topology_node_count(topology) ? shard_topology_format(topology) : NULL;
	char *public = nodes ? shard_uri_public(uri) : NULL;
	int dir = public ? open_runtime_dir(true) : -1;
	bool ok = dir >= 0 && store(dir, public, nodes);
	if (dir >= 0)
		close(dir);
	free(public);
	free(nodes);
	return ok;
}
