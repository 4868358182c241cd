/* SPDX-License-Identifier: MIT */
/*
 * The bytes of one value: in memory, above BUFFER_MEMORY_MAX in an unlinked
 * temporary file. Reference-counted; everyone who holds it sees its writes.
 */
#ifndef FUSEFS_BUFFER_H
#define FUSEFS_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#define BUFFER_MEMORY_MAX ((size_t)16 << 20)

struct buffer;

/* NULL when out of memory. DATA NULL: SIZE NULs. */
struct buffer *buffer_create(const void *data, size_t size);
struct buffer *buffer_ref(struct buffer *buffer); /* NULL is fine */
void buffer_unref(struct buffer *buffer);         /* NULL is fine */
bool buffer_shared(const struct buffer *buffer);  /* whether there is more than one reference */

size_t buffer_size(const struct buffer *buffer);

/* The file that its bytes are in, from the start; -1: they are in memory. */
int buffer_fd(const struct buffer *buffer);

/* One of its own with the same bytes. NULL with errno. */
struct buffer *buffer_copy(const struct buffer *buffer);

/* 0 or an errno, then the size is what it was. A hole is NULs. */
int buffer_write(struct buffer *buffer, size_t offset, const void *data, size_t len);
int buffer_resize(struct buffer *buffer, size_t size);

/* Copies what there is, at most LEN bytes. Returns how many; -1 with errno where the file cannot be read. */
long buffer_read(const struct buffer *buffer, size_t offset, void *out, size_t len);

/* Whether LEN bytes of both, from these places on, are there and are the same. */
bool buffer_equal(const struct buffer *a, size_t a_at, const struct buffer *b, size_t b_at, size_t len);

/*
 * The first LEN bytes (at most buffer_size()) in one piece, until the next
 * write or buffer_unmap(). NULL with errno.
 */
const char *buffer_map(struct buffer *buffer, size_t len);
void buffer_unmap(struct buffer *buffer);

#endif
