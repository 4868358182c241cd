/* SPDX-License-Identifier: MIT */
/*
 * tail -f: a reader who is at the end of its version goes on in a longer one,
 * if that has the same bytes where his ended.
 */
#include "read.h"

#include <string.h>

bool follow_wanted(const struct read *read)
{
	const struct handle *handle = read->handle;

	/* Who reads on where he was told the end, or does so already: others finish the version that they began. */
	return (handle->ended || handle->now.ranges) && handle->newer.known && handle->newer.size > handle->now.size &&
	       read->offset >= handle->now.size;
}

/* The last bytes of the reader's version, as far as they are known. Returns how many. */
static size_t edge_of(const struct handle *handle, char edge[HANDLE_EDGE])
{
	size_t size = handle->now.size;
	size_t len = size < HANDLE_EDGE ? size : HANDLE_EDGE;

	if (handle->now.value)
		return buffer_read(handle->now.value, size - len, edge, len) == (long)len ? len : 0;
	memcpy(edge, handle->edge, handle->edge_len);
	return handle->edge_len;
}

static void reply(struct read *read, const char *bytes, size_t len)
{
	fuse_req_t req = op_answer(&read->op);

	if (req)
		fuse_reply_buf(req, bytes, len);
}

static void came(struct op *op, const shard_result *result)
{
	struct read *read = (struct read *)op;
	struct handle *handle = read->handle;
	char edge[HANDLE_EDGE];
	const shard_reply *bytes;
	size_t length, edge_len = edge_of(handle, edge);

	if (!read_versioned(op, result, &length, &bytes))
		return;
	size_t skip = read->offset - (handle->now.size - edge_len);
	bool same = length >= handle->now.size && bytes->len >= edge_len && memcmp(bytes->str, edge, edge_len) == 0;
	if (!same || bytes->len < skip) {
		reply(read, "", 0);
		return;
	}
	size_t len = bytes->len > skip ? bytes->len - skip : 0;
	/* The version ends where the reader is: what is appended next is checked in its turn. */
	if (len)
		handle_grew(handle, read->offset, bytes->str + skip, len, length);
	reply(read, bytes->str + skip, len);
}

void follow_start(struct read *read)
{
	char edge[HANDLE_EDGE];
	size_t edge_len = edge_of(read->handle, edge);

	if (edge_len || !read->handle->now.size)
		read_submit_versioned(read, read->handle->now.size - edge_len, read->offset + read->size - 1, came);
	else
		reply(read, "", 0);
}
