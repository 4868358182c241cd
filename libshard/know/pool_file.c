/* SPDX-License-Identifier: MIT */
#include <shard/pool.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/strbuf.h"
#include "know/pool.h"
#include "know/pool_yaml.h"

#define FILE_MAX (16u << 20)
#define FILE_MAX_TEXT "16 MiB"

struct pool_file {
	shard_pool_file file; /* the first */
	struct arena arena;   /* of all that it points to */
	shard_pool *pool;
};

/* ---- the bytes of a file ---- */

/* "PATH: TEXT: MORE". Returns SHARD_EPOOL, or SHARD_ENOMEM. */
static int refuse_file(const char *path, const char *text, const char *more, char **why)
{
	struct strbuf out = {0};

	pool_quote_all(&out, path);
	strbuf_string(&out, ": ");
	strbuf_string(&out, text);
	strbuf_string(&out, more ? ": " : "");
	strbuf_string(&out, more ? more : "");
	*why = strbuf_take(&out);
	return *why ? SHARD_EPOOL : SHARD_ENOMEM;
}

/* What is not a file is not waited for. */
static int open_regular(const char *path, char **why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	const char *wrong = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) != 0)
		wrong = "cannot be read";
	else if (S_ISDIR(st.st_mode))
		wrong = "is a directory, not a file";
	else if (!S_ISREG(st.st_mode))
		wrong = "is no regular file (a pipe, a socket or a device)";
	if (!wrong)
		return fd;
	refuse_file(path, wrong, fd < 0 ? strerrordesc_np(errno) : NULL, why);
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Up to FILE_MAX bytes and one more, so that a longer file shows. Returns their number, or -1. */
static ssize_t read_all(int fd, char *buffer)
{
	size_t have = 0;

	while (have <= FILE_MAX) {
		ssize_t n = read(fd, buffer + have, FILE_MAX + 1 - have);

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

static int parse_open(const char *path, int fd, shard_pool_file **file, char **why)
{
	/* Touched only as far as the file goes. */
	char *buffer = malloc(FILE_MAX + 1);
	ssize_t len;
	int error;

	if (!buffer)
		return SHARD_ENOMEM;
	len = read_all(fd, buffer);
	if (len < 0)
		error = refuse_file(path, "cannot be read", strerrordesc_np(errno), why);
	else if (len > FILE_MAX)
		error = refuse_file(path, "is larger than " FILE_MAX_TEXT, NULL, why);
	else
		error = shard_pool_file_parse(path, buffer, (size_t)len, file, why);
	if (len > 0)
		explicit_bzero(buffer, (size_t)len);
	free(buffer);
	return error;
}

/* ---- from drafts ---- */

static void *copy_array(struct arena *arena, const void *array, size_t count, size_t size)
{
	void *copy = arena_alloc(arena, count * size);

	if (copy && count)
		memcpy(copy, array, count * size);
	return copy;
}

static bool fill(struct pool_file *out, struct pool_reader *reader, const char *path)
{
	out->pool = arena_alloc(&reader->arena, reader->count * sizeof(*out->pool));
	out->file.pool = out->pool;
	out->file.path = pool_reader_copy(reader, (struct shard__text){path, strlen(path)});
	if (!out->pool || !out->file.path)
		return false;
	for (size_t i = 0; i < reader->count; i++) {
		struct pool_draft *draft = &reader->draft[i];

		draft->pool.server =
			copy_array(&reader->arena, draft->server, draft->pool.server_count, sizeof(*draft->server));
		if (!draft->pool.server)
			return false;
		draft->pool.redis |= draft->pool.cluster;
		out->pool[i] = draft->pool;
	}
	out->file.pool_count = reader->count;
	return true;
}

static int make_file(struct pool_reader *reader, const char *path, shard_pool_file **file)
{
	struct pool_file *out = calloc(1, sizeof(*out));

	if (!out || !fill(out, reader, path)) {
		free(out);
		return SHARD_ENOMEM;
	}
	out->arena = reader->arena;
	arena_init(&reader->arena);
	*file = &out->file;
	return SHARD_OK;
}

static void wipe(char *secret)
{
	if (secret)
		explicit_bzero(secret, strlen(secret));
}

static int finish_parse(struct pool_reader *reader, const char *path, shard_pool_file **file, char **why)
{
	int error = SHARD_EPOOL;

	if (!pool_reader_no_memory(reader))
		pool_check(reader);
	if (!pool_reader_no_memory(reader) && !reader->mistake_count)
		error = make_file(reader, path, file);
	else if (!pool_reader_no_memory(reader))
		*why = pool_mistake_text(reader, path);
	if (error == SHARD_EPOOL && !*why)
		error = SHARD_ENOMEM;
	for (size_t i = 0; error && i < reader->count; i++)
		wipe(reader->draft[i].pool.redis_auth);
	return error;
}

static int parse(const char *path, const char *text, size_t len, shard_pool_file **file, char **why)
{
	struct pool_reader reader = {0};
	const char *missing;
	const struct pool_yaml *yaml = pool_yaml_load(&missing);
	int error;

	if (!yaml)
		return refuse_file(path, "libyaml, which parses it, cannot be loaded (Debian: libyaml-0-2)", missing,
				   why);
	arena_init(&reader.arena);
	pool_parse(&reader, yaml, text, len);
	error = finish_parse(&reader, path, file, why);
	pool_reader_finish(&reader);
	return error;
}

/* ---- what others call ---- */

/* A reason for whoever asked for one. */
static int give(int error, char *reason, char **why)
{
	if (error == SHARD_ENOMEM) {
		free(reason);
		reason = why ? strdup(shard_strerror(error)) : NULL;
	}
	if (why)
		*why = reason;
	else
		free(reason);
	return error;
}

int shard_pool_file_parse(const char *path, const char *text, size_t len, shard_pool_file **file, char **why)
{
	char *reason = NULL;
	int error;

	*file = NULL;
	error = parse(path, text, len, file, &reason);
	return give(error, reason, why);
}

int shard_pool_file_load(const char *path, shard_pool_file **file, char **why)
{
	char *reason = NULL;
	int error = SHARD_EPOOL, fd;

	*file = NULL;
	fd = open_regular(path, &reason);
	if (fd >= 0) {
		error = parse_open(path, fd, file, &reason);
		close(fd);
	} else if (!reason) {
		error = SHARD_ENOMEM;
	}
	return give(error, reason, why);
}

void shard_pool_file_free(shard_pool_file *file)
{
	struct pool_file *whole = (struct pool_file *)file;

	if (!whole)
		return;
	for (size_t i = 0; i < file->pool_count; i++)
		wipe(file->pool[i].redis_auth);
	arena_finish(&whole->arena);
	free(whole);
}
