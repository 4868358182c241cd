/* SPDX-License-Identifier: MIT */
/*
 * Extended attributes: user.redis.{ttl,type,encoding,slot,node}. They are
 * shown by name only: a copy must not carry them elsewhere.
 */
#include "ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shard/slot.h>

#define PREFIX "user.redis."

struct query {
	struct op op;
	size_t size;
};

static void reply_text(fuse_req_t req, const char *text, size_t len, size_t size)
{
	if (!size)
		fuse_reply_xattr(req, len);
	else if (size < len)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, text, len);
}

static void text_came(struct op *op, const shard_result *result)
{
	const shard_reply *reply = result->reply;

	if (op_failed(op, result))
		return;
	if ((reply->type != SHARD_REPLY_STATUS && reply->type != SHARD_REPLY_STRING) || shard_reply_is(reply, "none"))
		op_error(op, ENOENT);
	else if (op->req)
		reply_text(op_answer(op), reply->str, reply->len, ((struct query *)op)->size);
}

static void ttl_came(struct op *op, const shard_result *result)
{
	char text[24];

	if (op_failed(op, result))
		return;
	if (result->reply->type != SHARD_REPLY_INTEGER || result->reply->integer == -2) {
		op_error(op, ENOENT);
	} else if (op->req) {
		int len = snprintf(text, sizeof(text), "%lld", result->reply->integer);
		reply_text(op_answer(op), text, (size_t)len, ((struct query *)op)->size);
	}
}

static void submit_ttl(struct op *op)
{
	op_submit_key(op, "TTL", ttl_came);
}

static void submit_type(struct op *op)
{
	op_submit_key(op, "TYPE", text_came);
}

static void submit_encoding(struct op *op)
{
	struct words words = {0};

	words_text(&words, "OBJECT");
	words_text(&words, "ENCODING");
	words_key(&words, op);
	op_submit(op, &words, NULL, text_came);
}

static void reply_slot(struct op *op)
{
	char text[8];
	int len = snprintf(text, sizeof(text), "%u", shard_slot(op->key, op->key_len));

	reply_text(op_answer(op), text, (size_t)len, ((struct query *)op)->size);
}

static void reply_node(struct op *op)
{
	shard_topology *map = shard_client_topology(op->fs->client);
	int owner = map ? shard_topology_owner(map, shard_slot(op->key, op->key_len)) : -1;

	if (owner < 0) {
		op_error(op, ENODATA);
		return;
	}
	const char *addr = shard_topology_node(map, (size_t)owner)->addr;
	reply_text(op_answer(op), addr, strlen(addr), ((struct query *)op)->size);
}

static const struct {
	const char *name;
	void (*get)(struct op *op);
} attributes[] = {
	{"ttl", submit_ttl},  {"type", submit_type}, {"encoding", submit_encoding},
	{"slot", reply_slot}, {"node", reply_node},
};

static int find(const char *name)
{
	size_t prefix = strlen(PREFIX);

	if (strncmp(name, PREFIX, prefix) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(attributes) / sizeof(*attributes); i++)
		if (strcmp(name + prefix, attributes[i].name) == 0)
			return (int)i;
	return -1;
}

void xattr_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	int i = ino == FUSE_ROOT_ID ? -1 : find(name);

	if (i < 0) {
		/* Not ENODATA for what the kernel and ls ask for: they would ask again for every file. */
		fuse_reply_err(req, strncmp(name, "user.", 5) == 0 ? ENODATA : EOPNOTSUPP);
		return;
	}
	struct query *query = op_create(req, sizeof(*query), fs_inode(fs_of(req), ino), NULL, 0);
	if (!query)
		return;
	query->size = size;
	attributes[i].get(&query->op);
	op_drop(&query->op);
}

void xattr_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	fuse_reply_err(req, ino != FUSE_ROOT_ID && find(name) >= 0 ? EPERM : EOPNOTSUPP);
}

void xattr_remove(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	xattr_set(req, ino, name, NULL, 0, 0);
}

void xattr_list(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	reply_text(req, "", 0, size);
}
