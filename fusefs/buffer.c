/* SPDX-License-Identifier: MIT */
#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct buffer {
	unsigned refs;
	int fd; /* -1: in memory */
	size_t size;
	size_t capacity; /* of memory */
	char *memory;
	void *map; /* of the file */
	size_t map_len;
};

struct buffer *buffer_create(const void *data, size_t size)
{
	struct buffer *buffer = calloc(1, sizeof(*buffer));

	if (!buffer)
		return NULL;
	buffer->refs = 1;
	buffer->fd = -1;
	if (data ? buffer_write(buffer, 0, data, size) : buffer_resize(buffer, size)) {
		buffer_unref(buffer);
		return NULL;
	}
	return buffer;
}

struct buffer *buffer_ref(struct buffer *buffer)
{
	if (buffer)
		buffer->refs++;
	return buffer;
}

void buffer_unref(struct buffer *buffer)
{
	if (!buffer || --buffer->refs)
		return;
	buffer_unmap(buffer);
	if (buffer->fd >= 0)
		close(buffer->fd);
	free(buffer->memory);
	free(buffer);
}

bool buffer_shared(const struct buffer *buffer)
{
	return buffer->refs > 1;
}

size_t buffer_size(const struct buffer *buffer)
{
	return buffer->size;
}

int buffer_fd(const struct buffer *buffer)
{
	return buffer->fd;
}

static int temporary_file_in(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
		return fd;
	if (snprintf(path, sizeof(path), "%s/shardfs-XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int temporary_file(void)
{
	const char *const dirs[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		int fd = dirs[i] && *dirs[i] == '/' ? temporary_file_in(dirs[i]) : -1;
		if (fd >= 0 || (dirs[i] && (errno == ENOSPC || errno == EDQUOT || errno == EMFILE || errno == ENFILE)))
			return fd;
	}
	errno = EIO; /* nowhere to write: what that is called elsewhere means something else here */
	return -1;
}

static int write_file(int fd, size_t offset, const char *data, size_t len)
{
	while (len) {
		ssize_t n = pwrite(fd, data, len, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? errno : EIO;
		offset += (size_t)n;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

static int spill(struct buffer *buffer)
{
	int fd = temporary_file();
	int error = fd < 0 ? errno : write_file(fd, 0, buffer->memory, buffer->size);

	if (error) {
		if (fd >= 0)
			close(fd);
		return error;
	}
	free(buffer->memory);
	buffer->memory = NULL;
	buffer->capacity = 0;
	buffer->fd = fd;
	return 0;
}

static int copy_file(int from, int to, size_t len)
{
	char bytes[65536];
	off_t at = 0;

	while (len) {
		ssize_t n = copy_file_range(from, &at, to, NULL, len, 0);
		if (n <= 0)
			break;
		len -= (size_t)n;
	}
	/* Where the kernel cannot do it. */
	while (len) {
		ssize_t n = pread(from, bytes, len < sizeof(bytes) ? len : sizeof(bytes), at);
		if (n < 0 && errno == EINTR)
			continue;
		int error = n <= 0 ? (n ? errno : EIO) : write_file(to, (size_t)at, bytes, (size_t)n);
		if (error)
			return error;
		at += n;
		len -= (size_t)n;
	}
	return 0;
}

struct buffer *buffer_copy(const struct buffer *buffer)
{
	struct buffer *copy = buffer_create(NULL, 0);
	int error = copy ? 0 : ENOMEM;

	if (!error && buffer->fd < 0) {
		error = buffer_write(copy, 0, buffer->memory, buffer->size);
	} else if (!error) {
		copy->fd = temporary_file();
		error = copy->fd < 0 ? errno : copy_file(buffer->fd, copy->fd, buffer->size);
		copy->size = buffer->size;
	}
	if (!error)
		return copy;
	buffer_unref(copy);
	errno = error;
	return NULL;
}

/* Makes room in memory for SIZE bytes, or moves to a file. */
static int reserve(struct buffer *buffer, size_t size)
{
	if (buffer->fd >= 0 || size <= buffer->capacity)
		return 0;
	if (size > BUFFER_MEMORY_MAX)
		return spill(buffer);
	size_t capacity = buffer->capacity * 2 > size ? buffer->capacity * 2 : size;
	if (capacity > BUFFER_MEMORY_MAX)
		capacity = BUFFER_MEMORY_MAX;
	char *memory = realloc(buffer->memory, capacity);
	if (!memory)
		return ENOMEM;
	buffer->memory = memory;
	buffer->capacity = capacity;
	return 0;
}

int buffer_resize(struct buffer *buffer, size_t size)
{
	int error = reserve(buffer, size);

	if (error)
		return error;
	if (buffer->fd >= 0) {
		buffer_unmap(buffer);
		if (ftruncate(buffer->fd, (off_t)size) < 0)
			return errno;
	} else if (size > buffer->size) {
		memset(buffer->memory + buffer->size, 0, size - buffer->size);
	}
	buffer->size = size;
	return 0;
}

int buffer_write(struct buffer *buffer, size_t offset, const void *data, size_t len)
{
	size_t end = offset + len;
	int error = reserve(buffer, end);

	if (error || !len)
		return error;
	if (buffer->fd >= 0) {
		buffer_unmap(buffer);
		error = write_file(buffer->fd, offset, data, len);
		if (error) {
			/* What went past the end must not show as data later. */
			(void)!ftruncate(buffer->fd, (off_t)buffer->size);
			return error;
		}
	} else {
		if (offset > buffer->size)
			memset(buffer->memory + buffer->size, 0, offset - buffer->size);
		memcpy(buffer->memory + offset, data, len);
	}
	if (end > buffer->size)
		buffer->size = end;
	return 0;
}

long buffer_read(const struct buffer *buffer, size_t offset, void *out, size_t len)
{
	if (offset >= buffer->size)
		return 0;
	if (len > buffer->size - offset)
		len = buffer->size - offset;
	if (buffer->fd < 0) {
		memcpy(out, buffer->memory + offset, len);
		return (long)len;
	}
	size_t done = 0;
	while (done < len) {
		ssize_t n = pread(buffer->fd, (char *)out + done, len - done, (off_t)(offset + done));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (!n)
			break;
		done += (size_t)n;
	}
	return (long)done;
}

bool buffer_equal(const struct buffer *a, size_t a_at, const struct buffer *b, size_t b_at, size_t len)
{
	char a_bytes[16384], b_bytes[16384];

	for (size_t done = 0; done < len;) {
		size_t n = len - done < sizeof(a_bytes) ? len - done : sizeof(a_bytes);
		if (buffer_read(a, a_at + done, a_bytes, n) != (long)n ||
		    buffer_read(b, b_at + done, b_bytes, n) != (long)n || memcmp(a_bytes, b_bytes, n) != 0)
			return false;
		done += n;
	}
	return true;
}

const char *buffer_map(struct buffer *buffer, size_t len)
{
	if (!len)
		return "";
	if (buffer->fd < 0)
		return buffer->memory;
	if (buffer->map && buffer->map_len >= len)
		return buffer->map;
	buffer_unmap(buffer);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, buffer->fd, 0);
	if (map == MAP_FAILED)
		return NULL;
	buffer->map = map;
	buffer->map_len = len;
	return map;
}

void buffer_unmap(struct buffer *buffer)
{
	if (buffer->map)
		munmap(buffer->map, buffer->map_len);
	buffer->map = NULL;
	buffer->map_len = 0;
}
