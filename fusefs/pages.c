/* SPDX-License-Identifier: MIT */
#include "pages.h"

#include <errno.h>
#include <string.h>

#define PAGE 4096

static void set_told(struct inode *inode, struct buffer *value)
{
	buffer_ref(value);
	buffer_unref(inode->told);
	inode->told = value;
}

static bool has_writers(const struct inode *inode)
{
	for (const struct handle *handle = inode->handles; handle; handle = handle->next_same)
		if (handle->writes)
			return true;
	return false;
}

void pages_open(struct handle *handle, struct fuse_file_info *fi)
{
	struct inode *inode = handle->inode;

	/* What is not watched would have its attributes asked for before each read. */
	if (!handle->fs->options->pages || handle->writes || inode->kind != KIND_STRING || !inode->has_fresh ||
	    !inode->watched ||
	    !inode->fresh.whole || inode->fresh.size > PAGE || inode->pending || has_writers(inode))
		return;
	/* The size that the kernel has may be an older one's: it asks again where it was told that. */
	if (!inode->paged)
		set_told(inode, inode->fresh.start);
	handle->paged = true;
	inode->paged++;
	fi->direct_io = 0;
	fi->keep_cache = 1;
}

void pages_close(struct handle *handle)
{
	if (!handle->paged)
		return;
	handle->paged = false;
	if (--handle->inode->paged == 0)
		set_told(handle->inode, NULL);
}

void pages_tell(struct inode *inode, const struct sight *told)
{
	if (inode->paged)
		set_told(inode, told && told->whole ? told->start : NULL);
}

/* Whether TOLD is the version of this handle, or goes on from it. */
static bool continues(const struct handle *handle, struct buffer *told)
{
	const struct version *now = &handle->now;

	return now->value && now->size <= buffer_size(told) &&
	       !memcmp(buffer_map(now->value, now->size), buffer_map(told, now->size), now->size);
}

bool pages_read(fuse_req_t req, const struct handle *handle, size_t size, size_t offset)
{
	struct buffer *told = handle->inode->told;
	size_t there = told ? buffer_size(told) : 0;

	if (!handle->paged || !told || pending_visible(handle->inode))
		return false;
	/* More than one page could come of two versions. */
	if (there > PAGE && !continues(handle, told)) {
		fuse_reply_err(req, ESTALE);
		return true;
	}
	size_t len = offset < there ? (size < there - offset ? size : there - offset) : 0;
	fuse_reply_buf(req, len ? buffer_map(told, there) + offset : "", len);
	return true;
}
