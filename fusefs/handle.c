/* SPDX-License-Identifier: MIT */
#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "pages.h"

struct handle *handle_create(struct fs *fs, struct inode *inode, int flags)
{
	struct handle *handle = calloc(1, sizeof(*handle));
	int mode = flags & O_ACCMODE;

	if (!handle)
		return NULL;
	handle->fs = fs;
	handle->inode = inode_hold(inode);
	handle->holds = 1;
	handle->reads = mode != O_WRONLY;
	handle->writes = mode != O_RDONLY;
	handle->appends = handle->writes && (flags & O_APPEND);
	handle->next = fs->handles;
	if (fs->handles)
		fs->handles->prev = handle;
	fs->handles = handle;
	handle->next_same = inode->handles;
	if (inode->handles)
		inode->handles->prev_same = handle;
	inode->handles = handle;
	return handle;
}

struct handle *handle_hold(struct handle *handle)
{
	handle->holds++;
	return handle;
}

static void unlist(struct handle *handle)
{
	if (handle->next)
		handle->next->prev = handle->prev;
	*(handle->prev ? &handle->prev->next : &handle->fs->handles) = handle->next;
	if (handle->next_same)
		handle->next_same->prev_same = handle->prev_same;
	*(handle->prev_same ? &handle->prev_same->next_same : &handle->inode->handles) = handle->next_same;
}

void handle_drop(struct handle *handle)
{
	if (!handle || --handle->holds)
		return;
	buffer_unref(handle->now.value);
	buffer_unref(handle->newer.value);
	buffer_unref(handle->chunk);
	free(handle->edge);
	inode_drop(handle->inode);
	free(handle);
}

void handle_close(struct handle *handle)
{
	struct pending *pending = handle->pending;

	unlist(handle);
	pages_close(handle);
	if (handle->load)
		load_leave(handle->load);
	handle->pending = NULL;
	if (pending)
		pending_close(pending);
	handle_drop(handle);
}

void handle_abandon(struct handle *handle)
{
	if (handle->pending)
		pending_abandon(handle->pending);
	handle_close(handle);
}

int handle_begin(struct handle *handle, enum transaction_origin origin)
{
	int error = pending_open(handle->fs, handle->inode, origin);

	if (!error)
		handle->pending = handle->inode->pending;
	return error;
}

/* ---- versions ---- */

static void set(struct version *version, struct buffer *value, size_t size, uint64_t at, uint64_t changes)
{
	buffer_ref(value);
	buffer_unref(version->value);
	*version = (struct version){.value = value, .size = size, .at = at, .changes = changes, .known = true};
}

/* What belongs to `now`. */
static void forget_place(struct handle *handle)
{
	if (handle->load)
		load_leave(handle->load);
	buffer_unref(handle->chunk);
	handle->chunk = NULL;
	handle->edge_len = 0;
	handle->ended = false;
}

static void take_newer(struct handle *handle)
{
	forget_place(handle);
	buffer_unref(handle->now.value);
	handle->now = handle->newer;
	handle->newer = (struct version){.known = false};
	handle->started = false;
}

/* What this mount has written since is newer. */
static bool fresh(const struct handle *handle, const struct version *version)
{
	return version->known && version->changes == handle->inode->changes && !pending_visible(handle->inode) &&
	       fs_now_ms() <= version->at + FS_FRESH_MS;
}

bool handle_needs_look(struct handle *handle, size_t offset)
{
	if (handle->started && offset > 0)
		return false;
	if (fresh(handle, &handle->newer))
		take_newer(handle);
	return handle->started || !fresh(handle, &handle->now);
}

static bool continues(const struct version *old, const struct sight *sight)
{
	if (!old->value || !sight->whole || sight->size < old->size)
		return false;
	const char *a = buffer_map(old->value, old->size);
	return a && memcmp(a, buffer_map(sight->start, sight->size), old->size) == 0;
}

void handle_saw(struct handle *handle, const struct sight *sight)
{
	bool at_once = !handle->started || continues(&handle->now, sight);
	struct version *version = at_once ? &handle->now : &handle->newer;

	if (at_once)
		forget_place(handle);
	set(version, sight->whole ? sight->start : NULL, sight->size, sight->at, handle->inode->changes);
}

void handle_all_saw(struct inode *inode, const struct sight *sight)
{
	for (struct handle *handle = inode->handles; handle; handle = handle->next_same)
		if (handle->reads)
			handle_saw(handle, sight);
}

const struct version *handle_any_version(const struct inode *inode)
{
	for (const struct handle *handle = inode->handles; handle; handle = handle->next_same)
		if (handle->now.value)
			return &handle->now;
	return NULL;
}

void handle_read(struct handle *handle, size_t offset, const char *bytes, size_t len)
{
	handle->next_read = offset + len;
	if (!len || offset + len != handle->now.size)
		return;
	if (!handle->edge)
		handle->edge = malloc(HANDLE_EDGE);
	if (!handle->edge)
		return;
	handle->edge_len = len < HANDLE_EDGE ? len : HANDLE_EDGE;
	memcpy(handle->edge, bytes + len - handle->edge_len, handle->edge_len);
}

void handle_ended(struct handle *handle)
{
	handle->ended = true;
	handle->newer.known = false;
}

void handle_grew(struct handle *handle, size_t offset, const char *bytes, size_t len, size_t size)
{
	uint64_t changes = handle->inode->changes;

	forget_place(handle);
	set(&handle->now, NULL, offset + len, fs_now_ms(), changes);
	handle->now.ranges = true;
	handle_read(handle, offset, bytes, len);
	set(&handle->newer, NULL, size, fs_now_ms(), changes);
}

void handle_loaded(struct handle *handle, struct buffer *value)
{
	buffer_unref(handle->chunk);
	handle->chunk = NULL;
	buffer_unref(handle->now.value);
	handle->now.value = buffer_ref(value);
}

void handle_take(struct handle *handle, struct buffer *value)
{
	set(&handle->now, value, buffer_size(value), fs_now_ms(), handle->inode->changes);
}
